/* piece_work.c - see piece_work.h. */
#include "predict/piece_work.h"

#include <math.h>

double tfr_piece_ns(const void *model_work, const struct tfr_piece_question *question) {
    const struct tfr_model_work *model = model_work;
    const struct tfr_piece_work *work = &model->piece[question->piece];
    const struct tfr_rank_speed *speed = &model->speed;
    const double sequences = fmax(question->sequences, 1), rows = question->rows;
    const double seen = question->past + rows / (2 * sequences);
    const double bytes = work->bytes + rows * work->bytes_row + sequences * question->past * work->bytes_cached;
    const double flops = rows * (work->flops_row + seen * work->flops_cached);
    double bandwidth = speed->bytes_per_s;
    if (speed->node_bytes_per_s > 0) {
        bandwidth = fmin(bandwidth, speed->node_bytes_per_s / fmax(question->active, 1));
    }
    return fmax(bytes / bandwidth, flops / speed->flops_per_s) * 1e9 / fmax(question->shares, 1) + work->nodes * speed->node_ns;
}

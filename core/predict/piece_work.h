/* piece_work.h - the work of a piece of the model, and the time of it on a rank that is told by four numbers.
 *
 *     bytes = fixed + rows * a row's + sequences * past * a cached position's
 *     FLOPs = rows * (a row's + (past + rows / (2 * sequences)) * a position's)
 *     time  = max(bytes / bandwidth, FLOPs / rate) / shares + nodes * cost of a node
 *
 * which is the roofline, and a fixed cost of each node of the step's graph. Shares are the ranks that a piece is split over: each
 * has its part of the weights, the heads and the cached positions, and all of the nodes. Thread rule: no state.
 */
#ifndef TFR_PREDICT_PIECE_WORK_H
#define TFR_PREDICT_PIECE_WORK_H

#include <tfrun/types.h>

/* In the order in which a step goes through them; sampling is all that rank 0 does with a row of logits. A sum adds the sums of one
 * rank's heads to a total, where ranks share blocks. */
enum tfr_piece { TFR_PIECE_EMBED, TFR_PIECE_BLOCK, TFR_PIECE_NORM, TFR_PIECE_HEAD, TFR_PIECE_SAMPLE, TFR_PIECE_SUM, TFR_N_PIECES };

struct tfr_piece_question {
    enum tfr_piece piece;
    double rows, sequences, past; /* new rows in all, of so many sequences, each with so many cached positions */
    double shares;                /* ranks that split it */
    double active;                /* ranks of a node that compute at the same time and share its memory */
};

struct tfr_piece_work {
    double bytes, bytes_row, bytes_cached;
    double flops_row, flops_cached;
    double nodes;
};

struct tfr_rank_speed {
    double bytes_per_s;      /* of a rank */
    double node_bytes_per_s; /* of all ranks of a node together; 0: no limit but each rank's */
    double flops_per_s;
    double node_ns;
};

/* Of all pieces: what tfr_layout_question.ns takes as its `user`. */
struct tfr_model_work {
    struct tfr_piece_work piece[TFR_N_PIECES];
    struct tfr_rank_speed speed;
};
double tfr_piece_ns(const void *model_work, const struct tfr_piece_question *question);

#endif

/* step_shares.c - results of a split head on rank 0. Logits: each rank's columns come as a matrix of their own, and are put side by
 * side. Best tokens: each rank's best of a row, of which the best is taken.
 *
 * Logits of a plan for a single row come where they belong, since a row's shares stand one after the other. See step_run.h.
 */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "graph/op.h"
#include "rank/rank.h"
#include "rank/step_run.h"

bool tfr_step_may_ask_best(const struct tfr_engine *engine) {
    const struct tfr_hparams *model = &engine->config->model;
    return engine->placement.head == TFR_PLACE_SPLIT && tfr_placement_n_shares(&engine->placement) > 1 &&
           tfr_head_has_vocabulary((int)model->head) && model->vocab_size <= TFR_BEST_COLUMNS;
}

enum tfr_status tfr_step_reserve_logits(const struct tfr_engine *engine, struct tfr_step_memory *memory, int64_t rows,
                                        const struct tfr_gpt2_features *features) {
    const int64_t n_shares = tfr_placement_n_shares(&engine->placement), width = tfr_engine_logit_width(engine);
    const size_t shares = (size_t)rows * (size_t)(features->best ? n_shares * TFR_BEST_WIDTH : width) * sizeof(float);
    const size_t whole = (size_t)rows * (size_t)(features->best ? TFR_BEST_WIDTH : width) * sizeof(float);
    if (engine->placement.head == TFR_PLACE_SPLIT && (rows > 1 || features->best)) {
        TFR_TRY(tfr_block_reserve(&memory->shares, shares, TFR_HUGEPAGES_OFF));
    }
    return tfr_block_reserve(&memory->logits, whole, TFR_HUGEPAGES_OFF);
}

float *tfr_step_logits(const struct tfr_engine *engine, struct tfr_step_memory *memory, const struct tfr_plan *plan,
                       const struct tfr_gpt2_features *features) {
    const bool has_vocabulary = tfr_head_has_vocabulary((int)features->head);
    memory->has_best = features->best;
    memory->has_shares = engine->placement.head == TFR_PLACE_SPLIT && tfr_engine_rank(engine) == 0 &&
                         (plan->logits_max > 1 || features->best) && features->part == TFR_PART_MODEL && has_vocabulary;
    return memory->has_shares ? memory->shares.data : memory->logits.data;
}

/* Columns [first, first + n) of all rows. */
static void join_logits(struct tfr_step_memory *memory, const float *from, int64_t first, int64_t n, int64_t V) {
    float *to = memory->logits.data;
    for (int64_t row = 0; row < memory->run->input.n_logits; row++) {
        memcpy(to + row * V + first, from + row * n, (size_t)n * sizeof *to);
    }
}

/* Shares come in the order of their columns, so that of equal numbers the first stays; nothing is larger than a NaN. */
static void join_best(struct tfr_step_memory *memory, const float *from, int64_t first) {
    float *to = memory->logits.data;
    for (int64_t row = 0; row < memory->run->input.n_logits; row++, to += TFR_BEST_WIDTH, from += TFR_BEST_WIDTH) {
        if (first == 0 || from[0] > to[0] || isnan(from[0])) {
            to[0] = from[0];
            to[1] = (float)first + from[1];
        }
    }
}

void tfr_step_join_shares(const struct tfr_engine *engine, struct tfr_step_memory *memory) {
    const struct tfr_placement *placement = &engine->placement;
    const int64_t V = engine->config->model.vocab_size, rows_max = memory->run->plan->logits_max;
    const float *from = memory->shares.data;
    for (int rank = 0; rank < tfr_placement_n_shares(placement) && memory->has_shares; rank++) {
        int64_t first, n;
        tfr_placement_vocabulary(placement, rank, V, &first, &n);
        if (n > 0 && memory->has_best) {
            join_best(memory, from + (int64_t)rank * TFR_BEST_WIDTH * rows_max, first);
        } else if (n > 0) {
            join_logits(memory, from + first * rows_max, first, n, V);
        }
    }
    memory->has_shares = false;
}

/* step_shares.c - logits of a split head on rank 0: each rank's columns come as a matrix of their own, and are put side by side.
 *
 * Of a plan for a single row they come where they belong, since a row's shares stand one after the other. See step_run.h.
 */
#include <string.h>

#include "base/status.h"
#include "rank/rank.h"
#include "rank/step_run.h"

enum tfr_status tfr_step_reserve_logits(const struct tfr_engine *engine, struct tfr_step_memory *memory, int64_t rows) {
    const size_t bytes = (size_t)rows * (size_t)tfr_engine_logit_width(engine) * sizeof(float);
    if (engine->placement.head == TFR_PLACE_SPLIT && rows > 1) {
        TFR_TRY(tfr_block_reserve(&memory->shares, bytes, TFR_HUGEPAGES_OFF));
    }
    return tfr_block_reserve(&memory->logits, bytes, TFR_HUGEPAGES_OFF);
}

float *tfr_step_logits(const struct tfr_engine *engine, struct tfr_step_memory *memory, const struct tfr_plan *plan,
                       const struct tfr_gpt2_features *features) {
    const bool has_vocabulary = features->head == TFR_HEAD_LM || features->head == TFR_HEAD_DOUBLE;
    memory->has_shares = engine->placement.head == TFR_PLACE_SPLIT && tfr_engine_rank(engine) == 0 && plan->logits_max > 1 &&
                         features->part == TFR_PART_MODEL && has_vocabulary;
    return memory->has_shares ? memory->shares.data : memory->logits.data;
}

void tfr_step_join_shares(const struct tfr_engine *engine, struct tfr_step_memory *memory) {
    const struct tfr_placement *placement = &engine->placement;
    const int64_t V = engine->config->model.vocab_size, rows_max = memory->run->plan->logits_max;
    const float *from = memory->shares.data;
    float *to = memory->logits.data;
    for (int rank = 0; rank < tfr_placement_n_shares(placement) && memory->has_shares; rank++) {
        int64_t first, n;
        tfr_placement_vocabulary(placement, rank, V, &first, &n);
        for (int64_t row = 0; row < memory->run->input.n_logits; row++) {
            memcpy(to + row * V + first, from + first * rows_max + row * n, (size_t)n * sizeof *to);
        }
    }
    memory->has_shares = false;
}

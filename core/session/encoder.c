/* encoder.c - encoder states of a sequence: their keys and values, computed once: see encoder.h. */
#include "session/encoder.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/status.h"
#include "job/command.h"
#include "step/step.h"

enum tfr_status tfr_encoder_run(struct tfr_engine *engine, int32_t slot, const float *states, const int32_t *kept, int64_t n) {
    const struct tfr_gpt2_features features = {.part = TFR_PART_ENCODER};
    const struct tfr_piece piece = {.slot = slot, .n = n, .features = &features, .embeds = states, .embed_at = kept};
    return tfr_step_run_all(engine, &piece, 1);
}

/* Half of the states is worse than none; what failed is told by the first failure. */
static enum tfr_status give_up(struct tfr_engine *engine, int32_t slot, enum tfr_status status) {
    char why[512];
    snprintf(why, sizeof why, "%s", tfr_failure_text());
    (void)tfr_engine_open_cross(engine, slot, 0);
    return tfr_raise(status, "%s", why);
}

enum tfr_status tfr_encoder_fill(struct tfr_engine *engine, int32_t slot, const struct tfr_encoder_states *encoder) {
    int32_t *kept = tfr_alloc((size_t)encoder->n, sizeof *kept);
    int64_t n = 0;
    if (kept == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t e = 0; e < encoder->n; e++) {
        if (encoder->mask == NULL || encoder->mask[e] != 0) {
            kept[n++] = (int32_t)e;
        }
    }
    enum tfr_status status = tfr_engine_open_cross(engine, slot, n > 0 ? n : 1);
    if (status == TFR_OK) {
        status = tfr_encoder_run(engine, slot, encoder->states, kept, n);
    }
    tfr_free(kept);
    return status == TFR_OK ? TFR_OK : give_up(engine, slot, status);
}

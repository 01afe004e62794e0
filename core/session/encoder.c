/* encoder.c - encoder states of a sequence: their keys and values, computed once and shared by the slots of
 * one prompt. Thread rule: the engine's thread. */
#include "session/encoder.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "step/payload.h"

/* ---- on every rank */

enum tfr_status tfr_cross_open(struct tfr_engine *engine, struct tfr_slot *slot, int64_t capacity) {
    struct tfr_cross *cross = tfr_alloc(1, sizeof *cross);
    enum tfr_status status = tfr_comm_agree(engine->comm, cross == NULL ? TFR_RESOURCE : TFR_OK);
    if (status == TFR_OK) {
        status = tfr_engine_open_fixed_kv(engine, &cross->kv, capacity);
    }
    if (status != TFR_OK) {
        tfr_free(cross);
        return status;
    }
    tfr_cross_release(slot);
    cross->users = 1;
    slot->cross = cross;
    return TFR_OK;
}

void tfr_cross_share(struct tfr_slot *to, const struct tfr_slot *from) {
    if (to->cross == from->cross) {
        return;
    }
    tfr_cross_release(to);
    to->cross = from->cross;
    if (to->cross != NULL) {
        to->cross->users++;
    }
}

void tfr_cross_release(struct tfr_slot *slot) {
    if (slot->cross != NULL && --slot->cross->users == 0) {
        tfr_kvcache_close(&slot->cross->kv);
        tfr_free(slot->cross);
    }
    slot->cross = NULL;
}

/* ---- on rank 0, for all */

enum tfr_status tfr_encoder_open(struct tfr_engine *engine, int32_t slot, int64_t n) {
    struct tfr_payload payload = {.kind = TFR_PAYLOAD_OPEN_CROSS, .slot = slot, .n = n > 0 ? n : 1};
    return tfr_payload_run(engine, &payload, NULL, NULL);
}

/* Rows kept[first ..] of the states, at most max_rows of them. */
static enum tfr_status encode_some(struct tfr_engine *engine, int32_t slot, const float *states,
                                   const int32_t *kept, int64_t first, int64_t rows) {
    const int64_t C = engine->config->model.n_embd;
    const struct tfr_payload shape = {.kind = TFR_PAYLOAD_STEP,
                                      .has_embeds = 1,
                                      .features = {.part = TFR_PART_ENCODER},
                                      .n_entries = 1,
                                      .n_rows = rows,
                                      .n_floats = rows * C};
    struct tfr_payload *payload = tfr_payload_make(&shape);
    if (payload == NULL) {
        return TFR_RESOURCE;
    }
    const struct tfr_payload_parts parts = tfr_payload_parts(payload);
    parts.entries[0] = (struct tfr_payload_entry){.slot = slot, .rows = rows, .past = first};
    for (int64_t r = 0; r < rows; r++) {
        memcpy(parts.floats + r * C, states + kept[first + r] * C, (size_t)C * sizeof(float));
    }
    enum tfr_status status = tfr_payload_run(engine, payload, NULL, NULL);
    tfr_free(payload);
    return status;
}

enum tfr_status tfr_encoder_run(struct tfr_engine *engine, int32_t slot, const float *states,
                                const int32_t *kept, int64_t n) {
    for (int64_t first = 0; first < n; first += engine->max_rows) {
        const int64_t left = n - first;
        TFR_TRY(encode_some(engine, slot, states, kept, first,
                            left < engine->max_rows ? left : engine->max_rows));
    }
    return TFR_OK;
}

enum tfr_status tfr_encoder_fill(struct tfr_engine *engine, int32_t slot,
                                 const struct tfr_encoder_states *encoder) {
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
    enum tfr_status status = tfr_encoder_open(engine, slot, n);
    if (status == TFR_OK) {
        status = tfr_encoder_run(engine, slot, encoder->states, kept, n);
    }
    if (status != TFR_OK) { /* half of the states is worse than none; what failed is told by the first failure */
        char why[512];
        snprintf(why, sizeof why, "%s", tfr_failure_text());
        struct tfr_payload nothing = {.kind = TFR_PAYLOAD_OPEN_CROSS, .slot = slot};
        tfr_payload_run(engine, &nothing, NULL, NULL);
        tfr_raise(status, "%s", why);
    }
    tfr_free(kept);
    return status;
}

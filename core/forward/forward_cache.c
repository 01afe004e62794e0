/* forward_cache.c - keys and values in Hugging Face's layout [B,H,T,D] into and out of the caches, and the
 * encoder's states into theirs. Masked positions are left out on the way in and stay zero on the way out. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "forward/forward.h"
#include "session/encoder.h"
#include "session/prefix.h"

/* Kept positions of sequence b, in order. */
struct kept {
    const int32_t *of;
    int64_t n, width; /* kept ones, all of them */
};

static struct kept kept_keys(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, int64_t b, bool is_cross) {
    if (is_cross) {
        return (struct kept){.of = plan->cross_of + b * request->E, .n = plan->n_cross[b], .width = request->E};
    }
    return (struct kept){.of = plan->key_of + b * request->T, .n = plan->n_keys[b], .width = request->T};
}

/* Where head h and kept position s of sequence b stand in [B,H,width,D]. */
static int64_t outside_at(const struct tfr_hparams *model, const struct kept *kept, int64_t b, int64_t h, int64_t s,
                          int64_t width) {
    return ((b * model->n_head + h) * width + kept->of[s]) * (model->n_embd / model->n_head);
}

/* One of keys or values of sequence b from [B,H,width,D] to a slot's dense [H][n][D]. */
static void gather(const struct tfr_hparams *model, float *dense, const float *all, int64_t b, const struct kept *kept, int64_t n,
                   int64_t width) {
    const int64_t D = model->n_embd / model->n_head;
    for (int64_t h = 0; h < model->n_head; h++) {
        for (int64_t s = 0; s < n; s++) {
            memcpy(dense + (h * n + s) * D, all + outside_at(model, kept, b, h, s, width), (size_t)D * sizeof(float));
        }
    }
}

/* And back, all kept positions. */
static void scatter(const struct tfr_hparams *model, const float *dense, float *all, int64_t b, const struct kept *kept) {
    const int64_t D = model->n_embd / model->n_head;
    for (int64_t h = 0; h < model->n_head; h++) {
        for (int64_t s = 0; s < kept->n; s++) {
            memcpy(all + outside_at(model, kept, b, h, s, kept->width), dense + (h * kept->n + s) * D, (size_t)D * sizeof(float));
        }
    }
}

static enum tfr_status load_block(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, int32_t slot,
                                  int64_t b, int64_t layer, bool is_cross) {
    const struct tfr_hparams *model = request->model;
    const struct kept kept = kept_keys(request, plan, b, is_cross);
    const int64_t n = is_cross ? kept.n : plan->n_past[b];
    const struct tfr_kv_part part = {.slot = slot, .is_cross = is_cross, .layer = layer, .n = n};
    struct tfr_message *message = tfr_engine_load_kv(request->engine, &part);
    if (message == NULL) {
        return TFR_RESOURCE;
    }
    float *keys = tfr_message_body(message);
    float *const *past = request->past + 4 * layer + (is_cross ? 2 : 0);
    const int64_t width = is_cross ? request->E : request->P;
    gather(model, keys, past[0], b, &kept, n, width);
    gather(model, keys + n * model->n_embd, past[1], b, &kept, n, width);
    return tfr_command(request->engine, message);
}

enum tfr_status tfr_caches_load(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                                int64_t b0, int64_t n) {
    for (int64_t b = b0; b < b0 + n; b++) {
        if (request->has_prefix) { /* first: a copied slot shares the other's encoder states, and a prefix has none */
            TFR_TRY(tfr_prefix_copy(request->engine, slot[b - b0]));
        }
        if (request->has_cross) {
            TFR_TRY(tfr_engine_open_cross(request->engine, slot[b - b0], plan->n_cross[b] > 0 ? plan->n_cross[b] : 1));
        }
        for (int64_t layer = 0; layer < request->model->n_layer; layer++) {
            if (request->has_past) {
                TFR_TRY(load_block(request, plan, slot[b - b0], b, layer, false));
            }
            if (request->has_cross_past) {
                TFR_TRY(load_block(request, plan, slot[b - b0], b, layer, true));
            }
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_caches_encode(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                                  int64_t b0, int64_t n) {
    const int64_t row = request->E * request->model->n_embd;
    for (int64_t b = b0; b < b0 + n && request->encoder != NULL; b++) {
        const struct kept kept = kept_keys(request, plan, b, true);
        TFR_TRY(tfr_encoder_run(request->engine, slot[b - b0], request->encoder + b * row, kept.of, kept.n));
    }
    return TFR_OK;
}

static enum tfr_status store_block(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, int32_t slot,
                                   int64_t b, int64_t layer, bool is_cross, float *const *past) {
    const struct kept kept = kept_keys(request, plan, b, is_cross);
    const struct tfr_kv_part part = {.slot = slot, .is_cross = is_cross, .layer = layer, .n = kept.n};
    const float *keys;
    if (kept.n == 0) {
        return TFR_OK; /* nothing to fetch, and maybe no memory yet that it would come to */
    }
    TFR_TRY(tfr_engine_fetch_kv(request->engine, &part, &keys));
    float *const *to = past + 4 * layer + (is_cross ? 2 : 0);
    scatter(request->model, keys, to[0], b, &kept);
    scatter(request->model, keys + kept.n * request->model->n_embd, to[1], b, &kept);
    return TFR_OK;
}

enum tfr_status tfr_caches_store(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                                 int64_t b0, int64_t n, float *const *past) {
    for (int64_t b = b0; b < b0 + n; b++) {
        for (int64_t layer = 0; layer < request->model->n_layer; layer++) {
            TFR_TRY(store_block(request, plan, slot[b - b0], b, layer, false, past));
            if (request->has_cross) {
                TFR_TRY(store_block(request, plan, slot[b - b0], b, layer, true, past));
            }
        }
    }
    return TFR_OK;
}

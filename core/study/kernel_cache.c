/* kernel_cache.c - kv caches of a case, and what else an attention may have: masks, a head mask, room for its weights. */
#include <math.h>

#include <tfrun/kv.h>

#include "base/arena.h"
#include "base/status.h"
#include "study/kernel_data.h"

enum { LINE_FLOATS = 16 };

static bool is_int8(const struct tfr_kernel_data *data) {
    return data->problem.arg[1].dtype == TFR_DTYPE_I8;
}

int64_t tfr_kernel_cache_elements(const struct tfr_kernel_data *data, int b) {
    return data->kv[b].capacity * data->problem.attrs.n_heads * data->problem.attrs.head_dim;
}

static struct tfr_kv view(void *memory, int64_t capacity, int64_t n_elements, int dtype) {
    uint16_t *half = memory;
    switch (dtype) {
    case TFR_DTYPE_I8:
        return (struct tfr_kv){.capacity = capacity, .k8 = memory, .v8 = (int8_t *)memory + n_elements};
    case TFR_DTYPE_F16:
        return (struct tfr_kv){.capacity = capacity, .k_half = half, .v_half = half + n_elements};
    case TFR_DTYPE_BF16:
        return (struct tfr_kv){.capacity = capacity, .k_pair = half, .v_pair = half + n_elements};
    default:
        return (struct tfr_kv){.capacity = capacity, .k = memory, .v = (float *)memory + n_elements};
    }
}

struct tfr_kv tfr_kernel_cache_at(const struct tfr_kernel_data *data, int b, void *memory) {
    const int64_t n = tfr_kernel_cache_elements(data, b), n_scales = data->kv[b].capacity * data->problem.attrs.n_heads;
    struct tfr_kv kv = view(memory, data->kv[b].capacity, n, data->problem.arg[1].dtype);
    if (is_int8(data)) {
        kv.k_scale = (float *)(void *)((uint8_t *)memory + 2 * n);
        kv.v_scale = kv.k_scale + n_scales;
    }
    return kv;
}

struct tfr_kv tfr_kernel_cache_f32(const struct tfr_kernel_data *data, int b, void *memory) {
    return view(memory, data->kv[b].capacity, tfr_kernel_cache_elements(data, b), TFR_DTYPE_F32);
}

void tfr_kernel_cache_hide(const struct tfr_kernel_data *data, const struct tfr_kv *kv, int64_t n_keys) {
    float nan[TFR_CASE_HEADS];
    const int64_t head_dim = data->problem.attrs.head_dim;
    for (int64_t d = 0; d < head_dim; d++) {
        nan[d] = NAN;
    }
    for (int64_t h = 0; h < data->problem.attrs.n_heads; h++) {
        for (int64_t s = n_keys; s < kv->capacity; s++) {
            tfr_kv_put(kv, head_dim, h, s, nan, nan);
        }
    }
}

/* Random up to the last key of the sequence (attention), NaN behind it, or everywhere (kv_append). */
static enum tfr_status open_cache(struct tfr_kernel_data *data, const struct tfr_kernel_case *of, int b, int64_t n_keys,
                                  uint64_t *state) {
    struct tfr_kv *kv = &data->kv[b];
    const bool is_read = of->op == TFR_OP_ATTENTION;
    kv->capacity = (n_keys + TFR_CASE_SPARE_KEYS) / TFR_KV_PANEL * TFR_KV_PANEL;
    const int64_t n = tfr_kernel_cache_elements(data, b), n_scales = kv->capacity * of->heads;
    const int64_t size = is_int8(data) ? 1 : of->kv == TFR_DTYPE_F32 ? 4 : 2;
    data->kv_bytes[b] = (size_t)(2 * n * size + (is_int8(data) ? 2 * n_scales * (int64_t)sizeof(float) : 0));
    data->kv_memory[b] = tfr_kernel_data_take(data, data->kv_bytes[b]);
    float *vectors = tfr_alloc((size_t)(2 * of->dim), sizeof *vectors);
    if (data->kv_memory[b] == NULL || vectors == NULL) {
        tfr_free(vectors);
        return TFR_RESOURCE;
    }
    *kv = tfr_kernel_cache_at(data, b, data->kv_memory[b]);
    for (int64_t h = 0; h < of->heads && is_read; h++) {
        for (int64_t s = 0; s < n_keys; s++) {
            tfr_kernel_fill(state, TFR_DTYPE_F32, vectors, 2 * of->dim, of->spread, of->offset);
            tfr_kv_put(kv, of->dim, h, s, vectors, vectors + of->dim);
        }
    }
    tfr_kernel_cache_hide(data, kv, is_read ? n_keys : 0);
    tfr_free(vectors);
    return TFR_OK;
}

/* Additive, a fifth of the keys hidden, and one row that sees none. */
static float *make_mask(struct tfr_kernel_data *data, const struct tfr_kernel_case *of, int64_t n_rows, int64_t n_keys,
                        uint64_t *state) {
    const int64_t n = of->mask * n_rows * n_keys;
    float *mask = tfr_kernel_data_random(data, state, TFR_DTYPE_F32, n + 1, 2, 0);
    for (int64_t i = 0; i < n && mask != NULL; i++) {
        const bool is_blind = i / n_keys == n_rows / 2;
        mask[i] = mask[i] < -1.2f || is_blind ? TFR_MASK_INVISIBLE : mask[i];
    }
    return mask;
}

static enum tfr_status add_sequence(struct tfr_kernel_data *data, const struct tfr_kernel_case *of, int b, int64_t row0,
                                    uint64_t *state) {
    const int64_t n_rows = of->n_rows[b], past = of->past[b], n_keys = tfr_kernel_case_keys(of, b);
    const bool is_encoder = of->op == TFR_OP_KV_APPEND && of->cross > 0;
    TFR_TRY(open_cache(data, of, b, is_encoder ? past + n_rows : n_keys, state));
    data->mask[b] = make_mask(data, of, n_rows, n_keys, state);
    if (data->mask[b] == NULL) {
        return TFR_RESOURCE;
    }
    const struct tfr_attention_extra extra = {
        .mask = data->mask[b],
        .mask_heads = of->mask,
        .head_mask = data->head_mask,
        .weights_offset = data->weights_floats,
    };
    data->weights_floats += of->weights ? of->heads * n_rows * n_keys : 0;
    data->seq[b] = (struct tfr_batch_seq){.row0 = row0,
                                          .n_rows = n_rows,
                                          .past = past,
                                          .kv = &data->kv[b],
                                          .query_only = of->query_only,
                                          .n_cross = of->cross,
                                          .cross_kv = &data->kv[b],
                                          .self = extra,
                                          .cross = extra};
    return TFR_OK;
}

enum tfr_status tfr_kernel_caches_open(struct tfr_kernel_data *data, const struct tfr_kernel_case *of, uint64_t *state) {
    struct tfr_attrs *attrs = &data->problem.attrs;
    data->problem.arg[1] = (struct tfr_arg_desc){.dtype = of->kv,
                                                 .rank = 2,
                                                 .dim = {of->heads, of->dim},
                                                 .flags = of->op == TFR_OP_KV_APPEND ? TFR_ARG_APPEND : TFR_ARG_READ};
    attrs->cross = of->cross > 0;
    attrs->has_mask = of->mask > 0;
    attrs->has_head_mask = of->head_mask;
    attrs->wants_weights = of->weights;
    data->head_mask = tfr_kernel_data_random(data, state, TFR_DTYPE_F32, of->heads, 1, 0);
    if (data->head_mask == NULL) {
        return TFR_RESOURCE;
    }
    int64_t row0 = 0;
    for (int b = 0; b < of->n_seqs; b++) {
        TFR_TRY(add_sequence(data, of, b, row0, state));
        row0 += of->n_rows[b];
    }
    data->weights_floats = (data->weights_floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
    data->batch = tfr_kernel_batch(data->seq, of->n_seqs);
    return TFR_OK;
}

struct tfr_batch tfr_kernel_batch(const struct tfr_batch_seq *seq, int64_t n) {
    return (struct tfr_batch){.struct_size = sizeof(struct tfr_batch),
                              .seq_stride = sizeof *seq,
                              .kv_stride = sizeof(struct tfr_kv),
                              .n_seqs = n,
                              .seq = seq};
}

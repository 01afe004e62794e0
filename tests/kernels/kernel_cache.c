/* kernel_cache.c - see kernel_cache.h. Keys that no query may see are NaN: a kernel that reads one is found out. */
#include "kernel_cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/kv.h>

enum { LINE_FLOATS = 16 };

static bool is_int8(const struct kernel_data *data) {
    return data->problem.arg[1].dtype == TFR_DTYPE_I8;
}

static int64_t elements(const struct kernel_data *data, int b) {
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

struct tfr_kv cache_at(const struct kernel_data *data, int b, void *memory) {
    const int64_t n = elements(data, b), n_scales = data->kv[b].capacity * data->problem.attrs.n_heads;
    struct tfr_kv kv = view(memory, data->kv[b].capacity, n, data->problem.arg[1].dtype);
    if (is_int8(data)) {
        kv.k_scale = (float *)(void *)((uint8_t *)memory + 2 * n);
        kv.v_scale = kv.k_scale + n_scales;
    }
    return kv;
}

static void hide_from(const struct kernel_data *data, const struct tfr_kv *kv, int64_t n_keys) {
    const int64_t head_dim = data->problem.attrs.head_dim;
    float *nan = must_alloc((size_t)head_dim * sizeof *nan);
    for (int64_t d = 0; d < head_dim; d++) {
        nan[d] = NAN;
    }
    for (int64_t h = 0; h < data->problem.attrs.n_heads; h++) {
        for (int64_t s = n_keys; s < kv->capacity; s++) {
            tfr_kv_put(kv, head_dim, h, s, nan, nan);
        }
    }
    free(nan);
}

/* Random up to the last key of the sequence (attention), NaN behind it, or everywhere (kv_append). */
static void fill_cache(const struct kernel_case *kase, struct kernel_data *data, int b, int64_t n_keys, uint64_t *state) {
    struct tfr_kv *kv = &data->kv[b];
    kv->capacity = (n_keys + 40) / TFR_KV_PANEL * TFR_KV_PANEL;
    const int64_t n = elements(data, b), n_scales = kv->capacity * kase->heads;
    const int64_t size = is_int8(data) ? 1 : kase->kv == TFR_DTYPE_F32 ? 4 : 2;
    data->kv_bytes[b] = (size_t)(2 * n * size + (is_int8(data) ? 2 * n_scales * (int64_t)sizeof(float) : 0));
    data->kv_memory[b] = must_alloc(data->kv_bytes[b]);
    *kv = cache_at(data, b, data->kv_memory[b]);
    for (int64_t h = 0; h < kase->heads && kase->op == TFR_OP_ATTENTION; h++) {
        for (int64_t s = 0; s < n_keys; s++) {
            float *vectors = random_floats(state, TFR_DTYPE_F32, 2 * kase->dim, kase->spread, 0);
            tfr_kv_put(kv, kase->dim, h, s, vectors, vectors + kase->dim);
            free(vectors);
        }
    }
    hide_from(data, kv, kase->op == TFR_OP_ATTENTION ? n_keys : 0);
}

/* Additive, a fifth of the keys hidden, and one row that sees none. */
static float *make_mask(const struct kernel_case *kase, int64_t n_rows, int64_t n_keys, uint64_t *state) {
    const int64_t n = kase->mask * n_rows * n_keys;
    float *mask = random_floats(state, TFR_DTYPE_F32, n + 1, 2, 0);
    for (int64_t i = 0; i < n; i++) {
        const bool is_blind = i / n_keys == n_rows / 2;
        mask[i] = mask[i] < -1.2f || is_blind ? TFR_MASK_INVISIBLE : mask[i];
    }
    return mask;
}

static void add_sequence(const struct kernel_case *kase, struct kernel_data *data, int b, int64_t row0, uint64_t *state) {
    const int64_t n_rows = kase->n_rows[b], past = kase->past[b];
    const int64_t n_keys = kase->cross > 0 ? kase->cross : past + (kase->query_only ? 0 : n_rows);
    const bool is_encoder = kase->op == TFR_OP_KV_APPEND && kase->cross > 0;
    fill_cache(kase, data, b, is_encoder ? past + n_rows : n_keys, state);
    const struct tfr_attention_extra extra = {
        .mask = data->mask[b] = make_mask(kase, n_rows, n_keys, state),
        .mask_heads = kase->mask,
        .head_mask = data->head_mask,
        .weights_offset = data->weights_floats,
    };
    data->weights_floats += kase->weights ? kase->heads * n_rows * n_keys : 0;
    data->seq[b] = (struct tfr_batch_seq){.row0 = row0,
                                          .n_rows = n_rows,
                                          .past = past,
                                          .kv = &data->kv[b],
                                          .query_only = kase->query_only,
                                          .n_cross = kase->cross,
                                          .cross_kv = &data->kv[b],
                                          .self = extra,
                                          .cross = extra};
}

void cache_build(const struct kernel_case *kase, struct kernel_data *data, uint64_t *state) {
    struct tfr_attrs *attrs = &data->problem.attrs;
    data->problem.arg[1] = (struct tfr_arg_desc){.dtype = kase->kv,
                                                 .rank = 2,
                                                 .dim = {kase->heads, kase->dim},
                                                 .flags = kase->op == TFR_OP_KV_APPEND ? TFR_ARG_APPEND : TFR_ARG_READ};
    attrs->cross = kase->cross > 0;
    attrs->has_mask = kase->mask > 0;
    attrs->has_head_mask = kase->head_mask;
    attrs->wants_weights = kase->weights;
    data->head_mask = random_floats(state, TFR_DTYPE_F32, kase->heads, 1, 0);
    int64_t row0 = 0;
    for (int b = 0; b < kase->n_seqs; b++) {
        add_sequence(kase, data, b, row0, state);
        row0 += kase->n_rows[b];
    }
    data->weights_floats = (data->weights_floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
    data->batch = batch_of(data->seq, kase->n_seqs);
}

struct tfr_batch batch_of(const struct tfr_batch_seq *seq, int64_t n) {
    return (struct tfr_batch){.struct_size = sizeof(struct tfr_batch),
                              .seq_stride = sizeof *seq,
                              .kv_stride = sizeof(struct tfr_kv),
                              .n_seqs = n,
                              .seq = seq};
}

void cache_free(struct kernel_data *data) {
    for (int b = 0; b < data->batch.n_seqs; b++) {
        free(data->kv_memory[b]);
        free(data->mask[b]);
    }
    free(data->head_mask);
}

struct tfr_kv cache_copy(const struct kernel_data *data, int b, int64_t n_keys, void **memory) {
    *memory = must_alloc(data->kv_bytes[b]);
    memcpy(*memory, data->kv_memory[b], data->kv_bytes[b]);
    const struct tfr_kv kv = cache_at(data, b, *memory);
    hide_from(data, &kv, n_keys);
    return kv;
}

struct tfr_kv cache_as_f32(const struct kernel_data *data, int b, void **memory) {
    const int64_t head_dim = data->problem.attrs.head_dim, n = elements(data, b);
    const struct tfr_kv *from = &data->kv[b];
    *memory = must_alloc((size_t)(2 * n) * sizeof(float));
    const struct tfr_kv to = view(*memory, from->capacity, n, TFR_DTYPE_F32);
    for (int64_t h = 0; h < data->problem.attrs.n_heads; h++) {
        for (int64_t s = 0; s < from->capacity; s++) {
            for (int64_t d = 0; d < head_dim; d++) {
                to.k[tfr_kv_k_index(&to, head_dim, h, s, d)] = tfr_kv_key(from, head_dim, h, s, d);
                to.v[tfr_kv_v_index(&to, head_dim, h, s) + d] = tfr_kv_value(from, head_dim, h, s, d);
            }
        }
    }
    return to;
}

/* kv_append_kernel.c - new keys and values into the caches, in each of their types. Compiled once per ISA; a number is rounded as
 * tfrun/kv.h says, so the bits are those of ref.
 */
#include "pointwise/pointwise.h"

#include <string.h>

#include <tfrun/kv.h>

#include "common/dtype.h"
#include "common/simd_half.h"

/* One vector as int8, its elements `step` apart; its scale. 16 at a time, so that the division is done on vectors. */
V_INLINE float quantise_row(const float *x, int64_t head_dim, int8_t *q, const int64_t step) {
    const float scale = tfr_kv_scale(x, head_dim);
    int64_t d = 0;
    for (; d + 16 <= head_dim; d += 16) {
        int8_t some[16];
        for (int i = 0; i < 16; i++) {
            some[i] = tfr_kv_quantise(x[d + i], scale);
        }
        for (int i = 0; i < 16; i++) {
            q[(d + i) * step] = some[i];
        }
    }
    for (; d < head_dim; d++) {
        q[d * step] = tfr_kv_quantise(x[d], scale);
    }
    return scale;
}

/* As append_panel, into an int8 cache. */
static void append_panel_int8(const float *k_row, int64_t pitch, int64_t width, const struct tfr_kv *kv, int64_t head_dim,
                              int64_t h, int64_t slot, int64_t n) {
    for (int64_t t = 0; t < n; t++, k_row += pitch) {
        const int64_t s = slot + t, at = tfr_kv_scale_index(kv, h, s);
        int8_t *k = kv->k8 + tfr_kv_k_index(kv, head_dim, h, s, 0), *v = kv->v8 + tfr_kv_v_index(kv, head_dim, h, s);
        kv->k_scale[at] = quantise_row(k_row, head_dim, k, TFR_KV_PANEL);
        kv->v_scale[at] = quantise_row(k_row + width, head_dim, v, 1);
    }
}

/* Into a cache of f16. */
static void append_panel_half(const float *k_row, int64_t pitch, int64_t width, const struct tfr_kv *kv, int64_t head_dim,
                              int64_t h, int64_t slot, int64_t n) {
    for (int64_t t = 0; t < n; t++, k_row += pitch) {
        uint16_t *k = kv->k_half + tfr_kv_k_index(kv, head_dim, h, slot + t, 0);
        uint16_t *v = kv->v_half + tfr_kv_v_index(kv, head_dim, h, slot + t), some[VW];
        int64_t d = 0;
        for (; d + VW <= head_dim; d += VW) {
            v_store_f16(v + d, v_load(k_row + width + d));
            v_store_f16(some, v_load(k_row + d));
            for (int i = 0; i < VW; i++) {
                k[(d + i) * TFR_KV_PANEL] = some[i];
            }
        }
        for (; d < head_dim; d++) {
            k[d * TFR_KV_PANEL] = tfr_half_to_f16(k_row[d]);
            v[d] = tfr_half_to_f16(k_row[width + d]);
        }
    }
}

/* 16 numbers as bf16, side by side so that they are rounded on vectors. */
V_INLINE void round_16(const float *restrict x, uint16_t *restrict half) {
    for (int i = 0; i < 16; i++) {
        half[i] = tfr_half_to_bf16(x[i]);
    }
}

/* A key of bf16: its pairs lie a panel's 16 keys apart. */
V_INLINE void put_key_pairs(const float *x, int64_t head_dim, uint16_t *k, int64_t key) {
    int64_t d = 0;
    for (; d + 16 <= head_dim; d += 16) {
        uint16_t half[16];
        round_16(x + d, half);
        for (int i = 0; i < 16; i += 2) {
            memcpy(k + (d + i) * TFR_KV_PANEL + 2 * key, half + i, 2 * sizeof *half);
        }
    }
    for (; d + 2 <= head_dim; d += 2) {
        k[d * TFR_KV_PANEL + 2 * key] = tfr_half_to_bf16(x[d]);
        k[d * TFR_KV_PANEL + 2 * key + 1] = tfr_half_to_bf16(x[d + 1]);
    }
    if (d < head_dim) {
        k[d * TFR_KV_PANEL + key] = tfr_half_to_bf16(x[d]);
    }
}

/* Two neighbouring values at once. */
V_INLINE void put_value_pairs(const float *first, const float *second, int64_t head_dim, uint16_t *v) {
    int64_t d = 0;
    for (; d + 16 <= head_dim; d += 16) {
        uint16_t lower[16], upper[16], both[32];
        round_16(first + d, lower);
        round_16(second + d, upper);
        for (int i = 0; i < 16; i++) {
            both[2 * i] = lower[i];
            both[2 * i + 1] = upper[i];
        }
        memcpy(v + 2 * d, both, sizeof both);
    }
    for (; d < head_dim; d++) {
        v[2 * d] = tfr_half_to_bf16(first[d]);
        v[2 * d + 1] = tfr_half_to_bf16(second[d]);
    }
}

/* Into a cache of bf16. */
static void append_panel_pair(const float *k_row, int64_t pitch, int64_t width, const struct tfr_kv *kv, int64_t head_dim,
                              int64_t h, int64_t slot, int64_t n) {
    uint16_t *k = kv->k_pair + tfr_kv_k_pair_index(kv, head_dim, h, slot / TFR_KV_PANEL * TFR_KV_PANEL, 0);
    for (int64_t t = 0; t < n; t++) {
        put_key_pairs(k_row + t * pitch, head_dim, k, (slot + t) % TFR_KV_PANEL);
    }
    const float *v_row = k_row + width;
    for (int64_t t = 0; t < n; t++) {
        uint16_t *v = kv->v_pair + tfr_kv_v_pair_index(kv, head_dim, h, slot + t, 0);
        if ((slot + t) % 2 == 0 && t + 1 < n) {
            put_value_pairs(v_row + t * pitch, v_row + (t + 1) * pitch, head_dim, v);
            t++;
            continue;
        }
        for (int64_t d = 0; d < head_dim; d++) {
            v[2 * d] = tfr_half_to_bf16(v_row[t * pitch + d]);
        }
    }
}

/* Into a cache of f32. */
static void append_panel_f32(const float *k_row, int64_t pitch, int64_t width, const struct tfr_kv *kv, int64_t head_dim, int64_t h,
                             int64_t slot, int64_t n) {
    float *k = kv->k + tfr_kv_k_index(kv, head_dim, h, slot, 0), *v = kv->v + tfr_kv_v_index(kv, head_dim, h, slot);
    for (int64_t d = 0; d < head_dim; d++) {
        for (int64_t t = 0; t < n; t++) {
            k[d * TFR_KV_PANEL + t] = k_row[t * pitch + d];
        }
    }
    for (int64_t t = 0; t < n; t++) {
        memcpy(v + t * head_dim, k_row + t * pitch + width, (size_t)head_dim * sizeof(float));
    }
}

/* Rows [t0, t1) of one head, all in one panel: K is transposed into it, V rows are copied. The members of the cache are asked in
 * the order of their age (struct tfr_kv). */
static void append_panel(const float *qkv, int64_t pitch, const struct tfr_batch_seq *seq, const struct tfr_kv *kv, int64_t n_heads,
                         int64_t head_dim, int64_t h, int64_t t0, int64_t t1) {
    const int64_t width = n_heads * head_dim, slot = seq->past + t0;
    const float *k_row = qkv + (seq->row0 + t0) * pitch + pitch - 2 * width + h * head_dim;
    if (kv->k != NULL) {
        append_panel_f32(k_row, pitch, width, kv, head_dim, h, slot, t1 - t0);
    } else if (kv->k8 != NULL) {
        append_panel_int8(k_row, pitch, width, kv, head_dim, h, slot, t1 - t0);
    } else if (kv->k_pair != NULL) {
        append_panel_pair(k_row, pitch, width, kv, head_dim, h, slot, t1 - t0);
    } else {
        append_panel_half(k_row, pitch, width, kv, head_dim, h, slot, t1 - t0);
    }
}

static int64_t n_panels(const struct tfr_batch_seq *seq) {
    if (seq->query_only) {
        return 0;
    }
    return (seq->past + seq->n_rows + TFR_KV_PANEL - 1) / TFR_KV_PANEL - seq->past / TFR_KV_PANEL;
}

/* The units of work are (sequence, head, panel), in this order; each thread takes a run of them. */
int32_t V_NAME(tfr_pointwise_kv_append)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                        const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    const struct tfr_attrs *attrs = &problem->attrs;
    int64_t total = 0, before = 0, begin, end;
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        total += attrs->n_heads * n_panels(tfr_batch_at(args->batch, b));
    }
    split_evenly(total, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(args->batch, b);
        const int64_t panels = n_panels(seq), units = attrs->n_heads * panels;
        const int64_t first = begin > before ? begin - before : 0;
        const int64_t last = end - before < units ? end - before : units;
        for (int64_t u = first; u < last; u++) {
            const int64_t slot0 = (seq->past / TFR_KV_PANEL + u % panels) * TFR_KV_PANEL - seq->past;
            const int64_t t0 = slot0 > 0 ? slot0 : 0;
            const int64_t t1 = slot0 + TFR_KV_PANEL < seq->n_rows ? slot0 + TFR_KV_PANEL : seq->n_rows;
            append_panel(args->arg[0], problem->arg[0].dim[1], seq, tfr_seq_kv(args->batch, seq, attrs, 0), attrs->n_heads,
                         attrs->head_dim, u / panels, t0, t1);
        }
        before += units;
    }
    return TFR_OK;
}

/* kv.h - where keys and values lie in a cache, and the one definition of caches of 16 and 8 bits: every writer and reader of
 * a cache (kernels, loads, stores) takes its bits from here.
 *
 * In a cache of bf16 or f16 each number is rounded to the nearest, ties to even; a NaN stays one, what is too large for f16
 * becomes infinite.
 *
 * An int8 vector is one head's key or value of one token: whole numbers q in [-127, 127] and one scale. What it
 * stands for is q * scale. A scale has 17 significant bits, so with the 7 of q the product is exact in f32: reading
 * never rounds, and quantising what was read gives the same q and scale again.
 */
#ifndef TFRUN_KV_H
#define TFRUN_KV_H

#include <math.h>
#include <string.h>

#include <tfrun/half.h>
#include <tfrun/plugin.h>

#define TFR_KV_LARGEST 127
#define TFR_KV_ROUND   12582912.0f /* 1.5 * 2^23: adding it rounds to the nearest integer, ties to even */

/* Element of K: head h, key s, element d. */
static inline int64_t tfr_kv_k_index(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s, int64_t d) {
    const int64_t panel = h * (kv->capacity / TFR_KV_PANEL) + s / TFR_KV_PANEL;
    return (panel * head_dim + d) * TFR_KV_PANEL + s % TFR_KV_PANEL;
}

/* The same in a cache of bf16, and of V. */
static inline int64_t tfr_kv_k_pair_index(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s, int64_t d) {
    const int64_t panel = (h * (kv->capacity / TFR_KV_PANEL) + s / TFR_KV_PANEL) * head_dim * TFR_KV_PANEL, key = s % TFR_KV_PANEL;
    return panel + (d < head_dim / 2 * 2 ? (d / 2 * TFR_KV_PANEL + key) * 2 + d % 2 : d * TFR_KV_PANEL + key);
}

static inline int64_t tfr_kv_v_pair_index(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s, int64_t d) {
    return ((h * kv->capacity + s) / 2 * head_dim + d) * 2 + s % 2;
}

/* First element of a row of V. */
static inline int64_t tfr_kv_v_index(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s) {
    return (h * kv->capacity + s) * head_dim;
}

/* Scale of key s or of value s of head h. */
static inline int64_t tfr_kv_scale_index(const struct tfr_kv *kv, int64_t h, int64_t s) {
    return h * kv->capacity + s;
}

/* largest |x| / 127, cut to 17 significant bits (towards zero: 127 * scale never overflows). NaN where an x is NaN or
 * infinite: the whole vector then reads as NaN. 0 where all |x| are below 2^-100, so that no scale is subnormal. */
static inline float tfr_kv_scale(const float *x, int64_t n) {
    int32_t largest_bits = 0; /* magnitudes compare like their bits; NaN is above infinity */
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffff;
        largest_bits = bits > largest_bits ? bits : largest_bits;
    }
    float largest;
    memcpy(&largest, &largest_bits, sizeof largest);
    if (!isfinite(largest)) {
        return NAN;
    }
    float scale = largest < 0x1p-100f ? 0 : largest / TFR_KV_LARGEST;
    int32_t scale_bits;
    memcpy(&scale_bits, &scale, sizeof scale_bits);
    scale_bits &= ~0x7f;
    memcpy(&scale, &scale_bits, sizeof scale);
    return scale;
}

/* x / scale, rounded to the nearest integer, ties to even; 0 where the scale is 0 or NaN. */
static inline int8_t tfr_kv_quantise(float x, float scale) {
    const float shifted = (scale > 0 ? x / scale : 0) + TFR_KV_ROUND;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (int8_t)(uint8_t)(bits & 0xff);
}

static inline float tfr_kv_dequantise(int8_t q, float scale) {
    return (float)q * scale;
}

/* Any element of a cache of any type, as attention sees it. Here and below members are asked in the order of their age: in a host
 * of ABI 2.2 or older what stands at the place of the newer ones is the next layer's cache. */
static inline float tfr_kv_key(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s, int64_t d) {
    const int64_t at = tfr_kv_k_index(kv, head_dim, h, s, d);
    if (kv->k != NULL) {
        return kv->k[at];
    }
    if (kv->k8 != NULL) {
        return tfr_kv_dequantise(kv->k8[at], kv->k_scale[tfr_kv_scale_index(kv, h, s)]);
    }
    return kv->k_pair != NULL ? tfr_half_from_bf16(kv->k_pair[tfr_kv_k_pair_index(kv, head_dim, h, s, d)])
                              : tfr_half_from_f16(kv->k_half[at]);
}

static inline float tfr_kv_value(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s, int64_t d) {
    const int64_t at = tfr_kv_v_index(kv, head_dim, h, s) + d;
    if (kv->v != NULL) {
        return kv->v[at];
    }
    if (kv->v8 != NULL) {
        return tfr_kv_dequantise(kv->v8[at], kv->v_scale[tfr_kv_scale_index(kv, h, s)]);
    }
    return kv->v_pair != NULL ? tfr_half_from_bf16(kv->v_pair[tfr_kv_v_pair_index(kv, head_dim, h, s, d)])
                              : tfr_half_from_f16(kv->v_half[at]);
}

static inline void tfr_kv_put_16(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s, const float *k, const float *v) {
    const int64_t v_at = tfr_kv_v_index(kv, head_dim, h, s);
    for (int64_t d = 0; d < head_dim; d++) {
        if (kv->k_pair != NULL) {
            kv->k_pair[tfr_kv_k_pair_index(kv, head_dim, h, s, d)] = tfr_half_to_bf16(k[d]);
            kv->v_pair[tfr_kv_v_pair_index(kv, head_dim, h, s, d)] = tfr_half_to_bf16(v[d]);
        } else {
            kv->k_half[tfr_kv_k_index(kv, head_dim, h, s, d)] = tfr_half_to_f16(k[d]);
            kv->v_half[v_at + d] = tfr_half_to_f16(v[d]);
        }
    }
}

/* Key s and value s of head h from rows of head_dim floats. */
static inline void tfr_kv_put(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s, const float *k, const float *v) {
    const int64_t k_at = tfr_kv_k_index(kv, head_dim, h, s, 0), v_at = tfr_kv_v_index(kv, head_dim, h, s);
    if (kv->k != NULL) {
        for (int64_t d = 0; d < head_dim; d++) {
            kv->k[k_at + d * TFR_KV_PANEL] = k[d];
            kv->v[v_at + d] = v[d];
        }
        return;
    }
    if (kv->k8 == NULL) {
        tfr_kv_put_16(kv, head_dim, h, s, k, v);
        return;
    }
    const int64_t at = tfr_kv_scale_index(kv, h, s);
    const float k_scale = kv->k_scale[at] = tfr_kv_scale(k, head_dim);
    const float v_scale = kv->v_scale[at] = tfr_kv_scale(v, head_dim);
    for (int64_t d = 0; d < head_dim; d++) {
        kv->k8[k_at + d * TFR_KV_PANEL] = tfr_kv_quantise(k[d], k_scale);
        kv->v8[v_at + d] = tfr_kv_quantise(v[d], v_scale);
    }
}

#endif

/* quant.h - the one definition of coarse weights: how f32 becomes whole numbers of 8 or 4 bits with scales, and what those
 * stand for. Whoever packs, stores or reads coarse weights (kernels, `tfrun quantize`, the loader) takes the bits from here.
 *
 *   I8_CHANNEL          w = q * scale             q in [-127, 127], one f32 scale for each output channel
 *   I4_GROUP, _GROUP64  w = (q - 8) * scale       q in [0, 15], one f16 scale for each 32 (64) inputs of each output channel
 *   I4_ZERO, _ZERO64    w = (q - zero) * scale    the same with a zero point in [0, 15] beside the scale
 *
 * Groups run along K, the inputs; the last one may be shorter. Scales have few enough bits (17 of an f32, 11 of an f16) that
 * every product is exact in f32: reading never rounds, and what was read gives the same numbers when it is quantised again (of
 * types with zero points only mostly: a group that doesn't use all 16 numbers may get a smaller scale the second time). Nothing
 * here depends on contraction or on the order in which channels are taken.
 *
 * What can't be held: a NaN or an infinity (and, in 4 bits, a magnitude above about 8 * 65504) makes the scale NaN, so that the
 * channel or the group reads as NaN instead of a number that is wrong. Where all magnitudes are below 2^-100, or a scale
 * of f16 would round to zero, the scale is 0 and everything reads as 0.
 */
#ifndef TFRUN_QUANT_H
#define TFRUN_QUANT_H

#include <math.h>
#include <string.h>

#include <tfrun/half.h>
#include <tfrun/types.h>

#define TFR_QUANT_I8_LARGEST 127
#define TFR_QUANT_I4_MIDDLE  8 /* the q that stands for 0 where there is no zero point */
#define TFR_QUANT_I4_LARGEST 15
#define TFR_QUANT_ROUND      12582912.0f /* 1.5 * 2^23: adding it rounds to the nearest whole number, ties to even */
#define TFR_QUANT_MOST_GROUP 64

static inline uint32_t tfr_quant_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float tfr_quant_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Bits of |x|: magnitudes compare like these, and NaN is above infinity. */
static inline uint32_t tfr_quant_magnitude(float x) {
    return tfr_quant_bits(x) & 0x7fffffff;
}

/* The nearest whole number, ties to even, of |x| < 2^22. */
static inline int32_t tfr_quant_round(float x) {
    const int32_t at_zero = 0x4b400000; /* the bits of TFR_QUANT_ROUND */
    return (int32_t)tfr_quant_bits(x + TFR_QUANT_ROUND) - at_zero;
}

/* A scale as it is stored: every NaN is the same one. */
static inline uint16_t tfr_quant_to_f16(float x) {
    const uint16_t half = tfr_half_to_f16(x);
    return (half & 0x7fff) > 0x7c00 ? (uint16_t)((half & 0x8000) | 0x7e00) : half;
}

static inline float tfr_quant_from_f16(uint16_t half) {
    return tfr_half_from_f16(half);
}

/* 8 bits: the scale of a channel, from the largest tfr_quant_magnitude of its weights: largest / 127, cut to 17 significant bits
 * (towards zero, so 127 * scale never overflows). */
static inline float tfr_quant_i8_scale(uint32_t largest) {
    if (largest >= 0x7f800000) {
        return NAN;
    }
    const float magnitude = tfr_quant_float(largest);
    const float scale = magnitude < 0x1p-100f ? 0 : magnitude / TFR_QUANT_I8_LARGEST;
    return tfr_quant_float(tfr_quant_bits(scale) & ~0x7fu);
}

/* |w - q * scale| <= scale * (1/2 + 2^-9): half a step of rounding; the cut scale, at most 2^-16 too small, leaves
 * 127 * 2^-16 steps beyond q = 127. */
static inline int8_t tfr_quant_i8(float w, float scale) {
    return (int8_t)tfr_quant_round(scale > 0 ? w / scale : 0);
}

static inline float tfr_quant_i8_value(int8_t q, float scale) {
    return (float)q * scale;
}

/* Rows of x that enter a product as whole numbers: n floats with one scale, as a channel has. The factor is rounded, the rest is
 * one fused multiply-add, on every build: q is the nearest whole number of x / scale but for 127 * 2^-24 of a step. NaN and
 * infinities make the scale NaN, and then q means nothing (but is written). */
static inline float tfr_quant_row_scale(const float *x, int64_t n) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t magnitude = tfr_quant_magnitude(x[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return tfr_quant_i8_scale(largest);
}

static inline void tfr_quant_row(int8_t *__restrict q, const float *__restrict x, int64_t n, float scale) {
    const float factor = scale > 0 ? 1 / scale : 0;
    for (int64_t i = 0; i < n; i++) {
        q[i] = (int8_t)(uint8_t)(tfr_quant_bits(fmaf(x[i], factor, TFR_QUANT_ROUND)) & 255);
    }
}

/* Beside weights of 4 bits a row has a scale for each so many of K: several groups, so that what a group costs is one conversion
 * and one fused multiply-add. The last span may be shorter. */
#define TFR_QUANT_SPAN 128

/* Groups of 4 bits. */
struct tfr_quant_i4 {
    uint16_t scale; /* bits of an f16; may be negative */
    uint8_t zero;   /* 8 where the type has no zero point */
};

/* Elements along K that share a scale: 32 or 64, -1 for all of a channel, 0 for types without scales. */
static inline int64_t tfr_quant_group(enum tfr_dtype dtype) {
    switch (dtype) {
#define TFR_QUANT_GROUP(name, bits, group, scale, zero, file_name, config_name)                                                    \
    case TFR_DTYPE_##name:                                                                                                         \
        return group;
        TFR_DTYPE_LIST(TFR_QUANT_GROUP)
#undef TFR_QUANT_GROUP
    default:
        return 0;
    }
}

static inline bool tfr_quant_has_zero(enum tfr_dtype dtype) {
    return dtype == TFR_DTYPE_I4_ZERO || dtype == TFR_DTYPE_I4_ZERO64;
}

static inline uint8_t tfr_quant_i4_q(float w, float scale, int32_t zero) {
    const int32_t q = tfr_quant_round(scale != 0 ? w / scale : 0) + zero;
    return (uint8_t)(q < 0 ? 0 : q > TFR_QUANT_I4_LARGEST ? TFR_QUANT_I4_LARGEST : q);
}

static inline float tfr_quant_i4_value(uint8_t q, struct tfr_quant_i4 group) {
    return (float)((int32_t)q - group.zero) * tfr_quant_from_f16(group.scale);
}

/* Sum of the squared errors, in the order of the weights. An error is rounded to f32 once, its square is exact in double. */
static inline double tfr_quant_i4_error(const float *w, int64_t n, struct tfr_quant_i4 group) {
    const float scale = tfr_quant_from_f16(group.scale);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const float error = w[i] - (float)((int32_t)tfr_quant_i4_q(w[i], scale, group.zero) - group.zero) * scale;
        sum += (double)error * error;
    }
    return sum;
}

/* The scale and the zero point of n <= 64 weights of one channel. Candidates, each with its scale rounded to f16 before any q is
 * chosen, and of equal errors the first:
 *   the weight of largest magnitude (of equal ones the first) as q = 0, that is as -8;
 *   that magnitude as 7 on either side;
 *   where zero points are allowed, the range from the smallest to the largest weight, 0 included, as 0..15.
 * The first reaches one step further on one side and can be a whole step off at the far end of the other; the others are
 * half a step off at most, but for 15 * 2^-11 steps that the rounded scale leaves at the ends (and 15 * 2^-25 where a
 * scale is below 2^-14, where f16 has no more than multiples of 2^-24). So the error of a group is never above that of any of them.
 */
static inline struct tfr_quant_i4 tfr_quant_i4_choose(const float *w, int64_t n, bool has_zero) {
    uint32_t largest = 0;
    float extreme = 0, low = 0, high = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t magnitude = tfr_quant_magnitude(w[i]);
        extreme = magnitude > largest ? w[i] : extreme;
        largest = magnitude > largest ? magnitude : largest;
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    struct tfr_quant_i4 best = {.scale = tfr_quant_to_f16(extreme / -8), .zero = TFR_QUANT_I4_MIDDLE};
    const float scale = tfr_quant_from_f16(best.scale);
    if (largest >= 0x7f800000 || !isfinite(scale)) {
        return (struct tfr_quant_i4){.scale = 0x7e00, .zero = TFR_QUANT_I4_MIDDLE};
    }
    double least = tfr_quant_i4_error(w, n, best);
    struct tfr_quant_i4 others[2] = {{.scale = tfr_quant_to_f16(tfr_quant_float(largest) / 7), .zero = TFR_QUANT_I4_MIDDLE},
                                     {.scale = tfr_quant_to_f16(high / 15 - low / 15), .zero = 0}};
    others[1].zero = tfr_quant_i4_q(-low, tfr_quant_from_f16(others[1].scale), 0);
    for (int i = 0; i < (has_zero ? 2 : 1); i++) {
        const double error = tfr_quant_i4_error(w, n, others[i]);
        if (error < least) { /* false where the scale overflowed: its error is no number */
            least = error;
            best = others[i];
        }
    }
    return (best.scale & 0x7fff) == 0 ? (struct tfr_quant_i4){.zero = TFR_QUANT_I4_MIDDLE} : best;
}

/* The whole numbers of n <= 64 weights and what they mean. plugins/coarse/pack_i4.c takes the same steps for 64 channels at once;
 * kernel.coarse.* holds its bytes against these. */
static inline struct tfr_quant_i4 tfr_quant_i4_group(uint8_t *q, const float *w, int64_t n, bool has_zero) {
    const struct tfr_quant_i4 group = tfr_quant_i4_choose(w, n, has_zero);
    const float scale = tfr_quant_from_f16(group.scale);
    for (int64_t i = 0; i < n; i++) {
        q[i] = isfinite(scale) ? tfr_quant_i4_q(w[i], scale, group.zero) : group.zero;
    }
    return group;
}

/* As a file has them. 4 bits: two neighbours along K in a byte, the even k low; where K is odd the last high half is 8 (or 0 when
 * read). A weight [K,N] has bytes [ceil(K/2),N] and scales [ceil(K/group),N]; one stored [N,K] has [N,ceil(K/2)] and
 * [N,ceil(K/group)]. Scales of 8 bits are [N]. */
static inline int64_t tfr_quant_halves(int64_t k) {
    return (k + 1) / 2;
}

static inline int64_t tfr_quant_groups(int64_t k, int64_t group) {
    return (k + group - 1) / group;
}

static inline uint8_t tfr_quant_half(uint8_t byte, int64_t k) {
    return (uint8_t)(k % 2 == 0 ? byte & 15 : byte >> 4);
}

#endif

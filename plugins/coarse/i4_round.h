/* i4_round.h - a row of x rounded to int8 in spans, as tfrun/quant.h says, but for all spans at once: the largest magnitudes,
 * then the scales VW at a time (a division waits for none before it), then the numbers. The same operations, so the same bits.
 * Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_I4_ROUND_H
#define TFR_PLUGINS_COARSE_I4_ROUND_H

#include "coarse/ints.h"

#define I4_SCALES_AT_ONCE 32 /* spans whose factors wait on the stack; whole vectors */

/* The largest magnitude of n floats, as a float. */
V_INLINE float i4_largest(const float *x, const int n) {
    uint32_t largest = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t magnitude = tfr_quant_magnitude(x[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return tfr_quant_float(largest);
}

/* tfr_quant_i8_scale of each lane. */
V_INLINE vf i4_scale_of(vf largest) {
    const i_lanes bits = (i_lanes)largest, is_none = bits >= 0x7f800000, none = is_none & (i_lanes)v_set1(NAN);
    const i_lanes cut = (i_lanes)v_div(largest, v_set1(TFR_QUANT_I8_LARGEST)) & ~0x7f;
    const vf scale = v_blend(v_lt(largest, v_set1(0x1p-100f)), v_zero(), (vf)cut);
    return (vf)(((i_lanes)scale & ~is_none) | none);
}

V_INLINE vf i4_factor_of(vf scale) {
    return v_blend(v_lt(v_zero(), scale), v_div(v_set1(1), scale), v_zero());
}

/* The sum of n numbers, a multiple of 32. */
V_INLINE int32_t i4_sum_of(const int8_t *q, const int n) {
    int32_t sum = 0;
#if defined(V_ISA_AVX512) || defined(V_ISA_AVX2)
    __m256i four = _mm256_setzero_si256();
    for (int i = 0; i < n; i += 32) { /* as unsigned bytes, 128 too large */
        const __m256i bytes = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(q + i)), _mm256_set1_epi8(-128));
        four = _mm256_add_epi64(four, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
    }
    const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    sum = _mm_cvtsi128_si32(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two))) - 128 * n;
#else
    for (int i = 0; i < n; i++) {
        sum += q[i];
    }
#endif
    return sum;
}

/* Where a row goes: numbers, scales of its spans, and what the sums of its groups start from: `times` the sum of the numbers. */
struct i4_row {
    int8_t *q;
    float *scale;
    int32_t *start, times;
};

/* Spans [0, spans), I4_SCALES_AT_ONCE at most. */
V_INLINE void i4_round_some(const int group, int64_t spans, const float *x, const struct i4_row *to) {
    float factor[I4_SCALES_AT_ONCE] = {0}, of_span[I4_SCALES_AT_ONCE] = {0};
    for (int64_t s = 0; s < spans; s++) {
        factor[s] = i4_largest(x + s * TFR_QUANT_SPAN, TFR_QUANT_SPAN);
    }
    for (int64_t s = 0; s < spans; s += VW) {
        const vf some = i4_scale_of(v_load(factor + s));
        v_store(of_span + s, some);
        v_store(factor + s, i4_factor_of(some));
    }
    memcpy(to->scale, of_span, (size_t)spans * sizeof *of_span);
    int32_t *start = to->start;
    for (int64_t s = 0; s < spans; s++) {
        int8_t *q = to->q + s * TFR_QUANT_SPAN;
        const float *of_q = x + s * TFR_QUANT_SPAN;
        for (int i = 0; i < TFR_QUANT_SPAN; i++) {
            q[i] = (int8_t)(uint8_t)(tfr_quant_bits(fmaf(of_q[i], factor[s], TFR_QUANT_ROUND)) & 255);
        }
        for (int i = 0; i < TFR_QUANT_SPAN; i += group) {
            *start++ = to->times * i4_sum_of(q + i, group);
        }
    }
}

/* A row of k floats; its numbers are padded with zeros to whole groups. */
V_INLINE void i4_round(const int group, int64_t k, const float *x, struct i4_row to) {
    const int per_span = TFR_QUANT_SPAN / group;
    const int64_t whole = k / TFR_QUANT_SPAN, rest = k - whole * TFR_QUANT_SPAN;
    for (int64_t s = 0; s < whole; s += I4_SCALES_AT_ONCE) {
        const int64_t some = whole - s < I4_SCALES_AT_ONCE ? whole - s : I4_SCALES_AT_ONCE;
        i4_round_some(group, some, x + s * TFR_QUANT_SPAN,
                      &(struct i4_row){to.q + s * TFR_QUANT_SPAN, to.scale + s, to.start + s * per_span, to.times});
    }
    if (rest > 0) {
        float last[TFR_QUANT_SPAN] = {0};
        int8_t q[TFR_QUANT_SPAN];
        int32_t start[TFR_QUANT_SPAN / 32];
        const int64_t groups = (rest + group - 1) / group;
        memcpy(last, x + whole * TFR_QUANT_SPAN, (size_t)rest * sizeof *last);
        i4_round_some(group, 1, last, &(struct i4_row){q, to.scale + whole, start, to.times});
        memcpy(to.q + whole * TFR_QUANT_SPAN, q, (size_t)(groups * group));
        memcpy(to.start + whole * per_span, start, (size_t)groups * sizeof *start);
    }
}

#endif

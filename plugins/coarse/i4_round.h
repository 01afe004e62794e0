/* i4_round.h - a row of x rounded to int8 in groups, as tfrun/quant.h says, but for all groups at once: the largest magnitudes,
 * then the scales VW at a time (a division waits for none before it), then the numbers. The same operations, so the same bits.
 * Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_I4_ROUND_H
#define TFR_PLUGINS_COARSE_I4_ROUND_H

#include "coarse/ints.h"

#define I4_SCALES_AT_ONCE 64 /* groups whose factors wait on the stack; whole vectors */

/* The largest magnitude of n <= group floats, as a float. */
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

/* Whole groups [0, groups), I4_SCALES_AT_ONCE at most. */
V_INLINE void i4_round_some(const int group, int64_t groups, const float *x, int8_t *q, float *scale, int32_t *sum) {
    float factor[I4_SCALES_AT_ONCE] = {0}, of_group[I4_SCALES_AT_ONCE] = {0};
    for (int64_t g = 0; g < groups; g++) {
        factor[g] = i4_largest(x + g * group, group);
    }
    for (int64_t g = 0; g < groups; g += VW) {
        const vf some = i4_scale_of(v_load(factor + g));
        v_store(of_group + g, some);
        v_store(factor + g, i4_factor_of(some));
    }
    memcpy(scale, of_group, (size_t)groups * sizeof *scale);
    for (int64_t g = 0; g < groups; g++, q += group) {
        for (int i = 0; i < group; i++) {
            q[i] = (int8_t)(uint8_t)(tfr_quant_bits(fmaf(x[g * group + i], factor[g], TFR_QUANT_ROUND)) & 255);
        }
        sum[g] = i4_sum_of(q, group);
    }
}

/* A row of k floats: numbers, padded with zeros to whole groups, scales and sums of the groups. */
V_INLINE void i4_round(const int group, int64_t k, const float *x, int8_t *q, float *scale, int32_t *sum) {
    const int64_t whole = k / group, rest = k - whole * group;
    for (int64_t g = 0; g < whole; g += I4_SCALES_AT_ONCE) {
        const int64_t some = whole - g < I4_SCALES_AT_ONCE ? whole - g : I4_SCALES_AT_ONCE;
        i4_round_some(group, some, x + g * group, q + g * group, scale + g, sum + g);
    }
    if (rest > 0) {
        float last[TFR_QUANT_MOST_GROUP] = {0};
        memcpy(last, x + whole * group, (size_t)rest * sizeof *last);
        i4_round_some(group, 1, last, q + whole * group, scale + whole, sum + whole);
    }
}

#endif

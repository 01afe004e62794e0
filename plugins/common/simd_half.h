/* simd_half.h - more of simd.h: vectors from and to numbers of 16 bits in kv caches. Each is the same bits on every build. */
#ifndef TFR_PLUGINS_SIMD_HALF_H
#define TFR_PLUGINS_SIMD_HALF_H

#include <tfrun/kv.h>

#include "common/simd.h"

/* v_pair_first and v_pair_second: of pairs of bf16, one in each 32 bits, the lower and the upper one as f32. v_store_f16 rounds to
 * the nearest, ties to even, as tfr_half_to_f16. v_round_bf16_finite: as v_round_bf16, but for a NaN. */
#if VW == 16
V_INLINE void v_store_f16(uint16_t *p, vf a) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V_INLINE vf v_pair_first(vf pairs) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(pairs), 16));
}
V_INLINE vf v_pair_second(vf pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(pairs), _mm512_set1_epi32((int)0xffff0000U)));
}
V_INLINE vf v_round_bf16_finite(vf a) {
    const __m512i bits = _mm512_castps_si512(a), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return v_pair_second(_mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)))));
}
#elif VW == 8
V_INLINE void v_store_f16(uint16_t *p, vf a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V_INLINE vf v_pair_first(vf pairs) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}
V_INLINE vf v_pair_second(vf pairs) {
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(pairs), _mm256_set1_epi32((int)0xffff0000U)));
}
V_INLINE vf v_round_bf16_finite(vf a) {
    const __m256i bits = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return v_pair_second(_mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)))));
}
#else
typedef uint32_t v_bits __attribute__((vector_size(16)));

V_INLINE void v_store_f16(uint16_t *p, vf a) {
    for (int i = 0; i < VW; i++) {
        p[i] = tfr_half_to_f16(a[i]);
    }
}
V_INLINE vf v_pair_first(vf pairs) {
    return (vf)((v_bits)pairs << 16);
}
V_INLINE vf v_pair_second(vf pairs) {
    return (vf)((v_bits)pairs & 0xffff0000U);
}
V_INLINE vf v_round_bf16_finite(vf a) {
    return v_pair_second((vf)((v_bits)a + (((v_bits)a >> 16 & 1U) + 0x7fffU)));
}
#endif

/* Rounded to bf16, ties to even; infinities and NaN stay. */
V_INLINE vf v_round_bf16(vf a) {
    return v_blend(v_lt(v_abs(a), v_set1(INFINITY)), v_round_bf16_finite(a), a);
}

V_INLINE vf v_load_pairs(const uint16_t *p) {
    return v_load((const float *)(const void *)p);
}
V_INLINE vf v_load_pairs_n(const uint16_t *p, int n) {
    return v_load_n((const float *)(const void *)p, n);
}

V_INLINE vf v_load_f16_n(const uint16_t *p, int n) {
    uint16_t whole[VW] = {0};
    memcpy(whole, p, (size_t)n * sizeof *p);
    return v_load_f16(whole);
}

#endif

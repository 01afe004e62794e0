/* simd.h - a thin vector layer: one kernel source becomes AVX-512, AVX2+FMA, NEON or plain code by its compile
 * flags.
 *
 * VW is the number of f32 lanes (16, 8, 4). Whatever has to be the same on every width works on groups of 16
 * lanes: V16 vectors make one group. Every function is one IEEE operation per lane (or a fixed tree of them),
 * so two builds that both have V_HAS_FMA give the same bits. Loads and stores need no alignment. No
 * approximate reciprocals, no reassociation.
 */
#ifndef TFR_PLUGINS_SIMD_H
#define TFR_PLUGINS_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define V_ISA_AVX512 1
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define V_ISA_AVX2 1
#endif

#define V_INLINE static inline __attribute__((always_inline, unused))

/* v_max(a, b) is a > b ? a : b and v_min(a, b) is a < b ? a : b, per lane: where one is NaN, b comes out. */

#if defined(V_ISA_AVX512)
#include <immintrin.h>
#define VW        16
#define V_HAS_FMA 1
typedef __m512 vf;
typedef __mmask16 vm;

V_INLINE vf v_zero(void) {
    return _mm512_setzero_ps();
}
V_INLINE vf v_set1(float x) {
    return _mm512_set1_ps(x);
}
V_INLINE vf v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V_INLINE void v_store(float *p, vf a) {
    _mm512_storeu_ps(p, a);
}
V_INLINE vm v_first(int n) {
    return (vm)((1U << n) - 1U);
}
V_INLINE vf v_load_n(const float *p, int n) {
    return _mm512_maskz_loadu_ps(v_first(n), p);
}
V_INLINE void v_store_n(float *p, vf a, int n) {
    _mm512_mask_storeu_ps(p, v_first(n), a);
}
V_INLINE vf v_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
V_INLINE vf v_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
V_INLINE vf v_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
V_INLINE vf v_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
V_INLINE vf v_sqrt(vf a) {
    return _mm512_sqrt_ps(a);
}
V_INLINE vf v_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
V_INLINE vf v_nfma(vf a, vf b, vf c) {
    return _mm512_fnmadd_ps(a, b, c);
}
V_INLINE vf v_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
V_INLINE vf v_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
V_INLINE vm v_lt(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
V_INLINE vf v_blend(vm m, vf a, vf b) { /* m ? a : b */
    return _mm512_mask_blend_ps(m, b, a);
}
V_INLINE vf v_abs(vf a) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff)));
}
V_INLINE vf v_copysign(vf size, vf sign) {
    const __m512i top = _mm512_set1_epi32((int)0x80000000U);
    const __m512i bit = _mm512_and_si512(_mm512_castps_si512(sign), top);
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_andnot_si512(top, _mm512_castps_si512(size)), bit));
}
V_INLINE vf v_load_bf16(const uint16_t *p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
V_INLINE vf v_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
V_INLINE vf v_load_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
/* p * 2^n for an integral n in [-150, 128]; `shifted` is n + V_ROUND. */
V_INLINE vf v_scale2(vf p, vf n, vf shifted) {
    (void)shifted;
    return _mm512_scalef_ps(p, n);
}
V_INLINE float v_fold_add(vf a) {
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
V_INLINE float v_fold_max(vf a) {
    __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

#elif defined(V_ISA_AVX2)
#include <immintrin.h>
#define VW        8
#define V_HAS_FMA 1
typedef __m256 vf;
typedef __m256 vm;

V_INLINE vf v_zero(void) {
    return _mm256_setzero_ps();
}
V_INLINE vf v_set1(float x) {
    return _mm256_set1_ps(x);
}
V_INLINE vf v_load(const float *p) {
    return _mm256_loadu_ps(p);
}
V_INLINE void v_store(float *p, vf a) {
    _mm256_storeu_ps(p, a);
}
V_INLINE vm v_first(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
}
V_INLINE vf v_load_n(const float *p, int n) {
    return _mm256_maskload_ps(p, _mm256_castps_si256(v_first(n)));
}
V_INLINE void v_store_n(float *p, vf a, int n) {
    _mm256_maskstore_ps(p, _mm256_castps_si256(v_first(n)), a);
}
V_INLINE vf v_add(vf a, vf b) {
    return _mm256_add_ps(a, b);
}
V_INLINE vf v_sub(vf a, vf b) {
    return _mm256_sub_ps(a, b);
}
V_INLINE vf v_mul(vf a, vf b) {
    return _mm256_mul_ps(a, b);
}
V_INLINE vf v_div(vf a, vf b) {
    return _mm256_div_ps(a, b);
}
V_INLINE vf v_sqrt(vf a) {
    return _mm256_sqrt_ps(a);
}
V_INLINE vf v_fma(vf a, vf b, vf c) {
    return _mm256_fmadd_ps(a, b, c);
}
V_INLINE vf v_nfma(vf a, vf b, vf c) {
    return _mm256_fnmadd_ps(a, b, c);
}
V_INLINE vf v_max(vf a, vf b) {
    return _mm256_max_ps(a, b);
}
V_INLINE vf v_min(vf a, vf b) {
    return _mm256_min_ps(a, b);
}
V_INLINE vm v_lt(vf a, vf b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
V_INLINE vf v_blend(vm m, vf a, vf b) { /* m ? a : b */
    return _mm256_blendv_ps(b, a, m);
}
V_INLINE vf v_abs(vf a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
V_INLINE vf v_copysign(vf size, vf sign) {
    const vf top = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(top, size), _mm256_and_ps(top, sign));
}
V_INLINE vf v_load_bf16(const uint16_t *p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
V_INLINE vf v_load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
V_INLINE vf v_load_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
/* p * 2^n for an integral n in [-150, 128]; `shifted` is n + V_ROUND. In two halves, so that neither factor
 * overflows and a subnormal result is rounded once: the same bits as the scalef instruction. */
V_INLINE vf v_scale2(vf p, vf n, vf shifted) {
    (void)shifted;
    const __m256i whole = _mm256_cvtps_epi32(n), bias = _mm256_set1_epi32(127);
    const __m256i half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
    const vf first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const vf second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(p, first), second);
}
V_INLINE float v_fold_add(vf a) {
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
V_INLINE float v_fold_max(vf a) {
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

#elif defined(V_ISA_NEON)
#include "common/simd_neon.h"
#else
#include "common/simd_plain.h"
#endif

#define V16 (16 / VW) /* vectors in a group of 16 lanes */

#if defined(V_ISA_AVX512) || defined(V_ISA_NEON)
#define V_REGISTERS 32
#else
#define V_REGISTERS 16
#endif

/* Adding V_ROUND rounds |x| < 2^22 to the nearest integer and leaves that integer in the low bits. */
#define V_ROUND 12582912.0f /* 1.5 * 2^23 */

/* Sum and maximum of a group of 16 lanes, halves folded: ((0+8)+(4+12)) ..., the same tree for every VW. */
V_INLINE float v_sum16(const vf *part) {
#if V16 == 1
    return v_fold_add(part[0]);
#elif V16 == 2
    return v_fold_add(v_add(part[0], part[1]));
#else
    return v_fold_add(v_add(v_add(part[0], part[2]), v_add(part[1], part[3])));
#endif
}
V_INLINE float v_max16(const vf *part) {
#if V16 == 1
    return v_fold_max(part[0]);
#elif V16 == 2
    return v_fold_max(v_max(part[0], part[1]));
#else
    return v_fold_max(v_max(v_max(part[0], part[2]), v_max(part[1], part[3])));
#endif
}

V_INLINE vf v_load_bf16_n(const uint16_t *p, int n) {
    uint16_t whole[VW] = {0};
    memcpy(whole, p, (size_t)n * sizeof *p);
    return v_load_bf16(whole);
}

V_INLINE vf v_load_i8_n(const int8_t *p, int n) {
    int8_t whole[VW] = {0};
    memcpy(whole, p, (size_t)n);
    return v_load_i8(whole);
}

/* Name of a function in a source that is compiled once per ISA: V_NAME(tfr_add) is tfr_add_avx2 with
 * TFR_KERNEL_ISA=avx2. Exported kernels get their ISA this way; CMake (tfr_add_plugin) defines
 * TFR_KERNEL_ISA. */
#define V_NAME_JOIN(name, isa)   name##_##isa
#define V_NAME_EXPAND(name, isa) V_NAME_JOIN(name, isa)
#define V_NAME(name)             V_NAME_EXPAND(name, TFR_KERNEL_ISA)
#endif

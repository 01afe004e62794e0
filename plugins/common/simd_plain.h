/* simd_plain.h - the functions of simd.h in plain C: 4 lanes through the vector extension of gcc and clang (SSE2, NEON, or
 * scalars). Included by simd.h alone.
 */
#ifndef TFR_PLUGINS_SIMD_PLAIN_H
#define TFR_PLUGINS_SIMD_PLAIN_H

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#define VW 4
#if defined(__FMA__) || defined(FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)
#define V_HAS_FMA 1
#else
#define V_HAS_FMA 0
#endif
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vm __attribute__((vector_size(16)));

V_INLINE vf v_zero(void) {
    return (vf){0};
}
V_INLINE vf v_set1(float x) {
    return (vf){x, x, x, x};
}
V_INLINE vf v_load(const float *p) {
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
V_INLINE void v_store(float *p, vf a) {
    memcpy(p, &a, sizeof a);
}
V_INLINE vm v_first(int n) {
    const vm lane = {0, 1, 2, 3}, limit = {n, n, n, n};
    return lane < limit;
}
V_INLINE vf v_load_n(const float *p, int n) {
    vf a = {0};
    for (int i = 0; i < VW && i < n; i++) {
        a[i] = p[i];
    }
    return a;
}
V_INLINE void v_store_n(float *p, vf a, int n) {
    for (int i = 0; i < VW && i < n; i++) {
        p[i] = a[i];
    }
}
V_INLINE vf v_add(vf a, vf b) {
    return a + b;
}
V_INLINE vf v_sub(vf a, vf b) {
    return a - b;
}
V_INLINE vf v_mul(vf a, vf b) {
    return a * b;
}
V_INLINE vf v_div(vf a, vf b) {
    return a / b;
}
V_INLINE vf v_sqrt(vf a) {
    return (vf){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])};
}
V_INLINE vf v_fma(vf a, vf b, vf c) {
#if V_HAS_FMA
    return (vf){fmaf(a[0], b[0], c[0]), fmaf(a[1], b[1], c[1]), fmaf(a[2], b[2], c[2]), fmaf(a[3], b[3], c[3])};
#else
    return a * b + c;
#endif
}
V_INLINE vf v_nfma(vf a, vf b, vf c) {
    return v_fma(-a, b, c);
}
V_INLINE vm v_lt(vf a, vf b) {
    return a < b;
}
V_INLINE vf v_blend(vm m, vf a, vf b) { /* m ? a : b */
    return (vf)(((vm)a & m) | ((vm)b & ~m));
}
V_INLINE vf v_max(vf a, vf b) {
    return v_blend(b < a, a, b);
}
V_INLINE vf v_min(vf a, vf b) {
    return v_blend(a < b, a, b);
}
V_INLINE vf v_abs(vf a) {
    return (vf)((vm)a & 0x7fffffff);
}
V_INLINE vf v_copysign(vf size, vf sign) {
    return (vf)(((vm)size & 0x7fffffff) | ((vm)sign & ~0x7fffffff));
}
V_INLINE vf v_load_bf16(const uint16_t *p) {
    uint16_t h[VW];
    memcpy(h, p, sizeof h);
    const vm bits = {(int32_t)((uint32_t)h[0] << 16), (int32_t)((uint32_t)h[1] << 16), (int32_t)((uint32_t)h[2] << 16),
                     (int32_t)((uint32_t)h[3] << 16)};
    return (vf)bits;
}
/* Multiplying by 2^112 moves the bias of the exponent and makes subnormals normal; infinities and NaN are put right. */
V_INLINE vf v_load_f16(const uint16_t *p) {
    uint16_t h[VW];
    memcpy(h, p, sizeof h);
    const vm bits = {h[0], h[1], h[2], h[3]}, is_special = (bits & 0x7c00) == 0x7c00;
    const vf scaled = (vf)((bits & 0x7fff) << 13) * 0x1p112f;
    return (vf)((vm)scaled | (is_special & 0x7f800000) | (vm)(((bits & 0x8000) != 0) & INT32_MIN));
}
V_INLINE vf v_load_i8(const int8_t *p) {
#if defined(__SSE2__) /* gcc makes scalar code of the conversion below */
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    const __m128i bytes = _mm_cvtsi32_si128(bits), pairs = _mm_unpacklo_epi8(bytes, bytes);
    return (vf)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(pairs, pairs), 24));
#else
    typedef int8_t vb __attribute__((vector_size(4)));
    vb bytes;
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, vm), vf);
#endif
}
/* p * 2^n for an integral n in [-150, 128]; `shifted` is n + V_ROUND: its low bits are n. In two halves, so
 * that neither factor overflows and a subnormal result is rounded once. A NaN lane gives some number times
 * NaN. */
V_INLINE vf v_scale2(vf p, vf n, vf shifted) {
    typedef uint32_t vu __attribute__((vector_size(16)));
    (void)n;
    const vm whole = (vm)((vu)shifted - 0x4b400000U), half = whole >> 1;
    const vf first = (vf)(((vu)half + 127U) << 23), second = (vf)(((vu)whole - (vu)half + 127U) << 23);
    return p * first * second;
}
V_INLINE float v_fold_add(vf a) {
    return (a[0] + a[2]) + (a[1] + a[3]);
}
V_INLINE float v_fold_max(vf a) {
    const float x = a[0] > a[2] ? a[0] : a[2], y = a[1] > a[3] ? a[1] : a[3];
    return x > y ? x : y;
}

#endif

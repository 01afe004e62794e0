/* simd_neon.h - the functions of simd.h for 64-bit ARM: 4 lanes of NEON, whose fused multiply-add gives the bits of AVX2's and
 * AVX-512's. Included by simd.h alone, in sources that are compiled with V_ISA_NEON.
 */
#ifndef TFR_PLUGINS_SIMD_NEON_H
#define TFR_PLUGINS_SIMD_NEON_H

#include <arm_neon.h>

#define VW        4
#define V_HAS_FMA 1
typedef float32x4_t vf;
typedef uint32x4_t vm;

V_INLINE vf v_zero(void) {
    return vdupq_n_f32(0.0f);
}
V_INLINE vf v_set1(float x) {
    return vdupq_n_f32(x);
}
V_INLINE vf v_load(const float *p) {
    return vld1q_f32(p);
}
V_INLINE void v_store(float *p, vf a) {
    vst1q_f32(p, a);
}
V_INLINE vm v_first(int n) {
    const uint32x4_t lane = {0, 1, 2, 3};
    return vcltq_u32(lane, vdupq_n_u32((uint32_t)n));
}
V_INLINE vf v_load_n(const float *p, int n) {
    float some[VW] = {0};
    for (int i = 0; i < VW && i < n; i++) {
        some[i] = p[i];
    }
    return vld1q_f32(some);
}
V_INLINE void v_store_n(float *p, vf a, int n) {
    for (int i = 0; i < VW && i < n; i++) {
        p[i] = a[i];
    }
}
V_INLINE vf v_add(vf a, vf b) {
    return vaddq_f32(a, b);
}
V_INLINE vf v_sub(vf a, vf b) {
    return vsubq_f32(a, b);
}
V_INLINE vf v_mul(vf a, vf b) {
    return vmulq_f32(a, b);
}
V_INLINE vf v_div(vf a, vf b) {
    return vdivq_f32(a, b);
}
V_INLINE vf v_sqrt(vf a) {
    return vsqrtq_f32(a);
}
V_INLINE vf v_fma(vf a, vf b, vf c) {
    return vfmaq_f32(c, a, b);
}
V_INLINE vf v_nfma(vf a, vf b, vf c) {
    return vfmsq_f32(c, a, b);
}
V_INLINE vm v_lt(vf a, vf b) {
    return vcltq_f32(a, b);
}
V_INLINE vf v_blend(vm m, vf a, vf b) { /* m ? a : b */
    return vbslq_f32(m, a, b);
}
/* By comparing: the instructions for maximum and minimum let either NaN through. */
V_INLINE vf v_max(vf a, vf b) {
    return v_blend(v_lt(b, a), a, b);
}
V_INLINE vf v_min(vf a, vf b) {
    return v_blend(v_lt(a, b), a, b);
}
V_INLINE vf v_abs(vf a) {
    return vabsq_f32(a);
}
V_INLINE vf v_copysign(vf size, vf sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000U), sign, size);
}
V_INLINE vf v_load_bf16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
V_INLINE vf v_load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
V_INLINE vf v_load_i8(const int8_t *p) {
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    const int16x8_t pairs = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(bits)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(pairs)));
}
/* p * 2^n for an integral n in [-150, 128]; `shifted` is n + V_ROUND: its low bits are n. In two halves, so that neither factor
 * overflows and a subnormal result is rounded once. */
V_INLINE vf v_scale2(vf p, vf n, vf shifted) {
    (void)shifted;
    const int32x4_t whole = vcvtq_s32_f32(n), bias = vdupq_n_s32(127);
    const int32x4_t half = vshrq_n_s32(whole, 1), rest = vsubq_s32(whole, half);
    const vf first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    const vf second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
    return vmulq_f32(vmulq_f32(p, first), second);
}
V_INLINE float v_fold_add(vf a) {
    return (a[0] + a[2]) + (a[1] + a[3]);
}
V_INLINE float v_fold_max(vf a) {
    const float x = a[0] > a[2] ? a[0] : a[2], y = a[1] > a[3] ? a[1] : a[3];
    return x > y ? x : y;
}

#endif

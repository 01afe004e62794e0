/* ints_neon.h - sums of the dot products of four bytes on 64-bit ARM: by sdot where the source is compiled for it, else by pairs
 * of 16 bits. Both factors are signed, so x lies in memory as it is. Included by ints.h alone.
 */
#ifndef TFR_PLUGINS_COARSE_INTS_NEON_H
#define TFR_PLUGINS_COARSE_INTS_NEON_H

#define INTS_SHIFT 0
typedef int32_t vi __attribute__((vector_size(16)));
typedef int8x16_t vw;

V_INLINE vw i_weights(const void *at) {
    return vld1q_s8(at);
}

#if defined(__ARM_FEATURE_DOTPROD)
#define INTS_REGISTERS 24
#define INTS_ROWS      6
V_INLINE vi i_dot(vi sum, vi x, vw w) {
    return (vi)vdotq_s32((int32x4_t)sum, (int8x16_t)x, w);
}
#else
#define INTS_REGISTERS 16
#define INTS_ROWS      4
/* A product is at most 127 * 127, which 16 bits hold; sums of two are made in 32. */
V_INLINE vi i_dot(vi sum, vi x, vw w) {
    const int8x8_t factor = vget_low_s8((int8x16_t)x); /* the same four bytes in each lane */
    const int32x4_t low = vpaddlq_s16(vmull_s8(factor, vget_low_s8(w))), high = vpaddlq_s16(vmull_s8(factor, vget_high_s8(w)));
    return (vi)vaddq_s32((int32x4_t)sum, vpaddq_s32(low, high));
}
#endif

#endif

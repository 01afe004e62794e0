/* half.h - the one definition of f32 as 16 bits, bf16 and f16, and back: caches, coarse weights and packed weights take it from
 * here.
 *
 * To 16 bits: to the nearest, ties to even; what is too large becomes infinite, a NaN stays one (of f16 with the upper bits of its
 * fraction, as the instruction of x86 has it). Back: exact. Neither needs numbers of f32 below 2^-126, which a program may have
 * told the processor to take for 0; both need the usual rounding. No state; any thread.
 */
#ifndef TFRUN_HALF_H
#define TFRUN_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint16_t tfr_half_to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = bits + 0x7fffU + (bits >> 16 & 1U);
    return (uint16_t)(((bits & 0x7fffffffU) > 0x7f800000U ? bits | 0x400000U : rounded) >> 16);
}

static inline float tfr_half_from_bf16(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t tfr_half_to_f16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000U, size = bits & 0x7fffffffU;
    if (size > 0x7f800000U) {
        return (uint16_t)(sign | 0x7e00U | (size >> 13 & 0x1ffU));
    }
    if (size >= 0x477ff000U) { /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00U);
    }
    if (size < 0x38800000U) { /* below 2^-14: in steps of 2^-24, which adding 0.5 leaves in the low bits of its fraction */
        float y;
        memcpy(&y, &size, sizeof y);
        y += 0.5f;
        memcpy(&bits, &y, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000U));
    }
    const uint32_t rounded = size + 0xfffU + (size >> 13 & 1U);
    return (uint16_t)(sign | ((rounded >> 13) - (112U << 10)));
}

static inline float tfr_half_from_f16(uint16_t half) {
    const uint32_t size = half & 0x7fffU, above_half = 0x3f000000U | size; /* 0.5 + size * 2^-24, for subnormals */
    float x;
    memcpy(&x, &above_half, sizeof x);
    x -= 0.5f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = size < 0x400U ? bits : (size << 13) + (112U << 23);
    bits |= (size >= 0x7c00U ? 0x7f800000U : 0U) | (uint32_t)(half & 0x8000U) << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif

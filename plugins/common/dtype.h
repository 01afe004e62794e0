/* dtype.h - reading one element of any stored float type, and rounding to bf16. Scalar; for `pack` and
 * tables.
 *
 * Sources may be unaligned (they lie in a mapped file), so every read goes through memcpy.
 */
#ifndef TFR_PLUGINS_DTYPE_H
#define TFR_PLUGINS_DTYPE_H

#include <string.h>

#include <tfrun/half.h>
#include <tfrun/plugin.h>

static inline float bf16_to_f32(uint16_t bits) {
    return tfr_half_from_bf16(bits);
}

static inline uint16_t bf16_from_f32(float value) {
    return tfr_half_to_bf16(value);
}

static inline float f16_to_f32(uint16_t half) {
    return tfr_half_from_f16(half);
}

/* A value that f16 holds exactly; of another the low bits are cut off. */
static inline uint16_t f16_from_exact(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000U, exponent = bits >> 23 & 0xffU, fraction = bits & 0x7fffffU;
    if (exponent >= 113U) { /* infinities and NaN keep all ones */
        return (uint16_t)(sign | (exponent == 255U ? 31U : exponent - 112U) << 10 | fraction >> 13);
    }
    return (uint16_t)(sign | (exponent < 103U ? 0U : (fraction | 0x800000U) >> (126U - exponent)));
}

/* Bytes per element of a float type; 0 for the others, which no kernel reads as a weight. */
static inline size_t float_bytes(int dtype) {
    switch (dtype) {
    case TFR_DTYPE_F32:
        return 4;
    case TFR_DTYPE_BF16:
    case TFR_DTYPE_F16:
        return 2;
    case TFR_DTYPE_F64:
        return 8;
    default:
        return 0;
    }
}

/* Element `index` of an array of F32, BF16, F16 or F64, rounded once to f32. */
static inline float load_as_f32(const void *data, int dtype, int64_t index) {
    const char *at = (const char *)data + index * (int64_t)float_bytes(dtype);
    uint16_t half;
    float single;
    double wide;
    switch (dtype) {
    case TFR_DTYPE_BF16:
        memcpy(&half, at, sizeof half);
        return bf16_to_f32(half);
    case TFR_DTYPE_F16:
        memcpy(&half, at, sizeof half);
        return f16_to_f32(half);
    case TFR_DTYPE_F64:
        memcpy(&wide, at, sizeof wide);
        return (float)wide;
    default:
        memcpy(&single, at, sizeof single);
        return single;
    }
}

/* The part [*begin, *end) of n items that thread tid of nth takes: contiguous, sizes differ by at most one.
 */
static inline void split_evenly(int64_t n, int tid, int nth, int64_t *begin, int64_t *end) {
    const int64_t each = n / nth, rest = n % nth;
    *begin = tid * each + (tid < rest ? tid : rest);
    *end = *begin + each + (tid < rest ? 1 : 0);
}

#endif

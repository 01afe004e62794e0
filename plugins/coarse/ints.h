/* ints.h - vectors of whole numbers beside common/simd.h: VW sums of 32 bits, each of the dot products of four bytes.
 *
 * All variants give the same numbers, since sums of products of bytes are exact; what differs is how x lies in memory: INTS_SHIFT
 * is what was added to it. No byte is -128. Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_INTS_H
#define TFR_PLUGINS_COARSE_INTS_H

#include "common/simd.h"

#include <tfrun/quant.h>

#if defined(__AVX512VNNI__) && defined(V_ISA_AVX512)
/* The instruction takes an unsigned and a signed factor: x + 128 is the unsigned one. */
#define INTS_SHIFT     128
#define INTS_REGISTERS 24 /* that may hold sums */
#define INTS_ROWS      6  /* of a tile */
typedef __m512i vi;
typedef __m512i vw;

V_INLINE vw i_weights(const void *at) {
    return _mm512_loadu_si512(at);
}
V_INLINE vi i_dot(vi sum, vi x, vw w) {
    return _mm512_dpbusd_epi32(sum, x, w);
}
#elif defined(V_ISA_AVX512)
#define INTS_SHIFT     0
#define INTS_REGISTERS 16
#define INTS_ROWS      4
typedef __m512i vi;
typedef struct {
    __m512i size;
    __mmask64 is_negative;
} vw;

V_INLINE vw i_weights(const void *at) {
    const __m512i w = _mm512_loadu_si512(at);
    return (vw){_mm512_abs_epi8(w), _mm512_movepi8_mask(w)};
}
/* |w| times x with the sign of w: two products are at most 2 * 127 * 127, which 16 bits hold. */
V_INLINE vi i_dot(vi sum, vi x, vw w) {
    const __m512i factor = _mm512_mask_sub_epi8(x, w.is_negative, _mm512_setzero_si512(), x);
    const __m512i pairs = _mm512_maddubs_epi16(w.size, factor);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
#elif defined(V_ISA_AVX2)
#define INTS_SHIFT     0
#define INTS_REGISTERS 8
#define INTS_ROWS      4
typedef __m256i vi;
typedef struct {
    __m256i size, w;
} vw;

V_INLINE vw i_weights(const void *at) {
    const __m256i w = _mm256_loadu_si256((const __m256i *)at);
    return (vw){_mm256_abs_epi8(w), w};
}
V_INLINE vi i_dot(vi sum, vi x, vw w) {
    const __m256i pairs = _mm256_maddubs_epi16(w.size, _mm256_sign_epi8(x, w.w));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#elif defined(V_ISA_NEON)
#include "coarse/ints_neon.h"
#else
#define INTS_SHIFT     0
#define INTS_REGISTERS 8
#define INTS_ROWS      2
typedef int32_t vi __attribute__((vector_size(16)));
#if defined(__SSE2__)
typedef struct {
    __m128i low, high; /* widened to 16 bits: two columns each */
} vw;

V_INLINE vw i_weights(const void *at) {
    const __m128i w = _mm_loadu_si128((const __m128i *)at);
    return (vw){_mm_srai_epi16(_mm_unpacklo_epi8(w, w), 8), _mm_srai_epi16(_mm_unpackhi_epi8(w, w), 8)};
}
V_INLINE vi i_dot(vi sum, vi x, vw w) {
    const __m128i bytes = (__m128i)x, factor = _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
    const vi low = (vi)_mm_madd_epi16(factor, w.low), high = (vi)_mm_madd_epi16(factor, w.high);
    return sum + __builtin_shufflevector(low, high, 0, 2, 4, 6) + __builtin_shufflevector(low, high, 1, 3, 5, 7);
}
#else
typedef int8_t vw __attribute__((vector_size(16)));

V_INLINE vw i_weights(const void *at) {
    vw w;
    memcpy(&w, at, sizeof w);
    return w;
}
V_INLINE vi i_dot(vi sum, vi x, vw w) {
    const vw bytes = (vw)x;
    for (int lane = 0; lane < VW; lane++) {
        for (int i = 0; i < 4; i++) {
            sum[lane] += (int32_t)bytes[i] * w[4 * lane + i];
        }
    }
    return sum;
}
#endif
#endif

V_INLINE vi i_load(const int32_t *at) {
    vi value;
    memcpy(&value, at, sizeof value);
    return value;
}
V_INLINE void i_store(int32_t *at, vi value) {
    memcpy(at, &value, sizeof value);
}

#if defined(V_ISA_AVX512)
V_INLINE vi i_zero(void) {
    return _mm512_setzero_si512();
}
V_INLINE vi i_set1(int32_t x) {
    return _mm512_set1_epi32(x);
}
V_INLINE vf i_float(vi a) { /* to the nearest, ties to even */
    return _mm512_cvtepi32_ps(a);
}
/* sum - 128 * of, where 128 was added to x. */
V_INLINE vi i_unshift(vi sum, vi of) {
    return _mm512_sub_epi32(sum, _mm512_slli_epi32(of, 7));
}
#elif defined(V_ISA_AVX2)
V_INLINE vi i_zero(void) {
    return _mm256_setzero_si256();
}
V_INLINE vi i_set1(int32_t x) {
    return _mm256_set1_epi32(x);
}
V_INLINE vf i_float(vi a) {
    return _mm256_cvtepi32_ps(a);
}
#else
V_INLINE vi i_zero(void) {
    return (vi){0};
}
V_INLINE vi i_set1(int32_t x) {
    return (vi){x, x, x, x};
}
V_INLINE vf i_float(vi a) {
    return __builtin_convertvector(a, vf);
}
#endif

/* Dot products of unsigned bytes up to 15 with x as it is (no shift). Where the instruction makes sums of 16 bits they are kept
 * for 32 of K: 8 * 2 * 15 * 127 at most. begin, 8 times dot, end. */
#if defined(__AVX512VNNI__) && defined(V_ISA_AVX512)
V_INLINE vi i4_begin(vi sum) {
    return sum;
}
V_INLINE vi i4_dot(vi part, vi x, vi w) {
    return _mm512_dpbusd_epi32(part, w, x);
}
V_INLINE vi i4_end(vi sum, vi part) {
    (void)sum;
    return part;
}
#elif defined(V_ISA_AVX512)
V_INLINE vi i4_begin(vi sum) {
    (void)sum;
    return i_zero();
}
V_INLINE vi i4_dot(vi part, vi x, vi w) {
    return _mm512_add_epi16(part, _mm512_maddubs_epi16(w, x));
}
V_INLINE vi i4_end(vi sum, vi part) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(part, _mm512_set1_epi16(1)));
}
#elif defined(V_ISA_AVX2)
V_INLINE vi i4_begin(vi sum) {
    (void)sum;
    return i_zero();
}
V_INLINE vi i4_dot(vi part, vi x, vi w) {
    return _mm256_add_epi16(part, _mm256_maddubs_epi16(w, x));
}
V_INLINE vi i4_end(vi sum, vi part) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
}
#else
V_INLINE vi i4_begin(vi sum) {
    return sum;
}
V_INLINE vi i4_dot(vi part, vi x, vi w) {
    return i_dot(part, x, i_weights(&w));
}
V_INLINE vi i4_end(vi sum, vi part) {
    (void)sum;
    return part;
}
#endif

typedef int32_t i_lanes __attribute__((vector_size(4 * VW)));
typedef uint32_t i_words __attribute__((vector_size(4 * VW)));

/* Low and high halves of bytes. */
V_INLINE vi i_low(vi bytes) {
    return (vi)((i_lanes)bytes & 0x0f0f0f0f);
}
V_INLINE vi i_high(vi bytes) {
    return (vi)((i_lanes)bytes >> 4 & 0x0f0f0f0f);
}
V_INLINE vi i_multiply(vi a, vi b) {
    return (vi)((i_lanes)a * (i_lanes)b);
}
V_INLINE vi i_from_bytes(const uint8_t *at) {
    typedef uint8_t bytes __attribute__((vector_size(VW)));
    bytes value;
    memcpy(&value, at, sizeof value);
    return (vi) __builtin_convertvector(value, i_lanes);
}

/* a * b + c rounded once, on every build. */
V_INLINE vf i_chain(vf a, vf b, vf c) {
#if V_HAS_FMA
    return v_fma(a, b, c);
#else
    for (int lane = 0; lane < VW; lane++) {
        c[lane] = fmaf(a[lane], b[lane], c[lane]);
    }
    return c;
#endif
}

V_INLINE vf i_from_f16(const uint16_t *at) {
#if defined(V_ISA_AVX512)
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)at));
#elif defined(V_ISA_AVX2)
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at));
#else
    vf value;
    for (int lane = 0; lane < VW; lane++) {
        value[lane] = tfr_quant_from_f16(at[lane]);
    }
    return value;
#endif
}

/* Four bytes of x in every lane. */
V_INLINE vi i_spread(const uint8_t *at) {
    int32_t four;
    memcpy(&four, at, sizeof four);
    return i_set1(four);
}

#endif

/* i8w_tile.h - the inner loop of int8 weights by rows as they are: up to I8W_ROWS rows of x times one block along K of a panel.
 *
 * Every output has one chain of additions in the order of k. In f32 it is sum = fma(x[k], (float)q[k], sum); where the CPU
 * multiplies pairs in bf16, which holds every q exactly, x is rounded to bf16 and the chain takes pairs, k + 1 first, then k.
 * Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_I8W_TILE_H
#define TFR_PLUGINS_COARSE_I8W_TILE_H

#include "coarse/ints.h"
#include "common/coarse_panel.h"

#if defined(__AVX512BF16__)
#define I8W_ROWS      8 /* widening is dear, so many share it: two vectors of sums each, the rest of the registers widens */
#define I8W_REGISTERS 12
typedef uint16_t i8w_x; /* how x lies in memory */
#elif V_REGISTERS == 32
#define I8W_ROWS      6
#define I8W_REGISTERS 24
typedef float i8w_x;
#else
#define I8W_ROWS      4
#define I8W_REGISTERS 8
typedef float i8w_x;
#endif

struct i8w_tile {
    const i8w_x *x;   /* first row */
    int64_t x_stride; /* elements between rows */
    const char *panel;
    int64_t k_begin, k_end; /* begin: a multiple of 4 */
    const char *ahead;
    float *sum; /* [rows][64], taken over or, with `add`, added to */
    bool add;
    const uint8_t *bytes; /* what i8w_fill_bytes gave */
};

/* Number i of each quad, as f32. */
V_INLINE vf i8w_number(vi quads, const int i) {
    return i_float((vi)((i_lanes)((i_words)quads << (24 - 8 * i)) >> 24));
}

/* Magnitudes 0 to 127 as bf16: their low bytes, then their high ones. */
#define I8W_BYTES 256
V_INLINE void i8w_fill_bytes(uint8_t *bytes) {
    for (int i = 0; i < 128; i++) {
        const uint32_t bits = tfr_quant_bits((float)i) >> 16;
        bytes[i] = (uint8_t)(bits & 255);
        bytes[128 + i] = (uint8_t)(bits >> 8);
    }
}

#if defined(__AVX512VBMI__)
/* Whole numbers of 8 bits as bf16: low and high bytes of the 128 magnitudes, and in which order a quad's numbers become pairs. */
struct i8w_table {
    __m512i low[2], high[2], order;
};

V_INLINE struct i8w_table i8w_table_of(const uint8_t *bytes) {
    return (struct i8w_table){
        .low = {_mm512_loadu_si512(bytes), _mm512_loadu_si512(bytes + 64)},
        .high = {_mm512_loadu_si512(bytes + 128), _mm512_loadu_si512(bytes + 192)},
        .order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15)),
    };
}

/* Numbers 0 and 1, and 2 and 3, of each quad as pairs. */
V_INLINE void i8w_pairs(vi quads, const struct i8w_table *table, __m512bh pair[2]) {
    const __m512i numbers = _mm512_shuffle_epi8(quads, table->order), size = _mm512_abs_epi8(numbers);
    const __m512i low = _mm512_permutex2var_epi8(table->low[0], size, table->low[1]);
    const __m512i unsigned_high = _mm512_permutex2var_epi8(table->high[0], size, table->high[1]);
    /* a | (b & c) */
    const __m512i high = _mm512_ternarylogic_epi32(unsigned_high, numbers, _mm512_set1_epi8(-128), 0xf8);
    pair[0] = (__m512bh)_mm512_unpacklo_epi8(low, high);
    pair[1] = (__m512bh)_mm512_unpackhi_epi8(low, high);
}
#elif defined(__AVX512BF16__)
struct i8w_table {
    int none;
};

V_INLINE struct i8w_table i8w_table_of(const uint8_t *bytes) {
    (void)bytes;
    return (struct i8w_table){0};
}

/* Numbers i and i + 1 of each quad as a pair. */
V_INLINE __m512bh i8w_pair(vi quads, const int i) {
    const __m512i first = _mm512_castps_si512(i8w_number(quads, i)), second = _mm512_castps_si512(i8w_number(quads, i + 1));
    return (__m512bh)_mm512_mask_blend_epi16(0x55555555, second, _mm512_srli_epi32(first, 16));
}

V_INLINE void i8w_pairs(vi quads, const struct i8w_table *table, __m512bh pair[2]) {
    (void)table;
    pair[0] = i8w_pair(quads, 0);
    pair[1] = i8w_pair(quads, 2);
}
#endif

#if defined(__AVX512BF16__)
/* Two of K: a pair of each row. */
V_INLINE void i8w_pair_of_rows(const int rows, const int vectors, const i8w_x *x, int64_t x_stride, const int i, __m512bh pair[][2],
                               vf sum[][TFR_PANEL_COLS / VW]) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        int32_t two;
        memcpy(&two, x + r * x_stride + 2 * i, sizeof two);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)_mm512_set1_epi32(two), pair[v][i]);
        }
    }
}

/* Four of K, which were widened before. Meanwhile the quads at `next` are, a few instructions between the products, so that neither
 * waits for the other. Behind the last quad of a panel lie its scales. */
V_INLINE void i8w_quad(const int rows, const int vectors, const struct i8w_table *table, const i8w_x *x, int64_t x_stride,
                       const char *next, __m512bh pair[][2], vf sum[][TFR_PANEL_COLS / VW]) {
    __m512bh other[TFR_PANEL_COLS / VW][2];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        if (v == vectors / 2) {
            i8w_pair_of_rows(rows, vectors, x, x_stride, 0, pair, sum);
        }
        i8w_pairs(i_load((const int32_t *)(const void *)(next + v * VW * 4)), table, other[v]);
    }
    i8w_pair_of_rows(rows, vectors, x, x_stride, 1, pair, sum);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        pair[v][0] = other[v][0];
        pair[v][1] = other[v][1];
    }
}
#else
/* `count` of K, 4 but for the last: quads of w at x. */
V_INLINE void i8w_quad(const int rows, const int vectors, const int count, const i8w_x *x, int64_t x_stride, const char *w,
                       vf sum[][TFR_PANEL_COLS / VW]) {
    vi quads[TFR_PANEL_COLS / VW];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        quads[v] = i_load((const int32_t *)(const void *)(w + v * VW * 4));
    }
#pragma GCC unroll 4
    for (int i = 0; i < count; i++) {
        vf number[TFR_PANEL_COLS / VW];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            number[v] = i8w_number(quads[v], i);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const vf factor = v_set1(x[r * x_stride + i]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) {
                sum[r][v] = v_fma(factor, number[v], sum[r][v]);
            }
        }
    }
}
#endif

/* Asks for `lines` lines from `ahead` on, and tells where the next begin. Few rows read them soon. */
V_INLINE const char *i8w_prefetch(const int rows, const int lines, const char *ahead) {
    for (int line = 0; line < lines; line++, ahead += 64) {
        if (rows <= 2) {
            __builtin_prefetch(ahead, 0, 3);
        } else {
            __builtin_prefetch(ahead, 0, 2);
        }
    }
    return ahead;
}

/* Columns [column, column + vectors * VW). */
V_INLINE void i8w_strip(const int rows, const int vectors, const int lines, const struct i8w_tile *t, int column) {
    vf sum[I8W_ROWS][TFR_PANEL_COLS / VW];
    const char *w = t->panel + t->k_begin / 4 * COARSE_QUAD_BYTES + (size_t)column * 4, *ahead = t->ahead;
    const i8w_x *x = t->x + t->k_begin;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = v_zero();
        }
    }
    int64_t k = t->k_begin;
#if defined(__AVX512BF16__)
    const struct i8w_table table = i8w_table_of(t->bytes);
    __m512bh pair[TFR_PANEL_COLS / VW][2];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        i8w_pairs(i_load((const int32_t *)(const void *)(w + v * VW * 4)), &table, pair[v]);
    }
    for (; k < t->k_end; k += 4, x += 4, w += COARSE_QUAD_BYTES) { /* rows end in zeros */
        ahead = i8w_prefetch(rows, lines, ahead);
        i8w_quad(rows, vectors, &table, x, t->x_stride, w + COARSE_QUAD_BYTES, pair, sum);
    }
#else
    for (; k + 4 <= t->k_end; k += 4, x += 4, w += COARSE_QUAD_BYTES) {
        ahead = i8w_prefetch(rows, lines, ahead);
        i8w_quad(rows, vectors, 4, x, t->x_stride, w, sum);
    }
    switch (t->k_end - k) {
    case 1:
        i8w_quad(rows, vectors, 1, x, t->x_stride, w, sum);
        break;
    case 2:
        i8w_quad(rows, vectors, 2, x, t->x_stride, w, sum);
        break;
    case 3:
        i8w_quad(rows, vectors, 3, x, t->x_stride, w, sum);
        break;
    default:
        break;
    }
#endif
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            float *to = t->sum + r * TFR_PANEL_COLS + column + v * VW;
            v_store(to, t->add ? v_add(v_load(to), sum[r][v]) : sum[r][v]);
        }
    }
}

/* What a tile prefetches: what it reads itself, some KiB ahead and all in the first strip of columns; or the next panel, alone or
 * as one of several groups of rows. Lines for each quad, in each of two strips half of them. */
enum i8w_ahead { I8W_STREAM, I8W_ALONE, I8W_SHARED };

V_INLINE int i8w_lines(const enum i8w_ahead ahead) {
    return ahead == I8W_SHARED ? 2 : 4;
}

V_INLINE void i8w_rows(const int rows, const enum i8w_ahead ahead, const struct i8w_tile *t) {
    const int whole = TFR_PANEL_COLS / VW, fit = I8W_REGISTERS / rows;
    const int vectors = fit >= whole ? whole : fit >= 8 ? 8 : fit >= 4 ? 4 : 2;
    const bool halves = whole / vectors == 2 && ahead != I8W_STREAM;
    const int first = halves ? i8w_lines(ahead) / 2 : i8w_lines(ahead), others = halves ? first : 0;
    struct i8w_tile strip = *t;
    i8w_strip(rows, vectors, first, &strip, 0);
    for (int column = vectors * VW; column < TFR_PANEL_COLS; column += vectors * VW) {
        strip.ahead += others * 64 * coarse_quads(t->k_end - t->k_begin);
        i8w_strip(rows, vectors, others, &strip, column);
    }
}

V_INLINE void i8w_some_rows(int64_t rows, const enum i8w_ahead ahead, const struct i8w_tile *t) {
    switch (rows) {
    case 3:
        i8w_rows(3, ahead, t);
        break;
#if I8W_ROWS >= 6
    case 4:
        i8w_rows(4, ahead, t);
        break;
    case 5:
        i8w_rows(5, ahead, t);
        break;
#endif
#if I8W_ROWS >= 8
    case 6:
        i8w_rows(6, ahead, t);
        break;
    case 7:
        i8w_rows(7, ahead, t);
        break;
#endif
    default:
        i8w_rows(I8W_ROWS, ahead, t);
        break;
    }
}

/* Up to I8W_ROWS rows; one or two stream. */
V_INLINE void i8w_run(int64_t rows, enum i8w_ahead ahead, const struct i8w_tile *t) {
    if (rows == 1) {
        i8w_rows(1, I8W_STREAM, t);
    } else if (rows == 2) {
        i8w_rows(2, I8W_STREAM, t);
    } else if (ahead == I8W_STREAM) {
        i8w_some_rows(rows, I8W_STREAM, t);
    } else if (ahead == I8W_ALONE) {
        i8w_some_rows(rows, I8W_ALONE, t);
    } else {
        i8w_some_rows(rows, I8W_SHARED, t);
    }
}

#endif

/* tile.h - the inner loop of gemv and gemm: up to TILE_ROWS rows of x times one block along K of a panel.
 *
 * Every output has one accumulator, so its chain of additions runs in the order of k whatever the number of
 * rows, columns or lanes: the order is that of enum tfr_order_kind by construction. The plain loop it equals,
 * for one row and column: sum = 0; for (k = k_begin; k < k_end; k++) sum = fma(x[k], w[k], sum); Included by
 * sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_GEMV_TILE_H
#define TFR_PLUGINS_GEMV_TILE_H

#include "common/panel.h"
#include "common/simd.h"

#define TILE_ROWS 6

/* How weights and x meet. */
enum tile_kind {
    TILE_F32,  /* f32 weights */
    TILE_BF16, /* bf16 weights widened to f32, x in f32: TFR_ORDER_FMA */
    TILE_DP    /* bf16 weights, x in bf16: TFR_ORDER_DP_BF16 by vdpbf16ps */
};

/* One block of one panel. */
struct tile {
    const void *x;          /* first row: f32, or bf16 for TILE_DP with a zero behind an odd K */
    int64_t x_stride;       /* elements between rows of x */
    const void *panel;      /* k = 0, column 0 of the panel */
    int64_t k_begin, k_end; /* even begin for TILE_DP */
    int64_t ahead;          /* bytes to prefetch ahead of the weights; 0: the lines just read, which costs nothing */
    float *sum;             /* [rows][64], taken over or, with `add`, added to */
    bool add;
};

typedef uint32_t tile_words __attribute__((vector_size(4 * VW)));

V_INLINE tile_words tile_load_words(const uint32_t *at) {
    tile_words words;
    memcpy(&words, at, sizeof words);
    return words;
}

/* The whole row of the panel, in the first of its strips: later strips find it in the cache. */
V_INLINE void tile_prefetch(const void *at, int64_t ahead, const bool is_first) {
    for (int line = 0; is_first && line < 4; line++) {
        __builtin_prefetch((const char *)at + ahead + line * 64, 0, 3);
    }
}

/* sum[r][.] += x[r][k] w[k][.], w in registers. */
V_INLINE void tile_step(const int rows, const int vectors, vf sum[][64 / VW], const float *x, int64_t stride, const vf *w) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const vf factor = v_set1(x[r * stride]);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = v_fma(factor, w[v], sum[r][v]);
        }
    }
}

V_INLINE void tile_run_f32(const int rows, const int vectors, const struct tile *t, int column, const bool is_first,
                           vf sum[][64 / VW]) {
    const float *x = t->x, *w = (const float *)t->panel + column;
    for (int64_t k = t->k_begin; k < t->k_end; k++) {
        vf weights[64 / VW];
        tile_prefetch(w + k * 64, t->ahead, is_first);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            weights[v] = v_load(w + k * 64 + v * VW);
        }
        tile_step(rows, vectors, sum, x + k, t->x_stride, weights);
    }
}

/* One k of the pair in `words`: the lower or the upper half of each lane. */
V_INLINE void tile_half(const int rows, const int vectors, const struct tile *t, const uint32_t *words, int64_t k, const bool upper,
                        vf sum[][64 / VW]) {
    vf weights[64 / VW];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++) {
        const tile_words pair = tile_load_words(words + v * VW);
        weights[v] = upper ? (vf)(pair & 0xffff0000U) : (vf)(pair << 16);
    }
    tile_step(rows, vectors, sum, (const float *)t->x + k, t->x_stride, weights);
}

V_INLINE void tile_run_bf16(const int rows, const int vectors, const struct tile *t, int column, const bool is_first,
                            vf sum[][64 / VW]) {
    const uint32_t *words = (const uint32_t *)t->panel + column;
    int64_t k = t->k_begin;
    if (k & 1) {
        tile_half(rows, vectors, t, words + k / 2 * 64, k, true, sum);
        k++;
    }
    for (; k + 2 <= t->k_end; k += 2) {
        tile_prefetch(words + k / 2 * 64, t->ahead, is_first);
        tile_half(rows, vectors, t, words + k / 2 * 64, k, false, sum);
        tile_half(rows, vectors, t, words + k / 2 * 64, k + 1, true, sum);
    }
    if (k < t->k_end) {
        tile_half(rows, vectors, t, words + k / 2 * 64, k, false, sum);
    }
}

#if defined(__AVX512BF16__)
V_INLINE void tile_run_dp(const int rows, const int vectors, const struct tile *t, int column, const bool is_first,
                          vf sum[][64 / VW]) {
    const uint16_t *x = t->x;
    const uint32_t *words = (const uint32_t *)t->panel + column;
    for (int64_t k = t->k_begin; k < t->k_end; k += 2) {
        __m512bh weights[64 / VW];
        tile_prefetch(words + k / 2 * 64, t->ahead, is_first);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            weights[v] = (__m512bh)_mm512_loadu_si512(words + k / 2 * 64 + v * VW);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, x + r * t->x_stride + k, sizeof pair);
            const __m512bh factor = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++) {
                sum[r][v] = _mm512_dpbf16_ps(sum[r][v], factor, weights[v]);
            }
        }
    }
}
#endif

/* `vectors` vectors of columns from `column` on. */
V_INLINE void tile_strip(const int kind, const int rows, const int vectors, const struct tile *t, int column, const bool is_first) {
    vf sum[TILE_ROWS][64 / VW];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = v_zero();
        }
    }
    if (kind == TILE_F32) {
        tile_run_f32(rows, vectors, t, column, is_first, sum);
    } else if (kind == TILE_BF16) {
        tile_run_bf16(rows, vectors, t, column, is_first, sum);
    } else {
#if defined(__AVX512BF16__)
        tile_run_dp(rows, vectors, t, column, is_first, sum);
#endif
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            float *to = t->sum + r * 64 + column + v * VW;
            v_store(to, t->add ? v_add(v_load(to), sum[r][v]) : sum[r][v]);
        }
    }
}

/* Strips as wide as the registers allow: rows * vectors accumulators, 24 of 32 or 12 of 16. */
V_INLINE void tile_rows(const int kind, const int rows, const struct tile *t) {
    const int registers = VW == 16 ? 24 : 12;
    const int whole = 64 / VW, fit = registers / rows;
    const int vectors = fit >= whole ? whole : fit >= 8 ? 8 : fit >= 4 ? 4 : 2;
    tile_strip(kind, rows, vectors, t, 0, true);
    for (int column = vectors * VW; column < 64; column += vectors * VW) {
        tile_strip(kind, rows, vectors, t, column, false);
    }
}

V_INLINE void tile_run(const int kind, int64_t rows, const struct tile *t) {
    switch (rows) {
    case 1:
        tile_rows(kind, 1, t);
        break;
    case 2:
        tile_rows(kind, 2, t);
        break;
    case 3:
        tile_rows(kind, 3, t);
        break;
    case 4:
        tile_rows(kind, 4, t);
        break;
    case 5:
        tile_rows(kind, 5, t);
        break;
    default:
        tile_rows(kind, TILE_ROWS, t);
        break;
    }
}

#endif

/* tile.h - the inner loop of gemv and gemm: up to TILE_ROWS rows of x times one stretch along K of a panel.
 *
 * Every output has one chain of additions, in a register and between stretches in memory, so it runs in the order of k
 * whatever the number of rows, columns, lanes or stretches: the order is that of enum tfr_order_kind by construction. The plain
 * loop it equals, for one row and column: for (k = k_begin; k < k_end; k++) sum = fma(x[k], w[k], sum); Included by sources that
 * are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_GEMV_TILE_H
#define TFR_PLUGINS_GEMV_TILE_H

#include "common/panel.h"
#include "common/simd.h"

#define TILE_ROWS  6 /* of a group that shares one pass */
#define TILE_ALONE 3 /* most rows that take one pass: more are split, so that memory works on while the multipliers do */

/* How weights and x meet. */
enum tile_kind {
    TILE_F32,  /* f32 weights */
    TILE_BF16, /* bf16 weights widened to f32, x in f32: TFR_ORDER_FMA */
    TILE_F16,  /* f16 weights likewise */
    TILE_DP    /* bf16 weights, x in bf16: TFR_ORDER_DP_BF16 by vdpbf16ps */
};

enum { TILE_LINES = 4 }; /* cache lines of a row of the panel (f32: one k, 16 bits: two), by which prefetches are counted */

/* One stretch of one block of one panel. */
struct tile {
    const void *x;          /* first row: f32, or bf16 for TILE_DP with a zero behind an odd K */
    int64_t x_stride;       /* elements between rows of x */
    const void *panel;      /* k = 0, column 0 of the panel */
    int64_t k_begin, k_end; /* even begin for TILE_DP */
    const float *from;      /* [rows][64]: chains to go on with; NULL: they begin */
    float *to;              /* [rows][64]: taken over or, with `add`, added to */
    bool add;
    int64_t ahead;    /* bytes from the weights in use to those to prefetch meanwhile */
    int pass, passes; /* how many passes over the stretch share the prefetches, and which of them this one is */
};

typedef uint32_t tile_words __attribute__((vector_size(4 * VW)));

V_INLINE tile_words tile_load_words(const uint32_t *at) {
    tile_words words;
    memcpy(&words, at, sizeof words);
    return words;
}

/* What one pass prefetches. Alone it runs a fixed distance ahead of its loads, into the first cache. One of several takes its part
 * of what lies ahead, front to back, so many lines at each row of the panel, into the second cache: memory has more requests in
 * flight there. Lines that are one too many are the first again, which costs nothing. */
struct tile_prefetch {
    const char *at;
    int64_t step, line[TILE_LINES];
};

V_INLINE struct tile_prefetch tile_prefetch_of(const int kind, const struct tile *t, int strip) {
    const int per_row = kind == TILE_F32 ? 1 : 2; /* k in a row of the panel */
    const int64_t rows = (t->k_end - t->k_begin) / per_row, lines = (TILE_LINES + t->passes - 1) / t->passes;
    const int64_t first = (t->pass + strip) * rows * lines;
    const char *weights = (const char *)t->panel + t->k_begin / per_row * TILE_LINES * 64;
    struct tile_prefetch p = {.at = weights, .step = 0};
    if (first < rows * TILE_LINES) {
        p.at = weights + t->ahead + first * 64;
        p.step = lines * 64;
    }
    for (int line = 0; line < TILE_LINES; line++) {
        p.line[line] = line < lines ? line * 64 : 0;
    }
    return p;
}

V_INLINE void tile_prefetch(struct tile_prefetch *p, const bool is_alone) {
#pragma GCC unroll 4
    for (int line = 0; line < TILE_LINES; line++) {
        if (is_alone) {
            __builtin_prefetch(p->at + line * 64, 0, 3);
        } else {
            __builtin_prefetch(p->at + p->line[line], 0, 2);
        }
    }
    p->at += is_alone ? TILE_LINES * 64 : p->step;
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

V_INLINE void tile_run_f32(const int rows, const int vectors, const bool is_alone, const struct tile *t, int column,
                           struct tile_prefetch *p, vf sum[][64 / VW]) {
    const float *x = t->x, *w = (const float *)t->panel + t->k_begin * 64;
    for (int64_t k = t->k_begin; k < t->k_end; k++, w += 64) {
        vf weights[64 / VW];
        tile_prefetch(p, is_alone);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            weights[v] = v_load(w + column + v * VW);
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

V_INLINE void tile_run_bf16(const int rows, const int vectors, const bool is_alone, const struct tile *t, int column,
                            struct tile_prefetch *p, vf sum[][64 / VW]) {
    const uint32_t *words = (const uint32_t *)t->panel + column;
    int64_t k = t->k_begin;
    if (k & 1) {
        tile_half(rows, vectors, t, words + k / 2 * 64, k, true, sum);
        k++;
    }
    for (; k + 2 <= t->k_end; k += 2) {
        tile_prefetch(p, is_alone);
        tile_half(rows, vectors, t, words + k / 2 * 64, k, false, sum);
        tile_half(rows, vectors, t, words + k / 2 * 64, k + 1, true, sum);
    }
    if (k < t->k_end) {
        tile_half(rows, vectors, t, words + k / 2 * 64, k, false, sum);
    }
}

V_INLINE void tile_one_f16(const int rows, const int vectors, const struct tile *t, int column, int64_t k, vf sum[][64 / VW]) {
    const uint16_t *w = (const uint16_t *)t->panel + k * 64 + column;
    vf weights[64 / VW];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++) {
        weights[v] = v_load_f16(w + v * VW);
    }
    tile_step(rows, vectors, sum, (const float *)t->x + k, t->x_stride, weights);
}

V_INLINE void tile_run_f16(const int rows, const int vectors, const bool is_alone, const struct tile *t, int column,
                           struct tile_prefetch *p, vf sum[][64 / VW]) {
    int64_t k = t->k_begin;
    if (k & 1) {
        tile_one_f16(rows, vectors, t, column, k++, sum);
    }
    for (; k + 2 <= t->k_end; k += 2) {
        tile_prefetch(p, is_alone);
        tile_one_f16(rows, vectors, t, column, k, sum);
        tile_one_f16(rows, vectors, t, column, k + 1, sum);
    }
    if (k < t->k_end) {
        tile_one_f16(rows, vectors, t, column, k, sum);
    }
}

#if defined(__AVX512BF16__)
V_INLINE void tile_run_dp(const int rows, const int vectors, const bool is_alone, const struct tile *t, int column,
                          struct tile_prefetch *p, vf sum[][64 / VW]) {
    const uint16_t *x = t->x;
    const uint32_t *words = (const uint32_t *)t->panel + t->k_begin / 2 * 64;
    for (int64_t k = t->k_begin; k < t->k_end; k += 2, words += 64) {
        __m512bh weights[64 / VW];
        tile_prefetch(p, is_alone);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            weights[v] = (__m512bh)_mm512_loadu_si512(words + column + v * VW);
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

/* Vectors of columns that a strip has: as many as the registers allow, rows * vectors accumulators, 24 of 32 or 12 of 16. */
V_INLINE int tile_vectors(int64_t rows) {
    const int64_t fit = V_REGISTERS * 3 / 4 / rows, whole = 64 / VW;
    return (int)(fit >= whole ? whole : fit >= 8 ? 8 : fit >= 4 ? 4 : 2);
}

/* Passes over a panel that so many rows of it take. */
V_INLINE int tile_strips(int64_t rows) {
    return 64 / VW / tile_vectors(rows);
}

/* `vectors` vectors of columns from `column` on. */
V_INLINE void tile_strip(const int kind, const int rows, const int vectors, const bool is_alone, const struct tile *t, int column) {
    struct tile_prefetch p = tile_prefetch_of(kind, t, column / (vectors * VW));
    vf sum[TILE_ROWS][64 / VW];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = t->from != NULL ? v_load(t->from + r * 64 + column + v * VW) : v_zero();
        }
    }
    if (kind == TILE_F32) {
        tile_run_f32(rows, vectors, is_alone, t, column, &p, sum);
    } else if (kind == TILE_BF16) {
        tile_run_bf16(rows, vectors, is_alone, t, column, &p, sum);
    } else if (kind == TILE_F16) {
        tile_run_f16(rows, vectors, is_alone, t, column, &p, sum);
    } else {
#if defined(__AVX512BF16__)
        tile_run_dp(rows, vectors, is_alone, t, column, &p, sum);
#endif
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            float *to = t->to + r * 64 + column + v * VW;
            v_store(to, t->add ? v_add(v_load(to), sum[r][v]) : sum[r][v]);
        }
    }
}

V_INLINE void tile_rows(const int kind, const int rows, const bool is_alone, const struct tile *t) {
    const int vectors = tile_vectors(rows);
    for (int column = 0; column < 64; column += vectors * VW) {
        tile_strip(kind, rows, vectors, is_alone, t, column);
    }
}

/* One pass, or one strip after the other, for a group of rows. */
V_INLINE void tile_run(const int kind, int64_t rows, const struct tile *t) {
    switch (rows) {
    case 1:
        tile_rows(kind, 1, false, t);
        break;
    case 2:
        tile_rows(kind, 2, false, t);
        break;
    case 3:
        tile_rows(kind, 3, false, t);
        break;
    case 4:
        tile_rows(kind, 4, false, t);
        break;
    case 5:
        tile_rows(kind, 5, false, t);
        break;
    default:
        tile_rows(kind, TILE_ROWS, false, t);
        break;
    }
}

/* The only pass over the panel: TILE_ALONE rows at most. */
V_INLINE void tile_run_alone(const int kind, int64_t rows, const struct tile *t) {
    switch (rows) {
    case 1:
        tile_rows(kind, 1, true, t);
        break;
    case 2:
        tile_rows(kind, 2, true, t);
        break;
    default:
        tile_rows(kind, TILE_ALONE, true, t);
        break;
    }
}

#endif

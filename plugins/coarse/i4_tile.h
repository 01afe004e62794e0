/* i4_tile.h - the inner loop of 4 bits: a few rows of x times one panel, group by group, into one f32 chain for each output.
 *
 * The loop it equals, for one row and column: total = 0; for each span of K: chain = 0; for each group of the span: sum = 0; for k
 * of the group: sum += x[k] * (q[k] - zero); chain = fma((float)sum, w_scale, chain); and then total = fma(x_scale, chain, total).
 * The zero point is taken away at once, as zero times the group's sum of x.
 * Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_I4_TILE_H
#define TFR_PLUGINS_COARSE_I4_TILE_H

#include "coarse/coarse.h"
#include "coarse/ints.h"
#include "common/coarse_panel.h"

#if V_REGISTERS == 32
#define I4_ROWS 6 /* of a tile: rows times vectors sums of both kinds stay in registers */
#elif defined(V_ISA_AVX2)
#define I4_ROWS 2
#else
#define I4_ROWS 1
#endif
#define I4_STRIPS (TFR_PANEL_COLS / (2 * VW)) /* of columns, where a tile has three rows or more */

/* Behind the numbers of a row, which are padded to whole groups: scales of the spans, then what the sums of the groups start from.
 */
struct i4_tile {
    const int8_t *x;  /* first row */
    int64_t x_stride; /* bytes between rows */
    int64_t groups;   /* of K */
    const char *panel;
    const char *ahead;          /* what to prefetch */
    int64_t lines, lines_first; /* cache lines of it for each 32 of K in a strip of columns, and in the first strip */
    float *sum;                 /* [rows][64] */
};

struct i4_type {
    int group;
    bool has_zero;
};

V_INLINE int64_t i4_group_lines(const struct i4_type type) {
    return (int64_t)coarse_i4_group_bytes(type.group, type.has_zero) / 64;
}

V_INLINE void i4_start(const int rows, const int vectors, const struct i4_type type, int64_t x_stride, const int8_t *start,
                       const uint8_t *zero, vi sum[][TFR_PANEL_COLS / VW]) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const vi of_x = i_spread((const uint8_t *)start + r * x_stride);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = type.has_zero ? i_multiply(i_from_bytes(zero + v * VW), of_x) : of_x;
        }
    }
}

/* 32 of K, at x and w; `streams`: one or two rows, which prefetch as they go. */
V_INLINE void i4_block(const int rows, const int vectors, const bool streams, int64_t x_stride, const int8_t *x, const char *w,
                       const char *ahead, vi sum[][TFR_PANEL_COLS / VW]) {
    vi part[I4_ROWS][TFR_PANEL_COLS / VW];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            part[r][v] = i4_begin(sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++, w += COARSE_QUAD_BYTES) {
        vi low[TFR_PANEL_COLS / VW], high[TFR_PANEL_COLS / VW];
        for (int line = 0; streams && line < 4; line++) {
            __builtin_prefetch(ahead + (q * 4 + line) * 64, 0, 3);
        }
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            const vi both = i_load((const int32_t *)(const void *)(w + v * VW * 4));
            low[v] = i_low(both);
            high[v] = i_high(both);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const uint8_t *at = (const uint8_t *)x + r * x_stride + q * 4;
            const vi first = i_spread(at), second = i_spread(at + 16);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) {
                part[r][v] = i4_dot(part[r][v], first, low[v]);
                part[r][v] = i4_dot(part[r][v], second, high[v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = i4_end(sum[r][v], part[r][v]);
        }
    }
}

V_INLINE void i4_scale(const int rows, const int vectors, const uint16_t *scale, const vi sum[][TFR_PANEL_COLS / VW],
                       vf chain[][TFR_PANEL_COLS / VW]) {
    vf w_scale[TFR_PANEL_COLS / VW];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        w_scale[v] = i_from_f16(scale + v * VW);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            chain[r][v] = i_chain(i_float(sum[r][v]), w_scale[v], chain[r][v]);
        }
    }
}

/* The chains of a span, times its scales of x, go to the sums of the rows, and begin again. */
V_INLINE void i4_end_span(const int rows, const int vectors, int64_t x_stride, const int8_t *x_scale, float *sum,
                          vf chain[][TFR_PANEL_COLS / VW]) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const vf of_x = (vf)i_spread((const uint8_t *)x_scale + r * x_stride);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            float *to = sum + r * TFR_PANEL_COLS + v * VW;
            v_store(to, i_chain(of_x, chain[r][v], v_load(to)));
            chain[r][v] = v_zero();
        }
    }
}

V_INLINE void i4_clear(const int rows, const int vectors, float *sum, vf chain[][TFR_PANEL_COLS / VW]) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            chain[r][v] = v_zero();
            v_store(sum + r * TFR_PANEL_COLS + v * VW, v_zero());
        }
    }
}

V_INLINE void i4_prefetch(const char *ahead, int64_t lines) {
    for (int64_t line = 0; line < lines; line++, ahead += 64) {
        __builtin_prefetch(ahead, 0, 2);
    }
}

/* Columns [column, column + vectors * VW). What streams prefetches as many lines as it reads, so that it keeps its distance; else
 * `lines` for each 32 of K. */
V_INLINE void i4_strip(const int rows, const int vectors, const bool streams, int64_t lines, const struct i4_type type,
                       const struct i4_tile *t, const char *ahead, int column) {
    vf chain[I4_ROWS][TFR_PANEL_COLS / VW];
    const size_t numbers = coarse_i4_numbers_bytes(type.group), whole = coarse_i4_group_bytes(type.group, type.has_zero);
    const int per_span = TFR_QUANT_SPAN / type.group;
    const int8_t *x = t->x, *x_scale = x + t->groups * type.group;
    const int8_t *start = x_scale + coarse_spans(t->groups, type.group) * (int64_t)sizeof(float);
    const char *at = t->panel;
    float *to = t->sum + column;
    int in_span = 0;
    i4_clear(rows, vectors, to, chain);
    for (int64_t g = 0; g < t->groups; g++, at += whole, start += sizeof(int32_t)) {
        vi sum[I4_ROWS][TFR_PANEL_COLS / VW];
        const uint16_t *scale = (const uint16_t *)(const void *)(at + numbers);
        i4_start(rows, vectors, type, t->x_stride, start, (const uint8_t *)(scale + TFR_PANEL_COLS) + column, sum);
        for (int b = 0; b < type.group / 32; b++, x += 32, ahead += (streams ? 16 : lines) * 64) {
            i4_prefetch(ahead, streams ? 0 : lines);
            i4_block(rows, vectors, streams, t->x_stride, x, at + b * 1024 + column * 4, ahead, sum);
        }
        for (size_t beside = numbers; streams && beside < whole; beside += 64, ahead += 64) {
            __builtin_prefetch(ahead, 0, 3);
        }
        i4_scale(rows, vectors, scale + column, sum, chain);
        if (++in_span == per_span) {
            i4_end_span(rows, vectors, t->x_stride, x_scale, to, chain);
            x_scale += sizeof(float);
            in_span = 0;
        }
    }
    if (in_span > 0) {
        i4_end_span(rows, vectors, t->x_stride, x_scale, to, chain);
    }
}

/* All 64 columns, in strips that fit the registers. */
V_INLINE void i4_rows(const int rows, const struct i4_type type, const struct i4_tile *t) {
#if V_REGISTERS == 32
    const int vectors = rows <= 2 ? 4 : 2;
    const bool streams = rows <= 2;
#else
    const int vectors = rows > 1 ? 2 : 4;
    const bool streams = rows == 1;
#endif
    const char *ahead = t->ahead;
    if (streams) {
        i4_strip(rows, vectors, true, 0, type, t, ahead, 0);
        for (int column = vectors * VW; column < TFR_PANEL_COLS; column += vectors * VW) {
            i4_strip(rows, vectors, false, 0, type, t, ahead, column);
        }
        return;
    }
    int64_t lines = t->lines_first;
    for (int column = 0; column < TFR_PANEL_COLS; column += vectors * VW) {
        i4_strip(rows, vectors, false, lines, type, t, ahead, column);
        ahead += lines * 64 * t->groups * (type.group / 32);
        lines = t->lines;
    }
}

/* A function for each number of rows and each type: constants, so that all that a tile needs stays in registers. */
typedef void i4_rows_fn(const struct i4_tile *t);
#define I4_FUNCTION(rows, group_k, zero)                                                                                           \
    static __attribute__((noinline)) void i4_rows_##rows##_##group_k##_##zero(const struct i4_tile *t) {                           \
        i4_rows(rows, (struct i4_type){.group = group_k, .has_zero = zero}, t);                                                    \
    }
#define I4_FUNCTIONS(rows) I4_FUNCTION(rows, 32, 0) I4_FUNCTION(rows, 32, 1) I4_FUNCTION(rows, 64, 0) I4_FUNCTION(rows, 64, 1)
#define I4_NAMES(rows)                                                                                                             \
    {                                                                                                                              \
        {i4_rows_##rows##_32_0, i4_rows_##rows##_32_1}, {                                                                          \
            i4_rows_##rows##_64_0, i4_rows_##rows##_64_1                                                                           \
        }                                                                                                                          \
    }

I4_FUNCTIONS(1)
#if I4_ROWS >= 2
I4_FUNCTIONS(2)
#endif
#if I4_ROWS >= 6
I4_FUNCTIONS(3)
I4_FUNCTIONS(4)
I4_FUNCTIONS(5)
I4_FUNCTIONS(6)
#endif

/* Up to I4_ROWS rows. */
V_INLINE void i4_run(int64_t rows, const struct i4_type type, const struct i4_tile *t) {
    static i4_rows_fn *const functions[I4_ROWS][2][2] = {
        I4_NAMES(1),
#if I4_ROWS >= 2
        I4_NAMES(2),
#endif
#if I4_ROWS >= 6
        I4_NAMES(3),
        I4_NAMES(4),
        I4_NAMES(5),
        I4_NAMES(6),
#endif
    };
    functions[rows - 1][type.group == 64][type.has_zero](t);
}

#endif

/* i4_tile.h - the inner loop of 4 bits: a few rows of x times one panel, group by group, into one f32 chain for each output.
 *
 * The loop it equals, for one row and column: chain = 0; for each group: sum = 0; for k of the group: sum += x[k] * (q[k] - zero);
 * chain = fma((float)sum, x_scale * w_scale, chain). The zero point is taken away at once, as zero times the group's sum of x.
 * Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_I4_TILE_H
#define TFR_PLUGINS_COARSE_I4_TILE_H

#include "coarse/ints.h"
#include "common/coarse_panel.h"

#if V_REGISTERS == 32
#define I4_ROWS 6 /* of a tile: rows times vectors sums of both kinds stay in registers */
#elif defined(V_ISA_AVX2)
#define I4_ROWS 2
#else
#define I4_ROWS 1
#endif

struct i4_tile {
    const int8_t *x;  /* first row: numbers, padded to whole groups; behind them scales and sums of the groups */
    int64_t x_stride; /* bytes between rows */
    int64_t groups;   /* of K */
    const char *panel;
    const char *ahead; /* what to prefetch, `lines` cache lines for each 256 bytes of numbers */
    float *sum;        /* [rows][64] */
};

struct i4_type {
    int group;
    bool has_zero;
};

V_INLINE void i4_start(const int rows, const int vectors, const struct i4_type type, const struct i4_tile *t, int64_t g,
                       const uint8_t *zero, vi sum[][TFR_PANEL_COLS / VW]) {
    const int64_t sums_at = t->groups * (type.group + (int64_t)sizeof(float));
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        int32_t of_x;
        memcpy(&of_x, t->x + r * t->x_stride + sums_at + g * (int64_t)sizeof of_x, sizeof of_x);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = type.has_zero ? i_multiply(i_from_bytes(zero + v * VW), i_set1(-of_x)) : i_set1(-8 * of_x);
        }
    }
}

/* 32 of K, at x and w. */
V_INLINE void i4_block(const int rows, const int vectors, const int lines, const int locality, const struct i4_tile *t,
                       const int8_t *x, const char *w, const char *ahead, vi sum[][TFR_PANEL_COLS / VW]) {
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
        for (int line = 0; line < lines; line++) {
            if (locality == 3) {
                __builtin_prefetch(ahead + (q * lines + line) * 64, 0, 3);
            } else {
                __builtin_prefetch(ahead + (q * lines + line) * 64, 0, 2);
            }
        }
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            const vi both = i_load((const int32_t *)(const void *)(w + v * VW * 4));
            low[v] = i_low(both);
            high[v] = i_high(both);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const uint8_t *at = (const uint8_t *)x + r * t->x_stride + q * 4;
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

V_INLINE void i4_scale(const int rows, const int vectors, const struct i4_type type, const struct i4_tile *t, int64_t g,
                       const uint16_t *scale, vi sum[][TFR_PANEL_COLS / VW], vf chain[][TFR_PANEL_COLS / VW]) {
    vf w_scale[TFR_PANEL_COLS / VW];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        w_scale[v] = i_from_f16(scale + v * VW);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        float of_x;
        memcpy(&of_x, t->x + r * t->x_stride + t->groups * type.group + g * (int64_t)sizeof of_x, sizeof of_x);
        const vf x_scale = v_set1(of_x);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            chain[r][v] = i_chain(i_float(sum[r][v]), v_mul(x_scale, w_scale[v]), chain[r][v]);
        }
    }
}

/* Columns [column, column + vectors * VW). */
V_INLINE void i4_strip(const int rows, const int vectors, const int lines, const int locality, const struct i4_type type,
                       const struct i4_tile *t, int column) {
    vf chain[I4_ROWS][TFR_PANEL_COLS / VW];
    const size_t numbers = (size_t)type.group / 32 * 1024, scales = TFR_PANEL_COLS * sizeof(uint16_t);
    const size_t whole = numbers + scales + (type.has_zero ? TFR_PANEL_COLS : 0);
    const char *at = t->panel, *ahead = t->ahead;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            chain[r][v] = v_zero();
        }
    }
    for (int64_t g = 0; g < t->groups; g++, at += whole) {
        vi sum[I4_ROWS][TFR_PANEL_COLS / VW];
        i4_start(rows, vectors, type, t, g, (const uint8_t *)at + numbers + scales + column, sum);
        for (int b = 0; b < type.group / 32; b++, ahead += lines * 256) {
            i4_block(rows, vectors, lines, locality, t, t->x + g * type.group + b * 32, at + b * 1024 + column * 4, ahead, sum);
        }
        i4_scale(rows, vectors, type, t, g, (const uint16_t *)(const void *)(at + numbers) + column, sum, chain);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            v_store(t->sum + r * TFR_PANEL_COLS + column + v * VW, chain[r][v]);
        }
    }
}

/* What a tile prefetches: what it reads itself, some KiB ahead and all in the first strip of columns, or the next panel, in this
 * pass and others: a strip is a pass, two of them a tile of three rows or more. */
enum i4_ahead {
    I4_STREAM,
    I4_IN_TWO, /* passes */
    I4_IN_FOUR,
    I4_IN_MANY /* six or more */
};

/* Lines for each 256 bytes of numbers that a pass prefetches. With their scales and zero points they have 4.5 to 4.75; what is too
 * much belongs to the panel behind the next. */
V_INLINE int i4_lines(const enum i4_ahead ahead, const bool is_first) {
    switch (ahead) {
    case I4_STREAM:
        return is_first ? 5 : 0;
    case I4_IN_TWO:
        return 3;
    case I4_IN_FOUR:
        return 2;
    default:
        return 1;
    }
}

/* All 64 columns, in strips that fit the registers. */
V_INLINE void i4_rows(const int rows, const enum i4_ahead ahead, const struct i4_type type, const struct i4_tile *t) {
#if V_REGISTERS == 32
    const int vectors = rows <= 2 ? 4 : 2;
#else
    const int vectors = rows > 1 ? 2 : 4;
#endif
    const int lines = i4_lines(ahead, false), locality = rows <= 2 && ahead == I4_STREAM ? 3 : 2;
    struct i4_tile strip = *t;
    i4_strip(rows, vectors, i4_lines(ahead, true), locality, type, &strip, 0);
    for (int column = vectors * VW; column < TFR_PANEL_COLS; column += vectors * VW) {
        strip.ahead += lines * 256 * t->groups * (type.group / 32);
        i4_strip(rows, vectors, lines, locality, type, &strip, column);
    }
}

#if I4_ROWS >= 6
V_INLINE void i4_some_rows(int64_t rows, const enum i4_ahead ahead, const struct i4_type type, const struct i4_tile *t) {
    switch (rows) {
    case 3:
        i4_rows(3, ahead, type, t);
        break;
    case 4:
        i4_rows(4, ahead, type, t);
        break;
    case 5:
        i4_rows(5, ahead, type, t);
        break;
    default:
        i4_rows(6, ahead, type, t);
        break;
    }
}

/* Up to I4_ROWS rows; one or two stream. */
V_INLINE void i4_run(int64_t rows, enum i4_ahead ahead, const struct i4_type type, const struct i4_tile *t) {
    if (rows == 1) {
        i4_rows(1, I4_STREAM, type, t);
    } else if (rows == 2) {
        i4_rows(2, I4_STREAM, type, t);
    } else if (ahead == I4_STREAM) {
        i4_some_rows(rows, I4_STREAM, type, t);
    } else if (ahead == I4_IN_TWO) {
        i4_some_rows(rows, I4_IN_TWO, type, t);
    } else if (ahead == I4_IN_FOUR) {
        i4_some_rows(rows, I4_IN_FOUR, type, t);
    } else {
        i4_some_rows(rows, I4_IN_MANY, type, t);
    }
}
#else
V_INLINE void i4_run(int64_t rows, enum i4_ahead ahead, const struct i4_type type, const struct i4_tile *t) {
    (void)ahead;
    if (rows == 1) {
        i4_rows(1, I4_STREAM, type, t);
    } else {
        i4_rows(I4_ROWS, I4_IN_FOUR, type, t);
    }
}
#endif

#endif

/* i8_tile.h - the inner loop of int8: up to I8_ROWS rows of x times one panel, into sums of 32 bits.
 *
 * The loop it equals, for one row and column: sum = 0; for (k = 0; k < K; k++) sum += (x[k] + INTS_SHIFT) * w[k]. Sums of whole
 * numbers wrap around where the shift takes them over 2^31; what is taken away at the end brings them back.
 * Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_I8_TILE_H
#define TFR_PLUGINS_COARSE_I8_TILE_H

#include "coarse/ints.h"
#include "common/coarse_panel.h"

struct i8_tile {
    const uint8_t *x; /* first row */
    int64_t x_stride; /* bytes between rows */
    const char *panel;
    int64_t quads;     /* of K */
    const char *ahead; /* what to prefetch */
    int32_t *sum;      /* [rows][64] */
};

#if defined(__AMX_INT8__) || defined(TFR_TILES_EMULATED)
#define I8_ROWS 16
#include "coarse/i8_tiles.h"
#else
#define I8_ROWS INTS_ROWS

/* Columns [column, column + vectors * VW). */
V_INLINE void i8_strip(const int rows, const int vectors, const int lines, const int locality, const struct i8_tile *t,
                       int column) {
    vi sum[INTS_ROWS][TFR_PANEL_COLS / VW];
    const char *w = t->panel + (size_t)column * 4, *ahead = t->ahead;
    const uint8_t *x = t->x;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = i_zero();
        }
    }
    for (int64_t q = 0; q < t->quads; q++, w += COARSE_QUAD_BYTES, x += 4) {
        vw weights[TFR_PANEL_COLS / VW];
        for (int line = 0; line < lines; line++, ahead += 64) {
            if (locality == 3) {
                __builtin_prefetch(ahead, 0, 3);
            } else {
                __builtin_prefetch(ahead, 0, 2);
            }
        }
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            weights[v] = i_weights(w + v * VW * 4);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const vi four = i_spread(x + r * t->x_stride);
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++) {
                sum[r][v] = i_dot(sum[r][v], four, weights[v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            i_store(t->sum + r * TFR_PANEL_COLS + column + v * VW, sum[r][v]);
        }
    }
}

/* All 64 columns, in strips as wide as the registers allow; the first prefetches. */
V_INLINE void i8_rows(const int rows, const int lines, const int locality, const struct i8_tile *t) {
    const int whole = TFR_PANEL_COLS / VW, fit = INTS_REGISTERS / rows;
    const int vectors = fit >= whole ? whole : fit >= 8 ? 8 : fit >= 4 ? 4 : 2;
    i8_strip(rows, vectors, lines, locality, t, 0);
    for (int column = vectors * VW; column < TFR_PANEL_COLS; column += vectors * VW) {
        i8_strip(rows, vectors, 0, locality, t, column);
    }
}

/* A tile alone prefetches as many lines as a quad has; one of several groups of rows 2. Where tiles have 6 rows, groups of several
 * have 3 at least. One or two rows want lines in the nearest cache, since they stream. */
V_INLINE void i8_run(int64_t rows, bool alone, const struct i8_tile *t) {
#if INTS_ROWS >= 6
    switch (alone ? rows : rows + INTS_ROWS) {
    case 1:
        i8_rows(1, 4, 3, t);
        break;
    case 2:
        i8_rows(2, 4, 3, t);
        break;
    case 3:
        i8_rows(3, 4, 2, t);
        break;
    case 4:
        i8_rows(4, 4, 2, t);
        break;
    case 5:
        i8_rows(5, 4, 2, t);
        break;
    case 6:
        i8_rows(6, 4, 2, t);
        break;
    case 9:
        i8_rows(3, 2, 2, t);
        break;
    case 10:
        i8_rows(4, 2, 2, t);
        break;
    case 11:
        i8_rows(5, 2, 2, t);
        break;
    default:
        i8_rows(6, 2, 2, t);
        break;
    }
#else
    switch (rows) {
    case 1:
        i8_rows(1, 4, 3, t);
        break;
    case 2:
        i8_rows(2, 2, 2, t);
        break;
#if INTS_ROWS >= 4
    case 3:
        i8_rows(3, 2, 2, t);
        break;
    default:
        i8_rows(4, 2, 2, t);
        break;
#endif
    }
#endif
}

#endif

#endif

/* i8w_wide.h - int8 weights by many rows in bf16: a stretch of a panel is widened to pairs once and all groups of rows pass over
 * that. The chains are those of i8w_tile.h, so are the bits; between stretches they wait in memory. Included by sources that are
 * compiled once per ISA.
 */
#ifndef TFR_PLUGINS_COARSE_I8W_WIDE_H
#define TFR_PLUGINS_COARSE_I8W_WIDE_H

#include "coarse/coarse.h"
#include "coarse/i8w_tile.h"

#define I8W_WIDE_QUADS  (COARSE_WIDE_PAIRS / 2)
#define I8W_WIDE_FLOATS (COARSE_WIDE_PAIRS * TFR_PANEL_COLS)
#define I8W_WIDE_ROWS   6 /* of a tile, which has all columns */

/* One stretch for one group of rows. */
struct i8w_wide {
    const uint16_t *x; /* first row, at the stretch */
    int64_t x_stride;  /* elements between rows */
    const float *w;    /* [pairs][64], each element two of bf16 */
    int64_t pairs;
    const char *ahead; /* a line to prefetch for each pair */
    const float *from; /* [rows][64]: chains to go on with; NULL: they begin */
    float *to;         /* [rows][64]: taken over or, with `add`, added to */
    bool add;
};

/* Quads [begin, end) of a panel. */
V_INLINE void i8w_widen(const char *panel, int64_t begin, int64_t end, const uint8_t *bytes, float *to) {
    const struct i8w_table table = i8w_table_of(bytes);
    for (int64_t q = begin; q < end; q++, to += 2 * TFR_PANEL_COLS) {
#pragma GCC unroll 4
        for (int v = 0; v < TFR_PANEL_COLS / VW; v++) {
            __m512bh pair[2];
            i8w_pairs(i_load((const int32_t *)(const void *)(panel + q * COARSE_QUAD_BYTES + v * VW * 4)), &table, pair);
            v_store(to + v * VW, (vf)pair[0]);
            v_store(to + TFR_PANEL_COLS + v * VW, (vf)pair[1]);
        }
    }
}

V_INLINE void i8w_wide_rows(const int rows, const struct i8w_wide *t) {
    const int vectors = TFR_PANEL_COLS / VW;
    vf sum[I8W_WIDE_ROWS][TFR_PANEL_COLS / VW];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = t->from != NULL ? v_load(t->from + r * TFR_PANEL_COLS + v * VW) : v_zero();
        }
    }
    for (int64_t i = 0; i < t->pairs; i++) {
        vf pair[TFR_PANEL_COLS / VW];
        __builtin_prefetch(t->ahead + i * 64, 0, 2);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            pair[v] = v_load(t->w + i * TFR_PANEL_COLS + v * VW);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            int32_t two;
            memcpy(&two, t->x + r * t->x_stride + 2 * i, sizeof two);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) {
                sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)_mm512_set1_epi32(two), (__m512bh)pair[v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            float *to = t->to + r * TFR_PANEL_COLS + v * VW;
            v_store(to, t->add ? v_add(v_load(to), sum[r][v]) : sum[r][v]);
        }
    }
}

/* Groups of several have I8W_WIDE_ROWS / 2 rows at least. */
V_INLINE void i8w_wide_run(int64_t rows, const struct i8w_wide *t) {
    switch (rows) {
    case 3:
        i8w_wide_rows(3, t);
        break;
    case 4:
        i8w_wide_rows(4, t);
        break;
    case 5:
        i8w_wide_rows(5, t);
        break;
    default:
        i8w_wide_rows(I8W_WIDE_ROWS, t);
        break;
    }
}

#endif

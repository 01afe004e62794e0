/* linear.h - what gemv and gemm share: the arguments of one run, and the end of a row (bias, activation,
 * residual). Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_GEMV_LINEAR_H
#define TFR_PLUGINS_GEMV_LINEAR_H

#include "common/act.h"
#include "common/dtype.h"
#include "common/panel.h"
#include "gemv/tile.h"

/* Rows of a panel (256 bytes each) in a stretch: a small part of a second cache, or, where memory has time enough, fewer pauses
 * of the chains. */
V_INLINE int64_t linear_stretch_rows(int64_t rows) {
    return rows <= 96 ? 256 : 512;
}

#define LINEAR_AHEAD_BYTES 4096 /* how far the loads of a panel that is passed over once are ahead */

struct linear {
    const float *x, *bias, *residual;
    const char *weight;
    float *y;
    size_t panel_stride; /* bytes */
    int64_t rows, k, n, k_block;
    int64_t y_stride, block_stride; /* elements of y between rows; between the blocks of a row that stay apart, else 0 */
    int activation;
};

V_INLINE bool linear_is_apart(const struct tfr_problem *problem) {
    return TFR_HAS(tfr_attrs, &problem->attrs, n_blocks) && problem->attrs.n_blocks > 0;
}

V_INLINE struct linear linear_of(const struct tfr_run_args *args, const struct tfr_problem *problem) {
    const int64_t k = problem->arg[0].dim[1];
    const bool may_choose = problem->order.kind == TFR_ORDER_ANY || problem->order.kind == TFR_ORDER_OWN;
    return (struct linear){
        .x = args->arg[0],
        .bias = args->arg[2],
        .residual = args->arg[3],
        .weight = args->arg[1],
        .y = args->arg[4],
        .panel_stride = panel_stride_bytes(problem->arg[1].dtype, k),
        .rows = args->rows,
        .k = k,
        .n = problem->arg[1].dim[problem->attrs.transposed ? 0 : 1],
        .k_block = may_choose ? panel_default_k_block(k) : problem->order.k_block,
        .y_stride = problem->arg[4].dim[1],
        .block_stride = linear_is_apart(problem) ? problem->arg[1].dim[problem->attrs.transposed ? 0 : 1] : 0,
        .activation = problem->attrs.activation,
    };
}

/* Rows pass over a panel in groups that differ by one at most. */
V_INLINE int64_t linear_groups(int64_t rows) {
    const int64_t groups = (rows + TILE_ROWS - 1) / TILE_ROWS;
    return groups == 1 && rows > TILE_ALONE && tile_strips(rows) == 1 ? 2 : groups;
}

V_INLINE int64_t linear_group_end(int64_t rows, int64_t group) {
    return rows * (group + 1) / linear_groups(rows);
}

V_INLINE int linear_passes(int64_t rows) {
    int passes = 0;
    for (int64_t g = 0, first = 0; g < linear_groups(rows); first = linear_group_end(rows, g++)) {
        passes += tile_strips(linear_group_end(rows, g) - first);
    }
    return passes;
}

/* Elements between rows of x rounded to bf16: a multiple of 32, so that pairs of an odd K end in a zero. */
V_INLINE int64_t linear_rounded_stride(int64_t k) {
    return panel_padded_k(TFR_DTYPE_BF16, k);
}

V_INLINE void linear_round_row(const struct linear *l, int64_t row, uint16_t *to) {
    const int64_t stride = linear_rounded_stride(l->k);
    tfr_panel_round(to, l->x + row * l->k, l->k);
    memset(to + l->k, 0, (size_t)(stride - l->k) * sizeof *to);
}

/* y[row0 + r][columns of the panel] from sum[r][64]. The residual may be y itself. */
V_INLINE void linear_finish(const struct linear *l, int64_t panel, int64_t row0, int64_t rows, const float *sum) {
    const int64_t column0 = panel * TFR_PANEL_COLS;
    const int64_t columns = l->n - column0 < TFR_PANEL_COLS ? l->n - column0 : TFR_PANEL_COLS;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t at = (row0 + r) * l->n + column0;
        for (int64_t c = 0; c < columns; c += VW) {
            const int n = columns - c < VW ? (int)(columns - c) : VW;
            vf value = v_load(sum + r * TFR_PANEL_COLS + c);
            if (l->bias != NULL) {
                value = v_add(value, n == VW ? v_load(l->bias + column0 + c) : v_load_n(l->bias + column0 + c, n));
            }
            value = act_apply_vec(value, l->activation);
            if (l->residual != NULL) {
                value = v_add(value, n == VW ? v_load(l->residual + at + c) : v_load_n(l->residual + at + c, n));
            }
            if (n == VW) {
                v_store(l->y + at + c, value);
            } else {
                v_store_n(l->y + at + c, value, n);
            }
        }
    }
}

/* Adds one stretch along K for rows [0, rows) of `tile`, group by group. The weights of the stretch behind it come in meanwhile, a
 * part in every pass, so that memory works while all the groups compute. */
V_INLINE void linear_stretch(const int kind, struct tile tile, int64_t rows) {
    const struct tile all = tile;
    const size_t x_bytes = kind == TILE_DP ? sizeof(uint16_t) : sizeof(float);
    for (int64_t g = 0, first = 0; g < linear_groups(rows); first = linear_group_end(rows, g++)) {
        const int64_t n = linear_group_end(rows, g) - first;
        tile.x = (const char *)all.x + (size_t)(first * tile.x_stride) * x_bytes;
        tile.from = all.from != NULL ? all.from + first * TFR_PANEL_COLS : NULL;
        tile.to = all.to + first * TFR_PANEL_COLS;
        tile_run(kind, n, &tile);
        tile.pass += tile_strips(n);
    }
}

/* One block along K. Several passes over it go stretch by stretch, each small enough to stay in the second cache; the chains of a
 * stretch wait in `part` for the next. */
V_INLINE void linear_block(const int kind, struct tile tile, int64_t rows, float *sum, float *part) {
    const int64_t begin = tile.k_begin, end = tile.k_end, panel_rows = linear_stretch_rows(rows);
    const int64_t stretch = (kind == TILE_F32 ? 1 : 2) * panel_rows;
    const bool add = tile.add;
    tile.passes = linear_passes(rows);
    if (tile.passes == 1) {
        tile.to = sum;
        tile.ahead = LINEAR_AHEAD_BYTES;
        tile_run_alone(kind, rows, &tile);
        return;
    }
    tile.ahead = panel_rows * TILE_LINES * 64;
    for (int64_t k = begin; k < end; k += stretch) {
        const bool is_last = end - k <= stretch;
        tile.k_begin = k;
        tile.k_end = is_last ? end : k + stretch;
        tile.from = k > begin ? part : NULL;
        tile.to = is_last ? sum : part;
        tile.add = is_last && add;
        linear_stretch(kind, tile, rows);
    }
}

/* One block's sums to their place among those that stay apart. */
V_INLINE void linear_store_block(const struct linear *l, int64_t panel, int64_t row0, int64_t rows, int64_t block,
                                 const float *sum) {
    const int64_t column0 = panel * TFR_PANEL_COLS;
    const int64_t columns = l->n - column0 < TFR_PANEL_COLS ? l->n - column0 : TFR_PANEL_COLS;
    for (int64_t r = 0; r < rows; r++) {
        memcpy(l->y + (row0 + r) * l->y_stride + block * l->block_stride + column0, sum + r * TFR_PANEL_COLS,
               (size_t)columns * sizeof *sum);
    }
}

/* All of K for one panel: the rows at `x` into sum[rows][64]; `part` is as large. */
V_INLINE void linear_panel(const int kind, const struct linear *l, int64_t panel, int64_t row0, const void *x, int64_t x_stride,
                           int64_t rows, float *sum, float *part) {
    for (int64_t k = 0; k < l->k; k += l->k_block) {
        const struct tile tile = {
            .x = x,
            .x_stride = x_stride,
            .panel = l->weight + (size_t)panel * l->panel_stride,
            .k_begin = k,
            .k_end = l->k - k < l->k_block ? l->k : k + l->k_block,
            .add = k > 0 && l->block_stride == 0,
        };
        linear_block(kind, tile, rows, sum, part);
        if (l->block_stride > 0) {
            linear_store_block(l, panel, row0, rows, k / l->k_block, sum);
        }
    }
}

/* One panel for some rows, from x to y; `sum` has room for the sums of twice as many rows. */
V_INLINE void linear_item(const int kind, const struct linear *l, int64_t panel, int64_t row0, const void *x, int64_t x_stride,
                          int64_t rows, float *sum) {
    linear_panel(kind, l, panel, row0, x, x_stride, rows, sum, sum + rows * TFR_PANEL_COLS);
    if (l->block_stride == 0) {
        linear_finish(l, panel, row0, rows, sum);
    }
}

#endif

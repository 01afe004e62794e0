/* linear.h - what gemv and gemm share: the arguments of one run, and the end of a row (bias, activation,
 * residual). Included by sources that are compiled once per ISA.
 */
#ifndef TFR_PLUGINS_GEMV_LINEAR_H
#define TFR_PLUGINS_GEMV_LINEAR_H

#include "common/act.h"
#include "common/dtype.h"
#include "common/panel.h"
#include "gemv/tile.h"

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

/* Adds one block along K for rows [0, rows) of `tile`, in groups that fit the registers; groups differ by at
 * most one row. */
V_INLINE void linear_block(const int kind, const struct linear *l, struct tile tile, int64_t rows, int64_t ahead) {
    const int64_t groups = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const size_t x_bytes = kind == TILE_DP ? sizeof(uint16_t) : sizeof(float);
    const char *x = tile.x;
    float *sum = tile.sum;
    for (int64_t g = 0; g < groups; g++) {
        const int64_t first = rows * g / groups, end = rows * (g + 1) / groups;
        tile.x = x + (size_t)(first * tile.x_stride) * x_bytes;
        tile.sum = sum + first * TFR_PANEL_COLS;
        tile.ahead = g == 0 ? ahead : 0;
        tile_run(kind, end - first, &tile);
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

/* All of K for one panel: the rows at `x` into sum[rows][64]. */
V_INLINE void linear_panel(const int kind, const struct linear *l, int64_t panel, int64_t row0, const void *x, int64_t x_stride,
                           int64_t rows, int64_t ahead, float *sum) {
    for (int64_t k = 0; k < l->k; k += l->k_block) {
        const struct tile tile = {
            .x = x,
            .x_stride = x_stride,
            .panel = l->weight + (size_t)panel * l->panel_stride,
            .k_begin = k,
            .k_end = l->k - k < l->k_block ? l->k : k + l->k_block,
            .sum = sum,
            .add = k > 0 && l->block_stride == 0,
        };
        linear_block(kind, l, tile, rows, ahead);
        if (l->block_stride > 0) {
            linear_store_block(l, panel, row0, rows, k / l->k_block, sum);
        }
    }
}

/* One panel for some rows, from x to y. */
V_INLINE void linear_item(const int kind, const struct linear *l, int64_t panel, int64_t row0, const void *x, int64_t x_stride,
                          int64_t rows, int64_t ahead, float *sum) {
    linear_panel(kind, l, panel, row0, x, x_stride, rows, ahead, sum);
    if (l->block_stride == 0) {
        linear_finish(l, panel, row0, rows, sum);
    }
}

#endif

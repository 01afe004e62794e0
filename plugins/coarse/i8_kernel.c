/* i8_kernel.c - linear of int8 weights by int8 rows, for any number of rows (TFR_ORDER_INT).
 *
 * Rows are rounded first: few by every thread for itself, many once by the team. Then a thread takes its panels one after the
 * other, each streamed once for all rows, and stays in L2 while groups of rows pass over it. Compiled once per ISA.
 */
#include "coarse/i8_tile.h"
#include "coarse/job.h"

#include <tfrun/quant.h>

struct rounded {
    uint8_t *x;
    float *scale;
    int64_t stride; /* bytes between rows */
};

static void round_row(const struct coarse_job *job, const struct rounded *to, int64_t row) {
    uint8_t *x = to->x + row * to->stride;
    to->scale[row] = tfr_quant_row_scale(job->x + row * job->k, job->k);
    tfr_quant_row((int8_t *)x, job->x + row * job->k, job->k, to->scale[row]);
    memset(x + job->k, 0, (size_t)(to->stride - job->k));
#if INTS_SHIFT
    for (int64_t i = 0; i < job->k; i++) {
        x[i] ^= INTS_SHIFT; /* adds 128 to a signed byte, as an unsigned one */
    }
#endif
}

static struct rounded round_rows(const struct coarse_job *job, const struct tfr_run_ctx *ctx) {
    const bool is_each = job->rows <= COARSE_ROWS_EACH;
    char *room = is_each ? ctx->thread_scratch : ctx->scratch;
    struct rounded to = {.x = (uint8_t *)room + coarse_scales_bytes(job->rows), .stride = coarse_row_stride(job->k)};
    to.scale = (float *)(void *)room;
    int64_t row = 0, end = job->rows;
    if (!is_each) {
        split_evenly(job->rows, ctx->tid, ctx->nth, &row, &end);
    }
    for (; row < end; row++) {
        round_row(job, &to, row);
    }
    if (!is_each) {
        ctx->barrier(ctx);
    }
    return to;
}

V_INLINE void finish(const struct coarse_job *job, const struct rounded *rounded, int64_t panel, int64_t row0, int64_t rows,
                     const int32_t *sum) {
    char *at = job->weight + (size_t)panel * job->panel_stride;
    const float *w_scale = coarse_i8_scales(at, job->k);
    const int64_t column0 = panel * TFR_PANEL_COLS;
    const int64_t columns = job->n - column0 < TFR_PANEL_COLS ? job->n - column0 : TFR_PANEL_COLS;
    for (int64_t r = 0; r < rows; r++) {
        const vf x_scale = v_set1(rounded->scale[row0 + r]);
        for (int64_t c = 0; c < columns; c += VW) {
            vi whole = i_load(sum + r * TFR_PANEL_COLS + c);
#if INTS_SHIFT
            whole = i_unshift(whole, i_load(coarse_i8_sums(at, job->k) + c));
#endif
            const vf value = v_mul(i_float(whole), v_mul(x_scale, v_load(w_scale + c)));
            coarse_end(job, row0 + r, column0 + c, columns - c, value);
        }
    }
}

V_INLINE void run_item(const struct coarse_job *job, const struct rounded *rounded, const struct coarse_item *item) {
    int32_t sum[I8_ROWS * TFR_PANEL_COLS] __attribute__((aligned(64)));
    const int64_t quads = coarse_quads(job->k);
    struct i8_tile tile = {
        .x_stride = rounded->stride, .panel = job->weight + (size_t)item->panel * job->panel_stride, .quads = quads, .sum = sum};
    for (int64_t g = 0; g < item->groups; g++) {
        const int64_t first = item->row0 + item->rows * g / item->groups;
        const int64_t rows = item->row0 + item->rows * (g + 1) / item->groups - first;
        tile.x = rounded->x + first * rounded->stride;
        const bool alone = item->groups == 1 || coarse_streams(item, g);
        tile.ahead = coarse_ahead(job, item, g, 2 * 64 * quads);
        i8_run(rows, alone, &tile);
        finish(job, rounded, item->panel, first, rows, sum);
    }
}

int32_t V_NAME(tfr_coarse_i8)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                              const struct tfr_run_ctx *ctx) {
    const size_t stride = coarse_i8_stride(problem->arg[0].dim[1]);
    const struct coarse_job job = coarse_job_of(args, problem, stride, I8_ROWS, INT32_MAX, ctx->nth);
    int64_t begin, end;
    split_evenly(job.panels * job.chunks, ctx->tid, ctx->nth, &begin, &end);
    coarse_expect_panel(&job, begin, end);
    const struct rounded rounded = round_rows(&job, ctx);
    for (int64_t i = begin; i < end; i++) {
        const struct coarse_item item = coarse_item_of(&job, i, begin, end, I8_ROWS);
        if (ctx->progress != NULL) { /* a transfer does not wait for the whole product */
            ctx->progress(ctx);
        }
        run_item(&job, &rounded, &item);
    }
    return TFR_OK;
}

/* i8w_kernel.c - linear of int8 weights by rows as they are, for any number of rows: TFR_ORDER_FMA, or TFR_ORDER_DP_BF16 where the
 * CPU multiplies in bf16. The whole numbers are factors; the scale of an output comes to its sum at the end.
 *
 * The panels are those of int8. Compiled once per ISA.
 */
#include "coarse/i8w_tile.h"
#include "coarse/job.h"

struct rows {
    const i8w_x *x;
    int64_t stride; /* elements */
};

#if defined(__AVX512BF16__)
/* Rounded once by the team, few by every thread for itself; ends in zeros up to whole quads. */
static struct rows rows_of(const struct coarse_job *job, const struct tfr_run_ctx *ctx) {
    const bool is_each = job->rows <= COARSE_ROWS_EACH;
    const int64_t stride = coarse_half_row_stride(job->k);
    uint16_t *x = is_each ? ctx->thread_scratch : ctx->scratch;
    int64_t row = 0, end = job->rows;
    if (!is_each) {
        split_evenly(job->rows, ctx->tid, ctx->nth, &row, &end);
    }
    for (; row < end; row++) {
        tfr_panel_round(x + row * stride, job->x + row * job->k, job->k);
        memset(x + row * stride + job->k, 0, (size_t)(stride - job->k) * sizeof *x);
    }
    if (!is_each) {
        ctx->barrier(ctx);
    }
    return (struct rows){.x = x, .stride = stride};
}
#else
static struct rows rows_of(const struct coarse_job *job, const struct tfr_run_ctx *ctx) {
    (void)ctx;
    return (struct rows){.x = job->x, .stride = job->k};
}
#endif

V_INLINE void finish(const struct coarse_job *job, int64_t panel, int64_t row0, int64_t rows, const float *sum) {
    const float *scale = coarse_i8_scales(job->weight + (size_t)panel * job->panel_stride, job->k);
    const int64_t column0 = panel * TFR_PANEL_COLS;
    const int64_t columns = job->n - column0 < TFR_PANEL_COLS ? job->n - column0 : TFR_PANEL_COLS;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c += VW) {
            const vf value = v_mul(v_load(sum + r * TFR_PANEL_COLS + c), v_load(scale + c));
            coarse_end(job, row0 + r, column0 + c, columns - c, value);
        }
    }
}

V_INLINE void run_item(const struct coarse_job *job, const struct rows *rows_in, int64_t k_block, const struct coarse_item *item) {
    float sum[I8W_ROWS * TFR_PANEL_COLS] __attribute__((aligned(64)));
    struct i8w_tile tile = {
        .x_stride = rows_in->stride, .panel = job->weight + (size_t)item->panel * job->panel_stride, .sum = sum};
    for (int64_t g = 0; g < item->groups; g++) {
        const int64_t first = item->row0 + item->rows * g / item->groups;
        const int64_t rows = item->row0 + item->rows * (g + 1) / item->groups - first;
        const int lines = item->groups == 1 || coarse_streams(item, g) ? 4 : 2;
        const char *ahead = coarse_ahead(job, item, g, 2 * 64 * coarse_quads(job->k));
        tile.x = rows_in->x + first * rows_in->stride;
        for (int64_t k = 0; k < job->k; k += k_block) {
            tile.k_begin = k;
            tile.k_end = job->k - k < k_block ? job->k : k + k_block;
            tile.ahead = ahead + k / 4 * lines * 64;
            tile.add = k > 0;
            i8w_run(rows, lines, &tile);
        }
        finish(job, item->panel, first, rows, sum);
    }
}

int32_t V_NAME(tfr_coarse_i8w)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                               const struct tfr_run_ctx *ctx) {
    const int64_t k = problem->arg[0].dim[1];
    const bool may_choose = problem->order.kind == TFR_ORDER_ANY || problem->order.kind == TFR_ORDER_OWN;
    const int64_t k_block = may_choose ? panel_default_k_block(k) : problem->order.k_block;
    const struct coarse_job job = coarse_job_of(args, problem, coarse_i8_stride(k), I8W_ROWS, ctx->nth);
    const struct rows rows = rows_of(&job, ctx);
    int64_t begin, end;
    split_evenly(job.panels * job.chunks, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const struct coarse_item item = coarse_item_of(&job, i, begin, end, I8W_ROWS);
        if (ctx->progress != NULL) {
            ctx->progress(ctx);
        }
        run_item(&job, &rows, k_block, &item);
    }
    return TFR_OK;
}

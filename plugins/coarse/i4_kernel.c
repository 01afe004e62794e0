/* i4_kernel.c - linear of weights of 4 bits in groups by rows of int8 in the same groups, for any number of rows
 * (TFR_ORDER_INT_GROUP).
 *
 * As i8_kernel.c: rows are rounded first, then a thread streams its panels once for all rows. Compiled once per ISA.
 */
#include "coarse/i4_round.h"
#include "coarse/i4_tile.h"
#include "coarse/job.h"

struct rounded {
    int8_t *x;
    int64_t stride; /* bytes between rows */
};

/* Numbers, scales of the groups, sums of the groups. */
static void round_row(const struct coarse_job *job, const struct rounded *to, int64_t group, int64_t row) {
    const int64_t groups = tfr_quant_groups(job->k, group);
    const float *x = job->x + row * job->k;
    int8_t *q = to->x + row * to->stride;
    float *scale = (float *)(void *)(q + groups * group);
    int32_t *sum = (int32_t *)(void *)(scale + groups);
    if (group == 32) { /* a constant, for the loops over a group */
        i4_round(32, job->k, x, q, scale, sum);
    } else {
        i4_round(64, job->k, x, q, scale, sum);
    }
}

static struct rounded round_rows(const struct coarse_job *job, int64_t group, const struct tfr_run_ctx *ctx) {
    const bool is_each = job->rows <= COARSE_ROWS_EACH;
    const struct rounded to = {.x = is_each ? ctx->thread_scratch : ctx->scratch, .stride = coarse_group_row_stride(job->k, group)};
    int64_t row = 0, end = job->rows;
    if (!is_each) {
        split_evenly(job->rows, ctx->tid, ctx->nth, &row, &end);
    }
    for (; row < end; row++) {
        round_row(job, &to, group, row);
    }
    if (!is_each) {
        ctx->barrier(ctx);
    }
    return to;
}

V_INLINE void finish(const struct coarse_job *job, int64_t panel, int64_t row0, int64_t rows, const float *sum) {
    const int64_t column0 = panel * TFR_PANEL_COLS;
    const int64_t columns = job->n - column0 < TFR_PANEL_COLS ? job->n - column0 : TFR_PANEL_COLS;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c += VW) {
            coarse_end(job, row0 + r, column0 + c, columns - c, v_load(sum + r * TFR_PANEL_COLS + c));
        }
    }
}

V_INLINE enum i4_ahead i4_ahead_of(const struct coarse_item *item, int64_t group) {
    return coarse_streams(item, group) ? I4_STREAM : item->groups == 1 ? I4_IN_TWO : item->groups == 2 ? I4_IN_FOUR : I4_IN_MANY;
}

V_INLINE void run_item(const struct coarse_job *job, const struct rounded *rounded, const struct i4_type type,
                       const struct coarse_item *item) {
    float sum[I4_ROWS * TFR_PANEL_COLS] __attribute__((aligned(64)));
    const int64_t groups = tfr_quant_groups(job->k, type.group);
    struct i4_tile tile = {
        .x_stride = rounded->stride, .groups = groups, .panel = job->weight + (size_t)item->panel * job->panel_stride, .sum = sum};
    for (int64_t g = 0; g < item->groups; g++) {
        const int64_t first = item->row0 + item->rows * g / item->groups;
        const int64_t rows = item->row0 + item->rows * (g + 1) / item->groups - first;
        tile.x = rounded->x + first * rounded->stride;
        const enum i4_ahead ahead = i4_ahead_of(item, g);
        tile.ahead = coarse_ahead(job, item, g, i4_lines(ahead, false) * 2 * 256 * groups * (type.group / 32));
        coarse_expect(job, item->panel, first, rows);
        i4_run(rows, ahead, type, &tile);
        finish(job, item->panel, first, rows, sum);
    }
}

int32_t V_NAME(tfr_coarse_i4)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                              const struct tfr_run_ctx *ctx) {
    const enum tfr_dtype dtype = (enum tfr_dtype)problem->arg[1].dtype;
    const struct i4_type type = {.group = (int)tfr_quant_group(dtype), .has_zero = tfr_quant_has_zero(dtype)};
    const size_t stride = coarse_i4_stride(problem->arg[0].dim[1], type.group, type.has_zero);
    const struct coarse_job job = coarse_job_of(args, problem, stride, I4_ROWS, INT32_MAX, ctx->nth);
    const struct rounded rounded = round_rows(&job, type.group, ctx);
    int64_t begin, end;
    split_evenly(job.panels * job.chunks, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const struct coarse_item item = coarse_item_of(&job, i, begin, end, I4_ROWS);
        if (ctx->progress != NULL) {
            ctx->progress(ctx);
        }
        run_item(&job, &rounded, type, &item);
    }
    return TFR_OK;
}

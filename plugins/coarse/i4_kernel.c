/* i4_kernel.c - linear of weights of 4 bits in groups by rows of int8 in spans of 128, for any number of rows
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

static void round_row(const struct coarse_job *job, const struct rounded *to, const struct i4_type type, int64_t row) {
    const int64_t groups = tfr_quant_groups(job->k, type.group);
    const float *x = job->x + row * job->k;
    struct i4_row at = {.q = to->x + row * to->stride, .times = type.has_zero ? -1 : -TFR_QUANT_I4_MIDDLE};
    at.scale = (float *)(void *)(at.q + groups * type.group);
    at.start = (int32_t *)(void *)(at.scale + coarse_spans(groups, type.group));
    if (type.group == 32) { /* a constant, for the loops over a group */
        i4_round(32, job->k, x, at);
    } else {
        i4_round(64, job->k, x, at);
    }
}

static struct rounded round_rows(const struct coarse_job *job, const struct i4_type type, const struct tfr_run_ctx *ctx) {
    const bool is_each = job->rows <= COARSE_ROWS_EACH;
    const struct rounded to = {.x = is_each ? ctx->thread_scratch : ctx->scratch,
                               .stride = coarse_span_row_stride(job->k, type.group)};
    int64_t row = 0, end = job->rows;
    if (!is_each) {
        split_evenly(job->rows, ctx->tid, ctx->nth, &row, &end);
    }
    for (; row < end; row++) {
        round_row(job, &to, type, row);
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

/* What a tile prefetches: the first strip of columns all that the tile reads itself, some KiB ahead; or every strip its part of the
 * next panel, of which all groups of rows together fetch all. */
V_INLINE void set_lines(const struct coarse_item *item, int64_t group, const struct i4_type type, struct i4_tile *tile) {
    const int64_t blocks = type.group / 32, each = (i4_group_lines(type) + blocks - 1) / blocks, passes = item->groups * I4_STRIPS;
    const bool streams = coarse_streams(item, group);
    tile->lines = streams ? 0 : (each + passes - 1) / passes;
    tile->lines_first = streams ? each : tile->lines;
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
        set_lines(item, g, type, &tile);
        tile.ahead = coarse_ahead(job, item, g, tile.lines * I4_STRIPS * 64 * groups * (type.group / 32));
        coarse_expect(job, item->panel, first, rows);
        i4_run(rows, type, &tile);
        finish(job, item->panel, first, rows, sum);
    }
}

int32_t V_NAME(tfr_coarse_i4)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                              const struct tfr_run_ctx *ctx) {
    const enum tfr_dtype dtype = (enum tfr_dtype)problem->arg[1].dtype;
    const struct i4_type type = {.group = (int)tfr_quant_group(dtype), .has_zero = tfr_quant_has_zero(dtype)};
    const size_t stride = coarse_i4_stride(problem->arg[0].dim[1], type.group, type.has_zero);
    const struct coarse_job job = coarse_job_of(args, problem, stride, I4_ROWS, INT32_MAX, ctx->nth);
    int64_t begin, end;
    split_evenly(job.panels * job.chunks, ctx->tid, ctx->nth, &begin, &end);
    coarse_expect_panel(&job, begin, end);
    const struct rounded rounded = round_rows(&job, type, ctx);
    for (int64_t i = begin; i < end; i++) {
        const struct coarse_item item = coarse_item_of(&job, i, begin, end, I4_ROWS);
        if (ctx->progress != NULL) {
            ctx->progress(ctx);
        }
        run_item(&job, &rounded, type, &item);
    }
    return TFR_OK;
}

/* i8w_kernel.c - linear of int8 weights by rows as they are, for any number of rows: TFR_ORDER_FMA, or TFR_ORDER_DP_BF16 where the
 * CPU multiplies in bf16. The whole numbers are factors; the scale of an output comes to its sum at the end.
 *
 * The panels are those of int8. Compiled once per ISA.
 */
#include "coarse/i8w_tile.h"
#if defined(__AVX512BF16__)
#include "coarse/i8w_wide.h"
#endif
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

V_INLINE void run_item(const struct coarse_job *job, const struct rows *rows_in, const uint8_t *bytes, int64_t k_block,
                       const struct coarse_item *item) {
    float sum[I8W_ROWS * TFR_PANEL_COLS] __attribute__((aligned(64)));
    struct i8w_tile tile = {
        .x_stride = rows_in->stride, .panel = job->weight + (size_t)item->panel * job->panel_stride, .sum = sum, .bytes = bytes};
    for (int64_t g = 0; g < item->groups; g++) {
        const int64_t first = item->row0 + item->rows * g / item->groups;
        const int64_t rows = item->row0 + item->rows * (g + 1) / item->groups - first;
        const enum i8w_ahead kind = coarse_streams(item, g) ? I8W_STREAM : item->groups == 1 ? I8W_ALONE : I8W_SHARED;
        const char *ahead = coarse_ahead(job, item, g, 2 * 64 * coarse_quads(job->k));
        tile.x = rows_in->x + first * rows_in->stride;
        coarse_expect(job, item->panel, first, rows);
        for (int64_t k = 0; k < job->k; k += k_block) {
            tile.k_begin = k;
            tile.k_end = job->k - k < k_block ? job->k : k + k_block;
            tile.ahead = ahead + k / 4 * i8w_lines(kind) * 64;
            tile.add = k > 0;
            i8w_run(rows, kind, &tile);
        }
        finish(job, item->panel, first, rows, sum);
    }
}

#if defined(__AVX512BF16__)
#define WIDE_GROUPS 3 /* of rows, from which on widening once is cheaper than in every group */

/* All groups of rows of an item pass over the stretch in `wide`; the first two fetch the next one, half as many lines as pairs. */
V_INLINE void run_stretch(const struct rows *rows_in, const struct coarse_item *item, struct i8w_wide wide) {
    const struct i8w_wide all = wide;
    for (int64_t g = 0; g < item->groups; g++) {
        const int64_t first = item->rows * g / item->groups, rows = item->rows * (g + 1) / item->groups - first;
        wide.x = all.x + (item->row0 + first) * rows_in->stride;
        wide.from = all.from != NULL ? all.from + first * TFR_PANEL_COLS : NULL;
        wide.to = all.to + first * TFR_PANEL_COLS;
        wide.ahead = g < 2 ? all.ahead + g * wide.pairs * 64 : all.ahead; /* what is there already costs nothing */
        i8w_wide_run(rows, &wide);
    }
}

/* Many rows: one stretch of the panel after the other for all of them. */
V_INLINE void run_wide(const struct coarse_job *job, const struct rows *rows_in, const uint8_t *bytes, int64_t k_block,
                       const struct coarse_item *item, float *room) {
    const char *panel = job->weight + (size_t)item->panel * job->panel_stride;
    float *part = room + I8W_WIDE_FLOATS, *sum = part + item->rows * TFR_PANEL_COLS;
    for (int64_t k = 0; k < job->k; k += k_block) {
        const int64_t end = coarse_quads(job->k - k < k_block ? job->k : k + k_block);
        for (int64_t begin = k / 4; begin < end; begin += I8W_WIDE_QUADS) {
            const int64_t stop = end - begin < I8W_WIDE_QUADS ? end : begin + I8W_WIDE_QUADS;
            const struct i8w_wide wide = {.x = rows_in->x + begin * 4,
                                          .x_stride = rows_in->stride,
                                          .w = room,
                                          .pairs = (stop - begin) * 2,
                                          .ahead = panel + stop * COARSE_QUAD_BYTES,
                                          .from = begin > k / 4 ? part : NULL,
                                          .to = stop == end ? sum : part,
                                          .add = stop == end && k > 0};
            i8w_widen(panel, begin, stop, bytes, room);
            run_stretch(rows_in, item, wide);
        }
    }
    finish(job, item->panel, item->row0, item->rows, sum);
}
#endif

V_INLINE void run_any(const struct coarse_job *job, const struct rows *rows_in, const uint8_t *bytes, int64_t k_block,
                      const struct coarse_item *item, char *room) {
#if defined(__AVX512BF16__)
    if (item->groups >= WIDE_GROUPS) {
        const bool has_own_rows = (const char *)rows_in->x == room;
        const size_t own = has_own_rows ? (size_t)(job->rows * rows_in->stride) * sizeof *rows_in->x : 0;
        struct coarse_item wide = *item;
        wide.groups = (item->rows + I8W_WIDE_ROWS - 1) / I8W_WIDE_ROWS;
        run_wide(job, rows_in, bytes, k_block, &wide, (float *)(void *)(room + own));
        return;
    }
#endif
    (void)room;
    run_item(job, rows_in, bytes, k_block, item);
}

int32_t V_NAME(tfr_coarse_i8w)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                               const struct tfr_run_ctx *ctx) {
    const int64_t k = problem->arg[0].dim[1];
    const bool may_choose = problem->order.kind == TFR_ORDER_ANY || problem->order.kind == TFR_ORDER_OWN;
    const int64_t k_block = may_choose ? panel_default_k_block(k) : problem->order.k_block;
    const struct coarse_job job = coarse_job_of(args, problem, coarse_i8_stride(k), I8W_ROWS, COARSE_WIDE_ROWS, ctx->nth);
    uint8_t bytes[I8W_BYTES];
    int64_t begin, end;
    split_evenly(job.panels * job.chunks, ctx->tid, ctx->nth, &begin, &end);
    coarse_expect_panel(&job, begin, end);
    i8w_fill_bytes(bytes);
    const struct rows rows = rows_of(&job, ctx);
    for (int64_t i = begin; i < end; i++) {
        const struct coarse_item item = coarse_item_of(&job, i, begin, end, I8W_ROWS);
        if (ctx->progress != NULL) {
            ctx->progress(ctx);
        }
        run_any(&job, &rows, bytes, k_block, &item, ctx->thread_scratch);
    }
    return TFR_OK;
}

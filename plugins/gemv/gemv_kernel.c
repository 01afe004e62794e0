/* gemv_kernel.c - linear for few rows: every thread streams its own panels once, front to back, at memory
 * speed.
 *
 * The split is static and the panels of a thread lie side by side, so the hardware sees one stream per
 * thread; the software prefetch carries it over the ends of pages and panels. Few rows share one pass; more pass over each
 * stretch of a panel in groups, while the next stretch comes in. Compiled once per ISA.
 */
#include "gemv/gemv.h"

#include "gemv/linear.h"

V_INLINE void run(const int kind, const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                  const struct tfr_problem *problem) {
    const struct linear l = linear_of(args, problem);
    float sum[2 * TFR_GEMV_MAX_ROWS * TFR_PANEL_COLS] __attribute__((aligned(64)));
    const void *x = l.x;
    int64_t x_stride = l.k, panel, panel_end;
    if (kind == TILE_DP) { /* every thread rounds for itself: cheaper than a barrier */
        x = ctx->thread_scratch;
        x_stride = linear_rounded_stride(l.k);
        for (int64_t row = 0; row < l.rows; row++) {
            linear_round_row(&l, row, (uint16_t *)ctx->thread_scratch + row * x_stride);
        }
    }
    split_evenly(panel_count(l.n), ctx->tid, ctx->nth, &panel, &panel_end);
    for (; panel < panel_end; panel++) {
        linear_item(kind, &l, panel, 0, x, x_stride, l.rows, sum);
    }
}

/* Each kind is a constant in a call of its own, so that its loop is compiled for it. */
int32_t V_NAME(tfr_gemv)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                         const struct tfr_run_ctx *ctx) {
#if defined(__AVX512BF16__)
    run(TILE_DP, args, ctx, problem);
#else
    if (problem->arg[1].dtype == TFR_DTYPE_BF16) {
        run(TILE_BF16, args, ctx, problem);
    } else if (problem->arg[1].dtype == TFR_DTYPE_F16) {
        run(TILE_F16, args, ctx, problem);
    } else {
        run(TILE_F32, args, ctx, problem);
    }
#endif
    return TFR_OK;
}

/* gemm_kernel.c - linear for any number of rows: the same panels, the same order and so the same bits as
 * gemv.
 *
 * Work is cut into items of one panel times a chunk of rows. Of an item, one stretch along K of the panel stays
 * in L2 while all row groups of the chunk pass over it; the chunk's sums stay in a buffer of the thread. x is
 * read in place: a group of rows times a block is a few streams that stay in L1. A block of 16 bits a weight that many groups pass
 * over is widened once, into a buffer behind the sums. Compiled once per ISA.
 */
#include "gemv/gemv.h"

#include "gemv/linear.h"

/* Rows of an item: no more than the thread's buffer holds, fewer where threads would idle, all chunks about as large. A multiple
 * of TILE_ROWS. */
static int64_t chunk_rows(int64_t rows, int64_t panels, int nth) {
    const int64_t for_all = (4 * (int64_t)nth + panels - 1) / panels; /* chunks that give four items a thread */
    const int64_t for_buffer = (rows + TFR_GEMM_CHUNK_ROWS - 1) / TFR_GEMM_CHUNK_ROWS;
    const int64_t chunks = for_all > for_buffer ? for_all : for_buffer;
    const int64_t share = chunks > 0 ? (rows + chunks - 1) / chunks : 0;
    return (share + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
}

static void round_rows(const struct linear *l, const struct tfr_run_ctx *ctx) {
    const int64_t stride = linear_rounded_stride(l->k);
    int64_t row, row_end;
    split_evenly(l->rows, ctx->tid, ctx->nth, &row, &row_end);
    for (; row < row_end; row++) {
        linear_round_row(l, row, (uint16_t *)ctx->scratch + row * stride);
    }
    ctx->barrier(ctx);
}

/* Rows from which on widening a block once is cheaper than in every group. */
#define WIDEN_ROWS (3 * TILE_ROWS)

/* k of [begin, end) of a panel as f32, [k][64]. */
V_INLINE void widen_block(const int kind, const char *panel, int64_t begin, int64_t end, float *to) {
    for (int64_t k = begin; k < end; k++, to += TFR_PANEL_COLS) {
        const uint32_t *words = (const uint32_t *)(const void *)panel + k / 2 * TFR_PANEL_COLS;
        const uint16_t *halves = (const uint16_t *)(const void *)panel + k * TFR_PANEL_COLS;
        __builtin_prefetch((const char *)halves + LINEAR_AHEAD_BYTES, 0, 3);
        __builtin_prefetch((const char *)halves + LINEAR_AHEAD_BYTES + 64, 0, 3);
#pragma GCC unroll 16
        for (int v = 0; v < 64 / VW; v++) {
            if (kind == TILE_F16) {
                v_store(to + v * VW, v_load_f16(halves + v * VW));
            } else {
                const tile_words pair = tile_load_words(words + v * VW);
                v_store(to + v * VW, (k & 1) != 0 ? (vf)(pair & 0xffff0000U) : (vf)(pair << 16));
            }
        }
    }
}

/* As linear_item, by way of f32 in the cache. */
V_INLINE void wide_item(const int kind, const struct linear *l, int64_t panel, int64_t row0, const float *x, int64_t rows,
                        float *sum, float *wide) {
    for (int64_t k = 0; k < l->k; k += l->k_block) {
        const int64_t end = l->k - k < l->k_block ? l->k : k + l->k_block;
        const struct tile tile = {
            .x = x + k, .x_stride = l->k, .panel = wide, .k_end = end - k, .add = k > 0 && l->block_stride == 0};
        widen_block(kind, l->weight + (size_t)panel * l->panel_stride, k, end, wide);
        linear_block(TILE_F32, tile, rows, sum, sum + rows * TFR_PANEL_COLS);
        if (l->block_stride > 0) {
            linear_store_block(l, panel, row0, rows, k / l->k_block, sum);
        }
    }
    if (l->block_stride == 0) {
        linear_finish(l, panel, row0, rows, sum);
    }
}

V_INLINE void run(const int kind, const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                  const struct tfr_problem *problem) {
    const struct linear l = linear_of(args, problem);
    const int64_t panels = panel_count(l.n), chunk = chunk_rows(l.rows, panels, ctx->nth);
    const int64_t chunks = chunk > 0 ? (l.rows + chunk - 1) / chunk : 0;
    const char *x = kind == TILE_DP ? ctx->scratch : (const void *)l.x;
    const int64_t x_stride = kind == TILE_DP ? linear_rounded_stride(l.k) : l.k;
    const size_t x_row_bytes = (size_t)x_stride * (kind == TILE_DP ? sizeof(uint16_t) : sizeof(float));
    float *sum = ctx->thread_scratch;
    int64_t item, item_end;
    if (kind == TILE_DP) {
        round_rows(&l, ctx);
    }
    split_evenly(panels * chunks, ctx->tid, ctx->nth, &item, &item_end);
    for (; item < item_end; item++) {
        const int64_t panel = item / chunks, row0 = item % chunks * chunk;
        const int64_t rows = l.rows - row0 < chunk ? l.rows - row0 : chunk;
        if (ctx->progress != NULL) { /* a transfer does not wait for the whole product */
            ctx->progress(ctx);
        }
        if (kind != TILE_F32 && kind != TILE_DP && rows >= WIDEN_ROWS) {
            wide_item(kind, &l, panel, row0, l.x + row0 * l.k, rows, sum, sum + 2 * TFR_GEMM_CHUNK_ROWS * TFR_PANEL_COLS);
        } else {
            linear_item(kind, &l, panel, row0, x + (size_t)row0 * x_row_bytes, x_stride, rows, sum);
        }
    }
}

/* Each kind is a constant in a call of its own, so that its loop is compiled for it. */
int32_t V_NAME(tfr_gemm)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
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

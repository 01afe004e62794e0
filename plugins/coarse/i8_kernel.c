/* i8_kernel.c - linear of int8 weights by int8 rows, for any number of rows (TFR_ORDER_INT).
 *
 * Rows are rounded first: few by every thread for itself, many once by the team. Then a thread takes its panels one after the
 * other, each streamed once for all rows: while groups of rows pass over one panel, which stays in L2, the next one is
 * prefetched piece by piece. So a step takes the longer of streaming and computing, not both. Compiled once per ISA.
 */
#include "coarse/coarse.h"

#include "coarse/i8_tile.h"
#include "common/act.h"
#include "common/dtype.h"

#include <tfrun/quant.h>

#define AHEAD_BYTES 4096 /* of a single row: about what one thread has under way */

struct job {
    const float *bias, *residual;
    float *y;
    char *weight;
    const uint8_t *x; /* rounded rows */
    const float *x_scale;
    int64_t x_stride, rows, k, n, panels, chunks, chunk_rows;
    int activation;
};

static void round_row(const struct job *job, const float *x, uint8_t *to, float *scale) {
    *scale = tfr_quant_row_scale(x, job->k);
    tfr_quant_row((int8_t *)to, x, job->k, *scale);
    memset(to + job->k, 0, (size_t)(job->x_stride - job->k));
#if INTS_SHIFT
    for (int64_t i = 0; i < job->k; i++) {
        to[i] ^= INTS_SHIFT; /* adds 128 to a signed byte, as an unsigned one */
    }
#endif
}

/* y of one group of rows and one panel from its sums; the residual may be y itself. */
V_INLINE void finish(const struct job *job, int64_t panel, int64_t row0, int64_t rows, const int32_t *sum) {
    char *at = job->weight + (size_t)panel * coarse_i8_stride(job->k);
    const float *w_scale = coarse_i8_scales(at, job->k);
    const int64_t column0 = panel * TFR_PANEL_COLS;
    const int64_t columns = job->n - column0 < TFR_PANEL_COLS ? job->n - column0 : TFR_PANEL_COLS;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t to = (row0 + r) * job->n + column0;
        const vf x_scale = v_set1(job->x_scale[row0 + r]);
        for (int64_t c = 0; c < columns; c += VW) {
            const int n = columns - c < VW ? (int)(columns - c) : VW;
            vi whole = i_load(sum + r * TFR_PANEL_COLS + c);
#if INTS_SHIFT
            whole = i_unshift(whole, i_load(coarse_i8_sums(at, job->k) + c));
#endif
            vf value = v_mul(i_float(whole), v_mul(x_scale, v_load(w_scale + c)));
            if (job->bias != NULL) {
                value = v_add(value, n == VW ? v_load(job->bias + column0 + c) : v_load_n(job->bias + column0 + c, n));
            }
            value = act_apply_vec(value, job->activation);
            if (job->residual != NULL) {
                value = v_add(value, n == VW ? v_load(job->residual + to + c) : v_load_n(job->residual + to + c, n));
            }
            if (n == VW) {
                v_store(job->y + to + c, value);
            } else {
                v_store_n(job->y + to + c, value, n);
            }
        }
    }
}

/* One panel for rows [row0, row0 + rows), in groups that differ by at most one row. Each quad of each group prefetches so many
 * lines that all groups together fetch the next panel once; a panel that none came before looks ahead in itself. */
V_INLINE void item(const struct job *job, int64_t panel, int64_t row0, int64_t rows, bool is_first, bool has_next) {
    int32_t sum[INTS_ROWS * TFR_PANEL_COLS] __attribute__((aligned(64)));
    const int64_t groups = (rows + INTS_ROWS - 1) / INTS_ROWS, quads = coarse_quads(job->k);
    const size_t stride = coarse_i8_stride(job->k);
    const int lines = groups >= 4 ? 1 : 2;
    struct i8_tile tile = {.x_stride = job->x_stride, .panel = job->weight + (size_t)panel * stride, .quads = quads, .sum = sum};
    for (int64_t g = 0; g < groups; g++) {
        const int64_t first = rows * g / groups, end = rows * (g + 1) / groups, piece = g * lines * 64 * quads;
        const bool is_stream = groups == 1 || (is_first && g == 0);
        tile.x = job->x + (row0 + first) * job->x_stride;
        tile.ahead = is_stream ? tile.panel + AHEAD_BYTES : tile.panel; /* lines that were just read cost nothing */
        if (!is_stream && has_next && piece < (int64_t)stride) {
            tile.ahead = tile.panel + stride + piece;
        }
        i8_run(end - first, is_stream ? 4 : lines, &tile);
        finish(job, panel, row0 + first, end - first, sum);
    }
}

static struct job job_of(const struct tfr_run_args *args, const struct tfr_problem *problem, int nth) {
    const int64_t k = problem->arg[0].dim[1], n = problem->arg[4].dim[1], panels = panel_count(n), rows = args->rows;
    const int64_t wanted = (4 * (int64_t)nth + panels - 1) / panels; /* chunks that give four items a thread */
    const int64_t share = (rows + wanted - 1) / wanted, whole = (share + INTS_ROWS - 1) / INTS_ROWS * INTS_ROWS;
    return (struct job){
        .bias = args->arg[2],
        .residual = args->arg[3],
        .y = args->arg[4],
        .weight = args->arg[1],
        .x_stride = coarse_row_stride(k),
        .rows = rows,
        .k = k,
        .n = n,
        .panels = panels,
        .chunks = whole > 0 ? (rows + whole - 1) / whole : 0,
        .chunk_rows = whole,
        .activation = problem->attrs.activation,
    };
}

static void round_rows(struct job *job, const float *x, void *room, int64_t begin, int64_t end) {
    float *scale = room;
    uint8_t *rounded = (uint8_t *)room + coarse_scales_bytes(job->rows);
    for (int64_t row = begin; row < end; row++) {
        round_row(job, x + row * job->k, rounded + row * job->x_stride, scale + row);
    }
    job->x = rounded;
    job->x_scale = scale;
}

int32_t V_NAME(tfr_coarse_i8)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                              const struct tfr_run_ctx *ctx) {
    struct job job = job_of(args, problem, ctx->nth);
    int64_t begin, end;
    if (job.rows <= COARSE_ROWS_EACH) {
        round_rows(&job, args->arg[0], ctx->thread_scratch, 0, job.rows);
    } else {
        split_evenly(job.rows, ctx->tid, ctx->nth, &begin, &end);
        round_rows(&job, args->arg[0], ctx->scratch, begin, end);
        ctx->barrier(ctx);
    }
    split_evenly(job.panels * job.chunks, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const int64_t panel = i / job.chunks, row0 = i % job.chunks * job.chunk_rows;
        if (ctx->progress != NULL) { /* a transfer does not wait for the whole product */
            ctx->progress(ctx);
        }
        const int64_t left = job.rows - row0;
        item(&job, panel, row0, left < job.chunk_rows ? left : job.chunk_rows, i == begin, panel < (end - 1) / job.chunks);
    }
    return TFR_OK;
}

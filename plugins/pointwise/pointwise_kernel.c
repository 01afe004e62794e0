/* pointwise_kernel.c - the ops that move or touch each element once, compiled once per ISA.
 *
 * Must equal the loops of ref_ops.c: to the bit for embed, add, gather_rows and kv_append (one rounding or
 * none), within the error of act.h for activation. Work is split over the team by rows, elements or cache
 * panels.
 */
#include "pointwise/pointwise.h"

#include "common/act.h"
#include "common/dtype.h"

/* The part of n elements that a thread takes, cut at multiples of 16 so that no two threads share a cache
 * line. */
static void split_lines(int64_t n, const struct tfr_run_ctx *ctx, int64_t *begin, int64_t *end) {
    split_evenly((n + 15) / 16, ctx->tid, ctx->nth, begin, end);
    *begin *= 16;
    *end = *end * 16 < n ? *end * 16 : n;
}

/* `lanes` elements of a table row of any stored type. Rows come from a file: maybe not even aligned to their
 * elements. */
V_INLINE vf load_table(const void *table, int dtype, int64_t at, int lanes) {
    const void *first = (const char *)table + at * (int64_t)float_bytes(dtype);
    float value[VW] = {0};
    if (dtype == TFR_DTYPE_F32 && lanes == VW) {
        return v_load(first);
    }
    if (dtype == TFR_DTYPE_BF16 && lanes == VW) {
        return v_load_bf16(first);
    }
    for (int i = 0; i < lanes; i++) {
        value[i] = load_as_f32(table, dtype, at + i);
    }
    return v_load(value);
}

int32_t V_NAME(tfr_pointwise_embed)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                    const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    const int32_t *ids = args->arg[0], *positions = args->arg[1];
    const int64_t width = problem->arg[4].dim[1];
    const int token_dtype = problem->arg[2].dtype, position_dtype = problem->arg[3].dtype;
    int64_t begin, end;
    split_evenly(args->rows, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *y = (float *)args->arg[4] + t * width;
        int64_t c = 0;
        for (; c + VW <= width; c += VW) {
            const vf token = load_table(args->arg[2], token_dtype, ids[t] * width + c, VW);
            v_store(y + c, v_add(token, load_table(args->arg[3], position_dtype, positions[t] * width + c, VW)));
        }
        const int lanes = (int)(width - c);
        const vf token = load_table(args->arg[2], token_dtype, ids[t] * width + c, lanes);
        v_store_n(y + c, v_add(token, load_table(args->arg[3], position_dtype, positions[t] * width + c, lanes)), lanes);
    }
    return TFR_OK;
}

int32_t V_NAME(tfr_pointwise_lookup_add)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                         const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    const int32_t *ids = args->arg[1];
    const int64_t width = problem->arg[3].dim[1];
    const int dtype = problem->arg[2].dtype;
    int64_t begin, end;
    split_evenly(args->rows, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *x = (const float *)args->arg[0] + t * width;
        float *y = (float *)args->arg[3] + t * width;
        for (int64_t c = 0; c < width; c += VW) {
            const int lanes = width - c < VW ? (int)(width - c) : VW;
            const vf row = load_table(args->arg[2], dtype, ids[t] * width + c, lanes);
            v_store_n(y + c, v_add(v_load_n(x + c, lanes), row), lanes);
        }
    }
    return TFR_OK;
}

int32_t V_NAME(tfr_pointwise_copy)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                   const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    int64_t begin, end;
    split_lines(args->rows * problem->arg[1].dim[1], ctx, &begin, &end);
    if (begin < end) {
        memcpy((float *)args->arg[1] + begin, (const float *)args->arg[0] + begin, (size_t)(end - begin) * sizeof(float));
    }
    return TFR_OK;
}

/* One loop per activation: the switch inside act_apply_vec is resolved at compile time. */
V_INLINE void apply(const float *x, float *y, int64_t n, int activation) {
    int64_t i = 0;
    for (; i + VW <= n; i += VW) {
        v_store(y + i, act_apply_vec(v_load(x + i), activation));
    }
    if (i < n) {
        const int lanes = (int)(n - i);
        v_store_n(y + i, act_apply_vec(v_load_n(x + i, lanes), activation), lanes);
    }
}

int32_t V_NAME(tfr_pointwise_activation)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                         const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    int64_t begin, end;
    split_lines(args->rows * problem->arg[1].dim[1], ctx, &begin, &end);
    const float *x = (const float *)args->arg[0] + begin;
    float *y = (float *)args->arg[1] + begin;
    switch (problem->attrs.activation) {
    case TFR_ACT_GELU_TANH:
        apply(x, y, end - begin, TFR_ACT_GELU_TANH);
        break;
    case TFR_ACT_GELU_ERF:
        apply(x, y, end - begin, TFR_ACT_GELU_ERF);
        break;
    default:
        apply(x, y, end - begin, problem->attrs.activation);
    }
    return TFR_OK;
}

int32_t V_NAME(tfr_pointwise_add)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                  const struct tfr_run_ctx *ctx) {
    const float *a = args->arg[0], *b = args->arg[1];
    float *y = args->arg[2];
    int64_t i, end;
    split_lines(args->rows * problem->arg[2].dim[1], ctx, &i, &end);
    for (; i + VW <= end; i += VW) {
        v_store(y + i, v_add(v_load(a + i), v_load(b + i)));
    }
    if (i < end) {
        const int lanes = (int)(end - i);
        v_store_n(y + i, v_add(v_load_n(a + i, lanes), v_load_n(b + i, lanes)), lanes);
    }
    return TFR_OK;
}

/* `lanes` columns of a row from c on: one accumulator each, so that the order is that of the blocks. */
V_INLINE vf sum_columns(const struct tfr_run_args *args, int64_t n_blocks, int64_t width, int64_t row, int64_t c, const int lanes) {
    const float *parts = (const float *)args->arg[0] + row * n_blocks * width + c;
    const float *start = args->arg[1], *bias = args->arg[2], *residual = args->arg[3];
    vf sum = v_load_n(parts, lanes);
    if (start != NULL) {
        sum = v_add(v_load_n(start + row * width + c, lanes), sum);
    }
    for (int64_t b = 1; b < n_blocks; b++) {
        sum = v_add(sum, v_load_n(parts + b * width, lanes));
    }
    if (bias != NULL) {
        sum = v_add(sum, v_load_n(bias + c, lanes));
    }
    return residual != NULL ? v_add(sum, v_load_n(residual + row * width + c, lanes)) : sum;
}

/* Work is cut by lines of a row, so that one row is divided too. */
int32_t V_NAME(tfr_pointwise_sum_blocks)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                         const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    const int64_t width = problem->arg[4].dim[1], lines = (width + 15) / 16;
    int64_t line, end;
    split_evenly(args->rows * lines, ctx->tid, ctx->nth, &line, &end);
    for (; line < end; line++) {
        const int64_t row = line / lines, from = line % lines * 16, to = from + 16 < width ? from + 16 : width;
        float *y = (float *)args->arg[4] + row * width;
        int64_t c = from;
        for (; c + VW <= to; c += VW) {
            v_store(y + c, sum_columns(args, problem->attrs.n_blocks, width, row, c, VW));
        }
        if (c < to) {
            const int lanes = (int)(to - c);
            v_store_n(y + c, sum_columns(args, problem->attrs.n_blocks, width, row, c, lanes), lanes);
        }
    }
    return TFR_OK;
}

enum { LANES = 16, BLOCK = 1024 }; /* a block stays in the first cache while the column of its largest is looked for */

/* The larger of `largest` and the numbers of x; a NaN among them sets *nan. Loops of LANES that a compiler makes instructions of.
 */
static float largest_of(const float *x, int64_t n, float largest, int32_t *nan) {
    float most[LANES];
    int32_t odd[LANES] = {0};
    int64_t i = 0;
    for (int j = 0; j < LANES; j++) {
        most[j] = largest;
    }
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            most[j] = x[i + j] > most[j] ? x[i + j] : most[j];
            odd[j] |= x[i + j] != x[i + j];
        }
    }
    for (; i < n; i++) {
        most[0] = x[i] > most[0] ? x[i] : most[0];
        odd[0] |= x[i] != x[i];
    }
    for (int j = 0; j < LANES; j++) {
        largest = most[j] > largest ? most[j] : largest;
        *nan |= odd[j];
    }
    return largest;
}

static void best_of(const float *x, int64_t n, float *y) {
    float largest = x[0];
    int64_t best = 0;
    int32_t nan = 0;
    for (int64_t first = 0; first < n && nan == 0; first += BLOCK) {
        const float larger = largest_of(x + first, first + BLOCK < n ? BLOCK : n - first, largest, &nan);
        best = larger > largest ? first : best;
        largest = larger > largest ? larger : largest;
    }
    while (nan == 0 && x[best] != largest) {
        best++;
    }
    y[0] = nan != 0 ? NAN : largest;
    y[1] = nan != 0 ? 0 : (float)best;
}

int32_t V_NAME(tfr_pointwise_best_rows)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                        const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    const int64_t width = problem->arg[0].dim[1];
    int64_t begin, end;
    split_evenly(args->rows, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        best_of((const float *)args->arg[0] + r * width, width, (float *)args->arg[1] + 2 * r);
    }
    return TFR_OK;
}

int32_t V_NAME(tfr_pointwise_gather_rows)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                          const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    const int32_t *rows = args->arg[1];
    const int64_t width = problem->arg[2].dim[1];
    int64_t begin, end;
    split_evenly(args->rows, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        memcpy((float *)args->arg[2] + r * width, (const float *)args->arg[0] + rows[r] * width, (size_t)width * sizeof(float));
    }
    return TFR_OK;
}

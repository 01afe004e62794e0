/* ref_ops.c - every op as the plain loop that defines it, one function per op.
 *
 * The oracle: sums, softmax, normalisation and activations (libm) are in double, and a result is rounded to
 * f32 once. It does not try to be fast, only not to be hopeless (linear runs along the rows of the packed
 * weight).
 */
#include "ref/ref.h"

#include <math.h>
#include <stdio.h>

#include <tfrun/kv.h>

#include "common/dtype.h"

static double clip(double x, double low, double high) {
    return x < low ? low : x > high ? high : x; /* NaN passes */
}

static double softplus(double x) {
    return (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));
}

double tfr_ref_activate(double x, int activation) {
    switch (activation) {
    case TFR_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case TFR_ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case TFR_ACT_GELU_CLIP10:
        return clip(0.5 * x * (1 + erf(x / sqrt(2))), -10, 10);
    case TFR_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case TFR_ACT_RELU:
        return x < 0 ? 0 : x;
    case TFR_ACT_RELU2:
        return x < 0 ? 0 : x * x;
    case TFR_ACT_RELU6:
        return clip(x, 0, 6);
    case TFR_ACT_LEAKY_RELU:
        return x < 0 ? 0.01 * x : x;
    case TFR_ACT_SILU:
        return x / (1 + exp(-x));
    case TFR_ACT_TANH:
        return tanh(x);
    case TFR_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case TFR_ACT_MISH:
        return x * tanh(softplus(x));
    case TFR_ACT_LAPLACE:
        return 0.5 * (1 + erf((x - 0.707107) / (0.282095 * sqrt(2))));
    case TFR_ACT_HARDSWISH:
        return x * clip(x + 3, 0, 6) / 6;
    case TFR_ACT_SQRTSOFTPLUS:
        return sqrt(softplus(x));
    default:
        return x;
    }
}

int32_t tfr_ref_embed(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                      const struct tfr_run_ctx *ctx) {
    const int32_t *ids = args->arg[0], *positions = args->arg[1];
    const int64_t width = problem->arg[4].dim[1];
    float *y = args->arg[4];
    for (int64_t t = 0; t < args->rows; t++) {
        for (int64_t c = 0; c < width; c++) {
            y[t * width + c] = load_as_f32(args->arg[2], problem->arg[2].dtype, ids[t] * width + c) +
                               load_as_f32(args->arg[3], problem->arg[3].dtype, positions[t] * width + c);
        }
    }
    return TFR_OK;
}

int32_t tfr_ref_layer_norm(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                           const struct tfr_run_ctx *ctx) {
    const float *weight = args->arg[1], *bias = args->arg[2];
    const int64_t width = problem->arg[3].dim[1];
    for (int64_t r = 0; r < args->rows; r++) {
        const float *x = (const float *)args->arg[0] + r * width;
        float *y = (float *)args->arg[3] + r * width;
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < width; c++) {
            sum += x[c];
        }
        const double mean = sum / (double)width;
        for (int64_t c = 0; c < width; c++) {
            squares += (x[c] - mean) * (x[c] - mean);
        }
        const double deviation = sqrt(squares / (double)width + problem->attrs.epsilon);
        for (int64_t c = 0; c < width; c++) {
            y[c] = (float)((x[c] - mean) / deviation * weight[c] + bias[c]);
        }
    }
    return TFR_OK;
}

/* sum[i] = sum over k of x[k] W[k][n0 + i], for `width` columns. */
static void dot_columns(const float *x, const void *packed, int dtype, int64_t n_in, int64_t n_out, int64_t n0, int64_t width,
                        double *sum) {
    for (int64_t i = 0; i < width; i++) {
        sum[i] = 0;
    }
    for (int64_t k = 0; k < n_in; k++) {
        const double factor = x[k];
        if (dtype != TFR_DTYPE_F32) {
            const uint16_t *row = (const uint16_t *)packed + k * n_out + n0;
            for (int64_t i = 0; i < width; i++) {
                sum[i] += factor * (dtype == TFR_DTYPE_BF16 ? bf16_to_f32(row[i]) : f16_to_f32(row[i]));
            }
        } else {
            const float *row = (const float *)packed + k * n_out + n0;
            for (int64_t i = 0; i < width; i++) {
                sum[i] += factor * row[i];
            }
        }
    }
}

int32_t tfr_ref_linear(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                       const struct tfr_run_ctx *ctx) {
    enum { COLUMNS = 256 };
    const int dtype = problem->arg[1].dtype;
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    const float *x = args->arg[0], *bias = args->arg[2], *residual = args->arg[3];
    float *y = args->arg[4];
    double sum[COLUMNS];
    for (int64_t n0 = 0; n0 < n_out; n0 += COLUMNS) {
        const int64_t width = n_out - n0 < COLUMNS ? n_out - n0 : COLUMNS;
        for (int64_t m = 0; m < args->rows; m++) {
            dot_columns(x + m * n_in, args->arg[1], dtype, n_in, n_out, n0, width, sum);
            for (int64_t i = 0; i < width; i++) {
                const int64_t at = m * n_out + n0 + i;
                const double biased = bias != NULL ? sum[i] + bias[n0 + i] : sum[i];
                const double active = tfr_ref_activate(biased, problem->attrs.activation);
                y[at] = (float)(residual != NULL ? active + residual[at] : active);
            }
        }
    }
    return TFR_OK;
}

int32_t tfr_ref_lookup_add(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                           const struct tfr_run_ctx *ctx) {
    const int32_t *ids = args->arg[1];
    const int64_t width = problem->arg[3].dim[1];
    const float *x = args->arg[0];
    float *y = args->arg[3];
    for (int64_t t = 0; t < args->rows; t++) {
        for (int64_t c = 0; c < width; c++) {
            y[t * width + c] = x[t * width + c] + load_as_f32(args->arg[2], problem->arg[2].dtype, ids[t] * width + c);
        }
    }
    return TFR_OK;
}

int32_t tfr_ref_copy(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                     const struct tfr_run_ctx *ctx) {
    memcpy(args->arg[1], args->arg[0], (size_t)(args->rows * problem->arg[1].dim[1]) * sizeof(float));
    return TFR_OK;
}

int32_t tfr_ref_kv_append(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                          const struct tfr_run_ctx *ctx) {
    const int64_t head_dim = problem->attrs.head_dim, width = problem->attrs.n_heads * head_dim;
    const int64_t pitch = problem->arg[0].dim[1];
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(args->batch, b);
        const struct tfr_kv *kv = tfr_seq_kv(args->batch, seq, &problem->attrs, 0);
        for (int64_t t = 0; t < seq->n_rows && !seq->query_only; t++) {
            const float *k_row = (const float *)args->arg[0] + (seq->row0 + t) * pitch + pitch - 2 * width;
            for (int64_t h = 0; h < problem->attrs.n_heads; h++) {
                const float *k = k_row + h * head_dim;
                tfr_kv_put(kv, head_dim, h, seq->past + t, k, k + width);
            }
        }
    }
    return TFR_OK;
}

int32_t tfr_ref_activation(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                           const struct tfr_run_ctx *ctx) {
    const float *x = args->arg[0];
    float *y = args->arg[1];
    for (int64_t i = 0; i < args->rows * problem->arg[1].dim[1]; i++) {
        y[i] = (float)tfr_ref_activate(x[i], problem->attrs.activation);
    }
    return TFR_OK;
}

int32_t tfr_ref_add(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                    const struct tfr_run_ctx *ctx) {
    const float *a = args->arg[0], *b = args->arg[1];
    float *y = args->arg[2];
    for (int64_t i = 0; i < args->rows * problem->arg[2].dim[1]; i++) {
        y[i] = a[i] + b[i];
    }
    return TFR_OK;
}

/* Rounded after each addition: the order is what the op is for. */
int32_t tfr_ref_sum_blocks(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                           const struct tfr_run_ctx *ctx) {
    const int64_t width = problem->arg[4].dim[1], n_blocks = problem->attrs.n_blocks;
    const float *start = args->arg[1], *bias = args->arg[2], *residual = args->arg[3];
    for (int64_t i = 0; i < args->rows * width; i++) {
        const float *parts = (const float *)args->arg[0] + i / width * n_blocks * width + i % width;
        float sum = start != NULL ? start[i] + parts[0] : parts[0];
        for (int64_t b = 1; b < n_blocks; b++) {
            sum += parts[b * width];
        }
        sum = bias != NULL ? sum + bias[i % width] : sum;
        ((float *)args->arg[4])[i] = residual != NULL ? sum + residual[i] : sum;
    }
    return TFR_OK;
}

int32_t tfr_ref_best_rows(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                          const struct tfr_run_ctx *ctx) {
    const int64_t width = problem->arg[0].dim[1];
    for (int64_t r = 0; r < args->rows; r++) {
        const float *x = (const float *)args->arg[0] + r * width;
        float *y = (float *)args->arg[1] + 2 * r;
        y[0] = x[0];
        y[1] = 0;
        for (int64_t c = 1; c < width && !isnan(y[0]); c++) {
            if (x[c] > y[0] || isnan(x[c])) {
                y[0] = x[c];
                y[1] = isnan(x[c]) ? 0 : (float)c;
            }
        }
    }
    return TFR_OK;
}

int32_t tfr_ref_gather_rows(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                            const struct tfr_run_ctx *ctx) {
    const int32_t *rows = args->arg[1];
    const int64_t width = problem->arg[2].dim[1];
    for (int64_t r = 0; r < args->rows; r++) {
        memcpy((float *)args->arg[2] + r * width, (const float *)args->arg[0] + rows[r] * width, (size_t)width * sizeof(float));
    }
    return TFR_OK;
}

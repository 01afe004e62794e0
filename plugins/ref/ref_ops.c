/* ref_ops.c - every op as the plain loop that defines it, one function per op.
 *
 * The oracle: sums, softmax, normalisation and activations (libm) are in double, and a result is rounded to
 * f32 once. It does not try to be fast, only not to be hopeless (linear runs along the rows of the packed
 * weight).
 */
#include "ref/ref.h"

#include <math.h>

#include "common/dtype.h"

static double clip(double x, double low, double high) {
    return x < low ? low : x > high ? high : x; /* NaN passes */
}

static double softplus(double x) {
    return (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));
}

static double activate(double x, int activation) {
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

void tfr_ref_embed(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                   const struct tfr_problem *problem) {
    const int32_t *ids = args->arg[0], *positions = args->arg[1];
    const int64_t width = problem->arg[4].dim[1];
    float *y = args->arg[4];
    for (int64_t t = 0; t < args->rows; t++) {
        for (int64_t c = 0; c < width; c++) {
            y[t * width + c] = load_as_f32(args->arg[2], problem->arg[2].dtype, ids[t] * width + c) +
                               load_as_f32(args->arg[3], problem->arg[3].dtype, positions[t] * width + c);
        }
    }
}

void tfr_ref_layer_norm(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                        const struct tfr_problem *problem) {
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
}

/* sum[i] = sum over k of x[k] W[k][n0 + i], for `width` columns. */
static void dot_columns(const float *x, const void *packed, bool is_bf16, int64_t n_in, int64_t n_out,
                        int64_t n0, int64_t width, double *sum) {
    for (int64_t i = 0; i < width; i++) {
        sum[i] = 0;
    }
    for (int64_t k = 0; k < n_in; k++) {
        const double factor = x[k];
        if (is_bf16) {
            const uint16_t *row = (const uint16_t *)packed + k * n_out + n0;
            for (int64_t i = 0; i < width; i++) {
                sum[i] += factor * bf16_to_f32(row[i]);
            }
        } else {
            const float *row = (const float *)packed + k * n_out + n0;
            for (int64_t i = 0; i < width; i++) {
                sum[i] += factor * row[i];
            }
        }
    }
}

void tfr_ref_linear(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                    const struct tfr_problem *problem) {
    enum { COLUMNS = 256 };
    const bool is_bf16 = problem->arg[1].dtype == TFR_DTYPE_BF16;
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    const float *x = args->arg[0], *bias = args->arg[2], *residual = args->arg[3];
    float *y = args->arg[4];
    double sum[COLUMNS];
    for (int64_t n0 = 0; n0 < n_out; n0 += COLUMNS) {
        const int64_t width = n_out - n0 < COLUMNS ? n_out - n0 : COLUMNS;
        for (int64_t m = 0; m < args->rows; m++) {
            dot_columns(x + m * n_in, args->arg[1], is_bf16, n_in, n_out, n0, width, sum);
            for (int64_t i = 0; i < width; i++) {
                const int64_t at = m * n_out + n0 + i;
                const double biased = bias != NULL ? sum[i] + bias[n0 + i] : sum[i];
                const double active = activate(biased, problem->attrs.activation);
                y[at] = (float)(residual != NULL ? active + residual[at] : active);
            }
        }
    }
}

static int64_t k_index(const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s, int64_t d) {
    const int64_t panel = h * (kv->capacity / TFR_KV_PANEL) + s / TFR_KV_PANEL;
    return (panel * head_dim + d) * TFR_KV_PANEL + s % TFR_KV_PANEL;
}

void tfr_ref_kv_append(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                       const struct tfr_problem *problem) {
    const int64_t head_dim = problem->attrs.head_dim, width = problem->attrs.n_heads * head_dim;
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = &args->batch->seq[b];
        const struct tfr_kv *kv = &seq->kv[problem->attrs.layer];
        for (int64_t t = 0; t < seq->n_rows; t++) {
            const float *row = (const float *)args->arg[0] + (seq->row0 + t) * 3 * width;
            for (int64_t c = 0; c < width; c++) {
                const int64_t h = c / head_dim, d = c % head_dim, s = seq->past + t;
                kv->k[k_index(kv, head_dim, h, s, d)] = row[width + c];
                kv->v[(h * kv->capacity + s) * head_dim + d] = row[2 * width + c];
            }
        }
    }
}

static double score_of(const float *q, const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s) {
    double sum = 0;
    for (int64_t d = 0; d < head_dim; d++) {
        sum += (double)q[d] * kv->k[k_index(kv, head_dim, h, s, d)];
    }
    return sum;
}

/* One query row of one head over n_keys keys. Scores are computed twice, so that no buffer bounds the
 * context; `sum` is scratch for head_dim doubles. */
static void attend_row(const float *q, const struct tfr_kv *kv, int64_t h, int64_t head_dim, int64_t n_keys,
                       double scale, double *sum, float *o) {
    double largest = -INFINITY, total = 0;
    for (int64_t s = 0; s < n_keys; s++) {
        const double score = score_of(q, kv, head_dim, h, s) * scale;
        largest = score > largest ? score : largest;
    }
    memset(sum, 0, (size_t)head_dim * sizeof *sum);
    for (int64_t s = 0; s < n_keys; s++) {
        const double p = exp(score_of(q, kv, head_dim, h, s) * scale - largest);
        total += p;
        for (int64_t d = 0; d < head_dim; d++) {
            sum[d] += p * kv->v[(h * kv->capacity + s) * head_dim + d];
        }
    }
    for (int64_t d = 0; d < head_dim; d++) {
        o[d] = (float)(sum[d] / total);
    }
}

bool tfr_ref_attention_query(const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                             size_t reason_size) {
    needs->scratch_bytes = (size_t)problem->attrs.head_dim * sizeof(double);
    return true;
}

void tfr_ref_attention(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                       const struct tfr_problem *problem) {
    const int64_t head_dim = problem->attrs.head_dim, width = problem->attrs.n_heads * head_dim;
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = &args->batch->seq[b];
        const struct tfr_kv *kv = &seq->kv[problem->attrs.layer];
        for (int64_t t = 0; t < seq->n_rows; t++) {
            const int64_t row = seq->row0 + t;
            const int64_t n_keys = seq->past + (problem->attrs.causal ? t + 1 : seq->n_rows);
            for (int64_t h = 0; h < problem->attrs.n_heads; h++) {
                attend_row((const float *)args->arg[0] + row * 3 * width + h * head_dim, kv, h, head_dim,
                           n_keys, problem->attrs.scale, ctx->scratch,
                           (float *)args->arg[1] + row * width + h * head_dim);
            }
        }
    }
}

void tfr_ref_activation(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                        const struct tfr_problem *problem) {
    const float *x = args->arg[0];
    float *y = args->arg[1];
    for (int64_t i = 0; i < args->rows * problem->arg[1].dim[1]; i++) {
        y[i] = (float)activate(x[i], problem->attrs.activation);
    }
}

void tfr_ref_add(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                 const struct tfr_problem *problem) {
    const float *a = args->arg[0], *b = args->arg[1];
    float *y = args->arg[2];
    for (int64_t i = 0; i < args->rows * problem->arg[2].dim[1]; i++) {
        y[i] = a[i] + b[i];
    }
}

void tfr_ref_gather_rows(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                         const struct tfr_problem *problem) {
    const int32_t *rows = args->arg[1];
    const int64_t width = problem->arg[2].dim[1];
    for (int64_t r = 0; r < args->rows; r++) {
        memcpy((float *)args->arg[2] + r * width, (const float *)args->arg[0] + rows[r] * width,
               (size_t)width * sizeof(float));
    }
}

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
#include "common/kv_served.h"

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

static double score_of(const float *q, const struct tfr_kv *kv, int64_t head_dim, int64_t h, int64_t s) {
    double sum = 0;
    for (int64_t d = 0; d < head_dim; d++) {
        sum += (double)q[d] * tfr_kv_key(kv, head_dim, h, s, d);
    }
    return sum;
}

/* One query row of one head, and what bears on it. */
struct query {
    const float *q;
    const struct tfr_kv *kv;
    const float *mask; /* [n_keys] or NULL */
    float *weights;    /* [n_keys] or NULL; zeros where nothing is written */
    int64_t h, head_dim, n_visible;
    double scale, factor; /* of the scores, of the probabilities */
};

/* The score of a key; false if the mask hides it. */
static bool score_key(const struct query *query, int64_t s, double *score) {
    if (query->mask != NULL && query->mask[s] <= TFR_MASK_INVISIBLE) {
        return false;
    }
    *score = score_of(query->q, query->kv, query->head_dim, query->h, s) * query->scale;
    *score += query->mask != NULL ? query->mask[s] : 0;
    return true;
}

/* Scores are computed twice, so that no buffer bounds the context; `sum` is scratch for head_dim doubles. */
static void attend_row(const struct query *query, double *sum, float *o) {
    double largest = -INFINITY, total = 0, score;
    for (int64_t s = 0; s < query->n_visible; s++) {
        if (score_key(query, s, &score)) {
            largest = score > largest ? score : largest;
        }
    }
    memset(sum, 0, (size_t)query->head_dim * sizeof *sum);
    for (int64_t s = 0; s < query->n_visible; s++) {
        const bool counts = score_key(query, s, &score) && score != -INFINITY;
        const double p = counts ? exp(score - largest) : 0; /* of NaN it is NaN */
        total += p;
        if (query->weights != NULL) {
            query->weights[s] = (float)p;
        }
        for (int64_t d = 0; d < query->head_dim && p != 0; d++) {
            sum[d] += p * tfr_kv_value(query->kv, query->head_dim, query->h, s, d);
        }
    }
    const double factor = total != 0 ? query->factor / total : 0;
    for (int64_t d = 0; d < query->head_dim; d++) {
        o[d] = (float)(sum[d] * factor);
    }
    for (int64_t s = 0; s < query->n_visible && query->weights != NULL; s++) {
        query->weights[s] = (float)(query->weights[s] * factor);
    }
}

bool tfr_ref_attention_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason,
                                size_t reason_size) {
    if (problem->attrs.attention != TFR_ATTENTION_FUSED) {
        return kv_dtype_served(self, problem, reason, reason_size);
    }
    snprintf(reason, reason_size, "is not fused, and fused attention was asked for");
    return false;
}

int32_t tfr_ref_attention_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                                  char *reason, size_t reason_size) {
    needs->scratch_bytes = (size_t)problem->attrs.head_dim * sizeof(double);
    return TFR_OK;
}

/* All heads of row t of a sequence. */
static void attend_heads(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx, const struct tfr_problem *problem,
                         const struct tfr_batch_seq *seq, int64_t t) {
    const struct tfr_attrs *attrs = &problem->attrs;
    const struct tfr_attention_extra *extra = attrs->cross ? &seq->cross : &seq->self;
    const int64_t head_dim = attrs->head_dim, width = attrs->n_heads * head_dim, row = seq->row0 + t;
    const int64_t n_keys = attrs->cross ? seq->n_cross : seq->past + (seq->query_only ? 0 : seq->n_rows);
    const bool is_causal = attrs->causal && !attrs->cross && !seq->query_only;
    for (int64_t h = 0; h < attrs->n_heads; h++) {
        const int64_t mask_row = (extra->mask_heads > 1 ? h : 0) * seq->n_rows + t;
        struct query query = {.q = (const float *)args->arg[0] + row * problem->arg[0].dim[1] + h * head_dim,
                              .kv = tfr_seq_kv(args->batch, seq, attrs, attrs->cross),
                              .h = h,
                              .head_dim = head_dim,
                              .n_visible = is_causal ? seq->past + t + 1 : n_keys,
                              .scale = attrs->scale,
                              .factor = 1};
        if (attrs->has_mask) {
            query.mask = extra->mask + mask_row * n_keys;
        }
        if (attrs->has_head_mask) {
            query.factor = extra->head_mask[attrs->layer * attrs->n_heads + h];
        }
        if (attrs->wants_weights) {
            query.weights = extra->weights[attrs->layer] + extra->weights_offset + (h * seq->n_rows + t) * n_keys;
            memset(query.weights, 0, (size_t)n_keys * sizeof(float));
        }
        attend_row(&query, ctx->scratch, (float *)args->arg[2] + row * width + h * head_dim);
    }
}

int32_t tfr_ref_attention(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                          const struct tfr_run_ctx *ctx) {
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        for (int64_t t = 0; t < tfr_batch_at(args->batch, b)->n_rows; t++) {
            attend_heads(args, ctx, problem, tfr_batch_at(args->batch, b), t);
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

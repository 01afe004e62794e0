/* ref_attention.c - attention as the plain loop that defines it: in double, row by row; and in the order of kernels that multiply
 * in bf16, whose roundings follow the largest score so far. What is left between those and this is e^x, and the sum of it, which
 * are in double here, and subnormals, which the instruction takes for zeros.
 */
#include "ref/ref.h"

#include <math.h>
#include <stdio.h>

#include <tfrun/kv.h>

#include "common/dtype.h"
#include "common/kv_served.h"

enum { REF_BLOCK = 128 };

/* One query row of one head, and what bears on it. */
struct query {
    const float *q;
    const struct tfr_kv *kv;
    const float *mask; /* [n_keys] or NULL */
    float *weights;    /* [n_keys] or NULL; zeros where nothing is written */
    int64_t h, head_dim, n_visible;
    double scale, factor; /* of the scores, of the probabilities */
    bool rounds;          /* products in bf16 */
};

static float round_bf16(float x) {
    return bf16_to_f32(bf16_from_f32(x));
}

static double dot_of(const struct query *query, int64_t s) {
    double sum = 0;
    for (int64_t d = 0; d < query->head_dim; d++) {
        sum += (double)query->q[d] * tfr_kv_key(query->kv, query->head_dim, query->h, s, d);
    }
    return sum;
}

/* In f32, of factors in bf16: pairs, of each the second product first. */
static float dot_of_bf16(const struct query *query, int64_t s) {
    float chain = 0;
    for (int64_t d = 0; d < query->head_dim; d += 2) {
        if (d + 1 < query->head_dim) {
            chain = fmaf(round_bf16(query->q[d + 1]), tfr_kv_key(query->kv, query->head_dim, query->h, s, d + 1), chain);
        }
        chain = fmaf(round_bf16(query->q[d]), tfr_kv_key(query->kv, query->head_dim, query->h, s, d), chain);
    }
    return chain;
}

/* The score of a key; false if the mask hides it. */
static bool score_key(const struct query *query, int64_t s, double *score) {
    if (query->mask != NULL && query->mask[s] <= TFR_MASK_INVISIBLE) {
        return false;
    }
    const double mask = query->mask != NULL ? query->mask[s] : 0;
    *score = query->rounds ? (double)(dot_of_bf16(query, s) * (float)query->scale) : dot_of(query, s) * query->scale;
    *score = query->rounds ? (double)((float)*score + (float)mask) : *score + mask;
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

/* What a block of keys does to a row whose products are in bf16. */
struct running {
    double top, total; /* the largest score so far; the sum of e^(score - top), which is not rounded */
    float *sum;        /* [head_dim] */
};

/* e^(score - top) of the block's keys, in f32; 0 for hidden ones. */
static void block_probabilities(const struct query *query, int64_t start, int64_t n, struct running *run, float *p) {
    double score[REF_BLOCK], top = run->top;
    for (int64_t i = 0; i < n; i++) {
        score[i] = score_key(query, start + i, &score[i]) ? score[i] : -INFINITY;
        top = score[i] > top ? score[i] : top;
    }
    const double rescale = top != -INFINITY ? exp(run->top - top) : 1;
    run->total *= rescale;
    for (int64_t d = 0; d < query->head_dim; d++) {
        run->sum[d] *= (float)rescale;
    }
    for (int64_t i = 0; i < n; i++) {
        p[i] = score[i] != -INFINITY ? (float)exp(score[i] - top) : 0; /* of NaN it is NaN */
        run->total += p[i];
    }
    run->top = top;
}

/* sum + p v of key s; a hidden value may be anything. */
static float add_bf16(const struct query *query, int64_t s, int64_t d, float p, float sum) {
    return p != 0 ? fmaf(round_bf16(p), tfr_kv_value(query->kv, query->head_dim, query->h, s, d), sum) : sum;
}

/* The order of kernels that multiply in bf16: blocks of 128 keys, each with the largest score so far; in them pairs of keys, the
 * second one first. */
static void attend_row_bf16(const struct query *query, float *sum, float *o) {
    struct running run = {.top = -INFINITY, .sum = sum};
    float p[REF_BLOCK + 1];
    memset(sum, 0, (size_t)query->head_dim * sizeof *sum);
    for (int64_t start = 0; start < query->n_visible; start += REF_BLOCK) {
        const int64_t n = query->n_visible - start < REF_BLOCK ? query->n_visible - start : REF_BLOCK;
        block_probabilities(query, start, n, &run, p);
        p[n] = 0;
        for (int64_t d = 0; d < query->head_dim; d++) {
            for (int64_t i = 0; i < n; i += 2) {
                sum[d] = add_bf16(query, start + i + 1, d, p[i + 1], sum[d]);
                sum[d] = add_bf16(query, start + i, d, p[i], sum[d]);
            }
        }
    }
    const double factor = run.total != 0 ? query->factor / run.total : 0;
    for (int64_t d = 0; d < query->head_dim; d++) {
        o[d] = (float)(sum[d] * factor);
    }
    for (int64_t s = 0; s < query->n_visible && query->weights != NULL; s++) {
        double score;
        query->weights[s] = score_key(query, s, &score) && score != -INFINITY ? (float)(exp(score - run.top) * factor) : 0;
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
                              .factor = 1,
                              .rounds = kv_in_bf16_products(problem)};
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
        float *o = (float *)args->arg[2] + row * width + h * head_dim;
        if (query.rounds) {
            attend_row_bf16(&query, ctx->scratch, o);
        } else {
            attend_row(&query, ctx->scratch, o);
        }
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

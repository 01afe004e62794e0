/* attention_eager.c - attention row by row with every option: additive mask, head mask, weights as an output;
 * must equal tfr_ref_attention within rounding. Compiled once per ISA; plain loops over panels of 16 keys
 * that the compiler turns into vectors.
 *
 * The one invariant: the bits of a row depend on its query, its keys and its masks alone. Scores are computed
 * twice (once for the largest, once for the sum), so that no buffer bounds the context; sums are in double.
 */
#include "attention/attention.h"

#include <math.h>
#include <string.h>

#include <tfrun/kv.h>

#include "common/dtype.h"
#include "common/kv_served.h"
#include "common/simd_half.h"

/* One query row of one head, and what bears on it. */
struct query {
    const float *q;
    struct tfr_kv kv;  /* of this head alone: each member at its first key */
    const float *mask; /* [n_keys] or NULL */
    float *weights;    /* [n_keys] or NULL */
    int64_t head_dim, n_keys, n_visible;
    float scale, factor; /* of the scores, of the probabilities */
    bool rounds;         /* queries and probabilities enter their products in bf16 */
    double *sum;         /* [head_dim] scratch */
};

/* Element d of the 16 keys from s0 on. */
V_INLINE void load_keys(const struct query *query, int64_t s0, int64_t d, float key[TFR_KV_PANEL]) {
    const struct tfr_kv *kv = &query->kv;
    const int64_t at = s0 * query->head_dim + d * TFR_KV_PANEL;
    if (kv->k != NULL) {
        memcpy(key, kv->k + at, TFR_KV_PANEL * sizeof(float));
    } else if (kv->k_pair != NULL) {
        const bool is_alone = d >= query->head_dim / 2 * 2;
        const uint16_t *pairs =
            kv->k_pair + s0 * query->head_dim + (is_alone ? d : d / 2 * 2) * TFR_KV_PANEL + (is_alone ? 0 : d % 2);
        for (int i = 0; i < TFR_KV_PANEL; i++) {
            key[i] = tfr_half_from_bf16(pairs[i * (is_alone ? 1 : 2)]);
        }
    } else if (kv->k_half != NULL) {
        for (int i = 0; i < TFR_KV_PANEL; i += VW) {
            v_store(key + i, v_load_f16(kv->k_half + at + i));
        }
    } else {
        for (int i = 0; i < TFR_KV_PANEL; i++) {
            key[i] = tfr_kv_dequantise(kv->k8[at + i], kv->k_scale[s0 + i]);
        }
    }
}

static void dot_panel(const struct query *query, int64_t s0, float dot[TFR_KV_PANEL]) {
    for (int64_t d = 0; d < query->head_dim; d++) {
        const float factor = query->q[d];
        float key[TFR_KV_PANEL];
        load_keys(query, s0, d, key);
        for (int i = 0; i < TFR_KV_PANEL; i++) {
            dot[i] += factor * key[i];
        }
    }
}

/* Scores of the panel that starts at key s0; -infinity for keys that are not to be seen. */
static void score_panel(const struct query *query, int64_t s0, float score[TFR_KV_PANEL]) {
    float dot[TFR_KV_PANEL] = {0};
    dot_panel(query, s0, dot);
    for (int i = 0; i < TFR_KV_PANEL; i++) {
        const int64_t s = s0 + i;
        const float mask = query->mask != NULL && s < query->n_visible ? query->mask[s] : 0.0f;
        const bool is_hidden = s >= query->n_visible || mask <= TFR_MASK_INVISIBLE;
        score[i] = is_hidden ? -INFINITY : dot[i] * query->scale + mask;
    }
}

static float largest_score(const struct query *query) {
    float largest = -INFINITY, score[TFR_KV_PANEL];
    for (int64_t s = 0; s < query->n_visible; s += TFR_KV_PANEL) {
        score_panel(query, s, score);
        for (int i = 0; i < TFR_KV_PANEL; i++) {
            largest = score[i] > largest ? score[i] : largest;
        }
    }
    return largest;
}

static void add_value(const struct query *query, int64_t s, float p) {
    if (query->kv.v != NULL) {
        const float *v = query->kv.v + s * query->head_dim;
        for (int64_t d = 0; d < query->head_dim; d++) {
            query->sum[d] += (double)p * v[d];
        }
        return;
    }
    for (int64_t d = 0; d < query->head_dim; d++) {
        query->sum[d] += (double)p * tfr_kv_value(&query->kv, query->head_dim, 0, s, d);
    }
}

/* Probabilities of one panel, not yet divided by their total, into the sums and the weights. */
static double add_panel(const struct query *query, int64_t s0, float largest) {
    float score[TFR_KV_PANEL];
    double total = 0;
    score_panel(query, s0, score);
    for (int i = 0; i < TFR_KV_PANEL && s0 + i < query->n_visible; i++) {
        const float p = score[i] != -INFINITY ? expf(score[i] - largest) : 0.0f; /* of NaN it is NaN */
        total += p;
        if (query->weights != NULL) {
            query->weights[s0 + i] = p;
        }
        if (p != 0) { /* a hidden value may be anything, NaN too */
            add_value(query, s0 + i, query->rounds ? bf16_to_f32(bf16_from_f32(p)) : p);
        }
    }
    return total;
}

static void attend_row(const struct query *query, float *o) {
    const float largest = largest_score(query);
    double total = 0;
    memset(query->sum, 0, (size_t)query->head_dim * sizeof *query->sum);
    for (int64_t s = 0; s < query->n_visible; s += TFR_KV_PANEL) {
        total += add_panel(query, s, largest);
    }
    const double factor = total != 0 ? query->factor / total : 0;
    for (int64_t d = 0; d < query->head_dim; d++) {
        o[d] = (float)(query->sum[d] * factor);
    }
    if (query->weights == NULL) {
        return;
    }
    for (int64_t s = 0; s < query->n_visible; s++) {
        query->weights[s] = total != 0 ? (float)(query->weights[s] * factor) : 0.0f;
    }
    memset(query->weights + query->n_visible, 0, (size_t)(query->n_keys - query->n_visible) * sizeof(float));
}

/* The cache of head h as one that has no other. The members are asked in the order of their age (struct tfr_kv). */
static struct tfr_kv head_of(const struct tfr_kv *kv, int64_t head_dim, int64_t h) {
    const int64_t scales = h * kv->capacity, first = scales * head_dim;
    struct tfr_kv head = {.capacity = kv->capacity};
    if (kv->k != NULL) {
        head.k = kv->k + first, head.v = kv->v + first;
    } else if (kv->k8 != NULL) {
        head.k8 = kv->k8 + first, head.v8 = kv->v8 + first;
        head.k_scale = kv->k_scale + scales, head.v_scale = kv->v_scale + scales;
    } else if (kv->k_pair != NULL) {
        head.k_pair = kv->k_pair + first, head.v_pair = kv->v_pair + first;
    } else {
        head.k_half = kv->k_half + first, head.v_half = kv->v_half + first;
    }
    return head;
}

/* Rounded to bf16, in scratch behind the sums. */
static const float *round_query(const float *q, int64_t head_dim, void *scratch) {
    float *to = (float *)(void *)((double *)scratch + head_dim);
    for (int64_t d = 0; d < head_dim; d++) {
        to[d] = bf16_to_f32(bf16_from_f32(q[d]));
    }
    return to;
}

/* Row t of one head of one sequence. */
static void attend(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx, const struct tfr_problem *problem,
                   const struct tfr_batch_seq *seq, int64_t h, int64_t t) {
    const struct tfr_attrs *attrs = &problem->attrs;
    const struct tfr_attention_extra *extra = attrs->cross ? &seq->cross : &seq->self;
    const struct tfr_kv *kv = tfr_seq_kv(args->batch, seq, attrs, attrs->cross);
    const int64_t head_dim = attrs->head_dim, width = attrs->n_heads * head_dim, row = seq->row0 + t;
    const int64_t n_keys = attrs->cross ? seq->n_cross : seq->past + (seq->query_only ? 0 : seq->n_rows);
    const bool is_causal = attrs->causal && !attrs->cross && !seq->query_only;
    struct query query = {.q = (const float *)args->arg[0] + row * problem->arg[0].dim[1] + h * head_dim,
                          .head_dim = head_dim,
                          .n_keys = n_keys,
                          .n_visible = is_causal ? seq->past + t + 1 : n_keys,
                          .scale = attrs->scale,
                          .factor = 1,
                          .rounds = kv_in_bf16_products(problem),
                          .sum = ctx->thread_scratch};
    query.kv = head_of(kv, head_dim, h);
    if (query.rounds) {
        query.q = round_query(query.q, head_dim, ctx->thread_scratch);
    }
    if (attrs->has_mask) {
        query.mask = extra->mask + ((extra->mask_heads > 1 ? h : 0) * seq->n_rows + t) * n_keys;
    }
    if (attrs->has_head_mask) {
        query.factor = extra->head_mask[attrs->layer * attrs->n_heads + h];
    }
    if (attrs->wants_weights) {
        query.weights = extra->weights[attrs->layer] + extra->weights_offset + (h * seq->n_rows + t) * n_keys;
    }
    attend_row(&query, (float *)args->arg[2] + row * width + h * head_dim);
}

/* The units of work are (sequence, row, head); neighbours go to different threads, which evens out the causal
 * triangle. */
int32_t V_NAME(tfr_attention_eager)(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                    const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    int64_t unit = 0;
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(args->batch, b);
        for (int64_t t = 0; t < seq->n_rows; t++) {
            for (int64_t h = 0; h < problem->attrs.n_heads; h++, unit++) {
                if (unit % ctx->nth == ctx->tid) {
                    attend(args, ctx, problem, seq, h, t);
                }
            }
        }
    }
    return TFR_OK;
}

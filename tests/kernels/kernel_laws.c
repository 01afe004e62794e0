/* kernel_laws.c - laws between runs of kernels: a row's bits do not depend on its neighbours; equal orders,
 * equal bits.
 *
 * TFR_ORDER_FMA is also held against its definition, element by element, with the C library's fmaf.
 */
#include "kernel_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cache_copies.h"
#include "common/dtype.h"

#include <tfrun/quant.h>

/* Rows [t, t + n) of sequence b (or of the matrix) in a run of their own: same bits as `whole` has for them.
 */
static void check_row_range(struct context *context, struct kernel_setup *setup, const float *whole, int b, int64_t t, int64_t n) {
    const struct tfr_kernel_data *data = context->data;
    const bool is_attention = data->problem.op == TFR_OP_ATTENTION;
    const int64_t row = is_attention ? data->seq[b].row0 + t : t, width = context->kase->n;
    void *in[TFR_MAX_ARGS], *copy[TFR_MAX_ARGS] = {0};
    memcpy(in, data->in, sizeof in);
    for (int i = 0; i < data->n_in; i++) {
        const struct tfr_arg_desc *arg = &data->problem.arg[i];
        if ((arg->flags & TFR_ARG_VAR_ROWS) && in[i] != NULL && arg->rank == 2) {
            const size_t bytes = (size_t)arg->dim[1] * sizeof(float);
            in[i] = copy[i] = must_alloc((size_t)arg->dim[0] * bytes);
            memcpy(copy[i], (char *)data->in[i] + (size_t)row * bytes, (size_t)n * bytes);
        }
    }
    struct tfr_kv kv = {0};
    void *kv_memory = NULL;
    struct tfr_batch_seq seq = {.n_rows = n, .kv = &kv};
    if (is_attention) {
        seq.past = data->seq[b].past + t;
        kv = cache_copy(data, b, seq.past + n, &kv_memory);
    }
    const struct tfr_batch batch = tfr_kernel_batch(&seq, 1);
    float *out = run_fresh(setup, in, n, &batch);
    if (memcmp(out, whole + row * width, (size_t)(n * width) * sizeof(float)) != 0) {
        char text[96];
        snprintf(text, sizeof text, "rows %lld..%lld alone have other bits than among many", (long long)row,
                 (long long)(row + n - 1));
        report(context, setup, text);
    }
    free(out);
    free(kv_memory);
    for (int i = 0; i < TFR_MAX_ARGS; i++) {
        free(copy[i]);
    }
}

static bool is_plain_causal(const struct tfr_kernel_case *kase) {
    return kase->causal && kase->cross == 0 && !kase->query_only && !kase->mask && !kase->head_mask && !kase->weights;
}

void check_same_rows(struct context *context, struct kernel_setup *setup, const float *whole) {
    const struct tfr_kernel_case *kase = context->kase;
    const bool is_attention = kase->op == TFR_OP_ATTENTION;
    if (kase->op != TFR_OP_LINEAR && kase->op != TFR_OP_LAYER_NORM && kase->op != TFR_OP_ACTIVATION &&
        !(is_attention && is_plain_causal(kase))) {
        return;
    }
    for (int b = 0; b < (is_attention ? kase->n_seqs : 1); b++) {
        const int64_t n = is_attention ? kase->n_rows[b] : kase->rows;
        const int64_t some[] = {0, 1, 6, 7, 8, n / 2, n - 1};
        for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
            if (some[i] < n) {
                check_row_range(context, setup, whole, b, some[i], 1);
            }
        }
        if (n > 3) {
            check_row_range(context, setup, whole, b, 1, n - 1); /* tiles begin at other rows */
            check_row_range(context, setup, whole, b, n / 2, n - n / 2 - 1);
        }
    }
}

void check_refuses_other_caches(struct context *context, const struct kernel_setup *setup) {
    const int op = context->kase->op;
    if (op != TFR_OP_ATTENTION && op != TFR_OP_KV_APPEND) {
        return;
    }
    struct tfr_problem problem = setup->problem;
    char reason[256] = "";
    problem.arg[1].dtype = TFR_DTYPE_F64;
    const bool is_served =
        setup->kernel->supports == NULL || setup->kernel->supports(setup->kernel, &problem, reason, sizeof reason);
    if (is_served || reason[0] == '\0') {
        report(context, setup, "does not refuse a cache of another type, or gives no reason");
    }
}

void check_dequantised(struct context *context, struct kernel_setup *setup, const float *want) {
    const struct tfr_kernel_data *data = context->data;
    if (context->kase->op != TFR_OP_ATTENTION || context->kase->kv == TFR_DTYPE_F32 || context->kase->x_dtype != TFR_DTYPE_F32) {
        return;
    }
    struct tfr_kv kv[TFR_CASE_SEQS];
    void *memory[TFR_CASE_SEQS];
    struct tfr_batch_seq seq[TFR_CASE_SEQS];
    for (int b = 0; b < context->kase->n_seqs; b++) {
        kv[b] = cache_as_f32(data, b, &memory[b]);
        seq[b] = data->seq[b];
        seq[b].kv = seq[b].cross_kv = &kv[b];
    }
    const struct tfr_batch batch = tfr_kernel_batch(seq, context->kase->n_seqs);
    setup->problem.arg[1].dtype = TFR_DTYPE_F32;
    float *out = run_fresh(setup, data->in, data->rows, &batch);
    setup->problem.arg[1].dtype = context->kase->kv;
    if (memcmp(out, want, (size_t)data->out_bytes) != 0) {
        report(context, setup, "a cache of another type gives other bits than the same keys and values in f32");
    }
    free(out);
    for (int b = 0; b < context->kase->n_seqs; b++) {
        free(memory[b]);
    }
}

static float packed_weight(const struct tfr_kernel_data *data, int64_t k, int64_t n) {
    const struct tfr_tensor *w = &data->weight;
    const int64_t at = data->problem.attrs.transposed ? n * w->stride[0] + k : k * w->stride[0] + n;
    const float value = load_as_f32(w->data, w->dtype, at);
    return data->problem.arg[1].dtype == TFR_DTYPE_BF16 ? bf16_to_f32(bf16_from_f32(value)) : value;
}

/* What TFR_ORDER_FMA means for one element, by the words of plugin.h (no activation). */
static float fma_order_element(const struct tfr_kernel_data *data, int64_t k_block, int64_t m, int64_t n) {
    const int64_t n_in = data->problem.arg[0].dim[1], n_out = data->problem.arg[4].dim[1];
    const float *x = (const float *)data->in[0] + m * n_in;
    float sum = 0;
    for (int64_t k0 = 0; k0 < n_in; k0 += k_block) {
        float chain = 0;
        for (int64_t k = k0; k < n_in && k < k0 + k_block; k++) {
            chain = fmaf(x[k], packed_weight(data, k, n), chain);
        }
        sum = k0 == 0 ? chain : sum + chain;
    }
    sum = data->in[2] != NULL ? sum + ((const float *)data->in[2])[n] : sum;
    return data->in[3] != NULL ? sum + ((const float *)data->in[3])[m * n_out + n] : sum;
}

static void check_fma_definition(struct context *context, const struct kernel_setup *setup, int64_t k_block, const float *out) {
    const int64_t n_out = context->kase->n, total = context->kase->rows * n_out;
    const int64_t step = total / 97 + 1;
    for (int64_t i = 0; context->kase->act == TFR_ACT_NONE && i < total; i += step) {
        const bool is_coarse = context->kase->dtype == TFR_DTYPE_I8_CHANNEL;
        const float want = is_coarse ? int8w_element(context->data, k_block, i / n_out, i % n_out)
                                     : fma_order_element(context->data, k_block, i / n_out, i % n_out);
        if (out[i] != want) {
            char text[128];
            snprintf(text, sizeof text, "order FMA %lld: element %lld is %.9g, by definition %.9g", (long long)k_block,
                     (long long)i, out[i], want);
            report(context, setup, text);
            return;
        }
    }
}

/* All linear kernels that keep `order` give the same bits. */
static void check_order(struct context *context, struct tfr_order order, const char *filter) {
    float *first = NULL;
    const char *first_name = NULL;
    char reason[256];
    for (int i = 0; i < context->list.n; i++) {
        const struct tfr_kernel *kernel = context->list.kernel[i];
        struct kernel_setup setup;
        if (!is_candidate(kernel, context->data, filter) ||
            !setup_open(kernel, context->data, 1 + i % 3, order, &setup, reason, sizeof reason)) {
            continue;
        }
        const struct tfr_order kept = setup.needs.order;
        const bool one_block = kept.k_block >= context->kase->k && order.k_block >= context->kase->k;
        float *out = run_fresh(&setup, context->data->in, context->data->rows, NULL);
        if (kept.kind != order.kind || (kept.k_block != order.k_block && !one_block)) {
            report(context, &setup, "accepted an order and reports another");
        }
        if (order.kind == TFR_ORDER_FMA) {
            check_fma_definition(context, &setup, order.k_block, out);
        }
        if (order.kind == TFR_ORDER_INT || order.kind == TFR_ORDER_INT_GROUP) {
            check_int_definition(context, &setup, out);
        }
        if (first != NULL && memcmp(first, out, (size_t)context->data->out_bytes) != 0) {
            char text[160];
            snprintf(text, sizeof text, "order (%d, %d) gives other bits than %s", order.kind, order.k_block, first_name);
            report(context, &setup, text);
        }
        free(first != NULL ? out : NULL);
        first_name = first != NULL ? first_name : kernel->name;
        first = first != NULL ? first : out;
        setup_close(&setup);
    }
    free(first);
}

void check_orders(struct context *context, const char *filter) {
    const int32_t blocks[] = {64, 256, 512, 1024, (int32_t)context->kase->k};
    if (context->kase->op != TFR_OP_LINEAR) {
        return;
    }
    if (context->kase->x_dtype == TFR_DTYPE_I8) {
        const bool has_groups = context->kase->dtype != TFR_DTYPE_I8_CHANNEL;
        check_order(context,
                    has_groups ? (struct tfr_order){TFR_ORDER_INT_GROUP, TFR_QUANT_SPAN}
                               : (struct tfr_order){.kind = TFR_ORDER_INT},
                    filter);
        return;
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        check_order(context, (struct tfr_order){TFR_ORDER_FMA, blocks[i]}, filter);
        check_order(context, (struct tfr_order){TFR_ORDER_DP_BF16, blocks[i]}, filter);
    }
}

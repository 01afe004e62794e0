/* kernel_perf.c - the modes that judge nothing: which kernel serves what, and how fast it is. */
#include "kernel_check.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "common/dtype.h"

#include <tfrun/quant.h>

static const int activation_flops[] = {
#define TFR_ACTIVATION(NAME, name, flops, formula) flops,
#include <tfrun/activations.def>
};

void mode_support(struct context *context, const char *filter) {
    for (int i = 0; i < context->list.n; i++) {
        const struct tfr_kernel *kernel = context->list.kernel[i];
        struct kernel_setup setup;
        char reason[256] = "";
        if (!is_candidate(kernel, context->data, filter)) {
            continue;
        }
        if (setup_open(kernel, context->data, 1, (struct tfr_order){TFR_ORDER_ANY, 0}, &setup, reason, sizeof reason)) {
            printf("%-28s %-34s yes, packs %zu bytes (%s), order (%d, %d)\n", context->kase->name, kernel->name,
                   setup.needs.pack[1].bytes, setup.needs.pack[1].format != NULL ? setup.needs.pack[1].format : "-",
                   setup.needs.order.kind, setup.needs.order.k_block);
            setup_close(&setup);
        } else {
            printf("%-28s %-34s no: %s\n", context->kase->name, kernel->name, reason);
        }
    }
}

/* With their scales and zero points. */
static double weight_bytes(const struct kernel_case *kase) {
    static const int bits[] = {
#define BITS(name, bits, group, scale, zero, file_name, config_name) bits,
        TFR_DTYPE_LIST(BITS)
#undef BITS
    };
    const int64_t group = tfr_quant_group((enum tfr_dtype)kase->dtype);
    const int beside = tfr_quant_has_zero((enum tfr_dtype)kase->dtype) ? 3 : 2;
    const double elements = (double)(kase->k * kase->n), scales = kase->dtype == TFR_DTYPE_I8_CHANNEL ? 4 * (double)kase->n : 0;
    return elements * bits[kase->dtype] / 8 + (group > 0 ? elements * beside / (double)group : scales);
}

/* The formulas of ops.def for this case. */
static void count_work(const struct kernel_case *kase, double *flops, double *bytes) {
    const double m = (double)kase->rows, n = (double)kase->n, k = (double)kase->k;
    double pairs = 0, keys = 0;
    for (int b = 0; b < kase->n_seqs; b++) {
        const double past = (double)kase->past[b], rows = (double)kase->n_rows[b];
        pairs += kase->causal ? rows * past + rows * (rows + 1) / 2 : rows * (past + rows);
        keys += past + rows;
    }
    *flops = 0;
    *bytes = 8 * m * n;
    if (kase->op == TFR_OP_LINEAR) {
        *flops = 2 * m * k * n + m * n * (kase->bias + kase->residual + activation_flops[kase->act]);
        *bytes = 4 * m * k + weight_bytes(kase) + 4 * n * kase->bias + 4 * m * n * (1 + kase->residual);
    } else if (kase->op == TFR_OP_ATTENTION) {
        *flops = 4 * pairs * n + 6 * pairs * (double)kase->heads;
        *bytes = 8 * m * n + 2 * keys * n *
                                 (kase->kv == TFR_DTYPE_I8    ? 1 + 4.0 / (double)kase->dim
                                  : kase->kv == TFR_DTYPE_F32 ? 4
                                                              : 2);
    } else if (kase->op == TFR_OP_LAYER_NORM) {
        *flops = 7 * m * n + 5 * m;
    } else if (kase->op == TFR_OP_ACTIVATION) {
        *flops = m * n * activation_flops[kase->act];
    } else if (kase->op == TFR_OP_KV_APPEND) {
        *bytes = 16 * m * n;
    } else if (kase->op != TFR_OP_GATHER_ROWS) {
        *bytes = 12 * m * n;
    }
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best time of one run, over short rounds for 0.4 s: a busy machine leaves some rounds undisturbed. */
static double best_time(struct kernel_setup *setup) {
    const struct kernel_data *data = setup->data;
    const double end = now_s() + 0.4;
    double best = 1e30;
    for (int round = 0; round < 3 || now_s() < end; round++) {
        const double start = now_s();
        free(run_fresh(setup, data->in, data->rows, &data->batch));
        const double each = (now_s() - start) / (setup->repeats + 1);
        best = round > 0 && each < best ? each : best;
        setup->repeats = (int)fmin(0.001 / each, 5000);
    }
    setup->repeats = 0;
    return best;
}

void mode_perf(struct context *context, const char *filter) {
    double flops, bytes;
    char reason[256];
    count_work(context->kase, &flops, &bytes);
    for (int i = 0; i < context->list.n; i++) {
        const struct tfr_kernel *kernel = context->list.kernel[i];
        for (int nth = 1; nth <= (kernel->run_class == TFR_RUN_SEQ ? 1 : 2); nth++) {
            struct kernel_setup setup;
            if (!is_candidate(kernel, context->data, filter) || (filter == NULL && is_ref(kernel)) ||
                !setup_open(kernel, context->data, nth, (struct tfr_order){TFR_ORDER_ANY, 0}, &setup, reason, sizeof reason)) {
                continue;
            }
            const double t = best_time(&setup);
            printf("%-28s %-34s %d threads %10.1f us %8.1f GFLOP/s %7.1f GB/s\n", context->kase->name, kernel->name, nth, t * 1e6,
                   flops / t * 1e-9, bytes / t * 1e-9);
            setup_close(&setup);
        }
    }
}

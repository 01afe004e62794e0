/* clock_plugin.c - kernels that take the time of a given machine and compute nothing: results are zeros.
 *
 * TFRUN_CLOCK=GB_S,GFLOP_S,NODE_US tells the machine (without it 30,80,2). Every op takes
 *     max(bytes / bandwidth, FLOPs / FLOP rate) + cost of a node
 * on one thread, asleep (clock_sleep.c), so that many ranks on few cores behave as that many nodes of one thread each: a study of
 * how ranks share work. Weights are never read, so they need not be in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/plugin.h>

#include "clock.h"

enum { LEAST_BYTES = 64 };

struct machine {
    double bytes_per_ns, flops_per_ns, node_ns;
};
struct work {
    double flops, bytes;
};

static struct machine machine; /* filled once, when the plugin is loaded */

static double ns_of(const struct machine *of, double flops, double bytes) {
    const double memory = bytes / of->bytes_per_ns, compute = flops / of->flops_per_ns;
    return (memory > compute ? memory : compute) + of->node_ns;
}

static double element(const struct tfr_arg_desc *arg) {
    return arg->dtype == TFR_DTYPE_F32 || arg->dtype == TFR_DTYPE_I32 ? 4 : arg->dtype == TFR_DTYPE_I8 ? 1 : 2;
}

/* The output is the last argument, or there is none. */
static int output_of(const struct tfr_problem *problem) {
    const struct tfr_arg_desc *last = &problem->arg[problem->n_args - 1];
    return problem->op == TFR_OP_KV_APPEND || (last->flags & (TFR_ARG_READ | TFR_ARG_APPEND)) ? -1 : problem->n_args - 1;
}

static struct work linear_work(const struct tfr_problem *problem, double rows) {
    const double weights = (double)problem->arg[1].dim[0] * (double)problem->arg[1].dim[1];
    const double columns = (double)(problem->arg[0].dim[1] + problem->arg[4].dim[1]);
    return (struct work){2 * rows * weights, element(&problem->arg[1]) * weights + 4 * rows * columns};
}

static struct work attention_work(const struct tfr_problem *problem, double rows, const struct tfr_batch *batch) {
    const struct tfr_attrs *attrs = &problem->attrs;
    const double heads = attrs->n_heads, width = heads * attrs->head_dim;
    double pairs = 0, keys = 0;
    for (int64_t i = 0; i < batch->n_seqs; i++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(batch, i);
        const double n = (double)seq->n_rows, past = (double)seq->past;
        const double seen = attrs->cross ? (double)seq->n_cross : seq->query_only ? past : past + n;
        const int is_triangle = attrs->causal && !attrs->cross && !seq->query_only;
        pairs += is_triangle ? n * past + n * (n + 1) / 2 : n * seen;
        keys += seen;
    }
    return (struct work){pairs * (4 * width + 6 * heads), 2 * element(&problem->arg[1]) * keys * width + 8 * rows * width};
}

/* Of every other op: each element of its rows is read and written; those of sum_blocks are many to one. */
static struct work row_work(const struct tfr_problem *problem, double rows) {
    const int64_t width = problem->arg[output_of(problem) < 0 ? 0 : output_of(problem)].dim[1];
    const int64_t read = problem->op == TFR_OP_SUM_BLOCKS || problem->op == TFR_OP_BEST_ROWS ? problem->arg[0].dim[1] : width;
    return (struct work){8 * rows * (double)width, 4 * rows * (double)(read + width)};
}

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    const struct machine *of = self->user;
    const double rows = (double)args->rows;
    const int out = output_of(problem);
    const struct work work = problem->op == TFR_OP_LINEAR      ? linear_work(problem, rows)
                             : problem->op == TFR_OP_ATTENTION ? attention_work(problem, rows, args->batch)
                                                               : row_work(problem, rows);
    if (out >= 0) {
        memset(args->arg[out], 0, sizeof(float) * (size_t)args->rows * (size_t)problem->arg[out].dim[1]);
    }
    clock_spend(ns_of(of, work.flops, work.bytes), ctx);
    return TFR_OK;
}

/* The host's least cost, as the time of this machine, whatever the host's own is. */
static void cost(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *of) {
    (void)problem;
    of->overhead_ns = ns_of(self->user, of->flops, of->bytes_read + of->bytes_written);
    of->flops = of->bytes_read = of->bytes_written = 0;
}

static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t reason_size) {
    (void)self, (void)reason, (void)reason_size;
    if (problem->op == TFR_OP_LINEAR) { /* zeros in any order, of a weight that is not read */
        needs->pack[1].format = "clock";
        needs->pack[1].bytes = LEAST_BYTES;
        const struct tfr_order chain = {TFR_ORDER_FMA, (int32_t)problem->arg[0].dim[1]};
        needs->order = problem->order.kind != TFR_ORDER_ANY ? problem->order : chain;
    }
    return TFR_OK;
}

static void pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg, const struct tfr_tensor *weight,
                 void *packed, int32_t tid, int32_t nth) {
    (void)self, (void)problem, (void)arg, (void)weight, (void)tid, (void)nth;
    memset(packed, 0, LEAST_BYTES);
}

#define KERNEL(OP, name_text)                                                                                                      \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_##OP, .name = name_text ".any.clock.plain", .user = &machine,       \
        .dtypes = 1U << TFR_DTYPE_F32 | 1U << TFR_DTYPE_BF16, .run_class = TFR_RUN_SEQ,                                            \
        .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM | TFR_KERNEL_APART, .score = 1000, .cost = cost, .prepare = prepare, .pack = pack,  \
        .run = run                                                                                                                 \
    }

static const struct tfr_kernel *const kernels[] = {
    KERNEL(EMBED, "embed"),
    KERNEL(LAYER_NORM, "layer_norm"),
    KERNEL(LINEAR, "linear"),
    KERNEL(KV_APPEND, "kv_append"),
    KERNEL(ATTENTION, "attention"),
    KERNEL(ACTIVATION, "activation"),
    KERNEL(ADD, "add"),
    KERNEL(GATHER_ROWS, "gather_rows"),
    KERNEL(LOOKUP_ADD, "lookup_add"),
    KERNEL(COPY, "copy"),
    KERNEL(SUM_BLOCKS, "sum_blocks"),
    KERNEL(BEST_ROWS, "best_rows"),
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "clock",
    .version = "1",
    .build = "takes time and computes nothing",
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(clock) {
    const char *setting = getenv("TFRUN_CLOCK");
    double gbytes = 30, gflops = 80, node_us = 2;
    char end;
    if (setting != NULL && (sscanf(setting, "%lf,%lf,%lf%c", &gbytes, &gflops, &node_us, &end) != 3 || !(gbytes > 0) ||
                            !(gflops > 0) || !(node_us >= 0))) {
        host->log("clock", "TFRUN_CLOCK is to be GB_S,GFLOP_S,NODE_US, e.g. 30,80,2");
        return NULL;
    }
    machine = (struct machine){gbytes, gflops, 1e3 * node_us};
    return &plugin;
}

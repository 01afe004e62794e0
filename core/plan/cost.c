/* cost.c - predicted time of a kernel on a problem: a roofline over the machine's nominal peaks.
 */
#include "plan/cost.h"

#include <math.h>

#include "graph/op.h"
#include "plan/problem.h"

/* Threads that compute; more than there are cores add nothing. */
static double working_threads(const struct tfr_outlook *outlook, const struct tfr_kernel *kernel,
                              const struct tfr_problem *problem) {
    if (kernel->run_class == TFR_RUN_SEQ || kernel->run_class == TFR_RUN_ASYNC) {
        return 1;
    }
    return outlook->nominal ? TFR_NOMINAL_THREADS : fmax(1, fmin(problem->n_threads, outlook->machine->n_cores));
}

static double bandwidth(const struct tfr_outlook *outlook, double threads) {
    const double alone = threads * outlook->machine->bytes_per_core;
    return outlook->nominal ? alone : fmin(alone, outlook->machine->bytes_total);
}

/* Peak of the multipliers that the kernel uses: of a narrow type only where both factors have it. Of a kernel that names units
 * for that type (AVX512-BF16 and not AMX) it is theirs, else the machine's best. */
static double peak_flops(const struct tfr_machine *machine, const struct tfr_kernel *kernel, const struct tfr_problem *problem,
                         const struct tfr_order *order) {
    const enum tfr_dtype dtype = tfr_problem_dtype(problem);
    if (order->kind == TFR_ORDER_INT || order->kind == TFR_ORDER_INT_GROUP) {
        return machine->flops_f32_per_core * tfr_isa_flops_per_cycle(kernel->isa, TFR_DTYPE_I8) /
               tfr_isa_flops_per_cycle(machine->isa, TFR_DTYPE_F32);
    }
    const bool is_narrow = order->kind == TFR_ORDER_DP_BF16 || (dtype == TFR_DTYPE_BF16 && order->kind != TFR_ORDER_FMA);
    if (!is_narrow) {
        return machine->flops_f32_per_core;
    }
    const double f32 = tfr_isa_flops_per_cycle(kernel->isa, TFR_DTYPE_F32),
                 own = tfr_isa_flops_per_cycle(kernel->isa, TFR_DTYPE_BF16);
    return own > f32 ? fmin(machine->flops_bf16_per_core, own / f32 * machine->flops_f32_per_core) : machine->flops_bf16_per_core;
}

static double safe_fraction(double fraction) {
    return fraction > 0 && fraction <= 1 ? fraction : 1;
}

/* What a plugin said, where it can be: no cost is negative, and NaN would win every comparison or lose it by chance. */
static double safe_amount(double amount, double otherwise) {
    return isfinite(amount) && amount >= 0 ? amount : otherwise;
}

static void ask_kernel(const struct tfr_kernel *kernel, const struct tfr_problem *problem, struct tfr_cost *cost) {
    const struct tfr_cost least = *cost;
    kernel->cost(kernel, problem, cost);
    cost->flops = safe_amount(cost->flops, least.flops);
    cost->bytes_read = safe_amount(cost->bytes_read, least.bytes_read);
    cost->bytes_written = safe_amount(cost->bytes_written, least.bytes_written);
    cost->overhead_ns = safe_amount(cost->overhead_ns, least.overhead_ns);
}

static struct tfr_op_facts facts_of(const struct tfr_outlook *outlook, const struct tfr_problem *problem) {
    const double rows = (double)problem->rows_max;
    return problem->op == TFR_OP_ATTENTION && problem->attrs.cross && outlook->encoder > 0
               ? tfr_op_facts_cross(rows, outlook->sequences, outlook->encoder)
               : tfr_op_facts_make(rows, outlook->sequences, outlook->context);
}

struct tfr_prediction tfr_cost_predict(const struct tfr_outlook *outlook, const struct tfr_kernel *kernel,
                                       const struct tfr_problem *problem, const struct tfr_order *order) {
    const struct tfr_machine *machine = outlook->machine;
    struct tfr_prediction prediction = {.cost = {.struct_size = sizeof(struct tfr_cost), .flop_fraction = 1, .byte_fraction = 1}};
    struct tfr_cost *cost = &prediction.cost;
    const struct tfr_op_facts facts = facts_of(outlook, problem);
    tfr_op_cost(problem, &facts, cost);
    if (kernel->cost != NULL) {
        ask_kernel(kernel, problem, cost);
    }
    const double threads = working_threads(outlook, kernel, problem);
    const double flops = threads * peak_flops(machine, kernel, problem, order) * safe_fraction(cost->flop_fraction);
    const double bytes = bandwidth(outlook, threads) * safe_fraction(cost->byte_fraction);
    const double compute_ns = flops > 0 ? cost->flops / flops * 1e9 : 0;
    const double memory_ns = bytes > 0 ? (cost->bytes_read + cost->bytes_written) / bytes * 1e9 : 0;
    prediction.compute_bound = compute_ns > memory_ns;
    prediction.time_ns = fmax(compute_ns, memory_ns) + cost->overhead_ns;
    return prediction;
}

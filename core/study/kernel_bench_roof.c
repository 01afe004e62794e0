/* kernel_bench_roof.c - the roof of a case: what no kernel could beat with any instructions that this machine has under the limit.
 * It is one for all kernels of the case: one that multiplies in a slower way is held against the fastest way too. */
#include <math.h>

#include "base/tensor.h"
#include "predict/predict.h"
#include "study/kernel_bench_case.h"

/* Instructions of these sets multiply such factors faster than any loop that is measured: with them the peak is not known. */
static uint32_t unmeasured(enum tfr_dtype dtype) {
    return dtype == TFR_DTYPE_I8     ? (uint32_t)TFR_ISA_AMX_INT8 | TFR_ISA_DOTPROD | TFR_ISA_I8MM
           : dtype == TFR_DTYPE_BF16 ? (uint32_t)TFR_ISA_ARM_BF16
                                     : 0;
}

static double best_rate(const struct tfr_roofs *roofs, uint32_t isa, enum tfr_dtype dtype) {
    double best = 0;
    for (int i = 0; i < roofs->n_flops; i++) {
        const struct tfr_flop_roof *roof = &roofs->flops[i];
        if (roof->dtype == (int32_t)dtype && (roof->isa & ~isa) == 0) {
            best = fmax(best, fmax(roof->one_core, roof->all_cores));
        }
    }
    return best;
}

/* Factors of bf16 are widened where nothing takes them as they are. Whole numbers are not: even without dot products a vector holds
 * more of them than of floats. */
static double peak_of(const struct tfr_roofs *roofs, uint32_t isa, enum tfr_dtype dtype) {
    if ((unmeasured(dtype) & isa) != 0) {
        return 0;
    }
    const double rate = best_rate(roofs, isa, dtype);
    return rate > 0 || dtype != TFR_DTYPE_BF16 ? rate : best_rate(roofs, isa, TFR_DTYPE_F32);
}

void tfr_kernel_peaks_take(struct tfr_kernel_work *work) {
    static const enum tfr_dtype dtypes[TFR_KERNEL_PEAKS] = {TFR_DTYPE_F32, TFR_DTYPE_BF16, TFR_DTYPE_I8};
    const uint32_t isa = work->engine->machine->isa & tfr_isa_limit(work->engine->config->options.runtime_isa);
    for (int i = 0; i < TFR_KERNEL_PEAKS; i++) {
        work->bench->peaks[i] = (struct tfr_kernel_peak){.dtype = dtypes[i], .flop_rate = peak_of(&work->roofs, isa, dtypes[i])};
    }
}

static struct tfr_kernel_peak *find_peak(struct tfr_kernel_bench *bench, enum tfr_dtype dtype) {
    int i = 0;
    while (bench->peaks[i].dtype != dtype) {
        i++;
    }
    return &bench->peaks[i];
}

/* ops.def counts a row as often as it is looked up; from a table with fewer rows the same ones come again, out of a near cache. */
static double distinct_bytes(const struct tfr_kernel_result *result) {
    const struct tfr_kernel_case *of = &result->of;
    const bool is_gather = of->op == TFR_OP_GATHER_ROWS, is_lookup = of->op == TFR_OP_EMBED || of->op == TFR_OP_LOOKUP_ADD;
    if ((!is_gather && !is_lookup) || of->rows <= of->from) {
        return result->bytes;
    }
    const double width = (double)of->n * (is_gather ? sizeof(float) : (double)tfr_dtype_size((enum tfr_dtype)of->stored));
    return result->bytes - (double)(of->rows - of->from) * width * (of->op == TFR_OP_EMBED ? 2 : 1);
}

/* All bytes of a run are wanted again at the next: the set that is gone through is what one run takes. One thread may read a small
 * set faster than all of them. */
void tfr_kernel_roof_settle(struct tfr_kernel_work *work, struct tfr_kernel_result *result) {
    struct tfr_roofs now = work->roofs;
    struct tfr_kernel_peak *peak = find_peak(work->bench, tfr_kernel_case_factors(&result->of));
    if (work->n_rates > 0) {
        result->memory_rate = tfr_spread_of(work->rates, work->n_rates).median;
        now = tfr_roofs_with_memory(&now, result->memory_rate);
    }
    peak->is_used = peak->is_used || result->flops > 0;
    if (result->flops > 0 && peak->flop_rate <= 0) {
        return;
    }
    const double bytes = distinct_bytes(result);
    const double rate = fmax(tfr_roof_bandwidth(&now, 1, bytes), tfr_roof_bandwidth(&now, now.n_threads, bytes));
    const double memory_s = rate > 0 ? bytes / rate : 0;
    const double compute_s = result->flops > 0 ? result->flops / peak->flop_rate : 0;
    result->roof_s = fmax(compute_s, memory_s);
    result->is_compute_bound = compute_s > memory_s;
}

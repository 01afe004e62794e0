/* kernel_bench.h - struct tfr_kernel_bench, what kernels took on the cases of a file: shown as tables and as JSON.
 * Thread rule: read-only once it is complete. */
#ifndef TFR_STUDY_KERNEL_BENCH_H
#define TFR_STUDY_KERNEL_BENCH_H

#include <tfrun/study.h>

#include "study/kernel_case.h"
#include "study/manifest.h"
#include "study/order_stats.h"

#define TFR_KERNEL_BENCH_SCHEMA "tfrun-kernels-1"
enum { TFR_KERNEL_PEAKS = 3 }; /* f32, bf16, int8 */

/* One kernel on one case. Times are seconds of one run. */
struct tfr_kernel_figure {
    char kernel[64];
    char refusal[160]; /* "" where it serves the case; else nothing behind this is set */
    int threads;
    double *times; /* [n_times] one of each round: the mean of runs in a row */
    size_t n_times;
    struct tfr_spread spread;
    size_t packed_bytes;
};

struct tfr_kernel_result {
    struct tfr_kernel_case of;
    struct tfr_kernel_figure *figures; /* [n_figures] of the kernels asked: those that serve it, then the others, by name */
    size_t n_figures, n_served;
    double flops, bytes;   /* the least that one run costs (ops.def) */
    double memory_rate;    /* between its rounds, the median; 0: not asked for, or its data stay in caches */
    double waited_percent; /* of the time of its rounds, in which others had the cores; below 0: not known */
    double roof_s;         /* of one run, the same for all kernels; 0: not asked for, nothing to do, or its peak is not measured */
    bool is_compute_bound;
};
/* A figure that is faster than its roof by more than this was measured while the roof was not: others ran beside the loops. */
#define TFR_KERNEL_DOUBTFUL_SHARE 1.05
static inline double tfr_kernel_roof_share(const struct tfr_kernel_result *result, const struct tfr_kernel_figure *figure) {
    return figure->spread.median > 0 ? result->roof_s / figure->spread.median : 0;
}

/* FLOPs a second with factors of a type, by the best instructions that the machine has under the limit, all threads. */
struct tfr_kernel_peak {
    enum tfr_dtype dtype;
    double flop_rate; /* 0: not measured */
    bool is_used;     /* by a case */
};

struct tfr_kernel_bench {
    struct tfr_kernel_result *results;
    size_t n_results;
    int64_t repetitions;
    int n_threads;
    bool has_roofs;
    double memory_rate; /* bytes of memory a second, before the cases; 0: not asked for */
    struct tfr_kernel_peak peaks[TFR_KERNEL_PEAKS];
    char machine[160];
    char *file;
    struct tfr_manifest manifest;
};

/* kernel_bench_json.c */
enum tfr_status tfr_kernel_bench_json(const struct tfr_kernel_bench *bench, char **text);

#endif

/* kernel_bench_case.h - what the cases of a bench of kernels have in common while they are measured. Thread rule: the engine's
 * thread. */
#ifndef TFR_STUDY_KERNEL_BENCH_CASE_H
#define TFR_STUDY_KERNEL_BENCH_CASE_H

#include "rank/rank.h"
#include "roofs/roofs.h"
#include "study/kernel_bench.h"

struct tfr_kernel_work {
    struct tfr_kernel_bench *bench;
    struct tfr_engine *engine;
    const struct tfr_kernel_bench_question *question;
    struct tfr_roofs roofs;
    double rates[TFR_MOST_TIMES]; /* of memory, one of each round of a case that goes beyond the caches */
    size_t n_rates;
};

/* Fills all of `result` but its case. Failures name file, line and case. */
enum tfr_status tfr_kernel_bench_case(struct tfr_kernel_work *work, struct tfr_kernel_result *result);

/* kernel_bench_roof.c: the peaks of the bench, once its roofs are measured; the roof of a case, once its rounds are done. */
void tfr_kernel_peaks_take(struct tfr_kernel_work *work);
void tfr_kernel_roof_settle(struct tfr_kernel_work *work, struct tfr_kernel_result *result);

#endif

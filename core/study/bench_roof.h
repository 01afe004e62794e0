/* bench_roof.h - roofs that are measured while a bench runs, and where its figures stand below them.
 *
 * The roof of a case is the sum of the roofs of its tasks (core/predict/predict.h) on all ranks of a replica, over their number: as
 * if every rank had a machine like rank 0's to itself, none ever waited, and messages took no time. Thread rule: the engine's
 * thread, rank 0. */
#ifndef TFR_STUDY_BENCH_ROOF_H
#define TFR_STUDY_BENCH_ROOF_H

#include "roofs/roofs.h"
#include "study/bench_document.h"

struct tfr_calibration;

struct tfr_bench_roofs {
    struct tfr_roofs roofs;
    double rates[TFR_MOST_TIMES];  /* bytes a second of memory, one of each round */
    double packed[TFR_MOST_TIMES]; /* of a working set as large as the packed weights; 0: none */
    size_t n_rates;
};

/* Before the rounds, by rank 0's team: all roofs, in a few seconds. */
enum tfr_status tfr_bench_roofs_measure(struct tfr_bench_roofs *roofs, const struct tfr_engine *engine);
/* In each round: what memory gives now, where the weights do not stay in caches. */
enum tfr_status tfr_bench_roofs_look(struct tfr_bench_roofs *roofs, const struct tfr_engine *engine);
/* After them: roof_s and predicted_s of every figure. */
enum tfr_status tfr_bench_roofs_settle(struct tfr_bench *bench, const struct tfr_bench_roofs *roofs,
                                       const struct tfr_engine *engine, const struct tfr_bench_question *question);

/* bench_predict.c: predicted_s of every figure on several ranks, where it is known what links between them take. */
enum tfr_status tfr_bench_predict_ranks(struct tfr_bench *bench, const struct tfr_engine *engine,
                                        const struct tfr_calibration *calibration, const struct tfr_bench_question *question);

#endif

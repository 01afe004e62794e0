/* bench_steps.h - times of single steps of several sequences: alone, and beside rows of a prompt. Thread rule: the engine's thread,
 * rank 0. */
#ifndef TFR_STUDY_BENCH_STEPS_H
#define TFR_STUDY_BENCH_STEPS_H

#include "profile/stepper.h"
#include "study/bench_case.h"
#include "study/rank_watch.h"

/* Sequences that stay open between the rounds, so that their contexts are read once. */
struct tfr_bench_steps {
    struct tfr_stepper company;   /* as many as the largest case has; closed while others need the places */
    struct tfr_session *newcomer; /* whose prompt is read beside them; NULL: none was asked for */
    int64_t most;                 /* sequences of the largest case; 0: there is none */
    bool has_mixed;
};

/* Sequences with a token each in such a step; 0 of other kinds. */
int64_t tfr_bench_step_sequences(const struct tfr_bench_case *what, int64_t max_batch);
/* Cached positions of each sequence, of a model that holds so many. */
int64_t tfr_bench_step_context(int64_t n_positions);
/* What these cases need. */
struct tfr_bench_steps tfr_bench_steps_of(const struct tfr_bench_case *cases, size_t n, int64_t max_batch);
/* Seconds of a step: the mean of `repeats`. `what` is of one of the two kinds. */
enum tfr_status tfr_bench_steps_time(struct tfr_bench_steps *steps, struct tfr_engine *engine, const struct tfr_bench_case *what,
                                     int repeats, struct tfr_rank_watch *watch, double *seconds);
void tfr_bench_steps_close(struct tfr_bench_steps *steps);

#endif

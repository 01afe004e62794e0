/* samples.h - what each task of the last steps took, on every rank: time stamps of the executor joined with what the plan knows.
 *
 *     tfr_engine_watch(engine, n);
 *     ... steps, each of them one run on every rank
 *     tfr_engine_samples(engine, steps, n, &samples, &n_samples);
 *     tfr_engine_watch(engine, 0);
 *
 * Rank 0 only. Thread rule: the engine's thread.
 */
#ifndef TFR_JOB_SAMPLES_H
#define TFR_JOB_SAMPLES_H

#include "predict/task_facts.h"
#include "rank/rank.h"

struct tfr_task_sample {
    struct tfr_task_facts facts;
    int32_t rank, step;  /* index into the steps that were asked for */
    double begin_ns, ns; /* since the rank's first task of the step; from the first thread's start to the last one's end. Of a
                            message: from post to completion */
    double waited_ns;    /* message: the time at its end in which this rank did nothing else */
};

/* Time stamps from now on, on all ranks, of which those of the last n_steps are kept; 0: no longer. With observe.trace they go into
 * that trace, which keeps what it can. */
enum tfr_status tfr_engine_watch(struct tfr_engine *engine, size_t n_steps);
/* Of the last n_steps steps, by rank, step and begin; free with tfr_free. Fails where the rings did not hold them. */
enum tfr_status tfr_engine_samples(struct tfr_engine *engine, const struct tfr_step_facts *steps, size_t n_steps,
                                   struct tfr_task_sample **samples, size_t *n);
enum { TFR_MAX_SAMPLED_STEPS = 64 };

/* For command.c. */
enum tfr_status tfr_watch_obey(struct tfr_engine *engine, size_t n_steps);
enum tfr_status tfr_samples_obey(struct tfr_engine *engine, const struct tfr_step_facts *steps, size_t n);

#endif

/* run.h - one execution of one plan: everything that changes while it runs, so that a plan may be in flight
 * any number of times.
 *
 * Runs come from a pool: a free one whose arena is large enough, else the largest free one grows. What
 * computes one task at a time (scratch, states of kernels that return when they are done) is not here but
 * with the executor and the plan. Thread rule: the executor's thread.
 */
#ifndef TFR_EXEC_RUN_H
#define TFR_EXEC_RUN_H

#include "base/arena.h"
#include "base/status.h"
#include "exec/trace.h"
#include "plan/plan.h"

/* Which runs go first, and whose messages stay in order with whose. All ranks give a run the same lane. */
enum tfr_lane { TFR_LANE_DECODE, TFR_LANE_PREFILL, TFR_LANE_COUNT };

/* What is given to a run and taken from it; all that is pointed to stays valid until the run is done. */
struct tfr_exec_input {
    const int32_t *ids, *positions; /* [rows], on the rank that embeds */
    const int32_t *logit_rows;      /* [logits] rows of the step whose logits are wanted */
    float
        *logits; /* on rank 0: [plan->logits_max, V]; of a split head the shares [plan->logits_max, columns] one after the other */
    int64_t rows, n_logits; /* how many of each there are: 1 .. plan's maximum; n_logits may be 0 */
    const struct tfr_batch *batch;
    const int32_t *token_types; /* [rows]; where the graph has them, as all below */
    const float *embeds;        /* [rows, C] */
    float *const *hidden;       /* [n_layer + 1] each [rows, C]; NULL for items of other ranks */
    enum tfr_lane lane;
};

enum tfr_run_phase { TFR_RUN_OPEN, TFR_RUN_IN_FLIGHT, TFR_RUN_DONE };

struct tfr_run {
    const struct tfr_plan *plan;
    struct tfr_exec_input input;
    enum tfr_run_phase phase;
    enum tfr_status status;
    char failure[1024]; /* the sentence where status is not TFR_OK */
    uint64_t number;    /* in the order of submission, from 1 */
    struct tfr_trace_run traced;
    int n_left;     /* tasks not yet complete */
    int *waiting;   /* [n_tasks] predecessors not yet complete; TFR_STARTED once the task was started */
    int *in_flight; /* [n_in_flight] asynchronous tasks that were started */
    int n_in_flight;
    uint64_t n_polls;    /* looks at them */
    uint64_t *posted_ns; /* [n_tasks] when an asynchronous task was started; written when traced */
    int task_capacity;
    struct tfr_block arena;
    uint8_t *states; /* of the tasks, at tfr_task.run_state_offset */
    size_t state_capacity;
    struct tfr_run *next; /* in the list that it stands in: of the pool, or of those in flight (oldest first) */
};
#define TFR_STARTED (-1)

struct tfr_run_pool {
    struct tfr_run *free;
    struct tfr_run *lost; /* failed with messages in flight: kept, since the transport may still write into them */
    size_t bytes;         /* of all arenas, in use or not */
};

enum tfr_status tfr_run_open(struct tfr_run_pool *pool, struct tfr_run **run, const struct tfr_plan *plan,
                             const struct tfr_exec_input *input);
/* A run that is done, or was not submitted, begins again with another input. */
void tfr_run_reset(struct tfr_run *run, const struct tfr_exec_input *input);
void tfr_run_close(struct tfr_run_pool *pool, struct tfr_run *run); /* NULL-safe; not while in flight */
void tfr_run_pool_close(struct tfr_run_pool *pool);

int64_t tfr_run_rows(const struct tfr_run *run, const struct tfr_task *task); /* of its output; 0: it has nothing to do */
/* Arguments of a task: arg[TFR_MAX_ARGS] is filled and referred to. */
void tfr_run_task_args(const struct tfr_run *run, int task, void **arg, struct tfr_run_args *args);
void tfr_run_fail(struct tfr_run *run, enum tfr_status status); /* with the text of the last failure */

#endif

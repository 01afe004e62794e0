/* exec_internal.h - the record of an executor, and what exec.c (the loop over all runs) asks of exec_task.c
 * (one task).
 *
 * Thread rule: the master alone, but for tfr_exec_run_current.
 */
#ifndef TFR_EXEC_EXEC_INTERNAL_H
#define TFR_EXEC_EXEC_INTERNAL_H

#include <stdatomic.h>

#include "exec/exec.h"
#include "exec/sched.h"

struct tfr_exec {
    struct tfr_team *team;
    struct tfr_comm *comm;
    struct tfr_trace *trace; /* NULL: no time stamps */
    const char *traced_as;   /* struct tfr_trace_run.model of its runs */
    struct tfr_sched sched;
    struct tfr_run_pool pool;
    struct tfr_block scratch; /* one task computes at a time, so all runs share it */
    size_t scratch_bytes, scratch_per_thread_bytes;
    int n_in_flight; /* asynchronous tasks of all runs */
    uint64_t busy_ns;
    uint64_t n_events;             /* tasks completed, runs failed */
    const struct tfr_run *only;    /* the one whose tasks are run; NULL: those of all */
    const struct tfr_run *awaited; /* the loop is left when it is done; NULL: when any is */
    bool stop;
    atomic_flag noted; /* by the first thread whose part of the task fails; it alone writes the two below */
    enum tfr_status noted_status;
    char noted_reason[600];
    struct current {
        struct tfr_run *run;
        int task; /* -1: leave the region */
        void *arg[TFR_MAX_ARGS];
        struct tfr_run_args args;
    } current;
};

static inline const struct tfr_task *tfr_task_of(const struct tfr_ready *ready) {
    return &ready->run->plan->tasks[ready->task];
}

/* After a run was put in flight, or has left. */
void tfr_exec_trace_begin(struct tfr_exec *exec, struct tfr_run *run);
void tfr_exec_trace_runs(struct tfr_exec *exec);
void tfr_exec_fail(struct tfr_exec *exec, struct tfr_run *run, enum tfr_status status);
/* After a task, when no thread computes: what one of them noted ends the run. False: it did. */
bool tfr_exec_take_failure(struct tfr_exec *exec, const struct tfr_ready *ready);
void tfr_exec_finish_if_done(struct tfr_exec *exec, struct tfr_run *run);
void tfr_exec_complete(struct tfr_exec *exec, const struct tfr_ready *ready);
/* Completes what has arrived of all runs. */
void tfr_exec_poll(struct tfr_exec *exec);
/* Makes a task the current one. */
void tfr_exec_load(struct tfr_exec *exec, const struct tfr_ready *ready);
/* The part of one thread of the current task. */
void tfr_exec_run_current(struct tfr_exec *exec, int tid, int nth);
/* Loads it, runs it, and completes it or lets it be in flight. */
void tfr_exec_run_on_master(struct tfr_exec *exec, const struct tfr_ready *ready);
/* A task without rows (no logits asked for) has nothing to do: its kernel is not called. */
bool tfr_exec_pass_empty(struct tfr_exec *exec, const struct tfr_ready *ready);

#endif

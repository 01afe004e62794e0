/* exec_task.c - one task: its arguments, its run, its failure, its completion, and the messages that are
 * polled meanwhile. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "exec/exec_internal.h"

void tfr_exec_trace_runs(struct tfr_exec *exec) {
    if (exec->trace != NULL) {
        tfr_trace_add_runs(exec->trace, exec->traced_as, exec->sched.n_runs);
    }
}

void tfr_exec_trace_begin(struct tfr_exec *exec, struct tfr_run *run) {
    if (exec->trace != NULL) {
        run->traced = tfr_trace_begin_run(exec->trace, exec->traced_as);
        tfr_exec_trace_runs(exec);
    }
}

static void leave(struct tfr_exec *exec, struct tfr_run *run) {
    tfr_sched_remove(&exec->sched, run);
    tfr_exec_trace_runs(exec);
    exec->n_in_flight -= run->n_in_flight;
    exec->stop |= exec->awaited == NULL || exec->awaited == run;
}

void tfr_exec_fail(struct tfr_exec *exec, struct tfr_run *run, enum tfr_status status) {
    tfr_run_fail(run, status);
    exec->n_events++;
    leave(exec, run);
}

static void note_failure(struct tfr_exec *exec, int32_t status, const char *reason) {
    if (!atomic_flag_test_and_set(&exec->noted)) {
        exec->noted_status = status > 0 && status < TFR_STATUS_COUNT ? (enum tfr_status)status : TFR_RUNTIME;
        snprintf(exec->noted_reason, sizeof exec->noted_reason, "%s", reason[0] != '\0' ? reason : "no reason given");
    }
}

/* After a task, when no thread computes: what one of them noted ends the run. False: it did. */
bool tfr_exec_take_failure(struct tfr_exec *exec, const struct tfr_ready *ready) {
    const struct tfr_task *task = tfr_task_of(ready);
    const enum tfr_status status = exec->noted_status;
    if (status == TFR_OK) {
        return true;
    }
    exec->noted_status = TFR_OK;
    atomic_flag_clear(&exec->noted);
    if (ready->run->phase == TFR_RUN_IN_FLIGHT) {
        tfr_exec_fail(exec, ready->run, tfr_raise(status, "%s: %s failed: %s", task->name, task->kernel->name, exec->noted_reason));
    }
    return false;
}

void tfr_exec_finish_if_done(struct tfr_exec *exec, struct tfr_run *run) {
    if (run->phase == TFR_RUN_IN_FLIGHT && run->n_left == 0) {
        run->phase = TFR_RUN_DONE;
        leave(exec, run);
    }
}

/* A run may have failed while one of its tasks ran. */
void tfr_exec_complete(struct tfr_exec *exec, const struct tfr_ready *ready) {
    struct tfr_run *run = ready->run;
    if (run->phase != TFR_RUN_IN_FLIGHT) {
        return;
    }
    exec->n_events++;
    tfr_sched_complete(&exec->sched, run, ready->task);
    tfr_exec_finish_if_done(exec, run);
}

/* 1: message i of those in flight has come, and is complete now; 0: not yet, -1: it failed, and with it the run. */
static int poll_message(struct tfr_exec *exec, struct tfr_run *run, int i) {
    void *arg[TFR_MAX_ARGS];
    const struct tfr_ready ready = {.run = run, .task = run->in_flight[i]};
    const struct tfr_task *task = tfr_task_of(&ready);
    struct tfr_run_args args;
    tfr_run_task_args(run, ready.task, arg, &args);
    char reason[sizeof exec->noted_reason];
    const struct tfr_run_ctx ctx = {.struct_size = sizeof ctx, .nth = 1, .reason = reason, .reason_size = sizeof reason};
    reason[0] = '\0';
    const bool is_behind = tfr_sched_is_behind(&exec->sched, run, ready.task);
    const int done = is_behind ? 0 : task->kernel->poll(task->kernel, &task->problem, &args, &ctx);
    if (done < 0) {
        tfr_exec_fail(exec, run, tfr_raise(TFR_RUNTIME, "%s: %s failed: %s", task->name, task->kernel->name, reason));
        return -1;
    }
    if (done == 0) {
        return 0;
    }
    if (exec->trace != NULL) {
        tfr_trace_add_task(exec->trace, 0, &run->traced, task, args.rows, run->posted_ns[ready.task], tfr_clock_ns());
    }
    run->n_in_flight--;
    memmove(&run->in_flight[i], &run->in_flight[i + 1], (size_t)(run->n_in_flight - i) * sizeof *run->in_flight);
    exec->n_in_flight--;
    tfr_exec_complete(exec, &ready);
    return 1;
}

/* Completes what has arrived of one run. A look costs a system call where ranks share cores, and a run of shards has all receives
 * of a step in flight, which come in the order of the plan as a rule: so the first that have not come are looked at, and of the
 * rest one, another one each time. */
static void poll_run(struct tfr_exec *exec, struct tfr_run *run) {
    enum { LOOKED_AT = 3 };
    const int turn = run->n_in_flight > 0 ? (int)(run->n_polls++ % (uint64_t)run->n_in_flight) : 0;
    int n_missing = 0;
    for (int i = 0; i < run->n_in_flight;) {
        const int done = poll_message(exec, run, i);
        if (done < 0) {
            return;
        }
        i += done == 0;
        n_missing += done == 0;
        if (n_missing == LOOKED_AT) {
            i = i > turn ? i : turn;
        } else if (n_missing > LOOKED_AT) {
            return;
        }
    }
}

void tfr_exec_poll(struct tfr_exec *exec) {
    for (struct tfr_run *run = exec->sched.oldest, *next; run != NULL && exec->n_in_flight > 0; run = next) {
        next = run->next;
        if (run != exec->only) { /* what follows its messages has to wait for older runs */
            poll_run(exec, run);
        }
    }
}

/* What kernels may call. Thread 0 is the master: while it is in a kernel nobody else touches the books. */
static void context_progress(const struct tfr_run_ctx *ctx) {
    struct tfr_exec *exec = ctx->team;
    if (ctx->tid == 0 && exec->n_in_flight > 0) {
        tfr_exec_poll(exec);
    }
}

static void context_barrier(const struct tfr_run_ctx *ctx) {
    struct tfr_exec *exec = ctx->team;
    context_progress(ctx);
    if (ctx->nth > 1) {
        tfr_team_barrier(exec->team, ctx->tid);
    }
}

void tfr_exec_load(struct tfr_exec *exec, const struct tfr_ready *ready) {
    exec->current.run = ready->run;
    exec->current.task = ready->task;
    tfr_run_task_args(ready->run, ready->task, exec->current.arg, &exec->current.args);
}

/* The span of an asynchronous task ends when it is complete: here it is posted. */
static int32_t run_traced(struct tfr_exec *exec, const struct tfr_task *task, const struct tfr_run_ctx *ctx) {
    struct tfr_run *run = exec->current.run;
    const struct tfr_trace_run traced = run->traced; /* who comes last finds another run there */
    const uint64_t begin_ns = tfr_clock_ns();
    const int32_t status = task->kernel->run(task->kernel, &task->problem, &exec->current.args, ctx);
    if (task->kernel->run_class == TFR_RUN_ASYNC) {
        run->posted_ns[exec->current.task] = begin_ns;
    } else {
        tfr_trace_add_task(exec->trace, ctx->tid, &traced, task, exec->current.args.rows, begin_ns, tfr_clock_ns());
    }
    return status;
}

void tfr_exec_run_current(struct tfr_exec *exec, int tid, int nth) {
    const struct tfr_task *task = &exec->current.run->plan->tasks[exec->current.task];
    uint8_t *scratch = exec->scratch.data;
    char reason[sizeof exec->noted_reason];
    const struct tfr_run_ctx ctx = {
        .struct_size = sizeof ctx,
        .tid = tid,
        .nth = nth,
        .scratch = scratch,
        .thread_scratch = scratch != NULL ? scratch + exec->scratch_bytes + (size_t)tid * exec->scratch_per_thread_bytes : NULL,
        .barrier = context_barrier,
        .team = exec,
        .progress = context_progress,
        .reason = reason,
        .reason_size = sizeof reason,
    };
    reason[0] = '\0';
    const int32_t status = exec->trace != NULL ? run_traced(exec, task, &ctx)
                                               : task->kernel->run(task->kernel, &task->problem, &exec->current.args, &ctx);
    if (status != TFR_OK) {
        note_failure(exec, status, reason);
    }
}

/* In the order of the plan, which is that in which messages come. They are posted by priority, and so what other ranks wait for
 * alone would be behind what is further on in this one's own path. */
static void add_in_flight(struct tfr_run *run, int task) {
    int at = run->n_in_flight++;
    for (; at > 0 && run->in_flight[at - 1] > task; at--) {
        run->in_flight[at] = run->in_flight[at - 1];
    }
    run->in_flight[at] = task;
}

void tfr_exec_run_on_master(struct tfr_exec *exec, const struct tfr_ready *ready) {
    const bool is_message = tfr_task_of(ready)->kernel->run_class == TFR_RUN_ASYNC;
    tfr_exec_load(exec, ready);
    const uint64_t begin_ns = is_message ? 0 : tfr_clock_ns();
    tfr_exec_run_current(exec, 0, 1);
    exec->busy_ns += is_message ? 0 : tfr_clock_ns() - begin_ns;
    if (!tfr_exec_take_failure(exec, ready)) {
        return;
    }
    if (is_message) {
        add_in_flight(ready->run, ready->task);
        exec->n_in_flight++;
        if (ready->run != exec->only) {
            poll_run(exec, ready->run);
        }
    } else {
        tfr_exec_complete(exec, ready);
    }
}

/* A task without rows (no logits asked for) has nothing to do: its kernel is not called. */
bool tfr_exec_pass_empty(struct tfr_exec *exec, const struct tfr_ready *ready) {
    if (tfr_run_rows(ready->run, tfr_task_of(ready)) > 0) {
        return false;
    }
    tfr_exec_complete(exec, ready);
    return true;
}

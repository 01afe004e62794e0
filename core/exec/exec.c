/* exec.c - the task loop over all runs in flight: pick, run by class, complete.
 *
 * Inside a region the workers stand in the team's barrier; the master collects them, completes the last task,
 * picks the next and releases them. So a TEAM task costs one barrier, and scheduling happens while nobody
 * computes. A task that fails ends its run alone.
 */
#include "exec/exec.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "exec/sched.h"

struct tfr_exec {
    struct tfr_team *team;
    struct tfr_comm *comm;
    struct tfr_trace *trace; /* NULL: no time stamps */
    struct tfr_sched sched;
    struct tfr_run_pool pool;
    struct tfr_block scratch; /* one task computes at a time, so all runs share it */
    size_t scratch_bytes, scratch_per_thread_bytes;
    int n_in_flight;               /* asynchronous tasks of all runs */
    uint64_t n_events;             /* tasks completed, runs failed */
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

static const struct tfr_task *task_of(const struct tfr_ready *ready) {
    return &ready->run->plan->tasks[ready->task];
}

/* After a run was put in flight or has left. */
static void trace_runs(struct tfr_exec *exec) {
    if (exec->trace != NULL) {
        tfr_trace_add_runs(exec->trace, exec->sched.n_runs);
    }
}

static void leave(struct tfr_exec *exec, struct tfr_run *run) {
    tfr_sched_remove(&exec->sched, run);
    trace_runs(exec);
    exec->n_in_flight -= run->n_in_flight;
    exec->stop |= exec->awaited == NULL || exec->awaited == run;
}

static void fail(struct tfr_exec *exec, struct tfr_run *run, enum tfr_status status) {
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
static bool take_failure(struct tfr_exec *exec, const struct tfr_ready *ready) {
    const struct tfr_task *task = task_of(ready);
    const enum tfr_status status = exec->noted_status;
    if (status == TFR_OK) {
        return true;
    }
    exec->noted_status = TFR_OK;
    atomic_flag_clear(&exec->noted);
    if (ready->run->phase == TFR_RUN_IN_FLIGHT) {
        fail(exec, ready->run, tfr_raise(status, "%s: %s failed: %s", task->name, task->kernel->name, exec->noted_reason));
    }
    return false;
}

static void finish_if_done(struct tfr_exec *exec, struct tfr_run *run) {
    if (run->phase == TFR_RUN_IN_FLIGHT && run->n_left == 0) {
        run->phase = TFR_RUN_DONE;
        leave(exec, run);
    }
}

/* A run may have failed while one of its tasks ran. */
static void complete(struct tfr_exec *exec, const struct tfr_ready *ready) {
    struct tfr_run *run = ready->run;
    if (!take_failure(exec, ready) || run->phase != TFR_RUN_IN_FLIGHT) {
        return;
    }
    exec->n_events++;
    tfr_sched_complete(&exec->sched, run, ready->task);
    finish_if_done(exec, run);
}

/* Completes what has arrived of one run. */
static void poll_run(struct tfr_exec *exec, struct tfr_run *run) {
    void *arg[TFR_MAX_ARGS];
    for (int i = 0; i < run->n_in_flight;) {
        const struct tfr_ready ready = {.run = run, .task = run->in_flight[i]};
        const struct tfr_task *task = task_of(&ready);
        struct tfr_run_args args;
        tfr_run_task_args(run, ready.task, arg, &args);
        char reason[sizeof exec->noted_reason];
        const struct tfr_run_ctx ctx = {.struct_size = sizeof ctx, .nth = 1, .reason = reason, .reason_size = sizeof reason};
        reason[0] = '\0';
        const int done = task->kernel->poll(task->kernel, &task->problem, &args, &ctx);
        if (done < 0) {
            fail(exec, run, tfr_raise(TFR_RUNTIME, "%s: %s failed: %s", task->name, task->kernel->name, reason));
            return;
        }
        if (done == 0) {
            i++;
            continue;
        }
        if (exec->trace != NULL) {
            tfr_trace_add_task(exec->trace, 0, run->number, task, args.rows, run->posted_ns[ready.task],
                               tfr_clock_ns());
        }
        run->in_flight[i] = run->in_flight[--run->n_in_flight];
        exec->n_in_flight--;
        complete(exec, &ready);
    }
}

static void poll_in_flight(struct tfr_exec *exec) {
    for (struct tfr_run *run = exec->sched.oldest, *next; run != NULL && exec->n_in_flight > 0; run = next) {
        next = run->next;
        poll_run(exec, run);
    }
}

/* What kernels may call. Thread 0 is the master: while it is in a kernel nobody else touches the books. */
static void context_progress(const struct tfr_run_ctx *ctx) {
    struct tfr_exec *exec = ctx->team;
    if (ctx->tid == 0 && exec->n_in_flight > 0) {
        poll_in_flight(exec);
    }
}

static void context_barrier(const struct tfr_run_ctx *ctx) {
    struct tfr_exec *exec = ctx->team;
    context_progress(ctx);
    if (ctx->nth > 1) {
        tfr_team_barrier(exec->team, ctx->tid);
    }
}

static void load(struct tfr_exec *exec, const struct tfr_ready *ready) {
    exec->current.run = ready->run;
    exec->current.task = ready->task;
    tfr_run_task_args(ready->run, ready->task, exec->current.arg, &exec->current.args);
}

/* The span of an asynchronous task ends when it is complete: here it is posted. */
static int32_t run_traced(struct tfr_exec *exec, const struct tfr_task *task, const struct tfr_run_ctx *ctx) {
    struct tfr_run *run = exec->current.run;
    const uint64_t number = run->number, begin_ns = tfr_clock_ns();
    const int32_t status = task->kernel->run(task->kernel, &task->problem, &exec->current.args, ctx);
    if (task->kernel->run_class == TFR_RUN_ASYNC) {
        run->posted_ns[exec->current.task] = begin_ns;
    } else {
        tfr_trace_add_task(exec->trace, ctx->tid, number, task, exec->current.args.rows, begin_ns,
                           tfr_clock_ns());
    }
    return status;
}

static void run_current(struct tfr_exec *exec, int tid, int nth) {
    const struct tfr_task *task = &exec->current.run->plan->tasks[exec->current.task];
    uint8_t *scratch = exec->scratch.data;
    char reason[sizeof exec->noted_reason];
    const struct tfr_run_ctx ctx = {
        .struct_size = sizeof ctx,
        .tid = tid,
        .nth = nth,
        .scratch = scratch,
        .thread_scratch = scratch + exec->scratch_bytes + (size_t)tid * exec->scratch_per_thread_bytes,
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

static void run_on_master(struct tfr_exec *exec, const struct tfr_ready *ready) {
    load(exec, ready);
    run_current(exec, 0, 1);
    if (!take_failure(exec, ready)) {
        return;
    }
    if (task_of(ready)->kernel->run_class == TFR_RUN_ASYNC) {
        ready->run->in_flight[ready->run->n_in_flight++] = ready->task;
        exec->n_in_flight++;
        poll_run(exec, ready->run);
    } else {
        complete(exec, ready);
    }
}

/* A task without rows (no logits asked for) has nothing to do: its kernel is not called. */
static bool pass_empty(struct tfr_exec *exec, const struct tfr_ready *ready) {
    if (tfr_run_rows(ready->run, task_of(ready)) > 0) {
        return false;
    }
    complete(exec, ready);
    return true;
}

/* The next task for the team, with all that the master can do alone done on the way. False: the region must
 * be left, to go on with *leftover (run NULL: with nothing). */
static bool next_team_task(struct tfr_exec *exec, struct tfr_ready *next, struct tfr_ready *leftover) {
    leftover->run = NULL;
    for (;;) {
        if (exec->n_in_flight > 0) {
            poll_in_flight(exec);
        }
        if (exec->stop || !tfr_sched_pick(&exec->sched, next, NULL)) {
            return false;
        }
        if (pass_empty(exec, next)) {
            continue;
        }
        const struct tfr_task *task = task_of(next);
        if (task->kernel->run_class == TFR_RUN_TEAM && !task->alone) {
            return true;
        }
        if (task->kernel->run_class == TFR_RUN_SELF) {
            *leftover = *next;
            return false;
        }
        run_on_master(exec, next);
    }
}

struct region {
    struct tfr_exec *exec;
    struct tfr_ready first, leftover;
};

/* The master's half of the barrier brackets its bookkeeping: nobody reads `current` while it changes. */
static void master_loop(struct region *region, int nth) {
    struct tfr_exec *exec = region->exec;
    struct tfr_ready at = region->first;
    bool more = true;
    tfr_team_collect(exec->team);
    while (more) {
        load(exec, &at);
        tfr_team_release(exec->team);
        run_current(exec, 0, nth);
        tfr_team_collect(exec->team);
        complete(exec, &at);
        more = next_team_task(exec, &at, &region->leftover);
    }
    exec->current.task = -1;
    tfr_team_release(exec->team);
}

static void worker_loop(struct tfr_exec *exec, int tid, int nth) {
    for (;;) {
        tfr_team_barrier(exec->team, tid);
        if (exec->current.task < 0) {
            return;
        }
        run_current(exec, tid, nth);
    }
}

static void region_entry(void *arg, int tid, int nth) {
    struct region *region = arg;
    if (tid == 0) {
        master_loop(region, nth);
    } else {
        worker_loop(region->exec, tid, nth);
    }
}

/* Runs tasks until only messages can make progress, or a run is done. */
static void run_ready(struct tfr_exec *exec) {
    struct region region = {.exec = exec};
    bool more = next_team_task(exec, &region.first, &region.leftover);
    while (more || region.leftover.run != NULL) {
        if (more) {
            tfr_team_run(exec->team, region_entry, &region);
            more = false;
        } else {
            run_on_master(exec, &region.leftover);
            more = next_team_task(exec, &region.first, &region.leftover);
        }
    }
}

static bool advance(struct tfr_exec *exec, const struct tfr_run *awaited) {
    const uint64_t before = exec->n_events;
    exec->awaited = awaited;
    exec->stop = false;
    run_ready(exec);
    return exec->n_events != before;
}

bool tfr_exec_progress(struct tfr_exec *exec) {
    return advance(exec, NULL);
}

/* A message that `run` waits for, or, where it is held back, an older run. */
static const char *awaited_message(const struct tfr_exec *exec, const struct tfr_run *run) {
    if (run->n_in_flight > 0) {
        return run->plan->tasks[run->in_flight[0]].name;
    }
    for (const struct tfr_run *other = exec->sched.oldest; other != NULL; other = other->next) {
        if (other->n_in_flight > 0) {
            return other->plan->tasks[other->in_flight[0]].name;
        }
    }
    return NULL;
}

static enum tfr_status pause_for(struct tfr_exec *exec, struct tfr_backoff *backoff,
                                 const struct tfr_run *run) {
    const char *name = awaited_message(exec, run);
    if (name == NULL) {
        return tfr_raise(TFR_RUNTIME, "a run is waited for that nothing in flight can complete");
    }
    return tfr_comm_pause(exec->comm, backoff, name);
}

enum tfr_status tfr_exec_wait(struct tfr_exec *exec, struct tfr_run *run) {
    struct tfr_backoff backoff = {0};
    if (run->phase == TFR_RUN_OPEN) {
        return tfr_raise(TFR_RUNTIME, "a run is waited for that was not submitted");
    }
    while (run->phase == TFR_RUN_IN_FLIGHT) {
        if (advance(exec, run)) {
            backoff = (struct tfr_backoff){0};
            continue;
        }
        const enum tfr_status status = pause_for(exec, &backoff, run);
        if (status != TFR_OK) {
            fail(exec, run, status);
        }
    }
    return run->status == TFR_OK ? TFR_OK : tfr_raise(run->status, "%s", run->failure);
}

/* A failed run leaves what it posted in flight, in its own memory; the others go on. */
enum tfr_status tfr_exec_submit(struct tfr_exec *exec, struct tfr_run *run) {
    struct tfr_ready ready;
    TFR_TRY(tfr_sched_add(&exec->sched, run));
    trace_runs(exec);
    finish_if_done(exec, run); /* the plan of a rank without blocks has no tasks */
    while (tfr_sched_pick(&exec->sched, &ready, run)) {
        if (!pass_empty(exec, &ready)) {
            run_on_master(exec, &ready);
        }
    }
    return run->status == TFR_OK ? TFR_OK : tfr_raise(run->status, "%s", run->failure);
}

static enum tfr_status grow_scratch(struct tfr_exec *exec, const struct tfr_plan *plan) {
    const size_t line = 64, shared = tfr_align_up(plan->scratch_bytes, line);
    const size_t each = tfr_align_up(plan->scratch_per_thread_bytes, line);
    exec->scratch_bytes = shared > exec->scratch_bytes ? shared : exec->scratch_bytes;
    exec->scratch_per_thread_bytes =
        each > exec->scratch_per_thread_bytes ? each : exec->scratch_per_thread_bytes;
    const size_t bytes =
        exec->scratch_bytes + exec->scratch_per_thread_bytes * (size_t)tfr_team_size(exec->team);
    if (bytes <= exec->scratch.size) {
        return TFR_OK;
    }
    if (exec->scratch.data != NULL) {
        tfr_block_close(&exec->scratch);
    }
    exec->scratch = (struct tfr_block){0};
    return tfr_block_open(&exec->scratch, bytes, TFR_HUGEPAGES_TRY);
}

enum tfr_status tfr_exec_open_run(struct tfr_exec *exec, struct tfr_run **run, const struct tfr_plan *plan,
                                  const struct tfr_exec_input *input) {
    *run = NULL;
    TFR_TRY(grow_scratch(exec, plan));
    return tfr_run_open(&exec->pool, run, plan, input);
}

void tfr_exec_close_run(struct tfr_exec *exec, struct tfr_run *run) {
    if (run != NULL && run->phase == TFR_RUN_IN_FLIGHT) {
        tfr_exec_wait(exec, run);
    }
    tfr_run_close(&exec->pool, run);
}

enum tfr_status tfr_exec_run(struct tfr_exec *exec, const struct tfr_plan *plan,
                             const struct tfr_exec_input *input) {
    struct tfr_run *run;
    TFR_TRY(tfr_exec_open_run(exec, &run, plan, input));
    enum tfr_status status = tfr_exec_submit(exec, run);
    if (status == TFR_OK) {
        status = tfr_exec_wait(exec, run);
    }
    tfr_exec_close_run(exec, run);
    return status;
}

enum tfr_status tfr_exec_open(struct tfr_exec **exec, struct tfr_team *team, struct tfr_comm *comm) {
    *exec = tfr_alloc(1, sizeof **exec);
    if (*exec == NULL) {
        return TFR_RESOURCE;
    }
    (*exec)->team = team;
    (*exec)->comm = comm;
    return TFR_OK;
}

void tfr_exec_close(struct tfr_exec *exec) {
    if (exec == NULL) {
        return;
    }
    tfr_sched_close(&exec->sched);
    tfr_run_pool_close(&exec->pool);
    if (exec->scratch.data != NULL) {
        tfr_block_close(&exec->scratch);
    }
    tfr_free(exec);
}

void tfr_exec_set_trace(struct tfr_exec *exec, struct tfr_trace *trace) {
    exec->trace = trace;
}

int tfr_exec_runs_in_flight(const struct tfr_exec *exec) {
    return exec->sched.n_runs;
}

size_t tfr_exec_bytes(const struct tfr_exec *exec) {
    return exec->pool.bytes + exec->scratch.size;
}

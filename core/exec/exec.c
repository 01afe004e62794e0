/* exec.c - the task loop over all runs in flight: pick, run by class, complete.
 *
 * Inside a region the workers stand in the team's barrier; the master collects them, completes the last task,
 * picks the next and releases them. So a TEAM task costs one barrier, and scheduling happens while nobody
 * computes. A task that fails ends its run alone.
 */
#include "base/clock.h"
#include "exec/exec_internal.h"

/* The next task for the team, with all that the master can do alone done on the way. False: the region must
 * be left, to go on with *leftover (run NULL: with nothing). */
static bool next_team_task(struct tfr_exec *exec, struct tfr_ready *next, struct tfr_ready *leftover) {
    leftover->run = NULL;
    for (;;) {
        if (exec->n_in_flight > 0) {
            tfr_exec_poll(exec);
        }
        if (exec->stop || !tfr_sched_pick(&exec->sched, next, exec->only, false)) {
            return false;
        }
        if (tfr_exec_pass_empty(exec, next)) {
            continue;
        }
        const struct tfr_task *task = tfr_task_of(next);
        if (task->kernel->run_class == TFR_RUN_TEAM && !task->alone) {
            return true;
        }
        if (task->kernel->run_class == TFR_RUN_SELF) {
            *leftover = *next;
            return false;
        }
        tfr_exec_run_on_master(exec, next);
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
        tfr_exec_load(exec, &at);
        const uint64_t begin_ns = tfr_clock_ns();
        tfr_team_release(exec->team);
        tfr_exec_run_current(exec, 0, nth);
        tfr_team_collect(exec->team);
        exec->busy_ns += tfr_clock_ns() - begin_ns;
        if (tfr_exec_take_failure(exec, &at)) {
            tfr_exec_complete(exec, &at);
        }
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
        tfr_exec_run_current(exec, tid, nth);
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
            tfr_exec_run_on_master(exec, &region.leftover);
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

static enum tfr_status pause_for(struct tfr_exec *exec, struct tfr_backoff *backoff, const struct tfr_run *run) {
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
            tfr_exec_fail(exec, run, status);
        }
    }
    return run->status == TFR_OK ? TFR_OK : tfr_raise(run->status, "%s", run->failure);
}

/* A failed run leaves what it posted in flight, in its own memory; the others go on. */
enum tfr_status tfr_exec_submit(struct tfr_exec *exec, struct tfr_run *run) {
    struct tfr_ready ready;
    TFR_TRY(tfr_sched_add(&exec->sched, run));
    tfr_exec_trace_begin(exec, run);
    tfr_exec_finish_if_done(exec, run); /* the plan of a rank without blocks has no tasks */
    while (tfr_sched_pick(&exec->sched, &ready, run, true)) {
        if (!tfr_exec_pass_empty(exec, &ready)) {
            tfr_exec_run_on_master(exec, &ready);
        }
    }
    return run->status == TFR_OK ? TFR_OK : tfr_raise(run->status, "%s", run->failure);
}

enum tfr_status tfr_exec_start(struct tfr_exec *exec, struct tfr_run *run) {
    exec->only = run;
    const enum tfr_status status = tfr_exec_submit(exec, run);
    if (status == TFR_OK && run->phase == TFR_RUN_IN_FLIGHT) {
        advance(exec, run);
    }
    exec->only = NULL;
    return status;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Runs in flight may need what is there: it goes only when there is more. */
static enum tfr_status grow_scratch(struct tfr_exec *exec, const struct tfr_plan *plan) {
    const size_t line = 64, shared = larger(tfr_align_up(plan->scratch_bytes, line), exec->scratch_bytes);
    const size_t each = larger(tfr_align_up(plan->scratch_per_thread_bytes, line), exec->scratch_per_thread_bytes);
    const size_t bytes = shared + each * (size_t)tfr_team_size(exec->team);
    if (bytes > exec->scratch.size) {
        struct tfr_block grown;
        TFR_TRY(tfr_block_open(&grown, bytes, TFR_HUGEPAGES_TRY));
        tfr_block_close(&exec->scratch);
        exec->scratch = grown;
    }
    exec->scratch_bytes = shared;
    exec->scratch_per_thread_bytes = each;
    return TFR_OK;
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

enum tfr_status tfr_exec_run(struct tfr_exec *exec, const struct tfr_plan *plan, const struct tfr_exec_input *input) {
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

void tfr_exec_set_trace(struct tfr_exec *exec, struct tfr_trace *trace, const char *model) {
    exec->trace = trace;
    exec->traced_as = model;
}

uint64_t tfr_exec_busy_ns(const struct tfr_exec *exec) {
    return exec->busy_ns;
}

int tfr_exec_runs_in_flight(const struct tfr_exec *exec) {
    return exec->sched.n_runs;
}

size_t tfr_exec_bytes(const struct tfr_exec *exec) {
    return exec->pool.bytes + exec->scratch.size;
}

/* exec.c - the task loop: pick, run by class, complete.
 *
 * Inside a region the workers stand in the team's barrier; the master collects them, completes the last task,
 * picks the next and releases them. So a TEAM task costs one barrier, and scheduling happens while nobody
 * computes. A failed message stops the walk: its status is returned once the region is left.
 */
#include "exec/exec.h"

#include "base/arena.h"
#include "base/status.h"
#include "exec/sched.h"

struct tfr_exec {
    struct tfr_team *team;
    struct tfr_comm *comm;
    struct tfr_sched sched;
    struct tfr_block arena, scratch;
    size_t scratch_bytes, scratch_per_thread_bytes;
    int *in_flight; /* asynchronous tasks that were started */
    int n_in_flight, task_capacity;
    /* of the run under way */
    const struct tfr_plan *plan;
    const struct tfr_exec_input *input;
    enum tfr_status status;
    struct team_task {
        int task; /* -1: leave the region */
        void *arg[TFR_MAX_ARGS];
        struct tfr_run_args args;
    } current;
};

static int64_t task_rows(const struct tfr_exec_input *input, const struct tfr_task *task) {
    return task->rows == TFR_ROWS_LOGITS ? input->n_logits : input->rows;
}

static void *io_data(const struct tfr_exec_input *input, const struct tfr_task_arg *arg) {
    switch (arg->io) {
    case TFR_IO_IDS:
        return (void *)input->ids;
    case TFR_IO_POSITIONS:
        return (void *)input->positions;
    case TFR_IO_ROWS:
        return (void *)input->logit_rows;
    case TFR_IO_LOGITS:
        return input->logits;
    case TFR_IO_TOKEN_TYPES:
        return (void *)input->token_types;
    case TFR_IO_EMBEDS:
        return (void *)input->embeds;
    case TFR_IO_HIDDEN:
        return input->hidden[arg->io_index];
    case TFR_IO_COUNT:
        break;
    }
    return NULL;
}

static void *arg_data(const struct tfr_exec *exec, const struct tfr_task_arg *arg) {
    switch (arg->place) {
    case TFR_PLACE_ARENA:
        return (uint8_t *)exec->arena.data + arg->offset;
    case TFR_PLACE_CONST:
        return (void *)arg->data;
    case TFR_PLACE_IO:
        return io_data(exec->input, arg);
    case TFR_PLACE_NONE:
        break;
    }
    return NULL;
}

/* Arguments of one task into exec->current. */
static void load_task(struct tfr_exec *exec, int index) {
    const struct tfr_task *task = &exec->plan->tasks[index];
    struct team_task *current = &exec->current;
    for (int i = 0; i < task->n_args; i++) {
        current->arg[i] = arg_data(exec, &task->arg[i]);
    }
    current->task = index;
    current->args = (struct tfr_run_args){.arg = current->arg,
                                          .rows = task_rows(exec->input, task),
                                          .batch = exec->input->batch,
                                          .state = task->state};
}

static void context_barrier(const struct tfr_run_ctx *ctx) {
    struct tfr_exec *exec = ctx->team;
    tfr_team_barrier(exec->team, ctx->tid);
}

static void run_current(struct tfr_exec *exec, int tid, int nth) {
    const struct tfr_task *task = &exec->plan->tasks[exec->current.task];
    uint8_t *scratch = exec->scratch.data;
    const struct tfr_run_ctx ctx = {
        .tid = tid,
        .nth = nth,
        .scratch = scratch,
        .thread_scratch = scratch + exec->scratch_bytes + (size_t)tid * exec->scratch_per_thread_bytes,
        .barrier = context_barrier,
        .team = exec,
    };
    task->kernel->run(&exec->current.args, &ctx, &task->problem);
}

/* Completes what has arrived. */
static void poll_in_flight(struct tfr_exec *exec) {
    for (int i = 0; i < exec->n_in_flight;) {
        int index = exec->in_flight[i];
        const struct tfr_task *task = &exec->plan->tasks[index];
        const struct tfr_run_args args = {.state = task->state, .rows = task_rows(exec->input, task)};
        int done = task->kernel->poll(&args, &task->problem);
        if (done < 0) {
            exec->status = TFR_RUNTIME;
            return;
        }
        if (done == 0) {
            i++;
            continue;
        }
        exec->in_flight[i] = exec->in_flight[--exec->n_in_flight];
        tfr_sched_complete(&exec->sched, index);
    }
}

static void run_on_master(struct tfr_exec *exec, int index) {
    const struct tfr_task *task = &exec->plan->tasks[index];
    load_task(exec, index);
    run_current(exec, 0, 1);
    if (task->kernel->run_class == TFR_RUN_ASYNC) {
        exec->in_flight[exec->n_in_flight++] = index;
        poll_in_flight(exec);
    } else {
        tfr_sched_complete(&exec->sched, index);
    }
}

/* A task without rows (no logits asked for) has nothing to do: its kernel is not called. */
static bool is_empty(const struct tfr_exec *exec, int index) {
    return task_rows(exec->input, &exec->plan->tasks[index]) == 0;
}

/* The next task for the team, with all that the master can do alone done on the way; -1 when the region must be left (the task to
 * go on with is in *leftover, -1 if none is ready). */
static int next_team_task(struct tfr_exec *exec, int *leftover) {
    *leftover = -1;
    while (exec->status == TFR_OK) {
        poll_in_flight(exec);
        int index = exec->status == TFR_OK ? tfr_sched_pick(&exec->sched) : -1;
        if (index < 0) {
            return -1;
        }
        if (is_empty(exec, index)) {
            tfr_sched_complete(&exec->sched, index);
            continue;
        }
        switch (exec->plan->tasks[index].kernel->run_class) {
        case TFR_RUN_TEAM:
            return index;
        case TFR_RUN_SELF:
            *leftover = index;
            return -1;
        default:
            run_on_master(exec, index);
        }
    }
    return -1;
}

struct region {
    struct tfr_exec *exec;
    int first, leftover;
};

/* The master's half of the barrier brackets its bookkeeping: nobody reads `current` while it changes. */
static void master_loop(struct region *region) {
    struct tfr_exec *exec = region->exec;
    int index = region->first, previous = -1;
    for (;;) {
        tfr_team_collect(exec->team);
        if (previous >= 0) {
            tfr_sched_complete(&exec->sched, previous);
            index = next_team_task(exec, &region->leftover);
        }
        exec->current.task = -1;
        if (index >= 0) {
            load_task(exec, index);
        }
        tfr_team_release(exec->team);
        if (index < 0) {
            return;
        }
        run_current(exec, 0, exec->plan->n_threads);
        previous = index;
    }
}

static void worker_loop(struct tfr_exec *exec, int tid) {
    for (;;) {
        tfr_team_barrier(exec->team, tid);
        if (exec->current.task < 0) {
            return;
        }
        run_current(exec, tid, exec->plan->n_threads);
    }
}

static void region_entry(void *arg, int tid, int nth) {
    struct region *region = arg;
    (void)nth;
    if (tid == 0) {
        master_loop(region);
    } else {
        worker_loop(region->exec, tid);
    }
}

/* Runs tasks until only messages can make progress, or all is done. */
static void run_ready(struct tfr_exec *exec) {
    int leftover = -1;
    int index = next_team_task(exec, &leftover);
    while (exec->status == TFR_OK && (index >= 0 || leftover >= 0)) {
        if (leftover >= 0) {
            run_on_master(exec, leftover);
            index = next_team_task(exec, &leftover);
            continue;
        }
        struct region region = {.exec = exec, .first = index, .leftover = -1};
        tfr_team_run(exec->team, region_entry, &region);
        leftover = region.leftover;
        index = -1;
    }
}

static enum tfr_status await_messages(struct tfr_exec *exec) {
    struct tfr_backoff backoff = {0};
    int before = exec->n_in_flight;
    while (exec->status == TFR_OK && exec->n_in_flight == before) {
        const struct tfr_task *task = &exec->plan->tasks[exec->in_flight[0]];
        TFR_TRY(tfr_comm_pause(exec->comm, &backoff, task->name));
        poll_in_flight(exec);
    }
    return exec->status;
}

static enum tfr_status grow_block(struct tfr_block *block, size_t size) {
    if (size <= block->size) {
        return TFR_OK;
    }
    if (block->data != NULL) {
        tfr_block_close(block);
    }
    *block = (struct tfr_block){0};
    return tfr_block_open(block, size, TFR_HUGEPAGES_TRY);
}

static enum tfr_status grow_tasks(struct tfr_exec *exec, int n_tasks) {
    if (n_tasks <= exec->task_capacity) {
        return TFR_OK;
    }
    tfr_free(exec->in_flight);
    exec->task_capacity = 0;
    exec->in_flight = tfr_alloc((size_t)n_tasks, sizeof *exec->in_flight);
    if (exec->in_flight == NULL) {
        return TFR_RESOURCE;
    }
    exec->task_capacity = n_tasks;
    return TFR_OK;
}

static enum tfr_status make_room(struct tfr_exec *exec, const struct tfr_plan *plan) {
    const size_t line = 64;
    TFR_TRY(grow_tasks(exec, plan->n_tasks));
    TFR_TRY(grow_block(&exec->arena, plan->arena_bytes));
    exec->scratch_bytes = tfr_align_up(plan->scratch_bytes, line);
    exec->scratch_per_thread_bytes = tfr_align_up(plan->scratch_per_thread_bytes, line);
    return grow_block(&exec->scratch,
                      exec->scratch_bytes + exec->scratch_per_thread_bytes * (size_t)plan->n_threads);
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
    if (exec->arena.data != NULL) {
        tfr_block_close(&exec->arena);
    }
    if (exec->scratch.data != NULL) {
        tfr_block_close(&exec->scratch);
    }
    tfr_free(exec->in_flight);
    tfr_free(exec);
}

enum tfr_status tfr_exec_run(struct tfr_exec *exec, const struct tfr_plan *plan,
                             const struct tfr_exec_input *input) {
    TFR_TRY(make_room(exec, plan));
    TFR_TRY(tfr_sched_reset(&exec->sched, plan));
    exec->plan = plan;
    exec->input = input;
    exec->status = TFR_OK;
    exec->n_in_flight = 0;
    for (;;) {
        run_ready(exec);
        if (exec->status != TFR_OK || tfr_sched_done(&exec->sched)) {
            return exec->status;
        }
        TFR_TRY(await_messages(exec));
    }
}

size_t tfr_exec_bytes(const struct tfr_exec *exec) {
    return exec->arena.size + exec->scratch.size;
}

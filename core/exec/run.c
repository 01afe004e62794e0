/* run.c - the memory of a run and where its tasks find their arguments. */
#include "exec/run.h"

#include <stdio.h>
#include <string.h>

static void free_run(struct tfr_run_pool *pool, struct tfr_run *run) {
    pool->bytes -= run->arena.size;
    if (run->arena.data != NULL) {
        tfr_block_close(&run->arena);
    }
    tfr_free(run->waiting);
    tfr_free(run->in_flight);
    tfr_free(run->posted_ns);
    tfr_free(run->states);
    tfr_free(run);
}

/* The free run with the smallest arena that is large enough, else the one with the largest; taken out of the
 * list. */
static struct tfr_run *take_free(struct tfr_run_pool *pool, size_t bytes) {
    struct tfr_run **best = NULL;
    for (struct tfr_run **at = &pool->free; *at != NULL; at = &(*at)->next) {
        const size_t size = (*at)->arena.size, best_size = best != NULL ? (*best)->arena.size : 0;
        const bool better = best_size >= bytes ? size >= bytes && size < best_size : size > best_size;
        best = best == NULL || better ? at : best;
    }
    struct tfr_run *run = best != NULL ? *best : NULL;
    if (run != NULL) {
        *best = run->next;
        run->next = NULL;
    }
    return run;
}

static enum tfr_status grow_arena(struct tfr_run_pool *pool, struct tfr_run *run, size_t bytes) {
    if (bytes <= run->arena.size) {
        return TFR_OK;
    }
    pool->bytes -= run->arena.size;
    if (run->arena.data != NULL) {
        tfr_block_close(&run->arena);
    }
    run->arena = (struct tfr_block){0};
    TFR_TRY(tfr_block_open(&run->arena, bytes, TFR_HUGEPAGES_TRY));
    pool->bytes += run->arena.size;
    return TFR_OK;
}

static enum tfr_status grow_tasks(struct tfr_run *run, int n_tasks) {
    if (n_tasks <= run->task_capacity) {
        return TFR_OK;
    }
    tfr_free(run->waiting);
    tfr_free(run->in_flight);
    tfr_free(run->posted_ns);
    run->task_capacity = 0;
    run->waiting = tfr_alloc((size_t)n_tasks, sizeof *run->waiting);
    run->in_flight = tfr_alloc((size_t)n_tasks, sizeof *run->in_flight);
    run->posted_ns = tfr_alloc((size_t)n_tasks, sizeof *run->posted_ns);
    if (run->waiting == NULL || run->in_flight == NULL || run->posted_ns == NULL) {
        return TFR_RESOURCE;
    }
    run->task_capacity = n_tasks;
    return TFR_OK;
}

/* What the heap gives is aligned for every standard type, not for a cache line: room to move up. */
static enum tfr_status grow_states(struct tfr_run *run, size_t bytes) {
    if (bytes == 0 || bytes <= run->state_capacity) {
        return TFR_OK;
    }
    tfr_free(run->states);
    run->state_capacity = 0;
    run->states = tfr_alloc(bytes + TFR_RUN_STATE_ALIGN, 1);
    if (run->states == NULL) {
        return TFR_RESOURCE;
    }
    run->state_capacity = bytes;
    return TFR_OK;
}

static enum tfr_status make_room(struct tfr_run_pool *pool, struct tfr_run *run, const struct tfr_plan *plan) {
    TFR_TRY(grow_tasks(run, plan->n_tasks));
    TFR_TRY(grow_states(run, plan->run_state_bytes));
    return grow_arena(pool, run, plan->arena_bytes);
}

static uint8_t *states_of(const struct tfr_run *run) {
    return (uint8_t *)tfr_align_up((size_t)(uintptr_t)run->states, TFR_RUN_STATE_ALIGN);
}

void tfr_run_reset(struct tfr_run *run, const struct tfr_exec_input *input) {
    const struct tfr_plan *plan = run->plan;
    run->input = *input;
    run->phase = TFR_RUN_OPEN;
    run->status = TFR_OK;
    run->failure[0] = '\0';
    run->n_left = plan->n_tasks;
    run->n_in_flight = 0;
    for (int i = 0; i < plan->n_tasks; i++) {
        run->waiting[i] = plan->tasks[i].n_predecessors;
    }
    if (plan->run_state_bytes > 0) {
        memset(states_of(run), 0, plan->run_state_bytes);
    }
}

enum tfr_status tfr_run_open(struct tfr_run_pool *pool, struct tfr_run **run, const struct tfr_plan *plan,
                             const struct tfr_exec_input *input) {
    struct tfr_run *made = take_free(pool, plan->arena_bytes);
    *run = NULL;
    if (made == NULL) {
        made = tfr_alloc(1, sizeof *made);
    }
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = make_room(pool, made, plan);
    if (status != TFR_OK) {
        free_run(pool, made);
        return status;
    }
    made->plan = plan;
    tfr_run_reset(made, input);
    *run = made;
    return TFR_OK;
}

void tfr_run_close(struct tfr_run_pool *pool, struct tfr_run *run) {
    if (run == NULL) {
        return;
    }
    struct tfr_run **list = run->n_in_flight > 0 ? &pool->lost : &pool->free;
    run->plan = NULL;
    run->next = *list;
    *list = run;
}

static void free_list(struct tfr_run_pool *pool, struct tfr_run *run) {
    while (run != NULL) {
        struct tfr_run *next = run->next;
        free_run(pool, run);
        run = next;
    }
}

void tfr_run_pool_close(struct tfr_run_pool *pool) {
    free_list(pool, pool->free);
    free_list(pool, pool->lost);
    *pool = (struct tfr_run_pool){0};
}

int64_t tfr_run_rows(const struct tfr_run *run, const struct tfr_task *task) {
    return task->rows == TFR_ROWS_LOGITS ? run->input.n_logits : run->input.rows;
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
        return (uint8_t *)input->logits + arg->offset;
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

static void *arg_data(const struct tfr_run *run, const struct tfr_task_arg *arg) {
    switch (arg->place) {
    case TFR_PLACE_ARENA:
        return (uint8_t *)run->arena.data + arg->offset;
    case TFR_PLACE_CONST:
        return (void *)arg->data;
    case TFR_PLACE_IO:
        return io_data(&run->input, arg);
    case TFR_PLACE_NONE:
        break;
    }
    return NULL;
}

void tfr_run_task_args(const struct tfr_run *run, int index, void **arg, struct tfr_run_args *args) {
    const struct tfr_task *task = &run->plan->tasks[index];
    for (int i = 0; i < task->n_args; i++) {
        arg[i] = arg_data(run, &task->arg[i]);
    }
    *args = (struct tfr_run_args){
        .struct_size = sizeof *args,
        .arg = arg,
        .rows = tfr_run_rows(run, task),
        .batch = run->input.batch,
        .state = task->state,
        .run_state = task->needs.run_state_bytes > 0 ? states_of(run) + task->run_state_offset : NULL,
        .lane = (int32_t)run->input.lane,
    };
}

void tfr_run_fail(struct tfr_run *run, enum tfr_status status) {
    run->status = status;
    run->phase = TFR_RUN_DONE;
    snprintf(run->failure, sizeof run->failure, "%s", tfr_failure_text());
}

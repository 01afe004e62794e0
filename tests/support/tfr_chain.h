/* tfr_chain.h - a plan of three tasks made by hand, and an executor for its runs: what the tests of exec share. */
#ifndef TFR_TEST_CHAIN_H
#define TFR_TEST_CHAIN_H

#include <stdio.h>

#include "exec/exec_internal.h"
#include "tfr_test.h"

/* Columns of every value; x -> 3 x + 1 by the team, a message that passes its rows on after some polls, 3 x +
 * 1 again. */
enum { WIDTH = 4, ROWS = 6, N_TASKS = 3, N_THREADS = 2 };

static inline int32_t run_affine(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                 const struct tfr_run_ctx *ctx) {
    (void)self;
    const float *x = args->arg[0];
    float *y = args->arg[1];
    (void)problem;
    for (int64_t i = ctx->tid; i < args->rows * WIDTH; i += ctx->nth) {
        y[i] = 3 * x[i] + 1;
    }
    ctx->barrier(ctx);
    return TFR_OK;
}

struct delayed {
    int polls_left, tag;
};
static int n_polls, fails_at; /* the poll that fails; 0 none */

static inline int32_t run_delay(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                const struct tfr_run_ctx *ctx) {
    (void)self;
    struct delayed *state = args->run_state;
    (void)ctx;
    assert_int_equal((uintptr_t)state % 64, 0);
    assert_int_equal(state->polls_left, 0); /* zeroed for every run */
    state->polls_left = problem->attrs.tag;
    return TFR_OK;
}

static inline int32_t poll_delay(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                 const struct tfr_run_ctx *ctx) {
    struct delayed *state = args->run_state;
    (void)self, (void)problem;
    if (++n_polls == fails_at) {
        snprintf(ctx->reason, ctx->reason_size, "poll %d failed on purpose", n_polls);
        return -1;
    }
    return --state->polls_left <= 0;
}

static const struct tfr_kernel affine = {.name = "affine", .run_class = TFR_RUN_TEAM, .run = run_affine},
                               delay = {.name = "delay", .run_class = TFR_RUN_ASYNC, .run = run_delay, .poll = poll_delay};

/* embeds -> affine -> arena; delay; arena -> affine -> hidden[0]. */
struct chain {
    struct tfr_plan plan;
    struct tfr_task tasks[N_TASKS];
    int to[N_TASKS], async[1];
    float in[4][ROWS * WIDTH], out[4][ROWS * WIDTH], *hidden[4][1];
    struct tfr_exec_input input[4];
};

static inline void make_chain(struct chain *c, int n_polls_needed) {
    *c = (struct chain){.to = {1, 2}, .async = {1}};
    static const struct tfr_kernel *const kernels[] = {&affine, &delay, &affine};
    static const char *const names[] = {"first", "message", "last"};
    for (int i = 0; i < N_TASKS; i++) {
        c->tasks[i] = (struct tfr_task){.name = names[i],
                                        .kernel = kernels[i],
                                        .n_args = i == 1 ? 0 : 2,
                                        .rows = TFR_ROWS_TOKENS,
                                        .n_predecessors = i > 0,
                                        .n_successors = i + 1 < N_TASKS,
                                        .successors = &c->to[i],
                                        .predicted_ns = 100 + i};
    }
    c->tasks[0].arg[0] = (struct tfr_task_arg){.place = TFR_PLACE_IO, .io = TFR_IO_EMBEDS};
    c->tasks[0].arg[1] = c->tasks[2].arg[0] = (struct tfr_task_arg){.place = TFR_PLACE_ARENA, .offset = 64};
    c->tasks[2].arg[1] = (struct tfr_task_arg){.place = TFR_PLACE_IO, .io = TFR_IO_HIDDEN};
    c->tasks[1].needs.run_state_bytes = sizeof(struct delayed);
    c->tasks[1].problem.attrs.tag = n_polls_needed;
    c->plan = (struct tfr_plan){.tasks = c->tasks,
                                .n_tasks = N_TASKS,
                                .n_threads = N_THREADS,
                                .async = c->async,
                                .n_async = 1,
                                .arena_bytes = 64 + ROWS * WIDTH * sizeof(float),
                                .run_state_bytes = 64};
    for (int r = 0; r < 4; r++) {
        for (int i = 0; i < ROWS * WIDTH; i++) {
            c->in[r][i] = (float)(100 * r + i);
        }
        c->hidden[r][0] = c->out[r];
        c->input[r] = (struct tfr_exec_input){.embeds = c->in[r], .hidden = c->hidden[r], .rows = ROWS};
    }
}

static inline void check_chain(const struct chain *c, int r) {
    for (int i = 0; i < ROWS * WIDTH; i++) {
        assert_true(c->out[r][i] == 3 * (3 * c->in[r][i] + 1) + 1);
    }
}

struct bench {
    struct tfr_team *team;
    struct tfr_comm *comm;
    struct tfr_exec *exec;
};
static inline void open_bench(struct bench *bench) {
    assert_ok(tfr_team_open(&bench->team, N_THREADS, NULL, true));
    assert_ok(tfr_comm_open(&bench->comm, NULL, 5));
    assert_ok(tfr_exec_open(&bench->exec, bench->team, bench->comm));
    n_polls = fails_at = 0;
}
static inline void close_bench(struct bench *bench) {
    assert_int_equal(bench->exec->n_in_flight, 0); /* messages: every run is over */
    tfr_exec_close(bench->exec);
    tfr_comm_close(bench->comm);
    tfr_team_close(bench->team);
}

#endif

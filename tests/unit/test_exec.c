/* test_exec.c - several runs in flight: results, state of messages, failure of one, polling inside kernels,
 * the trace. */
#include "exec/exec.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "tfr_test.h"

/* Columns of every value; x -> 3 x + 1 by the team, a message that passes its rows on after some polls, 3 x +
 * 1 again. */
enum { WIDTH = 4, ROWS = 6, N_TASKS = 3, N_THREADS = 2 };

static int32_t run_affine(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
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

static int32_t run_delay(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                         const struct tfr_run_ctx *ctx) {
    (void)self;
    struct delayed *state = args->run_state;
    (void)ctx;
    assert_int_equal((uintptr_t)state % 64, 0);
    assert_int_equal(state->polls_left, 0); /* zeroed for every run */
    state->polls_left = problem->attrs.tag;
    return TFR_OK;
}

static int32_t poll_delay(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                          const struct tfr_run_ctx *ctx) {
    struct delayed *state = args->run_state;
    (void)self, (void)problem;
    if (++n_polls == fails_at) {
        snprintf(ctx->reason, ctx->reason_size, "poll %d failed on purpose", n_polls);
        return -1;
    }
    return --state->polls_left <= 0;
}

/* Ends when a message was completed while it ran. */
static atomic_int n_completed;
static int seen_inside;
static int32_t poll_counted(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                            const struct tfr_run_ctx *ctx) {
    const int done = poll_delay(self, problem, args, ctx);
    atomic_fetch_add(&n_completed, done);
    return done;
}
static int32_t run_long(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                        const struct tfr_run_ctx *ctx) {
    (void)self;
    (void)args, (void)problem;
    for (int i = 0; i < 100; i++) {
        if (i % 2 == 0) {
            ctx->barrier(ctx);
        } else {
            ctx->progress(ctx);
        }
    }
    ctx->barrier(ctx);
    if (ctx->tid == 0) {
        seen_inside = atomic_load(&n_completed);
    }
    return TFR_OK;
}

static int seen_nth;
static int32_t run_alone(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                         const struct tfr_run_ctx *ctx) {
    (void)self;
    if (ctx->tid == 0) {
        seen_nth = ctx->nth;
    }
    return run_affine(self, problem, args, ctx);
}

/* One thread of the team fails; the others have done their part. */
static bool breaks;
static int32_t run_breaking(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                            const struct tfr_run_ctx *ctx) {
    const int32_t status = run_affine(self, problem, args, ctx);
    if (breaks && ctx->tid == ctx->nth - 1) {
        snprintf(ctx->reason, ctx->reason_size, "thread %d gave up", ctx->tid);
        return TFR_RESOURCE;
    }
    return status;
}

/* A worker fails at once; the master goes on until a message of another run is complete. */
static atomic_bool has_failed;
static int32_t run_failing_meanwhile(const struct tfr_kernel *self, const struct tfr_problem *problem,
                                     const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    (void)self, (void)problem, (void)args;
    if (ctx->tid > 0) {
        snprintf(ctx->reason, ctx->reason_size, "thread %d gave up", ctx->tid);
        atomic_store(&has_failed, true);
        return TFR_RESOURCE;
    }
    while (!atomic_load(&has_failed)) {
        sched_yield();
    }
    usleep(20000); /* by now the failure is noted */
    for (int i = 0; i < 1000 && atomic_load(&n_completed) == 0; i++) {
        ctx->progress(ctx);
    }
    return TFR_OK;
}

static const struct tfr_kernel meanwhile = {.name = "meanwhile", .run_class = TFR_RUN_TEAM, .run = run_failing_meanwhile};
static const struct tfr_kernel breaking = {.name = "breaking", .run_class = TFR_RUN_TEAM, .run = run_breaking},
                               affine = {.name = "affine", .run_class = TFR_RUN_TEAM, .run = run_affine},
                               delay = {.name = "delay", .run_class = TFR_RUN_ASYNC, .run = run_delay, .poll = poll_delay},
                               counted = {.name = "counted", .run_class = TFR_RUN_ASYNC, .run = run_delay, .poll = poll_counted},
                               slow = {.name = "slow", .run_class = TFR_RUN_TEAM, .run = run_long},
                               alone = {.name = "alone", .run_class = TFR_RUN_TEAM, .run = run_alone};

/* embeds -> affine -> arena; delay; arena -> affine -> hidden[0]. */
struct chain {
    struct tfr_plan plan;
    struct tfr_task tasks[N_TASKS];
    int to[N_TASKS], async[1];
    float in[4][ROWS * WIDTH], out[4][ROWS * WIDTH], *hidden[4][1];
    struct tfr_exec_input input[4];
};

static void make_chain(struct chain *c, int n_polls_needed) {
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

static void check_chain(const struct chain *c, int r) {
    for (int i = 0; i < ROWS * WIDTH; i++) {
        assert_true(c->out[r][i] == 3 * (3 * c->in[r][i] + 1) + 1);
    }
}

struct bench {
    struct tfr_team *team;
    struct tfr_comm *comm;
    struct tfr_exec *exec;
};
static void open_bench(struct bench *bench) {
    assert_ok(tfr_team_open(&bench->team, N_THREADS, NULL, true));
    assert_ok(tfr_comm_open(&bench->comm, NULL, 5));
    assert_ok(tfr_exec_open(&bench->exec, bench->team, bench->comm));
    n_polls = fails_at = 0;
}
static void close_bench(struct bench *bench) {
    tfr_exec_close(bench->exec);
    tfr_comm_close(bench->comm);
    tfr_team_close(bench->team);
}

TFR_TEST(one_plan_may_be_in_flight_several_times) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run[4];
    open_bench(&bench);
    make_chain(&c, 20);
    for (int r = 0; r < 4; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &c.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    assert_int_equal(tfr_exec_runs_in_flight(bench.exec), 4);
    assert_ok(tfr_exec_wait(bench.exec, run[2]));
    check_chain(&c, 2);
    for (int r = 0; r < 4; r++) {
        assert_ok(tfr_exec_wait(bench.exec, run[r]));
        check_chain(&c, r);
        tfr_exec_close_run(bench.exec, run[r]);
    }
    assert_int_equal(tfr_exec_runs_in_flight(bench.exec), 0);
    close_bench(&bench);
}

/* A message of one row has arrived at the first poll, a longer one after twenty. */
static int32_t poll_by_rows(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                            const struct tfr_run_ctx *ctx) {
    struct delayed *state = args->run_state;
    (void)self, (void)problem, (void)ctx;
    state->polls_left++;
    return args->rows == 1 || state->polls_left > 20;
}
static const struct tfr_kernel by_rows = {.name = "by_rows", .run_class = TFR_RUN_ASYNC, .run = run_delay, .poll = poll_by_rows};

/* The younger run's task after the message fails the test if the older run's has not run. */
static int rows_seen[2], n_seen;
static int32_t run_noting(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                          const struct tfr_run_ctx *ctx) {
    if (ctx->tid == 0 && n_seen < 2) {
        rows_seen[n_seen++] = (int)args->rows;
    }
    return run_affine(self, problem, args, ctx);
}
static const struct tfr_kernel noting = {.name = "noting", .run_class = TFR_RUN_TEAM, .run = run_noting};

TFR_TEST(a_message_that_arrives_early_waits_for_the_one_before_it) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run[2];
    open_bench(&bench);
    make_chain(&c, 0);
    c.tasks[1].kernel = &by_rows;
    c.tasks[2].kernel = &noting;
    c.input[1].rows = 1;
    n_seen = 0;
    for (int r = 0; r < 2; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &c.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    assert_ok(tfr_exec_wait(bench.exec, run[1]));
    assert_int_equal(rows_seen[0], ROWS);
    assert_int_equal(rows_seen[1], 1);
    for (int r = 0; r < 2; r++) {
        tfr_exec_close_run(bench.exec, run[r]);
    }
    close_bench(&bench);
}

TFR_TEST(a_started_run_goes_before_older_ones_up_to_its_message) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run[3];
    open_bench(&bench);
    make_chain(&c, 0);
    c.tasks[0].kernel = c.tasks[2].kernel = &noting;
    for (int r = 0; r < 3; r++) {
        c.input[r].rows = r + 1;
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &c.plan, &c.input[r]));
        assert_ok(r < 2 ? tfr_exec_submit(bench.exec, run[r]) : TFR_OK);
    }
    n_seen = 0;
    assert_ok(tfr_exec_start(bench.exec, run[2]));
    assert_int_equal(n_seen, 1); /* its message is there at once, but what follows waits for older runs */
    assert_int_equal(rows_seen[0], 3);
    assert_int_equal(run[2]->n_left, 2);
    for (int r = 0; r < 3; r++) {
        assert_ok(tfr_exec_wait(bench.exec, run[r]));
        tfr_exec_close_run(bench.exec, run[r]);
    }
    close_bench(&bench);
}

TFR_TEST(a_run_is_reset_and_runs_again) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run;
    open_bench(&bench);
    make_chain(&c, 3);
    assert_ok(tfr_exec_open_run(bench.exec, &run, &c.plan, &c.input[0]));
    assert_refused(tfr_exec_wait(bench.exec, run), TFR_RUNTIME, "not submitted");
    for (int r = 0; r < 4; r++) {
        tfr_run_reset(run, &c.input[r]);
        assert_ok(tfr_exec_submit(bench.exec, run));
        assert_ok(tfr_exec_wait(bench.exec, run));
        check_chain(&c, r);
    }
    tfr_exec_close_run(bench.exec, run);
    close_bench(&bench);
}

TFR_TEST(failed_allocation_at_any_point_leaks_nothing) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    bool failed = true;
    open_bench(&bench);
    make_chain(&c, 2);
    for (uint64_t n = 1; failed; n++) {
        assert_true(n < 20);
        tfr_alloc_fail_after(n);
        const enum tfr_status status = tfr_exec_run(bench.exec, &c.plan, &c.input[0]);
        tfr_alloc_fail_after(0);
        failed = status != TFR_OK;
        assert_int_equal(status, failed ? TFR_RESOURCE : TFR_OK);
        assert_int_equal(tfr_exec_runs_in_flight(bench.exec), 0);
        tfr_exec_close(bench.exec);
        assert_ok(tfr_exec_open(&bench.exec, bench.team, bench.comm));
    }
    check_chain(&c, 0);
    close_bench(&bench);
}

static int32_t run_scribbling(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                              const struct tfr_run_ctx *ctx) {
    if (ctx->tid == 0) {
        memset(ctx->scratch, 0x5A, 64);
    }
    return run_affine(self, problem, args, ctx);
}

/* A run that finds no memory for its scratch takes none from those in flight. */
TFR_TEST(a_run_that_cannot_be_opened_harms_no_other) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel scribbling = {.name = "scribbling", .run_class = TFR_RUN_TEAM, .run = run_scribbling};
    struct bench bench;
    static struct chain small, large;
    struct tfr_run *run, *other;
    open_bench(&bench);
    make_chain(&small, 5);
    make_chain(&large, 5);
    small.tasks[2].kernel = &scribbling;
    small.plan.scratch_bytes = 64;
    large.plan.scratch_bytes = 1 << 20;
    assert_ok(tfr_exec_open_run(bench.exec, &run, &small.plan, &small.input[0]));
    assert_ok(tfr_exec_submit(bench.exec, run));
    tfr_alloc_fail_after(1);
    assert_int_equal(tfr_exec_open_run(bench.exec, &other, &large.plan, &large.input[1]), TFR_RESOURCE);
    tfr_alloc_fail_after(0);
    assert_ok(tfr_exec_wait(bench.exec, run));
    check_chain(&small, 0);
    tfr_exec_close_run(bench.exec, run);
    assert_ok(tfr_exec_run(bench.exec, &large.plan, &large.input[1]));
    check_chain(&large, 1);
    close_bench(&bench);
}

/* As on a rank that owns nothing. */
TFR_TEST(a_plan_without_tasks_is_done_at_once) {
    TFR_UNUSED_STATE;
    struct bench bench;
    const struct tfr_plan plan = {.n_threads = N_THREADS};
    const struct tfr_exec_input input = {.rows = 1};
    open_bench(&bench);
    assert_ok(tfr_exec_run(bench.exec, &plan, &input));
    assert_int_equal(tfr_exec_runs_in_flight(bench.exec), 0);
    close_bench(&bench);
}

TFR_TEST(progress_never_waits) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run;
    open_bench(&bench);
    make_chain(&c, 5);
    assert_ok(tfr_exec_open_run(bench.exec, &run, &c.plan, &c.input[0]));
    assert_false(tfr_exec_progress(bench.exec));
    assert_ok(tfr_exec_submit(bench.exec, run));
    assert_true(tfr_exec_progress(bench.exec)); /* the first task; the message is posted and polled, not awaited */
    assert_int_equal(run->n_left, 2);
    for (int i = 0; i < 10; i++) {
        tfr_exec_progress(bench.exec);
    }
    assert_int_equal(run->phase, TFR_RUN_DONE);
    check_chain(&c, 0);
    tfr_exec_close_run(bench.exec, run);
    close_bench(&bench);
}

TFR_TEST(a_failing_task_ends_its_own_run) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run[2];
    open_bench(&bench);
    make_chain(&c, 7);
    for (int r = 0; r < 2; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &c.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    fails_at = 4; /* one of the older run's */
    assert_ok(tfr_exec_wait(bench.exec, run[1]));
    check_chain(&c, 1);
    tfr_raise(TFR_USAGE, "another text");
    assert_refused(tfr_exec_wait(bench.exec, run[0]), TFR_RUNTIME, ": delay failed: poll 4 failed on purpose");
    tfr_exec_close_run(bench.exec, run[0]);
    tfr_exec_close_run(bench.exec, run[1]);
    fails_at = 0;
    assert_ok(tfr_exec_run(bench.exec, &c.plan, &c.input[2])); /* the executor is as good as new */
    check_chain(&c, 2);
    close_bench(&bench);
}

TFR_TEST(a_kernel_that_fails_ends_its_run_with_its_reason) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run[2];
    open_bench(&bench);
    make_chain(&c, 7);
    c.tasks[2].kernel = &breaking;
    c.tasks[2].name = "h.0.ln_1";
    for (int r = 0; r < 2; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &c.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    breaks = true;
    assert_refused(tfr_exec_wait(bench.exec, run[0]), TFR_RESOURCE, "h.0.ln_1: breaking failed: thread ");
    breaks = false;
    assert_ok(tfr_exec_wait(bench.exec, run[1])); /* no other run is touched */
    check_chain(&c, 1);
    tfr_exec_close_run(bench.exec, run[0]);
    tfr_exec_close_run(bench.exec, run[1]);
    close_bench(&bench);
}

TFR_TEST(messages_move_on_inside_kernels) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c, d;
    struct tfr_run *run[2];
    open_bench(&bench);
    make_chain(&c, 50);
    make_chain(&d, 1);
    atomic_store(&n_completed, 0);
    c.tasks[0].n_successors = 0; /* the message of c is posted at submission, and completes after 50 polls */
    c.tasks[1].n_predecessors = 0;
    c.tasks[1].kernel = &counted;
    d.tasks[0].kernel = &slow; /* polls 100 times */
    for (int r = 0; r < 2; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], r == 0 ? &c.plan : &d.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    assert_ok(tfr_exec_wait(bench.exec, run[1]));
    assert_int_equal(seen_inside, 1);
    tfr_exec_close_run(bench.exec, run[0]);
    tfr_exec_close_run(bench.exec, run[1]);
    close_bench(&bench);
}

TFR_TEST(a_failure_belongs_to_its_run_though_another_goes_on_meanwhile) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c, d;
    struct tfr_run *run[2];
    open_bench(&bench);
    make_chain(&c, 50);
    make_chain(&d, 1);
    atomic_store(&n_completed, 0);
    atomic_store(&has_failed, false);
    c.tasks[0].n_successors = 0;
    c.tasks[1].n_predecessors = 0;
    c.tasks[1].kernel = &counted;
    d.tasks[0].kernel = &meanwhile;
    for (int r = 0; r < 2; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], r == 0 ? &c.plan : &d.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    assert_refused(tfr_exec_wait(bench.exec, run[1]), TFR_RESOURCE, "thread 1 gave up");
    assert_int_equal(atomic_load(&n_completed), 1);
    assert_ok(tfr_exec_wait(bench.exec, run[0]));
    check_chain(&c, 0);
    tfr_exec_close_run(bench.exec, run[0]);
    tfr_exec_close_run(bench.exec, run[1]);
    close_bench(&bench);
}

TFR_TEST(a_task_alone_runs_on_the_master) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    open_bench(&bench);
    make_chain(&c, 1);
    c.tasks[0].kernel = c.tasks[2].kernel = &alone;
    assert_ok(tfr_exec_run(bench.exec, &c.plan, &c.input[0]));
    assert_int_equal(seen_nth, N_THREADS);
    check_chain(&c, 0);
    c.tasks[0].alone = c.tasks[2].alone = true;
    assert_ok(tfr_exec_run(bench.exec, &c.plan, &c.input[1]));
    assert_int_equal(seen_nth, 1);
    check_chain(&c, 1);
    close_bench(&bench);
}

/* Two stamps for every task and thread, a span for the message, and the number of runs in flight. */
TFR_TEST(the_trace_shows_two_runs_at_once) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run[2];
    struct tfr_trace *trace;
    open_bench(&bench);
    make_chain(&c, 9);
    assert_ok(tfr_trace_open(&trace, N_THREADS, 100));
    tfr_exec_set_trace(bench.exec, trace, NULL);
    for (int r = 0; r < 2; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &c.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    for (int r = 0; r < 2; r++) {
        assert_ok(tfr_exec_wait(bench.exec, run[r]));
        tfr_exec_close_run(bench.exec, run[r]);
    }
    int64_t most = 0;
    uint64_t begin[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX}, end[3] = {0};
    int n_tasks = 0, n_messages = 0;
    for (size_t i = 0; i < tfr_trace_count(trace); i++) {
        const struct tfr_trace_event *event = tfr_trace_get(trace, i);
        if (event->kind == TFR_TRACE_RUNS) {
            most = event->n_runs > most ? event->n_runs : most;
            continue;
        }
        n_tasks += event->kind == TFR_TRACE_TASK;
        n_messages += event->kind == TFR_TRACE_MESSAGE;
        assert_true(event->begin_ns <= event->end_ns && event->rows == ROWS && event->run.number >= 1 && event->run.number <= 2);
        assert_string_equal(event->task, event->predicted_ns == 100 ? "first" : event->predicted_ns == 101 ? "message" : "last");
        const uint64_t number = event->run.number;
        begin[number] = event->begin_ns < begin[number] ? event->begin_ns : begin[number];
        end[number] = event->end_ns > end[number] ? event->end_ns : end[number];
    }
    assert_int_equal(most, 2);
    assert_int_equal(n_tasks, 2 * 2 * N_THREADS);
    assert_int_equal(n_messages, 2);
    assert_true(begin[2] < end[1] && begin[1] < end[2]);
    tfr_trace_close(trace);
    close_bench(&bench);
}

TFR_TEST(a_full_ring_keeps_the_newest) {
    TFR_UNUSED_STATE;
    struct tfr_trace *trace;
    struct tfr_task task = {.name = "t", .kernel = &affine};
    assert_ok(tfr_trace_open(&trace, 2, 4));
    for (uint64_t i = 1; i <= 10; i++) {
        tfr_trace_add_task(trace, 0, &(struct tfr_trace_run){.number = i}, &task, 1, i, i + 1);
    }
    tfr_trace_add_task(trace, 1, &(struct tfr_trace_run){.number = 77}, &task, 1, 5, 6);
    assert_int_equal(tfr_trace_count(trace), 5);
    assert_int_equal(tfr_trace_dropped(trace), 6);
    assert_true(tfr_trace_holds(trace, 8)); /* of run 7 nobody knows how many events it had */
    assert_false(tfr_trace_holds(trace, 7));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tfr_trace_get(trace, i)->run.number, 7 + i);
    }
    assert_int_equal(tfr_trace_get(trace, 4)->run.number, 77);
    assert_null(tfr_trace_get(trace, 5));
    struct tfr_json_out out = {0};
    struct tfr_json_doc *doc;
    tfr_json_begin(&out, NULL, '[');
    tfr_trace_put_json(trace, 3, 2, &out);
    tfr_json_end(&out, ']');
    assert_ok(tfr_json_open(&doc, "trace", out.text, out.size, TFR_RUNTIME));
    const tfr_json *name = tfr_json_first(tfr_json_root(doc)), *first = tfr_json_next(name);
    assert_int_equal(tfr_json_size(tfr_json_root(doc)), 1 + 5 + 4); /* the rank, its events, name and place of each thread */
    assert_string_equal(tfr_json_string(tfr_json_member(name, "ph")), "M");
    assert_string_equal(tfr_json_string(tfr_json_member(first, "ph")), "X");
    assert_true(tfr_json_number(tfr_json_member(first, "ts")) == 0.005); /* 7 - 2 ns */
    assert_true(tfr_json_number(tfr_json_member(first, "pid")) == 3);
    tfr_json_close(doc);
    tfr_free(out.text);
    tfr_trace_close(trace);
}

TFR_TEST_MAIN(TFR_CASE(one_plan_may_be_in_flight_several_times), TFR_CASE(a_message_that_arrives_early_waits_for_the_one_before_it),
              TFR_CASE(a_started_run_goes_before_older_ones_up_to_its_message), TFR_CASE(a_run_is_reset_and_runs_again),
              TFR_CASE(a_plan_without_tasks_is_done_at_once), TFR_CASE(progress_never_waits),
              TFR_CASE(a_run_that_cannot_be_opened_harms_no_other), TFR_CASE(a_failing_task_ends_its_own_run),
              TFR_CASE(a_kernel_that_fails_ends_its_run_with_its_reason), TFR_CASE(messages_move_on_inside_kernels),
              TFR_CASE(a_failure_belongs_to_its_run_though_another_goes_on_meanwhile), TFR_CASE(a_task_alone_runs_on_the_master),
              TFR_CASE(the_trace_shows_two_runs_at_once), TFR_CASE(a_full_ring_keeps_the_newest),
              TFR_CASE(failed_allocation_at_any_point_leaks_nothing))

/* test_exec_flight.c - several runs in flight: results, the order between them, the trace. */
#include "tfr_chain.h"

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

TFR_TEST(a_wait_ends_with_its_own_run) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run[2];
    open_bench(&bench);
    make_chain(&c, 0);
    for (int r = 0; r < 2; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &c.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    assert_ok(tfr_exec_wait(bench.exec, run[0]));
    check_chain(&c, 0);
    assert_int_equal(tfr_exec_runs_in_flight(bench.exec), 1); /* it could go on, but nobody waits for it */
    assert_ok(tfr_exec_wait(bench.exec, run[1]));
    check_chain(&c, 1);
    for (int r = 0; r < 2; r++) {
        tfr_exec_close_run(bench.exec, run[r]);
    }
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

/* Messages that are posted last first, since more follows them: what the plan has first is looked at first all the same. */
enum { N_MESSAGES = 8 };
static bool has_come[N_MESSAGES];
static int n_looks[N_MESSAGES];
static int32_t run_nothing(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                           const struct tfr_run_ctx *ctx) {
    (void)self, (void)problem, (void)args, (void)ctx;
    return TFR_OK;
}
static int32_t poll_whether_come(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                 const struct tfr_run_ctx *ctx) {
    (void)self, (void)args, (void)ctx;
    n_looks[problem->attrs.tag]++;
    return has_come[problem->attrs.tag];
}
static const struct tfr_kernel coming = {
    .name = "coming", .run_class = TFR_RUN_ASYNC, .run = run_nothing, .poll = poll_whether_come};

TFR_TEST(messages_are_looked_at_in_the_order_of_the_plan) {
    TFR_UNUSED_STATE;
    struct bench bench;
    struct tfr_task tasks[N_MESSAGES];
    int async[N_MESSAGES];
    struct tfr_plan plan = {.tasks = tasks, .n_tasks = N_MESSAGES, .n_threads = N_THREADS, .async = async, .n_async = N_MESSAGES};
    const struct tfr_exec_input input = {.rows = 1};
    struct tfr_run *run;
    for (int i = 0; i < N_MESSAGES; i++) {
        async[i] = i;
        has_come[i] = false;
        n_looks[i] = 0;
        tasks[i] = (struct tfr_task){.name = "message", .kernel = &coming, .rows = TFR_ROWS_TOKENS, .priority_ns = i};
        tasks[i].problem.attrs.tag = i;
    }
    open_bench(&bench);
    assert_ok(tfr_exec_open_run(bench.exec, &run, &plan, &input));
    assert_ok(tfr_exec_submit(bench.exec, run));
    /* Looking costs: the first three that have not come and one of the rest, in turn, so that none is left out. */
    int n_before = 0;
    for (int i = 0; i < N_MESSAGES; i++) {
        n_before += n_looks[i];
    }
    for (int turn = 0; turn < N_MESSAGES; turn++) {
        int n = 0;
        tfr_exec_progress(bench.exec);
        for (int i = 0; i < N_MESSAGES; i++) {
            n += n_looks[i];
        }
        assert_true(n > n_before && n <= n_before + 4);
        n_before = n;
    }
    for (int i = 0; i < N_MESSAGES; i++) {
        assert_true(i < 3 ? n_looks[i] >= N_MESSAGES : n_looks[i] >= 1);
    }
    for (int i = 0; i < N_MESSAGES; i++) {
        has_come[i] = true;
        tfr_exec_progress(bench.exec);
        assert_int_equal(run->n_left, N_MESSAGES - 1 - i);
    }
    tfr_exec_close_run(bench.exec, run);
    close_bench(&bench);
}

/* Those of younger runs would be looks for nothing: they come behind it. */
TFR_TEST(of_messages_of_one_edge_the_oldest_alone_is_looked_at) {
    TFR_UNUSED_STATE;
    struct bench bench;
    struct tfr_task task = {.name = "message", .kernel = &coming, .rows = TFR_ROWS_TOKENS};
    int async[1] = {0}, n;
    struct tfr_plan plan = {.tasks = &task, .n_tasks = 1, .n_threads = N_THREADS, .async = async, .n_async = 1};
    const struct tfr_exec_input input = {.rows = 1};
    struct tfr_run *run[3];
    open_bench(&bench);
    has_come[0] = false;
    n_looks[0] = 0;
    for (int r = 0; r < 3; r++) {
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &plan, &input));
        assert_ok(tfr_exec_submit(bench.exec, run[r]));
    }
    for (n = n_looks[0]; n < 5; n++) {
        assert_int_equal(n_looks[0], n);
        tfr_exec_progress(bench.exec);
    }
    has_come[0] = true;
    for (int r = 0; r < 3; r++) {
        assert_ok(tfr_exec_wait(bench.exec, run[r]));
        tfr_exec_close_run(bench.exec, run[r]);
    }
    assert_int_equal(n_looks[0], n + 3);
    close_bench(&bench);
}

/* The first rank of three shards: a step of few rows receives from both others, one of many from the last one alone. Then the keys
 * of the next block are appended. What the last rank sent for both steps is there, what the middle one sent for the older is not.
 */
enum { TAG = 5000 };
static bool came_from[3];
static int32_t poll_peer(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                         const struct tfr_run_ctx *ctx) {
    (void)self, (void)args, (void)ctx;
    return came_from[problem->attrs.peer];
}
static int32_t note_rows(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                         const struct tfr_run_ctx *ctx) {
    (void)self, (void)problem, (void)ctx;
    assert_true(n_seen < 2);
    rows_seen[n_seen++] = (int)args->rows;
    return TFR_OK;
}
static const struct tfr_kernel from_peer = {.name = "from_peer", .run_class = TFR_RUN_ASYNC, .run = run_nothing, .poll = poll_peer},
                               append = {.name = "append", .run_class = TFR_RUN_SEQ, .run = note_rows};

struct shard_step {
    struct tfr_plan plan;
    struct tfr_task tasks[3];
    int async[2], appends[1];
};

/* Receives from the ranks `first` to 2, then appends. */
static void make_shard_step(struct shard_step *step, int first) {
    const int n = 3 - first;
    *step = (struct shard_step){.async = {0, 1}, .appends = {n}};
    for (int i = 0; i < n; i++) {
        step->tasks[i] = (struct tfr_task){
            .name = "recv", .kernel = &from_peer, .rows = TFR_ROWS_TOKENS, .n_successors = 1, .successors = step->appends};
        step->tasks[i].problem = (struct tfr_problem){.op = TFR_OP_RECV_HIDDEN, .attrs = {.peer = first + i, .tag = TAG}};
    }
    step->tasks[n] = (struct tfr_task){
        .name = "append", .kernel = &append, .rows = TFR_ROWS_TOKENS, .n_predecessors = n, .problem = {.op = TFR_OP_KV_APPEND}};
    step->plan = (struct tfr_plan){.tasks = step->tasks,
                                   .n_tasks = n + 1,
                                   .n_threads = N_THREADS,
                                   .async = step->async,
                                   .n_async = n,
                                   .appends = step->appends,
                                   .n_appends = 1};
}

TFR_TEST(a_step_with_fewer_messages_does_not_overtake_the_keys_of_an_older_one) {
    TFR_UNUSED_STATE;
    struct bench bench;
    struct shard_step step[2];
    struct tfr_run *run[2];
    open_bench(&bench);
    n_seen = 0;
    came_from[1] = false;
    came_from[2] = true;
    for (int r = 0; r < 2; r++) {
        const struct tfr_exec_input input = {.rows = r == 0 ? 8 : 32};
        make_shard_step(&step[r], 1 + r);
        assert_ok(tfr_exec_open_run(bench.exec, &run[r], &step[r].plan, &input));
        assert_ok(tfr_exec_start(bench.exec, run[r]));
    }
    for (int i = 0; i < 3; i++) {
        tfr_exec_progress(bench.exec);
        assert_int_equal(n_seen, 0);
    }
    came_from[1] = true;
    assert_ok(tfr_exec_wait(bench.exec, run[1]));
    assert_int_equal(n_seen, 2);
    assert_int_equal(rows_seen[0], 8);
    assert_int_equal(rows_seen[1], 32);
    for (int r = 0; r < 2; r++) {
        tfr_exec_close_run(bench.exec, run[r]);
    }
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

TFR_TEST_MAIN(TFR_CASE(one_plan_may_be_in_flight_several_times), TFR_CASE(a_wait_ends_with_its_own_run),
              TFR_CASE(a_message_that_arrives_early_waits_for_the_one_before_it),
              TFR_CASE(a_started_run_goes_before_older_ones_up_to_its_message),
              TFR_CASE(messages_are_looked_at_in_the_order_of_the_plan),
              TFR_CASE(of_messages_of_one_edge_the_oldest_alone_is_looked_at),
              TFR_CASE(a_step_with_fewer_messages_does_not_overtake_the_keys_of_an_older_one),
              TFR_CASE(the_trace_shows_two_runs_at_once))

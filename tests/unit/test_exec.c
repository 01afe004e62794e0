/* test_exec.c - one run after the other: results, memory that is used again, threads, the ring of the trace. */
#include "tfr_chain.h"

static int seen_nth;
static int32_t run_alone(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                         const struct tfr_run_ctx *ctx) {
    (void)self;
    if (ctx->tid == 0) {
        seen_nth = ctx->nth;
    }
    return run_affine(self, problem, args, ctx);
}

static const struct tfr_kernel alone = {.name = "alone", .run_class = TFR_RUN_TEAM, .run = run_alone};

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

TFR_TEST_MAIN(TFR_CASE(a_run_is_reset_and_runs_again), TFR_CASE(a_plan_without_tasks_is_done_at_once),
              TFR_CASE(progress_never_waits), TFR_CASE(a_run_that_cannot_be_opened_harms_no_other),
              TFR_CASE(a_task_alone_runs_on_the_master), TFR_CASE(a_full_ring_keeps_the_newest),
              TFR_CASE(failed_allocation_at_any_point_leaks_nothing))

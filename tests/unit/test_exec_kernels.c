/* test_exec_kernels.c - kernels that fail or take long while other runs are in flight: whose failure it is, messages that move on.
 */
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tfr_chain.h"

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

/* One thread of the team fails; the others have done their part. */
static bool breaks, says_nothing;
static int32_t run_breaking(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                            const struct tfr_run_ctx *ctx) {
    const int32_t status = run_affine(self, problem, args, ctx);
    if (breaks && ctx->tid == ctx->nth - 1) {
        if (!says_nothing) {
            snprintf(ctx->reason, ctx->reason_size, "thread %d gave up", ctx->tid);
        }
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

static const struct tfr_kernel meanwhile = {.name = "meanwhile", .run_class = TFR_RUN_TEAM, .run = run_failing_meanwhile},
                               breaking = {.name = "breaking", .run_class = TFR_RUN_TEAM, .run = run_breaking},
                               counted = {.name = "counted", .run_class = TFR_RUN_ASYNC, .run = run_delay, .poll = poll_counted},
                               slow = {.name = "slow", .run_class = TFR_RUN_TEAM, .run = run_long};

/* The last thread comes late to the barrier: whoever leaves it before sees nothing of its work. */
static atomic_bool has_arrived;
static atomic_int n_early;
static int32_t run_late(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                        const struct tfr_run_ctx *ctx) {
    if (ctx->tid == ctx->nth - 1) {
        usleep(20000);
        atomic_store(&has_arrived, true);
    }
    ctx->barrier(ctx);
    atomic_fetch_add(&n_early, !atomic_load(&has_arrived));
    return run_affine(self, problem, args, ctx);
}
static const struct tfr_kernel late = {.name = "late", .run_class = TFR_RUN_TEAM, .run = run_late};

TFR_TEST(no_thread_leaves_a_barrier_before_the_last_came) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    open_bench(&bench);
    make_chain(&c, 0);
    c.tasks[0].kernel = &late;
    assert_ok(tfr_exec_run(bench.exec, &c.plan, &c.input[0]));
    assert_int_equal(atomic_load(&n_early), 0);
    check_chain(&c, 0);
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

/* Scratch for all threads, and behind it some for each. */
enum { SHARED_BYTES = 128, EACH_BYTES = 192 };
static uint8_t *shared_seen[N_THREADS], *own_seen[N_THREADS];
static int32_t run_seeing(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                          const struct tfr_run_ctx *ctx) {
    shared_seen[ctx->tid] = ctx->scratch;
    own_seen[ctx->tid] = ctx->thread_scratch;
    memset(ctx->thread_scratch, ctx->tid, EACH_BYTES);
    return run_affine(self, problem, args, ctx);
}
static const struct tfr_kernel seeing = {.name = "seeing", .run_class = TFR_RUN_TEAM, .run = run_seeing};

TFR_TEST(each_thread_has_scratch_of_its_own_behind_that_of_all) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run;
    open_bench(&bench);
    make_chain(&c, 0);
    c.tasks[2].kernel = &seeing;
    c.plan.scratch_bytes = SHARED_BYTES;
    c.plan.scratch_per_thread_bytes = EACH_BYTES;
    assert_ok(tfr_exec_open_run(bench.exec, &run, &c.plan, &c.input[0]));
    assert_ok(tfr_exec_submit(bench.exec, run));
    assert_ok(tfr_exec_wait(bench.exec, run));
    for (int t = 0; t < N_THREADS; t++) {
        assert_ptr_equal(shared_seen[t], shared_seen[0]);
        assert_ptr_equal(own_seen[t], shared_seen[0] + SHARED_BYTES + t * EACH_BYTES);
    }
    tfr_exec_close_run(bench.exec, run);
    close_bench(&bench);
}

/* Words of an earlier failure are not taken for those of one that says nothing. */
TFR_TEST(a_kernel_that_fails_without_words_gave_no_reason) {
    TFR_UNUSED_STATE;
    struct bench bench;
    static struct chain c;
    struct tfr_run *run;
    open_bench(&bench);
    make_chain(&c, 7);
    c.tasks[2].kernel = &breaking;
    breaks = true;
    for (int r = 0; r < 2; r++) {
        says_nothing = r == 1;
        assert_ok(tfr_exec_open_run(bench.exec, &run, &c.plan, &c.input[r]));
        assert_ok(tfr_exec_submit(bench.exec, run));
        assert_refused(tfr_exec_wait(bench.exec, run), TFR_RESOURCE, says_nothing ? "failed: no reason given" : "failed: thread ");
        tfr_exec_close_run(bench.exec, run);
    }
    breaks = says_nothing = false;
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

TFR_TEST_MAIN(TFR_CASE(no_thread_leaves_a_barrier_before_the_last_came), TFR_CASE(a_failing_task_ends_its_own_run),
              TFR_CASE(a_kernel_that_fails_ends_its_run_with_its_reason),
              TFR_CASE(a_kernel_that_fails_without_words_gave_no_reason),
              TFR_CASE(each_thread_has_scratch_of_its_own_behind_that_of_all), TFR_CASE(messages_move_on_inside_kernels),
              TFR_CASE(a_failure_belongs_to_its_run_though_another_goes_on_meanwhile))

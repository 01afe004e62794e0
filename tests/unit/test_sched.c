/* test_sched.c - the ready list: dependencies, priorities, ties, asynchronous tasks first. */
#include "tfr_test.h"

#include "exec/sched.h"

static const struct tfr_kernel team_kernel = {.run_class = TFR_RUN_TEAM}, async_kernel = {.run_class = TFR_RUN_ASYNC};

/* 0 -> 1 -> 3, 0 -> 2 -> 3, and 4 on its own. */
struct diamond {
    struct tfr_plan plan;
    struct tfr_task tasks[5];
    int to[4][2];
};

static void make_diamond(struct diamond *d) {
    *d = (struct diamond){.to = {{1, 2}, {3}, {3}}};
    const int n_before[] = {0, 1, 1, 2, 0}, n_after[] = {2, 1, 1, 0, 0};
    const double priority[] = {10, 4, 7, 1, 2};
    for (int i = 0; i < 5; i++) {
        d->tasks[i] = (struct tfr_task){.kernel = &team_kernel,
                                        .n_predecessors = n_before[i],
                                        .n_successors = n_after[i],
                                        .successors = d->to[i < 4 ? i : 3],
                                        .priority_ns = priority[i]};
    }
    d->plan = (struct tfr_plan){.tasks = d->tasks, .n_tasks = 5};
}

static void run_all(struct tfr_sched *sched, const struct tfr_plan *plan, int *order) {
    assert_int_equal(tfr_sched_reset(sched, plan), TFR_OK);
    for (int i = 0; i < plan->n_tasks; i++) {
        order[i] = tfr_sched_pick(sched);
        assert_true(order[i] >= 0);
        tfr_sched_complete(sched, order[i]);
    }
    assert_true(tfr_sched_done(sched));
    assert_int_equal(tfr_sched_pick(sched), -1);
}

TFR_TEST(highest_priority_runs_first) {
    TFR_UNUSED_STATE;
    struct diamond d;
    struct tfr_sched sched = {0};
    int order[5];
    make_diamond(&d);
    run_all(&sched, &d.plan, order);
    const int expected[] = {0, 2, 1, 4, 3};
    assert_memory_equal(order, expected, sizeof expected);
    tfr_sched_close(&sched);
}

TFR_TEST(equal_priorities_run_by_index) {
    TFR_UNUSED_STATE;
    struct diamond d;
    struct tfr_sched sched = {0};
    int order[5];
    make_diamond(&d);
    for (int i = 0; i < 5; i++) {
        d.tasks[i].priority_ns = 1;
    }
    run_all(&sched, &d.plan, order);
    const int expected[] = {0, 1, 2, 3, 4};
    assert_memory_equal(order, expected, sizeof expected);
    tfr_sched_close(&sched);
}

TFR_TEST(asynchronous_steps_come_first) {
    TFR_UNUSED_STATE;
    struct diamond d;
    struct tfr_sched sched = {0};
    make_diamond(&d);
    d.tasks[4].kernel = &async_kernel;
    assert_int_equal(tfr_sched_reset(&sched, &d.plan), TFR_OK);
    assert_int_equal(tfr_sched_pick(&sched), 4);
    assert_int_equal(tfr_sched_pick(&sched), 0);
    tfr_sched_close(&sched);
}

TFR_TEST(nothing_is_ready_before_its_predecessors_complete) {
    TFR_UNUSED_STATE;
    struct diamond d;
    struct tfr_sched sched = {0};
    make_diamond(&d);
    assert_int_equal(tfr_sched_reset(&sched, &d.plan), TFR_OK);
    assert_int_equal(tfr_sched_pick(&sched), 0);
    assert_int_equal(tfr_sched_pick(&sched), 4);
    assert_int_equal(tfr_sched_pick(&sched), -1);
    tfr_sched_complete(&sched, 0);
    assert_int_equal(tfr_sched_pick(&sched), 2);
    tfr_sched_complete(&sched, 2);
    assert_int_equal(tfr_sched_pick(&sched), 1);
    assert_int_equal(tfr_sched_pick(&sched), -1);
    assert_false(tfr_sched_done(&sched));
    tfr_sched_close(&sched);
}

TFR_TEST(a_scheduler_serves_many_runs) {
    TFR_UNUSED_STATE;
    struct diamond d;
    struct tfr_sched sched = {0};
    int first[5], again[5];
    make_diamond(&d);
    run_all(&sched, &d.plan, first);
    run_all(&sched, &d.plan, again);
    assert_memory_equal(first, again, sizeof first);
    tfr_sched_close(&sched);
}

TFR_TEST_MAIN(TFR_CASE(highest_priority_runs_first), TFR_CASE(equal_priorities_run_by_index),
              TFR_CASE(asynchronous_steps_come_first), TFR_CASE(nothing_is_ready_before_its_predecessors_complete),
              TFR_CASE(a_scheduler_serves_many_runs))

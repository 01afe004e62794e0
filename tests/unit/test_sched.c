/* test_sched.c - the ready list: dependencies, priorities, ties, asynchronous tasks first, lanes, age, order
 * of messages. */
#include "tfr_test.h"

#include "exec/sched.h"

static const struct tfr_kernel team_kernel = {.run_class = TFR_RUN_TEAM}, async_kernel = {.run_class = TFR_RUN_ASYNC};

/* 0 -> 1 -> 3, 0 -> 2 -> 3, and 4 on its own. */
struct diamond {
    struct tfr_plan plan;
    struct tfr_task tasks[5];
    int to[4][2], async[1];
    struct tfr_run_pool pool;
    struct tfr_sched sched;
};

static void make_diamond(struct diamond *d) {
    *d = (struct diamond){.to = {{1, 2}, {3}, {3}}, .async = {4}};
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

/* Task 4 becomes a message to `peer` with `tag`. */
static void make_message(struct diamond *d, int peer, int tag) {
    d->tasks[4].kernel = &async_kernel;
    d->tasks[4].problem = (struct tfr_problem){.op = TFR_OP_SEND_HIDDEN, .attrs = {.peer = peer, .tag = tag}};
    d->plan.async = d->async;
    d->plan.n_async = 1;
}

static void close_diamond(struct diamond *d) {
    tfr_sched_close(&d->sched);
    tfr_run_pool_close(&d->pool);
}

static struct tfr_run *add(struct diamond *d, enum tfr_lane lane) {
    const struct tfr_exec_input input = {.rows = 1, .lane = lane};
    struct tfr_run *run;
    assert_int_equal(tfr_run_open(&d->pool, &run, &d->plan, &input), TFR_OK);
    assert_int_equal(tfr_sched_add(&d->sched, run), TFR_OK);
    return run;
}

static void expect(struct diamond *d, struct tfr_run *run, int task) {
    struct tfr_ready picked;
    assert_true(tfr_sched_pick(&d->sched, &picked, NULL, false));
    assert_ptr_equal(picked.run, run);
    assert_int_equal(picked.task, task);
}

static void expect_nothing(struct diamond *d) {
    struct tfr_ready picked;
    assert_false(tfr_sched_pick(&d->sched, &picked, NULL, false));
}

static void close_run(struct diamond *d, struct tfr_run *run) {
    tfr_sched_remove(&d->sched, run);
    tfr_run_close(&d->pool, run);
}

static void run_all(struct diamond *d, const int *expected) {
    struct tfr_run *run = add(d, TFR_LANE_DECODE);
    for (int i = 0; i < 5; i++) {
        expect(d, run, expected[i]);
        tfr_sched_complete(&d->sched, run, expected[i]);
    }
    assert_int_equal(run->n_left, 0);
    expect_nothing(d);
    close_run(d, run);
}

TFR_TEST(highest_priority_runs_first) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    run_all(&d, (const int[]){0, 2, 1, 4, 3});
    close_diamond(&d);
}

TFR_TEST(equal_priorities_run_by_index) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    for (int i = 0; i < 5; i++) {
        d.tasks[i].priority_ns = 1;
    }
    run_all(&d, (const int[]){0, 1, 2, 3, 4});
    close_diamond(&d);
}

TFR_TEST(asynchronous_tasks_come_first) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    make_message(&d, 1, 3);
    struct tfr_run *run = add(&d, TFR_LANE_DECODE);
    expect(&d, run, 4);
    expect(&d, run, 0);
    close_run(&d, run);
    close_diamond(&d);
}

TFR_TEST(nothing_is_ready_before_its_predecessors_complete) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    struct tfr_run *run = add(&d, TFR_LANE_DECODE);
    expect(&d, run, 0);
    expect(&d, run, 4);
    expect_nothing(&d);
    tfr_sched_complete(&d.sched, run, 0);
    expect(&d, run, 2);
    tfr_sched_complete(&d.sched, run, 2);
    expect(&d, run, 1);
    expect_nothing(&d);
    assert_int_equal(run->n_left, 3);
    close_run(&d, run);
    close_diamond(&d);
}

TFR_TEST(a_scheduler_serves_many_runs) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    for (int i = 0; i < 3; i++) {
        run_all(&d, (const int[]){0, 2, 1, 4, 3});
    }
    assert_null(d.pool.free->next); /* one run served all */
    close_diamond(&d);
}

TFR_TEST(the_older_run_goes_first_and_fills_in_where_it_waits) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    struct tfr_run *a = add(&d, TFR_LANE_DECODE), *b = add(&d, TFR_LANE_DECODE);
    expect(&d, a, 0);
    expect(&d, a, 4);
    expect(&d, b, 0); /* a has nothing ready until its first task is complete */
    tfr_sched_complete(&d.sched, a, 0);
    expect(&d, a, 2);
    expect(&d, a, 1);
    expect(&d, b, 4);
    close_run(&d, a);
    close_run(&d, b);
    close_diamond(&d);
}

TFR_TEST(decode_goes_before_prefill_whatever_is_older) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    struct tfr_run *prefill = add(&d, TFR_LANE_PREFILL), *decode = add(&d, TFR_LANE_DECODE);
    expect(&d, decode, 0);
    expect(&d, decode, 4);
    expect(&d, prefill, 0);
    tfr_sched_complete(&d.sched, decode, 0);
    expect(&d, decode, 2);
    close_run(&d, prefill);
    close_run(&d, decode);
    close_diamond(&d);
}

TFR_TEST(a_removed_run_leaves_the_others_their_tasks) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    struct tfr_run *a = add(&d, TFR_LANE_DECODE), *b = add(&d, TFR_LANE_DECODE), *c = add(&d, TFR_LANE_DECODE);
    tfr_sched_remove(&d.sched, b);
    expect(&d, a, 0);
    expect(&d, a, 4);
    expect(&d, c, 0);
    expect(&d, c, 4);
    expect_nothing(&d);
    close_run(&d, a);
    close_run(&d, b);
    close_run(&d, c);
    close_diamond(&d);
}

/* Of one edge the older run posts first, also where the younger one is ready and the older is not. */
TFR_TEST(messages_of_an_edge_go_out_in_the_order_of_the_runs) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    make_message(&d, 1, 3);
    d.tasks[4].n_predecessors = 1; /* as a send: after task 3 */
    d.tasks[3].n_successors = 1;
    d.tasks[3].successors = d.async;
    struct tfr_run *a = add(&d, TFR_LANE_DECODE), *b = add(&d, TFR_LANE_DECODE);
    b->waiting[4] = 1;
    tfr_sched_complete(&d.sched, b, 3); /* b's message is ready, a's is not */
    expect(&d, a, 0);
    expect(&d, b, 0);
    expect_nothing(&d);
    tfr_sched_complete(&d.sched, a, 3);
    expect(&d, a, 4);
    expect(&d, b, 4);
    close_run(&d, a);
    close_run(&d, b);
    close_diamond(&d);
}

TFR_TEST(other_edges_and_other_lanes_do_not_wait) {
    TFR_UNUSED_STATE;
    struct diamond d, e;
    make_diamond(&d);
    make_message(&d, 1, 3);
    make_diamond(&e);
    make_message(&e, 1, 4);
    struct tfr_run *a = add(&d, TFR_LANE_PREFILL), *b = add(&d, TFR_LANE_DECODE), *c;
    const struct tfr_exec_input input = {.rows = 1, .lane = TFR_LANE_PREFILL};
    struct tfr_ready picked;
    assert_int_equal(tfr_run_open(&d.pool, &c, &e.plan, &input), TFR_OK);
    assert_int_equal(tfr_sched_add(&d.sched, c), TFR_OK);
    assert_true(tfr_sched_pick(&d.sched, &picked, c, true)); /* another tag of the same lane */
    assert_int_equal(picked.task, 4);
    assert_false(tfr_sched_pick(&d.sched, &picked, c, true)); /* tasks of the team are not picked with `only` */
    assert_true(tfr_sched_pick(&d.sched, &picked, b, true));  /* the same tag of another lane */
    assert_ptr_equal(picked.run, b);
    expect(&d, a, 4);
    close_run(&d, a);
    close_run(&d, b);
    close_run(&d, c);
    close_diamond(&d);
}

/* What it knows of the runs in flight is what was added and not taken out; a run that is not there changes nothing. */
TFR_TEST(runs_and_tasks_are_counted) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    struct tfr_run *a = add(&d, TFR_LANE_DECODE), *b = add(&d, TFR_LANE_PREFILL), *c = add(&d, TFR_LANE_DECODE);
    assert_int_equal(d.sched.n_runs, 3);
    assert_int_equal(d.sched.n_tasks, 15);
    assert_true(d.sched.capacity >= 15);
    assert_int_equal(d.sched.n_ready, 6); /* tasks 0 and 4 of each */
    assert_int_equal(b->phase, TFR_RUN_IN_FLIGHT);
    assert_true(a->number < b->number && b->number < c->number);
    tfr_sched_remove(&d.sched, b);
    tfr_sched_remove(&d.sched, b);
    assert_int_equal(d.sched.n_runs, 2);
    assert_int_equal(d.sched.n_tasks, 10);
    assert_int_equal(d.sched.n_ready, 4);
    assert_null(b->next);
    assert_ptr_equal(d.sched.oldest, a);
    assert_ptr_equal(a->next, c);
    tfr_run_close(&d.pool, b);
    close_run(&d, a);
    close_run(&d, c);
    assert_int_equal(d.sched.n_tasks, 0);
    assert_null(d.sched.oldest);
    close_diamond(&d);
}

TFR_TEST(a_closed_scheduler_is_empty_and_serves_again) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    struct tfr_run *run = add(&d, TFR_LANE_DECODE);
    close_run(&d, run);
    tfr_sched_close(&d.sched);
    assert_null(d.sched.ready);
    assert_int_equal(d.sched.n_ready, 0);
    assert_int_equal(d.sched.capacity, 0);
    assert_int_equal(d.sched.last_number, 0);
    run_all(&d, (const int[]){0, 2, 1, 4, 3});
    close_diamond(&d);
}

/* A run waits for an older one of its lane that has a message of the same edge in flight, and for no other. */
TFR_TEST(a_message_is_behind_the_same_edge_of_an_older_run) {
    TFR_UNUSED_STATE;
    struct diamond d;
    make_diamond(&d);
    make_message(&d, 1, 3);
    struct tfr_run *a = add(&d, TFR_LANE_DECODE), *b = add(&d, TFR_LANE_DECODE), *other = add(&d, TFR_LANE_PREFILL);
    assert_false(tfr_sched_is_behind(&d.sched, b, 4));
    a->in_flight[a->n_in_flight++] = 4;
    assert_true(tfr_sched_is_behind(&d.sched, b, 4));
    assert_false(tfr_sched_is_behind(&d.sched, a, 4));     /* itself */
    assert_false(tfr_sched_is_behind(&d.sched, other, 4)); /* another lane */
    assert_false(tfr_sched_is_behind(&d.sched, b, 0));     /* no message of that edge */
    struct tfr_task task = d.tasks[4];
    for (int field = 0; field < 3; field++) {
        d.tasks[3] = task; /* another edge: its peer, its tag, its direction */
        d.tasks[3].problem.attrs.peer += field == 0;
        d.tasks[3].problem.attrs.tag += field == 1;
        d.tasks[3].problem.op = field == 2 ? TFR_OP_RECV_HIDDEN : task.problem.op;
        assert_false(tfr_sched_is_behind(&d.sched, b, 3));
    }
    a->n_in_flight = 0;
    assert_false(tfr_sched_is_behind(&d.sched, b, 4));
    close_run(&d, a);
    close_run(&d, b);
    close_run(&d, other);
    close_diamond(&d);
}

/* Task 1 appends the keys of a block: the older run's goes first, also where the younger one alone is ready, and it may go once the
 * older one's was started. Other blocks and other lanes do not wait, nor does what appends nothing. */
TFR_TEST(keys_of_a_block_are_appended_in_the_order_of_the_runs) {
    TFR_UNUSED_STATE;
    struct diamond d, e;
    int append[] = {1};
    struct tfr_run *c;
    struct tfr_ready picked;
    const struct tfr_exec_input input = {.rows = 1, .lane = TFR_LANE_PREFILL};
    make_diamond(&d);
    make_diamond(&e);
    d.plan.appends = e.plan.appends = append;
    d.plan.n_appends = e.plan.n_appends = 1;
    d.tasks[1].problem.op = e.tasks[1].problem.op = TFR_OP_KV_APPEND;
    d.tasks[1].layer = 5;
    e.tasks[1].layer = 6;
    struct tfr_run *a = add(&d, TFR_LANE_PREFILL), *b = add(&d, TFR_LANE_PREFILL), *decode = add(&d, TFR_LANE_DECODE);
    assert_int_equal(tfr_run_open(&d.pool, &c, &e.plan, &input), TFR_OK);
    assert_int_equal(tfr_sched_add(&d.sched, c), TFR_OK);
    expect(&d, decode, 0);
    expect(&d, decode, 4);
    tfr_sched_complete(&d.sched, decode, 0);
    expect(&d, decode, 2);
    expect(&d, decode, 1);
    expect(&d, a, 0);
    expect(&d, a, 4);
    expect(&d, b, 0);
    tfr_sched_complete(&d.sched, b, 0); /* and a's is not complete, so it has not appended */
    expect(&d, b, 2);
    expect(&d, b, 4);
    expect(&d, c, 0);
    tfr_sched_complete(&d.sched, c, 0);
    expect(&d, c, 2);
    expect(&d, c, 1);
    expect(&d, c, 4);
    assert_false(tfr_sched_pick(&d.sched, &picked, b, false));
    expect_nothing(&d);
    tfr_sched_complete(&d.sched, a, 0);
    expect(&d, a, 2);
    expect(&d, a, 1);
    expect(&d, b, 1);
    expect_nothing(&d);
    close_run(&d, a);
    close_run(&d, b);
    close_run(&d, c);
    close_run(&d, decode);
    close_diamond(&d);
}

/* A run that has failed appends nothing more: nobody waits for it. */
TFR_TEST(who_appends_waits_for_no_run_that_was_removed) {
    TFR_UNUSED_STATE;
    struct diamond d;
    int append[] = {0};
    make_diamond(&d);
    d.tasks[0].problem.op = TFR_OP_KV_APPEND;
    d.plan.appends = append;
    d.plan.n_appends = 1;
    struct tfr_run *a = add(&d, TFR_LANE_DECODE), *b = add(&d, TFR_LANE_DECODE);
    struct tfr_ready picked;
    assert_true(tfr_sched_pick(&d.sched, &picked, b, false));
    assert_int_equal(picked.task, 4);
    assert_false(tfr_sched_pick(&d.sched, &picked, b, false));
    close_run(&d, a);
    expect(&d, b, 0);
    close_run(&d, b);
    close_diamond(&d);
}

TFR_TEST(a_run_takes_the_smallest_arena_that_fits) {
    TFR_UNUSED_STATE;
    struct tfr_run_pool pool = {0};
    struct tfr_run *run[3];
    const size_t sizes[] = {3000000, 100, 9000000};
    struct tfr_plan plan = {0};
    const struct tfr_exec_input input = {.rows = 1};
    for (int i = 0; i < 3; i++) {
        plan.arena_bytes = sizes[i];
        assert_int_equal(tfr_run_open(&pool, &run[i], &plan, &input), TFR_OK);
    }
    for (int i = 0; i < 3; i++) {
        tfr_run_close(&pool, run[i]);
    }
    const size_t bytes = pool.bytes;
    struct tfr_run *again;
    const struct {
        size_t wanted;
        int given;
    } cases[] = {{2000000, 0}, {50, 1}, {8000000, 2}};
    for (int i = 0; i < 3; i++) {
        plan.arena_bytes = cases[i].wanted;
        assert_int_equal(tfr_run_open(&pool, &again, &plan, &input), TFR_OK);
        assert_ptr_equal(again, run[cases[i].given]);
        tfr_run_close(&pool, again);
    }
    assert_int_equal(pool.bytes, bytes);
    plan.arena_bytes = 20000000; /* none fits: the largest grows */
    assert_int_equal(tfr_run_open(&pool, &again, &plan, &input), TFR_OK);
    assert_ptr_equal(again, run[2]);
    assert_true(again->arena.size >= 20000000);
    tfr_run_close(&pool, again);
    tfr_run_pool_close(&pool);
    assert_int_equal(pool.bytes, 0);
}

TFR_TEST_MAIN(TFR_CASE(highest_priority_runs_first), TFR_CASE(equal_priorities_run_by_index),
              TFR_CASE(asynchronous_tasks_come_first), TFR_CASE(nothing_is_ready_before_its_predecessors_complete),
              TFR_CASE(a_scheduler_serves_many_runs), TFR_CASE(the_older_run_goes_first_and_fills_in_where_it_waits),
              TFR_CASE(decode_goes_before_prefill_whatever_is_older), TFR_CASE(a_removed_run_leaves_the_others_their_tasks),
              TFR_CASE(messages_of_an_edge_go_out_in_the_order_of_the_runs), TFR_CASE(other_edges_and_other_lanes_do_not_wait),
              TFR_CASE(runs_and_tasks_are_counted), TFR_CASE(a_closed_scheduler_is_empty_and_serves_again),
              TFR_CASE(a_message_is_behind_the_same_edge_of_an_older_run),
              TFR_CASE(keys_of_a_block_are_appended_in_the_order_of_the_runs),
              TFR_CASE(who_appends_waits_for_no_run_that_was_removed), TFR_CASE(a_run_takes_the_smallest_arena_that_fits))

/* test_queue.c - the queue between callers and the engine's thread, without an engine: what waits is counted, what is refused says
 * so, order is kept on both ways. */
#include "serve/queue.h"

#include <math.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "generation/strategy.h"
#include "tfr_test.h"

static int64_t two_slots(const struct tfr_continuation *c) {
    (void)c;
    return 2;
}

static const struct tfr_strategy strategy = {.name = "two", .slots = two_slots};

static struct tfr_queue *open_queue(const struct tfr_queue_limits *limits) {
    static const struct tfr_queue_limits wide = {.most = 100, .most_tokens = 1000, .most_s = 100};
    struct tfr_queue *queue;
    assert_ok(tfr_queue_open(&queue, limits != NULL ? limits : &wide));
    return queue;
}

/* With a prompt of n tokens; two sequences. Its owners are the caller and the engine. */
static struct tfr_request *make(struct tfr_queue *queue, size_t n) {
    struct tfr_request *request = tfr_alloc(1, sizeof *request);
    assert_non_null(request);
    request->queue = queue;
    request->owners = 2;
    request->continuation.strategy = &strategy;
    request->continuation.prompt.n = n;
    return request;
}

static void drop(struct tfr_request *request) {
    tfr_queue_release(request);
    tfr_queue_release(request);
}

static void assert_load(const struct tfr_queue *queue, size_t waiting, int64_t tokens) {
    assert_int_equal(queue->load.waiting, waiting);
    assert_int_equal(queue->load.waiting_slots, 2 * waiting);
    assert_int_equal(queue->load.waiting_tokens, tokens);
}

static void assert_read(struct tfr_queue *queue, size_t waiting, int64_t tokens) {
    struct tfr_serving serving;
    tfr_queue_read(queue, &serving);
    assert_int_equal(serving.waiting, waiting);
    assert_int_equal(serving.waiting_prompt_tokens, tokens);
}

TFR_TEST(requests_come_out_in_order_and_count_while_they_wait) {
    TFR_UNUSED_STATE;
    struct tfr_queue *queue = open_queue(NULL);
    struct tfr_request *all[] = {make(queue, 1), make(queue, 10), make(queue, 100)};
    assert_ok(tfr_queue_put(queue, all, 2, true));
    assert_load(queue, 2, 11);
    assert_ok(tfr_queue_put(queue, all + 2, 1, true));
    assert_load(queue, 3, 111);
    assert_ptr_equal(tfr_queue_take(queue), all[0]);
    assert_ptr_equal(all[0]->next, all[1]);
    assert_ptr_equal(all[1]->next, all[2]);
    assert_null(all[2]->next);
    assert_null(tfr_queue_take(queue));
    assert_load(queue, 3, 111); /* the engine's thread has them, but has not admitted them */
    for (size_t i = 0; i < 3; i++) {
        assert_true(all[i]->waits);
        tfr_queue_left(all[i]);
        assert_false(all[i]->waits);
    }
    assert_load(queue, 0, 0);
    all[2]->next = all[0]; /* of another list by now */
    assert_ok(tfr_queue_put(queue, all + 2, 1, true));
    assert_ptr_equal(tfr_queue_take(queue), all[2]);
    assert_null(all[2]->next);
    for (size_t i = 0; i < 3; i++) {
        drop(all[i]);
    }
    tfr_queue_close(queue);
    tfr_queue_close(NULL);
}

TFR_TEST(each_refusal_is_told_and_counted_and_takes_none) {
    TFR_UNUSED_STATE;
    const struct tfr_queue_limits limits = {.most = 2, .most_tokens = 20, .most_s = 3};
    struct tfr_queue *queue = open_queue(&limits);
    struct tfr_request *all[] = {make(queue, 8), make(queue, 6), make(queue, 7)};
    struct tfr_serving serving;
    assert_ok(tfr_queue_put(queue, all, 1, true));
    assert_refused(tfr_queue_put(queue, all + 1, 2, true), TFR_BUSY, "1 request waits, 2 may (serve.max_queue)");
    assert_load(queue, 1, 8);
    queue->limits.most = 9;
    assert_refused(tfr_queue_put(queue, all + 1, 2, true), TFR_BUSY, "prompts of 8 tokens wait, 20 may (serve.max_queue_tokens)");
    assert_load(queue, 1, 8);
    queue->limits.most_tokens = 21;
    assert_ok(tfr_queue_put(queue, all + 1, 1, true));
    queue->limits.most = 2;
    assert_refused(tfr_queue_put(queue, all + 2, 1, true), TFR_BUSY, "2 requests wait, 2 may (serve.max_queue)");
    queue->limits.most = 3;
    const struct tfr_queue_load load = {.slots_total = 2, .slots_used = 2, .soonest_s = 5, .last_s = 6, .slot_s = 7};
    const struct tfr_serving none = {0};
    tfr_queue_report(queue, &none, &load);
    assert_refused(tfr_queue_put(queue, all + 2, 1, true), TFR_BUSY, "3.0 s are the limit (serve.max_queue_ms)");
    tfr_queue_read(queue, &serving);
    assert_int_equal(serving.refused_full, 2);
    assert_int_equal(serving.refused_tokens, 1);
    assert_int_equal(serving.refused_wait, 1);
    assert_true(serving.estimated_wait_s > 3);
    assert_ok(tfr_queue_put(queue, all + 2, 1, false)); /* not limited */
    assert_load(queue, 3, 21);
    for (size_t i = 0; i < 3; i++) {
        drop(all[i]);
    }
    tfr_queue_close(queue);
}

/* Before there are prompts: refused is what would be refused whatever is in them, and nothing else. */
TFR_TEST(a_full_queue_is_told_before_there_are_prompts) {
    TFR_UNUSED_STATE;
    const struct tfr_queue_limits limits = {.most = 2, .most_tokens = 20, .most_s = 3};
    struct tfr_queue *queue = open_queue(&limits);
    struct tfr_request *request = make(queue, 20);
    struct tfr_serving serving;
    assert_ok(tfr_queue_check(queue, 9)); /* nothing waits */
    assert_ok(tfr_queue_put(queue, &request, 1, true));
    assert_ok(tfr_queue_check(queue, 1)); /* a prompt of no token would be taken */
    assert_refused(tfr_queue_check(queue, 2), TFR_BUSY, "1 request waits, 2 may (serve.max_queue)");
    queue->limits.most_tokens = 19;
    assert_refused(tfr_queue_check(queue, 1), TFR_BUSY, "prompts of 20 tokens wait, 19 may (serve.max_queue_tokens)");
    tfr_queue_read(queue, &serving);
    assert_int_equal(serving.refused_full, 1);
    assert_int_equal(serving.refused_tokens, 1);
    assert_load(queue, 1, 20);
    drop(request);
    tfr_queue_close(queue);
}

TFR_TEST(a_report_keeps_what_the_queue_knows_better) {
    TFR_UNUSED_STATE;
    struct tfr_queue *queue = open_queue(NULL);
    struct tfr_request *request = make(queue, 4);
    assert_ok(tfr_queue_put(queue, &request, 1, true));
    tfr_queue_take(queue);
    queue->serving = (struct tfr_serving){.refused_full = 1, .refused_tokens = 2, .refused_wait = 3};
    assert_true(queue->works);
    queue->step_ended_ns = 0;
    const struct tfr_serving serving = {.running = 5, .n_steps = 6, .refused_full = 90, .refused_tokens = 91, .refused_wait = 92};
    const struct tfr_queue_load load = {.waiting = 70,
                                        .waiting_slots = 71,
                                        .waiting_tokens = 72,
                                        .slots_total = 10,
                                        .slots_used = 11,
                                        .leaving_slots = 12,
                                        .prompt_left = 13,
                                        .prefill_rate = 14,
                                        .rate_beside = 15,
                                        .slot_s = 16,
                                        .soonest_s = 17,
                                        .last_s = 18};
    struct tfr_queue_load want = load;
    want.waiting = 1, want.waiting_slots = 2, want.waiting_tokens = 4;
    tfr_queue_report(queue, &serving, &load);
    assert_memory_equal(&queue->load, &want, sizeof want);
    assert_false(queue->works);
    assert_true(queue->step_ended_ns > 0);
    struct tfr_serving said;
    tfr_queue_read(queue, &said);
    assert_int_equal(said.running, 5);
    assert_int_equal(said.n_steps, 6);
    assert_int_equal(said.refused_full, 1);
    assert_int_equal(said.refused_tokens, 2);
    assert_int_equal(said.refused_wait, 3);
    drop(request);
    tfr_queue_close(queue);
}

TFR_TEST(a_cancelled_request_makes_way_at_once) {
    TFR_UNUSED_STATE;
    struct tfr_queue *queue = open_queue(NULL);
    struct tfr_request *all[] = {make(queue, 3), make(queue, 40), make(queue, 500)};
    assert_ok(tfr_queue_put(queue, all, 3, true));
    tfr_queue_take(queue);
    tfr_queue_cancel(all[0]);
    assert_true(all[0]->cancelled);
    assert_load(queue, 2, 540);
    assert_read(queue, 3, 543); /* until the engine's thread has let it go */
    tfr_queue_take(queue);
    tfr_queue_cancel(all[0]); /* once more changes nothing */
    assert_read(queue, 3, 543);
    tfr_queue_take(queue);
    assert_int_equal(tfr_queue_steps_since_cancel(all[0]), 2);
    tfr_queue_left(all[0]);
    assert_read(queue, 2, 540);
    tfr_queue_left(all[1]); /* runs */
    assert_read(queue, 1, 500);
    tfr_queue_cancel(all[1]);
    assert_int_equal(queue->load.leaving_slots, 2);
    assert_read(queue, 1, 500);
    tfr_queue_left(all[2]);
    tfr_queue_release(all[2]); /* has ended: the engine has let go */
    tfr_queue_cancel(all[2]);
    assert_int_equal(queue->load.leaving_slots, 2);
    assert_read(queue, 0, 0);
    tfr_queue_release(all[2]);
    drop(all[0]);
    drop(all[1]);
    tfr_queue_close(queue);
}

TFR_TEST(a_step_works_when_there_is_something_to_do) {
    TFR_UNUSED_STATE;
    struct tfr_queue *queue = open_queue(NULL);
    struct tfr_request *request = make(queue, 1);
    const struct tfr_serving idle = {0};
    const struct tfr_queue_load load = {0};
    tfr_queue_take(queue);
    assert_false(queue->works);
    assert_ok(tfr_queue_put(queue, &request, 1, true));
    queue->step_began_ns = 0;
    tfr_queue_take(queue);
    assert_true(queue->works && queue->step_began_ns > 0);
    queue->step_began_ns = 7;
    tfr_queue_take(queue);
    assert_int_equal(queue->step_began_ns, 7); /* of the step that has not ended */
    tfr_queue_report(queue, &idle, &load);
    tfr_queue_take(queue);
    assert_true(queue->works); /* it waits */
    tfr_queue_cancel(request);
    tfr_queue_report(queue, &idle, &load);
    tfr_queue_take(queue);
    assert_true(queue->works); /* it lingers */
    tfr_queue_left(request);
    tfr_queue_report(queue, &idle, &load);
    tfr_queue_take(queue);
    assert_false(queue->works);
    assert_ok(tfr_queue_call(queue, NULL, NULL));
    tfr_queue_take(queue);
    assert_true(queue->works);
    tfr_free(tfr_queue_take_calls(queue));
    drop(request);
    tfr_queue_close(queue);
}

static double age(struct tfr_queue *queue) {
    struct tfr_serving serving;
    tfr_queue_read(queue, &serving);
    return serving.last_step_age_s;
}

TFR_TEST(the_age_is_of_the_last_step_or_of_the_first_ones_beginning) {
    TFR_UNUSED_STATE;
    struct tfr_queue *queue = open_queue(NULL);
    const uint64_t second = 1000000000, now = tfr_clock_ns() + 1000000 * second; /* as if it had run for long */
    assert_true(age(queue) == 0);
    queue->works = true;
    queue->step_began_ns = now;
    assert_true(age(queue) == 0); /* clocks that went back */
    queue->step_began_ns = tfr_clock_ns() - 2000;
    assert_true(age(queue) >= 2e-6);
    queue->step_ended_ns = now;
    queue->serving.running = 1;
    assert_true(age(queue) == 0);
    queue->step_ended_ns = tfr_clock_ns() - 2000;
    queue->step_began_ns = now;
    assert_true(age(queue) >= 2e-6);
    tfr_queue_close(queue);
}

static void nothing(struct tfr_engine *engine, void *user) {
    (void)engine, (void)user;
}

static void count(void *user) {
    ++*(int *)user;
}

TFR_TEST(calls_and_events_keep_their_order) {
    TFR_UNUSED_STATE;
    struct tfr_queue *queue = open_queue(NULL);
    int a, b, called = 0;
    assert_ok(tfr_queue_call(queue, nothing, &a));
    assert_ok(tfr_queue_call(queue, nothing, &b));
    struct tfr_call *first = tfr_queue_take_calls(queue), *second = first->next;
    assert_true(first->work == nothing && first->user == &a && second->user == &b && second->next == NULL);
    assert_null(tfr_queue_take_calls(queue));
    tfr_free(first);
    tfr_free(second);
    assert_ok(tfr_queue_call(queue, nothing, &b)); /* those before are gone */
    tfr_free(tfr_queue_take_calls(queue));
    struct tfr_request *request = make(queue, 1);
    struct tfr_event_node *nodes[] = {tfr_alloc(1, sizeof **nodes), tfr_alloc(1, sizeof **nodes), tfr_alloc(1, sizeof **nodes)};
    assert_null(tfr_queue_next(request));
    tfr_queue_tell(request, nodes[0]);
    assert_ptr_equal(tfr_queue_next(request), nodes[0]);
    assert_null(tfr_queue_next(request));
    nodes[1]->next = nodes[0];
    tfr_queue_tell(request, nodes[1]);
    tfr_queue_tell(request, nodes[2]);
    assert_ptr_equal(tfr_queue_next(request), nodes[1]);
    tfr_queue_tell(request, &request->end); /* nodes[2] and the end are never asked for: they go with the request */
    request->current = nodes[1];
    tfr_free(nodes[0]);
    tfr_queue_release(request);
    assert_ptr_equal(request->first, nodes[2]);
    tfr_queue_release(request);
    tfr_queue_notify(queue);
    tfr_queue_set_notify(queue, count, &called);
    tfr_queue_notify(queue);
    assert_int_equal(called, 1);
    tfr_queue_close(queue);
}

TFR_TEST(a_wait_ends_with_work_or_with_its_time) {
    TFR_UNUSED_STATE;
    struct tfr_queue *queue = open_queue(NULL);
    struct tfr_request *request = make(queue, 1);
    assert_false(tfr_queue_wait(queue, 0));
    assert_false(tfr_queue_wait(queue, -1));
    const uint64_t begin_ns = tfr_clock_ns(), second = 1000000000;
    assert_false(tfr_queue_wait(queue, 1.01 - (double)(begin_ns % second) / 1e9)); /* into the next second of the clock */
    assert_true(tfr_clock_ns() / second > begin_ns / second);
    assert_ok(tfr_queue_put(queue, &request, 1, true));
    assert_true(tfr_queue_wait(queue, INFINITY));
    assert_true(tfr_queue_wait(queue, 0));
    tfr_queue_take(queue);
    assert_false(tfr_queue_wait(queue, 0));
    tfr_queue_cancel(request);
    assert_true(tfr_queue_wait(queue, 1e300));
    tfr_queue_take(queue);
    assert_false(tfr_queue_wait(queue, 0));
    assert_ok(tfr_queue_call(queue, nothing, NULL));
    assert_true(tfr_queue_wait(queue, INFINITY));
    tfr_free(tfr_queue_take_calls(queue));
    assert_false(tfr_queue_wait(queue, 0));
    drop(request);
    tfr_queue_close(queue);
}

static void *put_one(void *user) {
    struct tfr_request *request = user;
    return tfr_queue_put(request->queue, &request, 1, true) == TFR_OK ? user : NULL;
}

TFR_TEST(another_thread_ends_a_wait_without_end) {
    TFR_UNUSED_STATE;
    struct tfr_queue *queue = open_queue(NULL);
    struct tfr_request *request = make(queue, 1);
    pthread_t thread;
    void *put;
    assert_int_equal(pthread_create(&thread, NULL, put_one, request), 0);
    assert_true(tfr_queue_wait(queue, INFINITY));
    assert_int_equal(pthread_join(thread, &put), 0);
    assert_ptr_equal(put, request);
    drop(request);
    tfr_queue_close(queue);
}

TFR_TEST_MAIN(TFR_CASE(requests_come_out_in_order_and_count_while_they_wait),
              TFR_CASE(each_refusal_is_told_and_counted_and_takes_none), TFR_CASE(a_full_queue_is_told_before_there_are_prompts),
              TFR_CASE(a_report_keeps_what_the_queue_knows_better), TFR_CASE(a_cancelled_request_makes_way_at_once),
              TFR_CASE(a_step_works_when_there_is_something_to_do),
              TFR_CASE(the_age_is_of_the_last_step_or_of_the_first_ones_beginning), TFR_CASE(calls_and_events_keep_their_order),
              TFR_CASE(a_wait_ends_with_work_or_with_its_time), TFR_CASE(another_thread_ends_a_wait_without_end))

/* test_admission.c - the three limits of the queue and the estimate of a wait. */
#include "tfr_test.h"

#include "serve/admission.h"

static const struct tfr_queue_limits limits = {.most = 8, .most_tokens = 1000, .most_s = 10};

TFR_TEST(an_empty_queue_takes_anything) {
    TFR_UNUSED_STATE;
    const struct tfr_queue_load busy = {.slots_total = 4, .slots_used = 4, .slot_s = 1e6, .prefill_rate = 1, .rate_beside = 1};
    assert_int_equal(tfr_queue_judge(&limits, &busy, 100, 1000000), TFR_REFUSAL_NONE);
}

TFR_TEST(each_limit_is_named) {
    TFR_UNUSED_STATE;
    struct tfr_queue_load load = {.waiting = 8, .waiting_slots = 8, .waiting_tokens = 100, .slots_total = 4, .slots_used = 4};
    assert_int_equal(tfr_queue_judge(&limits, &load, 1, 10), TFR_REFUSAL_FULL);
    load.waiting = 7;
    assert_int_equal(tfr_queue_judge(&limits, &load, 1, 10), TFR_REFUSAL_NONE);
    assert_int_equal(tfr_queue_judge(&limits, &load, 2, 10), TFR_REFUSAL_FULL);
    assert_int_equal(tfr_queue_judge(&limits, &load, 1, 900), TFR_REFUSAL_NONE);
    assert_int_equal(tfr_queue_judge(&limits, &load, 1, 901), TFR_REFUSAL_TOKENS);
    load.last_s = load.slot_s = 4; /* nine sequences have to come free: four in 4 s, the others in 5 s more */
    assert_int_equal(tfr_queue_judge(&limits, &load, 1, 10), TFR_REFUSAL_NONE);
    load.slot_s = 6;
    assert_int_equal(tfr_queue_judge(&limits, &load, 1, 10), TFR_REFUSAL_WAIT);
}

TFR_TEST(a_wait_is_for_slots_and_for_prompts) {
    TFR_UNUSED_STATE;
    struct tfr_queue_load load = {.slots_total = 4, .slots_used = 3, .soonest_s = 2, .last_s = 8, .slot_s = 12};
    assert_true(tfr_queue_wait_s(&load) == 0);
    load.slots_used = 4;
    assert_true(tfr_queue_wait_s(&load) == 2);
    load.waiting_slots = 1;
    assert_true(tfr_queue_wait_s(&load) == 4);
    load.leaving_slots = 2; /* what is cancelled is as good as free */
    assert_true(tfr_queue_wait_s(&load) == 0);
    load.leaving_slots = 0;
    load.waiting_slots = 5; /* two behind those that run */
    assert_true(tfr_queue_wait_s(&load) == 14);
    load.waiting_slots = 3;
    assert_true(tfr_queue_wait_s(&load) == 8);
    load.prompt_left = 500;
    load.waiting_tokens = 1500;
    load.rate_beside = 100;
    assert_true(tfr_queue_wait_s(&load) == 20);
    load.rate_beside = 1000;
    assert_true(tfr_queue_wait_s(&load) == 8);
    const struct tfr_queue_load unknown = {.waiting = 3, .waiting_slots = 3, .waiting_tokens = 99};
    assert_true(tfr_queue_wait_s(&unknown) == 0);
}

TFR_TEST(tokens_are_limited_by_the_rate_where_no_number_is_given) {
    TFR_UNUSED_STATE;
    const struct tfr_queue_limits by_rate = {.most = 8, .most_s = 10};
    struct tfr_queue_load load = {.prefill_rate = 2000, .rate_beside = 10};
    assert_int_equal(tfr_queue_most_tokens(&by_rate, &load), 20000);
    assert_int_equal(tfr_queue_most_tokens(&limits, &load), 1000);
    load.prefill_rate = 0;
    assert_true(tfr_queue_most_tokens(&by_rate, &load) == INT64_MAX);
}

TFR_TEST_MAIN(TFR_CASE(an_empty_queue_takes_anything), TFR_CASE(each_limit_is_named), TFR_CASE(a_wait_is_for_slots_and_for_prompts),
              TFR_CASE(tokens_are_limited_by_the_rate_where_no_number_is_given))

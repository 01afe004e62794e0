/* test_fair.c - turns of keys that wait: order of arrival, shares by tokens, classes. */
#include "tfr_test.h"

#include <stdio.h>
#include <string.h>

#include "serve/fair.h"

enum { MOST = 64 };

static struct tfr_fair fair;
static struct tfr_turn turns[MOST];

static void add(int index, const char *key, bool batch) {
    turns[index] = (struct tfr_turn){.owner = &turns[index]};
    assert_true(tfr_fair_add(&fair, &turns[index], key, batch));
}

/* Which of them comes next, taken at a cost. */
static int take(double cost) {
    struct tfr_turn *turn = tfr_fair_next(&fair);
    assert_non_null(turn);
    assert_ptr_equal(tfr_fair_next(&fair), turn);
    tfr_fair_take(&fair, turn, cost);
    return (int)(turn - turns);
}

static void expect_empty(void) {
    assert_int_equal(tfr_fair_waiting(&fair), 0);
    assert_int_equal(fair.debtors, 0);
    assert_null(fair.flows[0]);
    assert_null(fair.flows[1]);
}

static void settle_all(int n, double cost) {
    for (int i = 0; i < n; i++) {
        tfr_fair_settle(&fair, &turns[i], cost);
    }
    expect_empty();
}

TFR_TEST(one_key_is_served_in_order_of_arrival) {
    TFR_UNUSED_STATE;
    static const char *const keys[] = {NULL, "a"};
    for (size_t k = 0; k < 2; k++) {
        for (int i = 0; i < 9; i++) {
            add(i, keys[k], false);
        }
        for (int i = 0; i < 9; i++) {
            assert_int_equal(take(i % 2 == 0 ? 10000 : 1), i);
        }
        assert_null(tfr_fair_next(&fair));
        settle_all(9, 50);
    }
}

/* Tokens that the first n_takes admissions gave to two keys of 30 requests each. */
static void share(double cost_a, double cost_b, int n_takes, double *a, double *b) {
    fair = (struct tfr_fair){0};
    for (int i = 0; i < 60; i++) {
        add(i, i < 30 ? "a" : "b", false); /* all of a come first */
    }
    *a = *b = 0;
    for (int i = 0; i < n_takes; i++) {
        const bool is_a = (int)(tfr_fair_next(&fair) - turns) < 30;
        take(is_a ? cost_a : cost_b);
        *(is_a ? a : b) += is_a ? cost_a : cost_b;
    }
    while (tfr_fair_waiting(&fair) > 0) {
        take(1);
    }
    settle_all(60, 1);
}

TFR_TEST(two_keys_have_equal_tokens_not_equal_requests) {
    TFR_UNUSED_STATE;
    static const double costs[][2] = {{500, 500}, {2000, 400}, {300, 3000}, {100, 100}};
    for (size_t i = 0; i < 4; i++) {
        double a, b;
        share(costs[i][0], costs[i][1], 24, &a, &b);
        const double largest = costs[i][0] > costs[i][1] ? costs[i][0] : costs[i][1];
        assert_true(a > 0 && b > 0);
        assert_true(a - b <= largest + 512 && b - a <= largest + 512);
    }
}

TFR_TEST(a_newcomer_does_not_wait_for_a_backlog) {
    TFR_UNUSED_STATE;
    for (int i = 0; i < 20; i++) {
        add(i, "busy", false);
    }
    for (int i = 0; i < 8; i++) {
        take(600);
    }
    add(20, "new", false);
    int turns_before = 0;
    while (take(600) != 20) {
        turns_before++;
    }
    assert_true(turns_before <= 1);
    while (tfr_fair_waiting(&fair) > 0) {
        take(1);
    }
    settle_all(21, 1);
}

/* Expected 5000, took 10: what it was charged too much comes back. */
TFR_TEST(what_was_not_used_comes_back) {
    TFR_UNUSED_STATE;
    for (int i = 0; i < 6; i++) {
        add(i, i < 3 ? "a" : "b", false);
    }
    const int first = take(5000);
    tfr_fair_settle(&fair, &turns[first], 10);
    const int second = take(300), third = take(300);
    assert_true((second < 3) != (third < 3)); /* in turn, not all of b before a comes again */
    while (tfr_fair_waiting(&fair) > 0) {
        take(1);
    }
    for (int i = 1; i < 6; i++) {
        tfr_fair_settle(&fair, &turns[i], 1);
    }
    assert_null(fair.flows[0]);
}

TFR_TEST(batch_has_the_rest_and_a_tenth) {
    TFR_UNUSED_STATE;
    int n_batch = 0;
    for (int i = 0; i < 60; i++) {
        add(i, "a", i >= 40);
    }
    for (int i = 0; i < 40; i++) {
        n_batch += take(100) >= 40;
    }
    assert_in_range(n_batch, 3, 5);
    while (tfr_fair_waiting(&fair) > 0) {
        take(1);
    }
    settle_all(60, 1);
    fair.batch_credit = 0;
    add(0, "a", true);
    assert_int_equal(take(5000), 0); /* nobody else is there */
    tfr_fair_settle(&fair, &turns[0], 5000);
}

/* Chosen while it was alone, and too large to be taken at once. */
TFR_TEST(a_batch_request_that_waits_for_room_is_overtaken) {
    TFR_UNUSED_STATE;
    fair = (struct tfr_fair){0};
    add(0, "a", true);
    assert_ptr_equal(tfr_fair_next(&fair), &turns[0]);
    add(1, "b", false);
    assert_int_equal(take(100), 1);
    assert_int_equal(take(100), 0); /* alone again */
    add(2, "a", true);
    fair.batch_credit = 50; /* a tenth is due: this one keeps its turn */
    assert_ptr_equal(tfr_fair_next(&fair), &turns[2]);
    add(3, "b", false);
    assert_int_equal(take(100), 2);
    assert_int_equal(take(100), 3);
    settle_all(4, 1);
    fair = (struct tfr_fair){0};
}

TFR_TEST(one_that_leaves_is_forgotten) {
    TFR_UNUSED_STATE;
    for (int i = 0; i < 4; i++) {
        add(i, i % 2 == 0 ? "a" : NULL, false);
    }
    struct tfr_turn *chosen = tfr_fair_next(&fair);
    tfr_fair_leave(&fair, chosen);
    assert_true(tfr_fair_next(&fair) != chosen);
    for (int i = 3; i >= 0; i--) {
        if (&turns[i] != chosen) {
            tfr_fair_leave(&fair, &turns[i]);
        }
    }
    assert_null(tfr_fair_next(&fair));
    assert_null(fair.flows[0]);
}

/* One large request after the other, each once the last has ended, beside a key of small ones. */
TFR_TEST(what_a_key_took_is_not_forgotten_with_its_last_request) {
    TFR_UNUSED_STATE;
    fair = (struct tfr_fair){0};
    add(0, "b", false);
    assert_int_equal(take(1), 0); /* it runs on: there is always somebody */
    for (int times = 0; times < 3; times++) {
        int n_before = 0;
        add(1, "a", false);
        assert_int_equal(take(6000), 1); /* nobody else waits */
        tfr_fair_settle(&fair, &turns[1], 6000);
        add(1, "a", false);
        for (int i = 2; i < 40; i++) {
            add(i, "b", false);
        }
        while (take(300) != 1) {
            n_before++;
        }
        assert_in_range(n_before, 17, 21); /* as much */
        tfr_fair_settle(&fair, &turns[1], 300);
        while (tfr_fair_waiting(&fair) > 0) {
            take(300);
        }
        for (int i = 2; i < 40; i++) {
            tfr_fair_settle(&fair, &turns[i], 300);
        }
    }
    tfr_fair_settle(&fair, &turns[0], 1);
    expect_empty(); /* idle: nobody owes any more */
}

/* What others get while a key is away, or only runs, is paid back. */
TFR_TEST(a_debt_is_paid_by_what_others_get) {
    TFR_UNUSED_STATE;
    fair = (struct tfr_fair){0};
    for (int runs_on = 0; runs_on < 2; runs_on++) {
        add(0, "b", false);
        assert_int_equal(take(1), 0);
        add(1, "a", false);
        assert_int_equal(take(6000), 1);
        if (!runs_on) {
            tfr_fair_settle(&fair, &turns[1], 6000);
        }
        for (int i = 2; i < 32; i++) {
            add(i, "b", false);
            take(300);
            tfr_fair_settle(&fair, &turns[i], 300);
        }
        assert_int_equal(fair.debtors, 0); /* who has paid is forgotten */
        int n_before = 0;
        add(32, "a", false);
        for (int i = 33; i < 40; i++) {
            add(i, "b", false);
        }
        while (take(300) != 32) {
            n_before++;
        }
        assert_in_range(n_before, 0, 2);
        while (tfr_fair_waiting(&fair) > 0) {
            take(1);
        }
        for (int i = 0; i < 40; i++) {
            if (turns[i].flow != NULL) {
                tfr_fair_settle(&fair, &turns[i], 1);
            }
        }
        expect_empty();
    }
}

TFR_TEST(any_number_of_keys_take_little_memory) {
    TFR_UNUSED_STATE;
    fair = (struct tfr_fair){0};
    add(0, "b", false);
    assert_int_equal(take(1), 0);
    for (int k = 0; k < 3000; k++) {
        char key[16];
        snprintf(key, sizeof key, "%d", k);
        add(1, key, k % 2 == 0);
        take(k == 1000 ? 1e6 : 1000);
        tfr_fair_settle(&fair, &turns[1], k == 1000 ? 1e6 : 1000);
        assert_in_range(fair.debtors, 0, 64);
    }
    add(1, "1000", true);
    add(2, "new", true);
    assert_int_equal(take(1), 2); /* who owes most is remembered */
    assert_int_equal(take(1), 1);
    settle_all(3, 1);
    expect_empty();
}

/* Any order of coming, going and ending leaves nothing behind, and everybody is served. */
TFR_TEST(any_order_of_events_ends_empty) {
    TFR_UNUSED_STATE;
    static const char *const keys[] = {NULL, "a", "b", "c"};
    bool waits[MOST] = {false}, runs[MOST] = {false};
    uint32_t state = 7;
    fair = (struct tfr_fair){0};
    for (int event = 0; event < 20000; event++) {
        state = state * 1664525u + 1013904223u;
        const int i = (int)(state >> 16) % MOST;
        if (runs[i]) {
            tfr_fair_settle(&fair, &turns[i], (double)(state >> 20));
            runs[i] = false;
        } else if (!waits[i]) {
            add(i, keys[state >> 8 & 3], (state >> 12 & 3) == 0);
            waits[i] = true;
        } else if ((state >> 28 & 1) != 0) {
            tfr_fair_leave(&fair, &turns[i]);
            waits[i] = false;
        } else {
            const int taken = take((double)(state >> 18));
            waits[taken] = false;
            runs[taken] = true;
        }
    }
    for (int i = 0; i < MOST; i++) {
        if (runs[i]) {
            tfr_fair_settle(&fair, &turns[i], 1);
        } else if (waits[i]) {
            tfr_fair_leave(&fair, &turns[i]);
        }
    }
    expect_empty();
}

TFR_TEST_MAIN(TFR_CASE(one_key_is_served_in_order_of_arrival), TFR_CASE(two_keys_have_equal_tokens_not_equal_requests),
              TFR_CASE(a_newcomer_does_not_wait_for_a_backlog), TFR_CASE(what_was_not_used_comes_back),
              TFR_CASE(batch_has_the_rest_and_a_tenth), TFR_CASE(a_batch_request_that_waits_for_room_is_overtaken),
              TFR_CASE(what_a_key_took_is_not_forgotten_with_its_last_request), TFR_CASE(a_debt_is_paid_by_what_others_get),
              TFR_CASE(any_number_of_keys_take_little_memory), TFR_CASE(one_that_leaves_is_forgotten),
              TFR_CASE(any_order_of_events_ends_empty))

/* test_order_stats.c - medians, quartiles and the interval of the median, against tables and a count of all cases. */
#include "tfr_test.h"

#include <math.h>

#include "study/bench_case.h"
#include "study/order_stats.h"

static void expect_near(double have, double want) {
    if (!(fabs(have - want) <= 1e-12 * fabs(want) + 1e-15)) {
        fail_msg("%.17g is not %.17g", have, want);
    }
}

/* The table of the sign test: k for 95 %. */
TFR_TEST(the_interval_is_that_of_the_sign_test) {
    TFR_UNUSED_STATE;
    static const size_t ks[][2] = {{6, 1},  {8, 1},  {9, 2},   {10, 2},  {11, 2},  {12, 3},
                                   {20, 6}, {25, 8}, {30, 10}, {50, 18}, {100, 40}};
    double coverage;
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
        assert_int_equal(tfr_spread_rank(ks[i][0], &coverage), ks[i][1]);
        assert_true(coverage >= 0.95 && coverage < 1);
    }
    assert_int_equal(tfr_spread_rank(5, &coverage), 1);
    expect_near(coverage, 1 - 2.0 / 32);
    assert_int_equal(tfr_spread_rank(1, &coverage), 1);
    expect_near(coverage, 0);
}

/* Each of n times lies below the median or above it, like heads and tails: all 2^n cases are counted. */
TFR_TEST(coverage_is_the_share_of_all_cases) {
    TFR_UNUSED_STATE;
    for (size_t n = 1; n <= 14; n++) {
        double coverage;
        const size_t k = tfr_spread_rank(n, &coverage);
        size_t inside = 0;
        for (unsigned which = 0; which < 1u << n; which++) {
            const size_t below = (size_t)__builtin_popcount(which);
            inside += below >= k && n - below >= k;
        }
        expect_near(coverage, (double)inside / (double)(1u << n));
    }
}

TFR_TEST(quartiles_lie_between_two_times) {
    TFR_UNUSED_STATE;
    static const double odd[] = {7, 1, 3, 5, 9}, even[] = {4, 1, 2, 3}, one[] = {2.5};
    struct tfr_spread spread = tfr_spread_of(odd, 5);
    expect_near(spread.median, 5);
    expect_near(spread.q1, 3);
    expect_near(spread.q3, 7);
    expect_near(spread.low, 1);
    expect_near(spread.high, 9);
    spread = tfr_spread_of(even, 4);
    expect_near(spread.median, 2.5);
    expect_near(spread.q1, 1.75);
    expect_near(spread.q3, 3.25);
    spread = tfr_spread_of(one, 1);
    expect_near(spread.median, 2.5);
    expect_near(spread.low, 2.5);
    assert_int_equal(tfr_spread_of(one, 0).n, 0);
}

TFR_TEST(a_thousand_times_are_held) {
    TFR_UNUSED_STATE;
    double times[TFR_MOST_TIMES], coverage;
    for (int i = 0; i < TFR_MOST_TIMES; i++) {
        times[i] = i * 7 % TFR_MOST_TIMES;
    }
    const struct tfr_spread spread = tfr_spread_of(times, TFR_MOST_TIMES);
    expect_near(spread.median, 499.5);
    assert_int_equal(tfr_spread_rank(TFR_MOST_TIMES, &coverage), 469); /* 500 - 1.96 * sqrt(1000) / 2, to the nearest */
    expect_near(spread.low, 468);
    expect_near(spread.high, 531);
}

TFR_TEST(cases_stand_in_order_and_must_fit) {
    TFR_UNUSED_STATE;
    struct tfr_bench_cases cases;
    assert_int_equal(tfr_bench_cases_parse(&cases, "sequences:2,decode:128,prefill:7,decode:0"), TFR_OK);
    assert_int_equal(cases.n, 4);
    assert_true(cases.cases[0].kind == TFR_BENCH_DECODE && cases.cases[0].n == 0 && cases.cases[1].n == 128);
    assert_true(cases.cases[3].kind == TFR_BENCH_SEQUENCES);
    assert_int_equal(tfr_bench_cases_check(&cases, 129, 2), TFR_OK);
    assert_int_equal(tfr_bench_cases_check(&cases, 128, 2), TFR_USAGE);
    assert_int_equal(tfr_bench_cases_check(&cases, 129, 1), TFR_USAGE);
    static const char *const bad[] = {"",          "decode",    "decode:",   "decode:-1",           "prefill:0",
                                      "decode: 1", "decode:1,", "decode:1x", "prefill:5,prefill:5", "decode:99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tfr_bench_cases_parse(&cases, bad[i]), TFR_USAGE);
    }
    tfr_bench_cases_usual(&cases, 512, 4, false);
    assert_int_equal(cases.n, 7); /* decode 16, 128; prefill 128, 512; sequences 1, 2, 4 */
    tfr_bench_cases_usual(&cases, 1024, 16, false);
    assert_int_equal(cases.n, 10);
    tfr_bench_cases_usual(&cases, 1024, 16, true);
    assert_int_equal(cases.n, 9); /* decode 16, 128, 900; prefill 512, 1024; steps 2, 4, 8, 16 */
    tfr_bench_cases_add_classes(&cases, 63);
    assert_int_equal(cases.n, 15); /* and class 1, 2, 4, 8, 16, 32 */
    assert_true(cases.cases[14].kind == TFR_BENCH_CLASS && cases.cases[14].n == 32);
    assert_int_equal(tfr_bench_cases_parse(&cases, "mixed:7,steps:2"), TFR_OK);
    assert_int_equal(tfr_bench_cases_check(&cases, 7, 2), TFR_OK);
    assert_int_equal(tfr_bench_cases_check(&cases, 6, 2), TFR_USAGE);
    assert_int_equal(tfr_bench_cases_check(&cases, 7, 1), TFR_USAGE);
}

TFR_TEST_MAIN(TFR_CASE(the_interval_is_that_of_the_sign_test), TFR_CASE(coverage_is_the_share_of_all_cases),
              TFR_CASE(quartiles_lie_between_two_times), TFR_CASE(a_thousand_times_are_held),
              TFR_CASE(cases_stand_in_order_and_must_fit))

/* test_arrivals.c - gaps of a Poisson process have its mean and spread; traces are read or refused; prompts follow from a number.
 */
#include <math.h>
#include <stdlib.h>

#include "app/load/arrivals.h"
#include "tfr_test.h"

TFR_TEST(poisson_gaps_have_mean_and_spread_of_the_rate) {
    TFR_UNUSED_STATE;
    enum { N = 200000 };
    const double rate = 4;
    double sum = 0, squares = 0;
    int longer = 0;
    for (int i = 0; i < N; i++) {
        const double gap = tfr_load_gap(7, i, rate, true);
        assert_true(gap >= 0);
        sum += gap;
        squares += gap * gap;
        longer += gap > 1 / rate;
    }
    const double mean = sum / N, deviation = sqrt(squares / N - mean * mean);
    const double bound = 5 / sqrt(N); /* five standard errors, of a deviation as large as the mean */
    assert_true(fabs(mean * rate - 1) < bound);
    assert_true(fabs(deviation * rate - 1) < 2 * bound);
    assert_true(fabs((double)longer / N - exp(-1)) < bound);
}

TFR_TEST(constant_gaps_are_all_the_same) {
    TFR_UNUSED_STATE;
    for (int i = 0; i < 10; i++) {
        assert_true(tfr_load_gap(1, i, 8, false) == 0.125);
    }
}

static const struct tfr_load_workload workload = {
    .prompt_tokens = {10, 13}, .output_tokens = {5, 5}, .vocab_size = 1000, .seed = 3, .disconnect = 0.25};

TFR_TEST(lengths_and_leavers_are_drawn_as_asked) {
    TFR_UNUSED_STATE;
    enum { N = 4000 };
    int of_length[4] = {0}, leavers = 0;
    for (int i = 0; i < N; i++) {
        struct tfr_load_request request = {.number = i};
        tfr_load_shape(&workload, NULL, &request);
        assert_in_range(request.n_prompt, 10, 13);
        assert_int_equal(request.n_output, 5);
        assert_true(request.leave_after < 5);
        of_length[request.n_prompt - 10]++;
        leavers += request.leave_after >= 0;
    }
    for (int i = 0; i < 4; i++) {
        assert_in_range(of_length[i], N / 4 - 140, N / 4 + 140); /* five deviations of 27 */
    }
    assert_in_range(leavers, N / 4 - 140, N / 4 + 140);
}

/* Of a text of two tokens nobody leaves behind the fifth, and of a reply that comes whole by a time alone. */
TFR_TEST(leavers_leave_before_the_end_of_what_they_get) {
    TFR_UNUSED_STATE;
    enum { N = 1000 };
    const struct tfr_load_arrival line = {.prompt_tokens = 7, .output_tokens = 2};
    struct tfr_load_workload whole = workload, scored = workload, everybody = workload;
    whole.whole = scored.scoring = true;
    whole.disconnect = scored.disconnect = everybody.disconnect = 1;
    for (int i = 0; i < N; i++) {
        struct tfr_load_request request = {.number = i};
        tfr_load_shape(&everybody, &line, &request);
        assert_int_equal(request.n_prompt, 7);
        assert_int_equal(request.n_output, 2);
        assert_in_range(request.leave_after, 0, 1);
        tfr_load_shape(&whole, NULL, &request);
        assert_int_equal(request.leave_after, 0);
        tfr_load_shape(&scored, NULL, &request);
        assert_int_equal(request.leave_after, 0);
    }
}

/* How many of the first 32 ids of two requests are equal. */
static int equal_ids(const struct tfr_load_workload *of) {
    const struct tfr_load_request one = {.number = 1}, two = {.number = 2};
    int n = 0;
    for (int i = 0; i < 32; i++) {
        const int32_t id = tfr_load_id(of, &one, i);
        assert_in_range(id, 0, 998); /* the last one is the end of text */
        assert_int_equal(id, tfr_load_id(of, &one, i));
        n += id == tfr_load_id(of, &two, i);
    }
    return n;
}

TFR_TEST(prompts_differ_unless_they_are_to_be_the_same) {
    TFR_UNUSED_STATE;
    struct tfr_load_workload other = workload;
    assert_in_range(equal_ids(&other), 0, 3);
    other.shared_prefix = 20;
    assert_in_range(equal_ids(&other), 20, 23);
    other.same_prompts = true;
    assert_int_equal(equal_ids(&other), 32);
}

TFR_TEST(a_trace_is_three_numbers_a_line) {
    TFR_UNUSED_STATE;
    struct tfr_load_trace trace;
    char error[200];
    assert_true(tfr_load_trace_parse(&trace, "t", "ms,prompt,output\n# a remark\n0,10,5\r\n\n12.5\t20 6\n12.5, 30, 7", error, 200));
    assert_int_equal(trace.n, 3);
    assert_true(trace.arrivals[1].at_s == 0.0125);
    assert_int_equal(trace.arrivals[2].prompt_tokens, 30);
    assert_int_equal(trace.arrivals[2].output_tokens, 7);
    free(trace.arrivals);
}

/* 2007 / 1000 * 1000 is a little more than 2007. */
TFR_TEST(arrivals_of_one_time_are_in_order) {
    TFR_UNUSED_STATE;
    struct tfr_load_trace trace;
    char error[200];
    assert_true(tfr_load_trace_parse(&trace, "t", "2007 10 5\n2007 10 5\n4001 10 5\n4001 10 5", error, 200));
    assert_int_equal(trace.n, 4);
    free(trace.arrivals);
}

TFR_TEST(a_mark_of_the_order_of_bytes_costs_no_arrival) {
    TFR_UNUSED_STATE;
    struct tfr_load_trace trace;
    char error[200];
    assert_true(tfr_load_trace_parse(&trace, "t",
                                     "\xef\xbb\xbf"
                                     "0 10 5\n1 11 5\n",
                                     error, 200));
    assert_int_equal(trace.n, 2);
    assert_int_equal(trace.arrivals[0].prompt_tokens, 10);
    free(trace.arrivals);
}

TFR_TEST(a_trace_that_is_none_is_refused_by_line) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *text, *words;
    } bad[] = {{"", "no arrival"},
               {"a,b,c\n", "no arrival"},
               {"0 1 1\n1 x 1\n", "t:2: it is not three numbers"},
               {"0 1\n1 1 1\n", "t:1: it is not three numbers"},
               {"1e300 1 1\n", "t:1: its time is above 1e11 ms"},
               {"0 1 1\n1 1\n", "t:2: it is not three numbers"},
               {"0 1 1 1\n0 1 1 1", "t:1: it is not three numbers"},
               {"5 1 1\n4 1 1\n", "t:2: its time is before"},
               {"-1 1 1\n", "t:1: its time is negative"},
               {"0 0 1\n", "t:1: tokens are whole"},
               {"0 1.5 1\n", "t:1: tokens are whole"},
               {"nan 1 1\n1 inf 1", "t:2: it is not three numbers"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tfr_load_trace trace;
        char error[200] = "";
        assert_false(tfr_load_trace_parse(&trace, "t", bad[i].text, error, sizeof error));
        if (strstr(error, bad[i].words) == NULL) {
            fail_msg("%zu: \"%s\" lacks \"%s\"", i, error, bad[i].words);
        }
    }
}

TFR_TEST_MAIN(TFR_CASE(poisson_gaps_have_mean_and_spread_of_the_rate), TFR_CASE(constant_gaps_are_all_the_same),
              TFR_CASE(lengths_and_leavers_are_drawn_as_asked), TFR_CASE(leavers_leave_before_the_end_of_what_they_get),
              TFR_CASE(arrivals_of_one_time_are_in_order), TFR_CASE(a_mark_of_the_order_of_bytes_costs_no_arrival),
              TFR_CASE(prompts_differ_unless_they_are_to_be_the_same), TFR_CASE(a_trace_is_three_numbers_a_line),
              TFR_CASE(a_trace_that_is_none_is_refused_by_line))

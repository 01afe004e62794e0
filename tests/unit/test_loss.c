/* test_loss.c - log-probabilities against the definition in long double, and rows that would overflow a naive
 * exp. Losses of heads: forward.golden_*_labels*. */
#include "tfr_test.h"

#include <math.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/status.h"
#include "scoring/score.h"
#include "scoring/score_rows.h"

enum { V = 257, ROWS = 24 };

static float logits[ROWS * V];

static void fill(double scale, double offset) {
    for (int i = 0; i < ROWS * V; i++) {
        logits[i] = (float)(offset + scale * (tfr_philox_uniform(11, 0, (uint64_t)i) - 0.5));
    }
}

/* exp and sum as written in a book; for small logits only. */
static double naive_logprob(const float *row, int id) {
    long double sum = 0;
    for (int i = 0; i < V; i++) {
        sum += expl((long double)row[i]);
    }
    return (double)logl(expl((long double)row[id]) / sum);
}

static double logprob_of(const float *row, int64_t n, int32_t id) {
    struct tfr_row_score score;
    tfr_score_row(row, n, id, &score);
    return score.logprob;
}

TFR_TEST(logprob_is_the_definition) {
    TFR_UNUSED_STATE;
    double sum = 0;
    fill(12, 0);
    for (int r = 0; r < ROWS; r++) {
        sum = 0;
        for (int i = 0; i < V; i++) {
            const double logprob = logprob_of(logits + r * V, V, i);
            assert_float_equal(logprob, naive_logprob(logits + r * V, i), 1e-13);
            sum += exp(logprob);
        }
        assert_float_equal(sum, 1, 1e-13);
    }
}

TFR_TEST(large_logits_do_not_overflow) {
    TFR_UNUSED_STATE;
    const float row[3] = {30000, 29999, -30000};
    assert_float_equal(logprob_of(row, 3, 0), -log1p(exp(-1)), 1e-15);
    assert_float_equal(logprob_of(row, 3, 1), -1 - log1p(exp(-1)), 1e-15);
    assert_float_equal(logprob_of(row, 3, 2), -60000 - log1p(exp(-1)), 1e-10);
    assert_float_equal(tfr_log_sum_exp(row, 3), 30000 + log1p(exp(-1)), 1e-10);
}

TFR_TEST(adding_a_constant_changes_nothing) {
    TFR_UNUSED_STATE;
    const float row[4] = {0.5F, -1, 2, 3}, shifted[4] = {64.5F, 63, 66, 67};
    struct tfr_row_score a, b;
    tfr_score_row(row, 4, 1, &a);
    tfr_score_row(shifted, 4, 1, &b);
    assert_memory_equal(&a.logprob, &b.logprob, sizeof a.logprob);
}

TFR_TEST(minus_infinity_has_no_probability) {
    TFR_UNUSED_STATE;
    const float row[3] = {0, -INFINITY, 0};
    struct tfr_row_score score;
    tfr_score_row(row, 3, 1, &score);
    assert_true(isinf(score.logprob) && score.logprob < 0);
    tfr_score_row(row, 3, 2, &score);
    assert_float_equal(score.logprob, -log(2), 1e-15);
}

/* Which no number is, for JSON has no word for that. */
TFR_TEST(errors_of_what_has_no_probability_are_infinite_or_none) {
    TFR_UNUSED_STATE;
    assert_true(tfr_error_of_mean(INFINITY, INFINITY, 3) == INFINITY);
    assert_true(tfr_error_of_mean(INFINITY, INFINITY, 1) == 0);
    assert_float_equal(tfr_error_of_mean(3, 5, 2), 0.5, 1e-15); /* of 1 and 2 */
    assert_true(tfr_error_of_mean(7, 49, 1) == 0);
    assert_true(tfr_perplexity_error(INFINITY, INFINITY) == INFINITY);
    assert_true(tfr_perplexity_error(INFINITY, 0) == 0);
    assert_true(tfr_perplexity_error(800, 0) == 0); /* exp(800) is too large for a double */
    assert_float_equal(tfr_perplexity_error(1, 0.5), exp(1) / 2, 1e-15);
}

TFR_TEST(best_is_the_lowest_id_among_ties) {
    TFR_UNUSED_STATE;
    const float row[5] = {1, 3, 2, 3, 3};
    struct tfr_row_score score;
    tfr_score_row(row, 5, 4, &score);
    assert_int_equal(score.best_id, 1);
    assert_float_equal(score.best_logprob, score.logprob, 0);
}

TFR_TEST(rows_on_a_team_are_rows_alone) {
    TFR_UNUSED_STATE;
    int32_t targets[ROWS];
    struct tfr_row_score scores[ROWS], alone;
    fill(20, 3);
    for (int i = 0; i < ROWS; i++) {
        targets[i] = (i * 37) % V;
    }
    for (int threads = 1; threads <= 3; threads++) {
        struct tfr_team *team;
        assert_ok(tfr_team_open(&team, threads, NULL, true));
        memset(scores, 0, sizeof scores);
        tfr_score_rows(team, logits, V, targets, ROWS, scores);
        tfr_team_close(team);
        for (int i = 0; i < ROWS; i++) {
            tfr_score_row(logits + i * V, V, targets[i], &alone);
            assert_memory_equal(&scores[i].logprob, &alone.logprob, sizeof alone.logprob);
            assert_memory_equal(&scores[i].best_logprob, &alone.best_logprob, sizeof alone.best_logprob);
            assert_int_equal(scores[i].best_id, alone.best_id);
        }
    }
}

/* A perplexity beyond every double, and the error of one token, which is none. */
TFR_TEST(what_is_no_number_is_told_as_such) {
    TFR_UNUSED_STATE;
    const double infinity = exp(1000), numbers[] = {1.5, infinity, -infinity, infinity * 0, infinity / infinity};
    struct tfr_json_out out = {0};
    char *text;
    tfr_json_begin(&out, NULL, '[');
    for (size_t i = 0; i < TFR_COUNT_OF(numbers); i++) {
        tfr_put_real(&out, NULL, numbers[i]);
    }
    tfr_json_end(&out, ']');
    assert_int_equal(tfr_json_take(&out, &text), TFR_OK);
    assert_string_equal(text, "[1.5,\"Infinity\",\"-Infinity\",\"NaN\",\"NaN\"]");
    tfr_free(text);
}

TFR_TEST_MAIN(TFR_CASE(logprob_is_the_definition), TFR_CASE(large_logits_do_not_overflow),
              TFR_CASE(adding_a_constant_changes_nothing), TFR_CASE(minus_infinity_has_no_probability),
              TFR_CASE(errors_of_what_has_no_probability_are_infinite_or_none), TFR_CASE(best_is_the_lowest_id_among_ties),
              TFR_CASE(rows_on_a_team_are_rows_alone), TFR_CASE(what_is_no_number_is_told_as_such))

/* test_loss.c - log-softmax and cross entropy against the definition in long double, the ignored label, the
 * shift, and rows that would overflow a naive exp. */
#include "tfr_test.h"

#include <math.h>

#include "base/rng.h"
#include "base/status.h"
#include "engine/loss.h"

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

TFR_TEST(log_softmax_is_the_definition) {
    TFR_UNUSED_STATE;
    double logprobs[V], sum = 0;
    fill(12, 0);
    for (int r = 0; r < ROWS; r++) {
        tfr_log_softmax(logits + r * V, V, logprobs);
        sum = 0;
        for (int i = 0; i < V; i++) {
            assert_float_equal(logprobs[i], naive_logprob(logits + r * V, i), 1e-13);
            sum += exp(logprobs[i]);
        }
        assert_float_equal(sum, 1, 1e-13);
    }
}

TFR_TEST(large_logits_do_not_overflow) {
    TFR_UNUSED_STATE;
    const float row[3] = {30000, 29999, -30000};
    double logprobs[3];
    tfr_log_softmax(row, 3, logprobs);
    assert_float_equal(logprobs[0], -log1p(exp(-1)), 1e-15);
    assert_float_equal(logprobs[1], -1 - log1p(exp(-1)), 1e-15);
    assert_float_equal(logprobs[2], -60000 - log1p(exp(-1)), 1e-10);
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

TFR_TEST(ignored_labels_do_not_count) {
    TFR_UNUSED_STATE;
    int32_t labels[ROWS];
    double sum = 0;
    int n = 0;
    fill(8, 0);
    for (int i = 0; i < ROWS; i++) {
        labels[i] = i % 3 == 0 ? TFR_IGNORED_LABEL : i;
        if (i % 3 != 0) {
            sum -= naive_logprob(logits + i * V, i);
            n++;
        }
    }
    struct tfr_loss loss = {0};
    assert_ok(tfr_loss_add(&loss, logits, V, labels, ROWS));
    assert_int_equal(loss.n, n);
    assert_float_equal(tfr_loss_mean(&loss), sum / n, 1e-13);
}

TFR_TEST(rows_in_pieces_give_the_bits_of_the_whole) {
    TFR_UNUSED_STATE;
    int32_t labels[ROWS];
    struct tfr_loss whole = {0}, pieces = {0};
    fill(8, 0);
    for (int i = 0; i < ROWS; i++) {
        labels[i] = i == 5 ? TFR_IGNORED_LABEL : 3 * i;
    }
    assert_ok(tfr_loss_add_shifted(&whole, logits, V, 0, ROWS, labels, ROWS));
    for (int first = 0; first < ROWS; first += 7) {
        int n = ROWS - first < 7 ? ROWS - first : 7;
        assert_ok(tfr_loss_add_shifted(&pieces, logits + first * V, V, first, n, labels, ROWS));
    }
    assert_int_equal(whole.n, ROWS - 2); /* one ignored, and nothing follows the last */
    assert_int_equal(pieces.n, whole.n);
    assert_memory_equal(&pieces.sum, &whole.sum, sizeof whole.sum);
}

TFR_TEST(the_shift_predicts_the_next_label) {
    TFR_UNUSED_STATE;
    const float rows[3 * 2] = {0, 1, 2, 0, 5, 5};
    const int32_t labels[3] = {1, 0, 1};
    struct tfr_loss loss = {0};
    assert_ok(tfr_loss_add_shifted(&loss, rows, 2, 0, 3, labels, 3));
    assert_int_equal(loss.n, 2);
    assert_float_equal(loss.sum, (1 + log1p(exp(-1))) + (2 + log1p(exp(-2))), 1e-14);
}

TFR_TEST(no_target_is_nan) {
    TFR_UNUSED_STATE;
    const int32_t labels[2] = {TFR_IGNORED_LABEL, TFR_IGNORED_LABEL};
    struct tfr_loss loss = {0};
    assert_ok(tfr_loss_add(&loss, logits, V, labels, 2));
    assert_int_equal(loss.n, 0);
    assert_true(isnan(tfr_loss_mean(&loss)));
}

TFR_TEST(a_label_outside_the_vocabulary_is_refused) {
    TFR_UNUSED_STATE;
    const int32_t big[2] = {1, V}, negative[1] = {-1};
    struct tfr_loss loss = {0};
    fill(8, 0);
    assert_refused(tfr_loss_add(&loss, logits, V, big, 2), TFR_USAGE, "label 257 of row 1");
    assert_refused(tfr_loss_add(&loss, logits, V, negative, 1), TFR_USAGE, "label -1 of row 0");
}

TFR_TEST(nan_and_infinity_are_refused) {
    TFR_UNUSED_STATE;
    const int32_t labels[1] = {0};
    const float nan_row[3] = {0, NAN, 1}, infinite[3] = {0, INFINITY, 1};
    struct tfr_loss loss = {0};
    assert_refused(tfr_loss_add(&loss, nan_row, 3, labels, 1), TFR_CHECK, "row 0");
    assert_refused(tfr_loss_add(&loss, infinite, 3, labels, 1), TFR_CHECK, "row 0");
}

TFR_TEST_MAIN(TFR_CASE(log_softmax_is_the_definition), TFR_CASE(large_logits_do_not_overflow),
              TFR_CASE(adding_a_constant_changes_nothing), TFR_CASE(minus_infinity_has_no_probability),
              TFR_CASE(best_is_the_lowest_id_among_ties), TFR_CASE(rows_on_a_team_are_rows_alone),
              TFR_CASE(ignored_labels_do_not_count), TFR_CASE(rows_in_pieces_give_the_bits_of_the_whole),
              TFR_CASE(the_shift_predicts_the_next_label), TFR_CASE(no_target_is_nan),
              TFR_CASE(a_label_outside_the_vocabulary_is_refused), TFR_CASE(nan_and_infinity_are_refused))

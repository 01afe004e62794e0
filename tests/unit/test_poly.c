/* test_poly.c - polynomials: canonical form, arithmetic, and texts that parse back. */
#include "graph/poly.h"

#include "tfr_test.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

static struct tfr_poly parsed(const char *text) {
    struct tfr_poly poly;
    assert_ok(tfr_poly_parse(&poly, text));
    return poly;
}

static void assert_text(const struct tfr_poly *poly, const char *expected) {
    char text[512];
    assert_string_equal(tfr_poly_text(poly, text, sizeof(text)), expected);
}

TFR_TEST(terms_are_sorted_and_joined) {
    TFR_UNUSED_STATE;
    struct tfr_poly a = parsed("b M N + 2 N K M + 3 + M K N"), b = parsed("3 M K N + M N b + 1 + 2");
    assert_true(tfr_poly_equal(&a, &b));
    assert_text(&a, "3 M K N + M N b + 3");
}

TFR_TEST(text_parses_back) {
    TFR_UNUSED_STATE;
    static const char *const texts[] = {"0", "1", "0.5 B S C + 24 B S C^2", "C", "0.044715 ea M", "12345678901 V C"};
    for (size_t i = 0; i < TFR_COUNT_OF(texts); i++) {
        struct tfr_poly poly = parsed(texts[i]), again;
        char text[256];
        assert_ok(tfr_poly_parse(&again, tfr_poly_text(&poly, text, sizeof(text))));
        assert_true(tfr_poly_equal(&poly, &again));
    }
}

TFR_TEST(powers_are_printed_and_read) {
    TFR_UNUSED_STATE;
    struct tfr_poly a = parsed("24 C B C S"), b = parsed("24 B S C^2");
    assert_true(tfr_poly_equal(&a, &b));
    assert_text(&a, "24 B S C^2");
}

TFR_TEST(evaluates_with_a_binding) {
    TFR_UNUSED_STATE;
    struct tfr_poly poly = parsed("2 M K N + b M N + 0.5 K");
    double value[TFR_DIM_COUNT] = {[TFR_DIM_M] = 3, [TFR_DIM_K] = 4, [TFR_DIM_N] = 5, [TFR_DIM_BIAS] = 1};
    assert_true(tfr_poly_eval(&poly, value) == 120 + 15 + 2);
    struct tfr_poly zero = parsed("0");
    assert_true(tfr_poly_eval(&zero, value) == 0);
}

TFR_TEST(opposite_terms_cancel) {
    TFR_UNUSED_STATE;
    struct tfr_poly a = parsed("2 M + N"), b = parsed("2 M"), sum;
    assert_ok(tfr_poly_scale(&b, -1, 1));
    assert_ok(tfr_poly_add(&sum, &a, &b));
    assert_text(&sum, "N");
    assert_text(&b, "-2 M");
    struct tfr_poly again = parsed("-2 M");
    assert_true(tfr_poly_equal(&again, &b));
    assert_ok(tfr_poly_scale(&b, 0, 1));
    assert_text(&b, "0");
}

TFR_TEST(sum_does_not_depend_on_order) {
    TFR_UNUSED_STATE;
    struct tfr_poly a = parsed("M C + 3 V"), b = parsed("7 M C + 5 M"), left, right;
    assert_ok(tfr_poly_add(&left, &a, &b));
    assert_ok(tfr_poly_add(&right, &b, &a));
    assert_true(tfr_poly_equal(&left, &right));
    assert_text(&left, "8 M C + 5 M + 3 V");
}

TFR_TEST(substitutes_a_sum_into_a_power) {
    TFR_UNUSED_STATE;
    struct tfr_poly poly = parsed("2 M^2 K + M"), by = parsed("B S + 1");
    assert_ok(tfr_poly_substitute(&poly, TFR_DIM_M, &by));
    struct tfr_poly expected = parsed("2 B^2 S^2 K + 4 B S K + 2 K + B S + 1");
    assert_true(tfr_poly_equal(&poly, &expected));
}

TFR_TEST(four_linears_of_a_block_are_24_b_s_c_squared) {
    TFR_UNUSED_STATE;
    static const char *const shapes[][2] = {{"C", "3 C"}, {"C", "C"}, {"C", "4 C"}, {"4 C", "C"}};
    struct tfr_poly sum = {0}, rows = parsed("B S");
    for (size_t i = 0; i < TFR_COUNT_OF(shapes); i++) {
        struct tfr_poly flops = parsed("2 M K N"), k = parsed(shapes[i][0]), n = parsed(shapes[i][1]);
        assert_ok(tfr_poly_substitute(&flops, TFR_DIM_M, &rows));
        assert_ok(tfr_poly_substitute(&flops, TFR_DIM_K, &k));
        assert_ok(tfr_poly_substitute(&flops, TFR_DIM_N, &n));
        assert_ok(tfr_poly_add(&sum, &sum, &flops));
    }
    assert_text(&sum, "24 B S C^2");
}

TFR_TEST(wrong_texts_are_refused) {
    TFR_UNUSED_STATE;
    static const char *const texts[] = {"",      "M +", "+ M", "2 Z",   "2 * M", "M^",       "M^0",
                                        "M^1.5", "Mq",  "2M",  "M - N", "M^300", "2 M -3 K", "2 -3"};
    struct tfr_poly poly;
    for (size_t i = 0; i < TFR_COUNT_OF(texts); i++) {
        assert_refused(tfr_poly_parse(&poly, texts[i]), TFR_USAGE, "polynomial");
    }
}

TFR_TEST(too_many_terms_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_poly poly = parsed("L + B + T + R + S + P + M + A + X + K"), square;
    assert_ok(tfr_poly_mul(&square, &poly, &poly));
    assert_int_equal(square.n_terms, 55);
    assert_refused(tfr_poly_mul(&square, &square, &poly), TFR_USAGE, "terms");
    assert_int_equal(square.n_terms, 55);
}

TFR_TEST(text_is_cut_not_overrun) {
    TFR_UNUSED_STATE;
    struct tfr_poly poly = parsed("24 B S C^2 + 3 V");
    char text[8];
    memset(text, 'x', sizeof(text));
    tfr_poly_text(&poly, text, 6);
    assert_string_equal(text, "24 B ");
    assert_int_equal(text[6], 'x');
}

/* As many terms as there may be, each with the longest names and a long fraction: room for all of it. */
TFR_TEST(the_longest_text_has_room) {
    TFR_UNUSED_STATE;
    static char text[TFR_POLY_TEXT];
    struct tfr_poly poly = {0}, again;
    for (int i = 0; i < TFR_POLY_MAX_TERMS; i++) {
        size_t used = (size_t)snprintf(text, sizeof text, "100000000000000000000000000000000007/9223372036854775783");
        for (int d = 0; d < TFR_DIM_COUNT; d++) {
            const int power = 200 + (d < 7 ? i >> d & 1 : 0);
            used += (size_t)snprintf(text + used, sizeof text - used, " %s^%d", tfr_dim_name((enum tfr_dim)d), power);
        }
        const struct tfr_poly term = parsed(text);
        assert_ok(tfr_poly_add(&poly, &poly, &term));
    }
    assert_int_equal(poly.n_terms, TFR_POLY_MAX_TERMS);
    assert_ok(tfr_poly_parse(&again, tfr_poly_text(&poly, text, sizeof text)));
    assert_true(tfr_poly_equal(&again, &poly));
    assert_true(strlen(text) > 8192 && strlen(text) < TFR_POLY_TEXT - 1);
    const size_t length = strlen(tfr_poly_factored(&poly, text, sizeof text));
    assert_true(length < TFR_POLY_TEXT - 1 && text[length - 1] == ')');
}

TFR_TEST(fractions_are_exact) {
    TFR_UNUSED_STATE;
    struct tfr_poly third = parsed("1/3 M"), sum = parsed("0");
    for (int i = 0; i < 3; i++) {
        assert_ok(tfr_poly_add(&sum, &sum, &third));
    }
    assert_text(&sum, "M");
    struct tfr_poly scale = parsed("17/16 X + 4/15 N + -0.5 M + 0.5");
    assert_text(&scale, "-0.5 M + 1.0625 X + 4/15 N + 0.5");
    assert_ok(tfr_poly_scale(&scale, 2, 3));
    assert_text(&scale, "-1/3 M + 17/24 X + 8/45 N + 1/3");
}

TFR_TEST(counts_are_exact_up_to_the_limit) {
    TFR_UNUSED_STATE;
    const tfr_int128 giga = 1000000000;
    tfr_int128 value[TFR_DIM_COUNT] = {0}, sum;
    char text[TFR_INT128_TEXT];
    struct tfr_poly causal = parsed("0.5 seq_len^2 + 0.5 seq_len");
    value[TFR_DIM_SEQ] = giga * giga + 1; /* odd: each term alone is no whole number */
    assert_ok(tfr_poly_count(&causal, value, "pairs", &sum));
    assert_string_equal(tfr_int128_text(sum, '\0', text), "500000000000000001500000000000000001");
    assert_string_equal(tfr_int128_text(sum, ',', text), "500,000,000,000,000,001,500,000,000,000,000,001");
    struct tfr_poly power = parsed("batch_size^2 vocab_size");
    value[TFR_DIM_BATCH] = (tfr_int128)1 << 60;
    value[TFR_DIM_VOCAB] = 127;
    assert_ok(tfr_poly_count(&power, value, "FLOPs", &sum));
    assert_true(sum == (tfr_int128)127 << 120);
    value[TFR_DIM_VOCAB] = 128; /* 2^127 */
    assert_refused(tfr_poly_count(&power, value, "FLOPs", &sum), TFR_USAGE,
                   "the sum of FLOPs is beyond 2^127, the limit of exact sums: its largest dimension is batch_size = "
                   "1,152,921,504,606,846,976 (sequences)");
    value[TFR_DIM_SEQ] = 0; /* a term with a zero in it is 0, whatever the rest is */
    struct tfr_poly zero = parsed("batch_size^9 seq_len");
    assert_ok(tfr_poly_count(&zero, value, "FLOPs", &sum));
    assert_true(sum == 0);
    struct tfr_poly half = parsed("0.5 vocab_size");
    value[TFR_DIM_VOCAB] = 3;
    assert_refused(tfr_poly_count(&half, value, "FLOPs", &sum), TFR_USAGE, "not a whole number");
}

TFR_TEST(common_factors_stand_before_a_bracket) {
    TFR_UNUSED_STATE;
    static const char *const texts[][2] = {
        {"24 batch_size seq_len hidden_size^2 + 13 batch_size seq_len hidden_size",
         "batch_size seq_len hidden_size (24 hidden_size + 13)"},
        {"2 M K N + 3 M N + 7 H", "M N (2 K + 3) + 7 H"},
        {"M K + 5", "M K + 5"},
        {"0", "0"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(texts); i++) {
        struct tfr_poly poly = parsed(texts[i][0]);
        char text[256];
        assert_string_equal(tfr_poly_factored(&poly, text, sizeof text), texts[i][1]);
    }
}

TFR_TEST(integers_of_128_bits_as_text) {
    TFR_UNUSED_STATE;
    static const char *const texts[] = {
        "0", "-1", "999", "1000", "170141183460469231731687303715884105727", "-170141183460469231731687303715884105728"};
    char text[TFR_INT128_TEXT];
    for (size_t i = 0; i < TFR_COUNT_OF(texts); i++) {
        const char *at = texts[i];
        tfr_int128 value;
        assert_true(tfr_int128_parse(&at, &value));
        assert_int_equal(*at, '\0');
        assert_string_equal(tfr_int128_text(value, '\0', text), texts[i]);
    }
    const char *at = "170141183460469231731687303715884105728";
    tfr_int128 value;
    assert_false(tfr_int128_parse(&at, &value));
}

TFR_TEST_MAIN(TFR_CASE(terms_are_sorted_and_joined), TFR_CASE(text_parses_back), TFR_CASE(powers_are_printed_and_read),
              TFR_CASE(evaluates_with_a_binding), TFR_CASE(opposite_terms_cancel), TFR_CASE(sum_does_not_depend_on_order),
              TFR_CASE(substitutes_a_sum_into_a_power), TFR_CASE(four_linears_of_a_block_are_24_b_s_c_squared),
              TFR_CASE(wrong_texts_are_refused), TFR_CASE(too_many_terms_are_refused), TFR_CASE(text_is_cut_not_overrun),
              TFR_CASE(the_longest_text_has_room), TFR_CASE(fractions_are_exact), TFR_CASE(counts_are_exact_up_to_the_limit),
              TFR_CASE(common_factors_stand_before_a_bracket), TFR_CASE(integers_of_128_bits_as_text))

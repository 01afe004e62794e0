/* test_poly.c - polynomials: canonical form, arithmetic, and texts that parse back. */
#include "graph/poly.h"

#include "tfr_test.h"

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
    tfr_poly_scale(&b, -1);
    assert_ok(tfr_poly_add(&sum, &a, &b));
    assert_text(&sum, "N");
    assert_text(&b, "-2 M");
    struct tfr_poly again = parsed("-2 M");
    assert_true(tfr_poly_equal(&again, &b));
    tfr_poly_scale(&b, 0);
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
    static const char *const texts[] = {"", "M +", "+ M", "2 Q", "2 * M", "M^", "M^0", "M^1.5", "Mq", "2M", "M - N", "M^300"};
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

TFR_TEST_MAIN(TFR_CASE(terms_are_sorted_and_joined), TFR_CASE(text_parses_back), TFR_CASE(powers_are_printed_and_read),
              TFR_CASE(evaluates_with_a_binding), TFR_CASE(opposite_terms_cancel), TFR_CASE(sum_does_not_depend_on_order),
              TFR_CASE(substitutes_a_sum_into_a_power), TFR_CASE(four_linears_of_a_block_are_24_b_s_c_squared),
              TFR_CASE(wrong_texts_are_refused), TFR_CASE(too_many_terms_are_refused), TFR_CASE(text_is_cut_not_overrun))

/* test_utf8.c - the decoder over every code point, every prefix and the bad sequences that matter. */
#include "tfr_test.h"

#include "base/status.h"
#include "base/utf8.h"

static bool is_scalar(uint32_t code) {
    return code < 0xD800 || (code > 0xDFFF && code <= 0x10FFFF);
}

TFR_TEST(utf8_every_scalar_value_round_trips) {
    TFR_UNUSED_STATE;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        uint8_t bytes[4];
        uint32_t back = 0;
        int length = tfr_utf8_put(bytes, code);
        int taken = tfr_utf8_take(bytes, (size_t)length, &back);
        assert_true(is_scalar(code) ? taken == length && back == code : taken < 0 && back == 0xFFFD);
    }
}

TFR_TEST(utf8_every_proper_prefix_is_cut_and_nothing_else) {
    TFR_UNUSED_STATE;
    for (uint32_t code = 0x80; code <= 0x10FFFF; code += 7) {
        uint8_t bytes[4];
        uint32_t unused;
        int length = tfr_utf8_put(bytes, code);
        for (int n = 1; n < length && is_scalar(code); n++) {
            assert_true(tfr_utf8_is_cut(bytes, (size_t)n));
            assert_int_equal(tfr_utf8_take(bytes, (size_t)n, &unused), -n);
        }
        assert_false(tfr_utf8_is_cut(bytes, (size_t)length));
    }
    assert_false(tfr_utf8_is_cut((const uint8_t *)"a", 1));
    assert_false(tfr_utf8_is_cut((const uint8_t *)"\xFF", 1));
    assert_false(tfr_utf8_is_cut((const uint8_t *)"\xE0\x80", 2));
    assert_false(tfr_utf8_is_cut((const uint8_t *)"", 0));
}

/* Lengths of the pieces, as in the table of Unicode 3.9, "U+FFFD for maximal subparts". */
TFR_TEST(utf8_bad_bytes_fall_into_maximal_subparts) {
    TFR_UNUSED_STATE;
    static const uint8_t text[] = "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41\xC0\xAF\xED\xA0\x80";
    static const int pieces[] = {-2, -1, -3, -2, 1, -1, -1, -1, -1, -1};
    size_t at = 0;
    for (size_t i = 0; i < TFR_COUNT_OF(pieces); i++) {
        uint32_t code;
        int taken = tfr_utf8_take(text + at, sizeof(text) - 1 - at, &code);
        assert_int_equal(taken, pieces[i]);
        at += (size_t)(taken < 0 ? -taken : taken);
    }
    assert_int_equal(at, sizeof(text) - 1);
}

TFR_TEST_MAIN(TFR_CASE(utf8_every_scalar_value_round_trips), TFR_CASE(utf8_every_proper_prefix_is_cut_and_nothing_else),
              TFR_CASE(utf8_bad_bytes_fall_into_maximal_subparts))

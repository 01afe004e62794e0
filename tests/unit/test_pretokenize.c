/* test_pretokenize.c - pieces of GPT-2's pattern, and the Unicode classes behind them. */
#include "model/pretokenize.h"

#include <tfrun/types.h>

#include "model/unicode_tables.h"
#include "tfr_test.h"

/* `pieces` is the text with a bar between pieces. */
static void check_pieces(const char *pieces) {
    char text[256], found[512] = "";
    size_t size = 0;
    for (const char *p = pieces; *p != '\0'; p++) {
        if (*p != '|') {
            text[size++] = *p;
        }
    }
    for (size_t at = 0, n; at < size; at += n) {
        n = tfr_pretokenize_next((const uint8_t *)text + at, size - at);
        assert_in_range(n, 1, size - at);
        if (at > 0) {
            strcat(found, "|");
        }
        strncat(found, text + at, n);
    }
    assert_string_equal(found, pieces);
}

TFR_TEST(words_take_one_space_in_front) {
    TFR_UNUSED_STATE;
    check_pieces("Hello|,| world|!");
    check_pieces("a| b|  | c");
    check_pieces(" a");
    check_pieces(" !!| 12|a");
}

TFR_TEST(letters_numbers_and_symbols_part) {
    TFR_UNUSED_STATE;
    check_pieces("abc|123|!?|x");
    check_pieces("\xc3\xa9t\xc3\xa9|\xc2\xb2\xc2\xbd"
                 "3|a"); /* superscripts and fractions are numbers */
}

TFR_TEST(contractions_are_lower_case_and_only_at_a_piece_start) {
    TFR_UNUSED_STATE;
    check_pieces("it|'s");
    check_pieces("we|'ll|'ve| they|'re| I|'m| he|'d| can|'t");
    check_pieces("IT|'|S");
    check_pieces("a| '|s");
    check_pieces("!'|s");
    check_pieces("''|s");
    check_pieces("x|'s|y");
    check_pieces("a|'");
    check_pieces("a|'|l");
    check_pieces("a|'re");
    check_pieces("a|'|r");
    check_pieces("a|'|Re");
}

TFR_TEST(blanks_leave_their_last_one_to_a_word) {
    TFR_UNUSED_STATE;
    check_pieces("a|  | b");
    check_pieces("a| \n|\n|b");
    check_pieces("a|\n|b");
    check_pieces("a|   ");
    check_pieces("   ");
    check_pieces("a|\t|\t|b");
    check_pieces("a|\xc2\xa0|b");      /* U+00A0 is a blank but not the space that words take */
    check_pieces("a| |\xc2\xa0|b");    /* so the space stays alone too */
    check_pieces("a|\xe3\x80\x80| b"); /* U+3000 */
    check_pieces("a|\xc2\x85|b");      /* U+0085 */
    check_pieces("a|\xe2\x80\x8b|b");  /* U+200B is no blank, but other */
    check_pieces("a|\x1c|b");          /* nor is U+001C */
}

TFR_TEST(marks_are_neither_letters_nor_numbers) {
    TFR_UNUSED_STATE;
    check_pieces("e|\xcc\x81|t");
}

TFR_TEST(invalid_bytes_are_other) {
    TFR_UNUSED_STATE;
    check_pieces("a|\xff\xfe|b");
    check_pieces("a|\xe6\xbc|b");     /* cut short */
    check_pieces("a|\xed\xa0\x80|b"); /* surrogate */
    check_pieces("a|\xc0\xaf|1");     /* overlong */
    check_pieces("a| \xf0\x9f|\xe6\xbc\xa2");
    check_pieces("!\x80!|a");
}

TFR_TEST(no_text_has_no_piece) {
    TFR_UNUSED_STATE;
    assert_int_equal(tfr_pretokenize_next((const uint8_t *)"x", 0), 0);
}

TFR_TEST(blanks_are_the_25_of_white_space) {
    TFR_UNUSED_STATE;
    int n = 0;
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        n += tfr_char_class(code_point) == TFR_CHAR_SPACE;
    }
    assert_int_equal(n, 25);
    assert_int_equal(tfr_char_class(0x180e), TFR_CHAR_OTHER);
    assert_int_equal(tfr_char_class(0xfeff), TFR_CHAR_OTHER);
    assert_int_equal(tfr_char_class(0x1680), TFR_CHAR_SPACE);
}

TFR_TEST(letters_and_numbers_are_those_of_unicode_16) {
    TFR_UNUSED_STATE;
    int letters = 0, numbers = 0;
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        letters += tfr_char_class(code_point) == TFR_CHAR_LETTER;
        numbers += tfr_char_class(code_point) == TFR_CHAR_NUMBER;
    }
    assert_string_equal(tfr_unicode_version, "16.0.0");
    assert_int_equal(letters, 141028);
    assert_int_equal(numbers, 1911);
    assert_int_equal(tfr_char_class(0x1c89), TFR_CHAR_LETTER); /* new in 16 */
    assert_int_equal(tfr_char_class(0x323af), TFR_CHAR_LETTER);
    assert_int_equal(tfr_char_class(0x323b0), TFR_CHAR_OTHER);
    assert_int_equal(tfr_char_class(UINT32_MAX), TFR_CHAR_OTHER);
}

TFR_TEST_MAIN(TFR_CASE(words_take_one_space_in_front), TFR_CASE(letters_numbers_and_symbols_part),
              TFR_CASE(contractions_are_lower_case_and_only_at_a_piece_start), TFR_CASE(blanks_leave_their_last_one_to_a_word),
              TFR_CASE(marks_are_neither_letters_nor_numbers), TFR_CASE(invalid_bytes_are_other), TFR_CASE(no_text_has_no_piece),
              TFR_CASE(blanks_are_the_25_of_white_space), TFR_CASE(letters_and_numbers_are_those_of_unicode_16))

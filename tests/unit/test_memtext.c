/* test_memtext.c - a text in memory: all of it with its size, or a failure and nothing. */
#include "tfr_test.h"

#include "base/arena.h"
#include "base/memtext.h"

enum { N_LINES = 2000, LINE = 41 };

/* Longer than any buffer of stdio, with padding, which open_memstream of glibc drops in silence where it has no memory for it. */
static enum tfr_status write_lines(char **text, size_t *size) {
    FILE *stream;
    TFR_TRY(tfr_memtext_open(&stream, text, size));
    for (int i = 0; i < N_LINES; i++) {
        fprintf(stream, "%-20s%20d\n", "line", i);
    }
    return tfr_memtext_close(stream, text);
}

TFR_TEST(all_of_it_and_a_nul) {
    TFR_UNUSED_STATE;
    char *text;
    size_t size;
    assert_int_equal(write_lines(&text, &size), TFR_OK);
    assert_int_equal(size, N_LINES * LINE);
    assert_int_equal(strlen(text), size);
    for (int i = 0; i < N_LINES; i++) {
        char line[LINE + 1];
        snprintf(line, sizeof(line), "%-20s%20d\n", "line", i);
        assert_memory_equal(text + (size_t)i * LINE, line, LINE);
    }
    tfr_free(text);
}

TFR_TEST(nothing_written_is_an_empty_text) {
    TFR_UNUSED_STATE;
    FILE *stream;
    char *text;
    size_t size;
    assert_int_equal(tfr_memtext_open(&stream, &text, &size), TFR_OK);
    assert_int_equal(tfr_memtext_close(stream, &text), TFR_OK);
    assert_string_equal(text, "");
    assert_int_equal(size, 0);
    tfr_free(text);
}

TFR_TEST(a_failure_of_who_writes_leaves_nothing) {
    TFR_UNUSED_STATE;
    FILE *stream;
    char *text;
    size_t size;
    assert_int_equal(tfr_memtext_open(&stream, &text, &size), TFR_OK);
    fputs("half of it", stream);
    assert_int_equal(tfr_memtext_end(stream, &text, TFR_MODEL), TFR_MODEL);
    assert_null(text);
}

/* Each request for memory refused in turn, until there is none left to refuse. */
TFR_TEST(without_memory_it_is_a_failure_and_nothing) {
    TFR_UNUSED_STATE;
    enum tfr_status status = TFR_RESOURCE;
    int n = 0;
    while (status != TFR_OK) {
        char *text;
        size_t size;
        tfr_alloc_fail_after(++n);
        status = write_lines(&text, &size);
        assert_true(status == TFR_OK || (status == TFR_RESOURCE && text == NULL));
        assert_true(status != TFR_OK || size == N_LINES * LINE);
        tfr_free(text);
    }
    tfr_alloc_fail_after(0);
    assert_true(n > 5); /* the text grew in steps, and each was refused once */
}

TFR_TEST_MAIN(TFR_CASE(all_of_it_and_a_nul), TFR_CASE(nothing_written_is_an_empty_text),
              TFR_CASE(a_failure_of_who_writes_leaves_nothing), TFR_CASE(without_memory_it_is_a_failure_and_nothing))

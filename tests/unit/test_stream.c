/* test_stream.c - text as it is released: stop strings across tokens, tails held back, unfinished characters. */
#include "tfr_test.h"

#include "base/status.h"
#include "generation/stream.h"
#include "tiny_tokenizer.h"

struct fixture {
    struct tfr_tokenizer *tokenizer;
    struct tfr_stream stream;
    char *items[2];
    struct tfr_string_list stop;
};

static void open_fixture(struct fixture *f, const char *stop_a, const char *stop_b) {
    *f = (struct fixture){.items = {(char *)stop_a, (char *)stop_b}};
    f->stop = (struct tfr_string_list){.items = f->items, .n = stop_a == NULL ? 0 : stop_b == NULL ? 1 : 2};
    const char *folder = tiny_folder();
    struct tfr_text vocab = tiny_vocab(TINY_VOCAB_TAIL);
    tiny_write(folder, "vocab.json", vocab.data);
    tiny_write(folder, "merges.txt", TINY_MERGES);
    assert_ok(tfr_tokenizer_open(&f->tokenizer, folder));
    tfr_text_free(&vocab);
    tiny_remove(folder);
    tfr_stream_init(&f->stream, f->tokenizer, &f->stop);
}

static void close_fixture(struct fixture *f) {
    tfr_stream_free(&f->stream);
    tfr_tokenizer_close(f->tokenizer);
}

/* Pushes the bytes as one-byte tokens and checks what may be shown afterwards. */
static void push(struct fixture *f, const char *bytes, const char *released) {
    for (const char *at = bytes; *at != '\0'; at++) {
        assert_ok(tfr_stream_push(&f->stream, (unsigned char)*at));
    }
    assert_int_equal(f->stream.released, strlen(released));
    if (f->stream.released > 0) {
        assert_memory_equal(f->stream.text.data, released, strlen(released));
    }
}

TFR_TEST(text_without_stop_strings_is_released_at_once) {
    TFR_UNUSED_STATE;
    struct fixture f;
    open_fixture(&f, NULL, NULL);
    push(&f, "h", "h");
    push(&f, "ey", "hey");
    close_fixture(&f);
}

TFR_TEST(half_a_character_waits) {
    TFR_UNUSED_STATE;
    struct fixture f;
    open_fixture(&f, NULL, NULL);
    push(&f, "a\xe2\x82", "a");
    push(&f, "\xac", "a\xe2\x82\xac");
    push(&f, "\xf0\x9f", "a\xe2\x82\xac");
    assert_ok(tfr_stream_finish(&f.stream));
    assert_string_equal(f.stream.text.data, "a\xe2\x82\xac\xef\xbf\xbd");
    close_fixture(&f);
}

TFR_TEST(a_tail_that_may_become_a_stop_string_is_held_back) {
    TFR_UNUSED_STATE;
    struct fixture f;
    open_fixture(&f, "END", NULL);
    push(&f, "xE", "x");
    push(&f, "N", "x");
    push(&f, "E", "xEN");
    assert_false(f.stream.stopped);
    assert_ok(tfr_stream_finish(&f.stream));
    assert_int_equal(f.stream.released, 4);
    close_fixture(&f);
}

TFR_TEST(a_stop_string_across_tokens_cuts_the_text_before_it) {
    TFR_UNUSED_STATE;
    struct fixture f;
    open_fixture(&f, "END", NULL);
    push(&f, "one END", "one ");
    assert_true(f.stream.stopped);
    assert_ok(tfr_stream_finish(&f.stream));
    assert_string_equal(f.stream.text.data, "one ");
    close_fixture(&f);
}

TFR_TEST(a_stop_string_at_the_very_start_leaves_nothing) {
    TFR_UNUSED_STATE;
    struct fixture f;
    open_fixture(&f, "ab", NULL);
    assert_ok(tfr_stream_push(&f.stream, 257)); /* "abc" in one token */
    assert_true(f.stream.stopped);
    assert_int_equal(f.stream.text.size, 0);
    close_fixture(&f);
}

TFR_TEST(the_earliest_of_two_stop_strings_wins) {
    TFR_UNUSED_STATE;
    struct fixture f;
    open_fixture(&f, "zz", "bc");
    assert_ok(tfr_stream_push(&f.stream, 257));
    assert_true(f.stream.stopped);
    assert_int_equal(f.stream.text.size, 1);
    close_fixture(&f);
}

TFR_TEST(overlapping_prefixes_of_a_stop_string_are_found) {
    TFR_UNUSED_STATE;
    struct fixture f;
    open_fixture(&f, "aab", NULL);
    push(&f, "aaa", "a");
    push(&f, "b", "a");
    assert_true(f.stream.stopped);
    close_fixture(&f);
}

TFR_TEST_MAIN(TFR_CASE(text_without_stop_strings_is_released_at_once), TFR_CASE(half_a_character_waits),
              TFR_CASE(a_tail_that_may_become_a_stop_string_is_held_back),
              TFR_CASE(a_stop_string_across_tokens_cuts_the_text_before_it),
              TFR_CASE(a_stop_string_at_the_very_start_leaves_nothing), TFR_CASE(the_earliest_of_two_stop_strings_wins),
              TFR_CASE(overlapping_prefixes_of_a_stop_string_are_found))

/* test_status.c - failure texts, names of statuses, nearest names, and the log. */
#include "tfr_test.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"

TFR_TEST(raise_keeps_text_and_returns_status) {
    TFR_UNUSED_STATE;
    assert_int_equal(tfr_raise(TFR_MODEL, "%s: %d", "wte.weight", 7), TFR_MODEL);
    assert_string_equal(tfr_failure_text(), "wte.weight: 7");
}

TFR_TEST(raise_accepts_the_stored_text_as_argument) {
    TFR_UNUSED_STATE;
    tfr_raise(TFR_MODEL, "inner");
    tfr_raise(TFR_MODEL, "outer (%s)", tfr_failure_text());
    assert_string_equal(tfr_failure_text(), "outer (inner)");
}

TFR_TEST(prefix_stands_before_the_text) {
    TFR_UNUSED_STATE;
    tfr_raise(TFR_CONFIG, "what");
    assert_int_equal(tfr_raise_prefix(TFR_USAGE, "block %d", 3), TFR_USAGE);
    assert_string_equal(tfr_failure_text(), "block 3: what");
}

TFR_TEST(long_text_is_cut_between_characters) {
    TFR_UNUSED_STATE;
    char text[6001];
    for (int shift = 0; shift < 3; shift++) {
        memset(text, 'a', (size_t)shift);
        for (size_t i = (size_t)shift; i + 3 <= 6000; i += 3) {
            memcpy(text + i, "\xE2\x82\xAC", 3);
        }
        text[5998] = '\0';
        tfr_raise(TFR_MODEL, "%s", text);
        size_t size = strlen(tfr_failure_text());
        assert_in_range(size, 4092, 4095);
        assert_int_equal((size - (size_t)shift) % 3, 0);
        assert_memory_equal(tfr_failure_text(), text, size);
    }
}

static void *raise_elsewhere(void *unused) {
    tfr_raise(TFR_RUNTIME, "of another thread");
    return unused;
}

TFR_TEST(text_belongs_to_its_thread) {
    TFR_UNUSED_STATE;
    tfr_raise(TFR_MODEL, "mine");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, raise_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(tfr_failure_text(), "mine");
}

TFR_TEST(names_texts_and_exit_codes_follow_the_list) {
    TFR_UNUSED_STATE;
    assert_string_equal(tfr_status_name(TFR_OK), "OK");
    assert_string_equal(tfr_status_name(TFR_UNSUPPORTED), "UNSUPPORTED");
    assert_string_equal(tfr_status_text(TFR_CONFIG), "bad config");
    assert_int_equal(tfr_status_exit_code(TFR_OK), 0);
    assert_int_equal(tfr_status_exit_code(TFR_UNSUPPORTED), 4);
    assert_int_equal(tfr_status_exit_code(TFR_CANCELLED), 130);
    assert_string_equal(tfr_status_name(TFR_STATUS_COUNT), "UNKNOWN");
    assert_int_equal(tfr_status_exit_code(TFR_STATUS_COUNT), 1);
}

TFR_TEST(nearest_name_counts_edits_and_swaps) {
    TFR_UNUSED_STATE;
    static const char *const names[] = {"threads", "dtype", "top_p", "top_k", "temperature"};
    size_t n = TFR_COUNT_OF(names);
    assert_string_equal(tfr_nearest_name("thread", names, n), "threads");
    assert_string_equal(tfr_nearest_name("dtpye", names, n), "dtype");
    assert_string_equal(tfr_nearest_name("temprature", names, n), "temperature");
    assert_string_equal(tfr_nearest_name("top_p", names, n), "top_p");
    assert_string_equal(tfr_nearest_name("top_x", names, n), "top_p");
}

TFR_TEST(nearest_name_knows_the_last_words_of_a_name) {
    TFR_UNUSED_STATE;
    static const char *const names[] = {"num-beams", "cache-load"};
    assert_string_equal(tfr_nearest_name("beams", names, 2), "num-beams");
    assert_string_equal(tfr_nearest_name("load", names, 2), "cache-load");
    assert_null(tfr_nearest_name("eams", names, 2));
}

TFR_TEST(defuse_takes_what_turns_text_and_leaves_the_rest) {
    TFR_UNUSED_STATE;
    char text[] = "a\xE2\x80\xAE"
                  "b\xE2\x81\xA6"
                  "c\x1B\xE2\x80\xA6\xE2";
    tfr_defuse(text);
    assert_string_equal(text, "a\xEF\xBF\xBD"
                              "b\xEF\xBF\xBD"
                              "c?\xE2\x80\xA6\xE2");
}

TFR_TEST(defuse_leaves_no_control_character_of_8_bits) {
    TFR_UNUSED_STATE;
    char text[] = "a\xC2\x9B"
                  "b\x9B"
                  "c\xE2\x9B"
                  "d\xE9\t\xF0\x9F\x98\x80\xC3\x9F\x7F";
    assert_false(tfr_is_plain("a\x9B") || tfr_is_plain("a\tb") || tfr_is_plain("\xC2\x9B"));
    assert_true(tfr_is_plain("\xF0\x9F\x98\x80\xC3\x9F"));
    tfr_defuse(text);
    assert_string_equal(text, "a\xC2\xA0"
                              "b?c\xE2?d\xE9\t\xF0\x9F\x98\x80\xC3\x9F?");
}

TFR_TEST(nearest_name_refuses_what_is_too_far) {
    TFR_UNUSED_STATE;
    static const char *const names[] = {"threads", "dtype"};
    char long_word[200];
    memset(long_word, 'x', sizeof(long_word));
    long_word[199] = '\0';
    assert_null(tfr_nearest_name("banana", names, 2));
    assert_null(tfr_nearest_name("dt", names, 2));
    assert_null(tfr_nearest_name("", names, 2));
    assert_null(tfr_nearest_name(long_word, names, 2));
    assert_null(tfr_nearest_name("threads", names, 0));
}

/* What tfr_log writes to stderr meanwhile. */
static void capture(char *text, size_t size, void (*speak)(void)) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    speak();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = read(ends[0], text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    close(ends[0]);
}

static void speak_each_level(void) {
    tfr_log(TFR_LOG_ERROR, "app", "first\nsecond");
    tfr_log(TFR_LOG_WARN, "plan", "careful %d", 1);
    tfr_log(TFR_LOG_INFO, "topo", "two\x1b[31m cores");
    tfr_log(TFR_LOG_DEBUG, "topo", "not shown");
}

static void speak_long(void) {
    char text[20000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    tfr_log(TFR_LOG_ERROR, "app", "%s", text);
}

TFR_TEST(log_heads_each_line_by_level) {
    TFR_UNUSED_STATE;
    char text[512];
    capture(text, sizeof(text), speak_each_level);
    assert_string_equal(text, "tfrun: first\ntfrun: second\ntfrun: warning: careful 1\ntfrun [topo]: two?[31m cores\n");
}

TFR_TEST(log_none_silences_everything) {
    TFR_UNUSED_STATE;
    char text[512];
    tfr_log_set_level(TFR_LOG_NONE);
    capture(text, sizeof(text), speak_each_level);
    tfr_log_set_level(TFR_LOG_INFO);
    assert_string_equal(text, "");
}

TFR_TEST(log_cuts_a_line_that_is_too_long) {
    TFR_UNUSED_STATE;
    char text[30000];
    capture(text, sizeof(text), speak_long);
    size_t size = strlen(text);
    assert_in_range(size, 8000, 8300);
    assert_int_equal(text[size - 1], '\n');
}

static void count_call(void *user, enum tfr_log_level level, const char *area, const char *text) {
    int *calls = user;
    ++*calls;
    assert_int_equal(level, TFR_LOG_WARN);
    assert_string_equal(area, "plan");
    assert_string_equal(text, "n = 5");
}

TFR_TEST(log_callback_replaces_stderr) {
    TFR_UNUSED_STATE;
    int calls = 0;
    tfr_log_set_callback(count_call, &calls);
    tfr_log(TFR_LOG_WARN, "plan", "n = %d", 5);
    tfr_log(TFR_LOG_TRACE, "plan", "below the level");
    tfr_log_set_callback(NULL, NULL);
    assert_int_equal(calls, 1);
}

TFR_TEST_MAIN(TFR_CASE(raise_keeps_text_and_returns_status), TFR_CASE(raise_accepts_the_stored_text_as_argument),
              TFR_CASE(prefix_stands_before_the_text), TFR_CASE(long_text_is_cut_between_characters),
              TFR_CASE(text_belongs_to_its_thread), TFR_CASE(names_texts_and_exit_codes_follow_the_list),
              TFR_CASE(nearest_name_counts_edits_and_swaps), TFR_CASE(nearest_name_refuses_what_is_too_far),
              TFR_CASE(nearest_name_knows_the_last_words_of_a_name), TFR_CASE(defuse_takes_what_turns_text_and_leaves_the_rest),
              TFR_CASE(defuse_leaves_no_control_character_of_8_bits), TFR_CASE(log_heads_each_line_by_level),
              TFR_CASE(log_none_silences_everything), TFR_CASE(log_cuts_a_line_that_is_too_long),
              TFR_CASE(log_callback_replaces_stderr))

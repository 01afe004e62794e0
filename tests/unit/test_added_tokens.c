/* test_added_tokens.c - added tokens in a text: the leftmost, the longest there, by an independent search;
 * and the work that any tokens and texts cost, counted. */
#include "base/arena.h"
#include "base/rng.h"
#include "base/status.h"
#include "model/added_tokens.h"
#include "tfr_test.h"

enum { MAX_TOKENS = 40 };

static uint32_t next_random(void) {
    static uint64_t counter;
    return tfr_philox(5, 0, counter++).word[0];
}

/* The longest token at `at` by trying all. */
static int naive_at(const char *const *tokens, size_t n, const char *text, size_t size, size_t at) {
    int best = -1;
    for (size_t i = 0; i < n; i++) {
        const size_t length = strlen(tokens[i]);
        const bool fits = length <= size - at && memcmp(text + at, tokens[i], length) == 0;
        best = fits && (best < 0 || length > strlen(tokens[best])) ? (int)i : best;
    }
    return best;
}

static struct tfr_added_set open_set(const char *const *tokens, size_t n) {
    struct tfr_added_set set = {0};
    for (size_t i = 0; i < n; i++) {
        assert_ok(tfr_added_put(&set, tokens[i], strlen(tokens[i]), (int32_t)i, 0));
    }
    assert_ok(tfr_added_finish(&set));
    return set;
}

/* All matches of a text are those of trying all tokens everywhere; gives the steps. */
static uint64_t check_text(const struct tfr_added_set *set, const char *const *tokens, size_t n, const char *text, size_t size) {
    struct tfr_added_scan scan = tfr_added_scan_of(set, 0, (const uint8_t *)text, size);
    size_t from = 0;
    for (;;) {
        const struct tfr_added_token *found;
        size_t at = 0, expected = from;
        assert_ok(tfr_added_next(&scan, from, &at, &found));
        while (expected < size && naive_at(tokens, n, text, size, expected) < 0) {
            expected++;
        }
        if (found == NULL) {
            assert_int_equal(expected, size);
            break;
        }
        assert_int_equal(at, expected);
        assert_int_equal(found->id, naive_at(tokens, n, text, size, at));
        from = at + found->size;
    }
    tfr_added_scan_close(&scan);
    return scan.steps;
}

/* Words of two letters, so that they hold each other in every way; some longer than what is tried place by
 * place. */
TFR_TEST(random_tokens_are_found_as_by_trying_all) {
    TFR_UNUSED_STATE;
    for (int round = 0; round < 200; round++) {
        char words[MAX_TOKENS][100], text[600];
        const char *tokens[MAX_TOKENS];
        size_t n = 0;
        for (int i = 0; i < MAX_TOKENS; i++) {
            const size_t length = 1 + next_random() % (i % 4 == 0 && round % 2 == 0 ? 90 : 6);
            for (size_t j = 0; j < length; j++) {
                words[n][j] = (char)('a' + (length > 6 && j > 2 ? 0 : next_random() % 2));
            }
            words[n][length] = '\0';
            bool known = false;
            for (size_t j = 0; j < n; j++) {
                known |= strcmp(words[j], words[n]) == 0;
            }
            tokens[n] = words[n];
            n += !known && n < (size_t)(1 + round % MAX_TOKENS);
        }
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = (char)('a' + (next_random() % 3 == 0) + (next_random() % 90 == 0));
        }
        struct tfr_added_set set = open_set(tokens, n);
        check_text(&set, tokens, n, text, sizeof text);
        check_text(&set, tokens, n, text, 0);
        tfr_added_close(&set);
    }
}

static uint64_t steps_of(const struct tfr_added_set *set, const char *text, size_t size) {
    struct tfr_added_scan scan = tfr_added_scan_of(set, 0, (const uint8_t *)text, size);
    const struct tfr_added_token *found;
    size_t at;
    for (size_t from = 0;; from = at + found->size) {
        assert_ok(tfr_added_next(&scan, from, &at, &found));
        if (found == NULL) {
            break;
        }
    }
    tfr_added_scan_close(&scan);
    return scan.steps;
}

/* aaa...ab in aaa...a: each place goes on for the whole token, and never ends in a match. */
TFR_TEST(the_work_is_linear_whatever_the_tokens_are) {
    TFR_UNUSED_STATE;
    enum { TEXT = 300000 };
    char *text = tfr_alloc(TEXT, 1);
    assert_non_null(text);
    memset(text, 'a', TEXT);
    static const size_t lengths[] = {10, 63, 64, 65, 1000, 10000, 100000, 299999};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *token = tfr_alloc(lengths[i] + 1, 1);
        assert_non_null(token);
        memset(token, 'a', lengths[i]);
        token[lengths[i] - 1] = 'b';
        for (int with_short = 0; with_short < 2; with_short++) {
            const char *tokens[] = {token, "aa"};
            struct tfr_added_set set = open_set(tokens, 1 + (size_t)with_short);
            const uint64_t steps = steps_of(&set, text, TEXT);
            if (steps > 130 * (uint64_t)TEXT) {
                fail_msg("a token of %zu bytes: %.1f steps a byte", lengths[i], (double)steps / TEXT);
            }
            tfr_added_close(&set);
        }
        tfr_free(token);
    }
    tfr_free(text);
}

TFR_TEST(lack_of_memory_is_reported) {
    TFR_UNUSED_STATE;
    char token[201];
    memset(token, 'x', 200);
    token[200] = '\0';
    enum tfr_status status = TFR_RESOURCE;
    for (uint64_t n = 1; status != TFR_OK && n < 100; n++) {
        struct tfr_added_set set = {0};
        tfr_alloc_fail_after(n);
        status = tfr_added_put(&set, token, 200, 0, 0);
        status = status == TFR_OK ? tfr_added_finish(&set) : status;
        struct tfr_added_scan scan = tfr_added_scan_of(&set, 0, (const uint8_t *)token, 200);
        const struct tfr_added_token *found;
        size_t at;
        status = status == TFR_OK ? tfr_added_next(&scan, 0, &at, &found) : status;
        tfr_alloc_fail_after(0);
        assert_true(status == TFR_OK || status == TFR_RESOURCE);
        tfr_added_scan_close(&scan);
        tfr_added_close(&set);
    }
    assert_int_equal(status, TFR_OK);
}

TFR_TEST_MAIN(TFR_CASE(random_tokens_are_found_as_by_trying_all), TFR_CASE(the_work_is_linear_whatever_the_tokens_are),
              TFR_CASE(lack_of_memory_is_reported))

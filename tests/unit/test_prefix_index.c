/* test_prefix_index.c - beginnings that are found, that are not, and who goes first. */
#include "tfr_test.h"

#include "base/status.h"
#include "serve/prefix_index.h"

enum { BLOCK = 4, MOST = 64 };

static struct tfr_prefix_entry *add(struct tfr_prefix_index *index, const char *space, const int32_t *ids, int64_t n,
                                    uint64_t user) {
    const struct tfr_prefix_key key = {.space = space, .ids = ids, .n = n};
    struct tfr_prefix_entry *entry;
    assert_ok(tfr_prefix_add(index, &key, &entry));
    entry->ready = user == 0 ? entry->key.n : 0;
    entry->user = user;
    return entry;
}

static const int32_t counting[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};

TFR_TEST(whole_blocks_are_found) {
    TFR_UNUSED_STATE;
    struct tfr_prefix_index index = {.block = BLOCK};
    struct tfr_prefix_entry *entry = add(&index, "a", counting, 11, 0);
    static const int64_t found[] = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8};
    assert_int_equal(entry->key.n, 8);
    for (int64_t n = 0; n <= 14; n++) {
        const struct tfr_prefix_key key = {.space = "a", .ids = counting, .n = n};
        const struct tfr_prefix_match match = tfr_prefix_find(&index, &key);
        assert_int_equal(match.n, found[n]);
        assert_ptr_equal(match.entry, found[n] > 0 ? entry : NULL);
    }
    tfr_prefix_index_close(&index);
}

TFR_TEST(one_token_or_another_space_is_another_beginning) {
    TFR_UNUSED_STATE;
    struct tfr_prefix_index index = {.block = BLOCK};
    add(&index, "a", counting, 12, 0);
    for (int64_t at = 0; at < 12; at++) {
        int32_t ids[12];
        memcpy(ids, counting, sizeof ids);
        ids[at]++;
        const struct tfr_prefix_key key = {.space = "a", .ids = ids, .n = 12};
        assert_int_equal(tfr_prefix_find(&index, &key).n, at / BLOCK * BLOCK);
    }
    static const char *const spaces[] = {"", "b", "aa", "A"};
    for (size_t i = 0; i < 4; i++) {
        const struct tfr_prefix_key key = {.space = spaces[i], .ids = counting, .n = 12};
        assert_int_equal(tfr_prefix_find(&index, &key).n, 0);
        assert_null(tfr_prefix_covered(&index, &key));
    }
    tfr_prefix_index_close(&index);
}

TFR_TEST(of_several_the_longest_that_is_ready) {
    TFR_UNUSED_STATE;
    struct tfr_prefix_index index = {.block = BLOCK};
    struct tfr_prefix_entry *running = add(&index, "", counting, 14, 7), *idle = add(&index, "", counting, 8, 0);
    const struct tfr_prefix_key key = {.space = "", .ids = counting, .n = 14};
    assert_ptr_equal(tfr_prefix_find(&index, &key).entry, idle);
    running->ready = 9; /* no more whole blocks than the idle one, but more behind them */
    assert_ptr_equal(tfr_prefix_find(&index, &key).entry, idle);
    running->ready = 12;
    assert_ptr_equal(tfr_prefix_find(&index, &key).entry, running);
    assert_int_equal(tfr_prefix_find(&index, &key).n, 12);
    assert_int_equal(tfr_prefix_coming(&index, &key, 8).n, 12);
    assert_int_equal(tfr_prefix_coming(&index, &key, 7).n, 0); /* nobody waits for those behind */
    tfr_prefix_index_close(&index);
}

TFR_TEST(an_entry_is_covered_by_what_begins_with_all_of_it) {
    TFR_UNUSED_STATE;
    struct tfr_prefix_index index = {.block = BLOCK};
    struct tfr_prefix_entry *entry = add(&index, "", counting, 8, 0);
    add(&index, "", counting, 4, 3); /* one in use never is */
    const struct tfr_prefix_key longer = {.space = "", .ids = counting, .n = 12}, equal = {.space = "", .ids = counting, .n = 9},
                                shorter = {.space = "", .ids = counting, .n = 7};
    assert_ptr_equal(tfr_prefix_covered(&index, &longer), entry);
    assert_ptr_equal(tfr_prefix_covered(&index, &equal), entry);
    assert_null(tfr_prefix_covered(&index, &shorter));
    tfr_prefix_index_close(&index);
}

TFR_TEST(log_probabilities_are_found_where_there_are_as_many) {
    TFR_UNUSED_STATE;
    struct tfr_prefix_index index = {.block = BLOCK};
    struct tfr_prefix_entry *plain = add(&index, "", counting, 12, 0), *scored = add(&index, "", counting, 12, 0);
    scored->key.logprobs = 3;
    scored->scored = 9;
    struct tfr_prefix_key key = {.space = "", .ids = counting, .n = 12, .logprobs = 3};
    assert_ptr_equal(tfr_prefix_find(&index, &key).entry, scored);
    assert_int_equal(tfr_prefix_find(&index, &key).n, 8);
    assert_ptr_equal(tfr_prefix_covered(&index, &key), scored);
    key.logprobs = 4;
    assert_int_equal(tfr_prefix_find(&index, &key).n, 0);
    key.logprobs = 0;
    assert_int_equal(tfr_prefix_find(&index, &key).n, 12);
    assert_ptr_equal(tfr_prefix_covered(&index, &key), plain); /* the other says more */
    scored->user = plain->user = 1;
    key.logprobs = 2;
    assert_ptr_equal(tfr_prefix_coming(&index, &key, 2).entry, scored);
    assert_int_equal(tfr_prefix_coming(&index, &key, 2).n, 12);
    tfr_prefix_index_close(&index);
}

TFR_TEST(the_one_not_asked_for_longest_is_the_oldest) {
    TFR_UNUSED_STATE;
    struct tfr_prefix_index index = {.block = BLOCK};
    struct tfr_prefix_entry *entries[4];
    assert_null(tfr_prefix_oldest(&index));
    for (size_t i = 0; i < 4; i++) {
        entries[i] = add(&index, "", counting + i, 8, i == 1);
    }
    tfr_prefix_touch(&index, entries[0]);
    assert_ptr_equal(tfr_prefix_oldest(&index), entries[2]); /* 1 is in use */
    tfr_prefix_remove(&index, entries[2]);
    assert_ptr_equal(tfr_prefix_oldest(&index), entries[3]);
    tfr_prefix_remove(&index, entries[3]);
    assert_ptr_equal(tfr_prefix_oldest(&index), entries[0]);
    tfr_prefix_index_close(&index);
    assert_null(index.oldest);
    assert_null(index.newest);
}

/* Against the definition, by random steps over few tokens, so that many begin alike. */
TFR_TEST(random_entries_are_found_as_defined) {
    TFR_UNUSED_STATE;
    struct tfr_prefix_index index = {.block = BLOCK};
    struct tfr_prefix_entry *entries[MOST] = {0};
    uint32_t state = 1;
    for (int step = 0; step < 5000; step++) {
        int32_t ids[24];
        for (size_t i = 0; i < 24; i++) {
            state = state * 1664525u + 1013904223u;
            ids[i] = state >> 24 < 20; /* mostly 0 */
        }
        const int64_t n = state >> 8 & 15, at = state >> 16 & (MOST - 1);
        const struct tfr_prefix_key key = {.space = state & 1 ? "x" : "y", .ids = ids, .n = n + 8};
        int64_t want = 0;
        for (size_t e = 0; e < MOST; e++) {
            int64_t alike = 0;
            while (entries[e] != NULL && strcmp(entries[e]->key.space, key.space) == 0 && alike < key.n &&
                   alike < entries[e]->key.n && entries[e]->key.ids[alike] == ids[alike]) {
                alike++;
            }
            want = alike / BLOCK * BLOCK > want ? alike / BLOCK * BLOCK : want;
        }
        assert_int_equal(tfr_prefix_find(&index, &key).n, want);
        if (entries[at] != NULL) {
            tfr_prefix_remove(&index, entries[at]);
        }
        entries[at] = add(&index, key.space, ids, key.n, 0);
    }
    tfr_prefix_index_close(&index);
}

TFR_TEST_MAIN(TFR_CASE(whole_blocks_are_found), TFR_CASE(one_token_or_another_space_is_another_beginning),
              TFR_CASE(of_several_the_longest_that_is_ready), TFR_CASE(an_entry_is_covered_by_what_begins_with_all_of_it),
              TFR_CASE(log_probabilities_are_found_where_there_are_as_many), TFR_CASE(the_one_not_asked_for_longest_is_the_oldest),
              TFR_CASE(random_entries_are_found_as_defined))

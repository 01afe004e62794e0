/* test_bpe.c - merge order, and the heap against a plain loop on random merges. */
#include "model/bpe.h"

#include "base/status.h"
#include "tfr_test.h"

static void open_bytes(struct tfr_bpe *bpe, size_t n_merges) {
    assert_ok(tfr_bpe_open(bpe, n_merges));
    for (int byte = 0; byte < 256; byte++) {
        bpe->byte_id[byte] = byte;
    }
}

static void check_ids(const struct tfr_bpe *bpe, const char *piece, const int32_t *expected, size_t n) {
    struct tfr_bpe_scratch scratch = {0};
    struct tfr_ids ids = {0};
    assert_ok(tfr_bpe_encode(bpe, &scratch, (const uint8_t *)piece, strlen(piece), &ids));
    assert_int_equal(ids.n, n);
    assert_memory_equal(ids.data, expected, n * sizeof(*expected));
    tfr_ids_free(&ids);
    tfr_bpe_scratch_free(&scratch);
}
#define CHECK_IDS(bpe, piece, ...)                                                                                                 \
    check_ids(bpe, piece, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

TFR_TEST(lowest_rank_merges_first) {
    TFR_UNUSED_STATE;
    struct tfr_bpe bpe;
    open_bytes(&bpe, 2);
    tfr_bpe_add(&bpe, 'b', 'c', 300);
    tfr_bpe_add(&bpe, 'a', 'b', 301);
    CHECK_IDS(&bpe, "abc", 'a', 300);
    CHECK_IDS(&bpe, "ab", 301);
    CHECK_IDS(&bpe, "a", 'a');
    CHECK_IDS(&bpe, "xyz", 'x', 'y', 'z');
    tfr_bpe_close(&bpe);
}

TFR_TEST(leftmost_of_equal_ranks_merges_first) {
    TFR_UNUSED_STATE;
    struct tfr_bpe bpe;
    open_bytes(&bpe, 2);
    tfr_bpe_add(&bpe, 'a', 'a', 300);
    tfr_bpe_add(&bpe, 300, 300, 301);
    CHECK_IDS(&bpe, "aaa", 300, 'a');
    CHECK_IDS(&bpe, "aaaa", 301);
    CHECK_IDS(&bpe, "aaaaa", 301, 'a');
    tfr_bpe_close(&bpe);
}

TFR_TEST(a_new_pair_of_lower_rank_overtakes) {
    TFR_UNUSED_STATE;
    struct tfr_bpe bpe;
    open_bytes(&bpe, 2);
    tfr_bpe_add(&bpe, 300, 'a', 301); /* rank 0, possible only after rank 1 made 300 */
    tfr_bpe_add(&bpe, 'a', 'b', 300);
    CHECK_IDS(&bpe, "abab", 301, 'b');
    tfr_bpe_close(&bpe);
}

TFR_TEST(a_pair_given_twice_keeps_its_last_rank) {
    TFR_UNUSED_STATE;
    struct tfr_bpe bpe;
    open_bytes(&bpe, 3);
    tfr_bpe_add(&bpe, 'a', 'b', 300);
    tfr_bpe_add(&bpe, 'b', 'c', 301);
    tfr_bpe_add(&bpe, 'a', 'b', 300);
    CHECK_IDS(&bpe, "abc", 'a', 301);
    tfr_bpe_close(&bpe);
}

TFR_TEST(no_merges_at_all) {
    TFR_UNUSED_STATE;
    struct tfr_bpe bpe;
    open_bytes(&bpe, 0);
    CHECK_IDS(&bpe, "ab", 'a', 'b');
    tfr_bpe_close(&bpe);
}

TFR_TEST(too_many_merges_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_bpe bpe;
    assert_refused(tfr_bpe_open(&bpe, (size_t)1 << 23), TFR_MODEL, "merges");
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

struct rule {
    int32_t left, right;
};

/* The definition, word for word: best rule, leftmost place, one merge at a time. Rule r makes id 256 + r. */
static size_t merge_plainly(const struct rule *rule, size_t n_rules, int32_t *id, size_t n) {
    for (;;) {
        size_t best = n_rules, place = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            for (size_t r = 0; r < best; r++) {
                if (rule[r].left == id[i] && rule[r].right == id[i + 1]) {
                    best = r;
                    place = i;
                }
            }
        }
        if (best == n_rules) {
            return n;
        }
        id[place] = 256 + (int32_t)best;
        memmove(id + place + 1, id + place + 2, (n - place - 2) * sizeof(*id));
        n--;
    }
}

/* Random rules over four letters, each of two tokens that exist already, no pair twice. */
static size_t random_rules(struct rule *rule, size_t n, uint32_t *state) {
    size_t made = 0;
    for (size_t tries = 0; made < n && tries < 10 * n; tries++) {
        const struct rule new_rule = {.left = next_random(state) % 2 || made == 0 ? 'a' + (int32_t)(next_random(state) % 4)
                                                                                  : 256 + (int32_t)(next_random(state) % made),
                                      .right = next_random(state) % 2 || made == 0 ? 'a' + (int32_t)(next_random(state) % 4)
                                                                                   : 256 + (int32_t)(next_random(state) % made)};
        bool known = false;
        for (size_t r = 0; r < made; r++) {
            known = known || (rule[r].left == new_rule.left && rule[r].right == new_rule.right);
        }
        if (!known) {
            rule[made++] = new_rule;
        }
    }
    return made;
}

static void check_random_piece(const struct tfr_bpe *bpe, const struct rule *rule, size_t n_rules, uint32_t *state) {
    char piece[201] = {0};
    int32_t expected[200];
    const size_t size = 1 + next_random(state) % 200;
    for (size_t i = 0; i < size; i++) {
        piece[i] = (char)('a' + next_random(state) % 4);
        expected[i] = piece[i];
    }
    const size_t n = merge_plainly(rule, n_rules, expected, size);
    check_ids(bpe, piece, expected, n);
}

TFR_TEST(short_and_long_pieces_follow_the_plain_definition) {
    TFR_UNUSED_STATE;
    uint32_t state = 7;
    for (int round = 0; round < 60; round++) {
        struct rule rule[40];
        const size_t n_rules = random_rules(rule, 40, &state);
        struct tfr_bpe bpe;
        open_bytes(&bpe, n_rules);
        for (size_t r = 0; r < n_rules; r++) {
            tfr_bpe_add(&bpe, rule[r].left, rule[r].right, 256 + (int32_t)r);
        }
        for (int i = 0; i < 30; i++) {
            check_random_piece(&bpe, rule, n_rules, &state);
        }
        tfr_bpe_close(&bpe);
    }
}

TFR_TEST_MAIN(TFR_CASE(lowest_rank_merges_first), TFR_CASE(leftmost_of_equal_ranks_merges_first),
              TFR_CASE(a_new_pair_of_lower_rank_overtakes), TFR_CASE(a_pair_given_twice_keeps_its_last_rank),
              TFR_CASE(no_merges_at_all), TFR_CASE(too_many_merges_are_refused),
              TFR_CASE(short_and_long_pieces_follow_the_plain_definition))

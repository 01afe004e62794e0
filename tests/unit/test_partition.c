/* test_partition.c - known best splits, brute force on small cases, Hugging Face's rule. */
#include "mpi/partition.h"

#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "base/status.h"
#include "tfr_test.h"

enum { MAX_BLOCKS = 64, MAX_RANKS = 9 };

/* "3,9" for the numbers of blocks per rank. */
static const char *counts_text(const int *owner, int64_t n_blocks, int n_ranks) {
    static char text[256];
    size_t used = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        int n = 0;
        for (int64_t i = 0; i < n_blocks; i++) {
            n += owner[i] == rank;
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d", rank > 0 ? "," : "", n);
    }
    return text;
}

static const char *split(int64_t n_blocks, double head, double last, int n_ranks) {
    double cost[MAX_BLOCKS];
    int owner[MAX_BLOCKS];
    for (int64_t i = 0; i < n_blocks; i++) {
        cost[i] = 1;
    }
    assert_ok(tfr_partition_balanced(cost, n_blocks, head, last, n_ranks, owner));
    return counts_text(owner, n_blocks, n_ranks);
}

/* Costs in blocks; the head of GPT-2 small is worth 5.45 blocks, and so on. */
TFR_TEST(known_splits_of_the_gpt2_family) {
    TFR_UNUSED_STATE;
    assert_string_equal(split(12, 5.45, 0, 1), "12");
    assert_string_equal(split(12, 5.45, 0, 2), "3,9");
    assert_string_equal(split(12, 5.45, 0, 4), "0,4,4,4");
    assert_string_equal(split(12, 5.45, 0, 8), "0,2,2,2,2,2,1,1");
    assert_string_equal(split(24, 4.09, 0, 4), "3,7,7,7");
    assert_string_equal(split(24, 4.09, 0, 8), "0,4,4,4,3,3,3,3");
    assert_string_equal(split(36, 3.27, 0, 4), "6,10,10,10");
    assert_string_equal(split(48, 2.62, 0, 4), "10,13,13,12");
    assert_string_equal(split(48, 2.62, 0, 8), "4,7,7,6,6,6,6,6");
}

TFR_TEST(more_ranks_than_blocks_leaves_the_last_ones_empty) {
    TFR_UNUSED_STATE;
    assert_string_equal(split(2, 0, 0, 4), "1,1,0,0");
    assert_string_equal(split(2, 5, 0, 4), "0,1,1,0");
    assert_string_equal(split(1, 0, 0, 3), "1,0,0");
}

TFR_TEST(last_cost_goes_to_the_last_rank_with_blocks) {
    TFR_UNUSED_STATE;
    assert_string_equal(split(6, 0, 2, 2), "4,2");
    assert_string_equal(split(4, 10, 3, 3), "0,3,1"); /* 3 and 1 + 3: more even than 2 and 2 + 3 */
}

TFR_TEST(no_blocks_at_all) {
    TFR_UNUSED_STATE;
    int owner[1] = {7};
    assert_ok(tfr_partition_balanced(NULL, 0, 1, 1, 3, owner));
    assert_int_equal(owner[0], 7);
}

/* All splits of blocks begin.. over ranks rank.. */
static void try_all(const double *cost, int n_blocks, double first, double last, int n_ranks, int rank, int begin, int *owner,
                    double *best) {
    if (begin == n_blocks) {
        *best = fmin(*best, tfr_partition_bottleneck(cost, n_blocks, first, last, n_ranks, owner));
        return;
    }
    for (int r = rank; r < n_ranks; r++) {
        owner[begin] = r;
        try_all(cost, n_blocks, first, last, n_ranks, r, begin + 1, owner, best);
    }
}

TFR_TEST(equals_brute_force_on_random_small_cases) {
    TFR_UNUSED_STATE;
    for (uint64_t trial = 0; trial < 400; trial++) {
        const int n_blocks = 1 + (int)(tfr_philox_uniform(7, trial, 0) * 8);
        const int n_ranks = 1 + (int)(tfr_philox_uniform(7, trial, 1) * 5);
        const double first = tfr_philox_uniform(7, trial, 2) * 6, last = tfr_philox_uniform(7, trial, 3) * 2;
        double cost[MAX_BLOCKS];
        int owner[MAX_BLOCKS], scratch[MAX_BLOCKS];
        for (int i = 0; i < n_blocks; i++) {
            cost[i] = 0.1 + tfr_philox_uniform(7, trial, 10 + (uint64_t)i) * 3;
        }
        double best = INFINITY;
        try_all(cost, n_blocks, first, last, n_ranks, 0, 0, scratch, &best);
        assert_ok(tfr_partition_balanced(cost, n_blocks, first, last, n_ranks, owner));
        for (int i = 0; i < n_blocks; i++) {
            assert_true(owner[i] >= (i > 0 ? owner[i - 1] : 0) && owner[i] < n_ranks);
        }
        const double got = tfr_partition_bottleneck(cost, n_blocks, first, last, n_ranks, owner);
        assert_true(got <= best * (1 + 1e-8));
    }
}

static const char *split_hf(int64_t n_blocks, int n_ranks) {
    int owner[MAX_BLOCKS];
    tfr_partition_hf(n_blocks, n_ranks, owner);
    return counts_text(owner, n_blocks, n_ranks);
}

TFR_TEST(hugging_face_rule) {
    TFR_UNUSED_STATE;
    assert_string_equal(split_hf(12, 5), "3,3,3,3,0");
    assert_string_equal(split_hf(13, 4), "4,4,4,1");
    assert_string_equal(split_hf(12, 4), "3,3,3,3");
    assert_string_equal(split_hf(12, 8), "2,2,2,2,2,2,0,0");
    assert_string_equal(split_hf(2, 4), "1,1,0,0");
}

TFR_TEST(bottleneck_counts_first_and_last_costs) {
    TFR_UNUSED_STATE;
    const double cost[] = {1, 2, 3};
    const int owner[] = {0, 1, 1};
    assert_true(tfr_partition_bottleneck(cost, 3, 10, 0, 3, owner) == 11);
    assert_true(tfr_partition_bottleneck(cost, 3, 0, 4, 3, owner) == 9);
}

TFR_TEST_MAIN(TFR_CASE(known_splits_of_the_gpt2_family), TFR_CASE(more_ranks_than_blocks_leaves_the_last_ones_empty),
              TFR_CASE(last_cost_goes_to_the_last_rank_with_blocks), TFR_CASE(no_blocks_at_all),
              TFR_CASE(equals_brute_force_on_random_small_cases), TFR_CASE(hugging_face_rule),
              TFR_CASE(bottleneck_counts_first_and_last_costs))

/* test_placement.c - ranks as replicas, stages and shares: numbers there and back, who owns, who has work. */
#include "graph/placement.h"

#include "tfr_test.h"

#include "base/status.h"
#include "tfr_gpt2.h"

TFR_TEST(rank_is_a_number_of_three_digits) {
    TFR_UNUSED_STATE;
    const struct tfr_placement placement = {.n_ranks = 25, .replicas = 2, .stages = 3, .tensor = 4};
    int expected = 0;
    for (int replica = 0; replica < 2; replica++) {
        for (int stage = 0; stage < 3; stage++) {
            for (int shard = 0; shard < 4; shard++) {
                const int rank = tfr_placement_rank(&placement, replica, stage, shard);
                assert_int_equal(rank, expected++);
                assert_int_equal(tfr_placement_replica_of(&placement, rank), replica);
                assert_int_equal(tfr_placement_stage_of(&placement, rank), stage);
                assert_int_equal(tfr_placement_shard_of(&placement, rank), shard);
            }
        }
    }
    assert_false(tfr_placement_has_work(&placement, 24)); /* one more than all replicas take */
}

TFR_TEST(blocks_belong_to_all_shares_of_a_stage) {
    TFR_UNUSED_STATE;
    struct tfr_placement placement = gpt2_chain((int[]){0, 0, 2, 1, 2}, 5, 8, 2);
    placement.replicas = 1, placement.stages = 4, placement.tensor = 2;
    const int counts[] = {2, 2, 1, 1, 2, 2, 0, 0};
    for (int rank = 0; rank < 8; rank++) {
        assert_int_equal(tfr_placement_count_blocks(&placement, rank), counts[rank]);
        assert_int_equal(tfr_placement_has_work(&placement, rank), counts[rank] > 0);
    }
    assert_int_equal(tfr_placement_owner(&placement, 2), 4);
    assert_int_equal(tfr_placement_last_rank(&placement), 4);
    assert_int_equal(tfr_placement_head_rank(&placement), 0);
    placement.head = TFR_PLACE_LAST;
    assert_int_equal(tfr_placement_head_rank(&placement), 4);
    placement.head = TFR_PLACE_SPLIT;
    assert_true(tfr_placement_has_work(&placement, 7)); /* a share of the vocabulary */
}

TFR_TEST(shares_of_a_vocabulary_are_whole_panels_and_all_of_it) {
    TFR_UNUSED_STATE;
    for (int64_t V = 1; V < 1500; V += 37) {
        for (int n_ranks = 1; n_ranks < 9; n_ranks++) {
            struct tfr_placement placement = gpt2_chain(NULL, 0, n_ranks, 0);
            placement.head = TFR_PLACE_SPLIT;
            int64_t next = 0, least = V, most = 0;
            for (int rank = 0; rank < n_ranks; rank++) {
                int64_t first, n;
                tfr_placement_vocabulary(&placement, rank, V, &first, &n);
                assert_int_equal(first, next);
                assert_int_equal(first % 64, 0);
                next += n;
                least = n < least ? n : least;
                most = n > most ? n : most;
            }
            assert_int_equal(next, V);
            assert_true(most - least <= 127);
        }
    }
}

TFR_TEST(alone_has_all) {
    TFR_UNUSED_STATE;
    assert_ok(tfr_placement_check(&tfr_placement_alone, 1000));
    assert_int_equal(tfr_placement_owner(&tfr_placement_alone, 999), 0);
    assert_true(tfr_placement_has_block(&tfr_placement_alone, 0, 999));
}

TFR_TEST_MAIN(TFR_CASE(rank_is_a_number_of_three_digits), TFR_CASE(blocks_belong_to_all_shares_of_a_stage),
              TFR_CASE(shares_of_a_vocabulary_are_whole_panels_and_all_of_it), TFR_CASE(alone_has_all))

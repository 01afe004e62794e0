/* test_chunks.c - rows of a step shared among prompts: nobody starves, nothing is wasted. */
#include "tfr_test.h"

#include "generation/chunks.h"

static int64_t total(const struct tfr_chunk *chunks, size_t n) {
    int64_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(chunks[i].rows >= 0 && chunks[i].rows <= chunks[i].left);
        rows += chunks[i].rows;
    }
    return rows;
}

TFR_TEST(one_prompt_has_all_the_room) {
    TFR_UNUSED_STATE;
    struct tfr_chunk one = {.left = 900};
    tfr_chunks_share(&one, 1, 512, 0);
    assert_int_equal(one.rows, 512);
    one.left = 9;
    tfr_chunks_share(&one, 1, 16, 0);
    assert_int_equal(one.rows, 9);
}

TFR_TEST(short_prompts_pass_a_long_one_which_goes_on) {
    TFR_UNUSED_STATE;
    struct tfr_chunk chunks[] = {{.left = 900}, {.left = 900}, {.left = 20}, {.left = 30}};
    tfr_chunks_share(chunks, 4, 128, 0);
    assert_int_equal(chunks[2].rows, 20);
    assert_int_equal(chunks[3].rows, 30);
    assert_true(chunks[0].rows >= 16 && chunks[1].rows >= 16);
    assert_int_equal(total(chunks, 4), 128);
}

TFR_TEST(the_oldest_always_gets_a_share) {
    TFR_UNUSED_STATE;
    struct tfr_chunk chunks[10] = {{.left = 1000}};
    for (size_t i = 1; i < 10; i++) {
        chunks[i].left = 40 + (int64_t)i;
    }
    tfr_chunks_share(chunks, 10, 64, 0);
    for (size_t i = 0; i < 10; i++) { /* four at a time: the oldest and the three shortest */
        assert_int_equal(chunks[i].rows, i < 4 ? 16 : 0);
    }
    tfr_chunks_share(chunks, 10, 16, 0);
    assert_int_equal(chunks[0].rows, 8);
    assert_int_equal(chunks[1].rows, 8);
    assert_int_equal(total(chunks, 10), 16);
    tfr_chunks_share(chunks, 10, 512, 0);
    assert_int_equal(total(chunks, 10), 512);
}

TFR_TEST(batch_prompts_have_the_rest_and_a_tenth) {
    TFR_UNUSED_STATE;
    struct tfr_chunk chunks[] = {{.left = 900, .batch = true}, {.left = 900}, {.left = 900, .batch = true}};
    tfr_chunks_share(chunks, 3, 320, 0);
    assert_int_equal(chunks[0].rows + chunks[2].rows, 32);
    assert_int_equal(chunks[1].rows, 288);
    chunks[1].left = 10;
    tfr_chunks_share(chunks, 3, 320, 0);
    assert_int_equal(chunks[1].rows, 10);
    assert_int_equal(chunks[0].rows + chunks[2].rows, 310);
    tfr_chunks_share(chunks, 1, 320, 0);
    assert_int_equal(chunks[0].rows, 320);
}

/* Steps that are at their target with the least of rows do not become longer by a second class. */
TFR_TEST(classes_take_turns_where_there_is_no_room_for_both) {
    TFR_UNUSED_STATE;
    for (int64_t room = 1; room < 32; room++) {
        int64_t batch = 0;
        for (uint64_t step = 0; step < 40; step++) {
            struct tfr_chunk chunks[] = {{.left = 900, .batch = true}, {.left = 900}};
            tfr_chunks_share(chunks, 2, room, step);
            assert_int_equal(total(chunks, 2), room);
            batch += chunks[0].rows;
        }
        assert_int_equal(batch, 4 * room); /* a tenth */
    }
    struct tfr_chunk chunks[] = {{.left = 900, .batch = true}, {.left = 9}};
    tfr_chunks_share(chunks, 2, 16, 0);
    assert_int_equal(chunks[1].rows, 9);
    assert_int_equal(chunks[0].rows, 7); /* what the others leave, at any time */
}

TFR_TEST(what_is_not_cut_goes_whole_or_waits) {
    TFR_UNUSED_STATE;
    struct tfr_chunk chunks[] = {{.left = 100, .whole = true}, {.left = 100, .whole = true}, {.left = 100}};
    tfr_chunks_share(chunks, 3, 64, 0);
    assert_int_equal(chunks[0].rows, 100); /* the oldest in any case */
    assert_int_equal(chunks[1].rows, 0);
    assert_int_equal(chunks[2].rows, 0);
    tfr_chunks_share(chunks, 3, 300, 0);
    assert_int_equal(total(chunks, 3), 300);
}

TFR_TEST(any_load_ends) {
    TFR_UNUSED_STATE;
    struct tfr_chunk chunks[24];
    int64_t left = 0;
    for (size_t i = 0; i < 24; i++) {
        chunks[i] = (struct tfr_chunk){.left = 1 + (int64_t)(i * 397 % 900), .batch = i % 3 == 0};
        left += chunks[i].left;
    }
    for (int steps = 0; left > 0; steps++) {
        const int64_t room = steps % 7 == 6 ? 4 : 16 + steps % 7 * 40;
        assert_true(steps < 2000);
        tfr_chunks_share(chunks, 24, room, (uint64_t)steps);
        const int64_t rows = total(chunks, 24);
        assert_true(rows > 0 && rows <= room);
        for (size_t i = 0; i < 24; i++) {
            chunks[i].left -= chunks[i].rows;
        }
        left -= rows;
    }
}

TFR_TEST_MAIN(TFR_CASE(one_prompt_has_all_the_room), TFR_CASE(short_prompts_pass_a_long_one_which_goes_on),
              TFR_CASE(the_oldest_always_gets_a_share), TFR_CASE(batch_prompts_have_the_rest_and_a_tenth),
              TFR_CASE(classes_take_turns_where_there_is_no_room_for_both), TFR_CASE(what_is_not_cut_goes_whole_or_waits),
              TFR_CASE(any_load_ends))

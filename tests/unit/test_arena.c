/* test_arena.c - small objects, fault injection, blocks and the bump allocator. */
#include "tfr_test.h"

#include "base/arena.h"
#include "base/status.h"

static const size_t huge_page = (size_t)2 << 20;

TFR_TEST(alloc_is_zeroed_and_never_null_for_zero) {
    TFR_UNUSED_STATE;
    uint8_t *memory = tfr_alloc(1000, 3);
    assert_non_null(memory);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(memory[i], 0);
    }
    tfr_free(memory);
    void *empty = tfr_alloc(0, 8);
    assert_non_null(empty);
    tfr_free(empty);
    tfr_free(NULL);
}

TFR_TEST(alloc_refuses_overflow_and_says_the_size) {
    TFR_UNUSED_STATE;
    assert_null(tfr_alloc(SIZE_MAX / 2, 3));
    assert_non_null(strstr(tfr_failure_text(), "x 3 bytes"));
    void *old = tfr_alloc(4, 1);
    assert_null(tfr_realloc(old, SIZE_MAX, SIZE_MAX));
    tfr_free(old);
}

TFR_TEST(realloc_keeps_the_old_bytes) {
    TFR_UNUSED_STATE;
    char *text = tfr_strdup("abc");
    text = tfr_realloc(text, 100000, 1);
    assert_non_null(text);
    assert_string_equal(text, "abc");
    tfr_free(text);
}

TFR_TEST(strings_are_copied_cut_and_formatted) {
    TFR_UNUSED_STATE;
    char *cut = tfr_strndup("abcdef", 3), *whole = tfr_strndup("ab", 30), *text = tfr_format("%s/%d", "h", 11);
    assert_string_equal(cut, "abc");
    assert_string_equal(whole, "ab");
    assert_string_equal(text, "h/11");
    tfr_free(cut);
    tfr_free(whole);
    tfr_free(text);
}

TFR_TEST(fail_after_fails_the_nth_allocation_once) {
    TFR_UNUSED_STATE;
    tfr_alloc_fail_after(3);
    void *first = tfr_alloc(1, 1), *second = tfr_strdup("x"), *third = tfr_alloc(1, 1), *fourth = tfr_alloc(1, 1);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(third);
    assert_non_null(fourth);
    tfr_alloc_fail_after(1);
    struct tfr_block block;
    assert_refused(tfr_block_open(&block, 10, TFR_HUGEPAGES_OFF), TFR_RESOURCE, "10 bytes");
    assert_null(block.data);
    tfr_free(first);
    tfr_free(second);
    tfr_free(fourth);
}

TFR_TEST(block_is_aligned_zero_and_writable_to_its_end) {
    TFR_UNUSED_STATE;
    const size_t sizes[] = {1, 4096, 5000, huge_page - 1, huge_page, huge_page + 1, 7 * huge_page + 12345};
    for (size_t i = 0; i < TFR_COUNT_OF(sizes); i++) {
        struct tfr_block block;
        assert_ok(tfr_block_open(&block, sizes[i], TFR_HUGEPAGES_TRY));
        assert_int_equal(block.size, sizes[i]);
        assert_int_equal((uintptr_t)block.data % huge_page, 0);
        assert_true(!block.huge || sizes[i] >= huge_page);
        uint8_t *bytes = block.data;
        assert_int_equal(bytes[0], 0);
        assert_int_equal(bytes[sizes[i] - 1], 0);
        memset(bytes, 0x5A, sizes[i]);
        tfr_block_close(&block);
        assert_null(block.data);
    }
}

TFR_TEST(block_of_zero_bytes_is_legal_and_closes_twice) {
    TFR_UNUSED_STATE;
    struct tfr_block block;
    assert_ok(tfr_block_open(&block, 0, TFR_HUGEPAGES_TRY));
    assert_int_equal(block.size, 0);
    tfr_block_close(&block);
    tfr_block_close(&block);
}

TFR_TEST(block_asks_for_huge_pages_only_when_told) {
    TFR_UNUSED_STATE;
    struct tfr_block block;
    assert_ok(tfr_block_open(&block, 4 * huge_page, TFR_HUGEPAGES_OFF));
    assert_false(block.huge);
    tfr_block_close(&block);
}

TFR_TEST(block_that_cannot_be_is_refused) {
    TFR_UNUSED_STATE;
    struct tfr_block block;
    assert_refused(tfr_block_open(&block, SIZE_MAX, TFR_HUGEPAGES_OFF), TFR_RESOURCE, "no memory");
    assert_refused(tfr_block_open(&block, (size_t)1 << 60, TFR_HUGEPAGES_OFF), TFR_RESOURCE, "no memory");
    assert_int_equal(block.size, 0);
    tfr_block_close(&block);
}

TFR_TEST(bump_aligns_addresses_and_stops_at_the_end) {
    TFR_UNUSED_STATE;
    _Alignas(64) uint8_t memory[256];
    struct tfr_bump bump = {.base = memory + 1, .size = 255};
    assert_ptr_equal(tfr_bump_take(&bump, 1, 1), memory + 1);
    assert_ptr_equal(tfr_bump_take(&bump, 10, 64), memory + 64);
    assert_null(tfr_bump_take(&bump, 183, 1));
    assert_null(tfr_bump_take(&bump, SIZE_MAX, 64));
    assert_ptr_equal(tfr_bump_take(&bump, 182, 1), memory + 74);
    assert_null(tfr_bump_take(&bump, 1, 1));
    assert_int_equal(bump.used, bump.size);
    struct tfr_bump tight = {.base = memory + 1, .size = 10};
    assert_null(tfr_bump_take(&tight, 1, 64));
    assert_int_equal(tight.used, 0);
}

TFR_TEST(sizes_round_up_and_multiply) {
    TFR_UNUSED_STATE;
    assert_int_equal(tfr_align_up(0, 64), 0);
    assert_int_equal(tfr_align_up(1, 64), 64);
    assert_int_equal(tfr_align_up(64, 64), 64);
    assert_int_equal(tfr_align_up(50, 48), 96);
    size_t product;
    assert_true(tfr_size_mul(1u << 20, 1u << 20, &product));
    assert_int_equal(product, (size_t)1 << 40);
    assert_false(tfr_size_mul(SIZE_MAX, 2, &product));
}

TFR_TEST_MAIN(TFR_CASE(alloc_is_zeroed_and_never_null_for_zero), TFR_CASE(alloc_refuses_overflow_and_says_the_size),
              TFR_CASE(realloc_keeps_the_old_bytes), TFR_CASE(strings_are_copied_cut_and_formatted),
              TFR_CASE(fail_after_fails_the_nth_allocation_once), TFR_CASE(block_is_aligned_zero_and_writable_to_its_end),
              TFR_CASE(block_of_zero_bytes_is_legal_and_closes_twice), TFR_CASE(block_asks_for_huge_pages_only_when_told),
              TFR_CASE(block_that_cannot_be_is_refused), TFR_CASE(bump_aligns_addresses_and_stops_at_the_end),
              TFR_CASE(sizes_round_up_and_multiply))

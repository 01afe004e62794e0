/* test_rng.c - Philox against the vectors of its authors, and what is drawn from it. */
#include "base/rng.h"

#include "tfr_test.h"

#include <math.h>

static void expect_block(uint64_t key, uint64_t high, uint64_t low, const uint32_t expected[4]) {
    const struct tfr_philox block = tfr_philox(key, high, low);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(block.word[i], expected[i]);
    }
}

/* The vectors that come with Random123 (kat_vectors, philox4x32 with 10 rounds). */
TFR_TEST(philox_equals_the_published_vectors) {
    TFR_UNUSED_STATE;
    expect_block(0, 0, 0, (uint32_t[4]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    expect_block(UINT64_MAX, UINT64_MAX, UINT64_MAX, (uint32_t[4]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    expect_block(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88,
                 (uint32_t[4]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TFR_TEST(uniform_stays_in_range_and_is_even) {
    TFR_UNUSED_STATE;
    enum { N = 100000 };
    double sum = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double value = tfr_philox_uniform(7, 1, i);
        assert_true(value >= 0 && value < 1);
        sum += value;
    }
    assert_true(fabs(sum / N - 0.5) < 0.005);
}

TFR_TEST(normal_has_mean_0_and_variance_1) {
    TFR_UNUSED_STATE;
    enum { N = 100000 };
    double sum = 0, squares = 0, fourth = 0, cross = 0;
    for (uint64_t i = 0; i < N; i++) {
        double pair[2];
        tfr_philox_normal_pair(7, 2, i, pair);
        for (int k = 0; k < 2; k++) {
            sum += pair[k];
            squares += pair[k] * pair[k];
            fourth += pair[k] * pair[k] * pair[k] * pair[k];
        }
        cross += pair[0] * pair[1];
    }
    assert_true(fabs(sum / (2 * N)) < 0.01);
    assert_true(fabs(squares / (2 * N) - 1) < 0.02);
    assert_true(fabs(fourth / (2 * N) - 3) < 0.1);
    assert_true(fabs(cross / N) < 0.02);
}

/* Box-Muller by the C library: ours must agree to the last few bits. */
TFR_TEST(normal_agrees_with_the_c_library) {
    TFR_UNUSED_STATE;
    for (uint64_t i = 0; i < 10000; i++) {
        const struct tfr_philox p = tfr_philox(3, 4, i);
        const double u = ((double)(((uint64_t)p.word[0] << 32 | p.word[1]) >> 11) + 1) * 0x1p-53;
        const double turn = (double)(((uint64_t)p.word[2] << 32 | p.word[3]) >> 11) * 0x1p-53;
        const double radius = sqrt(-2 * log(u)), angle = 2 * 3.14159265358979323846 * turn;
        double pair[2];
        tfr_philox_normal_pair(3, 4, i, pair);
        assert_true(fabs(pair[0] - radius * cos(angle)) < 1e-13);
        assert_true(fabs(pair[1] - radius * sin(angle)) < 1e-13);
        assert_true(pair[0] == tfr_philox_normal(3, 4, i));
    }
}

/* Fixed bits: a compiler that fuses operations would make other checkpoints from the same seed. */
TFR_TEST(normal_has_the_same_bits_everywhere) {
    TFR_UNUSED_STATE;
    double pair[2];
    tfr_philox_normal_pair(1, 2, 3, pair);
    assert_true(pair[0] == -0x1.0cc0733f47799p-1);
    assert_true(pair[1] == -0x1.88272d41231e9p-4);
}

TFR_TEST_MAIN(TFR_CASE(philox_equals_the_published_vectors), TFR_CASE(uniform_stays_in_range_and_is_even),
              TFR_CASE(normal_has_mean_0_and_variance_1), TFR_CASE(normal_agrees_with_the_c_library),
              TFR_CASE(normal_has_the_same_bits_everywhere))

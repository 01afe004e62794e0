/* test_quant.c - coarse weights against a version of its own in double precision: error bounds, the choice of scales, exact
 * products, and what can't be held. */
#include "tfr_test.h"

#include <math.h>

#include <tfrun/quant.h>

#include "base/rng.h"
#include "base/tensor.h"

enum { N_TRIALS = 2000, MOST = TFR_QUANT_MOST_GROUP };

/* Normals of deviation 2^exponent, a few of them large as outliers are. */
static void fill(float *w, int64_t n, uint64_t trial, int exponent) {
    double pair[2] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (i % 2 == 0) {
            tfr_philox_normal_pair(11, trial, (uint64_t)i / 2, pair);
        }
        const double outlier = (trial + (uint64_t)i * 7) % 61 == 0 ? 20 : 1;
        w[i] = (float)ldexp(outlier * pair[i % 2], exponent);
    }
}

static float i8_scale(const float *w, int64_t n) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t magnitude = tfr_quant_magnitude(w[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return tfr_quant_i8_scale(largest);
}

TFR_TEST(int8_is_half_a_step_off_at_most) {
    TFR_UNUSED_STATE;
    float w[MOST];
    for (uint64_t trial = 0; trial < N_TRIALS; trial++) {
        fill(w, MOST, trial, (int)(trial % 200) - 90);
        double largest = 0;
        for (int i = 0; i < MOST; i++) {
            const double size = fabs((double)w[i]); /* fmax here breaks gcc 12 for ARM */
            largest = size > largest ? size : largest;
        }
        const float scale = i8_scale(w, MOST);
        assert_true(scale <= largest / 127 * (1 + 0x1p-23) && scale >= largest / 127 * (1 - 0x1p-16)); /* 17 bits, cut */
        int most = 0;
        for (int i = 0; i < MOST; i++) {
            const int q = tfr_quant_i8(w[i], scale);
            assert_int_equal(q, (int)nearbyint((double)(w[i] / scale)));
            assert_true(fabs(w[i] - (double)q * scale) <= scale * (0.5 + 0x1p-9));
            assert_true(tfr_quant_i8_value((int8_t)q, scale) == (double)q * scale);
            most = abs(q) > most ? abs(q) : most;
        }
        assert_int_equal(most, 127);
    }
}

TFR_TEST(int8_of_what_was_read_is_the_same_again) {
    TFR_UNUSED_STATE;
    float w[MOST], read[MOST];
    for (uint64_t trial = 0; trial < N_TRIALS; trial++) {
        fill(w, MOST, trial, -5);
        const float scale = i8_scale(w, MOST);
        for (int i = 0; i < MOST; i++) {
            read[i] = tfr_quant_i8_value(tfr_quant_i8(w[i], scale), scale);
        }
        assert_true(i8_scale(read, MOST) == scale);
        for (int i = 0; i < MOST; i++) {
            assert_int_equal(tfr_quant_i8(read[i], scale), tfr_quant_i8(w[i], scale));
        }
    }
}

/* value / 2^shift, ties to even; 1 <= shift <= 31. */
static uint32_t shift_to_even(uint32_t value, unsigned shift) {
    uint32_t half = 1u << (shift - 1);
    uint32_t odd = value >> shift & 1;
    return (value + half - 1 + odd) >> shift;
}

/* In whole numbers alone. */
static uint16_t f16_by_bits(float value) {
    uint32_t bits = tfr_quant_bits(value);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        uint32_t payload = magnitude >> 13 & 0x3FF;
        return (uint16_t)(sign | 0x7C00 | (payload != 0 ? payload : 0x200));
    }
    if (magnitude >= 0x477FF000u) {
        return (uint16_t)(sign | 0x7C00); /* 65520 and above round to infinity */
    }
    if (magnitude >= 0x38800000u) {
        return (uint16_t)(sign | shift_to_even(magnitude - ((127u - 15u) << 23), 13));
    }
    if (magnitude <= 0x33000000u) {
        return (uint16_t)sign; /* 2^-25, half of the smallest, ties to zero */
    }
    uint32_t significand = (magnitude & 0x7FFFFF) | 0x800000;
    return (uint16_t)(sign | shift_to_even(significand, 126 - (magnitude >> 23)));
}

TFR_TEST(halves_are_those_of_whole_numbers) {
    TFR_UNUSED_STATE;
    for (uint32_t half = 0; half < 0x10000; half++) {
        const int exponent = (int)(half >> 10 & 31), fraction = (int)(half & 1023);
        const double size = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                            : exponent == 0 ? ldexp(fraction, -24)
                                            : ldexp(1024 + fraction, exponent - 25);
        const float value = (float)copysign(size, half >= 0x8000 ? -1 : 1), ours = tfr_quant_from_f16((uint16_t)half);
        assert_true(isnan(value) ? isnan(ours) : value == ours && signbit(value) == signbit(ours));
    }
    for (uint32_t i = 0; i < 4000000; i++) { /* every exponent, and the ties between two halves */
        const float value = tfr_quant_float(i * 0x9e3779b1u & (i % 2 == 0 ? 0xfffff000u : 0xffffffffu));
        const uint16_t want = f16_by_bits(value), ours = tfr_quant_to_f16(value);
        assert_true(isnan(value) ? (ours & 0x7fff) > 0x7c00 : want == ours);
    }
}

/* The squared error of a scale and a zero point, by the definition of rounding alone. */
static double error_of(const float *w, int64_t n, double scale, int zero) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double q = scale != 0 ? fmin(fmax(nearbyint((double)(float)(w[i] / scale)) + zero, 0), 15) : zero;
        sum += pow(w[i] - (q - zero) * scale, 2);
    }
    return sum;
}

static double as_half(double x) {
    return tfr_quant_from_f16(f16_by_bits((float)x));
}

static double least_error(const float *w, int64_t n, bool has_zero) {
    double extreme = 0, low = 0, high = 0;
    for (int64_t i = 0; i < n; i++) {
        extreme = fabs((double)w[i]) > fabs(extreme) ? w[i] : extreme;
        low = fmin(low, w[i]);
        high = fmax(high, w[i]);
    }
    double least = fmin(error_of(w, n, as_half(extreme / -8), 8), error_of(w, n, as_half(fabs(extreme) / 7), 8));
    const double range = as_half((high - low) / 15);
    return has_zero ? fmin(least, error_of(w, n, range, (int)fmin(15, nearbyint(-low / range)))) : least;
}

static double group_error(const float *w, const uint8_t *q, int64_t n, struct tfr_quant_i4 group) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += pow((double)w[i] - tfr_quant_i4_value(q[i], group), 2);
    }
    return sum;
}

/* The two versions round an error once in f32 and once in double: the squares differ by about 2^-23 of themselves. The quotients
 * of f32 and of double may also fall on two sides of a tie, which changes an error by less than that. */
TFR_TEST(int4_takes_the_better_scale) {
    TFR_UNUSED_STATE;
    float w[MOST];
    uint8_t q[MOST];
    for (uint64_t trial = 0; trial < N_TRIALS; trial++) {
        const int64_t n = trial % 3 == 0 ? 64 : trial % 3 == 1 ? 32 : 1 + (int64_t)trial % 64;
        fill(w, n, trial, (int)(trial % 16) - 10);
        double errors[2];
        for (int has_zero = 0; has_zero < 2; has_zero++) {
            const struct tfr_quant_i4 group = tfr_quant_i4_group(q, w, n, has_zero != 0);
            errors[has_zero] = group_error(w, q, n, group);
            assert_true(errors[has_zero] <= least_error(w, n, has_zero != 0) * (1 + 0x1p-20));
            const double scale = tfr_quant_from_f16(group.scale);
            assert_true(has_zero != 0 || group.zero == 8);
            for (int64_t i = 0; i < n; i++) {
                assert_true(q[i] <= 15);
                assert_true(fabs(w[i] - (q[i] - group.zero) * scale) <= fabs(scale) * (1 + 15 * 0x1p-11));
                assert_true(tfr_quant_i4_value(q[i], group) == (q[i] - group.zero) * scale); /* exact */
            }
        }
        assert_true(errors[1] <= errors[0]);
    }
}

TFR_TEST(int4_of_what_was_read_reads_the_same_again) {
    TFR_UNUSED_STATE;
    float w[MOST], read[MOST];
    uint8_t q[MOST];
    for (uint64_t trial = 0; trial < N_TRIALS; trial++) {
        fill(w, MOST, trial, -6);
        const bool has_zero = trial % 2 == 0;
        const struct tfr_quant_i4 group = tfr_quant_i4_group(q, w, MOST, false);
        for (int i = 0; i < MOST; i++) {
            read[i] = tfr_quant_i4_value(q[i], group);
        }
        const struct tfr_quant_i4 again = tfr_quant_i4_group(q, read, MOST, has_zero);
        for (int i = 0; i < MOST; i++) {
            assert_true(tfr_quant_i4_value(q[i], again) == read[i]);
        }
    }
}

/* Weights of one sign use all 16 numbers where there is a zero point, and half of them where there is none. */
TFR_TEST(a_zero_point_halves_the_step_of_one_sided_weights) {
    TFR_UNUSED_STATE;
    float w[32];
    uint8_t q[32];
    for (int i = 0; i < 32; i++) {
        w[i] = 1 + (float)i / 8;
    }
    const struct tfr_quant_i4 plain = tfr_quant_i4_group(q, w, 32, false);
    const double plain_error = group_error(w, q, 32, plain);
    const struct tfr_quant_i4 zero = tfr_quant_i4_group(q, w, 32, true);
    assert_int_equal(zero.zero, 0);
    assert_true(group_error(w, q, 32, zero) < plain_error / 3); /* a quarter, but for the ends */
}

TFR_TEST(what_cannot_be_held_reads_as_nan) {
    TFR_UNUSED_STATE;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    float w[32];
    uint8_t q[32];
    for (int i = 0; i < 4; i++) {
        fill(w, 32, 3, 0);
        w[17] = bad[i];
        const float scale = i8_scale(w, 32);
        assert_true(isnan(tfr_quant_i8_value(tfr_quant_i8(w[0], scale), scale)));
        assert_true(isnan(tfr_quant_i8_value(tfr_quant_i8(w[17], scale), scale)));
        const struct tfr_quant_i4 group = tfr_quant_i4_group(q, w, 32, i % 2 == 0);
        assert_true(isnan(tfr_quant_i4_value(q[0], group)) && isnan(tfr_quant_i4_value(q[17], group)));
    }
    fill(w, 32, 3, 0);
    w[5] = 8.1f * 65520;
    assert_true(isnan(tfr_quant_i4_value(q[0], tfr_quant_i4_group(q, w, 32, true))));
    w[5] = 3.4e38f; /* 8 bits hold every finite number */
    const float scale = i8_scale(w, 32);
    assert_int_equal(tfr_quant_i8(w[5], scale), 127);
    assert_true(isfinite(tfr_quant_i8_value(127, scale)));
}

TFR_TEST(zeros_and_the_smallest_numbers_read_as_zero) {
    TFR_UNUSED_STATE;
    const float small[] = {0, -0.0f, 1e-45f, -1e-40f, 0x1.fp-101f};
    float w[32];
    uint8_t q[32];
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 32; k++) {
            w[k] = k % 3 == 0 ? small[i] : 0;
        }
        const float scale = i8_scale(w, 32);
        assert_true(scale == 0 && tfr_quant_i8(w[0], scale) == 0);
        const struct tfr_quant_i4 group = tfr_quant_i4_group(q, w, 32, i % 2 == 0);
        assert_true(group.scale == 0 && group.zero == 8 && q[0] == 8 && q[1] == 8);
    }
}

/* Below 2^-14 a scale of f16 is a multiple of 2^-24: the end of the range is off by at most 8 half steps of that. */
TFR_TEST(scales_that_f16_has_few_bits_for) {
    TFR_UNUSED_STATE;
    float w[32];
    uint8_t q[32];
    for (uint64_t trial = 0; trial < N_TRIALS; trial++) {
        fill(w, 32, trial, -14 - (int)(trial % 14));
        const struct tfr_quant_i4 group = tfr_quant_i4_group(q, w, 32, false);
        const double scale = fabs((double)tfr_quant_from_f16(group.scale));
        for (int i = 0; i < 32; i++) {
            assert_true(fabs(w[i] - (double)tfr_quant_i4_value(q[i], group)) <= scale * (1 + 0x1p-8) + 8 * 0x1p-25);
        }
    }
}

TFR_TEST(types_know_their_groups) {
    TFR_UNUSED_STATE;
    assert_int_equal(tfr_quant_group(TFR_DTYPE_BF16), 0);
    assert_int_equal(tfr_quant_group(TFR_DTYPE_I8_CHANNEL), -1);
    assert_int_equal(tfr_quant_group(TFR_DTYPE_I4_GROUP), 32);
    assert_int_equal(tfr_quant_group(TFR_DTYPE_I4_ZERO64), 64);
    assert_true(tfr_quant_has_zero(TFR_DTYPE_I4_ZERO) && tfr_quant_has_zero(TFR_DTYPE_I4_ZERO64));
    assert_false(tfr_quant_has_zero(TFR_DTYPE_I4_GROUP64) || tfr_quant_has_zero(TFR_DTYPE_I8_CHANNEL));
    assert_int_equal(tfr_quant_groups(65, 32), 3);
    assert_int_equal(tfr_quant_halves(65), 33);
    assert_int_equal(tfr_quant_half(0xa5, 4), 5);
    assert_int_equal(tfr_quant_half(0xa5, 7), 10);
}

TFR_TEST_MAIN(TFR_CASE(int8_is_half_a_step_off_at_most), TFR_CASE(int8_of_what_was_read_is_the_same_again),
              TFR_CASE(halves_are_those_of_whole_numbers), TFR_CASE(int4_takes_the_better_scale),
              TFR_CASE(int4_of_what_was_read_reads_the_same_again), TFR_CASE(a_zero_point_halves_the_step_of_one_sided_weights),
              TFR_CASE(what_cannot_be_held_reads_as_nan), TFR_CASE(zeros_and_the_smallest_numbers_read_as_zero),
              TFR_CASE(scales_that_f16_has_few_bits_for), TFR_CASE(types_know_their_groups))

/* test_tensor.c - the dtype table, views, and scalar conversion checked over every 16-bit value (tfrun/half.h). */
#include "tfr_test.h"

#include <math.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#include <tfrun/half.h>

#include "base/status.h"
#include "base/tensor.h"

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Value of a finite f16 from its definition, in double. */
static double f16_value(unsigned bits) {
    int exponent = (int)(bits >> 10 & 0x1F), fraction = (int)(bits & 0x3FF);
    double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

TFR_TEST(dtype_names_are_read_in_both_forms) {
    TFR_UNUSED_STATE;
    for (int i = 0; i < TFR_DTYPE_COUNT; i++) {
        enum tfr_dtype found = TFR_DTYPE_COUNT;
        assert_true(tfr_dtype_parse(tfr_dtype_name((enum tfr_dtype)i), &found));
        assert_int_equal(found, i);
        if (tfr_dtype_file_name((enum tfr_dtype)i)[0] != '\0') {
            found = TFR_DTYPE_COUNT;
            assert_true(tfr_dtype_parse(tfr_dtype_file_name((enum tfr_dtype)i), &found));
            assert_int_equal(found, i);
        }
    }
    enum tfr_dtype unused;
    assert_false(tfr_dtype_parse("Bf16", &unused));
    assert_false(tfr_dtype_parse("", &unused));
    assert_int_equal(tfr_dtype_size(TFR_DTYPE_BF16), 2);
    assert_int_equal(tfr_dtype_size(TFR_DTYPE_I64), 8);
    assert_int_equal(tfr_dtype_size(TFR_DTYPE_COUNT), 0);
}

TFR_TEST(coarse_types_cost_their_bits_and_a_share_of_the_scale) {
    TFR_UNUSED_STATE;
    assert_true(tfr_dtype_cost(TFR_DTYPE_F32, 768) == 4);
    assert_true(tfr_dtype_cost(TFR_DTYPE_I8, 768) == 1);
    assert_true(tfr_dtype_cost(TFR_DTYPE_I8_CHANNEL, 64) == 1 + 4.0 / 64);
    assert_true(tfr_dtype_cost(TFR_DTYPE_I4_GROUP, 768) == 0.5 + 2.0 / 32);
    assert_true(tfr_dtype_cost(TFR_DTYPE_I4_GROUP64, 768) == 0.5 + 2.0 / 64);
    assert_true(tfr_dtype_cost(TFR_DTYPE_I4_ZERO, 768) == 0.5 + 3.0 / 32);
    assert_true(tfr_dtype_cost(TFR_DTYPE_I4_ZERO64, 768) == 0.5 + 3.0 / 64);
    assert_true(tfr_dtype_cost(TFR_DTYPE_I4_GROUP, 33) == (17 + 2 * 2) / 33.0); /* the last byte and group hold one */
    assert_true(tfr_dtype_cost(TFR_DTYPE_I4_ZERO64, 8) == (4 + 3) / 8.0);
    for (int dtype = 0; dtype < TFR_DTYPE_COUNT; dtype++) {
        int64_t bytes, elements;
        tfr_dtype_fraction((enum tfr_dtype)dtype, 770, &bytes, &elements);
        assert_true((double)bytes / (double)elements == tfr_dtype_cost((enum tfr_dtype)dtype, 770));
    }
    assert_int_equal(tfr_dtype_size(TFR_DTYPE_I8_CHANNEL), 1);
    assert_int_equal(tfr_dtype_size(TFR_DTYPE_I4_GROUP), 0);
}

TFR_TEST(dense_view_has_row_major_strides) {
    TFR_UNUSED_STATE;
    const int64_t dim[] = {2, 3, 5};
    struct tfr_tensor tensor = tfr_tensor_make(NULL, TFR_DTYPE_BF16, 3, dim);
    assert_int_equal(tensor.stride[0], 15);
    assert_int_equal(tensor.stride[1], 5);
    assert_int_equal(tensor.stride[2], 1);
    assert_int_equal(tfr_tensor_count(&tensor), 30);
    assert_int_equal(tfr_tensor_bytes(&tensor), 60);
    assert_true(tfr_tensor_is_dense(&tensor));
    tensor.stride[1] = 6;
    assert_false(tfr_tensor_is_dense(&tensor));
    tensor.dim[1] = 1;
    tensor.stride[0] = 5;
    assert_true(tfr_tensor_is_dense(&tensor));
}

TFR_TEST(count_of_scalar_empty_and_too_large) {
    TFR_UNUSED_STATE;
    const int64_t empty[] = {INT64_MAX, INT64_MAX, 0}, large[] = {INT64_MAX, 3};
    struct tfr_tensor scalar = tfr_tensor_make(NULL, TFR_DTYPE_F32, 0, NULL);
    assert_int_equal(tfr_tensor_count(&scalar), 1);
    struct tfr_tensor none = tfr_tensor_make(NULL, TFR_DTYPE_F32, 3, empty);
    assert_int_equal(tfr_tensor_count(&none), 0);
    assert_true(tfr_tensor_is_dense(&none));
    struct tfr_tensor vast = tfr_tensor_make(NULL, TFR_DTYPE_F32, 2, large);
    assert_int_equal(tfr_tensor_count(&vast), INT64_MAX);
    assert_true(tfr_tensor_bytes(&vast) == SIZE_MAX);
}

TFR_TEST(shape_text_is_written_and_cut_safely) {
    TFR_UNUSED_STATE;
    const int64_t dim[] = {768, 2304};
    char text[32], small[6];
    assert_string_equal(tfr_shape_text(2, dim, text, sizeof(text)), "[768, 2304]");
    assert_string_equal(tfr_shape_text(1, dim, text, sizeof(text)), "[768]");
    assert_string_equal(tfr_shape_text(0, dim, text, sizeof(text)), "[]");
    assert_string_equal(tfr_shape_text(2, dim, small, sizeof(small)), "[768,");
}

TFR_TEST(bf16_all_values_round_trip) {
    TFR_UNUSED_STATE;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float value = tfr_half_from_bf16((uint16_t)bits);
        assert_int_equal(bits_of(value), bits << 16);
        assert_int_equal(tfr_half_to_bf16(value), isnan(value) ? bits | 0x40 : bits);
    }
}

TFR_TEST(f16_all_values_round_trip_and_mean_what_they_should) {
    TFR_UNUSED_STATE;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float value = tfr_half_from_f16((uint16_t)bits);
        if ((bits & 0x7C00) != 0x7C00) {
            assert_true((double)value == f16_value(bits));
        } else {
            assert_true((bits & 0x3FF) != 0 ? isnan(value) : isinf(value));
        }
        assert_int_equal(tfr_half_to_f16(value), isnan(value) ? bits | 0x200 : bits);
    }
}

#ifdef __SSE2__
/* A program may have told the processor to take subnormal numbers of f32 for 0. */
enum { HAS_FLUSH = 1 };
static unsigned flush_and_zero(void) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
static void restore(unsigned before) {
    _mm_setcsr(before);
}
#else
enum { HAS_FLUSH = 0 };
static unsigned flush_and_zero(void) {
    return 0;
}
static void restore(unsigned before) {
    (void)before;
}
#endif

TFR_TEST(f16_needs_no_subnormals) {
    TFR_UNUSED_STATE;
    if (!HAS_FLUSH) {
        skip();
    }
    unsigned n_wrong = 0;
    const unsigned before = flush_and_zero();
    for (uint32_t bits = 0; bits < 0x400; bits++) {
        volatile uint16_t half = (uint16_t)bits;
        const float value = tfr_half_from_f16(half);
        n_wrong += value != (float)((double)bits * 0x1p-24) || tfr_half_to_f16(value) != bits;
    }
    restore(before);
    assert_int_equal(n_wrong, 0);
}

/* Between each pair of neighbours: the middle goes to the even one, a hair beside it to the nearer one. */
TFR_TEST(bf16_rounds_to_nearest_even) {
    TFR_UNUSED_STATE;
    for (uint32_t bits = 0; bits < 0x7F80; bits++) {
        uint32_t middle = bits << 16 | 0x8000;
        assert_int_equal(tfr_half_to_bf16(float_of(middle - 1)), bits);
        assert_int_equal(tfr_half_to_bf16(float_of(middle)), bits + (bits & 1));
        assert_int_equal(tfr_half_to_bf16(float_of(middle + 1)), bits + 1);
        assert_int_equal(tfr_half_to_bf16(-float_of(middle)), 0x8000 | (bits + (bits & 1)));
    }
}

TFR_TEST(f16_rounds_to_nearest_even) {
    TFR_UNUSED_STATE;
    for (uint32_t bits = 0; bits < 0x7BFF; bits++) {
        float middle = (float)((f16_value(bits) + f16_value(bits + 1)) / 2);
        assert_int_equal(tfr_half_to_f16(nextafterf(middle, 0)), bits);
        assert_int_equal(tfr_half_to_f16(middle), bits + (bits & 1));
        assert_int_equal(tfr_half_to_f16(nextafterf(middle, INFINITY)), bits + 1);
        assert_int_equal(tfr_half_to_f16(-middle), 0x8000 | (bits + (bits & 1)));
    }
}

TFR_TEST(edges_overflow_to_infinity_and_nan_stays_nan) {
    TFR_UNUSED_STATE;
    assert_int_equal(tfr_half_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(tfr_half_to_f16(65520.0f), 0x7C00);
    assert_int_equal(tfr_half_to_f16(-1e30f), 0xFC00);
    assert_int_equal(tfr_half_to_f16(1e-30f), 0);
    assert_int_equal(tfr_half_to_bf16(3.4028235e38f), 0x7F80);
    assert_int_equal(tfr_half_to_bf16(-INFINITY), 0xFF80);
    /* Payloads that vanish in the shorter form must not turn into infinity. */
    assert_true(isnan(tfr_half_from_bf16(tfr_half_to_bf16(float_of(0x7F800001)))));
    assert_true(isnan(tfr_half_from_f16(tfr_half_to_f16(float_of(0xFF800001)))));
}

TFR_TEST(arrays_convert_from_unaligned_bytes) {
    TFR_UNUSED_STATE;
    const float expected[] = {1.5f, -2.0f, 0.0f, 65504.0f, -0.25f};
    const enum tfr_dtype dtypes[] = {TFR_DTYPE_F32, TFR_DTYPE_BF16, TFR_DTYPE_F16};
    for (size_t i = 0; i < TFR_COUNT_OF(dtypes); i++) {
        uint8_t bytes[5 * 4 + 1];
        float back[5] = {0};
        tfr_from_f32(bytes + 1, expected, dtypes[i], 5);
        tfr_to_f32(back, bytes + 1, dtypes[i], 5);
        for (int k = 0; k < 5; k++) {
            assert_true(back[k] == (dtypes[i] == TFR_DTYPE_BF16 && k == 3 ? 65536.0f : expected[k]));
        }
    }
    const double doubles[] = {0.1, -1e300};
    float singles[2];
    tfr_to_f32(singles, doubles, TFR_DTYPE_F64, 2);
    assert_true(singles[0] == 0.1f && singles[1] == -INFINITY);
}

TFR_TEST(dtype_without_conversion_gives_nan) {
    TFR_UNUSED_STATE;
    float value = 1.0f;
    tfr_to_f32(&value, "abcd", TFR_DTYPE_I32, 1);
    assert_true(isnan(value));
}

TFR_TEST_MAIN(TFR_CASE(coarse_types_cost_their_bits_and_a_share_of_the_scale), TFR_CASE(dtype_names_are_read_in_both_forms),
              TFR_CASE(dense_view_has_row_major_strides), TFR_CASE(count_of_scalar_empty_and_too_large),
              TFR_CASE(shape_text_is_written_and_cut_safely), TFR_CASE(bf16_all_values_round_trip),
              TFR_CASE(f16_all_values_round_trip_and_mean_what_they_should), TFR_CASE(bf16_rounds_to_nearest_even),
              TFR_CASE(f16_needs_no_subnormals), TFR_CASE(f16_rounds_to_nearest_even),
              TFR_CASE(edges_overflow_to_infinity_and_nan_stays_nan), TFR_CASE(arrays_convert_from_unaligned_bytes),
              TFR_CASE(dtype_without_conversion_gives_nan))

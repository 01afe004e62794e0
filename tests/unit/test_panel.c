/* test_panel.c - packing into panel64 against the formula in panel.h, one element at a time. */
#include "tfr_test.h"

#include "common/dtype.h"
#include "common/panel.h"

static uint32_t next_bits(uint32_t *seed) {
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 4;
}

/* Random finite values of `dtype`, with a few infinities. */
static void fill(char *to, int dtype, int64_t count) {
    uint32_t seed = 7;
    for (int64_t i = 0; i < count; i++) {
        const float single = (float)(int32_t)(next_bits(&seed) - (1U << 27)) * 0x1p-30f;
        const double wide = single;
        uint16_t half = dtype == TFR_DTYPE_BF16 ? bf16_from_f32(single) : (uint16_t)(next_bits(&seed) & 0xbbffU);
        half = i % 97 == 5 && dtype == TFR_DTYPE_F16 ? 0x7c00 : half;
        const void *from = dtype == TFR_DTYPE_F32 ? (const void *)&single : dtype == TFR_DTYPE_F64 ? (const void *)&wide : &half;
        memcpy(to + (size_t)i * float_bytes(dtype), from, float_bytes(dtype));
    }
}

static void put(char *packed, int dtype, int64_t k_count, int64_t k, int64_t n, float value) {
    const int64_t padded = panel_padded_k(dtype, k_count);
    if (dtype == TFR_DTYPE_BF16) {
        ((uint16_t *)(void *)packed)[(n / 64 * padded + k / 2 * 2) * 64 + n % 64 * 2 + k % 2] = bf16_from_f32(value);
    } else if (dtype == TFR_DTYPE_F16) {
        ((uint16_t *)(void *)packed)[(n / 64 * padded + k) * 64 + n % 64] = f16_from_exact(value);
    } else {
        ((float *)(void *)packed)[(n / 64 * padded + k) * 64 + n % 64] = value;
    }
}

/* Packs [k,n] with `n_threads` parts from a source that is one byte off alignment, and compares every byte. */
static void check(int dtype, int from_dtype, int64_t k_count, int64_t n_count, bool transposed, int n_threads) {
    const size_t bytes = panel_bytes(dtype, k_count, n_count);
    char *source = malloc((size_t)(k_count * n_count) * float_bytes(from_dtype) + 1), *from = source + 1;
    char *packed = malloc(bytes), *want = calloc(1, bytes);
    const int64_t rows = transposed ? n_count : k_count, columns = transposed ? k_count : n_count;
    const struct tfr_tensor view = {.data = from, .dtype = from_dtype, .rank = 2, .dim = {rows, columns}, .stride = {columns, 1}};
    fill(from, from_dtype, k_count * n_count);
    memset(packed, 0xee, bytes);
    for (int64_t k = 0; k < k_count; k++) {
        for (int64_t n = 0; n < n_count; n++) {
            const float value = load_as_f32(from, from_dtype, transposed ? n * columns + k : k * columns + n);
            put(want, dtype, k_count, k, n, value);
        }
    }
    for (int tid = 0; tid < n_threads; tid++) {
        tfr_panel_pack(dtype, &view, transposed, packed, tid, n_threads);
    }
    assert_memory_equal(packed, want, bytes);
    free(source);
    free(packed);
    free(want);
}

static void check_shapes(int dtype, bool transposed) {
    static const int from[] = {TFR_DTYPE_F32, TFR_DTYPE_BF16, TFR_DTYPE_F16, TFR_DTYPE_F64};
    static const int64_t shape[][2] = {{1, 1}, {16, 64}, {17, 65}, {31, 63}, {33, 128}, {50, 130}, {64, 1}};
    for (size_t d = 0; d < 4; d++) {
        for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
            check(dtype, from[d], shape[s][0], shape[s][1], transposed, 1 + (int)(s % 3));
        }
    }
}

/* gemv gives thread t the panels of split_evenly: they must be written by thread t too, so that their pages lie next to it. */
TFR_TEST(a_thread_packs_the_panels_that_it_multiplies) {
    TFR_UNUSED_STATE;
    enum { K = 16, N = 64 * 11 - 3, THREADS = 4 };
    static float from[K * N];
    const size_t panel = panel_bytes(TFR_DTYPE_F32, K, 64);
    unsigned char *packed = malloc(11 * panel);
    const struct tfr_tensor view = {.data = from, .dtype = TFR_DTYPE_F32, .rank = 2, .dim = {K, N}, .stride = {N, 1}};
    assert_int_equal(panel_bytes(TFR_DTYPE_F32, K, N), 11 * panel);
    for (int tid = 0; tid < THREADS; tid++) {
        int64_t begin, end;
        memset(packed, 0xee, 11 * panel);
        tfr_panel_pack(TFR_DTYPE_F32, &view, false, packed, tid, THREADS);
        split_evenly(panel_count(N), tid, THREADS, &begin, &end);
        for (size_t i = 0; i < 11 * panel; i++) {
            assert_int_equal(packed[i], i / panel >= (size_t)begin && i / panel < (size_t)end ? 0 : 0xee);
        }
    }
    free(packed);
}

TFR_TEST(f32_panels_hold_every_element_and_zero_padding) {
    TFR_UNUSED_STATE;
    check_shapes(TFR_DTYPE_F32, false);
}

TFR_TEST(bf16_panels_hold_pairs_of_k_and_zero_padding) {
    TFR_UNUSED_STATE;
    check_shapes(TFR_DTYPE_BF16, false);
}

TFR_TEST(transposed_sources_give_the_same_panels) {
    TFR_UNUSED_STATE;
    check_shapes(TFR_DTYPE_F32, true);
    check_shapes(TFR_DTYPE_BF16, true);
}

TFR_TEST(f16_panels_hold_every_element_and_zero_padding) {
    TFR_UNUSED_STATE;
    static const int64_t shape[][2] = {{1, 1}, {16, 64}, {17, 65}, {31, 63}, {50, 130}};
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        check(TFR_DTYPE_F16, TFR_DTYPE_F16, shape[s][0], shape[s][1], false, 1 + (int)(s % 3));
        check(TFR_DTYPE_F16, TFR_DTYPE_F16, shape[s][0], shape[s][1], true, 1 + (int)(s % 3));
    }
}

/* All 65536 bit patterns come back, packed from f16 and from the f32 values that they stand for. */
TFR_TEST(f16_panels_give_every_value_back) {
    TFR_UNUSED_STATE;
    enum { K = 1024, N = 64 };
    static uint16_t half[K * N], packed[2][K * N];
    static float wide[K * N];
    for (int64_t i = 0; i < K * N; i++) {
        half[i] = (uint16_t)i;
        wide[i] = f16_to_f32((uint16_t)i);
    }
    const struct tfr_tensor from_half = {.data = half, .dtype = TFR_DTYPE_F16, .rank = 2, .dim = {K, N}, .stride = {N, 1}};
    const struct tfr_tensor from_wide = {.data = wide, .dtype = TFR_DTYPE_F32, .rank = 2, .dim = {K, N}, .stride = {N, 1}};
    tfr_panel_pack(TFR_DTYPE_F16, &from_half, false, packed[0], 0, 1);
    tfr_panel_pack(TFR_DTYPE_F16, &from_wide, false, packed[1], 0, 1);
    assert_memory_equal(packed[0], half, sizeof half);
    assert_memory_equal(packed[1], half, sizeof half);
}

TFR_TEST(rounding_rows_equals_rounding_elements) {
    TFR_UNUSED_STATE;
    float from[77];
    uint16_t to[77];
    uint32_t seed = 3;
    for (size_t i = 0; i < 77; i++) {
        const uint32_t bits = i == 0 ? 0x7f800001U : i == 1 ? 0x00018000U : i == 2 ? 0x3f808000U : next_bits(&seed) << 4;
        memcpy(&from[i], &bits, sizeof bits);
    }
    tfr_panel_round(to, from, 77);
    for (size_t i = 0; i < 77; i++) {
        assert_int_equal(to[i], bf16_from_f32(from[i]));
    }
}

TFR_TEST_MAIN(TFR_CASE(a_thread_packs_the_panels_that_it_multiplies), TFR_CASE(f32_panels_hold_every_element_and_zero_padding),
              TFR_CASE(bf16_panels_hold_pairs_of_k_and_zero_padding), TFR_CASE(transposed_sources_give_the_same_panels),
              TFR_CASE(f16_panels_hold_every_element_and_zero_padding), TFR_CASE(f16_panels_give_every_value_back),
              TFR_CASE(rounding_rows_equals_rounding_elements))

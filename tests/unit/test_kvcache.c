/* test_kvcache.c - int8 vectors of tfrun/kv.h against their definition, and the caches that hold them. */
#include "tfr_test.h"

#include <float.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tfrun/kv.h>

#include "base/status.h"
#include "exec/kvcache.h"

enum { MOST = 96, VECTORS = 60000 };

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

static double next_unit(uint64_t *state) {
    return 2 * ((double)(next_random(state) >> 11) * 0x1p-53) - 1;
}

/* Any length, any magnitude but the smallest; here and there a zero, or one element far above the others. */
static int64_t draw_vector(uint64_t *state, float *x) {
    const int64_t n = 1 + (int64_t)(next_random(state) % MOST);
    const int power = (int)(next_random(state) % 160) - 60;
    for (int64_t i = 0; i < n; i++) {
        x[i] = next_random(state) % 16 == 0 ? 0 : (float)ldexp(next_unit(state), power);
    }
    if (next_random(state) % 8 == 0) {
        x[next_random(state) % (uint64_t)n] *= 1000;
    }
    return n;
}

static double largest_of(const float *x, int64_t n) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)x[i]));
    }
    return largest;
}

TFR_TEST(a_scale_is_the_largest_over_127_cut_to_17_bits) {
    TFR_UNUSED_STATE;
    uint64_t state = 1;
    float x[MOST];
    for (int v = 0; v < VECTORS; v++) {
        const int64_t n = draw_vector(&state, x);
        const double exact = largest_of(x, n) / 127, scale = tfr_kv_scale(x, n);
        int exponent;
        const double bits = ldexp(frexp(scale, &exponent), 17);
        assert_true(bits == floor(bits));
        assert_true(scale <= exact * (1 + 0x1p-24) && scale >= exact * (1 - 0x1p-16));
    }
}

/* Rounding to an integer is off by half a scale; the quotient was rounded before, by at most 127 2^-24 of a scale. The largest
 * may lie above 127 scales, by 127 2^-16 of one: less than half. A scale is the largest / 127 but for a rounding. */
TFR_TEST(an_element_is_off_by_half_a_scale) {
    TFR_UNUSED_STATE;
    uint64_t state = 2;
    float x[MOST];
    double worst = 0;
    for (int v = 0; v < VECTORS; v++) {
        const int64_t n = draw_vector(&state, x);
        const float scale = tfr_kv_scale(x, n);
        int largest = 0;
        for (int64_t i = 0; i < n; i++) {
            const int8_t q = tfr_kv_quantise(x[i], scale);
            const double error = fabs((double)x[i] - (double)q * scale);
            assert_true(error <= scale * (0.5 + 0x1p-16));
            assert_true(error <= largest_of(x, n) / 253.9);
            assert_true(tfr_kv_dequantise(q, scale) == (double)q * scale); /* exact */
            largest = abs(q) > largest ? abs(q) : largest;
            worst = scale > 0 ? fmax(worst, error / scale) : worst;
        }
        assert_true(largest == (scale > 0 ? 127 : 0));
    }
    assert_true(worst > 0.49); /* the bound is no larger than it has to be */
}

TFR_TEST(quantising_again_changes_nothing) {
    TFR_UNUSED_STATE;
    uint64_t state = 3;
    float x[MOST], read[MOST];
    for (int v = 0; v < VECTORS; v++) {
        const int64_t n = draw_vector(&state, x);
        const float scale = tfr_kv_scale(x, n);
        for (int64_t i = 0; i < n; i++) {
            read[i] = tfr_kv_dequantise(tfr_kv_quantise(x[i], scale), scale);
        }
        assert_true(tfr_kv_scale(read, n) == scale);
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(tfr_kv_quantise(read[i], scale), tfr_kv_quantise(x[i], scale));
        }
    }
}

TFR_TEST(ties_go_to_even) {
    TFR_UNUSED_STATE;
    const float x[] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f, 125.5f, -127};
    const int want[] = {127, 0, 2, 2, 0, -2, -126, 126, -127};
    assert_true(tfr_kv_scale(x, 9) == 1);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(tfr_kv_quantise(x[i], 1), want[i]);
    }
}

TFR_TEST(extremes_have_their_rules) {
    TFR_UNUSED_STATE;
    const float zeros[] = {0, -0.0f, 0}, tiny[] = {0x1p-101f, -0x1p-140f}, small[] = {0x1p-100f, -0x1p-100f};
    const float huge[] = {-FLT_MAX, FLT_MAX / 2}, infinite[] = {1, -INFINITY}, nan[] = {1, NAN, 2};
    assert_true(tfr_kv_scale(zeros, 3) == 0 && tfr_kv_quantise(-0.0f, 0) == 0);
    assert_true(tfr_kv_scale(tiny, 2) == 0 && tfr_kv_quantise(tiny[0], 0) == 0);
    assert_true(tfr_kv_scale(small, 2) > 0 && tfr_kv_quantise(small[1], tfr_kv_scale(small, 2)) == -127);
    assert_true(isfinite(tfr_kv_dequantise(-127, tfr_kv_scale(huge, 2))));
    assert_true(isnan(tfr_kv_scale(infinite, 2)) && isnan(tfr_kv_scale(nan, 3)));
    assert_true(isnan(tfr_kv_dequantise(tfr_kv_quantise(1, NAN), NAN)));
    assert_int_equal(tfr_kv_quantise(1, NAN), 0);
}

static const struct tfr_kvcache_spec small_spec = {.n_layers = 2, .n_heads = 3, .head_dim = 20, .dtype = TFR_DTYPE_I8};

static void fill(float *x, int64_t n, uint64_t seed) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)next_unit(&seed);
    }
}

/* Loads random vectors into one cache, what it stores into another, and compares what both store. */
static void check_round_trip(enum tfr_dtype dtype, double tolerance) {
    enum { N = 21, FLOATS = 3 * N * 20 };
    struct tfr_kvcache_spec spec = small_spec;
    spec.dtype = dtype;
    struct tfr_kvcache a, b;
    static float k[FLOATS], v[FLOATS], k1[FLOATS], v1[FLOATS], k2[FLOATS], v2[FLOATS];
    fill(k, FLOATS, 5);
    fill(v, FLOATS, 6);
    k[25] = 0;
    for (int d = 0; d < 20; d++) {
        v[40 + d] = 0;
    }
    assert_ok(tfr_kvcache_open(&a, &spec, 33));
    assert_ok(tfr_kvcache_open(&b, &spec, 22));
    tfr_kvcache_load(&a, 1, 0, N, k, v);
    tfr_kvcache_store(&a, 1, 0, N, k1, v1);
    tfr_kvcache_load(&b, 1, 0, N, k1, v1);
    tfr_kvcache_store(&b, 1, 0, N, k2, v2);
    assert_memory_equal(k1, k2, sizeof k1);
    assert_memory_equal(v1, v2, sizeof v1);
    for (int i = 0; i < FLOATS; i++) {
        assert_true(fabsf(k1[i] - k[i]) <= tolerance && fabsf(v1[i] - v[i]) <= tolerance);
    }
    tfr_kvcache_close(&a);
    tfr_kvcache_close(&b);
}

TFR_TEST(an_f32_cache_gives_back_what_it_was_given) {
    TFR_UNUSED_STATE;
    check_round_trip(TFR_DTYPE_F32, 0);
}

TFR_TEST(an_int8_cache_stored_and_loaded_is_the_same_cache) {
    TFR_UNUSED_STATE;
    check_round_trip(TFR_DTYPE_I8, 1 / 253.0);
}

TFR_TEST(a_cache_of_16_bits_stored_and_loaded_is_the_same_cache) {
    TFR_UNUSED_STATE;
    check_round_trip(TFR_DTYPE_BF16, 1 / 512.0); /* half a step below 1 */
    check_round_trip(TFR_DTYPE_F16, 1 / 4096.0);
}

/* In a host of ABI 2.2 a cache ends behind v_scale, and what a newer plugin sees there is the next layer's. */
TFR_TEST(a_cache_of_an_older_host_is_read_no_further_than_it_goes) {
    TFR_UNUSED_STATE;
    enum { N = 16, WIDTH = 3, OLD_BYTES = offsetof(struct tfr_kv, k_half) };
    static float k[N * WIDTH], v[N * WIDTH], k_scale[N], v_scale[N];
    static int8_t k8[N * WIDTH], v8[N * WIDTH];
    const struct tfr_kv old[] = {{.k = k, .v = v, .capacity = N},
                                 {.k8 = k8, .v8 = v8, .k_scale = k_scale, .v_scale = v_scale, .capacity = N}};
    const float key[WIDTH] = {1, 0.5f, -127}, value[WIDTH] = {127, 3, -4};
    assert_int_equal(OLD_BYTES, 56);
    for (int type = 0; type < 2; type++) {
        struct tfr_kv kv;
        memset(&kv, 0xa5, sizeof kv);
        memcpy(&kv, &old[type], OLD_BYTES);
        tfr_kv_put(&kv, WIDTH, 0, 5, key, value);
        for (int64_t d = 0; d < WIDTH; d++) {
            assert_true(fabsf(tfr_kv_key(&kv, WIDTH, 0, 5, d) - key[d]) <= (type == 0 ? 0 : 0.5f));
            assert_true(tfr_kv_value(&kv, WIDTH, 0, 5, d) == value[d]);
        }
    }
}

/* All numbers of 16 bits come back; what lies between two goes to the nearer one, and to the even one from the middle. */
TFR_TEST(numbers_of_16_bits_are_rounded_to_the_nearest) {
    TFR_UNUSED_STATE;
    for (uint32_t bits = 0; bits < 0x7c00; bits++) {
        const float low = tfr_half_from_f16((uint16_t)bits), high = tfr_half_from_f16((uint16_t)(bits + 1));
        assert_int_equal(tfr_half_to_f16(low), bits);
        assert_int_equal(tfr_half_to_f16(-low), bits | 0x8000);
        if (bits < 0x7bff) {
            const float middle = (low + high) / 2;
            assert_int_equal(tfr_half_to_f16(middle), bits + bits % 2);
            assert_int_equal(tfr_half_to_f16(nextafterf(middle, 0)), bits);
            assert_int_equal(tfr_half_to_f16(nextafterf(middle, 1e6f)), bits + 1);
        }
    }
    assert_int_equal(tfr_half_to_f16(65519.9f), 0x7bff);
    assert_int_equal(tfr_half_to_f16(65520), 0x7c00);
    assert_true(isinf(tfr_half_from_f16(tfr_half_to_f16(INFINITY))) && isnan(tfr_half_from_f16(tfr_half_to_f16(NAN))));
    for (uint32_t bits = 0; bits < 0x7f80; bits++) {
        const float low = tfr_half_from_bf16((uint16_t)bits), high = tfr_half_from_bf16((uint16_t)(bits + 1));
        assert_int_equal(tfr_half_to_bf16(-low), bits | 0x8000);
        if (bits < 0x7f7f) {
            const float middle = low + (high - low) / 2;
            assert_int_equal(tfr_half_to_bf16(middle), bits + bits % 2);
            assert_int_equal(tfr_half_to_bf16(nextafterf(middle, 0)), bits);
        }
    }
    assert_true(isnan(tfr_half_from_bf16(tfr_half_to_bf16(NAN))));
}

/* Also between caches of other room. */
TFR_TEST(a_copy_has_the_first_positions_of_every_layer) {
    TFR_UNUSED_STATE;
    enum { N = 19, FLOATS = 3 * N * 20 };
    static float k[FLOATS], v[FLOATS], k1[FLOATS], v1[FLOATS], k2[FLOATS], v2[FLOATS];
    static const enum tfr_dtype types[] = {TFR_DTYPE_F32, TFR_DTYPE_BF16, TFR_DTYPE_F16, TFR_DTYPE_I8};
    for (size_t type = 0; type < sizeof types / sizeof *types; type++) {
        struct tfr_kvcache_spec spec = small_spec;
        spec.dtype = types[type];
        struct tfr_kvcache from, to;
        assert_ok(tfr_kvcache_open(&from, &spec, 50));
        assert_ok(tfr_kvcache_open(&to, &spec, 32));
        for (int64_t layer = 0; layer < 2; layer++) {
            fill(k, FLOATS, 7 + (uint64_t)layer);
            fill(v, FLOATS, 9 + (uint64_t)layer);
            tfr_kvcache_load(&from, layer, 0, N, k, v);
        }
        tfr_kvcache_copy(&to, &from, N);
        for (int64_t layer = 0; layer < 2; layer++) {
            tfr_kvcache_store(&from, layer, 0, N, k1, v1);
            tfr_kvcache_store(&to, layer, 0, N, k2, v2);
            assert_memory_equal(k1, k2, sizeof k1);
            assert_memory_equal(v1, v2, sizeof v1);
        }
        tfr_kvcache_close(&from);
        tfr_kvcache_close(&to);
    }
}

TFR_TEST(a_position_of_gpt2_has_73728_bytes_36864_or_19584) {
    TFR_UNUSED_STATE;
    struct tfr_kvcache_spec spec = {.n_layers = 12, .n_heads = 12, .head_dim = 64, .dtype = TFR_DTYPE_F32};
    assert_int_equal(tfr_kvcache_position_bytes(&spec), 73728);
    spec.dtype = TFR_DTYPE_BF16;
    assert_int_equal(tfr_kvcache_position_bytes(&spec), 36864);
    spec.dtype = TFR_DTYPE_I8;
    assert_int_equal(tfr_kvcache_position_bytes(&spec), 19584);
    struct tfr_kvcache cache;
    assert_ok(tfr_kvcache_open(&cache, &spec, 1024));
    assert_int_equal(cache.block.size, 1024 * 19584);
    tfr_kvcache_close(&cache);
}

static size_t resident_pages(const struct tfr_kvcache *cache, size_t *n_pages) {
    static unsigned char in_memory[4096];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t n = 0;
    *n_pages = (cache->block.size + page - 1) / page;
    assert_true(*n_pages <= sizeof in_memory);
    assert_int_equal(mincore(cache->block.data, cache->block.size, in_memory), 0);
    for (size_t i = 0; i < *n_pages; i++) {
        n += in_memory[i] & 1;
    }
    return n;
}

TFR_TEST(a_static_cache_has_all_its_pages_and_a_growing_one_none) {
    TFR_UNUSED_STATE;
    struct tfr_kvcache_spec spec = {.n_layers = 4, .n_heads = 4, .head_dim = 64, .dtype = TFR_DTYPE_F32};
    struct tfr_kvcache cache;
    size_t n_pages;
    assert_ok(tfr_kvcache_open(&cache, &spec, 1000));
    assert_int_equal(resident_pages(&cache, &n_pages), 0);
    tfr_kvcache_close(&cache);
    spec.touch = true;
    assert_ok(tfr_kvcache_open(&cache, &spec, 1000));
    assert_true(resident_pages(&cache, &n_pages) == n_pages && n_pages > 1000);
    tfr_kvcache_close(&cache);
}

TFR_TEST(a_cache_without_layers_or_memory_is_told) {
    TFR_UNUSED_STATE;
    struct tfr_kvcache_spec spec = small_spec;
    struct tfr_kvcache cache;
    spec.n_layers = 0;
    assert_ok(tfr_kvcache_open(&cache, &spec, 10));
    tfr_kvcache_close(&cache);
    spec.n_layers = 2;
    tfr_alloc_fail_after(1);
    assert_int_equal(tfr_kvcache_open(&cache, &spec, 10), TFR_RESOURCE);
    tfr_alloc_fail_after(2);
    assert_refused(tfr_kvcache_open(&cache, &spec, 10), TFR_RESOURCE, "kv cache of 10 positions");
    tfr_alloc_fail_after(0);
    tfr_kvcache_close(&cache);
}

TFR_TEST_MAIN(TFR_CASE(a_scale_is_the_largest_over_127_cut_to_17_bits), TFR_CASE(an_element_is_off_by_half_a_scale),
              TFR_CASE(quantising_again_changes_nothing), TFR_CASE(ties_go_to_even), TFR_CASE(extremes_have_their_rules),
              TFR_CASE(an_f32_cache_gives_back_what_it_was_given), TFR_CASE(an_int8_cache_stored_and_loaded_is_the_same_cache),
              TFR_CASE(a_copy_has_the_first_positions_of_every_layer), TFR_CASE(a_position_of_gpt2_has_73728_bytes_36864_or_19584),
              TFR_CASE(a_cache_of_an_older_host_is_read_no_further_than_it_goes),
              TFR_CASE(a_cache_of_16_bits_stored_and_loaded_is_the_same_cache),
              TFR_CASE(numbers_of_16_bits_are_rounded_to_the_nearest),
              TFR_CASE(a_static_cache_has_all_its_pages_and_a_growing_one_none), TFR_CASE(a_cache_without_layers_or_memory_is_told))

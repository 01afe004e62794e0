/* test_histogram.c - percentiles of app/load/histogram.h against sorted values: no further than 1 % away, and exact at both ends.
 */
#include <math.h>
#include <stdlib.h>

#include "app/load/histogram.h"
#include "base/rng.h"
#include "tfr_test.h"

enum { N = 20000 };

static uint64_t values[N];

static int compare(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The definition, on all values. */
static uint64_t by_sorting(size_t n, double share) {
    const double rank = ceil(share * (double)n);
    return values[rank < 1 ? 0 : (size_t)rank - 1];
}

static void check(size_t n) {
    static const double shares[] = {0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1};
    struct tfr_histogram *histogram = calloc(1, sizeof *histogram);
    double sum = 0;
    assert_non_null(histogram);
    for (size_t i = 0; i < n; i++) {
        tfr_histogram_add(histogram, values[i]);
        sum += (double)values[i];
    }
    qsort(values, n, sizeof *values, compare);
    assert_int_equal(histogram->n, n);
    assert_int_equal(histogram->min, values[0]);
    assert_int_equal(histogram->max, values[n - 1]);
    assert_true(fabs(tfr_histogram_mean(histogram) - sum / (double)n) <= 1e-9 * sum);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const double have = (double)tfr_histogram_percentile(histogram, shares[i]), want = (double)by_sorting(n, shares[i]);
        assert_true(fabs(have - want) <= 0.01 * want);
    }
    free(histogram);
}

TFR_TEST(nothing_has_no_percentile) {
    TFR_UNUSED_STATE;
    static const struct tfr_histogram empty;
    assert_int_equal(tfr_histogram_percentile(&empty, 0.5), 0);
    assert_true(tfr_histogram_mean(&empty) == 0);
}

TFR_TEST(one_value_is_every_percentile) {
    TFR_UNUSED_STATE;
    static const uint64_t ones[] = {0, 1, 127, 128, 255, 256, 1000003, 123456789012, UINT64_C(1) << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof ones / sizeof ones[0]; i++) {
        struct tfr_histogram *histogram = calloc(1, sizeof *histogram);
        assert_non_null(histogram);
        tfr_histogram_add(histogram, ones[i]);
        assert_true(tfr_histogram_percentile(histogram, 0.5) == ones[i]);
        free(histogram);
    }
}

TFR_TEST(percentiles_are_those_of_sorted_values) {
    TFR_UNUSED_STATE;
    for (uint64_t kind = 0; kind < 4; kind++) {
        for (uint64_t i = 0; i < N; i++) {
            const double u = tfr_philox_uniform(kind, 1, i);
            /* small ones, equally likely, of all sizes, and a few far away */
            values[i] = kind == 0   ? (uint64_t)(u * 300)
                        : kind == 1 ? (uint64_t)(u * 1e9)
                        : kind == 2 ? (uint64_t)exp(u * 40)
                                    : (uint64_t)(u < 0.95 ? 3e7 + 1e6 * u : 4e9 * u);
        }
        check(N);
    }
}

TFR_TEST(few_values_too) {
    TFR_UNUSED_STATE;
    for (size_t n = 1; n < 30; n++) {
        for (size_t i = 0; i < n; i++) {
            values[i] = (uint64_t)(1e3 + 1e9 * tfr_philox_uniform(n, 2, i));
        }
        check(n);
    }
}

TFR_TEST_MAIN(TFR_CASE(nothing_has_no_percentile), TFR_CASE(one_value_is_every_percentile),
              TFR_CASE(percentiles_are_those_of_sorted_values), TFR_CASE(few_values_too))

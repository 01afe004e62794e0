/* test_row_loops.c - loops over a row against their definition in long double, and every width of vectors against the plain one. */
#include "tfr_test.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "base/row_loops.h"

enum { MOST = 50257 };

static float row[MOST], p[MOST], q[MOST];

/* Normal numbers; from `banned` on a third of them is minus infinity, and a part of the rest is far below. */
static void fill(int64_t n, double deviation, uint64_t key, int64_t banned) {
    for (int64_t i = 0; i < n; i++) {
        row[i] = (float)(deviation * tfr_philox_normal(key, 0, (uint64_t)i));
        row[i] = i >= banned && i % 3 == 0 ? -INFINITY : i >= banned && i % 3 == 1 ? row[i] - 200 : row[i];
    }
}

static float largest_of(int64_t n) {
    int32_t nan = 0;
    return tfr_row_loops_variant(0)->largest(row, n, -INFINITY, &nan);
}

/* The order that row_loops.h states. */
static double sum_by_the_book(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t first = 0; first < n; first += TFR_ROW_BLOCK) {
        double lane[TFR_ROW_LANES] = {0};
        for (int64_t c = first; c < first + TFR_ROW_BLOCK && c < n; c++) {
            lane[(c - first) % TFR_ROW_LANES] += (double)x[c];
        }
        for (int half = TFR_ROW_LANES / 2; half > 0; half /= 2) {
            for (int j = 0; j < half; j++) {
                lane[j] += lane[j + half];
            }
        }
        sum += lane[0];
    }
    return sum;
}

static const int64_t sizes[] = {1, 5, 8, 127, 128, 129, 1000, 2048, MOST};
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

TFR_TEST(every_width_has_the_bits_of_the_plain_loops) {
    TFR_UNUSED_STATE;
    const struct tfr_row_loops *plain = tfr_row_loops_variant(0);
    for (size_t v = 1; tfr_row_loops_variant(v) != NULL; v++) {
        const struct tfr_row_loops *loops = tfr_row_loops_variant(v);
        for (size_t s = 0; s < N_SIZES; s++) {
            const int64_t n = sizes[s];
            int32_t nan[2] = {0, 0};
            fill(n, 4, 5 + v, n / 2);
            const float best = largest_of(n);
            assert_true(loops->largest(row, n, -INFINITY, &nan[0]) == plain->largest(row, n, -INFINITY, &nan[1]));
            const double sums[2] = {loops->exp_sum(row, n, best), plain->exp_sum(row, n, best)};
            const double weights[2] = {loops->weights(row, n, best, p), plain->weights(row, n, best, q)};
            const double totals[2] = {loops->sum(p, n), plain->sum(q, n)};
            assert_memory_equal(&sums[0], &sums[1], sizeof sums[0]);
            assert_memory_equal(&weights[0], &weights[1], sizeof weights[0]);
            assert_memory_equal(&totals[0], &totals[1], sizeof totals[0]);
            assert_memory_equal(p, q, (size_t)n * sizeof *p);
            loops->larger(p, row, n);
            plain->larger(q, row, n);
            assert_memory_equal(p, q, (size_t)n * sizeof *p);
        }
    }
}

TFR_TEST(exponentials_are_those_of_long_double) {
    TFR_UNUSED_STATE;
    for (double x = 0; x < 103; x += 0.00613) { /* each alone in its row: shift - x is exact */
        const float zero = 0;
        const long double want = expl(-(long double)x);
        const double have = tfr_row_loops()->exp_sum(&zero, 1, x);
        assert_true(fabsl(((long double)have - want) / want) <= 1.5L * DBL_EPSILON);
    }
    assert_true(tfr_row_loops()->exp_sum(&(float){3}, 1, 3) == 1);
}

/* Half a unit in float32's last place, and what the double before it may be off. */
TFR_TEST(weights_are_the_softmax_of_long_double) {
    TFR_UNUSED_STATE;
    fill(MOST, 3, 1, MOST / 2);
    const float best = largest_of(MOST);
    const double total = tfr_row_loops()->weights(row, MOST, best, p);
    long double sum = 0;
    for (int64_t i = 0; i < MOST; i++) {
        const long double want = expl((long double)(row[i] - best)), unit = want * FLT_EPSILON / 2;
        assert_true(fabsl((long double)p[i] - want) <= unit * 1.000001L + (long double)FLT_TRUE_MIN / 2);
        sum += (long double)p[i];
    }
    assert_true(fabsl((long double)total - sum) <= sum * MOST / TFR_ROW_BLOCK * DBL_EPSILON);
    assert_true(total == sum_by_the_book(p, MOST) && total == tfr_row_loops()->sum(p, MOST));
}

TFR_TEST(sums_have_the_order_that_is_stated) {
    TFR_UNUSED_STATE;
    for (size_t s = 0; s < N_SIZES; s++) {
        fill(sizes[s], 1, s, MOST);
        const double want = sum_by_the_book(row, sizes[s]), have = tfr_row_loops()->sum(row, sizes[s]);
        assert_memory_equal(&have, &want, sizeof have);
    }
}

/* What lies far below the largest is left out: the sum with it is the same. */
TFR_TEST(what_is_far_below_adds_nothing) {
    TFR_UNUSED_STATE;
    fill(4096, 3, 2, MOST);
    const float best = largest_of(4096);
    const double without = tfr_row_loops()->exp_sum(row, 4096, best);
    for (int64_t i = 4096; i < 8192; i++) {
        row[i] = best - 110 - (float)(i % 50);
    }
    const double with = tfr_row_loops()->exp_sum(row, 8192, best);
    assert_memory_equal(&with, &without, sizeof with);
}

TFR_TEST(numbers_that_are_none_are_seen_wherever_they_stand) {
    TFR_UNUSED_STATE;
    static const int64_t places[] = {0, 7, 130, 255, 256, 299};
    for (size_t v = 0; tfr_row_loops_variant(v) != NULL; v++) {
        const struct tfr_row_loops *loops = tfr_row_loops_variant(v);
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            int32_t nan = 0;
            fill(300, 1, 3, MOST);
            loops->largest(row, 300, -INFINITY, &nan);
            assert_int_equal(nan, 0);
            row[places[i]] = NAN;
            for (int64_t c = 0; c < 300; c++) { /* alone among what is far below */
                row[c] = c == places[i] || c == 1 ? row[c] : -1000;
            }
            loops->largest(row, 300, -INFINITY, &nan);
            assert_true(nan != 0);
            assert_true(isnan(loops->exp_sum(row, 300, row[1])));
            assert_true(isnan(loops->weights(row, 300, row[1], p)));
        }
        assert_true(isnan(loops->exp_sum(&(float){INFINITY}, 1, INFINITY)));
        assert_true(isnan(loops->exp_sum(&(float){-INFINITY}, 1, -INFINITY)));
    }
}

TFR_TEST(a_block_is_below_where_all_of_it_is) {
    TFR_UNUSED_STATE;
    static const int64_t counts[] = {1, 16, 100, TFR_ROW_BLOCK};
    for (size_t v = 0; tfr_row_loops_variant(v) != NULL; v++) {
        const struct tfr_row_loops *loops = tfr_row_loops_variant(v);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            fill(counts[i], 1, 9, MOST);
            const float best = largest_of(counts[i]);
            assert_false(loops->is_below(row, counts[i], best));
            assert_true(loops->is_below(row, counts[i], nextafterf(best, INFINITY)));
            row[counts[i] - 1] = NAN;
            assert_false(loops->is_below(row, counts[i], 100));
        }
    }
}

TFR_TEST_MAIN(TFR_CASE(every_width_has_the_bits_of_the_plain_loops), TFR_CASE(exponentials_are_those_of_long_double),
              TFR_CASE(weights_are_the_softmax_of_long_double), TFR_CASE(sums_have_the_order_that_is_stated),
              TFR_CASE(what_is_far_below_adds_nothing), TFR_CASE(numbers_that_are_none_are_seen_wherever_they_stand),
              TFR_CASE(a_block_is_below_where_all_of_it_is))

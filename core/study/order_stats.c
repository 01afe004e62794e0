/* order_stats.c - see order_stats.h. */
#include "study/order_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t tfr_spread_rank(size_t n, double *coverage) {
    double term = ldexp(1, -(int)n), below = 0; /* that i of n times lie below the median; that fewer than k do */
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (2 * (below + term) > 0.05 && k > 0) {
            break;
        }
        below += term;
        k++;
        term *= (double)(n - i) / (double)(i + 1);
    }
    *coverage = fmax(0, 1 - 2 * below);
    return k;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* At this share of the way from the smallest to the largest. */
static double quantile(const double *sorted, size_t n, double share) {
    const double at = share * (double)(n - 1);
    const size_t before = (size_t)at, behind = before + 1 < n ? before + 1 : before;
    return sorted[before] + (at - (double)before) * (sorted[behind] - sorted[before]);
}

struct tfr_spread tfr_spread_of(const double *times, size_t n) {
    double sorted[TFR_MOST_TIMES];
    struct tfr_spread spread = {.n = n < TFR_MOST_TIMES ? n : TFR_MOST_TIMES};
    if (n == 0) {
        return spread;
    }
    memcpy(sorted, times, spread.n * sizeof *sorted);
    qsort(sorted, spread.n, sizeof *sorted, by_value);
    const size_t k = tfr_spread_rank(spread.n, &spread.coverage);
    spread.median = quantile(sorted, spread.n, 0.5);
    spread.q1 = quantile(sorted, spread.n, 0.25);
    spread.q3 = quantile(sorted, spread.n, 0.75);
    spread.low = sorted[k - 1];
    spread.high = sorted[spread.n - k];
    return spread;
}

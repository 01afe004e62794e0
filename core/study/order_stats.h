/* order_stats.h - what repeated times say without a guess at their distribution: median, quartiles, and an interval for the median.
 *
 * The interval lies between two of the times: the k-th smallest and the k-th largest, k as large as the chance allows that the
 * median of all times there could be lies between them, by the binomial distribution, in at least 95 of 100 measurements. Below six
 * times no two of them do; the interval is then from the smallest to the largest, and `coverage` says what that is worth.
 * Thread rule: no state.
 */
#ifndef TFR_STUDY_ORDER_STATS_H
#define TFR_STUDY_ORDER_STATS_H

#include <tfrun/types.h>

enum { TFR_MOST_TIMES = 1000 }; /* so that no term of the distribution is too small for a double */

struct tfr_spread {
    size_t n;
    double median, q1, q3; /* quartiles as the inclusive method has them: linear between two times */
    double low, high;      /* the interval of the median */
    double coverage;       /* 0.95 and more; less below six times */
};

/* Of n times, 1 .. TFR_MOST_TIMES. */
struct tfr_spread tfr_spread_of(const double *times, size_t n);
/* k of the interval for n times (from 1) and its coverage. */
size_t tfr_spread_rank(size_t n, double *coverage);

#endif

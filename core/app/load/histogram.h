/* histogram.h - counts of values from 1 ns on in buckets of less than 1 % width: percentiles of any number of latencies in 60 KB.
 *
 * Log-linear: values below 128 have a bucket each, every octave above has 128 of equal width, so a value that is told in place of
 * another is less than 1/128 away from it. Smallest and largest value, number and sum are exact. */
#ifndef TFR_APP_LOAD_HISTOGRAM_H
#define TFR_APP_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    TFR_HISTOGRAM_STEPS = 128,
    TFR_HISTOGRAM_OCTAVES = 57,
    TFR_HISTOGRAM_BUCKETS = TFR_HISTOGRAM_STEPS * (TFR_HISTOGRAM_OCTAVES + 1)
};

struct tfr_histogram { /* all 0: empty */
    uint64_t n, min, max;
    double sum;
    uint64_t count[TFR_HISTOGRAM_BUCKETS];
};

void tfr_histogram_add(struct tfr_histogram *histogram, uint64_t value);
/* The smallest value that at least `share` (0 .. 1) of all do not exceed; 0 of none. */
uint64_t tfr_histogram_percentile(const struct tfr_histogram *histogram, double share);
double tfr_histogram_mean(const struct tfr_histogram *histogram);

#endif

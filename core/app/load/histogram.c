/* histogram.c - see histogram.h. */
#include "app/load/histogram.h"

#include <math.h>

enum { STEP_BITS = 7 }; /* 128 steps */

static int bucket_of(uint64_t value) {
    if (value < TFR_HISTOGRAM_STEPS) {
        return (int)value;
    }
    const int octave = 63 - __builtin_clzll(value) - STEP_BITS; /* value >> octave is in 128 .. 255 */
    return octave * TFR_HISTOGRAM_STEPS + (int)(value >> octave);
}

/* The value in the middle of a bucket. */
static uint64_t middle_of(int bucket) {
    if (bucket < 2 * TFR_HISTOGRAM_STEPS) {
        return (uint64_t)bucket;
    }
    const int octave = bucket / TFR_HISTOGRAM_STEPS - 1;
    const uint64_t low = (uint64_t)(bucket - octave * TFR_HISTOGRAM_STEPS) << octave;
    return low + (UINT64_C(1) << octave) / 2;
}

void tfr_histogram_add(struct tfr_histogram *histogram, uint64_t value) {
    histogram->min = histogram->n == 0 || value < histogram->min ? value : histogram->min;
    histogram->max = value > histogram->max ? value : histogram->max;
    histogram->sum += (double)value;
    histogram->n++;
    histogram->count[bucket_of(value)]++;
}

uint64_t tfr_histogram_percentile(const struct tfr_histogram *histogram, double share) {
    if (histogram->n == 0) {
        return 0;
    }
    const double exact = ceil(share * (double)histogram->n);
    const uint64_t rank = exact < 1 ? 1 : exact >= (double)histogram->n ? histogram->n : (uint64_t)exact;
    uint64_t seen = 0, value = histogram->max;
    for (int i = 0; i < TFR_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->count[i];
        if (seen >= rank) {
            value = middle_of(i);
            break;
        }
    }
    return value < histogram->min ? histogram->min : value > histogram->max ? histogram->max : value;
}

double tfr_histogram_mean(const struct tfr_histogram *histogram) {
    return histogram->n > 0 ? histogram->sum / (double)histogram->n : 0;
}

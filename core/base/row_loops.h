/* row_loops.h - loops over one row of scores: the largest, e^x, sums. Once for each width of vectors, all with the same bits.
 *
 * The bits are a function of the row alone, on any CPU and with any C library: e^x is an own polynomial (within 1.5 units in the
 * last place of a double), nothing is contracted to a fused multiply-add, and sums have one order. A sum runs over blocks of
 * TFR_ROW_BLOCK columns in ascending order; in a block column c goes to lane c % TFR_ROW_LANES, lanes add up their columns in
 * ascending order, and then each other as a tree (lane j and lane j + 4, then j + 2, then j + 1). Columns of the last block that
 * are not there count as 0. Thread rule: no state, any thread.
 */
#ifndef TFR_BASE_ROW_LOOPS_H
#define TFR_BASE_ROW_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TFR_ROW_BLOCK = 128, TFR_ROW_LANES = 8 };

struct tfr_row_loops {
    const char *name; /* "plain", "avx2", "avx512" */
    /* The largest of `from` and x; a NaN is none. One among x sets *nan. */
    float (*largest)(const float *x, int64_t n, float from, int32_t *nan);
    /* Sum of e^(x - shift) in double, where no x is larger than `shift`; NaN where an x is NaN, or `shift` is infinite. */
    double (*exp_sum)(const float *x, int64_t n, double shift);
    /* p = e^(x - shift) with float32 for the difference and the result, as torch has them; returns the sum of p in double. p may be
     * x. */
    double (*weights)(const float *x, int64_t n, float shift, float *p);
    double (*sum)(const float *x, int64_t n);
    /* Of n columns, TFR_ROW_BLOCK at most, all are less than `limit`; a NaN is not. */
    bool (*is_below)(const float *x, int64_t n, float limit);
    /* most[i] = the larger of itself and x[i], which share no memory. */
    void (*larger)(float *restrict most, const float *restrict x, int64_t n);
};

/* Those for this CPU. */
const struct tfr_row_loops *tfr_row_loops(void);
/* All that this CPU can run, by index; NULL past the last one. 0 is plain. For tests. */
const struct tfr_row_loops *tfr_row_loops_variant(size_t index);

#endif

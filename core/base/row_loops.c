/* row_loops.c - see row_loops.h. */
#include "base/row_loops.h"

#include <math.h>
#include <string.h>

/* e^-104 is 0 in float32, and changes no sum that has a 1 in it: where all of a block is so far below the largest, it is left out.
 */
#define FAR 104.0f

#define INLINE static inline __attribute__((always_inline))

/* e^x of x <= 0 without a branch: x = k ln 2 + r, |r| <= ln 2 / 2, then 1 + r + r^2 q(r) with q of degree 9 from Chebyshev's
 * points, which is off by 2e-17. Below -700 it is 0; NaN stays. */
INLINE double exp_of(double x) {
    static const double q[] = {0x1.0000000000001p-1,  0x1.5555555555556p-3,  0x1.5555555553d63p-5,  0x1.11111111109b3p-7,
                               0x1.6c16c1788bd90p-10, 0x1.a01a01a7c41d5p-13, 0x1.a019b90d2ae7ap-16, 0x1.71de0dae63bb3p-19,
                               0x1.289185613a3d6p-22, 0x1.af38a9b0ec855p-26};
    const double whole = 0x1.8p52; /* added and taken away, it rounds to a whole number, which is then in the low bits of the sum */
    const double near = x < -700 ? -700 : x, sum = near * 0x1.71547652b82fep+0 + whole, k = sum - whole;
    const double r = (near - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
    double y = q[9];
    y = y * r + q[8];
    y = y * r + q[7];
    y = y * r + q[6];
    y = y * r + q[5];
    y = y * r + q[4];
    y = y * r + q[3];
    y = y * r + q[2];
    y = y * r + q[1];
    y = y * r + q[0];
    y = 1 + (r + r * r * y);
    uint64_t bits;
    double scale;
    memcpy(&bits, &sum, sizeof bits);
    bits = (bits << 52) + (UINT64_C(1023) << 52); /* 2^k */
    memcpy(&scale, &bits, sizeof scale);
    return x < -700 ? 0 : y * scale;
}

INLINE double tree(const double *lane) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* A block of which only n columns are there, filled up with minus infinity. */
INLINE const float *whole_block(const float *x, int64_t n, float *padded) {
    if (n >= TFR_ROW_BLOCK) {
        return x;
    }
    for (int c = 0; c < TFR_ROW_BLOCK; c++) {
        padded[c] = c < n ? x[c] : -INFINITY;
    }
    return padded;
}

#define NAME(function) function##_plain
#define TARGET
#define LABEL "plain"
#include "base/row_loops_body.h"

#if defined(__x86_64__)
#define NAME(function) function##_avx2
#define TARGET         __attribute__((target("avx2")))
#define LABEL          "avx2"
#include "base/row_loops_body.h"

#define NAME(function) function##_avx512
#define TARGET         __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl")))
#define LABEL          "avx512"
#include "base/row_loops_body.h"
#endif

const struct tfr_row_loops *tfr_row_loops_variant(size_t index) {
    const struct tfr_row_loops *known[3] = {&loops_plain};
    size_t n = 1;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        known[n++] = &loops_avx2;
    }
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        known[n++] = &loops_avx512;
    }
#endif
    return index < n ? known[index] : NULL;
}

const struct tfr_row_loops *tfr_row_loops(void) {
    const struct tfr_row_loops *best = &loops_plain;
    for (size_t i = 1; tfr_row_loops_variant(i) != NULL; i++) {
        best = tfr_row_loops_variant(i);
    }
    return best;
}

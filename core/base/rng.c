/* rng.c - Philox4x32-10 and what is drawn from it.
 *
 * The normal uses only +, -, *, / and sqrt, each rounded once (compiled without contraction into fused
 * operations): the same arguments give the same bits on every machine and C library. It does not aim at speed
 * beyond tfrun init.
 */
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* Multipliers and key increments of the paper. */
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

enum { PHILOX_ROUNDS = 10 };

static uint64_t join_words(uint32_t high, uint32_t low) {
    return (uint64_t)high << 32 | low;
}

/* log of u in (0, 1]: u = m * 2^e with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)). */
static double natural_log(double u) {
    static const double inverse_odd[] = {1.0,      1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9, 1.0 / 11,
                                         1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
    static const double ln_2_high = 0x1.62e42feep-1, ln_2_low = 0x1.a39ef35793c76p-33;
    uint64_t bits;
    memcpy(&bits, &u, sizeof(bits));
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof(m));
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    const double s = (m - 1.0) / (m + 1.0), z = s * s;
    double sum = 0.0; /* z < 0.0295: eleven terms reach the last bit */
    for (int k = 10; k >= 0; k--) {
        sum = sum * z + inverse_odd[k];
    }
    return exponent * ln_2_high + (exponent * ln_2_low + 2.0 * s * sum);
}

/* cos and sin of 2 pi t, t in [0, 1): Taylor series on [-pi/4, pi/4] after taking out the quarter turns. */
static void cos_sin_turns(double t, double *cosine, double *sine) {
    static const double cos_terms[] = {1.0,
                                       -1.0 / 2,
                                       1.0 / 24,
                                       -1.0 / 720,
                                       1.0 / 40320,
                                       -1.0 / 3628800,
                                       1.0 / 479001600,
                                       -1.0 / 87178291200,
                                       1.0 / 20922789888000};
    static const double sin_terms[] = {1.0,
                                       -1.0 / 6,
                                       1.0 / 120,
                                       -1.0 / 5040,
                                       1.0 / 362880,
                                       -1.0 / 39916800,
                                       1.0 / 6227020800,
                                       -1.0 / 1307674368000,
                                       1.0 / 355687428096000};
    enum { N_TERMS = sizeof(cos_terms) / sizeof(cos_terms[0]) };
    const int quarter = (int)(t * 4.0 + 0.5);
    const double x = (t * 4.0 - quarter) * 1.5707963267948966, z = x * x;
    double c = 0.0, s = 0.0;
    for (int k = N_TERMS - 1; k >= 0; k--) {
        c = c * z + cos_terms[k];
        s = s * z + sin_terms[k];
    }
    s *= x;
    const double cosines[4] = {c, -s, -c, s}, sines[4] = {s, c, -s, -c};
    *cosine = cosines[quarter & 3];
    *sine = sines[quarter & 3];
}

struct tfr_philox tfr_philox(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
    uint32_t x0 = (uint32_t)counter_low, x1 = (uint32_t)(counter_low >> 32);
    uint32_t x2 = (uint32_t)counter_high, x3 = (uint32_t)(counter_high >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)PHILOX_M0 * x0, p1 = (uint64_t)PHILOX_M1 * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    return (struct tfr_philox){.word = {x0, x1, x2, x3}};
}

double tfr_philox_uniform(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
    const struct tfr_philox p = tfr_philox(key, counter_high, counter_low);
    return (double)(join_words(p.word[0], p.word[1]) >> 11) * 0x1p-53;
}

void tfr_philox_normal_pair(uint64_t key, uint64_t counter_high, uint64_t counter_low, double normal[2]) {
    const struct tfr_philox p = tfr_philox(key, counter_high, counter_low);
    /* (0, 1], so that the logarithm is finite. */
    const double u = ((double)(join_words(p.word[0], p.word[1]) >> 11) + 1.0) * 0x1p-53;
    const double turn = (double)(join_words(p.word[2], p.word[3]) >> 11) * 0x1p-53;
    const double radius = sqrt(-2.0 * natural_log(u));
    double cosine, sine;
    cos_sin_turns(turn, &cosine, &sine);
    normal[0] = radius * cosine;
    normal[1] = radius * sine;
}

double tfr_philox_normal(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
    double normal[2];
    tfr_philox_normal_pair(key, counter_high, counter_low, normal);
    return normal[0];
}

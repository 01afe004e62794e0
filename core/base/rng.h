/* rng.h - counter-based random numbers: a pure function of (key, counter), so that no order of calls matters.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Thread rule: any, no state.
 */
#ifndef TFR_BASE_RNG_H
#define TFR_BASE_RNG_H

#include <stdint.h>

struct tfr_philox {
    uint32_t word[4];
};

struct tfr_philox tfr_philox(uint64_t key, uint64_t counter_high, uint64_t counter_low);
/* [0, 1) with 53 bits, from the first two words. */
double tfr_philox_uniform(uint64_t key, uint64_t counter_high, uint64_t counter_low);
/* Standard normal (Box-Muller on the four words), exact function of its arguments. */
double tfr_philox_normal(uint64_t key, uint64_t counter_high, uint64_t counter_low);
/* Both normals of the four words; the first is tfr_philox_normal. */
void tfr_philox_normal_pair(uint64_t key, uint64_t counter_high, uint64_t counter_low, double normal[2]);

#endif

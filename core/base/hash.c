/* hash.c - see hash.h. */
#include "base/hash.h"

#include <sys/random.h>

#include "base/clock.h"

uint64_t tfr_hash_seed(void) {
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed = tfr_clock_ns() ^ (uintptr_t)&seed; /* early in boot: the clock and the stack's place must do */
    }
    return seed;
}

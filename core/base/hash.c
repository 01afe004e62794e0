/* hash.c - see hash.h. */
#include "base/hash.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

uint64_t tfr_hash_seed(void) {
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed = tfr_clock_ns() ^ (uintptr_t)&seed; /* early in boot: the clock and the stack's place must do */
    }
    return seed;
}

/* Maps its lane one to one. */
static inline uint64_t mix(uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return lane ^ lane >> 32;
}

/* Four words at a time, each in a lane of its own: four chains of multiplications, spelled out, since a vector of 64-bit
 * products is slower where the machine has none. */
uint64_t tfr_hash_fast(uint64_t hash, const void *data, size_t size) {
    const uint8_t *at = data;
    uint64_t lane0 = hash, lane1 = hash + 1, lane2 = hash + 2, lane3 = hash + 3;
    for (; size >= 4 * sizeof hash; size -= 4 * sizeof hash, at += 4 * sizeof hash) {
        uint64_t words[4];
        memcpy(words, at, sizeof words);
        lane0 = mix(lane0, words[0]);
        lane1 = mix(lane1, words[1]);
        lane2 = mix(lane2, words[2]);
        lane3 = mix(lane3, words[3]);
    }
    const uint64_t lanes[] = {lane0, lane1, lane2, lane3};
    return tfr_hash(tfr_hash(hash, lanes, sizeof lanes), at, size);
}

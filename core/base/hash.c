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

/* Four words at a time, each in a lane of its own. Each step maps its lane one to one. */
uint64_t tfr_hash_fast(uint64_t hash, const void *data, size_t size) {
    enum { LANES = 4 };
    uint64_t lanes[LANES], words[LANES];
    size_t at = 0;
    for (int i = 0; i < LANES; i++) {
        lanes[i] = hash + (uint64_t)i;
    }
    for (; size - at >= sizeof words; at += sizeof words) {
        memcpy(words, (const uint8_t *)data + at, sizeof words);
        for (int i = 0; i < LANES; i++) {
            lanes[i] = (lanes[i] ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
            lanes[i] ^= lanes[i] >> 32;
        }
    }
    hash = tfr_hash(hash, lanes, sizeof lanes);
    return tfr_hash(hash, (const uint8_t *)data + at, size - at);
}

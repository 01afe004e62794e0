/* hash.h - FNV-1a of 64 bits, for fingerprints: equal bytes, equal number. Tables that strangers fill have a hash of their own. */
#ifndef TFR_BASE_HASH_H
#define TFR_BASE_HASH_H

#include <tfrun/types.h>

#define TFR_HASH_START UINT64_C(0xcbf29ce484222325)

/* A start that no file can know, for tables that strangers fill. */
uint64_t tfr_hash_seed(void);

/* Goes on from `hash`, at first TFR_HASH_START. */
static inline uint64_t tfr_hash(uint64_t hash, const void *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* For tables that strangers fill: goes on from `hash`, at first a seed. High bits come down with each byte: in FNV-1a they never
 * do, so that names can be made to collide whatever most bits of the seed are. */
static inline uint64_t tfr_hash_name(uint64_t hash, const void *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29;
    }
    return hash;
}

/* The same purpose as tfr_hash at the speed of memory, with other numbers: any one changed byte changes the result. */
uint64_t tfr_hash_fast(uint64_t hash, const void *data, size_t size);

#endif

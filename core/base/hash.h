/* hash.h - FNV-1a of 64 bits, for fingerprints: equal bytes, equal number. Against names made to collide a
 * table starts from a seed. */
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

/* The same purpose at the speed of memory, with other numbers: any one changed byte changes the result. */
uint64_t tfr_hash_fast(uint64_t hash, const void *data, size_t size);

#endif

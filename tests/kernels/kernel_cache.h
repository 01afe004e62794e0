/* kernel_cache.h - the kv caches of a case and what else an attention may have: masks, head mask, weights. */
#ifndef TFR_TEST_KERNEL_CACHE_H
#define TFR_TEST_KERNEL_CACHE_H

#include "kernel_case.h"

/* Fills the caches, the sequences and the extras of `data`, and the attrs that go with them. */
void cache_build(const struct kernel_case *kase, struct kernel_data *data, uint64_t *state);
/* n sequences as a batch. */
struct tfr_batch batch_of(const struct tfr_batch_seq *seq, int64_t n);
void cache_free(struct kernel_data *data);
/* The cache of sequence b as it lies in `memory` of data->kv_bytes[b]. */
struct tfr_kv cache_at(const struct kernel_data *data, int b, void *memory);
/* A copy (free its memory) in which all keys from n_keys on are NaN. */
struct tfr_kv cache_copy(const struct kernel_data *data, int b, int64_t n_keys, void **memory);
/* The same keys and values as f32; free its memory. */
struct tfr_kv cache_as_f32(const struct kernel_data *data, int b, void **memory);

#endif

/* cache_copies.h - copies of the kv caches of a case. */
#ifndef TFR_TEST_CACHE_COPIES_H
#define TFR_TEST_CACHE_COPIES_H

#include "kernel_run.h"

/* A copy (free its memory) in which all keys from n_keys on are NaN. */
struct tfr_kv cache_copy(const struct tfr_kernel_data *data, int b, int64_t n_keys, void **memory);
/* The same keys and values as f32; free its memory. */
struct tfr_kv cache_as_f32(const struct tfr_kernel_data *data, int b, void **memory);

#endif

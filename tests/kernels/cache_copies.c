/* cache_copies.c - see cache_copies.h. */
#include "cache_copies.h"

#include <string.h>

#include <tfrun/kv.h>

struct tfr_kv cache_copy(const struct tfr_kernel_data *data, int b, int64_t n_keys, void **memory) {
    *memory = must_alloc(data->kv_bytes[b]);
    memcpy(*memory, data->kv_memory[b], data->kv_bytes[b]);
    const struct tfr_kv kv = tfr_kernel_cache_at(data, b, *memory);
    tfr_kernel_cache_hide(data, &kv, n_keys);
    return kv;
}

struct tfr_kv cache_as_f32(const struct tfr_kernel_data *data, int b, void **memory) {
    const int64_t head_dim = data->problem.attrs.head_dim, n = tfr_kernel_cache_elements(data, b);
    const struct tfr_kv *from = &data->kv[b];
    *memory = must_alloc((size_t)(2 * n) * sizeof(float));
    const struct tfr_kv to = tfr_kernel_cache_f32(data, b, *memory);
    for (int64_t h = 0; h < data->problem.attrs.n_heads; h++) {
        for (int64_t s = 0; s < from->capacity; s++) {
            for (int64_t d = 0; d < head_dim; d++) {
                to.k[tfr_kv_k_index(&to, head_dim, h, s, d)] = tfr_kv_key(from, head_dim, h, s, d);
                to.v[tfr_kv_v_index(&to, head_dim, h, s) + d] = tfr_kv_value(from, head_dim, h, s, d);
            }
        }
    }
    return to;
}

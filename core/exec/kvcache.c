/* kvcache.c - one block of memory per sequence, cut into K and V of each layer. */
#include "exec/kvcache.h"

#include <string.h>

#include <tfrun/kv.h>

#include "base/status.h"
#include "base/tensor.h"

enum { LINE = 64 };

static int64_t panels_up(int64_t capacity) {
    return (capacity + TFR_KV_PANEL - 1) / TFR_KV_PANEL * TFR_KV_PANEL;
}

/* Of K, and of V; scales are there in an int8 cache only. */
struct sizes {
    size_t elements, scales; /* bytes, whole lines */
};

static size_t scale_bytes(const struct tfr_kvcache_spec *spec) {
    return spec->dtype == TFR_DTYPE_I8 ? sizeof(float) : 0;
}

static struct sizes layer_sizes(const struct tfr_kvcache_spec *spec, int64_t capacity) {
    const size_t vectors = (size_t)spec->n_heads * (size_t)capacity, elements = vectors * (size_t)spec->head_dim;
    return (struct sizes){.elements = tfr_align_up(elements * tfr_dtype_size(spec->dtype), LINE),
                          .scales = vectors * scale_bytes(spec)};
}

size_t tfr_kvcache_position_bytes(const struct tfr_kvcache_spec *spec) {
    const size_t vector = (size_t)spec->head_dim * tfr_dtype_size(spec->dtype) + scale_bytes(spec);
    return 2 * (size_t)(spec->n_layers * spec->n_heads) * vector;
}

/* Members for K at `k` and V at `v`, with their scales behind. */
static struct tfr_kv view(const struct tfr_kvcache *cache, void *k, void *v, void *scales, size_t scale_size) {
    struct tfr_kv kv = {.capacity = cache->capacity};
    switch (cache->spec.dtype) {
    case TFR_DTYPE_I8:
        kv.k8 = k, kv.v8 = v;
        kv.k_scale = scales, kv.v_scale = (float *)(void *)((uint8_t *)scales + scale_size);
        break;
    case TFR_DTYPE_BF16:
        kv.k_pair = k, kv.v_pair = v;
        break;
    case TFR_DTYPE_F16:
        kv.k_half = k, kv.v_half = v;
        break;
    default:
        kv.k = k, kv.v = v;
    }
    return kv;
}

static void layer_views(struct tfr_kvcache *cache, const struct sizes *sizes) {
    uint8_t *next = cache->block.data;
    for (int64_t i = 0; i < cache->spec.n_layers; i++) {
        cache->layer[i] = view(cache, next, next + sizes->elements, next + 2 * sizes->elements, sizes->scales);
        next += 2 * (sizes->elements + sizes->scales);
    }
}

enum tfr_status tfr_kvcache_open(struct tfr_kvcache *cache, const struct tfr_kvcache_spec *spec, int64_t capacity) {
    *cache = (struct tfr_kvcache){.spec = *spec, .capacity = panels_up(capacity), .room = panels_up(capacity)};
    if (spec->n_layers == 0) {
        return TFR_OK;
    }
    const struct sizes sizes = layer_sizes(spec, cache->capacity);
    const size_t bytes = 2 * (size_t)spec->n_layers * (sizes.elements + sizes.scales);
    cache->layer = tfr_alloc((size_t)spec->n_layers, sizeof *cache->layer);
    if (cache->layer == NULL) {
        *cache = (struct tfr_kvcache){0};
        return TFR_RESOURCE;
    }
    enum tfr_status status = tfr_block_open(&cache->block, bytes, TFR_HUGEPAGES_TRY);
    if (status != TFR_OK) {
        tfr_free(cache->layer);
        *cache = (struct tfr_kvcache){0};
        return tfr_raise_prefix(status, "kv cache of %lld positions", (long long)capacity);
    }
    if (spec->memory !=
        NULL) { /* of one sequence threads share the heads, of several the sequences: no domain has a part of its own */
        tfr_memory_share(spec->memory, cache->block.data, bytes);
    }
    if (spec->touch) {
        memset(cache->block.data, 0, bytes);
    }
    layer_views(cache, &sizes);
    return TFR_OK;
}

bool tfr_kvcache_reuse(struct tfr_kvcache *cache, int64_t capacity) {
    if (panels_up(capacity) > cache->room) {
        return false;
    }
    const struct sizes sizes = layer_sizes(&cache->spec, panels_up(capacity));
    cache->capacity = panels_up(capacity);
    layer_views(cache, &sizes);
    return true;
}

void tfr_kvcache_close(struct tfr_kvcache *cache) {
    tfr_block_close(&cache->block);
    tfr_free(cache->layer);
    *cache = (struct tfr_kvcache){0};
}

/* `rows` rows of `bytes` bytes each; `to_pitch` and `from_pitch` from one to the next. */
static void copy_rows(void *to, size_t to_pitch, const void *from, size_t from_pitch, int64_t rows, size_t bytes) {
    for (int64_t r = 0; r < rows; r++) {
        memcpy((uint8_t *)to + (size_t)r * to_pitch, (const uint8_t *)from + (size_t)r * from_pitch, bytes);
    }
}

static void *keys_of(const struct tfr_kv *kv) {
    return kv->k8 != NULL       ? (void *)kv->k8
           : kv->k_pair != NULL ? (void *)kv->k_pair
           : kv->k_half != NULL ? (void *)kv->k_half
                                : kv->k;
}

static void *values_of(const struct tfr_kv *kv) {
    return kv->v8 != NULL       ? (void *)kv->v8
           : kv->v_pair != NULL ? (void *)kv->v_pair
           : kv->v_half != NULL ? (void *)kv->v_half
                                : kv->v;
}

/* Values of bf16 lie in pairs: of an odd number, one more comes along. */
static void copy_layer(const struct tfr_kvcache_spec *spec, const struct tfr_kv *to, const struct tfr_kv *from, int64_t n) {
    const bool has_pairs = spec->dtype == TFR_DTYPE_BF16;
    const size_t row = (size_t)spec->head_dim * tfr_dtype_size(spec->dtype), scale = scale_bytes(spec);
    const size_t to_room = (size_t)to->capacity, from_room = (size_t)from->capacity;
    const size_t k_bytes = (size_t)panels_up(n) * row, v_bytes = (size_t)(has_pairs ? (n + 1) / 2 * 2 : n) * row;
    copy_rows(keys_of(to), to_room * row, keys_of(from), from_room * row, spec->n_heads, k_bytes);
    copy_rows(values_of(to), to_room * row, values_of(from), from_room * row, spec->n_heads, v_bytes);
    if (scale > 0) {
        copy_rows(to->k_scale, to_room * scale, from->k_scale, from_room * scale, spec->n_heads, (size_t)n * scale);
        copy_rows(to->v_scale, to_room * scale, from->v_scale, from_room * scale, spec->n_heads, (size_t)n * scale);
    }
}

void tfr_kvcache_copy(struct tfr_kvcache *to, const struct tfr_kvcache *from, int64_t n) {
    for (int64_t i = 0; i < to->spec.n_layers; i++) {
        copy_layer(&to->spec, &to->layer[i], &from->layer[i], n);
    }
}

void tfr_kvcache_load(struct tfr_kvcache *cache, int64_t layer, int64_t first, int64_t n, const float *keys, const float *values) {
    const int64_t head_dim = cache->spec.head_dim;
    for (int64_t h = 0; h < cache->spec.n_heads; h++) {
        for (int64_t s = 0; s < n; s++) {
            const int64_t at = (h * n + s) * head_dim;
            tfr_kv_put(&cache->layer[layer], head_dim, h, first + s, keys + at, values + at);
        }
    }
}

void tfr_kvcache_store(const struct tfr_kvcache *cache, int64_t layer, int64_t first, int64_t n, float *keys, float *values) {
    const struct tfr_kv *kv = &cache->layer[layer];
    const int64_t head_dim = cache->spec.head_dim;
    for (int64_t h = 0; h < cache->spec.n_heads; h++) {
        for (int64_t s = 0; s < n; s++) {
            for (int64_t d = 0; d < head_dim; d++) {
                const int64_t at = (h * n + s) * head_dim + d;
                keys[at] = tfr_kv_key(kv, head_dim, h, first + s, d);
                values[at] = tfr_kv_value(kv, head_dim, h, first + s, d);
            }
        }
    }
}

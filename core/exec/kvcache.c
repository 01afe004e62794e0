/* kvcache.c - one block of memory per sequence, cut into K and V of each layer. */
#include "exec/kvcache.h"

#include <string.h>

#include "base/status.h"

static int64_t panels_up(int64_t capacity) {
    return (capacity + TFR_KV_PANEL - 1) / TFR_KV_PANEL * TFR_KV_PANEL;
}

static void layer_views(struct tfr_kvcache *cache, size_t floats) {
    float *next = cache->block.data;
    for (int64_t i = 0; i < cache->n_layers; i++) {
        cache->layer[i] = (struct tfr_kv){.k = next, .v = next + floats, .capacity = cache->capacity};
        next += 2 * floats;
    }
}

enum tfr_status tfr_kvcache_open(struct tfr_kvcache *cache, int64_t n_layers, int64_t n_heads, int64_t head_dim,
                                 int64_t capacity) {
    *cache = (struct tfr_kvcache){.n_layers = n_layers, .capacity = panels_up(capacity)};
    if (n_layers == 0) {
        return TFR_OK;
    }
    size_t floats = (size_t)(n_heads * head_dim) * (size_t)cache->capacity;
    cache->layer = tfr_alloc((size_t)n_layers, sizeof *cache->layer);
    if (cache->layer == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status =
        tfr_block_open(&cache->block, 2 * floats * (size_t)n_layers * sizeof(float), TFR_HUGEPAGES_OFF);
    if (status != TFR_OK) {
        tfr_free(cache->layer);
        *cache = (struct tfr_kvcache){0};
        return tfr_raise_prefix(status, "kv cache of %lld positions", (long long)capacity);
    }
    layer_views(cache, floats);
    return TFR_OK;
}

void tfr_kvcache_close(struct tfr_kvcache *cache) {
    if (cache->n_layers > 0) {
        tfr_block_close(&cache->block);
    }
    tfr_free(cache->layer);
    *cache = (struct tfr_kvcache){0};
}

static void copy_layer(const struct tfr_kv *to, const struct tfr_kv *from, int64_t n_heads, int64_t head_dim, int64_t n) {
    const size_t k_bytes = (size_t)(panels_up(n) * head_dim) * sizeof(float), v_bytes = (size_t)(n * head_dim) * sizeof(float);
    for (int64_t h = 0; h < n_heads; h++) {
        memcpy(to->k + h * to->capacity * head_dim, from->k + h * from->capacity * head_dim, k_bytes);
        memcpy(to->v + h * to->capacity * head_dim, from->v + h * from->capacity * head_dim, v_bytes);
    }
}

void tfr_kvcache_copy(struct tfr_kvcache *to, const struct tfr_kvcache *from, int64_t n_heads, int64_t head_dim, int64_t n) {
    for (int64_t i = 0; i < to->n_layers; i++) {
        copy_layer(&to->layer[i], &from->layer[i], n_heads, head_dim, n);
    }
}

/* kvcache.h - the keys and values of one sequence, for the blocks of this rank.
 *
 * One mapping per sequence; its pages are touched as the sequence grows, or all at once. Layout per block: struct tfr_kv
 * of tfrun/plugin.h. Thread rule: opened and closed by the engine's thread; kernels write it inside a step.
 */
#ifndef TFR_EXEC_KVCACHE_H
#define TFR_EXEC_KVCACHE_H

#include <tfrun/plugin.h>

#include "base/arena.h"
#include "topo/domain.h"

struct tfr_kvcache_spec {
    int64_t n_layers, n_heads, head_dim;
    enum tfr_dtype dtype;                 /* F32, BF16, F16 or I8 */
    bool touch;                           /* every page when opened: no page fault later */
    const struct tfr_memory_plan *memory; /* of the team that will read it; NULL: as it comes */
};

struct tfr_kvcache {
    struct tfr_kvcache_spec spec;
    struct tfr_block block;
    struct tfr_kv *layer; /* [n_layers] */
    int64_t capacity;
    int64_t room; /* the capacity that there is memory for */
};

/* Bytes of one position in all layers. */
size_t tfr_kvcache_position_bytes(const struct tfr_kvcache_spec *spec);
/* Room for `capacity` positions (rounded up to TFR_KV_PANEL) in each block; zero layers is legal. */
enum tfr_status tfr_kvcache_open(struct tfr_kvcache *cache, const struct tfr_kvcache_spec *spec, int64_t capacity);
/* The same memory for another sequence; false: it is too small. What it holds means nothing. */
bool tfr_kvcache_reuse(struct tfr_kvcache *cache, int64_t capacity);
void tfr_kvcache_close(struct tfr_kvcache *cache);
/* The first n positions of every layer; both have room for them, and the same spec. */
void tfr_kvcache_copy(struct tfr_kvcache *to, const struct tfr_kvcache *from, int64_t n);

/* Positions [first, first + n) of a block from and into dense f32 [n_heads][n][head_dim]. A cache of 16 or 8 bits rounds what is
 * loaded; loading what was stored gives the same bits. */
void tfr_kvcache_load(struct tfr_kvcache *cache, int64_t layer, int64_t first, int64_t n, const float *keys, const float *values);
void tfr_kvcache_store(const struct tfr_kvcache *cache, int64_t layer, int64_t first, int64_t n, float *keys, float *values);

#endif

/* kvcache.h - the keys and values of one sequence, for the blocks of this rank.
 *
 * One mapping per sequence; its pages are touched only as the sequence grows. Layout per block: struct tfr_kv of tfrun/plugin.h.
 * Thread rule: opened and closed by the engine's thread; kernels write it inside a step.
 */
#ifndef TFR_EXEC_KVCACHE_H
#define TFR_EXEC_KVCACHE_H

#include <tfrun/plugin.h>

#include "base/arena.h"

struct tfr_kvcache {
    struct tfr_block block;
    struct tfr_kv *layer; /* [n_layers] */
    int64_t n_layers, capacity;
};

/* Room for `capacity` positions (rounded up to TFR_KV_PANEL) in each of n_layers blocks; zero layers is legal. */
enum tfr_status tfr_kvcache_open(struct tfr_kvcache *cache, int64_t n_layers, int64_t n_heads, int64_t head_dim,
                                 int64_t capacity);
void tfr_kvcache_close(struct tfr_kvcache *cache);
/* The first n positions of every layer; both have room for them, and the same layers. */
void tfr_kvcache_copy(struct tfr_kvcache *to, const struct tfr_kvcache *from, int64_t n_heads, int64_t head_dim, int64_t n);

#endif

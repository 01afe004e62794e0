/* attention_rows.h - a tile from its queries to its outputs: it walks over the blocks of keys (attention_tile.h). Included by
 * attention_kernel.c, which is compiled once per ISA.
 */
#ifndef TFR_PLUGINS_ATTENTION_ROWS_H
#define TFR_PLUGINS_ATTENTION_ROWS_H

#include "attention/attention_tile.h"

/* Row r of the tile begins: its query, and nothing seen so far. */
V_INLINE void begin_row(struct tile *tile, int r, const float *q, const enum kind kind) {
    float *to = tile->q + r * tile->pitch, *acc = tile->acc + r * tile->pitch;
    for (int64_t d = 0; d < tile->head_dim; d += VW) {
        const int64_t lanes = tile->head_dim - d;
        const vf some = lanes < VW ? v_load_n(q + d, (int)lanes) : v_load(q + d);
        if (HAS_DP && kind == KIND_ROUNDED) { /* the largest product is the largest score */
            dp_put(to, d, tile->scale < 0 ? v_sub(v_zero(), some) : some);
        } else {
            v_store(to + d, kind == KIND_ROUNDED ? v_round_bf16(some) : some);
        }
        v_store(acc + d, v_zero());
    }
    for (int i = 0; i < 16; i += VW) {
        v_store(tile->sum + r * 16 + i, v_zero());
    }
    tile->top[r] = -INFINITY;
}

V_INLINE void end_row(const struct tile *tile, int r, int64_t n_keys, float *o) {
    vf part[V16];
    for (int i = 0; i < V16; i++) {
        part[i] = v_load(tile->sum + r * 16 + i * VW);
    }
    const float all = v_sum16(part);
    const vf total = v_set1(n_keys > 0 ? all : 1.0f); /* no key to see: zeros */
    for (int64_t d = 0; d < tile->head_dim; d += VW) {
        const int64_t lanes = tile->head_dim - d;
        const vf value = v_div(v_load(tile->acc + r * tile->pitch + d), total);
        if (lanes < VW) {
            v_store_n(o + d, value, (int)lanes);
        } else {
            v_store(o + d, value);
        }
    }
}

/* What comes in during the block at `start`: the next block as far as it is seen, then what is read behind this head, from `behind`
 * on. Returns where that will be behind the block. */
V_INLINE const char *point_ahead(struct tile *tile, int64_t start, int64_t n_keys, const char *behind, const enum kind kind) {
    const int64_t key_bytes = tile->head_dim * element_size(kind);
    const int64_t near = (clamp(n_keys - start - KEYS, KEYS) + TFR_KV_PANEL - 1) / TFR_KV_PANEL * TFR_KV_PANEL;
    tile->next_keys = tile->keys + (start + KEYS) * key_bytes;
    tile->near_bytes = near * key_bytes;
    tile->far_keys = behind - tile->near_bytes;
    return behind + (clamp(n_keys - start, KEYS) - near) * key_bytes;
}

V_INLINE void attend(struct tile *tile, const float *q, int64_t q_pitch, float *o, int64_t o_pitch, const int rows,
                     const enum kind kind) {
    for (int r = 0; r < rows; r++) {
        begin_row(tile, r, q + r * q_pitch, kind);
    }
    const int64_t n_keys = tile->visible + (rows - 1) * tile->causal;
    const char *behind = tile->far_keys;
    for (int64_t start = 0; start < n_keys; start += KEYS) {
        behind = point_ahead(tile, start, n_keys, behind, kind);
        attend_block(tile, start, rows, kind);
    }
    for (int r = 0; r < rows; r++) {
        end_row(tile, r, n_keys, o + r * o_pitch);
    }
}

#endif

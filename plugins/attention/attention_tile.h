/* attention_tile.h - a few query rows of one head walk over the keys: scores, softmax and values of attention_kernel.c, block by
 * block. Included by that source, which is compiled once per ISA.
 */
#ifndef TFR_PLUGINS_ATTENTION_TILE_H
#define TFR_PLUGINS_ATTENTION_TILE_H

#include "attention/attention.h"

#include "common/act.h"

/* Tile sizes per ISA: accumulators in registers, rows x vectors of 16 keys (scores) or of columns (values):
 * 24 of 32 registers for AVX-512 and NEON, 12 of 16 for AVX2, 8 else. One row alone takes several panels side by side to hide the
 * latency of its chains. */
#if VW == 16
enum { TILE_ROWS = 6, TILE_PANELS = 4, TILE_COLUMNS = 4, ONE_PANELS = 4, ONE_COLUMNS = 4 };
#elif defined(V_ISA_NEON)
enum { TILE_ROWS = 6, TILE_PANELS = 1, TILE_COLUMNS = 4, ONE_PANELS = 4, ONE_COLUMNS = 8 };
#elif VW == 8
enum { TILE_ROWS = 6, TILE_PANELS = 1, TILE_COLUMNS = 2, ONE_PANELS = 4, ONE_COLUMNS = 8 };
#else
enum { TILE_ROWS = 2, TILE_PANELS = 1, TILE_COLUMNS = 4, ONE_PANELS = 2, ONE_COLUMNS = 8 };
#endif
enum { KEYS = TFR_ATTENTION_KEYS, MAX_VECTORS = 8, MAX_ROWS = TFR_ATTENTION_ROWS };

/* clang's plain "unroll" would act before inlining, where the counts are not yet known. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* A few query rows of one head, and what is known of them so far. */
struct tile {
    const float *k, *v;    /* of this head: panels [S/16][D][16], rows [S][D] */
    const int8_t *k8, *v8; /* int8 cache: these instead, with a scale for each key */
    const float *k_scale, *v_scale;
    int64_t head_dim, pitch;
    int64_t visible; /* keys that row 0 sees; row r sees visible + r * causal */
    int64_t causal;
    float scale;
    float *q, *acc, *score, *sum; /* in the scratch of the thread, see attention.h */
    float top[MAX_ROWS];          /* largest score so far */
    vf rescale[MAX_ROWS];         /* e^(top before the block - top after it) */
};

/* Elements of K and V from `at` on, as f32: an int8 one times its scale, which is exact. */
V_INLINE vf load_key(const struct tile *tile, int64_t at, vf scale, const int is_int8) {
    return is_int8 ? v_mul(v_load_i8(tile->k8 + at), scale) : v_load(tile->k + at);
}

V_INLINE vf load_value(const struct tile *tile, int64_t at, vf scale, int lanes, const int is_int8) {
    if (is_int8) {
        return v_mul(lanes < VW ? v_load_i8_n(tile->v8 + at, lanes) : v_load_i8(tile->v8 + at), scale);
    }
    return lanes < VW ? v_load_n(tile->v + at, lanes) : v_load(tile->v + at);
}

/* Scores of `rows` queries against `panels` panels of 16 keys, from key `first` on. `rows`, `panels` and
 * `is_int8` are constants where this is inlined. */
V_INLINE void score_panels(const struct tile *tile, int64_t first, float *score, const int rows, const int panels,
                           const int is_int8) {
    const int64_t head_dim = tile->head_dim, panel_size = head_dim * TFR_KV_PANEL, k = first * head_dim;
    const int64_t pitch = tile->pitch;
    const float *q = tile->q;
    vf key_scale[MAX_VECTORS];
    UNROLL for (int i = 0; i < panels * V16; i++) {
        key_scale[i] = is_int8 ? v_load(tile->k_scale + first + i * VW) : v_zero();
    }
    vf dot[MAX_ROWS][MAX_VECTORS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int i = 0; i < panels * V16; i++) {
            dot[r][i] = v_zero();
        }
    }
    for (int64_t d = 0; d < head_dim; d++) {
        vf key[MAX_VECTORS];
        UNROLL for (int i = 0; i < panels * V16; i++) {
            const int64_t at = k + i / V16 * panel_size + d * TFR_KV_PANEL + i % V16 * VW;
            key[i] = load_key(tile, at, key_scale[i], is_int8);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            const vf query = v_set1(q[r * pitch + d]);
            UNROLL for (int i = 0; i < panels * V16; i++) {
                dot[r][i] = v_fma(query, key[i], dot[r][i]);
            }
        }
    }
    const vf scale = v_set1(tile->scale);
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int i = 0; i < panels * V16; i++) {
            v_store(score + r * KEYS + i * VW, v_mul(dot[r][i], scale));
        }
    }
}

V_INLINE void score_block(const struct tile *tile, int64_t start, int64_t n_panels, const int rows, const int is_int8) {
    const int side_by_side = rows == 1 ? ONE_PANELS : TILE_PANELS;
    int64_t p = 0;
    for (; p + side_by_side <= n_panels; p += side_by_side) {
        score_panels(tile, start + p * TFR_KV_PANEL, tile->score + p * TFR_KV_PANEL, rows, side_by_side, is_int8);
    }
    for (; p < n_panels; p++) {
        score_panels(tile, start + p * TFR_KV_PANEL, tile->score + p * TFR_KV_PANEL, rows, 1, is_int8);
    }
}

/* Scores become e^(score - top); the invisible end of the last panel becomes 0. */
V_INLINE void softmax_row(struct tile *tile, int r, int64_t visible) {
    float *score = tile->score + r * KEYS, *sum = tile->sum + r * 16;
    const int64_t n = (visible + TFR_KV_PANEL - 1) / TFR_KV_PANEL * TFR_KV_PANEL;
    for (int64_t s = visible / VW * VW; s < n; s += VW) {
        const int lanes = visible > s ? (int)(visible - s) : 0;
        v_store(score + s, v_blend(v_first(lanes), v_load(score + s), v_set1(-INFINITY)));
    }
    vf largest[V16], total[V16];
    for (int i = 0; i < V16; i++) {
        largest[i] = v_set1(tile->top[r]);
    }
    for (int64_t s = 0; s < n; s += TFR_KV_PANEL) {
        for (int i = 0; i < V16; i++) {
            largest[i] = v_max(largest[i], v_load(score + s + i * VW));
        }
    }
    const float top = v_max16(largest);
    tile->rescale[r] = v_exp(v_set1(tile->top[r] - top));
    tile->top[r] = top;
    for (int i = 0; i < V16; i++) {
        total[i] = v_mul(v_load(sum + i * VW), tile->rescale[r]);
    }
    for (int64_t s = 0; s < n; s += TFR_KV_PANEL) {
        for (int i = 0; i < V16; i++) {
            const vf p = v_exp(v_sub(v_load(score + s + i * VW), v_set1(top)));
            v_store(score + s + i * VW, p);
            total[i] = v_add(total[i], p);
        }
    }
    for (int i = 0; i < V16; i++) {
        v_store(sum + i * VW, total[i]);
    }
}

/* acc = acc * rescale + sum over keys [j, end) of the block at `start` of p v, for `vectors` vectors of columns from c; `lanes` of
 * the last vector lie inside the row. `with_rescale` 0: this block has rescaled the row already. */
V_INLINE void value_columns(const struct tile *tile, int r0, int64_t start, int64_t j, int64_t end, int64_t c, int lanes,
                            const int rows, const int vectors, const int with_rescale, const int is_int8) {
    const float *score = tile->score + r0 * KEYS;
    float *acc = tile->acc + r0 * tile->pitch + c;
    vf sum[MAX_ROWS][MAX_VECTORS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int i = 0; i < vectors; i++) {
            const vf old = v_load(acc + r * tile->pitch + i * VW);
            sum[r][i] = with_rescale ? v_mul(old, tile->rescale[r0 + r]) : old;
        }
    }
    for (; j < end; j++) {
        const int64_t row = (start + j) * tile->head_dim + c;
        const vf value_scale = is_int8 ? v_set1(tile->v_scale[start + j]) : v_zero();
        vf value[MAX_VECTORS];
        UNROLL for (int i = 0; i < vectors; i++) {
            value[i] = load_value(tile, row + i * VW, value_scale, i == vectors - 1 ? lanes : VW, is_int8);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            const vf p = v_set1(score[r * KEYS + j]);
            UNROLL for (int i = 0; i < vectors; i++) {
                sum[r][i] = v_fma(p, value[i], sum[r][i]);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int i = 0; i < vectors; i++) {
            v_store(acc + r * tile->pitch + i * VW, sum[r][i]);
        }
    }
}

/* Rows [r0, r0 + rows) take keys [j, end) of the block at `start`. */
V_INLINE void value_rows(const struct tile *tile, int r0, int64_t start, int64_t j, int64_t end, const int rows,
                         const int with_rescale, const int is_int8) {
    const int vectors = rows == 1 ? ONE_COLUMNS : TILE_COLUMNS;
    int64_t c = 0;
    for (; c + vectors * VW <= tile->head_dim; c += vectors * VW) {
        value_columns(tile, r0, start, j, end, c, VW, rows, vectors, with_rescale, is_int8);
    }
    for (; c + VW <= tile->head_dim; c += VW) {
        value_columns(tile, r0, start, j, end, c, VW, rows, 1, with_rescale, is_int8);
    }
    if (c < tile->head_dim) {
        value_columns(tile, r0, start, j, end, c, (int)(tile->head_dim - c), rows, 1, with_rescale, is_int8);
    }
}

static void value_tail(const struct tile *tile, int r, int64_t start, int64_t j, int64_t end) {
    value_rows(tile, r, start, j, end, 1, 0, 0);
}

static void value_tail_int8(const struct tile *tile, int r, int64_t start, int64_t j, int64_t end) {
    value_rows(tile, r, start, j, end, 1, 0, 1);
}

V_INLINE int64_t clamp(int64_t n, int64_t most) {
    return n < 0 ? 0 : n < most ? n : most;
}

/* Keys of the block at `start` that row r sees. */
V_INLINE int64_t visible_to(const struct tile *tile, int r, int64_t start) {
    return clamp(tile->visible + r * tile->causal - start, KEYS);
}

/* One block of keys for all rows of the tile. */
V_INLINE void attend_block(struct tile *tile, int64_t start, const int rows, const int is_int8) {
    score_block(tile, start, (visible_to(tile, rows - 1, start) + TFR_KV_PANEL - 1) / TFR_KV_PANEL, rows, is_int8);
    for (int r = 0; r < rows; r++) {
        const int64_t visible = visible_to(tile, r, start);
        if (visible > 0) {
            softmax_row(tile, r, visible);
        } else {
            tile->rescale[r] = v_set1(1.0f);
        }
    }
    const int64_t common = visible_to(tile, 0, start);
    value_rows(tile, 0, start, 0, common, rows, 1, is_int8);
    for (int r = 1; r < rows; r++) {
        const int64_t visible = visible_to(tile, r, start);
        if (visible > common && is_int8) {
            value_tail_int8(tile, r, start, common, visible);
        } else if (visible > common) {
            value_tail(tile, r, start, common, visible);
        }
    }
}

/* Row r of the tile begins: its query, and nothing seen so far. */
V_INLINE void begin_row(struct tile *tile, int r, const float *q) {
    float *to = tile->q + r * tile->pitch, *acc = tile->acc + r * tile->pitch;
    for (int64_t d = 0; d < tile->head_dim; d += VW) {
        const int64_t lanes = tile->head_dim - d;
        v_store(to + d, lanes < VW ? v_load_n(q + d, (int)lanes) : v_load(q + d));
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

V_INLINE void attend(struct tile *tile, const float *q, int64_t q_pitch, float *o, int64_t o_pitch, const int rows,
                     const int is_int8) {
    for (int r = 0; r < rows; r++) {
        begin_row(tile, r, q + r * q_pitch);
    }
    const int64_t n_keys = tile->visible + (rows - 1) * tile->causal;
    for (int64_t start = 0; start < n_keys; start += KEYS) {
        attend_block(tile, start, rows, is_int8);
    }
    for (int r = 0; r < rows; r++) {
        end_row(tile, r, n_keys, o + r * o_pitch);
    }
}

#endif

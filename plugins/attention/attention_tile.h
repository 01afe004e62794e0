/* attention_tile.h - a few query rows of one head walk over the keys: scores, softmax and values of attention_kernel.c, block by
 * block. Included by that source, which is compiled once per ISA.
 */
#ifndef TFR_PLUGINS_ATTENTION_TILE_H
#define TFR_PLUGINS_ATTENTION_TILE_H

#include "attention/attention.h"

#include "common/act.h"
#include "common/simd_half.h"

/* Tile sizes per ISA: accumulators in registers, rows x vectors of 16 keys (scores) or of columns (values):
 * 24 of 32 registers for AVX-512 and NEON, 12 of 16 for AVX2, 8 else. One row alone takes several panels side by side to hide the
 * latency of its chains. */
#if VW == 16
enum { TILE_ROWS = 6, TILE_PANELS = 4, TILE_COLUMNS = 4, ONE_PANELS = 4, ONE_COLUMNS = 4 };
#elif defined(V_ISA_NEON)
enum { TILE_ROWS = 6, TILE_PANELS = 1, TILE_COLUMNS = 4, ONE_PANELS = 2, ONE_COLUMNS = 8 };
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

/* What the cache holds, and how it is multiplied: all by f32 products, but ROUNDED, where queries and probabilities are rounded to
 * bf16 as keys and values are. */
enum kind { KIND_F32, KIND_INT8, KIND_F16, KIND_BF16, KIND_ROUNDED, KIND_COUNT };

/* A few query rows of one head, and what is known of them so far. */
struct tile {
    const float *k, *v;    /* of this head: panels [S/16][D][16], rows [S][D] */
    const int8_t *k8, *v8; /* int8 cache: these instead, with a scale for each key */
    const float *k_scale, *v_scale;
    const uint16_t *k_half, *v_half, *k_pair, *v_pair; /* f16, bf16 */
    const char *keys, *values;                         /* k and v as bytes */
    const char *next_keys;                             /* of the next block: near_bytes of it are seen */
    const char *far_keys;                              /* what this thread probably reads behind those, less near_bytes */
    int64_t near_bytes;
    int64_t head_dim, pitch;
    int64_t visible; /* keys that row 0 sees; row r sees visible + r * causal */
    int64_t causal;
    float scale;
    float *q, *acc, *score, *sum; /* in the scratch of the thread, see attention.h */
    float top[MAX_ROWS];          /* largest score so far; of dp kernels the largest product */
    vf rescale[MAX_ROWS];         /* e^(top before the block - top after it) */
};

/* Bytes of an element of the cache. */
V_INLINE int64_t element_size(const enum kind kind) {
    return kind == KIND_F32 ? 4 : kind == KIND_INT8 ? 1 : 2;
}

/* A row alone waits for memory: while it computes with keys, their values come into the second cache, and with values the next
 * keys. What lies at `from` is never read here, so it may be behind the end of a cache. */
V_INLINE void fetch(const char *from, int64_t bytes) {
    UNROLL for (int64_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(from + i, 0, 2);
    }
}

/* The invisible end of the last panel becomes -inf. Returns the keys of whole panels. */
V_INLINE int64_t hide_behind(float *score, int64_t visible) {
    const int64_t n = (visible + TFR_KV_PANEL - 1) / TFR_KV_PANEL * TFR_KV_PANEL;
    for (int64_t s = visible / VW * VW; s < n; s += VW) {
        const int lanes = visible > s ? (int)(visible - s) : 0;
        v_store(score + s, v_blend(v_first(lanes), v_load(score + s), v_set1(-INFINITY)));
    }
    return n;
}

/* `bytes` of the keys to come, `at` bytes behind those of the block whose values are being added. */
V_INLINE void fetch_next(const struct tile *tile, int64_t at, int64_t bytes) {
    fetch((at < tile->near_bytes ? tile->next_keys : tile->far_keys) + at, bytes);
}

#if defined(__AVX512BF16__)
#define HAS_DP 1
#include "attention/attention_dp.h"
#else /* never called: HAS_DP says so where they stand */
#define HAS_DP 0
V_INLINE void dp_scores(const struct tile *tile, int64_t first, vf dot[MAX_ROWS][MAX_VECTORS], const int rows, const int panels) {
}
V_INLINE void dp_put(float *to, int64_t at, vf x) {
}
V_INLINE void dp_values(const struct tile *tile, const float *score, int64_t start, int64_t j, int64_t end, int64_t c, int lanes,
                        vf sum[MAX_ROWS][MAX_VECTORS], const int rows, const int vectors) {
}
V_INLINE void dp_softmax(struct tile *tile, const int64_t *visible, const int rows) {
}
#endif

/* Elements of K from `at` on, as f32: an int8 one times its scale, which is exact. */
V_INLINE vf load_key(const struct tile *tile, int64_t at, vf scale, const enum kind kind) {
    return kind == KIND_INT8  ? v_mul(v_load_i8(tile->k8 + at), scale)
           : kind == KIND_F16 ? v_load_f16(tile->k_half + at)
                              : v_load(tile->k + at);
}

/* Of the value of key s, from column c on. */
V_INLINE vf load_value(const struct tile *tile, int64_t s, int64_t c, vf scale, int lanes, const enum kind kind) {
    const int64_t at = s * tile->head_dim + c;
    if (kind == KIND_INT8) {
        return v_mul(lanes < VW ? v_load_i8_n(tile->v8 + at, lanes) : v_load_i8(tile->v8 + at), scale);
    }
    if (kind == KIND_F16) {
        return lanes < VW ? v_load_f16_n(tile->v_half + at, lanes) : v_load_f16(tile->v_half + at);
    }
    if (kind == KIND_BF16 || kind == KIND_ROUNDED) {
        const uint16_t *pairs = tile->v_pair + (s / 2 * tile->head_dim + c) * 2;
        const vf both = lanes < VW ? v_load_pairs_n(pairs, lanes) : v_load_pairs(pairs);
        return s % 2 == 0 ? v_pair_first(both) : v_pair_second(both);
    }
    return lanes < VW ? v_load_n(tile->v + at, lanes) : v_load(tile->v + at);
}

/* dot += element d of each query times `key`. */
V_INLINE void add_products(vf dot[MAX_ROWS][MAX_VECTORS], const float *q, int64_t pitch, int64_t d, const vf *key, const int rows,
                           const int vectors) {
    UNROLL for (int r = 0; r < rows; r++) {
        const vf query = v_set1(q[r * pitch + d]);
        UNROLL for (int i = 0; i < vectors; i++) {
            dot[r][i] = v_fma(query, key[i], dot[r][i]);
        }
    }
}

/* The products of keys of bf16, from `first` on: each load has two elements of VW keys, the last one of an odd head_dim alone. */
V_INLINE void dot_pairs(const struct tile *tile, int64_t first, vf dot[MAX_ROWS][MAX_VECTORS], const int rows, const int panels) {
    const int64_t head_dim = tile->head_dim, panel_size = head_dim * TFR_KV_PANEL;
    const uint16_t *k = tile->k_pair + first * head_dim;
    vf both[MAX_VECTORS], key[MAX_VECTORS];
    int64_t d = 0;
    for (; d + 2 <= head_dim; d += 2) {
        if (rows == 1) {
            fetch(tile->values + (first * head_dim + d * panels * TFR_KV_PANEL) * 2, panels * TFR_KV_PANEL * 4);
        }
        UNROLL for (int i = 0; i < panels * V16; i++) {
            both[i] = v_load_pairs(k + i / V16 * panel_size + d * TFR_KV_PANEL + i % V16 * VW * 2);
            key[i] = v_pair_first(both[i]);
        }
        add_products(dot, tile->q, tile->pitch, d, key, rows, panels * V16);
        UNROLL for (int i = 0; i < panels * V16; i++) {
            key[i] = v_pair_second(both[i]);
        }
        add_products(dot, tile->q, tile->pitch, d + 1, key, rows, panels * V16);
    }
    if (d < head_dim) {
        UNROLL for (int i = 0; i < panels * V16; i++) {
            key[i] = v_load_bf16(k + i / V16 * panel_size + d * TFR_KV_PANEL + i % V16 * VW);
        }
        add_products(dot, tile->q, tile->pitch, d, key, rows, panels * V16);
    }
}

V_INLINE void dot_elements(const struct tile *tile, int64_t first, vf dot[MAX_ROWS][MAX_VECTORS], const int rows, const int panels,
                           const enum kind kind) {
    const int64_t head_dim = tile->head_dim, panel_size = head_dim * TFR_KV_PANEL, k = first * head_dim;
    vf key_scale[MAX_VECTORS];
    UNROLL for (int i = 0; i < panels * V16; i++) {
        key_scale[i] = kind == KIND_INT8 ? v_load(tile->k_scale + first + i * VW) : v_zero();
    }
    for (int64_t d = 0; d < head_dim; d++) {
        if (rows == 1) {
            const int64_t bytes = panels * TFR_KV_PANEL * element_size(kind);
            fetch(tile->values + k * element_size(kind) + d * bytes, bytes);
        }
        vf key[MAX_VECTORS];
        UNROLL for (int i = 0; i < panels * V16; i++) {
            const int64_t at = k + i / V16 * panel_size + d * TFR_KV_PANEL + i % V16 * VW;
            key[i] = load_key(tile, at, key_scale[i], kind);
        }
        add_products(dot, tile->q, tile->pitch, d, key, rows, panels * V16);
    }
}

/* Scores of `rows` queries against `panels` panels of 16 keys, from key `first` on. `rows`, `panels` and
 * `kind` are constants where this is inlined. */
V_INLINE void score_panels(const struct tile *tile, int64_t first, float *score, const int rows, const int panels,
                           const enum kind kind) {
    vf dot[MAX_ROWS][MAX_VECTORS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int i = 0; i < panels * V16; i++) {
            dot[r][i] = v_zero();
        }
    }
    if (HAS_DP && kind == KIND_ROUNDED) {
        dp_scores(tile, first, dot, rows, panels); /* dp_softmax scales them */
    } else if (kind == KIND_BF16 || kind == KIND_ROUNDED) {
        dot_pairs(tile, first, dot, rows, panels);
    } else {
        dot_elements(tile, first, dot, rows, panels, kind);
    }
    const vf scale = v_set1(tile->scale);
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int i = 0; i < panels * V16; i++) {
            v_store(score + r * KEYS + i * VW, HAS_DP && kind == KIND_ROUNDED ? dot[r][i] : v_mul(dot[r][i], scale));
        }
    }
}

V_INLINE void score_block(const struct tile *tile, int64_t start, int64_t n_panels, const int rows, const enum kind kind) {
    const int side_by_side = rows == 1 ? ONE_PANELS : TILE_PANELS;
    int64_t p = 0;
    for (; p + side_by_side <= n_panels; p += side_by_side) {
        score_panels(tile, start + p * TFR_KV_PANEL, tile->score + p * TFR_KV_PANEL, rows, side_by_side, kind);
    }
    for (; p < n_panels; p++) {
        score_panels(tile, start + p * TFR_KV_PANEL, tile->score + p * TFR_KV_PANEL, rows, 1, kind);
    }
}

/* Scores become e^(score - top); the invisible end of the last panel becomes 0. */
V_INLINE void softmax_row(struct tile *tile, int r, int64_t visible, const enum kind kind) {
    float *score = tile->score + r * KEYS, *sum = tile->sum + r * 16;
    const int64_t n = hide_behind(score, visible);
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
            v_store(score + s + i * VW, kind == KIND_ROUNDED ? v_round_bf16(p) : p);
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
                            const int rows, const int vectors, const int with_rescale, const enum kind kind) {
    const float *score = tile->score + r0 * KEYS;
    float *acc = tile->acc + r0 * tile->pitch + c;
    vf sum[MAX_ROWS][MAX_VECTORS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int i = 0; i < vectors; i++) {
            const vf old = v_load(acc + r * tile->pitch + i * VW);
            sum[r][i] = with_rescale ? v_mul(old, tile->rescale[r0 + r]) : old;
        }
    }
    if (HAS_DP && kind == KIND_ROUNDED) {
        dp_values(tile, score, start, j, end, c, lanes, sum, rows, vectors);
        j = end;
    }
    for (; j < end; j++) {
        if (rows == 1 && with_rescale) {
            fetch_next(tile, (j * tile->head_dim + c) * element_size(kind), vectors * VW * element_size(kind));
        }
        const vf value_scale = kind == KIND_INT8 ? v_set1(tile->v_scale[start + j]) : v_zero();
        vf value[MAX_VECTORS];
        UNROLL for (int i = 0; i < vectors; i++) {
            value[i] = load_value(tile, start + j, c + i * VW, value_scale, i == vectors - 1 ? lanes : VW, kind);
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
                         const int with_rescale, const enum kind kind) {
    const int vectors = rows == 1 ? ONE_COLUMNS : TILE_COLUMNS;
    int64_t c = 0;
    for (; c + vectors * VW <= tile->head_dim; c += vectors * VW) {
        value_columns(tile, r0, start, j, end, c, VW, rows, vectors, with_rescale, kind);
    }
    for (; c + VW <= tile->head_dim; c += VW) {
        value_columns(tile, r0, start, j, end, c, VW, rows, 1, with_rescale, kind);
    }
    if (c < tile->head_dim) {
        value_columns(tile, r0, start, j, end, c, (int)(tile->head_dim - c), rows, 1, with_rescale, kind);
    }
}

/* One function for each kind, as inlined it would be there for each row of each tile. */
#define TAIL(KIND)                                                                                                                 \
    static void value_tail_##KIND(const struct tile *tile, int r, int64_t start, int64_t j, int64_t end) {                         \
        value_rows(tile, r, start, j, end, 1, 0, KIND);                                                                            \
    }
#if !HAS_DP
TAIL(KIND_F32)
TAIL(KIND_INT8)
TAIL(KIND_F16)
TAIL(KIND_BF16)
#endif
TAIL(KIND_ROUNDED)

V_INLINE void value_tail(const struct tile *tile, int r, int64_t start, int64_t j, int64_t end, const enum kind kind) {
    switch (kind) {
#if !HAS_DP
    case KIND_F32:
        value_tail_KIND_F32(tile, r, start, j, end);
        break;
    case KIND_INT8:
        value_tail_KIND_INT8(tile, r, start, j, end);
        break;
    case KIND_F16:
        value_tail_KIND_F16(tile, r, start, j, end);
        break;
    case KIND_BF16:
        value_tail_KIND_BF16(tile, r, start, j, end);
        break;
#endif
    default:
        value_tail_KIND_ROUNDED(tile, r, start, j, end);
    }
}

V_INLINE int64_t clamp(int64_t n, int64_t most) {
    return n < 0 ? 0 : n < most ? n : most;
}

/* Keys of the block at `start` that row r sees. */
V_INLINE int64_t visible_to(const struct tile *tile, int r, int64_t start) {
    return clamp(tile->visible + r * tile->causal - start, KEYS);
}

V_INLINE void softmax_rows(struct tile *tile, int64_t start, const int rows, const enum kind kind) {
    int64_t visible[MAX_ROWS];
    for (int r = 0; r < rows; r++) {
        visible[r] = visible_to(tile, r, start);
        if (visible[r] <= 0) {
            tile->rescale[r] = v_set1(1.0f);
        } else if (!HAS_DP || kind != KIND_ROUNDED) {
            softmax_row(tile, r, visible[r], kind);
        }
    }
    if (HAS_DP && kind == KIND_ROUNDED) {
        dp_softmax(tile, visible, rows);
    }
}

/* One block of keys for all rows of the tile. */
V_INLINE void attend_block(struct tile *tile, int64_t start, const int rows, const enum kind kind) {
    score_block(tile, start, (visible_to(tile, rows - 1, start) + TFR_KV_PANEL - 1) / TFR_KV_PANEL, rows, kind);
    softmax_rows(tile, start, rows, kind);
    const bool in_pairs = HAS_DP && kind == KIND_ROUNDED; /* a pair that not all rows see whole is each row's own */
    const int64_t seen = visible_to(tile, 0, start), common = in_pairs ? seen / 2 * 2 : seen;
    value_rows(tile, 0, start, 0, common, rows, 1, kind);
    for (int r = in_pairs ? 0 : 1; r < rows; r++) {
        const int64_t visible = visible_to(tile, r, start);
        if (visible > common) {
            value_tail(tile, r, start, common, visible, kind);
        }
    }
}

#endif

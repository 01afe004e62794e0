/* attention_dp.h - the products of attention in bf16, two at a time, as vdpbf16ps has them: parts of attention_tile.h.
 *
 * Queries and probabilities lie in their places of the scratch as bf16, element i of a row at 2 i bytes. The instruction adds the
 * product of the upper halves first, then that of the lower ones, each fused and rounded once, and takes subnormals for zeros:
 * TFR_ORDER_DP_BF16 in one block, over d for scores and over keys for values.
 */
#ifndef TFR_PLUGINS_ATTENTION_DP_H
#define TFR_PLUGINS_ATTENTION_DP_H

#include <float.h>

/* Elements [at, at + 16) of a row, rounded to the nearest, ties to even. In place behind what is still to be read. */
V_INLINE void dp_put(float *to, int64_t at, vf x) {
    const __m256i narrow = (__m256i)_mm512_cvtneps_pbh(x);
    _mm256_storeu_si256((__m256i *)(void *)((uint16_t *)(void *)to + at), narrow);
}

/* Elements at and at + 1 of a row, in all lanes. */
V_INLINE __m512bh dp_both(const float *row, int64_t at) {
    int32_t both;
    memcpy(&both, (const uint16_t *)(const void *)row + at, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

V_INLINE void dp_add(vf dot[MAX_ROWS][MAX_VECTORS], const float *q, int64_t pitch, int64_t d, const __m512i *key, const int rows,
                     const int panels) {
    UNROLL for (int r = 0; r < rows; r++) {
        const __m512bh query = dp_both(q + r * pitch, d);
        UNROLL for (int i = 0; i < panels; i++) {
            dot[r][i] = _mm512_dpbf16_ps(dot[r][i], query, (__m512bh)key[i]);
        }
    }
}

/* Behind the last element of an odd head_dim the query has a zero, and the key gets one. */
V_INLINE void dp_scores(const struct tile *tile, int64_t first, vf dot[MAX_ROWS][MAX_VECTORS], const int rows, const int panels) {
    const int64_t head_dim = tile->head_dim, panel_size = head_dim * TFR_KV_PANEL;
    const uint16_t *k = tile->k_pair + first * head_dim;
    __m512i key[MAX_VECTORS];
    int64_t d = 0;
    for (; d + 2 <= head_dim; d += 2) {
        if (rows == 1) {
            fetch(tile->values + (first * head_dim + d * panels * TFR_KV_PANEL) * 2, panels * TFR_KV_PANEL * 4);
        }
        UNROLL for (int i = 0; i < panels; i++) {
            key[i] = _mm512_loadu_si512(k + i * panel_size + d * TFR_KV_PANEL);
        }
        dp_add(dot, tile->q, tile->pitch, d, key, rows, panels);
    }
    if (d < head_dim) {
        UNROLL for (int i = 0; i < panels; i++) {
            key[i] =
                _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(k + i * panel_size + d * TFR_KV_PANEL)));
        }
        dp_add(dot, tile->q, tile->pitch, d, key, rows, panels);
    }
}

/* sum += p v for the pair of keys j, j + 1 of the block at `start`; of the values only what `mask` leaves. */
V_INLINE void dp_pair(const struct tile *tile, const float *score, int64_t start, int64_t j, int64_t c, int lanes, __m512i mask,
                      vf sum[MAX_ROWS][MAX_VECTORS], const int rows, const int vectors) {
    const uint16_t *v = tile->v_pair + (start + j) * tile->head_dim + 2 * c;
    __m512i value[MAX_VECTORS];
    UNROLL for (int i = 0; i < vectors; i++) {
        const __m512i some = i == vectors - 1 && lanes < VW ? _mm512_maskz_loadu_epi32(v_first(lanes), v + i * 2 * VW)
                                                            : _mm512_loadu_si512(v + i * 2 * VW);
        value[i] = _mm512_and_si512(some, mask);
    }
    UNROLL for (int r = 0; r < rows; r++) {
        const __m512bh p = dp_both(score + r * KEYS, j);
        UNROLL for (int i = 0; i < vectors; i++) {
            sum[r][i] = _mm512_dpbf16_ps(sum[r][i], p, (__m512bh)value[i]);
        }
    }
}

/* Keys [j, end), j even. The second key of a last pair that is not seen has probability 0, and may be anything: it is hidden. */
V_INLINE void dp_values(const struct tile *tile, const float *score, int64_t start, int64_t j, int64_t end, int64_t c, int lanes,
                        vf sum[MAX_ROWS][MAX_VECTORS], const int rows, const int vectors) {
    for (; j + 2 <= end; j += 2) {
        if (rows == 1) {
            fetch_next(tile, (j * tile->head_dim + 2 * c) * 2, vectors * VW * 4);
        }
        dp_pair(tile, score, start, j, c, lanes, _mm512_set1_epi32(-1), sum, rows, vectors);
    }
    if (j < end) {
        dp_pair(tile, score, start, j, c, lanes, _mm512_set1_epi32(0xffff), sum, rows, vectors);
    }
}

/* 2^x, off by less than 4e-6 of it: 2^(x - floor(x)) by a polynomial that is 1 at 0 and 2 at 1. */
V_INLINE vf dp_exp2(vf x) {
    const vf f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); /* of -inf it is 0 */
    vf p = v_fma(v_set1(1.35557475e-2f), f, v_set1(5.20323701e-2f));
    p = v_fma(p, f, v_set1(2.41379768e-1f));
    p = v_fma(p, f, v_set1(6.93032146e-1f));
    p = v_fma(p, f, v_set1(1.0f));
    return _mm512_scalef_ps(p, x); /* times 2^floor(x) */
}

/* Lane r: the largest of the 16 lanes of of[r]; the lanes behind them hold anything. */
V_INLINE vf dp_largest(const vf *of) {
    vf half[4], quarter[2];
    UNROLL for (int i = 0; i < 4; i++) {
        const vf a = of[2 * i], b = of[2 * i + 1];
        half[i] = v_max(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    }
    UNROLL for (int i = 0; i < 2; i++) {
        const vf a = half[2 * i], b = half[2 * i + 1];
        quarter[i] = v_max(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    const vf two = v_max(_mm512_shuffle_ps(quarter[0], quarter[1], 0x44), _mm512_shuffle_ps(quarter[0], quarter[1], 0xee));
    const vf all = v_max(two, _mm512_permute_ps(two, 0xb1)); /* of row r at 4 r, of row 4 + r at 4 r + 2 */
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0), all);
}

/* 2^((product - top) * slope). The difference comes first: it is exact where it matters, and the top itself is at 2^0 however large
 * it is, in this block and in those behind it. */
V_INLINE vf dp_probability(const float *product, vf top, vf slope) {
    return dp_exp2(v_mul(v_sub(v_load(product), top), slope));
}

/* Products of one row become probabilities, as bf16; `all` has their sums so far. */
V_INLINE void dp_probabilities(float *score, int64_t n, vf slope, vf top, vf rescale, float *all) {
    vf total = v_mul(v_load(all), rescale);
    int64_t s = 0;
    for (; s + 2 * VW <= n; s += 2 * VW) {
        const vf p = dp_probability(score + s, top, slope), q = dp_probability(score + s + VW, top, slope);
        _mm512_storeu_si512((uint16_t *)(void *)score + s, (__m512i)_mm512_cvtne2ps_pbh(q, p));
        total = v_add(v_add(total, p), q);
    }
    if (s < n) {
        const vf p = dp_probability(score + s, top, slope);
        dp_put(score, s, p);
        total = v_add(total, p);
    }
    v_store(all, total);
}

/* A block's products become probabilities e^(scale * (product - largest so far)): the tops and rescales of all rows at once. A row
 * that sees none of the block keeps its own. */
V_INLINE void dp_softmax(struct tile *tile, const int64_t *visible, const int rows) {
    const vf slope = v_set1(fmaxf(fabsf(tile->scale) * 1.44269504f, FLT_MIN)); /* log2(e); above 0, so that -inf stays it */
    vf largest[MAX_ROWS];
    int64_t n[MAX_ROWS];
    UNROLL for (int r = 0; r < MAX_ROWS; r++) {
        largest[r] = v_set1(-INFINITY);
        n[r] = r < rows && visible[r] > 0 ? hide_behind(tile->score + r * KEYS, visible[r]) : 0;
        for (int64_t s = 0; r < rows && s < n[r]; s += VW) {
            largest[r] = v_max(largest[r], v_load(tile->score + r * KEYS + s));
        }
    }
    const vf before = v_load_n(tile->top, MAX_ROWS);
    const vf top = v_max(before, rows == 1 ? v_set1(v_fold_max(largest[0])) : dp_largest(largest));
    const vf fall = _mm512_maskz_sub_ps(_mm512_cmp_ps_mask(before, top, _CMP_NEQ_UQ), before, top);
    float rescale[VW];
    v_store_n(tile->top, top, MAX_ROWS);
    v_store(rescale, dp_exp2(v_mul(fall, slope)));
    for (int r = 0; r < rows; r++) {
        tile->rescale[r] = v_set1(rescale[r]);
        dp_probabilities(tile->score + r * KEYS, n[r], slope, v_set1(tile->top[r]), tile->rescale[r], tile->sum + r * 16);
    }
}

#endif

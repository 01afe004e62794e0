/* attention_dp.h - the products of attention in bf16, two at a time, as vdpbf16ps has them: parts of attention_tile.h.
 *
 * Queries and probabilities lie in their places of the scratch as bf16, element i of a row at 2 i bytes. The instruction adds the
 * product of the upper halves first, then that of the lower ones, each fused and rounded once, and takes subnormals for zeros:
 * TFR_ORDER_DP_BF16 in one block, over d for scores and over keys for values.
 */
#ifndef TFR_PLUGINS_ATTENTION_DP_H
#define TFR_PLUGINS_ATTENTION_DP_H

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
            fetch(tile->next_keys + (j * tile->head_dim + 2 * c) * 2, vectors * VW * 4);
        }
        dp_pair(tile, score, start, j, c, lanes, _mm512_set1_epi32(-1), sum, rows, vectors);
    }
    if (j < end) {
        dp_pair(tile, score, start, j, c, lanes, _mm512_set1_epi32(0xffff), sum, rows, vectors);
    }
}

#endif

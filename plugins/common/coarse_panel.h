/* coarse_panel.h - "panel64" of coarse weights: 64 columns (outputs) with all of K, scales and all, in one contiguous stream.
 *
 *   panel64.i8   [K4][64][4] i8, K4 = ceil(K / 4): four of K beside each other, as dot-product instructions of all makers take
 *                them; then 64 f32 scales; then 64 i32: the sums of the columns' whole numbers
 *   panel64.i4.. of each group of 32 or 64 along K: for each 32 of K 1024 bytes [4][64][4], low halves the quads 0..3 of K, high
 *                halves the quads 4..7; then 64 f16 scales; where the type has them, 64 zero points, a byte each
 * The padding of K and N is zero, scales too.
 */
#ifndef TFR_PLUGINS_COARSE_PANEL_H
#define TFR_PLUGINS_COARSE_PANEL_H

#include "common/panel.h"

#include <tfrun/quant.h>

#define COARSE_QUAD_BYTES (4 * TFR_PANEL_COLS) /* four of K of all columns of a panel */

static inline int64_t coarse_quads(int64_t k) {
    return (k + 3) / 4;
}

static inline size_t coarse_i8_stride(int64_t k) {
    return (size_t)coarse_quads(k) * COARSE_QUAD_BYTES + TFR_PANEL_COLS * (sizeof(float) + sizeof(int32_t));
}

static inline float *coarse_i8_scales(char *panel, int64_t k) {
    return (float *)(void *)(panel + coarse_quads(k) * COARSE_QUAD_BYTES);
}

static inline int32_t *coarse_i8_sums(char *panel, int64_t k) {
    return (int32_t *)(void *)(coarse_i8_scales(panel, k) + TFR_PANEL_COLS);
}

/* The types of 4 bits. */
static inline size_t coarse_i4_numbers_bytes(int64_t group) {
    return (size_t)group / 32 * 1024;
}

static inline size_t coarse_i4_group_bytes(int64_t group, bool has_zero) {
    return coarse_i4_numbers_bytes(group) + TFR_PANEL_COLS * (sizeof(uint16_t) + (has_zero ? 1 : 0));
}

static inline size_t coarse_i4_stride(int64_t k, int64_t group, bool has_zero) {
    return (size_t)tfr_quant_groups(k, group) * coarse_i4_group_bytes(group, has_zero);
}

#endif

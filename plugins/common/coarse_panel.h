/* coarse_panel.h - "panel64" of coarse weights: 64 columns (outputs) with all of K, scales and all, in one contiguous stream.
 *
 *   panel64.i8   [K4][64][4] i8, K4 = ceil(K / 4): four of K beside each other, as dot-product instructions of all makers take
 *                them; then 64 f32 scales; then 64 i32: the sums of the columns' whole numbers
 * The padding of K and N is zero, scales too.
 */
#ifndef TFR_PLUGINS_COARSE_PANEL_H
#define TFR_PLUGINS_COARSE_PANEL_H

#include "common/panel.h"

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

#endif

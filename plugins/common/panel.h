/* panel.h - "panel64", the packed form of a linear's weight that gemv, gemm and onednn share.
 *
 * A panel holds 64 columns (outputs) with all of K, so that one thread streams it front to back:
 *   f32   [ceil(N / 64)][K padded to 16][64]          element (k, n) = packed[((n / 64) * K16 + k) * 64 + n % 64]
 *   f16   the same                                    f32 values that f16 holds exactly, widened by whoever reads them
 *   bf16  [ceil(N / 64)][K padded to 32, / 2][64][2]  element (k, n) = packed[((n / 64) * K32 + k / 2 * 2) * 64 + n % 64 * 2 + k %
 * 2] The padding of K and N is zero. f32 and bf16 are oneDNN's tags BA16a64b and BA16a64b2a.
 */
#ifndef TFR_PLUGINS_PANEL_H
#define TFR_PLUGINS_PANEL_H

#include <tfrun/plugin.h>

#define TFR_PANEL_COLS 64

/* dtype everywhere below: TFR_DTYPE_F32, TFR_DTYPE_BF16 or TFR_DTYPE_F16, the packed type. */
static inline int64_t panel_count(int64_t n) {
    return (n + TFR_PANEL_COLS - 1) / TFR_PANEL_COLS;
}

static inline int64_t panel_padded_k(int dtype, int64_t k) {
    const int64_t unit = dtype == TFR_DTYPE_BF16 ? 32 : 16;
    return (k + unit - 1) / unit * unit;
}

static inline size_t panel_element_bytes(int dtype) {
    return dtype == TFR_DTYPE_F32 ? 4 : 2;
}

/* Bytes of one panel. */
static inline size_t panel_stride_bytes(int dtype, int64_t k) {
    return (size_t)panel_padded_k(dtype, k) * TFR_PANEL_COLS * panel_element_bytes(dtype);
}

static inline size_t panel_bytes(int dtype, int64_t k, int64_t n) {
    return (size_t)panel_count(n) * panel_stride_bytes(dtype, k);
}

static inline const char *panel_format(int dtype) {
    return dtype == TFR_DTYPE_BF16 ? "panel64.bf16" : dtype == TFR_DTYPE_F16 ? "panel64.f16" : "panel64.f32";
}

/* The block length along K that own kernels take when none is asked: the one oneDNN 2.6 takes on AVX-512, so
 * that all of them give the same bits without asking each other. */
static inline int32_t panel_default_k_block(int64_t k) {
    return k <= 1024 ? 512 : 1024;
}

/* Packs the part of thread tid of nth: whole panels, split evenly. `weight` is [K,N], or [N,K] when
 * transposed; F32, BF16, F16 or F64; maybe unaligned; rows stride[0] elements apart, elements of a row dense. Into F16 go
 * only values that it holds exactly; of others the low bits are cut off.
 */
void tfr_panel_pack(int dtype, const struct tfr_tensor *weight, bool transposed, void *packed, int tid, int nth);

/* n floats rounded to bf16, nearest even. */
void tfr_panel_round(uint16_t *to, const float *from, int64_t n);

#endif

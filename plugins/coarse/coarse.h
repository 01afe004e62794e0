/* coarse.h - the kernels of this plugin as each ISA variant exports them, and the room that rounded rows take. Variants that were
 * not built are never called. */
#ifndef TFR_PLUGINS_COARSE_H
#define TFR_PLUGINS_COARSE_H

#include <tfrun/plugin.h>

/* So few rows are rounded by every thread for itself, which is cheaper than a barrier. */
#define COARSE_ROWS_EACH 4

typedef int32_t tfr_coarse_run_fn(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                  const struct tfr_run_ctx *ctx);
typedef void tfr_coarse_pack_fn(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                                const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth);
typedef void tfr_coarse_repack_fn(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                                  const struct tfr_coarse *weight, void *packed, int32_t tid, int32_t nth);

tfr_coarse_run_fn tfr_coarse_i8_plain, tfr_coarse_i8_avx2, tfr_coarse_i8_avx512, tfr_coarse_i8_avx512vnni;
tfr_coarse_pack_fn tfr_pack_i8_plain, tfr_pack_i8_avx2, tfr_pack_i8_avx512, tfr_pack_i8_avx512vnni;
tfr_coarse_repack_fn tfr_repack_i8_plain, tfr_repack_i8_avx2, tfr_repack_i8_avx512, tfr_repack_i8_avx512vnni;

/* Scratch of `rows` rounded rows: a scale for each, then their bytes, each row in whole lines. */
static inline int64_t coarse_row_stride(int64_t k) {
    return (k + 63) / 64 * 64;
}

static inline size_t coarse_scales_bytes(int64_t rows) {
    return ((size_t)rows * sizeof(float) + 63) / 64 * 64;
}

static inline size_t coarse_rows_bytes(int64_t rows, int64_t k) {
    return coarse_scales_bytes(rows) + (size_t)(rows * coarse_row_stride(k));
}

#endif

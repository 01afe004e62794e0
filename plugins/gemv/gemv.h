/* gemv.h - the kernels of this plugin as each ISA variant exports them. Variants that were not built are
 * never called. */
#ifndef TFR_PLUGINS_GEMV_H
#define TFR_PLUGINS_GEMV_H

#include <tfrun/plugin.h>

#define TFR_GEMV_MAX_ROWS   16
#define TFR_GEMM_CHUNK_ROWS 240 /* rows whose sums one thread holds, twice: 120 KiB */

typedef int32_t tfr_linear_run_fn(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                  const struct tfr_run_ctx *ctx);

/* f32 weights, and bf16 and f16 weights widened (TFR_ORDER_FMA); the avx512bf16 variants multiply in bf16 (TFR_ORDER_DP_BF16). */
tfr_linear_run_fn tfr_gemv_plain, tfr_gemv_avx2, tfr_gemv_avx512, tfr_gemv_avx512bf16, tfr_gemv_neon;
tfr_linear_run_fn tfr_gemm_plain, tfr_gemm_avx2, tfr_gemm_avx512, tfr_gemm_avx512bf16, tfr_gemm_neon;

#endif

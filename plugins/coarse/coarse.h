/* coarse.h - the kernels of this plugin as each ISA variant exports them, and the room that rounded rows take. Variants that were
 * not built are never called. */
#ifndef TFR_PLUGINS_COARSE_H
#define TFR_PLUGINS_COARSE_H

#include <tfrun/plugin.h>
#include <tfrun/quant.h>

/* So few rows are rounded by every thread for itself: a barrier, and lines that other cores have just written, cost more. */
#define COARSE_ROWS_EACH 32

typedef int32_t tfr_coarse_run_fn(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                  const struct tfr_run_ctx *ctx);
typedef void tfr_coarse_pack_fn(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                                const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth);
typedef void tfr_coarse_repack_fn(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                                  const struct tfr_coarse *weight, void *packed, int32_t tid, int32_t nth);

/* The functions of one kernel in one variant. */
#define TFR_COARSE_VARIANT(prefix, isa)                                                                                            \
    tfr_coarse_run_fn tfr_coarse_##prefix##_##isa;                                                                                 \
    tfr_coarse_pack_fn tfr_pack_##prefix##_##isa;                                                                                  \
    tfr_coarse_repack_fn tfr_repack_##prefix##_##isa;
#define TFR_COARSE_VARIANTS(prefix)                                                                                                \
    TFR_COARSE_VARIANT(prefix, plain)                                                                                              \
    TFR_COARSE_VARIANT(prefix, avx2)                                                                                               \
    TFR_COARSE_VARIANT(prefix, avx512)                                                                                             \
    TFR_COARSE_VARIANT(prefix, avx512vnni)                                                                                         \
    TFR_COARSE_VARIANT(prefix, neon)                                                                                               \
    TFR_COARSE_VARIANT(prefix, dotprod)
TFR_COARSE_VARIANTS(i8)
TFR_COARSE_VARIANTS(i4)
tfr_coarse_run_fn tfr_coarse_i8_amxint8; /* packs as avx512vnni */
tfr_coarse_run_fn tfr_coarse_i8w_plain, tfr_coarse_i8w_avx2, tfr_coarse_i8w_avx512, tfr_coarse_i8w_avx512bf16,
    tfr_coarse_i8w_avx512vbmi, tfr_coarse_i8w_neon;

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

/* Of rows that are rounded in spans: the bytes of whole groups, then a scale for each span and a whole number for each group. */
static inline int64_t coarse_spans(int64_t groups, int64_t group) {
    return (groups * group + TFR_QUANT_SPAN - 1) / TFR_QUANT_SPAN;
}

static inline int64_t coarse_span_row_stride(int64_t k, int64_t group) {
    const int64_t groups = (k + group - 1) / group, spans = coarse_spans(groups, group);
    return (groups * (group + (int64_t)sizeof(int32_t)) + spans * (int64_t)sizeof(float) + 63) / 64 * 64;
}

/* What widened weights of a thread take: a stretch of a panel, 256 bytes for each pair of K, and twice the sums of the rows that
 * pass over it. */
#define COARSE_WIDE_PAIRS 128
#define COARSE_WIDE_ROWS  120 /* whole tiles */

static inline size_t coarse_wide_bytes(int64_t rows) {
    return (size_t)(COARSE_WIDE_PAIRS + 2 * (rows < COARSE_WIDE_ROWS ? rows : COARSE_WIDE_ROWS)) * 256;
}

/* Elements of rows that are rounded to bf16. */
static inline int64_t coarse_half_row_stride(int64_t k) {
    return (k + 31) / 32 * 32;
}

#endif

/* attention.h - the kernel of attention_kernel.c, one per ISA, and the size of its scratch. */
#ifndef TFR_PLUGINS_ATTENTION_H
#define TFR_PLUGINS_ATTENTION_H

#include <tfrun/plugin.h>

typedef int32_t tfr_attention_run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                  const struct tfr_run_ctx *ctx);
tfr_attention_run tfr_attention_eager_plain, tfr_attention_eager_avx2, tfr_attention_eager_avx512, tfr_attention_eager_neon;
tfr_attention_run tfr_attention_plain, tfr_attention_avx2, tfr_attention_avx512, tfr_attention_avx512bf16, tfr_attention_neon;

/* Most query rows of a tile on any ISA, and keys of a softmax block. The block is part of what a result's
 * bits depend on. */
enum { TFR_ATTENTION_ROWS = 8, TFR_ATTENTION_KEYS = 128 };

/* Floats from one accumulator row to the next: whole vectors of the widest ISA. */
static inline int64_t tfr_attention_pitch(int64_t head_dim) {
    return (head_dim + 15) / 16 * 16;
}

/* Per thread: queries [rows][pitch], accumulators [rows][pitch], scores [rows][keys], sums [rows][16]; all f32.
 */
static inline size_t tfr_attention_scratch(int64_t head_dim) {
    const int64_t per_row = 2 * tfr_attention_pitch(head_dim) + TFR_ATTENTION_KEYS + 16;
    return (size_t)(TFR_ATTENTION_ROWS * per_row) * sizeof(float);
}

#endif

/* pointwise.h - the kernels of pointwise_kernel.c, one set per ISA. */
#ifndef TFR_PLUGINS_POINTWISE_H
#define TFR_PLUGINS_POINTWISE_H

#include <tfrun/plugin.h>

typedef int32_t tfr_pointwise_run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                  const struct tfr_run_ctx *ctx);
#define TFR_POINTWISE_DECLARE(isa)                                                                                                 \
    tfr_pointwise_run tfr_pointwise_embed_##isa, tfr_pointwise_activation_##isa, tfr_pointwise_add_##isa,                          \
        tfr_pointwise_gather_rows_##isa, tfr_pointwise_kv_append_##isa, tfr_pointwise_lookup_add_##isa, tfr_pointwise_copy_##isa,  \
        tfr_pointwise_sum_blocks_##isa, tfr_pointwise_best_rows_##isa
TFR_POINTWISE_DECLARE(plain);
TFR_POINTWISE_DECLARE(avx2);
TFR_POINTWISE_DECLARE(avx512);
TFR_POINTWISE_DECLARE(neon);

#endif

/* layernorm.h - the kernel of layernorm_kernel.c, one per ISA. */
#ifndef TFR_PLUGINS_LAYERNORM_H
#define TFR_PLUGINS_LAYERNORM_H

#include <tfrun/plugin.h>

typedef int32_t tfr_layernorm_run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                                  const struct tfr_run_ctx *ctx);
tfr_layernorm_run tfr_layernorm_plain, tfr_layernorm_avx2, tfr_layernorm_avx512, tfr_layernorm_neon;

#endif

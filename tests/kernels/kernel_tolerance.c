/* kernel_tolerance.c - how far a result may be from that of ref. */
#include "kernel_check.h"

#include <math.h>

/* Where each bound comes from.
 *
 * linear f32: n roundings of 2^-24 grow like sqrt(K) when their signs are random; 8 more for luck, times sum |x w|.
 *
 * linear bf16: x rounded to bf16 (relative error uniform in +-2^-9): 6 standard deviations of the sum.
 *
 * attention: the error of a score moves its weight by that factor; the output is a mean of values of at most `spread`. With
 * products in bf16 a probability is rounded to within 2^-9 on both sides, perhaps by other maxima, or to the other neighbour:
 * 2^-8 of a mean of |values|.
 *
 * layer_norm: mean and variance each within a few 2^-24 of |offset| + spread, relative to the deviation spread/sqrt(3).
 *
 * activation: act.h.
 *
 * The others: no arithmetic, or one rounding that both do. */
double case_tolerance(const struct tfr_kernel_case *kase, double want) {
    const double ulp = 0x1p-24, k = (double)kase->k, large = kase->spread + fabs(kase->offset);
    const double size = fmax(fabs(want), 1);
    switch (kase->op) {
    case TFR_OP_LINEAR: {
        const double gain = kase->act == TFR_ACT_RELU2 ? 2 * sqrt(fabs(want) + 1) + 1 : 1.2; /* slope of the activation */
        const double f32 = ulp * (8 + sqrt(k)) * k * large * 0.5;
        const bool is_bf16 = kase->dtype == TFR_DTYPE_BF16 || kase->dtype == TFR_DTYPE_I8_CHANNEL; /* x is, where the CPU has it */
        const double bf16 = is_bf16 ? 6 * 0x1p-9 / sqrt(3) * sqrt(k) * large / sqrt(3) : 0;
        return gain * (f32 + bf16) + 1e-6 * size;
    }
    case TFR_OP_ATTENTION: {
        const double score = sqrt((double)kase->dim) * kase->spread * kase->spread;
        const double rounded = kase->x_dtype == TFR_DTYPE_BF16 ? 0x1p-8 : 0;
        return kase->spread * (2e-6 + rounded + 4 * ulp * score * sqrt((double)kase->dim));
    }
    case TFR_OP_LAYER_NORM:
        return 16 * ulp * size * (1 + large / (kase->spread / sqrt(3) + 1e-5));
    case TFR_OP_ACTIVATION:
        return 1e-6 * size;
    default:
        return 0;
    }
}

/* coarse_tensor.h - whole tensors in coarse types (tfrun/quant.h): rounded, read back, and found in a checkpoint.
 *
 * In a file a coarse tensor T is three: T has the whole numbers (I8, or U8 with two of them in a byte), T_scale the scales
 * and T_zero_point the zero points of types that have them. Thread rule: no state but the tensors given.
 */
#ifndef TFR_MODEL_COARSE_TENSOR_H
#define TFR_MODEL_COARSE_TENSOR_H

#include <tfrun/plugin.h>

#include "base/tensor.h"

/* A coarse tensor that stands for the numbers [dim[0], dim[1]]. */
struct tfr_coarse_weight {
    struct tfr_coarse parts;
    int64_t dim[2];
    int k_axis; /* axis of the inputs: 0 where it is stored [K,N], 1 where [N,K] */
};

/* Types and shapes of the parts, without data, of a tensor [dim[0], dim[1]]. */
void tfr_coarse_shape(struct tfr_coarse_weight *weight, enum tfr_dtype dtype, const int64_t *dim, int k_axis);
/* Bytes of all parts. */
size_t tfr_coarse_bytes(const struct tfr_coarse_weight *weight);

/* What rounding does to a tensor. */
struct tfr_coarse_error {
    double squared, norm; /* sums of (w - rounded)^2 and of w^2 */
    double largest;       /* |w - rounded| */
    int64_t not_held;     /* output channel with a number that the type can't hold, -1: none */
};
/* Rounds `from` (F32, BF16, F16, F64; of the shape of `to`) into the parts of `to`, whose data the caller made. */
enum tfr_status tfr_coarse_round(struct tfr_coarse_weight *to, const struct tfr_tensor *from, struct tfr_coarse_error *error);
/* The numbers that it stands for, [dim[0], dim[1]]; exact. */
enum tfr_status tfr_coarse_read(float *to, const struct tfr_coarse_weight *from);

#endif

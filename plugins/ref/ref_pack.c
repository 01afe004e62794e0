/* ref_pack.c - the packed weight of the reference linear: [K][N], dense, converted to the packed dtype. */
#include "ref/ref.h"

#include <stdio.h>

#include "common/dtype.h"

/* OWN orders name themselves by a number: 53, the bits of a double's significand. */
enum { REF_ORDER_MARK = 53 };

bool tfr_ref_linear_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    const struct tfr_order *order = &problem->order;
    if (order->kind == TFR_ORDER_ANY || (order->kind == TFR_ORDER_OWN && order->k_block == REF_ORDER_MARK)) {
        return true;
    }
    snprintf(reason, reason_size, "adds in double, cannot keep the order asked for (kind %d, block %d)", order->kind,
             order->k_block);
    return false;
}

int32_t tfr_ref_linear_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                               char *reason, size_t reason_size) {
    const int dtype = problem->arg[1].dtype;
    needs->pack[1].bytes = (size_t)(problem->arg[0].dim[1] * problem->arg[4].dim[1]) * float_bytes(dtype);
    needs->pack[1].format = dtype == TFR_DTYPE_BF16 ? "plain.bf16" : dtype == TFR_DTYPE_F16 ? "plain.f16" : "plain.f32";
    needs->order = (struct tfr_order){.kind = TFR_ORDER_OWN, .k_block = REF_ORDER_MARK};
    return TFR_OK;
}

void tfr_ref_linear_pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                         const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth) {
    const bool is_transposed = problem->attrs.transposed != 0;
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    const int64_t stride_k = weight->stride[is_transposed ? 1 : 0], stride_n = weight->stride[is_transposed ? 0 : 1];
    int64_t begin, end;
    split_evenly(n_in, tid, nth, &begin, &end);
    for (int64_t k = begin; k < end; k++) {
        for (int64_t n = 0; n < n_out; n++) {
            const float value = load_as_f32(weight->data, weight->dtype, k * stride_k + n * stride_n);
            if (problem->arg[1].dtype == TFR_DTYPE_BF16) {
                ((uint16_t *)packed)[k * n_out + n] = bf16_from_f32(value);
            } else if (problem->arg[1].dtype == TFR_DTYPE_F16) {
                ((uint16_t *)packed)[k * n_out + n] = f16_from_exact(value);
            } else {
                ((float *)packed)[k * n_out + n] = value;
            }
        }
    }
}

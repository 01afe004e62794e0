/* kv_served.h - for `supports` of kernels that read or write kv caches: those of every type. */
#ifndef TFR_PLUGINS_KV_SERVED_H
#define TFR_PLUGINS_KV_SERVED_H

#include <stdio.h>

#include <tfrun/plugin.h>

/* An attention whose queries and probabilities are rounded to bf16. */
static inline bool kv_in_bf16_products(const struct tfr_problem *problem) {
    return TFR_HAS(tfr_attrs, &problem->attrs, x_dtype) && problem->attrs.x_dtype == TFR_DTYPE_BF16;
}

static inline bool kv_dtype_served(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason,
                                   size_t reason_size) {
    (void)self;
    const int dtype = problem->arg[1].dtype;
    if (dtype != TFR_DTYPE_F32 && dtype != TFR_DTYPE_BF16 && dtype != TFR_DTYPE_F16 && dtype != TFR_DTYPE_I8) {
        snprintf(reason, reason_size, "serves kv caches of f32, bf16, f16 and int8, not of dtype %d", dtype);
        return false;
    }
    if (kv_in_bf16_products(problem) && dtype != TFR_DTYPE_BF16) {
        snprintf(reason, reason_size, "multiplies in bf16 on kv caches of bf16 only, not of dtype %d", dtype);
        return false;
    }
    return true;
}

#endif

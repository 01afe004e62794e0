/* kv_served.h - for `supports` of kernels that read or write kv caches: those of either type. */
#ifndef TFR_PLUGINS_KV_SERVED_H
#define TFR_PLUGINS_KV_SERVED_H

#include <stdio.h>

#include <tfrun/plugin.h>

static inline bool kv_dtype_served(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason,
                                   size_t reason_size) {
    (void)self;
    const int dtype = problem->arg[1].dtype;
    if (dtype == TFR_DTYPE_F32 || dtype == TFR_DTYPE_I8) {
        return true;
    }
    snprintf(reason, reason_size, "serves kv caches of f32 and int8, not of dtype %d", dtype);
    return false;
}

#endif

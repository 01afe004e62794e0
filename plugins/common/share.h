/* share.h - for `cost` of kernels that reach a fixed share of the machine's peaks: their user pointer is a struct share.
 * The shares are set by hand after measurements. */
#ifndef TFR_PLUGINS_SHARE_H
#define TFR_PLUGINS_SHARE_H

#include <tfrun/plugin.h>

struct share {
    double flops, bytes, overhead_ns;
};

static inline void cost_by_share(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *cost) {
    const struct share *share = (const struct share *)self->user;
    (void)problem;
    cost->flop_fraction = share->flops;
    cost->byte_fraction = share->bytes;
    cost->overhead_ns = share->overhead_ns;
}

#endif

/* cost.h - predicted time of a kernel on a problem: a roofline over the machine's nominal peaks.
 * A pure function of its arguments. Thread rule: no state. */
#ifndef TFR_PLAN_COST_H
#define TFR_PLAN_COST_H

#include <tfrun/plugin.h>

#include "topo/topo.h"

/* What a step will look like, beyond the problem. */
struct tfr_outlook {
    const struct tfr_machine *machine;
    double sequences, context; /* sequences in the step; positions cached for each */
    double encoder;            /* encoder rows of each; 0: not known, and taken as the cached positions are */
    bool nominal;              /* as if TFR_NOMINAL_THREADS had cores: a prediction that no affinity, rank or thread count
                                  changes */
};
#define TFR_NOMINAL_THREADS 4

struct tfr_prediction {
    struct tfr_cost cost;
    double time_ns;
    bool compute_bound; /* else memory */
};

/* `order`: how the kernel adds (linear), which tells which multipliers it keeps busy. */
struct tfr_prediction tfr_cost_predict(const struct tfr_outlook *outlook, const struct tfr_kernel *kernel,
                                       const struct tfr_problem *problem, const struct tfr_order *order);

#endif

/* observe_kernels.h - what the kernels of an engine's plans reach, over a grid of rows and contexts: the points of a calibration.
 * Thread rule: the engine's thread, one rank. */
#ifndef TFR_PROFILE_OBSERVE_KERNELS_H
#define TFR_PROFILE_OBSERVE_KERNELS_H

#include "predict/calibration.h"
#include "rank/rank.h"

/* One task of one step. */
struct tfr_observation {
    char kernel[64], shape[64];
    int64_t threads, class_rows, rows, context;
    double ns, roof_ns;
};
struct tfr_observations {
    struct tfr_observation *items;
    size_t n, capacity;
};

typedef void (*tfr_observe_say)(void *user, int64_t done, int64_t total);
/* Adds what is seen; roofs are those of this machine. `quick`: each shape once. */
enum tfr_status tfr_observe_kernels(struct tfr_observations *seen, struct tfr_engine *engine, const struct tfr_roofs *roofs,
                                    bool quick, tfr_observe_say say, void *user);
/* Medians of what is alike become points; empties `seen`. */
enum tfr_status tfr_observations_settle(struct tfr_observations *seen, struct tfr_calibration *calibration);

#endif

/* observe_kernels.h - what the kernels of an engine's plans reach, over a grid of rows and contexts: the points of a calibration.
 * Thread rule: the engine's thread, one rank. */
#ifndef TFR_PROFILE_OBSERVE_KERNELS_H
#define TFR_PROFILE_OBSERVE_KERNELS_H

#include "predict/calibration.h"
#include "predict/task_facts.h"
#include "rank/rank.h"

/* One task of one step; what passes between tasks has the name TFR_BETWEEN_TASKS. */
struct tfr_observation {
    struct tfr_task_facts facts;
    double ns;
};
struct tfr_observations {
    struct tfr_observation *items;
    size_t n, capacity;
    double memory[256]; /* what memory gave meanwhile, bytes a second */
    int n_memory;
};

typedef void (*tfr_observe_say)(void *user, int64_t done, int64_t total);
/* Adds what is seen. `quick`: each shape once. */
enum tfr_status tfr_observe_kernels(struct tfr_observations *seen, struct tfr_engine *engine, bool quick, tfr_observe_say say,
                                    void *user);
/* Medians of what is alike become points, beside what the calibration's roofs would give, but for those that no time was seen of;
 * empties `seen`. */
enum tfr_status tfr_observations_settle(struct tfr_observations *seen, struct tfr_calibration *calibration);

#endif

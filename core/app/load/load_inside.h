/* load_inside.h - the target that is an engine of this process: the same requests without HTTP, for what HTTP costs.
 *
 * Two threads: the one that opened the engine steps it (tfr_load_inside_drive), the other one has the run, submits and polls. */
#ifndef TFR_APP_LOAD_LOAD_INSIDE_H
#define TFR_APP_LOAD_LOAD_INSIDE_H

#include <tfrun/tfrun.h>

#include "app/load/load.h"

/* Rank 0. NULL without memory or descriptors. */
struct tfr_load_target *tfr_load_inside_open(struct tfr_engine *engine, const struct tfr_load_workload *workload);
void tfr_load_inside_close(struct tfr_load_target *target);
/* Runs `work`, which has the run on this target, on a thread of its own and steps the engine until it has returned. */
enum tfr_status tfr_load_inside_drive(struct tfr_load_target *target, void (*work)(void *user), void *user);

#endif

/* scan.h - whether 16 bits hold what lies in 32: reads a weight with the team. Thread rule: the thread that drives the team. */
#ifndef TFR_PLAN_SCAN_H
#define TFR_PLAN_SCAN_H

#include <tfrun/types.h>

#include "team/team.h"

/* BF16 or F16 where that type holds every value of a dense tensor exactly, else F32. Of f32 values all are read, up to the first
 * that is not exact; of other types none. */
enum tfr_dtype tfr_scan_exact(const struct tfr_tensor *tensor, struct tfr_team *team);

#endif

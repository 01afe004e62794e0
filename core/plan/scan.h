/* scan.h - what the values of a weight are, read with the team: whether 16 bits hold what lies in 32, and whether whole numbers of
 * 8 bits are those that rounding gives. Thread rule: the thread that drives the team. */
#ifndef TFR_PLAN_SCAN_H
#define TFR_PLAN_SCAN_H

#include <tfrun/types.h>

#include "team/team.h"

/* BF16 or F16 where that type holds every value of a dense tensor exactly, else F32. Of f32 values all are read, up to the first
 * that is not exact; of other types none. */
enum tfr_dtype tfr_scan_exact(const struct tfr_tensor *tensor, struct tfr_team *team);

/* Whether a dense tensor of I8 holds -128, which no rounding gives and kernels need not tell from 0 (tfrun/quant.h). */
bool tfr_scan_has_lowest(const struct tfr_tensor *tensor, struct tfr_team *team);

#endif

/* alone.h - which tasks of the team the master runs by itself. A choice of the plan; no bit depends on it.
 * Thread rule: no state. */
#ifndef TFR_PLAN_ALONE_H
#define TFR_PLAN_ALONE_H

#include "plan/cost.h"
#include "plan/plan.h"

/* Sets task->alone, and problem, needs and prediction for a team of one, where that is predicted to be no
 * slower. */
enum tfr_status tfr_choose_alone(struct tfr_task *task, const struct tfr_outlook *outlook);

#endif

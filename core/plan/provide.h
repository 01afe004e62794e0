/* provide.h - the weights of a plan's tasks, as their kernels read them: packed, copied, or where the file is mapped. */
#ifndef TFR_PLAN_PROVIDE_H
#define TFR_PLAN_PROVIDE_H

#include "plan/plan.h"

/* Fills the data of every constant argument. The largest weights first: while one is packed, its pages of the file are in memory
 * beside everything that was packed before. */
enum tfr_status tfr_provide_weights(struct tfr_plan *plan, struct tfr_store *store);

#endif

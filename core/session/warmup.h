/* warmup.h - runtime.warmup: what steps need is made before anybody waits for one. Thread rule: the engine's thread, rank 0. */
#ifndef TFR_SESSION_WARMUP_H
#define TFR_SESSION_WARMUP_H

#include "rank/rank.h"

/* On all ranks the plans of steps as generation asks them: of every class of rows, with a row of logits or up to one for each
 * sequence that there can be. Places are left for plans of other shapes; where classes are more than places, a line of the log says
 * how many are made. */
enum tfr_status tfr_warmup_plans(struct tfr_engine *engine);
/* Where runtime.warmup asks for it, of this model and of the one that drafts for it: those, the plans of steps with more logits,
 * and one step of the largest class, so that what others touch has been touched. With the option kernels make their machine code
 * with each plan (tfr_plan_warm), so a step of a class has nothing to wait for afterwards that a later one has not. The other ranks
 * are told by rank 0, and have nothing to do here. */
enum tfr_status tfr_warmup(struct tfr_engine *engine);

#endif

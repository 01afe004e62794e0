/* step_measure.h - takes the time of the steps that a server has. Each kind is run once before, so that no request pays for what
 * its first step needs. Thread rule: the engine's thread, rank 0, no request running. */
#ifndef TFR_SERVE_STEP_MEASURE_H
#define TFR_SERVE_STEP_MEASURE_H

#include "rank/rank.h"
#include "serve/step_cost.h"

/* Medians of a few runs; about two seconds for GPT-2 on two cores. */
enum tfr_status tfr_step_cost_measure(struct tfr_engine *engine, struct tfr_step_cost *cost);
/* One run of each kind, to hold a kept measurement against; without what more keys and logits cost. */
enum tfr_status tfr_step_cost_glance(struct tfr_engine *engine, struct tfr_step_cost *cost);

#endif

/* ahead.h - what strategies will need of the logits of a step, made by all threads of the team before each strategy takes its rows.
 *
 * Only an order of work: what was not looked at ahead (there is no memory for it, or it is no work for a team) the strategy does
 * itself when it takes the row, with the same result. Thread rule: the engine's thread calls; pieces run on the team. */
#ifndef TFR_GENERATION_AHEAD_H
#define TFR_GENERATION_AHEAD_H

#include "generation/continuation.h"

struct tfr_ahead_piece {
    struct tfr_continuation *c;
    const float *logits; /* of the continuation's first row */
    int64_t index;
};

struct tfr_ahead {
    struct tfr_engine *engine;
    struct tfr_sampler *samplers; /* [n_samplers] one for each thread; opened when first needed */
    int n_samplers;
    struct tfr_ahead_piece *pieces;
    size_t n, room;
    int64_t cost_us; /* of all pieces, about */
};

void tfr_ahead_close(struct tfr_ahead *ahead); /* zeroed before */
/* The rows of a continuation, which it will take next. */
void tfr_ahead_add(struct tfr_ahead *ahead, struct tfr_continuation *c, const float *logits);
/* All that was added; forgets it. */
void tfr_ahead_run(struct tfr_ahead *ahead);

#endif

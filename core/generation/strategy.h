/* strategy.h - ways to continue a prompt, as records of functions: which rows of the model they want next, and what they make of
 * the logits. Whoever drives them decides what else is in the step. Thread rule: the engine's thread. */
#ifndef TFR_GENERATION_STRATEGY_H
#define TFR_GENERATION_STRATEGY_H

#include "generation/continuation.h"

struct tfr_strategy {
    const char *name;
    /* Sessions that it holds at most, 0 .. runtime.max_batch. */
    int64_t (*slots)(const struct tfr_continuation *c);
    enum tfr_status (*open)(struct tfr_continuation *c);
    /* The rows it wants next: one feed of any length, or one row for each of 1 .. slots sessions. Not called when done. */
    enum tfr_status (*feeds)(struct tfr_continuation *c, struct tfr_feed *feeds, size_t *n);
    /* ahead.h: into how many pieces what it will do with the logits of its rows falls, memory for them prepared; 0: none. NULL:
     * none. Then piece `index`, on any thread of the team: it depends on no other piece, and whether it was done changes no result.
     */
    int64_t (*pieces)(struct tfr_continuation *c);
    void (*look)(struct tfr_continuation *c, int64_t index, const float *logits, struct tfr_sampler *sampler);
    /* Their logits came, in the order of the feeds: chooses, appends, reorders its sessions. */
    enum tfr_status (*take)(struct tfr_continuation *c, const float *logits);
    bool takes_best; /* the rows may be those of tfr_step_may_ask_best where its settings look at nothing else: c->wanted.best */
    bool (*done)(const struct tfr_continuation *c);
    void (*close)(struct tfr_continuation *c); /* also after an open that failed */
};

extern const struct tfr_strategy tfr_strategy_sample, tfr_strategy_beam, tfr_strategy_assist;
/* By the settings: beams, drafts, or one token a step. */
const struct tfr_strategy *tfr_strategy_of(const struct tfr_continuation *c);

#endif

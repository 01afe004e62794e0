/* round.h - one ragged step for any number of continuations: what their strategies want next is fed together, and each takes its
 * logits. Thread rule: the engine's thread. */
#ifndef TFR_GENERATION_ROUND_H
#define TFR_GENERATION_ROUND_H

#include "generation/continuation.h"

/* Buffers, sized by runtime.max_batch. */
struct tfr_round {
    struct tfr_engine *engine;
    struct tfr_sampler sampler;
    struct tfr_feed *feeds;          /* [max_batch] of one call of tfr_engine_feed */
    struct tfr_continuation **whose; /* [max_batch] */
    size_t n;
};

struct tfr_round_counts {
    int64_t rows, prompt_rows, logits;
};

enum tfr_status tfr_round_open(struct tfr_round *round, struct tfr_engine *engine);
void tfr_round_close(struct tfr_round *round);
/* All of list[n] are open and not done. What fails of one continuation ends that one alone (its status); what fails of a step ends
 * those that were in it. Rows that few tokens need go first and always; prompts share what is left of runtime.max_rows, in the
 * order of the list, and a piece of the first of them goes in any case. */
void tfr_round_run(struct tfr_round *round, struct tfr_continuation *const *list, size_t n, struct tfr_round_counts *counts);

#endif

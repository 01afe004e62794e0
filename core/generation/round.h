/* round.h - one ragged step for any number of continuations: what their strategies want next is fed together, and each takes its
 * logits. Between the two halves other rounds may begin, of other continuations. Thread rule: the engine's thread. */
#ifndef TFR_GENERATION_ROUND_H
#define TFR_GENERATION_ROUND_H

#include "generation/ahead.h"
#include "generation/chunks.h"
#include "generation/continuation.h"
#include "session/feeding.h"

/* What is in a step. Rows of prompts are those that no token is chosen from at once, or log-probabilities of a prompt. */
struct tfr_round_counts {
    int64_t rows, prompt_rows, logits;
    /* what its time is made of */
    int64_t decode_rows, chunk_rows; /* of those that write; of pieces of prompts, as many as `room` at most */
    int64_t chunks, room;
    double decode_keys;  /* that the decoding rows see, all together */
    double chunk_past;   /* keys before a chunk's rows, on average */
    double scored_share; /* of a chunk's rows, those with logits */
    int64_t prompt_left; /* rows of prompts that this step leaves for later ones */
};

/* Buffers, sized by runtime.max_batch. */
struct tfr_round {
    struct tfr_engine *engine;
    struct tfr_feed *feeds;          /* [max_batch] of one call of tfr_engine_feed */
    struct tfr_continuation **whose; /* [max_batch] */
    size_t n;
    struct tfr_continuation **prompts; /* [max_batch] those of which a piece of the prompt is due */
    struct tfr_chunk *chunks;          /* [max_batch] their shares */
    size_t n_prompts;
    uint64_t n_shared; /* steps whose rows were shared among prompts */
    struct tfr_feeding feeding;
    struct tfr_ahead ahead;
    /* Rows of prompts that may stand beside what decodes; NULL: as many as runtime.max_rows leaves. */
    int64_t (*budget)(void *user, const struct tfr_round_counts *counts);
    void *budget_user;
};

enum tfr_status tfr_round_open(struct tfr_round *round, struct tfr_engine *engine);
void tfr_round_close(struct tfr_round *round);
/* All of list[n] are open and not done. What fails of one continuation ends that one alone (its status); what fails of a step ends
 * those that were in it. Rows that few tokens need go first and always. Prompts share what is left of runtime.max_rows, in the
 * order of the list, and a piece of the first of them goes in any case; with a budget as chunks.c says. */
void tfr_round_begin(struct tfr_round *round, struct tfr_continuation *const *list, size_t n, struct tfr_round_counts *counts);
/* The logits are there, and each takes its own; nothing where none were wanted. */
void tfr_round_finish(struct tfr_round *round);

#endif

/* continuation.h - one prompt being continued: its settings, its sequences, the strategy that makes them and what is told of it.
 * strategy.h drives it, round.h runs many together, serve/ gives it to callers as a request.
 *
 * What it gets depends on its own tokens, settings and seed alone. Thread rule: what is set before it opens is read-only from then
 * on; the rest belongs to the engine's thread. */
#ifndef TFR_GENERATION_CONTINUATION_H
#define TFR_GENERATION_CONTINUATION_H

#include "generation/sequence.h"
#include "rank/rank.h"

struct tfr_strategy;

/* The rows that a strategy asked for last, and how many of them were computed. */
struct tfr_wanted {
    struct tfr_feed *feeds; /* [slots] */
    size_t n;
    int64_t fed; /* tokens of the first feed; only a single feed is cut */
    bool best;   /* its rows have the best token alone, in place of logits */
    bool trims;  /* a single feed of which any first rows do, all with their logits: what is left is asked for again */
};

struct tfr_continuation {
    /* before it opens */
    struct tfr_engine *engine;
    struct tfr_params *params;
    const struct tfr_tokenizer *tokenizer; /* NULL: ids alone */
    struct tfr_ids prompt;
    int64_t max_tokens;
    uint64_t seed;
    size_t index;                        /* for messages */
    struct tfr_encoder_states encoder;   /* states NULL: none; a copy of its own */
    const char *cache_load, *cache_save; /* saved caches of tfr_generate, borrowed; NULL: none */
    bool cache_force;
    struct tfr_request_terms terms; /* strings of its own */
    bool is_served;                 /* submitted with terms: by a server, not by tfr_generate */
    bool shares;                    /* a server's: what its session holds at the end goes to others (serve/prefixes.h) */
    struct tfr_session *given;      /* with the beginning of its prompt, for the strategy's first session; NULL: none */
    /* while it runs */
    const struct tfr_strategy *strategy;
    void *state;                             /* the strategy's */
    struct tfr_sampler *sampler;             /* working memory of the engine's thread, lent */
    struct tfr_sequence *sequences;          /* [params->n] */
    struct tfr_logprob_list prompt_logprobs; /* of the prompt's tokens from the second on */
    struct tfr_session *kept;                /* holds the beginning that cache_save keeps */
    struct tfr_session *reader;              /* reads the prompt, and has it from then on; NULL: none any more */
    struct tfr_session *left;                /* at the end, where it shares: has the first of left_ids; NULL: none */
    const struct tfr_ids *left_ids;
    int32_t replica; /* whose ranks have its sessions; chosen before it opens */
    bool held;       /* waits: another one is reading what its prompt begins with */
    bool in_group;   /* a round has begun that it is in (serve/groups.h) */
    struct tfr_wanted wanted;
    size_t cached_tokens, output_tokens;
    int64_t prompt_rows, token_rows; /* that went into steps for it: pieces of its prompt, and others */
    bool has_digest;
    uint64_t logits_digest; /* 0 where none is wanted */
    enum tfr_status status; /* what ended it early, with its sentence */
    char error[1024];
};

/* Settings are shared, states and prompt copied; what the prompt or the settings ask in vain is refused here. */
enum tfr_status tfr_continuation_init(struct tfr_continuation *c, struct tfr_engine *engine, struct tfr_params *params,
                                      const struct tfr_prompt *prompt, size_t index);
/* Makes it a server's; NULL: nobody's terms. */
enum tfr_status tfr_continuation_serve(struct tfr_continuation *c, const struct tfr_request_terms *terms);
/* Sessions and working memory; as many sessions as tfr_continuation_slots says. */
enum tfr_status tfr_continuation_open(struct tfr_continuation *c, struct tfr_sampler *sampler);
/* Gives the sessions back, but for the one that is left; what was made stays readable. */
void tfr_continuation_end(struct tfr_continuation *c);
void tfr_continuation_free(struct tfr_continuation *c); /* all that init and open made */

int64_t tfr_continuation_slots(const struct tfr_continuation *c);
/* All its sequences are finished, or it failed. */
bool tfr_continuation_done(const struct tfr_continuation *c);
/* It ends with a failure of its own: the status, with the sentence that was raised. */
void tfr_continuation_fail(struct tfr_continuation *c, enum tfr_status status);
/* Writes the file that cache_save names; after the last step, before the end. */
enum tfr_status tfr_continuation_save(struct tfr_continuation *c);

/* Log-probabilities that each token has, its own and the best ones. */
int64_t tfr_continuation_each(const struct tfr_continuation *c);
/* Prompt tokens that have theirs, or need none, which is the first. */
int64_t tfr_continuation_scored(const struct tfr_continuation *c);

/* For strategies. */
enum tfr_status tfr_continuation_session(struct tfr_continuation *c, struct tfr_session **session);
/* A session that is needed no more, which has the first of these tokens: closed, or left. NULL: none. */
void tfr_continuation_leave(struct tfr_continuation *c, struct tfr_session *session, const struct tfr_ids *ids);
/* Into the first session: encoder states, or what a saved cache has of the prompt, if nothing was given. */
enum tfr_status tfr_continuation_prepare(struct tfr_continuation *c, struct tfr_session *session);
/* Its tokens can be chosen where the best of each row is known, and nothing else. */
bool tfr_continuation_takes_best(const struct tfr_continuation *c);
/* Row i of what came; the token that is chosen from a row, as tfr_sampler_next does. */
const float *tfr_continuation_row(const struct tfr_continuation *c, const float *rows, int64_t i);
enum tfr_status tfr_continuation_choose(const struct tfr_continuation *c, struct tfr_sampler *sampler,
                                        const struct tfr_score_row *row, const float *logits, uint64_t choice, int32_t *id);
/* A row that a token is chosen from. */
void tfr_continuation_digest(struct tfr_continuation *c, const float *logits);

#endif

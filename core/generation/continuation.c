/* continuation.c - opening and ending a continuation, and what its strategies share. */
#include "generation/continuation.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "generation/prompt.h"
#include "generation/strategy.h"
#include "graph/op.h"
#include "session/saved_cache.h"
#include "session/session.h"

static const uint64_t fnv_offset = 0xcbf29ce484222325u, fnv_prime = 0x100000001b3u;

/* Without a tokenizer ids alone are continued; one that is broken, or finds no memory, is an error for
 * everybody. */
static enum tfr_status find_tokenizer(struct tfr_continuation *c, const struct tfr_prompt *prompt) {
    const bool needs_text = prompt->text != NULL || c->params->stop.n > 0;
    const enum tfr_status status = tfr_engine_tokenizer(c->engine, &c->tokenizer);
    if (status == TFR_OK) {
        return TFR_OK;
    }
    c->tokenizer = NULL;
    if (status != TFR_RESOURCE || needs_text) {
        return status;
    }
    bool found; /* at a second try, where the first one found no memory */
    TFR_TRY(tfr_engine_find_tokenizer(c->engine, &found));
    return found ? tfr_engine_tokenizer(c->engine, &c->tokenizer) : TFR_OK;
}

static enum tfr_status copy_encoder(struct tfr_encoder_states *to, const struct tfr_encoder_states *from, int64_t width) {
    const size_t n = from->n > 0 ? (size_t)from->n : 0;
    float *states = tfr_alloc(n * (size_t)width + 1, sizeof *states);
    uint8_t *mask = from->mask != NULL ? tfr_alloc(n + 1, sizeof *mask) : NULL;
    *to = (struct tfr_encoder_states){.states = states, .mask = mask, .n = from->n};
    if (states == NULL || (from->mask != NULL && mask == NULL)) {
        return TFR_RESOURCE;
    }
    memcpy(states, from->states, n * (size_t)width * sizeof *states);
    if (mask != NULL) {
        memcpy(mask, from->mask, n);
    }
    return TFR_OK;
}

enum tfr_status tfr_continuation_init(struct tfr_continuation *c, struct tfr_engine *engine, struct tfr_params *params,
                                      const struct tfr_prompt *prompt, size_t index) {
    *c = (struct tfr_continuation){.engine = engine,
                                   .params = tfr_params_share(params),
                                   .index = index,
                                   .has_digest = !engine->no_digest,
                                   .logits_digest = engine->no_digest ? 0 : fnv_offset};
    TFR_TRY(find_tokenizer(c, prompt));
    TFR_TRY(tfr_prompt_read(engine, params, c->tokenizer, prompt, index, &c->prompt, &c->max_tokens));
    c->strategy = tfr_strategy_of(c);
    return prompt->encoder != NULL ? copy_encoder(&c->encoder, prompt->encoder, engine->config->model.n_embd) : TFR_OK;
}

enum tfr_status tfr_continuation_serve(struct tfr_continuation *c, const struct tfr_request_terms *terms) {
    static const struct tfr_request_terms nobody;
    const struct tfr_request_terms *given = terms != NULL ? terms : &nobody;
    c->is_served = true;
    c->shares = c->engine->config->options.serve_prefix_cache && !given->no_prefix && c->encoder.states == NULL;
    c->terms = *given;
    c->terms.key = given->key != NULL ? tfr_strdup(given->key) : NULL;
    c->terms.salt = given->salt != NULL ? tfr_strdup(given->salt) : NULL;
    const bool is_copied = (given->key == NULL) == (c->terms.key == NULL) && (given->salt == NULL) == (c->terms.salt == NULL);
    return is_copied ? TFR_OK : TFR_RESOURCE;
}

static enum tfr_status open_parts(struct tfr_continuation *c) {
    c->sequences = tfr_alloc((size_t)c->params->n, sizeof *c->sequences);
    c->wanted.feeds = tfr_alloc((size_t)tfr_continuation_slots(c) + 1, sizeof *c->wanted.feeds);
    if (c->sequences == NULL || c->wanted.feeds == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < c->params->n; i++) {
        TFR_TRY(tfr_sequence_open(&c->sequences[i], c->params, &c->prompt, c->max_tokens, c->tokenizer));
    }
    return c->strategy->open(c);
}

enum tfr_status tfr_continuation_open(struct tfr_continuation *c, struct tfr_sampler *sampler) {
    c->sampler = sampler;
    tfr_sampler_use(sampler, &c->params->pipeline, c->seed);
    return open_parts(c);
}

void tfr_continuation_end(struct tfr_continuation *c) {
    if (c->state != NULL) {
        c->strategy->close(c);
        tfr_free(c->state);
        c->state = NULL;
    }
    tfr_session_close(c->kept);
    tfr_session_close(c->given);
    c->kept = c->given = c->reader = NULL;
    for (int64_t i = 0; c->sequences != NULL && i < c->params->n; i++) {
        tfr_sequence_stop(&c->sequences[i]);
    }
}

void tfr_continuation_free(struct tfr_continuation *c) {
    tfr_continuation_end(c);
    for (int64_t i = 0; c->sequences != NULL && i < c->params->n; i++) {
        tfr_sequence_close(&c->sequences[i]);
    }
    tfr_free(c->sequences);
    tfr_free(c->wanted.feeds);
    tfr_logprobs_free(&c->prompt_logprobs);
    tfr_ids_free(&c->prompt);
    tfr_free((void *)c->encoder.states);
    tfr_free((void *)c->encoder.mask);
    tfr_free((void *)c->terms.key);
    tfr_free((void *)c->terms.salt);
    tfr_params_free(c->params);
}

int64_t tfr_continuation_slots(const struct tfr_continuation *c) {
    return c->strategy->slots(c);
}

int64_t tfr_continuation_each(const struct tfr_continuation *c) {
    const int64_t asked = c->params->logprobs, vocab_size = c->engine->config->model.vocab_size;
    return 1 + (asked < vocab_size ? asked : vocab_size);
}

int64_t tfr_continuation_scored(const struct tfr_continuation *c) {
    return c->params->prompt_logprobs ? 1 + (int64_t)c->prompt_logprobs.n / tfr_continuation_each(c) : 1;
}

bool tfr_continuation_done(const struct tfr_continuation *c) {
    return c->status != TFR_OK || c->strategy->done(c);
}

void tfr_continuation_fail(struct tfr_continuation *c, enum tfr_status status) {
    c->status = status;
    snprintf(c->error, sizeof c->error, "%s", tfr_failure_text());
}

enum tfr_status tfr_continuation_save(struct tfr_continuation *c) {
    return c->cache_save != NULL ? tfr_session_save(c->kept, c->sequences[0].ids.data, c->cache_save, c->cache_force) : TFR_OK;
}

/* One that others may go on in has room for the longest of them: memory that nobody writes costs nothing. */
static enum tfr_status open_session(struct tfr_continuation *c, struct tfr_session **session) {
    const int64_t needed = (int64_t)c->prompt.n + c->max_tokens;
    TFR_TRY(tfr_session_open_on(session, c->engine, c->replica, c->shares ? tfr_engine_n_positions(c->engine) : needed));
    (void)tfr_session_refit(*session, needed);
    return TFR_OK;
}

enum tfr_status tfr_continuation_session(struct tfr_continuation *c, struct tfr_session **session) {
    *session = c->given;
    c->given = NULL;
    if (*session == NULL) {
        TFR_TRY(open_session(c, session));
    }
    c->reader = c->reader == NULL ? *session : c->reader;
    return TFR_OK;
}

void tfr_continuation_leave(struct tfr_continuation *c, struct tfr_session *session, const struct tfr_ids *ids) {
    const bool is_sound = c->status == TFR_OK || c->status == TFR_CANCELLED;
    c->reader = c->reader == session ? NULL : c->reader;
    if (session != NULL && c->shares && is_sound && c->left == NULL) {
        c->left = session;
        c->left_ids = ids;
    } else {
        tfr_session_close(session);
    }
}

static enum tfr_status take_cached(struct tfr_continuation *c, struct tfr_session *session) {
    TFR_TRY(tfr_saved_cache_take(session, c->cache_load, c->prompt.data, (int64_t)c->prompt.n - 1));
    c->cached_tokens = (size_t)tfr_session_length(session);
    if (c->cached_tokens == 0 && c->prompt.n > 1) {
        tfr_log(TFR_LOG_WARN, "engine", "prompt %zu begins with another token than %s: nothing is taken from it", c->index,
                c->cache_load);
    }
    return TFR_OK;
}

enum tfr_status tfr_continuation_prepare(struct tfr_continuation *c, struct tfr_session *session) {
    if (c->encoder.states != NULL) {
        return tfr_session_encode(session, &c->encoder);
    }
    if (tfr_session_length(session) > 0) {
        c->cached_tokens = (size_t)tfr_session_length(session);
        return TFR_OK;
    }
    const bool needs_all = c->params->prompt_logprobs; /* what a cache has of the prompt has no logits */
    return c->cache_load != NULL && !needs_all ? take_cached(c, session) : TFR_OK;
}

bool tfr_continuation_takes_best(const struct tfr_continuation *c) {
    const struct tfr_params *params = c->params;
    return c->strategy->takes_best && !c->has_digest && !params->prompt_logprobs && params->logprobs < 0 &&
           tfr_pipeline_is_greedy(&params->pipeline);
}

const float *tfr_continuation_row(const struct tfr_continuation *c, const float *rows, int64_t i) {
    return rows + i * (c->wanted.best ? TFR_BEST_WIDTH : c->engine->config->model.vocab_size);
}

enum tfr_status tfr_continuation_choose(const struct tfr_continuation *c, struct tfr_sampler *sampler,
                                        const struct tfr_score_row *row, const float *logits, uint64_t choice, int32_t *id) {
    return c->wanted.best ? tfr_sampler_take_best(row, logits, id) : tfr_sampler_next(sampler, row, logits, choice, id);
}

void tfr_continuation_digest(struct tfr_continuation *c, const float *logits) {
    const int64_t n = c->has_digest ? c->engine->config->model.vocab_size : 0;
    uint64_t hash = c->logits_digest;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        hash = (hash ^ bits) * fnv_prime;
    }
    c->logits_digest = hash;
}

const struct tfr_strategy *tfr_strategy_of(const struct tfr_continuation *c) {
    if (c->max_tokens == 0) {
        return &tfr_strategy_sample;
    }
    if (c->params->num_beams > 1) {
        return &tfr_strategy_beam;
    }
    return c->params->assisted || c->params->lookup > 0 ? &tfr_strategy_assist : &tfr_strategy_sample;
}

/* assist.c - assisted decoding: tokens are drafted cheaply and checked several in one step.
 *
 * Drafts come from a small model or from what followed the same words before (prompt lookup). Greedy: the model's own choice is
 * taken at every place, so the ids are those of plain greedy decoding; drafts only decide how many places one step serves.
 * Sampling: a draft is accepted or replaced so that the distribution is the model's own. Rejected positions are cut off both
 * caches.
 */
#include "generation/assist.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/status.h"
#include "generation/pipeline.h"
#include "generation/strategy.h"

/* Random numbers beside those of plain sampling: one family for each use. */
static const uint64_t draft_family = UINT64_C(1) << 32, accept_family = UINT64_C(2) << 32, residual_family = UINT64_C(3) << 32;

struct assist {
    struct tfr_continuation *c;
    struct tfr_sequence *sequence;
    struct tfr_session *session; /* of the sequence */
    struct tfr_session *draft;   /* of the draft model; NULL for lookup */
    int64_t vocab_size, capacity;
    int32_t *ids; /* [capacity] the sequence and its drafts */
    float *p;     /* [vocab_size] */
    float *q;     /* [drafts, vocab_size]: what each draft was drawn from; NULL for lookup and greedy */
    int64_t n_drafts;
    int64_t drafted, accepted;
};

int32_t tfr_assist_choose(float *p, const float *q, int64_t n, int32_t draft, double accept, double uniform) {
    const double of_draft = q != NULL ? (double)q[draft] : 1;
    if (accept * of_draft < (double)p[draft]) {
        return draft;
    }
    for (int64_t i = 0; i < n; i++) {
        const float taken = q != NULL ? q[i] : i == draft ? 1.0f : 0.0f;
        p[i] = p[i] > taken ? p[i] - taken : 0;
    }
    return tfr_draw(p, n, uniform);
}

static double uniform_of(const struct assist *assist, uint64_t family, int64_t position) {
    return tfr_philox_uniform(assist->c->seed, family, (uint64_t)position);
}

static struct tfr_score_row row_of(const struct assist *assist, int64_t n) {
    struct tfr_score_row row = tfr_sequence_row(assist->sequence);
    row.ids = assist->ids;
    row.n = n;
    return row;
}

/* The tokens after the latest earlier place where the last words stand too, longer runs of words first. */
static int64_t look_up(struct assist *assist, int64_t n, int64_t limit) {
    for (int64_t size = assist->c->params->lookup_ngram; size > 0; size--) {
        for (int64_t at = n - size - 1; at >= 0; at--) {
            if (memcmp(assist->ids + at, assist->ids + n - size, (size_t)size * sizeof *assist->ids) != 0) {
                continue;
            }
            const int64_t found = n - (at + size), take = found < limit ? found : limit;
            memmove(assist->ids + n, assist->ids + at + size, (size_t)take * sizeof *assist->ids);
            return take;
        }
    }
    return 0;
}

/* One token of the draft model after the first n. */
static enum tfr_status draft_token(struct assist *assist, int64_t n, int64_t index) {
    const int64_t known = tfr_session_length(assist->draft);
    const struct tfr_feed feed = {.session = assist->draft, .ids = assist->ids + known, .n = n - known, .keep = 1};
    const struct tfr_score_row row = row_of(assist, n);
    struct tfr_sampler *sampler = assist->c->sampler;
    const float *logits;
    TFR_TRY(tfr_engine_feed(assist->c->engine->assistant, &feed, 1, &logits));
    TFR_TRY(tfr_sampler_score(sampler, &row, logits));
    if (assist->q == NULL) {
        assist->ids[n] = tfr_best_id(sampler->scores, assist->vocab_size);
        return TFR_OK;
    }
    float *q = assist->q + index * assist->vocab_size;
    tfr_probabilities(sampler->scores, assist->vocab_size, q);
    assist->ids[n] = tfr_draw(q, assist->vocab_size, uniform_of(assist, draft_family, n));
    return TFR_OK;
}

/* A draft model of fewer positions stops drafting where they end. */
static enum tfr_status draft_tokens(struct assist *assist, int64_t n, int64_t limit) {
    const int64_t room = tfr_engine_n_positions(assist->c->engine->assistant) + 1 - n;
    limit = limit < room ? limit : room;
    for (assist->n_drafts = 0; assist->n_drafts < limit; assist->n_drafts++) {
        TFR_TRY(draft_token(assist, n + assist->n_drafts, assist->n_drafts));
        if (tfr_pipeline_ends(&assist->c->params->pipeline, assist->ids[n + assist->n_drafts])) {
            assist->n_drafts++;
            break;
        }
    }
    return TFR_OK;
}

static enum tfr_status make_drafts(struct assist *assist) {
    const struct tfr_params *params = assist->c->params;
    const int64_t n = (int64_t)assist->sequence->ids.n, left = assist->capacity - n - 1; /* the step itself gives one more */
    const int64_t wanted = assist->draft != NULL ? params->n_drafts : params->lookup;
    const int64_t limit = wanted < left ? wanted : left;
    memcpy(assist->ids, assist->sequence->ids.data, (size_t)n * sizeof *assist->ids);
    if (assist->draft != NULL) {
        return draft_tokens(assist, n, limit);
    }
    assist->n_drafts = look_up(assist, n, limit);
    return TFR_OK;
}

static enum tfr_status feeds(struct tfr_continuation *c, struct tfr_feed *list, size_t *n) {
    struct assist *assist = c->state;
    TFR_TRY(make_drafts(assist));
    assist->drafted += assist->n_drafts;
    const int64_t known = tfr_session_length(assist->session);
    list[0] = (struct tfr_feed){.session = assist->session,
                                .ids = assist->ids + known,
                                .n = (int64_t)assist->sequence->ids.n + assist->n_drafts - known,
                                .keep = assist->n_drafts + 1};
    *n = 1;
    return TFR_OK;
}

/* The token at position n, by the model's logits there. `index` counts drafts; past the last one there is none to accept. */
static enum tfr_status choose(struct assist *assist, const float *logits, int64_t index, int32_t *id) {
    struct tfr_continuation *c = assist->c;
    const int64_t n = (int64_t)assist->sequence->ids.n;
    const struct tfr_score_row row = tfr_sequence_row(assist->sequence);
    tfr_continuation_digest(c, logits);
    if (index == assist->n_drafts || !c->params->pipeline.do_sample) {
        return tfr_continuation_choose(c, c->sampler, &row, logits, 0, id);
    }
    TFR_TRY(tfr_sampler_score(c->sampler, &row, logits));
    tfr_probabilities(c->sampler->scores, assist->vocab_size, assist->p);
    *id = tfr_assist_choose(assist->p, assist->q != NULL ? assist->q + index * assist->vocab_size : NULL, assist->vocab_size,
                            assist->ids[n], uniform_of(assist, accept_family, n), uniform_of(assist, residual_family, n));
    return TFR_OK;
}

/* Goes along the drafts for as long as they are what the model takes. */
static enum tfr_status take_tokens(struct assist *assist, const float *logits) {
    struct tfr_sequence *sequence = assist->sequence;
    for (int64_t i = 0; i <= assist->n_drafts && sequence->finish == TFR_FINISH_NONE; i++) {
        const int64_t n = (int64_t)sequence->ids.n;
        const float *row = tfr_continuation_row(assist->c, logits, i);
        int32_t id;
        TFR_TRY(choose(assist, row, i, &id));
        TFR_TRY(tfr_sequence_append(sequence, id, row, assist->vocab_size));
        assist->c->output_tokens++;
        if (i == assist->n_drafts || id != assist->ids[n]) {
            break;
        }
        assist->accepted++;
    }
    return TFR_OK;
}

/* The last token has not been fed, whatever was drafted in its place. */
static enum tfr_status cut_session(struct tfr_session *session, int64_t n) {
    return session != NULL && tfr_session_length(session) > n - 1 ? tfr_session_crop(session, n - 1) : TFR_OK;
}

static enum tfr_status take(struct tfr_continuation *c, const float *logits) {
    struct assist *assist = c->state;
    TFR_TRY(take_tokens(assist, logits));
    TFR_TRY(cut_session(assist->session, (int64_t)assist->sequence->ids.n));
    TFR_TRY(cut_session(assist->draft, (int64_t)assist->sequence->ids.n));
    if (assist->sequence->finish != TFR_FINISH_NONE && c->cache_save != NULL) {
        c->kept = assist->session;
        assist->session = NULL;
    }
    return TFR_OK;
}

static enum tfr_status open_draft_model(struct assist *assist) {
    struct tfr_engine *small = assist->c->engine->assistant;
    const int64_t limit = tfr_engine_n_positions(small), n_drafts = assist->c->params->n_drafts;
    if (assist->c->params->pipeline.do_sample) {
        assist->q = tfr_alloc((size_t)n_drafts * (size_t)assist->vocab_size, sizeof *assist->q);
        if (assist->q == NULL) {
            return TFR_RESOURCE;
        }
    }
    return tfr_session_open(&assist->draft, small, assist->capacity < limit ? assist->capacity : limit);
}

static enum tfr_status open_assist(struct tfr_continuation *c) {
    struct assist *assist = c->state = tfr_alloc(1, sizeof *assist);
    if (assist == NULL) {
        return TFR_RESOURCE;
    }
    *assist = (struct assist){.c = c,
                              .sequence = &c->sequences[0],
                              .vocab_size = c->engine->config->model.vocab_size,
                              .capacity = (int64_t)c->prompt.n + c->max_tokens};
    assist->ids = tfr_alloc((size_t)assist->capacity, sizeof *assist->ids);
    assist->p = tfr_alloc((size_t)assist->vocab_size, sizeof *assist->p);
    if (assist->ids == NULL || assist->p == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_continuation_session(c, &assist->session));
    TFR_TRY(tfr_continuation_prepare(c, assist->session));
    return c->params->assisted ? open_draft_model(assist) : TFR_OK;
}

static void close_assist(struct tfr_continuation *c) {
    struct assist *assist = c->state;
    tfr_log(TFR_LOG_INFO, "engine", "%lld of %lld drafted tokens accepted", (long long)assist->accepted,
            (long long)assist->drafted);
    tfr_continuation_leave(c, assist->session, &assist->sequence->ids);
    tfr_session_close(assist->draft);
    tfr_free(assist->ids);
    tfr_free(assist->p);
    tfr_free(assist->q);
}

static bool done(const struct tfr_continuation *c) {
    const struct assist *assist = c->state;
    return assist->sequence->finish != TFR_FINISH_NONE;
}

static int64_t slots(const struct tfr_continuation *c) {
    (void)c;
    return 1;
}

const struct tfr_strategy tfr_strategy_assist = {.name = "assist",
                                                 .takes_best = true,
                                                 .slots = slots,
                                                 .open = open_assist,
                                                 .feeds = feeds,
                                                 .take = take,
                                                 .done = done,
                                                 .close = close_assist};

/* assist.c - assisted decoding of one sequence: tokens are drafted cheaply and checked several in one step.
 *
 * Drafts come from a small model or from what followed the same words before (prompt lookup). Greedy: the model's own choice is
 * taken at every place, so the ids are those of plain greedy decoding; drafts only decide how many places one step serves.
 * Sampling: a draft is accepted or replaced so that the distribution is the model's own. Rejected positions are cut off both
 * caches.
 */
#include "generation/assist.h"

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/status.h"
#include "generation/generation.h"
#include "session/saved_cache.h"

/* Random numbers beside those of plain sampling: one family for each use. */
static const uint64_t draft_family = UINT64_C(1) << 32, accept_family = UINT64_C(2) << 32, residual_family = UINT64_C(3) << 32;

struct assist {
    struct tfr_generation_run *run;
    struct tfr_live *live;
    const struct tfr_options *options;
    int64_t vocab_size, capacity;
    int32_t *ids;                /* [capacity] the sequence and its drafts */
    float *p;                    /* [vocab_size] */
    float *q;                    /* [drafts, vocab_size]: what each draft was drawn from; NULL for lookup and greedy */
    struct tfr_session *session; /* of the draft model; NULL for lookup */
    struct tfr_sampler sampler;  /* its pipeline: that of the sequence */
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
    return tfr_philox_uniform(assist->run->sampler.seed, family, (uint64_t)position);
}

static struct tfr_score_row row_of(const struct assist *assist, int64_t n) {
    struct tfr_score_row row = tfr_live_row(assist->live);
    row.ids = assist->ids;
    row.n = n;
    return row;
}

/* The tokens after the latest earlier place where the last words stand too, longer runs of words first. */
static int64_t look_up(struct assist *assist, int64_t n, int64_t limit) {
    for (int64_t size = assist->options->sampling_max_matching_ngram_size; size > 0; size--) {
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
    const int64_t known = tfr_session_length(assist->session);
    const struct tfr_feed feed = {.session = assist->session, .ids = assist->ids + known, .n = n - known, .keep = 1};
    const struct tfr_score_row row = row_of(assist, n);
    const float *logits;
    TFR_TRY(tfr_engine_feed(assist->run->engine->assistant, &feed, 1, &logits));
    TFR_TRY(tfr_sampler_score(&assist->sampler, &row, logits));
    if (assist->q == NULL) {
        assist->ids[n] = tfr_best_id(assist->sampler.scores, assist->vocab_size);
        return TFR_OK;
    }
    float *q = assist->q + index * assist->vocab_size;
    tfr_probabilities(assist->sampler.scores, assist->vocab_size, q);
    assist->ids[n] = tfr_draw(q, assist->vocab_size, uniform_of(assist, draft_family, n));
    return TFR_OK;
}

/* A draft model of fewer positions stops drafting where they end. */
static enum tfr_status draft_tokens(struct assist *assist, int64_t n, int64_t limit, int64_t *n_drafts) {
    const int64_t room = tfr_engine_n_positions(assist->run->engine->assistant) + 1 - n;
    limit = limit < room ? limit : room;
    for (*n_drafts = 0; *n_drafts < limit; ++*n_drafts) {
        TFR_TRY(draft_token(assist, n + *n_drafts, *n_drafts));
        if (tfr_pipeline_ends(&assist->run->engine->pipeline, assist->ids[n + *n_drafts])) {
            ++*n_drafts;
            break;
        }
    }
    return TFR_OK;
}

static enum tfr_status make_drafts(struct assist *assist, int64_t *n_drafts) {
    const int64_t n = (int64_t)assist->live->ids.n, left = assist->capacity - n - 1; /* the step itself gives one more */
    const int64_t wanted =
        assist->session != NULL ? assist->options->sampling_num_assistant_tokens : assist->options->sampling_prompt_lookup;
    const int64_t limit = wanted < left ? wanted : left;
    memcpy(assist->ids, assist->live->ids.data, (size_t)n * sizeof *assist->ids);
    if (assist->session != NULL) {
        return draft_tokens(assist, n, limit, n_drafts);
    }
    *n_drafts = look_up(assist, n, limit);
    return TFR_OK;
}

/* The token at position n, by the model's logits there. `index` counts drafts; past the last one there is none to accept. */
static enum tfr_status choose(struct assist *assist, const float *logits, int64_t index, int64_t n_drafts, int32_t *id) {
    struct tfr_generation_run *run = assist->run;
    const int64_t n = (int64_t)assist->live->ids.n;
    const struct tfr_score_row row = tfr_live_row(assist->live);
    tfr_run_digest(run, logits, assist->vocab_size);
    if (index == n_drafts || !run->engine->pipeline.do_sample) {
        return tfr_sampler_next(&run->sampler, &row, logits, 0, id);
    }
    TFR_TRY(tfr_sampler_score(&run->sampler, &row, logits));
    tfr_probabilities(run->sampler.scores, assist->vocab_size, assist->p);
    *id = tfr_assist_choose(assist->p, assist->q != NULL ? assist->q + index * assist->vocab_size : NULL, assist->vocab_size,
                            assist->ids[n], uniform_of(assist, accept_family, n), uniform_of(assist, residual_family, n));
    return TFR_OK;
}

/* Goes along the drafts for as long as they are what the model takes. */
static enum tfr_status take_tokens(struct assist *assist, const float *logits, int64_t n_drafts) {
    for (int64_t i = 0; i <= n_drafts && assist->live->finish == TFR_FINISH_NONE; i++) {
        const int64_t n = (int64_t)assist->live->ids.n;
        int32_t id;
        TFR_TRY(choose(assist, logits + i * assist->vocab_size, i, n_drafts, &id));
        TFR_TRY(tfr_live_append(assist->run, assist->live, id));
        assist->run->stats->output_tokens++;
        if (i == n_drafts || id != assist->ids[n]) {
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

static enum tfr_status advance(struct assist *assist) {
    struct tfr_live *live = assist->live;
    const uint64_t start_ns = tfr_clock_ns();
    const int64_t known = tfr_session_length(live->session), n = (int64_t)live->ids.n;
    int64_t n_drafts;
    TFR_TRY(make_drafts(assist, &n_drafts));
    assist->drafted += n_drafts;
    const struct tfr_feed feed = {
        .session = live->session, .ids = assist->ids + known, .n = n + n_drafts - known, .keep = n_drafts + 1};
    const float *logits;
    TFR_TRY(tfr_engine_feed(assist->run->engine, &feed, 1, &logits));
    TFR_TRY(take_tokens(assist, logits, n_drafts));
    TFR_TRY(cut_session(live->session, (int64_t)live->ids.n));
    TFR_TRY(cut_session(assist->session, (int64_t)live->ids.n));
    tfr_run_count_step(assist->run, start_ns, known < (int64_t)live->n_prompt);
    return TFR_OK;
}

static enum tfr_status open_draft_model(struct assist *assist) {
    struct tfr_engine *small = assist->run->engine->assistant;
    const int64_t limit = tfr_engine_n_positions(small), n_drafts = assist->options->sampling_num_assistant_tokens;
    if (assist->run->engine->pipeline.do_sample) {
        assist->q = tfr_alloc((size_t)n_drafts * (size_t)assist->vocab_size, sizeof *assist->q);
        if (assist->q == NULL) {
            return TFR_RESOURCE;
        }
    }
    TFR_TRY(tfr_sampler_open(&assist->sampler, &assist->run->engine->pipeline, 0, assist->vocab_size));
    return tfr_session_open(&assist->session, small, assist->capacity < limit ? assist->capacity : limit);
}

static enum tfr_status open_assist(struct assist *assist, struct tfr_generation_run *run, struct tfr_live *live) {
    *assist = (struct assist){.run = run,
                              .live = live,
                              .options = &run->engine->config->options,
                              .vocab_size = run->engine->config->model.vocab_size,
                              .capacity = (int64_t)live->n_prompt + live->max_tokens};
    assist->ids = tfr_alloc((size_t)assist->capacity, sizeof *assist->ids);
    assist->p = tfr_alloc((size_t)assist->vocab_size, sizeof *assist->p);
    if (assist->ids == NULL || assist->p == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_live_open_session(run, live));
    TFR_TRY(tfr_live_prepare(run, live, live->session));
    return run->engine->assistant != NULL ? open_draft_model(assist) : TFR_OK;
}

static void close_assist(struct assist *assist) {
    tfr_session_close(assist->session);
    tfr_sampler_close(&assist->sampler);
    tfr_free(assist->ids);
    tfr_free(assist->p);
    tfr_free(assist->q);
}

enum tfr_status tfr_assist_generate(struct tfr_generation_run *run, struct tfr_live *live) {
    struct assist assist;
    enum tfr_status status = open_assist(&assist, run, live);
    while (status == TFR_OK && live->finish == TFR_FINISH_NONE) {
        status = tfr_run_check_stop(run);
        status = status == TFR_OK ? advance(&assist) : status;
    }
    tfr_log(TFR_LOG_INFO, "engine", "%lld of %lld drafted tokens accepted", (long long)assist.accepted, (long long)assist.drafted);
    close_assist(&assist);
    return status;
}

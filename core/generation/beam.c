/* beam.c - beam search and beam sampling, by the rules of transformers.
 *
 * Every step: the num_beams running sequences give num_beams * vocab_size continuations, the best `keep` of them are looked at,
 * those that end may join the finished ones, the best others run on. A beam has a session, which follows its parent. Scores are
 * float32 and "not eligible" is -1e9, as in the reference, so that the same sequences win.
 */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/rng.h"
#include "base/status.h"
#include "generation/pipeline.h"
#include "generation/strategy.h"

static const float ineligible = -1e9f;

struct candidate {
    float score, key; /* key: what it is ranked by, the score or a draw */
    int32_t beam, id;
    bool ends;
};

/* A set of num_beams sequences. */
struct beams {
    int32_t *ids; /* [num_beams, max_length] */
    int64_t *n;   /* [num_beams] */
    float *score; /* [num_beams] */
    bool *done;   /* [num_beams] */
};

struct search {
    struct tfr_continuation *c;
    const struct tfr_params *params;
    int64_t n_beams, keep, vocab_size, n_prompt, max_length, length;
    struct tfr_session **session; /* [num_beams] */
    struct beams running, finished, next;
    int32_t *parent;              /* [num_beams] of the running ones, in the step before */
    float *scores;                /* [num_beams, vocab_size] */
    struct candidate *candidates; /* [keep], best first */
    struct candidate *work;       /* [num_beams] */
    bool may_improve, ended;
};

static bool open_beams(struct beams *beams, int64_t n_beams, int64_t max_length) {
    const size_t n = (size_t)n_beams;
    beams->ids = tfr_alloc(n * (size_t)max_length, sizeof *beams->ids);
    beams->n = tfr_alloc(n, sizeof *beams->n);
    beams->score = tfr_alloc(n, sizeof *beams->score);
    beams->done = tfr_alloc(n, sizeof *beams->done);
    return beams->ids != NULL && beams->n != NULL && beams->score != NULL && beams->done != NULL;
}

static void close_beams(struct beams *beams) {
    tfr_free(beams->ids);
    tfr_free(beams->n);
    tfr_free(beams->score);
    tfr_free(beams->done);
}

static void start(struct search *search) {
    for (int64_t b = 0; b < search->n_beams; b++) {
        memcpy(search->running.ids + b * search->max_length, search->c->prompt.data, search->c->prompt.n * sizeof(int32_t));
        search->running.score[b] = b == 0 ? 0 : ineligible; /* all are the prompt: one of them is enough */
        search->running.n[b] = search->n_prompt;
        search->finished.score[b] = ineligible;
    }
    search->may_improve = true;
}

static enum tfr_status open_memory(struct search *search) {
    const size_t n = (size_t)search->n_beams;
    search->session = tfr_alloc(n, sizeof *search->session);
    search->parent = tfr_alloc(n, sizeof *search->parent);
    search->scores = tfr_alloc(n * (size_t)search->vocab_size, sizeof *search->scores);
    search->candidates = tfr_alloc((size_t)search->keep, sizeof *search->candidates);
    search->work = tfr_alloc(n, sizeof *search->work);
    const bool opened = open_beams(&search->running, search->n_beams, search->max_length) &&
                        open_beams(&search->finished, search->n_beams, search->max_length) &&
                        open_beams(&search->next, search->n_beams, search->max_length);
    return opened && search->session != NULL && search->parent != NULL && search->scores != NULL && search->candidates != NULL &&
                   search->work != NULL
               ? TFR_OK
               : TFR_RESOURCE;
}

static enum tfr_status open_search(struct tfr_continuation *c) {
    const int64_t n_ends = (int64_t)c->params->pipeline.eos.n, n_beams = c->params->num_beams;
    struct search *search = c->state = tfr_alloc(1, sizeof *search);
    if (search == NULL) {
        return TFR_RESOURCE;
    }
    *search = (struct search){.c = c,
                              .params = c->params,
                              .n_beams = n_beams,
                              .keep = (n_ends > 0 ? 1 + n_ends : 2) * n_beams,
                              .vocab_size = c->engine->config->model.vocab_size,
                              .n_prompt = (int64_t)c->prompt.n,
                              .max_length = (int64_t)c->prompt.n + c->max_tokens,
                              .length = (int64_t)c->prompt.n};
    if (search->keep > n_beams * search->vocab_size) {
        return tfr_raise(TFR_USAGE, "sampling.num_beams = %lld looks at %lld continuations, more than the vocabulary of %lld gives",
                         (long long)n_beams, (long long)search->keep, (long long)search->vocab_size);
    }
    TFR_TRY(open_memory(search));
    for (int64_t b = 0; b < n_beams; b++) {
        TFR_TRY(tfr_continuation_session(c, &search->session[b]));
    }
    start(search);
    return tfr_continuation_prepare(c, search->session[0]); /* the others get it when they branch off */
}

static void close_search(struct tfr_continuation *c) {
    struct search *search = c->state;
    for (int64_t b = 0; search->session != NULL && b < search->n_beams; b++) {
        tfr_continuation_leave(c, search->session[b], &c->prompt);
    }
    close_beams(&search->running);
    close_beams(&search->finished);
    close_beams(&search->next);
    tfr_free(search->session);
    tfr_free(search->parent);
    tfr_free(search->scores);
    tfr_free(search->candidates);
    tfr_free(search->work);
}

/* Log-probabilities of the running beams, run through the pipeline, plus what the beams have so far. */
static enum tfr_status score_rows(struct search *search, const float *logits, bool first) {
    const int64_t vocab_size = search->vocab_size;
    struct tfr_continuation *c = search->c;
    for (int64_t b = 0; b < search->n_beams; b++) {
        float *scores = search->scores + b * vocab_size;
        const float *from = logits + (first ? 0 : b) * vocab_size;
        const struct tfr_score_row row = {.ids = search->running.ids + b * search->max_length,
                                          .n = search->length,
                                          .n_prompt = search->n_prompt,
                                          .max_length = search->max_length};
        if (!first || b == 0) {
            tfr_continuation_digest(c, from);
        }
        memcpy(scores, from, (size_t)vocab_size * sizeof *scores);
        tfr_scores_normalise(scores, vocab_size);
        TFR_TRY(tfr_sampler_score(c->sampler, &row, scores));
        for (int64_t i = 0; i < vocab_size; i++) {
            scores[i] = c->sampler->scores[i] + search->running.score[b];
        }
    }
    return TFR_OK;
}

/* The prompt once, later the last token of every beam. */
static enum tfr_status feeds(struct tfr_continuation *c, struct tfr_feed *list, size_t *n) {
    struct search *search = c->state;
    const bool first = search->length == search->n_prompt;
    if (!first) {
        TFR_TRY(tfr_session_reorder(search->session, (size_t)search->n_beams, search->parent));
    }
    *n = first ? 1 : (size_t)search->n_beams;
    for (size_t b = 0; b < *n; b++) {
        const int64_t known = tfr_session_length(search->session[b]);
        list[b] = (struct tfr_feed){.session = search->session[b],
                                    .ids = search->running.ids + (int64_t)b * search->max_length + known,
                                    .n = search->length - known,
                                    .keep = 1};
    }
    return TFR_OK;
}

/* With Gumbel noise added, the best k are a draw of k without replacement. Every token of every beam has a number of its own. */
static float ranking_key(const struct search *search, float score, int64_t beam, int64_t id) {
    if (!search->params->pipeline.do_sample || score == -INFINITY) {
        return score;
    }
    const double uniform = tfr_philox_uniform(search->c->seed, (uint64_t)beam + 1,
                                              (uint64_t)search->length * (uint64_t)search->vocab_size + (uint64_t)id);
    return (float)((double)score - log(-log(uniform)));
}

/* Inserts behind its equals, so that earlier ones win; the list holds `limit` at most. */
static int64_t insert(struct candidate *list, int64_t n, int64_t limit, const struct candidate *fresh) {
    int64_t at = n < limit ? n : limit - 1;
    if (n == limit && !(fresh->key > list[at].key)) {
        return n;
    }
    while (at > 0 && fresh->key > list[at - 1].key) {
        list[at] = list[at - 1];
        at--;
    }
    list[at] = *fresh;
    return n < limit ? n + 1 : n;
}

static void choose_candidates(struct search *search) {
    int64_t n = 0;
    for (int64_t b = 0; b < search->n_beams; b++) {
        for (int64_t i = 0; i < search->vocab_size; i++) {
            const float score = search->scores[b * search->vocab_size + i], key = ranking_key(search, score, b, i);
            if (n == search->keep && !(key > search->candidates[n - 1].key)) {
                continue; /* nearly all of them */
            }
            const struct candidate fresh = {.score = score,
                                            .key = key,
                                            .beam = (int32_t)b,
                                            .id = (int32_t)i,
                                            .ends = search->length + 1 >= search->max_length ||
                                                    tfr_pipeline_ends(&search->params->pipeline, (int32_t)i)};
            n = insert(search->candidates, n, search->keep, &fresh);
        }
    }
}

static void put(struct search *search, struct beams *to, int64_t b, const struct beams *from, int64_t source) {
    memcpy(to->ids + b * search->max_length, from->ids + source * search->max_length, (size_t)from->n[source] * sizeof *to->ids);
    to->n[b] = from->n[source];
    to->score[b] = from->score[source];
    to->done[b] = from->done[source];
}

/* Sequence `source` of the running ones and one more token. */
static void put_candidate(struct search *search, struct beams *to, int64_t b, const struct candidate *candidate, float score) {
    put(search, to, b, &search->running, candidate->beam);
    to->ids[b * search->max_length + to->n[b]++] = candidate->id;
    to->score[b] = score;
}

static bool all_done(const struct search *search) {
    bool all = true;
    for (int64_t b = 0; b < search->n_beams; b++) {
        all &= search->finished.done[b];
    }
    return all;
}

static float normalised(const struct search *search, float score, int64_t generated) {
    return score / (float)pow((double)generated, search->params->length_penalty);
}

static void swap(struct beams *a, struct beams *b) {
    const struct beams other = *a;
    *a = *b;
    *b = other;
}

/* The finished ones so far and the candidates that end here, if they are among the first num_beams, compete for num_beams
 * places. */
static void update_finished(struct search *search) {
    const bool full = all_done(search) && search->params->early_stopping == TFR_EARLY_TRUE;
    struct candidate *merged = search->work;
    int64_t n = 0;
    for (int64_t b = 0; b < search->n_beams; b++) {
        const struct candidate old = {.key = search->finished.score[b], .beam = (int32_t)b, .id = -1};
        n = insert(merged, n, search->n_beams, &old);
    }
    for (int64_t c = 0; c < search->keep; c++) {
        const struct candidate *candidate = &search->candidates[c];
        const bool joins = candidate->ends && c < search->n_beams;
        float score = normalised(search, candidate->score, search->length + 1 - search->n_prompt);
        score += full ? ineligible : 0;
        score += search->may_improve ? 0 : ineligible;
        score += joins ? 0 : ineligible;
        const struct candidate fresh = {.key = score, .beam = (int32_t)c, .id = 0, .ends = joins};
        n = insert(merged, n, search->n_beams, &fresh);
    }
    for (int64_t b = 0; b < search->n_beams; b++) {
        if (merged[b].id < 0) {
            put(search, &search->next, b, &search->finished, merged[b].beam);
        } else {
            put_candidate(search, &search->next, b, &search->candidates[merged[b].beam], merged[b].key);
            search->next.done[b] = merged[b].ends;
        }
    }
    swap(&search->finished, &search->next);
}

static void update_running(struct search *search) {
    struct candidate *chosen = search->work;
    int64_t n = 0;
    for (int64_t c = 0; c < search->keep; c++) {
        struct candidate fresh = search->candidates[c];
        fresh.score = fresh.key = fresh.score + (fresh.ends ? ineligible : 0);
        n = insert(chosen, n, search->n_beams, &fresh);
    }
    const bool first = search->length == search->n_prompt;
    for (int64_t b = 0; b < search->n_beams; b++) {
        put_candidate(search, &search->next, b, &chosen[b], chosen[b].score);
        search->parent[b] = first ? 0 : chosen[b].beam; /* the prompt is in the first session alone */
    }
    swap(&search->running, &search->next);
}

static bool check_improvement(const struct search *search) {
    const double penalty = search->params->length_penalty;
    const bool farthest = search->params->early_stopping == TFR_EARLY_NEVER && penalty > 0;
    const int64_t generated = (farthest ? search->max_length : search->length) - search->n_prompt;
    const float best = normalised(search, search->running.score[0], generated);
    float worst = search->finished.score[0];
    for (int64_t b = 1; b < search->n_beams; b++) {
        worst = search->finished.score[b] < worst ? search->finished.score[b] : worst;
    }
    bool possible = false;
    for (int64_t b = 0; b < search->n_beams; b++) {
        possible |= best > (search->finished.done[b] ? worst : ineligible);
    }
    return possible;
}

static bool all_end(const struct search *search) {
    bool all = true;
    for (int64_t c = 0; c < search->keep; c++) {
        all &= search->candidates[c].ends;
    }
    return all;
}

static enum tfr_status report(struct search *search) {
    struct tfr_continuation *c = search->c;
    for (int64_t i = 0; i < search->params->n; i++) {
        const int32_t *ids = search->finished.ids + i * search->max_length;
        if (search->finished.n[i] == 0) {
            return tfr_raise(TFR_CONFIG,
                             "beams found %lld of %lld sequences: what is forced or banned leaves no other; lower "
                             "sampling.num_return_sequences",
                             (long long)i, (long long)search->params->n);
        }
        for (int64_t at = search->n_prompt; at < search->finished.n[i]; at++) {
            TFR_TRY(tfr_sequence_append(&c->sequences[i], ids[at], NULL, search->vocab_size));
        }
        c->output_tokens += c->sequences[i].ids.n - c->sequences[i].n_prompt;
    }
    return TFR_OK;
}

/* All beams begin with the prompt: one of their sessions, cut to it, is what output.cache_save keeps. */
static enum tfr_status leave_prompt(struct search *search) {
    search->c->kept = search->session[0];
    search->session[0] = NULL;
    return tfr_session_crop(search->c->kept, search->n_prompt);
}

static enum tfr_status take(struct tfr_continuation *c, const float *logits) {
    struct search *search = c->state;
    TFR_TRY(score_rows(search, logits, search->length == search->n_prompt));
    choose_candidates(search);
    update_finished(search); /* first: both read the running sequences of this step */
    update_running(search);
    search->length++;
    search->may_improve = search->may_improve && check_improvement(search);
    const bool full = all_done(search) && search->params->early_stopping == TFR_EARLY_TRUE;
    search->ended = !search->may_improve || full || all_end(search);
    if (!search->ended) {
        return TFR_OK;
    }
    TFR_TRY(report(search));
    return c->cache_save != NULL ? leave_prompt(search) : TFR_OK;
}

static bool done(const struct tfr_continuation *c) {
    const struct search *search = c->state;
    return search->ended;
}

static int64_t slots(const struct tfr_continuation *c) {
    return c->params->num_beams;
}

const struct tfr_strategy tfr_strategy_beam = {
    .name = "beam", .slots = slots, .open = open_search, .feeds = feeds, .take = take, .done = done, .close = close_search};

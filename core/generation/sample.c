/* sample.c - one token a step for each sequence: greedy, or draws from the scores.
 *
 * Several samples of one prompt read it once: all but its last token is fed to the first session and copied to the others. There
 * are as many sessions as runtime.max_batch allows; a sample that ends leaves its session, cut to the prompt, to the next one.
 * Log-probabilities of the prompt are taken from the rows of its own feeding. */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "generation/strategy.h"

/* A token that was chosen ahead. */
struct looked {
    int32_t id;
    bool is_there;
};

struct sample {
    struct tfr_session **session; /* [width] */
    int64_t *choice;              /* [width] which sequence a session is of; -1: none */
    int64_t width, next;          /* next: the first sequence that has had no session yet */
    int64_t prompt_end;           /* tokens of the prompt that the first session reads before the others have it */
    bool reading;                 /* not there yet */
    struct looked *looked;        /* [width] */
    bool has_digest, has_scores;  /* made ahead: of the digest; of the log-probabilities of the prompt's rows */
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Tokens of the prompt that are read for their own sake: for their log-probabilities, to be saved, or for those that come later. */
static int64_t wanted_of_prompt(const struct tfr_continuation *c) {
    const int64_t n = (int64_t)c->prompt.n;
    const bool is_read = c->cache_save != NULL || (c->shares && !c->params->prompt_logprobs);
    return is_read && c->max_tokens == 0 ? n : c->params->prompt_logprobs ? n - 1 : 0;
}

static int64_t slots(const struct tfr_continuation *c) {
    if (c->max_tokens == 0) {
        return wanted_of_prompt(c) > 0;
    }
    return least(c->params->n, c->engine->max_batch);
}

/* The prompt but its last token is in the first session; now it is in all of them. */
static enum tfr_status share_prompt(struct tfr_continuation *c, struct sample *sample) {
    sample->reading = false;
    for (int64_t s = 1; s < sample->width; s++) {
        TFR_TRY(tfr_session_copy(sample->session[s], sample->session[0], (int64_t)c->prompt.n - 1));
    }
    return TFR_OK;
}

/* What has to be read is read, by a saved cache perhaps. */
static bool has_read(const struct sample *sample) {
    return sample->width == 0 || tfr_session_length(sample->session[0]) >= sample->prompt_end;
}

static enum tfr_status open_sample(struct tfr_continuation *c) {
    const int64_t width = slots(c);
    struct sample *sample = c->state = tfr_alloc(1, sizeof *sample);
    if (sample == NULL) {
        return TFR_RESOURCE;
    }
    const int64_t shared = width > 1 ? (int64_t)c->prompt.n - 1 : 0, wanted = wanted_of_prompt(c);
    *sample = (struct sample){.next = width, .prompt_end = shared > wanted ? shared : wanted, .reading = true};
    sample->session = tfr_alloc((size_t)width + 1, sizeof *sample->session);
    sample->choice = tfr_alloc((size_t)width + 1, sizeof *sample->choice);
    sample->looked = tfr_alloc((size_t)width + 1, sizeof *sample->looked);
    if (sample->session == NULL || sample->choice == NULL || sample->looked == NULL) {
        return TFR_RESOURCE;
    }
    for (; sample->width < width; sample->width++) {
        TFR_TRY(tfr_continuation_session(c, &sample->session[sample->width]));
        sample->choice[sample->width] = c->max_tokens > 0 ? sample->width : -1;
    }
    if (width > 0) {
        TFR_TRY(tfr_continuation_prepare(c, sample->session[0]));
    }
    return has_read(sample) ? share_prompt(c, sample) : TFR_OK;
}

/* What a session has the beginning of; before it is of a sequence, or once that has ended, this is the prompt. */
static const struct tfr_ids *ids_of(const struct tfr_continuation *c, int64_t choice) {
    return choice >= 0 ? &c->sequences[choice].ids : &c->prompt;
}

static void close_sample(struct tfr_continuation *c) {
    struct sample *sample = c->state;
    for (int64_t s = 0; s < sample->width; s++) {
        tfr_continuation_leave(c, sample->session[s], ids_of(c, sample->choice[s]));
    }
    tfr_free(sample->session);
    tfr_free(sample->choice);
    tfr_free(sample->looked);
}

static bool done(const struct tfr_continuation *c) {
    const struct sample *sample = c->state;
    bool all = !sample->reading;
    for (int64_t i = 0; i < c->params->n; i++) {
        all &= c->sequences[i].finish != TFR_FINISH_NONE;
    }
    return all;
}

/* Rows whose logits are all wanted: few enough to stand beside one row of every other sequence. */
static int64_t scored_rows(const struct tfr_continuation *c) {
    const struct tfr_engine *engine = c->engine;
    const int64_t beside = engine->max_rows - engine->max_batch, some = least(16, engine->max_rows);
    return beside > some ? beside : some;
}

/* What is left to read. The last token of the prompt goes alone where the others are scored: nothing is known to follow it. */
static struct tfr_feed prompt_feed(const struct tfr_continuation *c, const struct sample *sample) {
    const int64_t known = tfr_session_length(sample->session[0]), left = (int64_t)c->prompt.n - 1 - known;
    struct tfr_feed feed = {.session = sample->session[0], .ids = c->prompt.data + known, .n = sample->prompt_end - known};
    if (c->params->prompt_logprobs && left > 0) {
        feed.keep = feed.n = least(least(feed.n, left), scored_rows(c));
    }
    return feed;
}

static enum tfr_status feeds(struct tfr_continuation *c, struct tfr_feed *list, size_t *n) {
    struct sample *sample = c->state;
    *n = 0;
    if (sample->reading && has_read(sample)) { /* it came from another request meanwhile */
        TFR_TRY(share_prompt(c, sample));
    }
    if (sample->reading) {
        list[(*n)++] = prompt_feed(c, sample);
        c->wanted.trims = list[0].keep == list[0].n; /* scored: what comes of it is counted by what the session has */
        return TFR_OK;
    }
    for (int64_t s = 0; s < sample->width; s++) {
        if (sample->choice[s] < 0) {
            continue;
        }
        const struct tfr_ids *ids = &c->sequences[sample->choice[s]].ids;
        const int64_t known = tfr_session_length(sample->session[s]);
        list[(*n)++] =
            (struct tfr_feed){.session = sample->session[s], .ids = ids->data + known, .n = (int64_t)ids->n - known, .keep = 1};
    }
    return TFR_OK;
}

/* Prompt tokens whose log-probabilities the rows that were just fed give. */
static int64_t rows_to_score(const struct tfr_continuation *c, const struct sample *sample) {
    const int64_t end = least(tfr_session_length(sample->session[0]), (int64_t)c->prompt.n - 1);
    const int64_t scored = tfr_continuation_scored(c);
    return c->params->prompt_logprobs && end >= scored ? end - scored + 1 : 0;
}

/* A NaN among a row's logits is one in all its log-probabilities. */
static enum tfr_status check_scores(const struct tfr_continuation *c, size_t first) {
    const size_t each = (size_t)tfr_continuation_each(c);
    for (size_t i = first; i < c->prompt_logprobs.n; i += each) {
        if (isnan(c->prompt_logprobs.items[i].logprob)) {
            return tfr_raise(TFR_CHECK, "the logits for position %zu hold NaN; look for it in the weights with --check-weights",
                             i / each + 1);
        }
    }
    return TFR_OK;
}

static enum tfr_status score_prompt(struct tfr_continuation *c, struct sample *sample, const float *logits) {
    const int64_t vocab_size = c->engine->config->model.vocab_size, n = rows_to_score(c, sample);
    const size_t before = c->prompt_logprobs.n;
    if (sample->has_scores) {
        c->prompt_logprobs.n += (size_t)(n * tfr_continuation_each(c));
        sample->has_scores = false;
        return check_scores(c, before);
    }
    for (int64_t i = 0, at = tfr_continuation_scored(c); i < n; i++, at++) {
        TFR_TRY(
            tfr_logprobs_add(&c->prompt_logprobs, c->prompt.data[at], c->params->logprobs, logits + i * vocab_size, vocab_size));
    }
    return check_scores(c, before);
}

static enum tfr_status take_prompt(struct tfr_continuation *c, struct sample *sample, const float *logits) {
    if (c->params->prompt_logprobs) {
        TFR_TRY(score_prompt(c, sample, logits));
    }
    if (!has_read(sample)) {
        return TFR_OK;
    }
    TFR_TRY(share_prompt(c, sample));
    if (c->max_tokens == 0 && c->cache_save != NULL) {
        c->kept = sample->session[0];
        sample->session[0] = NULL;
    }
    return TFR_OK;
}

/* A sequence has ended: its session goes to the next one, or back. The first one's may have to be saved. */
static enum tfr_status pass_on(struct tfr_continuation *c, struct sample *sample, int64_t s) {
    const bool more = sample->next < c->params->n;
    if (sample->choice[s] == 0 && c->cache_save != NULL) {
        c->kept = sample->session[s];
        if (more) { /* nothing of it may be left when the next one goes on in it */
            const enum tfr_status status = tfr_continuation_save(c);
            c->kept = NULL;
            c->cache_save = NULL;
            TFR_TRY(status);
        } else {
            sample->session[s] = NULL;
        }
    }
    if (more) {
        sample->choice[s] = sample->next++;
        return tfr_session_crop(sample->session[s], (int64_t)c->prompt.n - 1);
    }
    tfr_continuation_leave(c, sample->session[s], ids_of(c, sample->choice[s]));
    sample->session[s] = NULL;
    sample->choice[s] = -1;
    return TFR_OK;
}

/* Chosen ahead, or now: also to say why nothing can be chosen. */
static enum tfr_status choose(struct tfr_continuation *c, const struct looked *looked, int64_t choice, const float *logits,
                              int32_t *id) {
    const struct tfr_score_row row = tfr_sequence_row(&c->sequences[choice]);
    *id = looked->id;
    return looked->is_there ? TFR_OK : tfr_continuation_choose(c, c->sampler, &row, logits, (uint64_t)choice, id);
}

static enum tfr_status take_token(struct tfr_continuation *c, const struct looked *looked, int64_t choice, const float *logits) {
    struct tfr_sequence *sequence = &c->sequences[choice];
    int32_t id;
    TFR_TRY(choose(c, looked, choice, logits, &id));
    c->output_tokens++;
    if (looked->is_there && c->params->logprobs >= 0) {
        sequence->logprobs.n += (size_t)tfr_continuation_each(c);
        logits = NULL;
    }
    return tfr_sequence_append(sequence, id, logits, c->engine->config->model.vocab_size);
}

/* Of the sessions that write, the first one from s on; width: none. */
static int64_t next_writing(const struct sample *sample, int64_t s) {
    while (s < sample->width && sample->choice[s] < 0) {
        s++;
    }
    return s;
}

static void digest(struct tfr_continuation *c, const float *logits) {
    const struct sample *sample = c->state;
    for (int64_t s = next_writing(sample, 0); s < sample->width; s = next_writing(sample, s + 1)) {
        tfr_continuation_digest(c, logits);
        logits += c->engine->config->model.vocab_size;
    }
}

/* A piece for each row, and one for the digest of all of them where it is wanted. */
static int64_t pieces(struct tfr_continuation *c) {
    struct sample *sample = c->state;
    const size_t items = c->params->logprobs >= 0 ? (size_t)tfr_continuation_each(c) : 0;
    if (sample->reading) {
        const int64_t n = rows_to_score(c, sample);
        return tfr_logprobs_reserve(&c->prompt_logprobs, (size_t)n * items) == TFR_OK ? n : 0;
    }
    if (c->wanted.best) { /* nothing is left to do */
        return 0;
    }
    int64_t n = c->has_digest ? 1 : 0;
    for (int64_t s = next_writing(sample, 0); s < sample->width; s = next_writing(sample, s + 1), n++) {
        if (tfr_logprobs_reserve(&c->sequences[sample->choice[s]].logprobs, items) != TFR_OK) {
            return 0;
        }
    }
    return n;
}

static void look_at_prompt(struct tfr_continuation *c, int64_t index, const float *logits) {
    struct sample *sample = c->state;
    const int64_t vocab_size = c->engine->config->model.vocab_size;
    const size_t items = (size_t)tfr_continuation_each(c);
    tfr_logprobs_of(logits + index * vocab_size, vocab_size, c->prompt.data[tfr_continuation_scored(c) + index], items - 1,
                    c->prompt_logprobs.items + c->prompt_logprobs.n + (size_t)index * items);
    if (index == 0) {
        sample->has_scores = true; /* all rows are looked at, or none */
    }
}

static void look_at_row(struct tfr_continuation *c, int64_t s, const float *logits, struct tfr_sampler *sampler) {
    const int64_t choice = ((struct sample *)c->state)->choice[s];
    struct looked *looked = &((struct sample *)c->state)->looked[s];
    struct tfr_sequence *sequence = &c->sequences[choice];
    const struct tfr_score_row row = tfr_sequence_row(sequence);
    looked->is_there = tfr_sampler_next(sampler, &row, logits, (uint64_t)choice, &looked->id) == TFR_OK;
    if (looked->is_there && c->params->logprobs >= 0) {
        tfr_logprobs_of(logits, c->engine->config->model.vocab_size, looked->id, (size_t)tfr_continuation_each(c) - 1,
                        sequence->logprobs.items + sequence->logprobs.n);
    }
}

static void look(struct tfr_continuation *c, int64_t index, const float *logits, struct tfr_sampler *sampler) {
    struct sample *sample = c->state;
    if (sample->reading) {
        look_at_prompt(c, index, logits);
        return;
    }
    int64_t s = next_writing(sample, 0);
    for (int64_t i = 0; i < index && s < sample->width; i++) {
        s = next_writing(sample, s + 1);
    }
    if (s < sample->width) {
        look_at_row(c, s, logits + index * c->engine->config->model.vocab_size, sampler);
    } else {
        digest(c, logits);
        sample->has_digest = true;
    }
}

static enum tfr_status take(struct tfr_continuation *c, const float *logits) {
    struct sample *sample = c->state;
    int64_t row = 0;
    if (sample->reading) {
        return take_prompt(c, sample, logits);
    }
    if (!sample->has_digest) {
        digest(c, logits);
    }
    sample->has_digest = false;
    for (int64_t s = next_writing(sample, 0); s < sample->width; s = next_writing(sample, s + 1)) {
        const int64_t choice = sample->choice[s];
        TFR_TRY(take_token(c, &sample->looked[s], choice, tfr_continuation_row(c, logits, row++)));
        sample->looked[s].is_there = false;
        if (c->sequences[choice].finish != TFR_FINISH_NONE) {
            TFR_TRY(pass_on(c, sample, s));
        }
    }
    return TFR_OK;
}

const struct tfr_strategy tfr_strategy_sample = {.name = "sample",
                                                 .takes_best = true,
                                                 .slots = slots,
                                                 .open = open_sample,
                                                 .feeds = feeds,
                                                 .pieces = pieces,
                                                 .look = look,
                                                 .take = take,
                                                 .done = done,
                                                 .close = close_sample};

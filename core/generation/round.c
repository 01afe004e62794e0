/* round.c - makes up the step of a round: see round.h. */
#include "generation/round.h"

#include "base/arena.h"
#include "base/status.h"
#include "generation/strategy.h"

enum { LIGHT_ROWS = 16, LEAST_PROMPT_ROWS = 16 };

/* A step as it fills up. */
struct filling {
    int64_t room; /* rows left for prompts */
    bool has_prompt;
};

enum tfr_status tfr_round_open(struct tfr_round *round, struct tfr_engine *engine) {
    *round = (struct tfr_round){.engine = engine};
    round->feeds = tfr_alloc((size_t)engine->max_batch, sizeof *round->feeds);
    round->whose = tfr_alloc((size_t)engine->max_batch, sizeof(struct tfr_continuation *));
    enum tfr_status status = round->feeds != NULL && round->whose != NULL ? TFR_OK : TFR_RESOURCE;
    status = status == TFR_OK ? tfr_sampler_open(&round->sampler, &engine->params->pipeline, 0, engine->config->model.vocab_size)
                              : status;
    if (status != TFR_OK) {
        tfr_round_close(round);
    }
    return status;
}

void tfr_round_close(struct tfr_round *round) {
    tfr_sampler_close(&round->sampler);
    tfr_free(round->feeds);
    tfr_free(round->whose);
    *round = (struct tfr_round){0};
}

static void use_sampler(struct tfr_round *round, const struct tfr_continuation *c) {
    tfr_sampler_use(&round->sampler, &c->params->pipeline, c->seed);
}

/* Asks the strategy, unless what it asked for last is still under way. */
static void ask(struct tfr_round *round, struct tfr_continuation *c) {
    if (c->wanted.n > 0) {
        return;
    }
    use_sampler(round, c);
    c->wanted.fed = 0;
    const enum tfr_status status = c->strategy->feeds(c, c->wanted.feeds, &c->wanted.n);
    if (status != TFR_OK) {
        tfr_continuation_fail(c, status);
    }
}

/* A row or a few for each sequence, all of whose logits are wanted: what every round has of those that write. */
static bool is_light(const struct tfr_wanted *wanted) {
    for (size_t i = 0; i < wanted->n; i++) {
        if (wanted->feeds[i].n > LIGHT_ROWS || wanted->feeds[i].keep < wanted->feeds[i].n) {
            return false;
        }
    }
    return true;
}

static void add(struct tfr_round *round, struct tfr_continuation *c, const struct tfr_feed *feed, struct tfr_round_counts *counts) {
    const bool is_prompt = tfr_session_length(feed->session) < (int64_t)c->prompt.n;
    round->feeds[round->n] = *feed;
    round->whose[round->n++] = c;
    counts->rows += feed->n;
    counts->prompt_rows += is_prompt ? feed->n : 0;
    counts->logits += feed->keep;
}

static void add_light(struct tfr_round *round, struct tfr_continuation *c, struct filling *filling,
                      struct tfr_round_counts *counts) {
    for (size_t i = 0; i < c->wanted.n; i++) {
        add(round, c, &c->wanted.feeds[i], counts);
        filling->room -= c->wanted.feeds[i].n;
    }
}

/* The next piece of a feed: only rows without logits can be left for later. */
static void add_piece(struct tfr_round *round, struct tfr_continuation *c, struct filling *filling,
                      struct tfr_round_counts *counts) {
    struct tfr_feed piece = c->wanted.feeds[0];
    piece.ids += c->wanted.fed;
    piece.n -= c->wanted.fed;
    const int64_t most = piece.n - piece.keep; /* behind them the logits begin */
    if (piece.n > filling->room && most > 0 && filling->room > 0) {
        piece.n = filling->room < most ? filling->room : most;
        piece.keep = 0;
    }
    if (piece.n <= filling->room || !filling->has_prompt) {
        add(round, c, &piece, counts);
        filling->room -= piece.n;
        filling->has_prompt = true;
        c->wanted.fed += piece.n;
    }
}

static bool wants(const struct tfr_continuation *c) {
    return c->status == TFR_OK && c->wanted.n > 0;
}

static void fill(struct tfr_round *round, struct tfr_continuation *const *list, size_t n, struct tfr_round_counts *counts) {
    struct filling filling = {.room = round->engine->max_rows};
    round->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (wants(list[i]) && is_light(&list[i]->wanted)) {
            add_light(round, list[i], &filling, counts);
        }
    }
    const int64_t least = LEAST_PROMPT_ROWS < round->engine->max_rows ? LEAST_PROMPT_ROWS : round->engine->max_rows;
    filling.room = filling.room > least ? filling.room : least;
    for (size_t i = 0; i < n; i++) {
        if (wants(list[i]) && !is_light(&list[i]->wanted)) {
            add_piece(round, list[i], &filling, counts);
        }
    }
}

/* All that it wanted has been computed. */
static bool is_complete(const struct tfr_wanted *wanted) {
    return is_light(wanted) || wanted->fed == wanted->feeds[0].n;
}

static void take(struct tfr_round *round, struct tfr_continuation *c, const float *logits) {
    if (c->status != TFR_OK || !is_complete(&c->wanted)) {
        return;
    }
    use_sampler(round, c);
    const enum tfr_status status = c->strategy->take(c, logits);
    c->wanted.n = 0;
    if (status != TFR_OK) {
        tfr_continuation_fail(c, status);
    }
}

/* Feeds of one continuation stand together. */
static void give(struct tfr_round *round, const float *logits) {
    const int64_t vocab_size = round->engine->config->model.vocab_size;
    int64_t row = 0;
    for (size_t i = 0; i < round->n;) {
        struct tfr_continuation *c = round->whose[i];
        const int64_t first = row;
        for (; i < round->n && round->whose[i] == c; i++) {
            row += round->feeds[i].keep;
        }
        take(round, c, logits + first * vocab_size);
    }
}

static void run_step(struct tfr_round *round) {
    const float *logits;
    if (round->n == 0) {
        return;
    }
    const enum tfr_status status = tfr_engine_feed(round->engine, round->feeds, round->n, &logits);
    if (status == TFR_OK) {
        give(round, logits);
        return;
    }
    for (size_t i = 0; i < round->n; i++) {
        tfr_continuation_fail(round->whose[i], status);
    }
}

void tfr_round_run(struct tfr_round *round, struct tfr_continuation *const *list, size_t n, struct tfr_round_counts *counts) {
    *counts = (struct tfr_round_counts){0};
    for (size_t i = 0; i < n; i++) {
        ask(round, list[i]);
    }
    fill(round, list, n, counts);
    run_step(round);
}

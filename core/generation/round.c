/* round.c - makes up the step of a round: see round.h. */
#include "generation/round.h"

#include "base/arena.h"
#include "base/status.h"
#include "generation/chunks.h"
#include "generation/strategy.h"

enum { LIGHT_ROWS = 16 };

enum tfr_status tfr_round_open(struct tfr_round *round, struct tfr_engine *engine) {
    const size_t most = (size_t)engine->max_batch;
    *round = (struct tfr_round){.engine = engine, .ahead = {.engine = engine}};
    round->feeds = tfr_alloc(most, sizeof *round->feeds);
    round->whose = tfr_alloc(most, sizeof(struct tfr_continuation *));
    round->prompts = tfr_alloc(most, sizeof(struct tfr_continuation *));
    round->chunks = tfr_alloc(most, sizeof *round->chunks);
    const bool has_room = round->feeds != NULL && round->whose != NULL && round->prompts != NULL && round->chunks != NULL;
    if (!has_room) {
        tfr_round_close(round);
    }
    return has_room ? TFR_OK : TFR_RESOURCE;
}

void tfr_round_close(struct tfr_round *round) {
    tfr_ahead_close(&round->ahead);
    tfr_feeding_close(&round->feeding);
    tfr_free(round->feeds);
    tfr_free(round->whose);
    tfr_free(round->prompts);
    tfr_free(round->chunks);
    *round = (struct tfr_round){0};
}

static void use_sampler(const struct tfr_continuation *c) {
    tfr_sampler_use(c->sampler, &c->params->pipeline, c->seed);
}

/* Asks the strategy, unless what it asked for last is still under way. */
static void ask(struct tfr_continuation *c) {
    if (c->wanted.n > 0 || c->held) {
        return;
    }
    use_sampler(c);
    c->wanted.fed = 0;
    c->wanted.trims = false;
    const enum tfr_status status = c->strategy->feeds(c, c->wanted.feeds, &c->wanted.n);
    if (status != TFR_OK) {
        tfr_continuation_fail(c, status);
    }
}

/* A row or a few for each sequence, all of whose logits are wanted: what every round has of those that write. */
static bool is_light(const struct tfr_wanted *wanted) {
    if (wanted->trims) { /* rows of a prompt, however few */
        return false;
    }
    for (size_t i = 0; i < wanted->n; i++) {
        if (wanted->feeds[i].n > LIGHT_ROWS || wanted->feeds[i].keep < wanted->feeds[i].n) {
            return false;
        }
    }
    return true;
}

static bool wants(const struct tfr_continuation *c) {
    return c->status == TFR_OK && c->wanted.n > 0;
}

static void add(struct tfr_round *round, struct tfr_continuation *c, const struct tfr_feed *feed, struct tfr_round_counts *counts) {
    const bool is_prompt = tfr_session_length(feed->session) < (int64_t)c->prompt.n;
    round->feeds[round->n] = *feed;
    round->whose[round->n++] = c;
    counts->rows += feed->n;
    counts->prompt_rows += is_prompt ? feed->n : 0;
    counts->logits += feed->keep;
}

static void add_light(struct tfr_round *round, struct tfr_continuation *c, struct tfr_round_counts *counts) {
    for (size_t i = 0; i < c->wanted.n; i++) {
        const struct tfr_feed *feed = &c->wanted.feeds[i];
        add(round, c, feed, counts);
        c->token_rows += feed->n;
        counts->decode_rows += feed->n;
        counts->decode_keys += (double)(feed->n * (tfr_session_length(feed->session) + feed->n));
    }
}

/* What is left of a feed that goes in pieces. */
static int64_t left_of(const struct tfr_continuation *c) {
    return c->wanted.feeds[0].n - c->wanted.fed;
}

static bool is_scored(const struct tfr_continuation *c) {
    return left_of(c) == c->wanted.feeds[0].keep;
}

/* Rows of a feed's next piece, of `room` at most: logits do not come in pieces, unless what is left is asked for again. */
static int64_t piece_rows(const struct tfr_continuation *c, int64_t room) {
    const int64_t left = left_of(c), without = c->wanted.trims ? left : left - c->wanted.feeds[0].keep;
    return left <= room ? left : room < without ? room : without;
}

static void add_piece(struct tfr_round *round, struct tfr_continuation *c, int64_t rows, struct tfr_round_counts *counts) {
    if (c->wanted.trims) {
        c->wanted.feeds[0].n = c->wanted.feeds[0].keep = rows;
    }
    struct tfr_feed piece = c->wanted.feeds[0];
    piece.ids += c->wanted.fed;
    piece.keep = rows < left_of(c) ? 0 : piece.keep;
    piece.n = rows;
    add(round, c, &piece, counts);
    c->wanted.fed += rows;
    c->prompt_rows += rows;
    counts->chunk_rows += rows;
    counts->chunks++;
    counts->scored_share += (double)piece.keep;
    counts->chunk_past += (double)(rows * (tfr_session_length(piece.session)));
}

/* In order, as long as there is room: the first in any case. */
static void fill_in_order(struct tfr_round *round, struct tfr_round_counts *counts) {
    int64_t room = counts->room;
    for (size_t i = 0; i < round->n_prompts; i++) {
        struct tfr_continuation *c = round->prompts[i];
        int64_t rows = room > 0 ? piece_rows(c, room) : 0;
        rows = rows == 0 && counts->chunks == 0 ? left_of(c) : rows;
        if (rows > 0) {
            add_piece(round, c, rows, counts);
            room -= rows;
        }
    }
}

static void fill_in_shares(struct tfr_round *round, struct tfr_round_counts *counts) {
    for (size_t i = 0; i < round->n_prompts; i++) {
        const struct tfr_continuation *c = round->prompts[i];
        round->chunks[i] =
            (struct tfr_chunk){.left = left_of(c), .whole = is_scored(c) && !c->wanted.trims, .batch = c->terms.batch};
    }
    tfr_chunks_share(round->chunks, round->n_prompts, counts->room, round->n_shared++);
    for (size_t i = 0; i < round->n_prompts; i++) {
        const int64_t rows = round->chunks[i].rows > 0 ? piece_rows(round->prompts[i], round->chunks[i].rows) : 0;
        if (rows > 0) {
            add_piece(round, round->prompts[i], rows, counts);
        }
    }
}

/* Keys before the rows that prompts would have, before it is known which: those of all of them. */
static void look_at_prompts(const struct tfr_round *round, struct tfr_round_counts *counts) {
    double past = 0, scored = 0;
    for (size_t i = 0; i < round->n_prompts; i++) {
        past += (double)tfr_session_length(round->prompts[i]->wanted.feeds[0].session);
        scored += is_scored(round->prompts[i]);
    }
    const double n = round->n_prompts > 0 ? (double)round->n_prompts : 1;
    counts->chunk_past = past / n;
    counts->scored_share = scored / n;
}

/* What a later step has to read. */
static int64_t left_behind(const struct tfr_continuation *c) {
    const int64_t read = tfr_session_length(c->wanted.feeds[0].session) + c->wanted.fed;
    return c->wanted.trims ? (int64_t)c->prompt.n - 1 - read : left_of(c);
}

/* Sums become averages. */
static void settle_counts(struct tfr_round *round, struct tfr_round_counts *counts) {
    const double rows = counts->chunk_rows > 0 ? (double)counts->chunk_rows : 1;
    counts->chunk_past /= rows;
    counts->scored_share /= rows;
    for (size_t i = 0; i < round->n_prompts; i++) {
        counts->prompt_left += left_behind(round->prompts[i]);
    }
}

static void fill_prompts(struct tfr_round *round, struct tfr_round_counts *counts) {
    const int64_t max_rows = round->engine->max_rows, beside = max_rows - counts->decode_rows;
    const int64_t least = TFR_CHUNK_LEAST < max_rows ? TFR_CHUNK_LEAST : max_rows;
    counts->room = beside > least ? beside : least;
    if (round->budget != NULL && round->n_prompts > 0) {
        look_at_prompts(round, counts);
        const int64_t budget = round->budget(round->budget_user, counts);
        counts->room = budget < counts->room ? budget : counts->room;
    }
    counts->chunk_past = counts->scored_share = 0;
    if (round->budget != NULL) {
        fill_in_shares(round, counts);
    } else {
        fill_in_order(round, counts);
    }
    settle_counts(round, counts);
}

static void fill(struct tfr_round *round, struct tfr_continuation *const *list, size_t n, struct tfr_round_counts *counts) {
    round->n = round->n_prompts = 0;
    for (size_t i = 0; i < n; i++) {
        if (wants(list[i]) && is_light(&list[i]->wanted)) {
            add_light(round, list[i], counts);
        } else if (wants(list[i])) {
            round->prompts[round->n_prompts++] = list[i];
        }
    }
    fill_prompts(round, counts);
}

/* All that it wanted has been computed. */
static bool is_complete(const struct tfr_wanted *wanted) {
    return is_light(wanted) || wanted->fed == wanted->feeds[0].n;
}

static bool has_all(const struct tfr_continuation *c) {
    return c->status == TFR_OK && is_complete(&c->wanted);
}

static void take(struct tfr_round *round, struct tfr_continuation *c, const float *logits) {
    (void)round;
    use_sampler(c);
    const enum tfr_status status = c->strategy->take(c, logits);
    c->wanted.n = 0;
    if (status != TFR_OK) {
        tfr_continuation_fail(c, status);
    }
}

static void look_ahead(struct tfr_round *round, struct tfr_continuation *c, const float *logits) {
    tfr_ahead_add(&round->ahead, c, logits);
}

/* For each that has all that it wanted, in order. Feeds of one continuation stand together. */
static void give(struct tfr_round *round, const float *logits,
                 void (*to)(struct tfr_round *round, struct tfr_continuation *c, const float *logits)) {
    const int64_t width = tfr_feed_width(&round->feeding);
    int64_t row = 0;
    for (size_t i = 0; i < round->n;) {
        struct tfr_continuation *c = round->whose[i];
        const int64_t first = row;
        for (; i < round->n && round->whose[i] == c; i++) {
            row += round->feeds[i].keep;
        }
        if (has_all(c)) {
            to(round, c, logits + first * width);
        }
    }
}

static void fail_all(struct tfr_round *round, enum tfr_status status) {
    for (size_t i = 0; i < round->n; i++) {
        tfr_continuation_fail(round->whose[i], status);
    }
    round->n = 0;
}

/* One step has rows of one kind. A server plans its steps before requests come, and then those of logits. */
static bool choose_rows(struct tfr_round *round) {
    bool best = tfr_step_may_ask_best(round->engine) && !round->engine->is_server, any_kept = false;
    for (size_t i = 0; i < round->n; i++) {
        any_kept |= round->feeds[i].keep > 0;
    }
    /* Where no row is looked at, as in all steps of a prompt but the last, what the last will ask is asked: another kind is another
     * plan, and steps in flight are waited for while the first of its kind is built. */
    for (size_t i = 0; i < round->n; i++) {
        best &= (any_kept && round->feeds[i].keep == 0) || tfr_continuation_takes_best(round->whose[i]);
    }
    for (size_t i = 0; i < round->n; i++) {
        round->whose[i]->wanted.best = best;
    }
    return best;
}

void tfr_round_begin(struct tfr_round *round, struct tfr_continuation *const *list, size_t n, struct tfr_round_counts *counts) {
    *counts = (struct tfr_round_counts){0};
    for (size_t i = 0; i < n; i++) {
        ask(list[i]);
    }
    fill(round, list, n, counts);
    if (round->n > 0) {
        const bool best = choose_rows(round);
        const enum tfr_status status = tfr_feed_begin(&round->feeding, round->engine, round->feeds, round->n, best);
        if (status != TFR_OK) {
            fail_all(round, status);
        }
    }
}

void tfr_round_finish(struct tfr_round *round) {
    const float *logits;
    if (round->n == 0) {
        return;
    }
    const enum tfr_status status = tfr_feed_end(&round->feeding, &logits);
    if (status != TFR_OK) {
        fail_all(round, status);
        return;
    }
    give(round, logits, look_ahead);
    tfr_ahead_run(&round->ahead);
    give(round, logits, take);
}

/* score.c - log-probabilities of given tokens. Items are laid one after the other into steps of max_rows
 * rows: a step may hold the end of one, several whole ones and the start of another, so at most one session
 * outlives its step. */
#include "scoring/score.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "job/command.h"
#include "scoring/score_rows.h"
#include "session/encoder.h"
#include "session/prefix.h"

/* Positions [first, first + n) of one item in the step; the last `keep` of them predict tokens that count. */
struct part {
    struct tfr_session *session;
    size_t item;
    int64_t first, n, keep;
    bool ends; /* the item needs no further step */
};

struct scoring {
    struct tfr_engine *engine;
    const struct tfr_score_item *items;
    size_t n, item;              /* item under way */
    int64_t fed;                 /* its positions fed so far */
    struct tfr_session *session; /* its session, once it has begun */
    struct part *parts;          /* [max_batch] of the step */
    struct tfr_feed *feeds;
    size_t n_parts;
    int32_t *targets; /* [max_rows] */
    struct tfr_row_score *rows;
    struct tfr_token_score *scores;
};

static enum tfr_status check_item(const struct tfr_engine *engine, const struct tfr_score_item *item, size_t index) {
    const int64_t vocab_size = engine->config->model.vocab_size, limit = tfr_engine_n_positions(engine) + 1;
    if (item->n < 1 || item->n_context < 1 || item->n_context > item->n) {
        return tfr_raise(TFR_USAGE,
                         "item %zu: %zu tokens of which %zu are context; at least one token and one of context are needed", index,
                         item->n, item->n_context);
    }
    if ((int64_t)item->n > limit) {
        return tfr_raise(TFR_USAGE, "item %zu has %zu tokens, at most %lld (%s + 1) can be scored at once; cut it", index, item->n,
                         (long long)limit, tfr_engine_positions_name(engine));
    }
    for (size_t i = 0; i < item->n; i++) {
        if (item->ids[i] < 0 || item->ids[i] >= vocab_size) {
            return tfr_raise(TFR_USAGE, "item %zu: token id %d at position %zu is outside 0..%lld (vocab_size - 1)", index,
                             item->ids[i], i, (long long)(vocab_size - 1));
        }
    }
    return TFR_OK;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Of positions [first, first + n), those whose successor counts: they are the last ones. */
static int64_t counted(const struct tfr_score_item *item, int64_t first, int64_t n) {
    const int64_t from = (int64_t)item->n_context - 1, end = first + n;
    return end <= from ? 0 : first >= from ? n : end - from;
}

static enum tfr_status add_part(struct scoring *run, int64_t room) {
    const struct tfr_score_item *item = &run->items[run->item];
    const int64_t length = (int64_t)item->n - 1, n = least(length - run->fed, room);
    if (run->session == NULL) {
        TFR_TRY(tfr_session_open(&run->session, run->engine, length));
    }
    struct part *part = &run->parts[run->n_parts];
    *part =
        (struct part){.session = run->session, .item = run->item, .first = run->fed, .n = n, .keep = counted(item, run->fed, n)};
    run->feeds[run->n_parts++] =
        (struct tfr_feed){.session = run->session, .ids = item->ids + run->fed, .n = n, .keep = part->keep};
    run->fed += n;
    if (run->fed == length) {
        part->ends = true;
        run->session = NULL;
        run->fed = 0;
        run->item++;
    }
    return TFR_OK;
}

/* Sessions of the caller may hold slots: then fewer items share a step. Without any the next one says so. */
static bool has_slot(const struct scoring *run) {
    return run->n_parts == 0 || tfr_engine_free_slots(run->engine) > 0;
}

static enum tfr_status fill_step(struct scoring *run) {
    int64_t rows = 0;
    while (run->item < run->n && rows < run->engine->max_rows && has_slot(run)) {
        const struct tfr_score_item *item = &run->items[run->item];
        if (item->n_context == item->n) {
            run->item++;
            continue;
        }
        TFR_TRY(add_part(run, run->engine->max_rows - rows));
        rows += run->parts[run->n_parts - 1].n;
    }
    return TFR_OK;
}

/* The token after each row whose logits are kept, in the order of the logits. */
static int64_t collect_targets(struct scoring *run) {
    int64_t n = 0;
    for (size_t i = 0; i < run->n_parts; i++) {
        const struct part *part = &run->parts[i];
        const int32_t *ids = run->items[part->item].ids + part->first + part->n - part->keep + 1;
        memcpy(run->targets + n, ids, (size_t)part->keep * sizeof *ids);
        n += part->keep;
    }
    return n;
}

static enum tfr_status hand_over(struct scoring *run, const struct part *part, int64_t row, tfr_score_sink sink, void *user) {
    const int64_t first_position = part->first + part->n - part->keep;
    for (int64_t i = 0; i < part->keep; i++) {
        const struct tfr_row_score *from = &run->rows[row + i];
        if (isnan(from->logprob)) {
            return tfr_raise(TFR_CHECK,
                             "the logits at position %lld of item %zu hold NaN or infinity; look for it in "
                             "the weights with "
                             "--check-weights",
                             (long long)(first_position + i), part->item);
        }
        run->scores[i] = (struct tfr_token_score){
            .logprob = from->logprob, .best_logprob = from->best_logprob, .id = run->targets[row + i], .best_id = from->best_id};
    }
    const size_t first = (size_t)(first_position + 1) - run->items[part->item].n_context;
    return part->keep > 0 ? sink(user, part->item, first, run->scores, (size_t)part->keep) : TFR_OK;
}

static enum tfr_status run_step(struct scoring *run, tfr_score_sink sink, void *user) {
    const float *logits;
    TFR_TRY(tfr_engine_feed(run->engine, run->feeds, run->n_parts, &logits));
    const int64_t n = collect_targets(run);
    tfr_score_rows(run->engine->team, logits, run->engine->config->model.vocab_size, run->targets, n, run->rows);
    int64_t row = 0;
    for (size_t i = 0; i < run->n_parts; i++) {
        TFR_TRY(hand_over(run, &run->parts[i], row, sink, user));
        row += run->parts[i].keep;
    }
    return TFR_OK;
}

static void close_parts(struct scoring *run) {
    for (size_t i = 0; i < run->n_parts; i++) {
        if (run->parts[i].ends) {
            tfr_session_close(run->parts[i].session);
        }
    }
    run->n_parts = 0;
}

static enum tfr_status run_all(struct scoring *run, tfr_score_sink sink, void *user) {
    for (;;) {
        if (tfr_engine_cancelled()) {
            tfr_engine_clear_cancel();
            return tfr_raise(TFR_CANCELLED, "stopped on request");
        }
        enum tfr_status status = fill_step(run);
        const bool empty = run->n_parts == 0;
        if (status == TFR_OK && !empty) {
            status = run_step(run, sink, user);
        }
        close_parts(run);
        if (status != TFR_OK || empty) {
            return status;
        }
    }
}

enum tfr_status tfr_score_stream(struct tfr_engine *engine, const struct tfr_score_item *items, size_t n, tfr_score_sink sink,
                                 void *user) {
    TFR_TRY(tfr_encoder_refuse_file(engine, "scoring a text"));
    for (size_t i = 0; i < n; i++) {
        TFR_TRY(check_item(engine, &items[i], i));
    }
    const size_t batch = (size_t)engine->max_batch, rows = (size_t)engine->max_rows;
    struct scoring run = {.engine = engine, .items = items, .n = n};
    run.parts = tfr_alloc(batch, sizeof *run.parts);
    run.feeds = tfr_alloc(batch, sizeof *run.feeds);
    run.targets = tfr_alloc(rows, sizeof *run.targets);
    run.rows = tfr_alloc(rows, sizeof *run.rows);
    run.scores = tfr_alloc(rows, sizeof *run.scores);
    enum tfr_status status = TFR_RESOURCE;
    if (run.parts != NULL && run.feeds != NULL && run.targets != NULL && run.rows != NULL && run.scores != NULL) {
        status = run_all(&run, sink, user);
    }
    tfr_session_close(run.session);
    tfr_free(run.parts);
    tfr_free(run.feeds);
    tfr_free(run.targets);
    tfr_free(run.rows);
    tfr_free(run.scores);
    return status;
}

enum tfr_status tfr_append_bos(const struct tfr_engine *engine, struct tfr_ids *ids) {
    const int32_t bos = engine->config->model.bos_token_id;
    if (bos < 0) {
        return tfr_raise(TFR_USAGE, "%s has no bos_token_id to put in front; add it, or give a context and leave --bos out",
                         engine->config->path);
    }
    return tfr_ids_append(ids, bos);
}

static enum tfr_status store(void *user, size_t item, size_t first, const struct tfr_token_score *scores, size_t n) {
    struct tfr_score *result = (struct tfr_score *)user + item;
    for (size_t i = 0; i < n; i++) {
        result->tokens[first + i] = scores[i];
        result->logprob += scores[i].logprob;
        result->is_greedy &= scores[i].best_id == scores[i].id;
    }
    return TFR_OK;
}

enum tfr_status tfr_score(struct tfr_engine *engine, const struct tfr_score_item *items, size_t n, struct tfr_score *results) {
    memset(results, 0, n * sizeof *results);
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < n && status == TFR_OK; i++) {
        results[i].is_greedy = true;
        results[i].n_tokens = items[i].n > items[i].n_context ? items[i].n - items[i].n_context : 0;
        results[i].tokens = tfr_alloc(results[i].n_tokens + 1, sizeof *results[i].tokens);
        status = results[i].tokens != NULL ? TFR_OK : TFR_RESOURCE;
    }
    if (status == TFR_OK) {
        status = tfr_score_stream(engine, items, n, store, results);
    }
    for (size_t i = 0; i < n && status != TFR_OK; i++) {
        tfr_score_free(&results[i]);
    }
    return status;
}

void tfr_score_free(struct tfr_score *score) {
    tfr_free(score->tokens);
    *score = (struct tfr_score){0};
}

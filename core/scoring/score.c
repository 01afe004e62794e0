/* score.c - log-probabilities of given tokens. Items are laid one after the other into steps of max_rows
 * rows for each replica: a step may hold the end of one, several whole ones and the start of another, so at most one session
 * of a replica outlives its step. */
#include "scoring/score.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "job/command.h"
#include "scoring/score_order.h"
#include "scoring/score_rows.h"
#include "session/encoder.h"
#include "session/prefix.h"
#include "session/session.h"

/* Positions [first, first + n) of one item in the step; the last `keep` of them predict tokens that count. */
struct part {
    struct tfr_session *session;
    struct tfr_scored *scored;
    int lane;
    int64_t first, n, keep;
    bool ends; /* the item needs no further step */
};

struct scoring {
    struct tfr_engine *engine;
    const struct tfr_score_item *items;
    size_t n, item; /* the next one */
    struct lane {
        struct tfr_scored *scored; /* item under way; NULL: none */
        struct tfr_session *session;
        int64_t fed;             /* its positions fed so far */
        int64_t rows;            /* of the step */
    } * lanes;                   /* [replicas] */
    struct part *parts, *sorted; /* [max_batch] of the step */
    struct tfr_feed *feeds;
    size_t n_parts;
    int32_t *targets; /* [replicas * max_rows] */
    struct tfr_row_score *rows;
    struct tfr_score_order order;
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

/* The next item that has something to score. */
static enum tfr_status begin_item(struct scoring *run, struct lane *lane) {
    const struct tfr_score_item *item = &run->items[run->item];
    TFR_TRY(tfr_session_open_on(&lane->session, run->engine, (int32_t)(lane - run->lanes), (int64_t)item->n - 1));
    lane->scored = tfr_score_order_begin(&run->order, run->item, item->n - item->n_context);
    lane->fed = 0;
    run->item++;
    return lane->scored != NULL ? TFR_OK : TFR_RESOURCE;
}

/* As much of the item under way as the step has room for. */
static void add_part(struct scoring *run, struct lane *lane) {
    const struct tfr_score_item *item = &run->items[lane->scored->item];
    const int64_t left = (int64_t)item->n - 1 - lane->fed, n = least(left, run->engine->max_rows - lane->rows);
    run->parts[run->n_parts++] = (struct part){.session = lane->session,
                                               .scored = lane->scored,
                                               .lane = (int)(lane - run->lanes),
                                               .first = lane->fed,
                                               .n = n,
                                               .keep = counted(item, lane->fed, n),
                                               .ends = n == left};
    lane->fed += n;
    lane->rows += n;
    if (n == left) {
        lane->scored = NULL;
        lane->session = NULL;
    }
}

/* Sessions of the caller may hold slots: then fewer items share a step. Without any the next one says so. */
static bool has_slot(const struct scoring *run) {
    return run->n_parts == 0 || tfr_engine_free_slots(run->engine) > 0;
}

static bool has_item(struct scoring *run) {
    while (run->item < run->n && run->items[run->item].n_context == run->items[run->item].n) {
        run->item++;
    }
    return run->item < run->n;
}

/* That with the fewest rows in this step, which has none under way; NULL: all are full. */
static struct lane *choose_lane(const struct scoring *run) {
    struct lane *chosen = NULL;
    for (int i = 0; i < run->engine->placement.replicas; i++) {
        struct lane *lane = &run->lanes[i];
        chosen = lane->rows < run->engine->max_rows && (chosen == NULL || lane->rows < chosen->rows) ? lane : chosen;
    }
    return chosen;
}

/* Those of a replica stand together; rank 0 computes its steps when they begin, so the steps of others come before. */
static void sort_parts(struct scoring *run) {
    size_t n = 0;
    for (int i = run->engine->placement.replicas - 1; i >= 0; i--) {
        for (size_t p = 0; p < run->n_parts; p++) {
            if (run->parts[p].lane == i) {
                run->sorted[n++] = run->parts[p];
            }
        }
    }
    struct part *parts = run->parts;
    run->parts = run->sorted;
    run->sorted = parts;
}

/* What is under way goes first, so that nobody else takes its part of the call. */
static enum tfr_status fill_step(struct scoring *run) {
    struct lane *lane;
    for (int i = 0; i < run->engine->placement.replicas; i++) {
        run->lanes[i].rows = 0;
        if (run->lanes[i].scored != NULL) {
            add_part(run, &run->lanes[i]);
        }
    }
    while (has_item(run) && has_slot(run) && (lane = choose_lane(run)) != NULL) {
        TFR_TRY(begin_item(run, lane));
        add_part(run, lane);
    }
    sort_parts(run);
    return TFR_OK;
}

/* The token after each row whose logits are kept, in the order of the logits. */
static int64_t collect_targets(struct scoring *run) {
    int64_t n = 0;
    for (size_t i = 0; i < run->n_parts; i++) {
        const struct part *part = &run->parts[i];
        const int32_t *ids = run->items[part->scored->item].ids + part->first + part->n - part->keep + 1;
        memcpy(run->targets + n, ids, (size_t)part->keep * sizeof *ids);
        n += part->keep;
    }
    return n;
}

static enum tfr_status take_scores(struct scoring *run, const struct part *part, int64_t row) {
    struct tfr_scored *scored = part->scored;
    const int64_t first_position = part->first + part->n - part->keep;
    for (int64_t i = 0; i < part->keep; i++) {
        const struct tfr_row_score *from = &run->rows[row + i];
        if (isnan(from->logprob)) {
            return tfr_raise(TFR_CHECK,
                             "the logits at position %lld of item %zu hold NaN or infinity; look for it in "
                             "the weights with "
                             "--check-weights",
                             (long long)(first_position + i), scored->item);
        }
        scored->scores[scored->n++] = (struct tfr_token_score){
            .logprob = from->logprob, .best_logprob = from->best_logprob, .id = run->targets[row + i], .best_id = from->best_id};
    }
    scored->is_complete = part->ends;
    return TFR_OK;
}

static enum tfr_status run_step(struct scoring *run) {
    const float *logits;
    for (size_t i = 0; i < run->n_parts; i++) {
        const struct part *part = &run->parts[i];
        run->feeds[i] = (struct tfr_feed){
            .session = part->session, .ids = run->items[part->scored->item].ids + part->first, .n = part->n, .keep = part->keep};
    }
    TFR_TRY(tfr_engine_feed(run->engine, run->feeds, run->n_parts, &logits));
    const int64_t n = collect_targets(run);
    tfr_score_rows(run->engine->team, logits, run->engine->config->model.vocab_size, run->targets, n, run->rows);
    int64_t row = 0;
    for (size_t i = 0; i < run->n_parts; i++) {
        TFR_TRY(take_scores(run, &run->parts[i], row));
        row += run->parts[i].keep;
    }
    return tfr_score_order_hand_over(&run->order);
}

static void close_parts(struct scoring *run) {
    for (size_t i = 0; i < run->n_parts; i++) {
        if (run->parts[i].ends) {
            tfr_session_close(run->parts[i].session);
        }
    }
    run->n_parts = 0;
}

static enum tfr_status run_all(struct scoring *run) {
    for (;;) {
        if (tfr_engine_cancelled()) {
            tfr_engine_clear_cancel();
            return tfr_raise(TFR_CANCELLED, "stopped on request");
        }
        enum tfr_status status = fill_step(run);
        const bool empty = run->n_parts == 0;
        if (status == TFR_OK && !empty) {
            status = run_step(run);
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
    const size_t batch = (size_t)engine->max_batch, replicas = (size_t)engine->placement.replicas,
                 rows = replicas * (size_t)engine->max_rows;
    struct scoring run = {.engine = engine, .items = items, .n = n, .order = {.sink = sink, .user = user}};
    run.lanes = tfr_alloc(replicas, sizeof *run.lanes);
    run.sorted = tfr_alloc(batch, sizeof *run.sorted);
    run.parts = tfr_alloc(batch, sizeof *run.parts);
    run.feeds = tfr_alloc(batch, sizeof *run.feeds);
    run.targets = tfr_alloc(rows, sizeof *run.targets);
    run.rows = tfr_alloc(rows, sizeof *run.rows);
    enum tfr_status status = TFR_RESOURCE;
    if (run.lanes != NULL && run.sorted != NULL && run.parts != NULL && run.feeds != NULL && run.targets != NULL &&
        run.rows != NULL) {
        status = run_all(&run);
    }
    for (size_t i = 0; i < replicas && run.lanes != NULL; i++) {
        tfr_session_close(run.lanes[i].session);
    }
    tfr_score_order_close(&run.order);
    tfr_free(run.lanes);
    tfr_free(run.sorted);
    tfr_free(run.parts);
    tfr_free(run.feeds);
    tfr_free(run.targets);
    tfr_free(run.rows);
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

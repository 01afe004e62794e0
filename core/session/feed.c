/* feed.c - new tokens for any mix of sessions, their logits back: a call becomes pieces, cut into steps. See feeding.h. */
#include "session/feeding.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "graph/op.h"
#include "session/session.h"
#include "step/step.h"

enum tfr_status tfr_engine_check_ids(const struct tfr_engine *engine, const int32_t *ids, int64_t n, size_t index) {
    const int64_t vocab_size = engine->config->model.vocab_size;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= vocab_size) {
            return tfr_raise(TFR_USAGE, "token id %d at position %lld of sequence %zu is outside 0..%lld (vocab_size - 1)", ids[i],
                             (long long)i, index, (long long)(vocab_size - 1));
        }
    }
    return TFR_OK;
}

static enum tfr_status check_feed(const struct tfr_engine *engine, const struct tfr_feed *feed, size_t index) {
    const struct tfr_session *session = feed->session;
    if (session->engine != engine) {
        return tfr_raise(TFR_USAGE, "sequence %zu belongs to another engine", index);
    }
    if (feed->n < 1 || feed->keep < 0 || feed->keep > feed->n) {
        return tfr_raise(TFR_USAGE,
                         "sequence %zu: %lld new tokens with logits of the last %lld; give at least one token and at "
                         "most as many logits",
                         index, (long long)feed->n, (long long)feed->keep);
    }
    if (feed->n > session->capacity - session->length) {
        return tfr_raise(TFR_USAGE, "sequence %zu: %lld cached and %lld new tokens exceed its %lld positions", index,
                         (long long)session->length, (long long)feed->n, (long long)session->capacity);
    }
    return tfr_engine_check_ids(engine, feed->ids, feed->n, index);
}

static enum tfr_status check_feeds(const struct tfr_engine *engine, const struct tfr_feed *feeds, size_t n) {
    if (n < 1 || n > (size_t)engine->max_batch) {
        return tfr_raise(TFR_USAGE, "%zu sequences in one call; 1..%lld are possible (tfrun.runtime.max_batch)", n,
                         (long long)engine->max_batch);
    }
    for (size_t i = 0; i < n; i++) {
        TFR_TRY(check_feed(engine, &feeds[i], i));
        for (size_t j = 0; j < i; j++) {
            if (feeds[j].session == feeds[i].session) {
                return tfr_raise(TFR_USAGE, "sequences %zu and %zu of one call are the same session", j, i);
            }
        }
    }
    return TFR_OK;
}

static enum tfr_status reserve(struct tfr_feeding *feeding, size_t n) {
    if (n <= feeding->room) {
        return TFR_OK;
    }
    tfr_feeding_close(feeding);
    feeding->pieces = tfr_alloc(n, sizeof *feeding->pieces);
    feeding->features = tfr_alloc(n, sizeof *feeding->features);
    feeding->fed = tfr_alloc(n, sizeof *feeding->fed);
    feeding->spans = tfr_alloc(n, sizeof *feeding->spans);
    const bool has_all = feeding->pieces != NULL && feeding->features != NULL && feeding->fed != NULL && feeding->spans != NULL;
    feeding->room = has_all ? n : 0;
    return has_all ? TFR_OK : TFR_RESOURCE;
}

void tfr_feeding_close(struct tfr_feeding *feeding) {
    if (feeding == NULL) {
        return;
    }
    tfr_free(feeding->pieces);
    tfr_free(feeding->features);
    tfr_free(feeding->fed);
    tfr_free(feeding->spans);
    tfr_block_close(&feeding->gathered);
    *feeding = (struct tfr_feeding){0};
}

static void make_pieces(struct tfr_feeding *feeding, const struct tfr_feed *feeds, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct tfr_session *session = feeds[i].session;
        feeding->features[i] = tfr_engine_features(session->engine);
        feeding->features[i].cross = session->encoded;
        feeding->features[i].best = feeding->best;
        feeding->pieces[i] = (struct tfr_piece){.slot = session->slot,
                                                .n = feeds[i].n,
                                                .past = tfr_session_past(session),
                                                .features = &feeding->features[i],
                                                .ids = feeds[i].ids,
                                                .keep = feeds[i].keep};
        feeding->fed[i] = (struct tfr_fed){.session = feeds[i].session, .n = feeds[i].n};
    }
    feeding->n = n;
}

static int64_t total_kept(const struct tfr_feed *feeds, size_t n) {
    int64_t keep = 0;
    for (size_t i = 0; i < n; i++) {
        keep += feeds[i].keep;
    }
    return keep;
}

static enum tfr_status check_cancel(void) {
    if (tfr_engine_cancelled()) {
        tfr_engine_clear_cancel();
        return tfr_raise(TFR_CANCELLED, "stopped on request");
    }
    return TFR_OK;
}

int64_t tfr_feed_width(const struct tfr_feeding *feeding) {
    return feeding->best ? TFR_BEST_WIDTH : feeding->engine->config->model.vocab_size;
}

/* Waits for the oldest step that has logits. Those of the one step that there mostly is stay where they are; those of several are
 * gathered. */
static enum tfr_status take_oldest(struct tfr_feeding *feeding, struct tfr_engine *engine) {
    const struct tfr_awaited oldest = feeding->awaited[0];
    memmove(feeding->awaited, feeding->awaited + 1, (size_t)--feeding->n_awaited * sizeof oldest);
    TFR_TRY(tfr_step_take(engine, oldest.memory));
    const float *logits = oldest.memory->logits.data;
    if (feeding->gathers) {
        const size_t row_bytes = (size_t)tfr_feed_width(feeding) * sizeof(float);
        memcpy((uint8_t *)feeding->gathered.data + (size_t)oldest.row * row_bytes, logits, (size_t)oldest.n_logits * row_bytes);
        logits = feeding->gathered.data;
    }
    feeding->logits = logits;
    return TFR_OK;
}

/* Before a step that is not the only one with logits. */
static enum tfr_status start_gathering(struct tfr_feeding *feeding, int64_t n_kept) {
    const size_t row_bytes = (size_t)tfr_feed_width(feeding) * sizeof(float);
    TFR_TRY(tfr_block_reserve(&feeding->gathered, (size_t)n_kept * row_bytes, TFR_HUGEPAGES_OFF));
    feeding->gathers = true;
    return TFR_OK;
}

static int most_awaited(const struct tfr_engine *engine) {
    const int most = TFR_FEED_AWAITS * engine->placement.replicas;
    return tfr_engine_size(engine) == 1 ? 1 : most < TFR_FEED_MOST ? most : TFR_FEED_MOST; /* alone nothing is gained by more */
}

/* The step that a span has cut. */
static enum tfr_status begin_step(struct tfr_feeding *feeding, struct tfr_feed_span *span, int64_t n_kept) {
    struct tfr_step *step = &span->step;
    TFR_TRY(check_cancel());
    if (step->n_logits > 0 && step->n_logits < n_kept && !feeding->gathers) {
        TFR_TRY(start_gathering(feeding, n_kept));
    }
    while (step->n_logits > 0 && feeding->n_awaited >= most_awaited(step->engine)) {
        TFR_TRY(take_oldest(feeding, step->engine));
    }
    TFR_TRY(tfr_step_begin(step));
    if (step->n_logits > 0) {
        feeding->awaited[feeding->n_awaited++] =
            (struct tfr_awaited){.memory = step->memory, .n_logits = step->n_logits, .row = span->row};
        span->row += step->n_logits;
    } else if (feeding->logits == NULL) {
        feeding->logits = step->memory->logits.data; /* where nobody looks */
    }
    return TFR_OK;
}

static enum tfr_status begin_steps(struct tfr_feeding *feeding, int64_t n_kept) {
    bool goes_on = true;
    while (goes_on) {
        goes_on = false;
        for (size_t i = 0; i < feeding->n_spans; i++) {
            if (tfr_step_cut(&feeding->spans[i].step)) {
                TFR_TRY(begin_step(feeding, &feeding->spans[i], n_kept));
                goes_on = true;
            }
        }
    }
    return TFR_OK;
}

static void close_spans(struct tfr_feeding *feeding) {
    while (feeding->n_spans > 0) {
        tfr_step_close(&feeding->spans[--feeding->n_spans].step);
    }
}

static enum tfr_status open_spans(struct tfr_feeding *feeding, struct tfr_engine *engine, const struct tfr_feed *feeds) {
    int64_t row = 0;
    for (size_t i = 0, n; i < feeding->n; i += n) {
        struct tfr_feed_span *span = &feeding->spans[feeding->n_spans];
        span->row = row;
        for (n = 0; i + n < feeding->n && tfr_session_replica(feeds[i + n].session) == tfr_session_replica(feeds[i].session); n++) {
            row += feeds[i + n].keep;
        }
        TFR_TRY(tfr_step_open(&span->step, engine, feeding->pieces + i, (int64_t)n));
        span->step.most = engine->is_watched ? engine->max_rows : engine->chunk_rows;
        feeding->n_spans++;
    }
    return TFR_OK;
}

static void give_up(struct tfr_feeding *feeding) {
    for (int i = 0; i < feeding->n_awaited; i++) {
        (void)tfr_step_take(feeding->engine, feeding->awaited[i].memory);
    }
    feeding->n_awaited = 0;
}

enum tfr_status tfr_feed_begin(struct tfr_feeding *feeding, struct tfr_engine *engine, const struct tfr_feed *feeds, size_t n,
                               bool best) {
    TFR_TRY(check_feeds(engine, feeds, n));
    TFR_TRY(reserve(feeding, n));
    feeding->best = best;
    make_pieces(feeding, feeds, n);
    feeding->engine = engine;
    feeding->logits = NULL;
    feeding->gathers = false;
    enum tfr_status status = open_spans(feeding, engine, feeds);
    if (status == TFR_OK) {
        status = begin_steps(feeding, total_kept(feeds, n));
    }
    while (status == TFR_OK && feeding->n_awaited > 1) { /* so that memories of steps suffice for all feedings under way */
        status = take_oldest(feeding, engine);
    }
    close_spans(feeding);
    if (status != TFR_OK) {
        char text[1024]; /* waiting for the others may fail too */
        snprintf(text, sizeof text, "%s", tfr_failure_text());
        give_up(feeding);
        return tfr_raise(status, "%s", text);
    }
    return TFR_OK;
}

enum tfr_status tfr_feed_end(struct tfr_feeding *feeding, const float **logits) {
    enum tfr_status status = TFR_OK;
    while (status == TFR_OK && feeding->n_awaited > 0) {
        status = take_oldest(feeding, feeding->engine);
    }
    give_up(feeding);
    for (size_t i = 0; status == TFR_OK && i < feeding->n; i++) {
        feeding->fed[i].session->length += feeding->fed[i].n;
    }
    *logits = feeding->logits;
    return status;
}

enum tfr_status tfr_engine_feed(struct tfr_engine *engine, const struct tfr_feed *feeds, size_t n_feeds, const float **logits) {
    *logits = NULL;
    if (engine->feeding == NULL) {
        engine->feeding = tfr_alloc(1, sizeof *engine->feeding);
    }
    TFR_TRY(engine->feeding != NULL ? TFR_OK : TFR_RESOURCE);
    enum tfr_status status = tfr_feed_begin(engine->feeding, engine, feeds, n_feeds, false);
    status = status == TFR_OK ? tfr_feed_end(engine->feeding, logits) : status;
    char text[1024];
    snprintf(text, sizeof text, "%s", tfr_failure_text());
    const enum tfr_status settled = tfr_steps_settle(engine, -1); /* the caller may take its time before the next call */
    return status != TFR_OK ? tfr_raise(status, "%s", text) : settled;
}

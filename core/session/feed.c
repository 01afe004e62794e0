/* feed.c - new tokens for any mix of sessions, their logits back: a call becomes pieces, cut into steps. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
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

static void make_pieces(const struct tfr_feed *feeds, size_t n, struct tfr_gpt2_features *features, struct tfr_piece *pieces) {
    for (size_t i = 0; i < n; i++) {
        const struct tfr_session *session = feeds[i].session;
        features[i] = tfr_engine_features(session->engine);
        features[i].cross = session->encoded;
        pieces[i] = (struct tfr_piece){.slot = session->slot,
                                       .n = feeds[i].n,
                                       .past = tfr_session_past(session),
                                       .features = &features[i],
                                       .ids = feeds[i].ids,
                                       .keep = feeds[i].keep};
    }
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

/* Logits of the one step that there mostly is stay where they are; those of several are gathered. */
static enum tfr_status run_steps(struct tfr_step *step, int64_t n_kept, const float **logits) {
    struct tfr_engine *engine = step->engine;
    const size_t row_bytes = (size_t)engine->config->model.vocab_size * sizeof(float);
    uint8_t *to = NULL;
    while (tfr_step_cut(step)) {
        TFR_TRY(check_cancel());
        const bool is_only = tfr_step_is_last(step) && to == NULL;
        if (!is_only && to == NULL) {
            TFR_TRY(tfr_block_reserve(&engine->gathered, (size_t)n_kept * row_bytes + 1, TFR_HUGEPAGES_OFF));
            to = engine->gathered.data;
        }
        TFR_TRY(tfr_step_run(step));
        *logits = is_only ? step->logits : engine->gathered.data;
        if (!is_only && step->n_logits > 0) {
            memcpy(to, step->logits, (size_t)step->n_logits * row_bytes);
            to += (size_t)step->n_logits * row_bytes;
        }
    }
    return TFR_OK;
}

static enum tfr_status run_feeds(struct tfr_engine *engine, const struct tfr_feed *feeds, size_t n, const struct tfr_piece *pieces,
                                 const float **logits) {
    struct tfr_step step;
    enum tfr_status status = tfr_step_open(&step, engine, pieces, (int64_t)n);
    if (status == TFR_OK) {
        status = run_steps(&step, total_kept(feeds, n), logits);
    }
    tfr_step_close(&step);
    return status;
}

enum tfr_status tfr_engine_feed(struct tfr_engine *engine, const struct tfr_feed *feeds, size_t n_feeds, const float **logits) {
    *logits = NULL;
    TFR_TRY(check_feeds(engine, feeds, n_feeds));
    struct tfr_piece *pieces = tfr_alloc(n_feeds, sizeof *pieces);
    struct tfr_gpt2_features *features = tfr_alloc(n_feeds, sizeof *features);
    enum tfr_status status = TFR_RESOURCE;
    if (pieces != NULL && features != NULL) {
        make_pieces(feeds, n_feeds, features, pieces);
        status = run_feeds(engine, feeds, n_feeds, pieces, logits);
    }
    for (size_t i = 0; status == TFR_OK && i < n_feeds; i++) {
        feeds[i].session->length += feeds[i].n;
    }
    tfr_free(pieces);
    tfr_free(features);
    return status;
}

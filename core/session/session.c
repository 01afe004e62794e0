/* session.c - sequences: open, cut, copied, reordered, given encoder states. Feeding them is feed.c. */

#include "session/session.h"
#include "base/arena.h"
#include "base/status.h"
#include "session/encoder.h"
#include "session/prefix.h"

enum tfr_status tfr_session_check_model(const struct tfr_engine *engine) {
    const int head = engine->config->model.head;
    if (head == TFR_HEAD_SEQUENCE || head == TFR_HEAD_TOKEN || head == TFR_HEAD_QA ||
        tfr_model_param(engine->model, TFR_PARAM_LM_HEAD, 0) == NULL) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: this model has no language model head, so no text is continued or scored by it; `tfrun forward` "
                         "runs it, and `tfrun classify` if it is a classifier",
                         engine->config->path);
    }
    if (!engine->config->model.is_causal) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: is_causal = false lets every token see later ones, so no text can be continued or scored token by "
                         "token; `tfrun forward` runs it",
                         engine->config->path);
    }
    return TFR_OK;
}

enum tfr_status tfr_session_open(struct tfr_session **session, struct tfr_engine *engine, int64_t capacity) {
    return tfr_session_open_on(session, engine, 0, capacity);
}

int32_t tfr_session_replica(const struct tfr_session *session) {
    return session->engine->slots[session->slot].replica;
}

enum tfr_status tfr_session_open_on(struct tfr_session **session, struct tfr_engine *engine, int32_t replica, int64_t capacity) {
    const int64_t limit = tfr_engine_n_positions(engine);
    *session = NULL;
    TFR_TRY(tfr_session_check_model(engine));
    if (capacity < 1 || capacity > limit) {
        return tfr_raise(TFR_USAGE, "a sequence of %lld positions is outside 1..%lld (%s)", (long long)capacity, (long long)limit,
                         tfr_engine_positions_name(engine));
    }
    struct tfr_session *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->engine = engine;
    made->capacity = capacity;
    enum tfr_status status = tfr_engine_open_slot(engine, replica, engine->n_prefix + capacity, &made->slot);
    if (status != TFR_OK) {
        tfr_free(made);
        return status;
    }
    status = tfr_prefix_copy(engine, made->slot);
    if (status != TFR_OK) {
        tfr_session_close(made);
        return status;
    }
    *session = made;
    return TFR_OK;
}

void tfr_session_close(struct tfr_session *session) {
    if (session != NULL) {
        tfr_engine_close_slot(session->engine, session->slot);
        tfr_free(session);
    }
}

int64_t tfr_session_past(const struct tfr_session *session) {
    return session->engine->n_prefix + session->length;
}

int64_t tfr_session_length(const struct tfr_session *session) {
    return session->length;
}

bool tfr_session_refit(struct tfr_session *session, int64_t capacity) {
    const struct tfr_engine *engine = session->engine;
    const bool fits = capacity >= session->length && engine->n_prefix + capacity <= engine->slots[session->slot].kv.capacity;
    session->capacity = fits ? capacity : session->capacity;
    return fits;
}

void tfr_session_rest(struct tfr_session *session, bool resting) {
    session->engine->slots[session->slot].resting = resting;
}

enum tfr_status tfr_session_crop(struct tfr_session *session, int64_t length) {
    if (length < 0 || length > session->length) {
        return tfr_raise(TFR_USAGE, "a session of %lld positions cannot be cut to %lld", (long long)session->length,
                         (long long)length);
    }
    session->length = length;
    return TFR_OK;
}

enum tfr_status tfr_session_copy(struct tfr_session *to, const struct tfr_session *from, int64_t n) {
    if (to == from || to->engine != from->engine) {
        return tfr_raise(TFR_USAGE, "a session is copied into another one of the same engine");
    }
    if (n < 0 || n > from->length || n > to->capacity) {
        return tfr_raise(TFR_USAGE, "%lld positions cannot be copied from a session that has %lld to one with room for %lld",
                         (long long)n, (long long)from->length, (long long)to->capacity);
    }
    if (n > 0 || to->encoded || from->encoded) {
        TFR_TRY(tfr_engine_copy_slot(to->engine, to->slot, from->slot, from->engine->n_prefix + n));
    }
    to->length = n;
    to->encoded = from->encoded;
    return TFR_OK;
}

enum tfr_status tfr_session_encode(struct tfr_session *session, const struct tfr_encoder_states *encoder) {
    if (!session->engine->config->model.add_cross_attention) {
        return tfr_raise(TFR_USAGE, "encoder states are given, but the model has no cross-attention (add_cross_attention)");
    }
    if (session->length > 0) {
        return tfr_raise(TFR_USAGE, "a session of %lld positions takes no encoder states: they come before its first token",
                         (long long)session->length);
    }
    if (encoder->n < 1) {
        return tfr_raise(TFR_USAGE, "%lld encoder positions; give at least one", (long long)encoder->n);
    }
    const enum tfr_status status = tfr_encoder_fill(session->engine, session->slot, encoder);
    session->encoded = status == TFR_OK;
    return status;
}

static enum tfr_status check_reorder(struct tfr_session *const *sessions, size_t n, const int32_t *source) {
    for (size_t i = 0; i < n; i++) {
        if (source[i] < 0 || (size_t)source[i] >= n) {
            return tfr_raise(TFR_USAGE, "source %d of session %zu is outside 0..%zu", source[i], i, n - 1);
        }
        if (sessions[i]->engine != sessions[0]->engine || sessions[i]->capacity != sessions[0]->capacity) {
            return tfr_raise(TFR_USAGE, "session %zu has another engine or capacity than session 0; open all of them alike", i);
        }
        for (size_t j = 0; j < i; j++) {
            if (sessions[j] == sessions[i]) {
                return tfr_raise(TFR_USAGE, "sessions %zu and %zu are the same session", j, i);
            }
        }
    }
    return TFR_OK;
}

/* Who owns which slot afterwards: the first session that wants a source takes its slot over, the others get slots that nobody
 * wants. No slot is written before its last reader, because those read from are never among the unwanted. */
static void deal_slots(const struct tfr_session *old, size_t n, const int32_t *source, bool *wanted, int32_t *slot) {
    size_t unwanted = 0;
    for (size_t i = 0; i < n; i++) {
        slot[i] = wanted[source[i]] ? -1 : old[source[i]].slot;
        wanted[source[i]] = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (slot[i] < 0) {
            while (wanted[unwanted]) {
                unwanted++;
            }
            slot[i] = old[unwanted++].slot;
        }
    }
}

static enum tfr_status move_sessions(struct tfr_session *const *sessions, size_t n, const int32_t *source,
                                     const struct tfr_session *old, const int32_t *slot) {
    for (size_t i = 0; i < n; i++) {
        sessions[i]->slot = slot[i];
        sessions[i]->length = old[source[i]].length;
        sessions[i]->encoded = old[source[i]].encoded;
    }
    for (size_t i = 0; i < n; i++) {
        const struct tfr_session *from = &old[source[i]];
        const bool has_cross = from->engine->config->model.add_cross_attention; /* the slot's last owner may have had states */
        if (slot[i] != from->slot && (from->length > 0 || has_cross)) {
            TFR_TRY(tfr_engine_copy_slot(from->engine, slot[i], from->slot, tfr_session_past(from)));
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_session_reorder(struct tfr_session *const *sessions, size_t n, const int32_t *source) {
    TFR_TRY(check_reorder(sessions, n, source));
    struct tfr_session *old = tfr_alloc(n + 1, sizeof *old);
    bool *wanted = tfr_alloc(n + 1, sizeof *wanted);
    int32_t *slot = tfr_alloc(n + 1, sizeof *slot);
    enum tfr_status status = TFR_RESOURCE;
    if (old != NULL && wanted != NULL && slot != NULL) {
        for (size_t i = 0; i < n; i++) {
            old[i] = *sessions[i];
        }
        deal_slots(old, n, source, wanted, slot);
        status = move_sessions(sessions, n, source, old, slot);
    }
    tfr_free(old);
    tfr_free(wanted);
    tfr_free(slot);
    return status;
}

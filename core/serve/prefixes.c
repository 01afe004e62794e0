/* prefixes.c - sessions that are kept, and who may begin with what they hold: see prefixes.h. */
#include "serve/prefixes.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "serve/prefix_index.h"
#include "session/session.h"

/* Waiting for another request is worth a step or two of time where it saves this many blocks, and half of what is left to read. */
enum { BLOCKS_WORTH_WAITING = 2 };

struct tfr_prefixes {
    struct tfr_engine *engine;
    struct tfr_prefix_index index;
    size_t most; /* idle sessions */
    bool is_shared;
    uint64_t n_users;
    struct tfr_prefixes_counts counts;
};

enum tfr_status tfr_prefixes_open(struct tfr_prefixes **prefixes, struct tfr_engine *engine) {
    const struct tfr_options *options = &engine->config->options;
    struct tfr_prefixes *made = *prefixes = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->engine = engine;
    made->index.block = options->serve_prefix_block;
    made->most = (size_t)(engine->max_slots - engine->max_batch);
    made->is_shared = options->serve_share_prefix == TFR_SHARE_ALL;
    return TFR_OK;
}

/* Its session is the caller's from now on. */
static struct tfr_session *release(struct tfr_prefixes *prefixes, struct tfr_prefix_entry *entry) {
    struct tfr_session *session = entry->owner;
    tfr_session_rest(session, false);
    tfr_prefix_remove(&prefixes->index, entry);
    prefixes->counts.entries--;
    return session;
}

static void evict(struct tfr_prefixes *prefixes, struct tfr_prefix_entry *entry) {
    tfr_session_close(release(prefixes, entry));
    prefixes->counts.evicted++;
}

void tfr_prefixes_close(struct tfr_prefixes *prefixes) {
    if (prefixes == NULL) {
        return;
    }
    for (struct tfr_prefix_entry *entry; (entry = tfr_prefix_oldest(&prefixes->index)) != NULL;) {
        tfr_session_close(release(prefixes, entry));
    }
    tfr_prefix_index_close(&prefixes->index);
    tfr_free(prefixes);
}

/* Nobody's key and an empty one are not the same, and no key and salt make the space of another pair. */
static char *space_of(const struct tfr_prefixes *prefixes, const struct tfr_continuation *c) {
    const char *key = prefixes->is_shared ? NULL : c->terms.key, *salt = c->terms.salt;
    return tfr_format("%zu:%s%s%s", key != NULL ? strlen(key) : 0, key != NULL ? key : "-", salt != NULL ? "+" : "",
                      salt != NULL ? salt : "");
}

/* What a request may take: never its last token, nothing where logits of the whole prompt are wanted. */
static struct tfr_prefix_key wanted_of(const struct tfr_prefix_key *key, const struct tfr_continuation *c) {
    struct tfr_prefix_key wanted = *key;
    wanted.n = c->params->prompt_logprobs ? 0 : (int64_t)c->prompt.n - 1;
    return wanted;
}

/* What those that run have read by now. */
static void refresh(struct tfr_prefixes *prefixes) {
    for (struct tfr_prefix_entry *entry = prefixes->index.oldest; entry != NULL; entry = entry->newer) {
        if (entry->user > 0) {
            const struct tfr_continuation *c = entry->owner;
            entry->ready = c->reader != NULL ? tfr_session_length(c->reader) : 0;
        }
    }
}

/* Interactive work does not wait for batch work, which may be slow on purpose. */
static bool is_worth_waiting(const struct tfr_prefixes *prefixes, const struct tfr_continuation *c,
                             const struct tfr_prefix_key *wanted, uint64_t user) {
    const int64_t ready = tfr_prefix_find(&prefixes->index, wanted).n;
    const struct tfr_prefix_match coming = tfr_prefix_coming(&prefixes->index, wanted, user);
    const int64_t saved = coming.n - ready;
    if (saved < BLOCKS_WORTH_WAITING * prefixes->index.block || 2 * saved < wanted->n - ready) {
        return false;
    }
    const struct tfr_continuation *other = coming.entry->owner;
    return other->status == TFR_OK && other->reader != NULL && (c->terms.batch || !other->terms.batch);
}

/* An idle session that has nothing behind what is wanted, and room for the rest of the request. */
static bool can_move(const struct tfr_prefix_match *match, const struct tfr_continuation *c) {
    struct tfr_session *session = match->entry->owner;
    return match->entry->user == 0 && match->n == match->entry->key.n && c->reader == NULL &&
           tfr_session_crop(session, match->n) == TFR_OK && tfr_session_refit(session, (int64_t)c->prompt.n + c->max_tokens);
}

static enum tfr_status copy(struct tfr_continuation *c, const struct tfr_prefix_match *match) {
    const struct tfr_continuation *other = match->entry->user > 0 ? match->entry->owner : NULL;
    const struct tfr_session *from = other != NULL ? other->reader : match->entry->owner;
    if (c->reader == NULL) { /* it has not opened: this is the first session that it will ask for */
        TFR_TRY(tfr_continuation_session(c, &c->given));
    }
    TFR_TRY(tfr_session_copy(c->reader, from, match->n));
    c->cached_tokens = (size_t)match->n;
    return TFR_OK;
}

static enum tfr_status take(struct tfr_prefixes *prefixes, struct tfr_continuation *c, const struct tfr_prefix_key *wanted) {
    const struct tfr_prefix_match match = tfr_prefix_find(&prefixes->index, wanted);
    if (match.n == 0) {
        return TFR_OK;
    }
    prefixes->counts.hit_tokens += (uint64_t)match.n;
    if (can_move(&match, c)) {
        c->given = release(prefixes, match.entry);
        prefixes->counts.moved++;
        return TFR_OK;
    }
    if (match.entry->user == 0) {
        tfr_prefix_touch(&prefixes->index, match.entry);
    }
    prefixes->counts.copied++;
    return copy(c, &match);
}

static enum tfr_status begin(struct tfr_prefixes *prefixes, struct tfr_request *request, const struct tfr_prefix_key *key) {
    struct tfr_continuation *c = &request->continuation;
    const struct tfr_prefix_key wanted = wanted_of(key, c);
    TFR_TRY(tfr_prefix_add(&prefixes->index, key, &request->prefix));
    request->prefix->owner = c;
    request->prefix->user = ++prefixes->n_users;
    prefixes->counts.queried_tokens += (uint64_t)wanted.n;
    refresh(prefixes);
    if (is_worth_waiting(prefixes, c, &wanted, request->prefix->user)) {
        c->held = true;
        prefixes->counts.waited++;
        return TFR_OK;
    }
    return take(prefixes, c, &wanted);
}

enum tfr_status tfr_prefixes_give(struct tfr_prefixes *prefixes, struct tfr_request *request) {
    const struct tfr_continuation *c = &request->continuation;
    if (!c->shares || tfr_continuation_slots(c) == 0) {
        return TFR_OK;
    }
    char *space = space_of(prefixes, c);
    if (space == NULL) {
        return TFR_RESOURCE;
    }
    const struct tfr_prefix_key key = {.space = space, .ids = c->prompt.data, .n = (int64_t)c->prompt.n};
    const enum tfr_status status = begin(prefixes, request, &key);
    tfr_free(space);
    return status;
}

void tfr_prefixes_share(struct tfr_prefixes *prefixes, const struct tfr_request_list *running) {
    for (struct tfr_request *request = running->first; request != NULL; request = request->next) {
        struct tfr_continuation *c = &request->continuation;
        if (!c->held || c->status != TFR_OK) {
            continue;
        }
        const struct tfr_prefix_key key = {.space = request->prefix->key.space, .ids = c->prompt.data};
        const struct tfr_prefix_key wanted = wanted_of(&key, c);
        refresh(prefixes);
        if (is_worth_waiting(prefixes, c, &wanted, request->prefix->user)) {
            continue;
        }
        c->held = false;
        const enum tfr_status status = take(prefixes, c, &wanted);
        if (status != TFR_OK) {
            tfr_continuation_fail(c, status);
        }
    }
}

/* True: it is an entry now. Entries that say no more than it does go; if one says as much, it is not needed. */
static bool add_idle(struct tfr_prefixes *prefixes, const struct tfr_prefix_key *key, struct tfr_session *session) {
    const struct tfr_prefix_match known = tfr_prefix_find(&prefixes->index, key);
    struct tfr_prefix_entry *entry;
    if (known.n > 0 && known.n + prefixes->index.block > key->n) {
        tfr_prefix_touch(&prefixes->index, known.entry);
        return false;
    }
    while ((entry = tfr_prefix_covered(&prefixes->index, key)) != NULL) {
        tfr_session_close(release(prefixes, entry));
    }
    if (prefixes->counts.entries >= prefixes->most) {
        evict(prefixes, tfr_prefix_oldest(&prefixes->index));
    }
    if (tfr_prefix_add(&prefixes->index, key, &entry) != TFR_OK) {
        return false;
    }
    tfr_session_rest(session, true);
    entry->owner = session;
    entry->ready = entry->key.n;
    prefixes->counts.entries++;
    return true;
}

void tfr_prefixes_keep(struct tfr_prefixes *prefixes, struct tfr_request *request) {
    struct tfr_continuation *c = &request->continuation;
    struct tfr_prefix_entry *own = request->prefix;
    struct tfr_session *session = c->left;
    if (own != NULL && session != NULL) {
        const int64_t length = tfr_session_length(session), n = (int64_t)c->left_ids->n;
        const struct tfr_prefix_key key = {.space = own->key.space, .ids = c->left_ids->data, .n = length < n ? length : n};
        own->ready = 0;
        session = prefixes->most > 0 && key.n >= prefixes->index.block && add_idle(prefixes, &key, session) ? NULL : session;
    }
    tfr_session_close(session);
    c->left = NULL;
    if (own != NULL) {
        tfr_prefix_remove(&prefixes->index, own);
        request->prefix = NULL;
    }
}

struct tfr_prefixes_counts tfr_prefixes_counts(const struct tfr_prefixes *prefixes) {
    return prefixes->counts;
}

/* prefixes.c - sessions that are kept, and who may begin with what they hold: see prefixes.h. */
#include "serve/prefixes.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "serve/prefix_index.h"
#include "session/session.h"

/* Waiting for another request is worth a step or two of time where it saves this many blocks, and half of what is left to read. */
enum { BLOCKS_WORTH_WAITING = 2 };
/* Tokens that are copied between two steps, for each row of a step, or a little more: that is time in which nobody gets a token. */
enum { COPIED_FOR_A_ROW = 4 };

/* What an entry owns when no request uses it. */
struct kept {
    struct tfr_session *session;
    struct tfr_logprob_list logprobs; /* of its tokens from the second on, where the request that left it asked for them */
};

struct tfr_prefixes {
    struct tfr_engine *engine;
    struct tfr_prefix_index index;
    size_t most; /* idle sessions */
    bool is_shared;
    uint64_t n_users;
    int64_t copied; /* tokens, since the last step */
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
    struct kept *kept = entry->owner;
    struct tfr_session *session = kept->session;
    tfr_session_rest(session, false);
    tfr_logprobs_free(&kept->logprobs);
    tfr_free(kept);
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

/* Nobody's key and an empty one are not the same, and no key and salt make the space of another pair. Replicas share nothing. */
static char *space_of(const struct tfr_prefixes *prefixes, const struct tfr_continuation *c, int32_t replica) {
    const char *key = prefixes->is_shared ? NULL : c->terms.key, *salt = c->terms.salt;
    return tfr_format("%d:%zu:%s%s%s", replica, key != NULL ? strlen(key) : 0, key != NULL ? key : "-", salt != NULL ? "+" : "",
                      salt != NULL ? salt : "");
}

static int64_t logprobs_of(const struct tfr_continuation *c) {
    return c->params->prompt_logprobs ? tfr_continuation_each(c) : 0;
}

/* What a request may take: never its last token. */
static struct tfr_prefix_key wanted_of(const struct tfr_continuation *c, const char *space) {
    return (struct tfr_prefix_key){
        .space = space, .ids = c->prompt.data, .n = (int64_t)c->prompt.n - 1, .logprobs = logprobs_of(c)};
}

/* What those that run have read by now. */
static void refresh(struct tfr_prefixes *prefixes) {
    for (struct tfr_prefix_entry *entry = prefixes->index.oldest; entry != NULL; entry = entry->newer) {
        if (entry->user > 0) {
            const struct tfr_continuation *c = entry->owner;
            entry->ready = c->reader != NULL ? tfr_session_length(c->reader) : 0;
            entry->scored = tfr_continuation_scored(c);
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

/* An idle session that has nothing more than what is wanted, and room for the rest of the request. */
static bool can_move(const struct tfr_prefix_match *match, const struct tfr_continuation *c) {
    const struct kept *kept = match->entry->user == 0 ? match->entry->owner : NULL;
    return kept != NULL && match->n == match->entry->key.n && match->entry->key.logprobs <= logprobs_of(c) && c->reader == NULL &&
           tfr_session_crop(kept->session, match->n) == TFR_OK &&
           tfr_session_refit(kept->session, (int64_t)c->prompt.n + c->max_tokens);
}

/* Log-probabilities of what is alike, as many of each as the request wants. */
static enum tfr_status copy_logprobs(struct tfr_continuation *c, const struct tfr_prefix_match *match) {
    const struct tfr_prefix_entry *entry = match->entry;
    const struct tfr_logprob_list *from = entry->user > 0 ? &((const struct tfr_continuation *)entry->owner)->prompt_logprobs
                                                          : &((const struct kept *)entry->owner)->logprobs;
    const size_t each = (size_t)tfr_continuation_each(c), from_each = (size_t)entry->key.logprobs;
    struct tfr_logprob_list *to = &c->prompt_logprobs;
    to->capacity = c->prompt.n * each;
    to->items = tfr_alloc(to->capacity, sizeof *to->items);
    if (to->items == NULL) {
        to->capacity = 0;
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i + 1 < (size_t)match->n; i++) {
        memcpy(to->items + i * each, from->items + i * from_each, each * sizeof *to->items);
        to->n += each;
    }
    return TFR_OK;
}

static enum tfr_status copy(struct tfr_continuation *c, const struct tfr_prefix_match *match) {
    const struct tfr_prefix_entry *entry = match->entry;
    const struct tfr_session *from =
        entry->user > 0 ? ((const struct tfr_continuation *)entry->owner)->reader : ((const struct kept *)entry->owner)->session;
    if (c->reader == NULL) { /* it has not opened: this is the first session that it will ask for */
        TFR_TRY(tfr_continuation_session(c, &c->given));
    }
    TFR_TRY(tfr_session_copy(c->reader, from, match->n));
    c->cached_tokens = (size_t)match->n;
    return TFR_OK;
}

/* Where log-probabilities are wanted, the last token that is alike goes again: its row says how probable the next one is. */
static enum tfr_status take(struct tfr_prefixes *prefixes, struct tfr_continuation *c, const struct tfr_prefix_key *wanted) {
    struct tfr_prefix_match match = tfr_prefix_find(&prefixes->index, wanted);
    if (match.n <= (wanted->logprobs > 0)) {
        return TFR_OK;
    }
    const bool moves = can_move(&match, c);
    if (wanted->logprobs > 0) {
        TFR_TRY(copy_logprobs(c, &match));
        match.n--;
    }
    prefixes->counts.hit_tokens += (uint64_t)match.n;
    if (moves) {
        c->given = release(prefixes, match.entry);
        prefixes->counts.moved++;
        return tfr_session_crop(c->given, match.n);
    }
    if (match.entry->user == 0) {
        tfr_prefix_touch(&prefixes->index, match.entry);
    }
    prefixes->counts.copied++;
    prefixes->copied += match.n;
    return copy(c, &match);
}

static bool has_to_wait(const struct tfr_prefixes *prefixes, const struct tfr_continuation *c, const struct tfr_prefix_key *wanted,
                        uint64_t user) {
    const bool is_full = prefixes->copied >= COPIED_FOR_A_ROW * prefixes->engine->max_rows;
    return (is_full && tfr_prefix_find(&prefixes->index, wanted).n > 0) || is_worth_waiting(prefixes, c, wanted, user);
}

static enum tfr_status begin(struct tfr_prefixes *prefixes, struct tfr_request *request, const struct tfr_prefix_key *key) {
    struct tfr_continuation *c = &request->continuation;
    const struct tfr_prefix_key wanted = wanted_of(c, key->space);
    TFR_TRY(tfr_prefix_add(&prefixes->index, key, &request->prefix));
    request->prefix->owner = c;
    request->prefix->user = ++prefixes->n_users;
    prefixes->counts.queried_tokens += (uint64_t)wanted.n;
    refresh(prefixes);
    if (has_to_wait(prefixes, c, &wanted, request->prefix->user)) {
        c->held = true;
        prefixes->counts.waited++;
        return TFR_OK;
    }
    return take(prefixes, c, &wanted);
}

int64_t tfr_prefixes_known(struct tfr_prefixes *prefixes, const struct tfr_continuation *c, int32_t replica) {
    char *space = c->shares ? space_of(prefixes, c, replica) : NULL;
    if (space == NULL) {
        return 0;
    }
    const struct tfr_prefix_key wanted = wanted_of(c, space);
    refresh(prefixes);
    const int64_t n = tfr_prefix_find(&prefixes->index, &wanted).n;
    tfr_free(space);
    return n;
}

enum tfr_status tfr_prefixes_give(struct tfr_prefixes *prefixes, struct tfr_request *request) {
    const struct tfr_continuation *c = &request->continuation;
    if (!c->shares || tfr_continuation_slots(c) == 0) {
        return TFR_OK;
    }
    char *space = space_of(prefixes, c, c->replica);
    if (space == NULL) {
        return TFR_RESOURCE;
    }
    const struct tfr_prefix_key key = {
        .space = space, .ids = c->prompt.data, .n = (int64_t)c->prompt.n, .logprobs = logprobs_of(c)};
    const enum tfr_status status = begin(prefixes, request, &key);
    tfr_free(space);
    return status;
}

void tfr_prefixes_share(struct tfr_prefixes *prefixes, const struct tfr_request_list *running) {
    prefixes->copied = 0;
    for (struct tfr_request *request = running->first; request != NULL; request = request->next) {
        struct tfr_continuation *c = &request->continuation;
        if (!c->held || c->status != TFR_OK) {
            continue;
        }
        const struct tfr_prefix_key wanted = wanted_of(c, request->prefix->key.space);
        refresh(prefixes);
        if (has_to_wait(prefixes, c, &wanted, request->prefix->user)) {
            continue;
        }
        c->held = false;
        const enum tfr_status status = take(prefixes, c, &wanted);
        if (status != TFR_OK) {
            tfr_continuation_fail(c, status);
        }
    }
}

static struct kept *make_kept(const struct tfr_continuation *c) {
    const size_t bytes = c->prompt_logprobs.n * sizeof *c->prompt_logprobs.items;
    struct kept *kept = tfr_alloc(1, sizeof *kept);
    if (kept == NULL || bytes == 0) {
        return kept;
    }
    kept->logprobs.items = tfr_alloc(1, bytes);
    if (kept->logprobs.items == NULL) {
        tfr_free(kept);
        return NULL;
    }
    memcpy(kept->logprobs.items, c->prompt_logprobs.items, bytes);
    return kept;
}

/* Entries that say no more than it does go; if one says as much, it is not needed. What a request has that still runs may come to
 * nothing. */
static bool is_needed(struct tfr_prefixes *prefixes, const struct tfr_prefix_key *key) {
    const struct tfr_prefix_match known = tfr_prefix_find_idle(&prefixes->index, key);
    struct tfr_prefix_entry *entry;
    if (known.n > 0 && known.n + prefixes->index.block > key->n) {
        tfr_prefix_touch(&prefixes->index, known.entry);
        return false;
    }
    while ((entry = tfr_prefix_covered(&prefixes->index, key)) != NULL) {
        tfr_session_close(release(prefixes, entry));
    }
    return true;
}

/* True: the session that is left is an entry now. */
static bool add_idle(struct tfr_prefixes *prefixes, const struct tfr_continuation *c, const struct tfr_prefix_key *key) {
    if (prefixes->most == 0 || key->n < prefixes->index.block || !is_needed(prefixes, key)) {
        return false;
    }
    if (prefixes->counts.entries >= prefixes->most) {
        evict(prefixes, tfr_prefix_oldest(&prefixes->index));
    }
    struct tfr_prefix_entry *entry;
    struct kept *kept = make_kept(c);
    if (kept == NULL || tfr_prefix_add(&prefixes->index, key, &entry) != TFR_OK) {
        tfr_free(kept != NULL ? kept->logprobs.items : NULL);
        tfr_free(kept);
        return false;
    }
    kept->session = c->left;
    tfr_session_rest(kept->session, true);
    entry->owner = kept;
    entry->ready = entry->key.n;
    entry->scored = tfr_continuation_scored(c);
    prefixes->counts.entries++;
    return true;
}

void tfr_prefixes_keep(struct tfr_prefixes *prefixes, struct tfr_request *request) {
    struct tfr_continuation *c = &request->continuation;
    struct tfr_prefix_entry *own = request->prefix;
    if (own != NULL && c->left != NULL) {
        const int64_t length = tfr_session_length(c->left), n = (int64_t)c->left_ids->n;
        const struct tfr_prefix_key key = {
            .space = own->key.space, .ids = c->left_ids->data, .n = length < n ? length : n, .logprobs = own->key.logprobs};
        own->ready = own->scored = 0;
        c->left = add_idle(prefixes, c, &key) ? NULL : c->left;
    }
    tfr_session_close(c->left);
    c->left = NULL;
    if (own != NULL) {
        tfr_prefix_remove(&prefixes->index, own);
        request->prefix = NULL;
    }
}

struct tfr_prefixes_counts tfr_prefixes_counts(const struct tfr_prefixes *prefixes) {
    return prefixes->counts;
}

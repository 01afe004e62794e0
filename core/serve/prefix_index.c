/* prefix_index.c - a list of entries from the oldest to the newest: see prefix_index.h. */
#include "serve/prefix_index.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t whole_blocks(const struct tfr_prefix_index *index, int64_t n) {
    return n - n % index->block;
}

static void link_newest(struct tfr_prefix_index *index, struct tfr_prefix_entry *entry) {
    entry->older = index->newest;
    entry->newer = NULL;
    *(index->newest != NULL ? &index->newest->newer : &index->oldest) = entry;
    index->newest = entry;
}

static void unlink_entry(struct tfr_prefix_index *index, struct tfr_prefix_entry *entry) {
    *(entry->older != NULL ? &entry->older->newer : &index->oldest) = entry->newer;
    *(entry->newer != NULL ? &entry->newer->older : &index->newest) = entry->older;
}

void tfr_prefix_index_close(struct tfr_prefix_index *index) {
    while (index->oldest != NULL) {
        tfr_prefix_remove(index, index->oldest);
    }
}

/* One piece of memory: the entry, its tokens, its space. */
enum tfr_status tfr_prefix_add(struct tfr_prefix_index *index, const struct tfr_prefix_key *key, struct tfr_prefix_entry **entry) {
    const int64_t n = whole_blocks(index, key->n);
    const size_t id_bytes = (size_t)n * sizeof *key->ids, space_bytes = strlen(key->space) + 1;
    struct tfr_prefix_entry *made = *entry = tfr_alloc(1, sizeof *made + id_bytes + space_bytes);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    int32_t *ids = (int32_t *)(made + 1);
    char *space = (char *)ids + id_bytes;
    if (id_bytes > 0) {
        memcpy(ids, key->ids, id_bytes);
    }
    memcpy(space, key->space, space_bytes);
    made->key = (struct tfr_prefix_key){.space = space, .ids = ids, .n = n, .logprobs = key->logprobs};
    link_newest(index, made);
    return TFR_OK;
}

void tfr_prefix_remove(struct tfr_prefix_index *index, struct tfr_prefix_entry *entry) {
    unlink_entry(index, entry);
    tfr_free(entry);
}

void tfr_prefix_touch(struct tfr_prefix_index *index, struct tfr_prefix_entry *entry) {
    unlink_entry(index, entry);
    link_newest(index, entry);
}

/* Tokens of whole blocks with which both begin, `most` of them at most. */
static int64_t alike(const struct tfr_prefix_index *index, const struct tfr_prefix_entry *entry, const struct tfr_prefix_key *key,
                     int64_t most) {
    const size_t block_bytes = (size_t)index->block * sizeof *key->ids;
    int64_t n = 0;
    most = least(least(entry->key.n, key->n), most);
    if (most < index->block || strcmp(entry->key.space, key->space) != 0) {
        return 0;
    }
    while (n + index->block <= most && memcmp(entry->key.ids + n, key->ids + n, block_bytes) == 0) {
        n += index->block;
    }
    return n;
}

static bool has_logprobs(const struct tfr_prefix_entry *entry, const struct tfr_prefix_key *key) {
    return entry->key.logprobs >= key->logprobs;
}

static int64_t most_ready(const struct tfr_prefix_entry *entry, const struct tfr_prefix_key *key) {
    if (key->logprobs == 0) {
        return entry->ready;
    }
    return has_logprobs(entry, key) ? least(entry->ready, entry->scored) : 0;
}

static struct tfr_prefix_match find(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key, bool only_idle) {
    struct tfr_prefix_match best = {0};
    for (struct tfr_prefix_entry *entry = index->newest; entry != NULL; entry = entry->older) {
        const int64_t n = only_idle && entry->user > 0 ? 0 : alike(index, entry, key, most_ready(entry, key));
        if (n > best.n || (n > 0 && n == best.n && entry->key.n < best.entry->key.n)) {
            best = (struct tfr_prefix_match){.entry = entry, .n = n};
        }
    }
    return best;
}

struct tfr_prefix_match tfr_prefix_find(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key) {
    return find(index, key, false);
}

struct tfr_prefix_match tfr_prefix_find_idle(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key) {
    return find(index, key, true);
}

struct tfr_prefix_match tfr_prefix_coming(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key, uint64_t user) {
    struct tfr_prefix_match best = {0};
    for (struct tfr_prefix_entry *entry = index->newest; entry != NULL; entry = entry->older) {
        const bool is_before = entry->user > 0 && entry->user < user && has_logprobs(entry, key);
        const int64_t n = is_before ? alike(index, entry, key, key->n) : 0;
        if (n > best.n) {
            best = (struct tfr_prefix_match){.entry = entry, .n = n};
        }
    }
    return best;
}

struct tfr_prefix_entry *tfr_prefix_covered(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key) {
    for (struct tfr_prefix_entry *entry = index->newest; entry != NULL; entry = entry->older) {
        if (entry->user == 0 && entry->key.logprobs <= key->logprobs && alike(index, entry, key, key->n) == entry->key.n) {
            return entry;
        }
    }
    return NULL;
}

struct tfr_prefix_entry *tfr_prefix_oldest(const struct tfr_prefix_index *index) {
    struct tfr_prefix_entry *entry = index->oldest;
    while (entry != NULL && entry->user != 0) {
        entry = entry->newer;
    }
    return entry;
}

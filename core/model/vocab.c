/* vocab.c - see vocab.h. */
#include "model/vocab.h"

#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/utf8.h"

/* Of the alphabet: code points below this stand for bytes (256 + 68 moved ones). */
#define ALPHABET_END 324

/* GPT-2's alphabet: printable bytes of Latin-1 stand for themselves, the other 68 follow from U+0100 on. */
static bool stands_for_itself(unsigned byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

static uint32_t byte_to_char(unsigned byte) {
    if (stands_for_itself(byte)) {
        return byte;
    }
    uint32_t next = 256;
    for (unsigned other = 0; other < byte; other++) {
        next += !stands_for_itself(other);
    }
    return next;
}

/* Byte that a character stands for; -1 outside the alphabet. */
static int char_to_byte(uint32_t code_point) {
    if (code_point < 256) {
        return stands_for_itself(code_point) ? (int)code_point : -1;
    }
    if (code_point >= ALPHABET_END) {
        return -1;
    }
    const uint32_t n = code_point - 256; /* the moved bytes are 0..32, 127..160 and 173 */
    return n < 33 ? (int)n : n < 67 ? (int)(127 + n - 33) : 173;
}

/* Maps a name back into `bytes` (at least `size` long); gives the number of bytes. */
static size_t name_to_bytes(const char *name, size_t size, uint8_t *bytes) {
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code_point = 0;
        const int length = tfr_utf8_take((const uint8_t *)name + at, size - at, &code_point);
        const int byte = length < 0 ? -1 : char_to_byte(code_point);
        if (byte < 0) {
            memcpy(bytes, name, size);
            return size;
        }
        bytes[n++] = (uint8_t)byte;
        at += (size_t)length;
    }
    return n;
}

/* Slot that holds the name left + right, or the empty one where it belongs. */
static uint32_t *find_slot(const struct tfr_vocab *vocab, const char *left, size_t left_size, const char *right,
                           size_t right_size) {
    uint64_t hash = tfr_hash_name(tfr_hash_name(vocab->seed, left, left_size), right, right_size);
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 32;
    for (size_t at = hash & (vocab->n_slots - 1);; at = (at + 1) & (vocab->n_slots - 1)) {
        if (vocab->slot[at] == 0) {
            return &vocab->slot[at];
        }
        const struct tfr_vocab_entry *entry = &vocab->entry[vocab->slot[at] - 1];
        const char *name = (const char *)vocab->pool + entry->at;
        if (entry->name_size == left_size + right_size && memcmp(name, left, left_size) == 0 &&
            memcmp(name + left_size, right, right_size) == 0) {
            return &vocab->slot[at];
        }
    }
}

/* Makes the hash twice as large (or `n_slots` large at first) and puts all names into it again. */
static enum tfr_status rehash(struct tfr_vocab *vocab, size_t n_slots) {
    uint32_t *slot = tfr_alloc(n_slots, sizeof(*slot));
    if (slot == NULL) {
        return TFR_RESOURCE;
    }
    tfr_free(vocab->slot);
    vocab->slot = slot;
    vocab->n_slots = n_slots;
    for (size_t id = 0; id < vocab->n; id++) {
        const struct tfr_vocab_entry *entry = &vocab->entry[id];
        if (entry->used) {
            *find_slot(vocab, (const char *)vocab->pool + entry->at, entry->name_size, "", 0) = (uint32_t)id + 1;
        }
    }
    return TFR_OK;
}

static enum tfr_status reserve_entry(struct tfr_vocab *vocab, size_t id) {
    if (id >= vocab->capacity) {
        const size_t capacity = id + 1 > 2 * vocab->capacity ? id + 1 : 2 * vocab->capacity;
        struct tfr_vocab_entry *entry = tfr_realloc(vocab->entry, capacity, sizeof(*entry));
        if (entry == NULL) {
            return TFR_RESOURCE;
        }
        memset(entry + vocab->capacity, 0, (capacity - vocab->capacity) * sizeof(*entry));
        vocab->entry = entry;
        vocab->capacity = capacity;
    }
    return TFR_OK;
}

static enum tfr_status reserve_pool(struct tfr_vocab *vocab, size_t size) {
    const size_t needed = vocab->pool_size + size;
    if (needed > UINT32_MAX) {
        return tfr_raise(TFR_RESOURCE, "tokenizer: the names of the tokens are larger than 4 GiB together");
    }
    if (needed > vocab->pool_capacity) {
        const size_t capacity = needed > 2 * vocab->pool_capacity ? needed : 2 * vocab->pool_capacity;
        uint8_t *pool = tfr_realloc(vocab->pool, capacity, 1);
        if (pool == NULL) {
            return TFR_RESOURCE;
        }
        vocab->pool = pool;
        vocab->pool_capacity = capacity;
    }
    return TFR_OK;
}

enum tfr_status tfr_vocab_open(struct tfr_vocab *vocab, size_t expected) {
    memset(vocab, 0, sizeof(*vocab));
    vocab->seed = tfr_hash_seed();
    size_t n_slots = 1024;
    while (n_slots < 2 * expected && n_slots < TFR_VOCAB_MAX_ID) {
        n_slots *= 2;
    }
    return rehash(vocab, n_slots);
}

void tfr_vocab_close(struct tfr_vocab *vocab) {
    tfr_free(vocab->entry);
    tfr_free(vocab->pool);
    tfr_free(vocab->slot);
    memset(vocab, 0, sizeof(*vocab));
}

/* The last step of adding: everything is checked and there is room. */
static void put_entry(struct tfr_vocab *vocab, const char *name, size_t size, size_t id) {
    uint8_t *to = vocab->pool + vocab->pool_size;
    memcpy(to, name, size);
    const size_t n_bytes = name_to_bytes(name, size, to + size);
    vocab->entry[id] = (struct tfr_vocab_entry){
        .at = (uint32_t)vocab->pool_size, .name_size = (uint32_t)size, .bytes_size = (uint32_t)n_bytes, .used = true};
    vocab->pool_size += size + n_bytes;
    vocab->n = id >= vocab->n ? id + 1 : vocab->n;
    vocab->count++;
}

enum tfr_status tfr_vocab_add(struct tfr_vocab *vocab, const char *name, size_t size, int64_t id) {
    if (id < 0 || id >= TFR_VOCAB_MAX_ID) {
        return tfr_raise(TFR_MODEL, "token \"%.80s\" has id %lld, ids go from 0 to %d", name, (long long)id, TFR_VOCAB_MAX_ID - 1);
    }
    if (2 * (vocab->count + 1) > vocab->n_slots) {
        TFR_TRY(rehash(vocab, 2 * vocab->n_slots));
    }
    TFR_TRY(reserve_entry(vocab, (size_t)id));
    TFR_TRY(reserve_pool(vocab, 2 * size + 1)); /* an empty name has a place too */
    uint32_t *slot = find_slot(vocab, name, size, "", 0);
    if (*slot != 0) {
        return tfr_raise(TFR_MODEL, "token \"%.80s\" has two ids, %u and %lld", name, *slot - 1, (long long)id);
    }
    if (vocab->entry[id].used) {
        const struct tfr_vocab_entry *other = &vocab->entry[id];
        return tfr_raise(TFR_MODEL, "id %lld belongs to two tokens, \"%.*s\" and \"%.80s\"", (long long)id,
                         other->name_size < 80 ? (int)other->name_size : 80, (const char *)vocab->pool + other->at, name);
    }
    *slot = (uint32_t)id + 1;
    put_entry(vocab, name, size, (size_t)id);
    return TFR_OK;
}

int32_t tfr_vocab_find(const struct tfr_vocab *vocab, const char *name, size_t size) {
    return (int32_t)*find_slot(vocab, name, size, "", 0) - 1;
}

int32_t tfr_vocab_find_joined(const struct tfr_vocab *vocab, int32_t left, int32_t right) {
    size_t left_size, right_size;
    const char *left_name = tfr_vocab_name(vocab, left, &left_size);
    const char *right_name = tfr_vocab_name(vocab, right, &right_size);
    return (int32_t)*find_slot(vocab, left_name, left_size, right_name, right_size) - 1;
}

const char *tfr_vocab_name(const struct tfr_vocab *vocab, int32_t id, size_t *size) {
    *size = 0;
    if (id < 0 || (size_t)id >= vocab->n || !vocab->entry[id].used) {
        return NULL;
    }
    *size = vocab->entry[id].name_size;
    return (const char *)vocab->pool + vocab->entry[id].at;
}

const char *tfr_vocab_bytes(const struct tfr_vocab *vocab, int32_t id, size_t *size) {
    const char *name = tfr_vocab_name(vocab, id, size);
    if (name == NULL) {
        return NULL;
    }
    *size = vocab->entry[id].bytes_size;
    return name + vocab->entry[id].name_size;
}

int tfr_vocab_byte_ids(const struct tfr_vocab *vocab, int32_t id[256]) {
    int missing = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t name[4];
        const int size = tfr_utf8_put(name, byte_to_char(byte));
        id[byte] = tfr_vocab_find(vocab, (const char *)name, (size_t)size);
        missing += id[byte] < 0;
    }
    return missing;
}

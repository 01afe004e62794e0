/* json_keys.c - open addressing over decoded keys: "a" and "\u0061" are the same key.
 *
 * One table serves all objects of a document; the object's serial number is part of the key. The hash has a
 * random seed, so that a request body cannot be made of keys that collide.
 */
#include "base/json_keys.h"

#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/utf8.h"

struct tfr_json_key {
    uint64_t hash;
    uint32_t object;
    uint32_t start; /* 0: free, since no key starts at the first byte of a text */
};

/* Walks the bytes that a quoted text means. */
struct cursor {
    const char *at;
    uint8_t ready[4]; /* the rest of an escaped character, last byte first */
    int n_ready;
};

static uint32_t hex4(const char *digits) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = (unsigned char)digits[i];
        value = value << 4 | (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return value;
}

static int short_escape(char letter) {
    static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    const char *found = strchr(letters, letter);
    return found != NULL ? bytes[found - letters] : letter;
}

static int cursor_next(struct cursor *cursor) {
    if (cursor->n_ready > 0) {
        return cursor->ready[--cursor->n_ready];
    }
    const char *at = cursor->at;
    if (at[0] == '"') {
        return -1;
    }
    if (at[0] != '\\') {
        cursor->at = at + 1;
        return (uint8_t)at[0];
    }
    if (at[1] != 'u') {
        cursor->at = at + 2;
        return short_escape(at[1]);
    }
    uint32_t code = hex4(at + 2);
    cursor->at = at + 6;
    if (code >= 0xD800 && code <= 0xDBFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + (hex4(at + 8) - 0xDC00);
        cursor->at = at + 12;
    }
    uint8_t bytes[4];
    int n = tfr_utf8_put(bytes, code);
    while (n > 0) {
        cursor->ready[cursor->n_ready++] = bytes[--n];
    }
    return cursor->ready[--cursor->n_ready];
}

static uint64_t hash_key(const struct tfr_json_keys *keys, uint32_t object, uint32_t start) {
    uint64_t hash = keys->seed ^ (object * UINT64_C(0x9E3779B97F4A7C15));
    struct cursor cursor = {.at = keys->text + start};
    for (int byte = cursor_next(&cursor); byte >= 0; byte = cursor_next(&cursor)) {
        hash = (hash ^ (uint64_t)byte) * UINT64_C(0x100000001B3);
        hash ^= hash >> 29;
    }
    hash *= UINT64_C(0xFF51AFD7ED558CCD);
    return hash ^ hash >> 32;
}

static bool same_key(const struct tfr_json_keys *keys, uint32_t a, uint32_t b) {
    struct cursor left = {.at = keys->text + a}, right = {.at = keys->text + b};
    int byte;
    do {
        byte = cursor_next(&left);
        if (byte != cursor_next(&right)) {
            return false;
        }
    } while (byte >= 0);
    return true;
}

/* The slot that holds an equal key, or the free slot where it belongs. */
static struct tfr_json_key *find_slot(const struct tfr_json_keys *keys, struct tfr_json_key key) {
    size_t mask = keys->capacity - 1;
    for (size_t i = key.hash & mask;; i = (i + 1) & mask) {
        struct tfr_json_key *slot = &keys->slots[i];
        bool same_hash = slot->hash == key.hash && slot->object == key.object;
        if (slot->start == 0 || (same_hash && same_key(keys, slot->start, key.start))) {
            return slot;
        }
    }
}

static enum tfr_status grow(struct tfr_json_keys *keys) {
    struct tfr_json_keys wide = *keys;
    wide.capacity = keys->capacity > 0 ? 2 * keys->capacity : 64;
    wide.slots = tfr_alloc(wide.capacity, sizeof(*wide.slots));
    if (wide.slots == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < keys->capacity; i++) {
        if (keys->slots[i].start != 0) {
            *find_slot(&wide, keys->slots[i]) = keys->slots[i];
        }
    }
    tfr_free(keys->slots);
    *keys = wide;
    return TFR_OK;
}

void tfr_json_keys_init(struct tfr_json_keys *keys, const char *text) {
    *keys = (struct tfr_json_keys){.text = text, .seed = tfr_hash_seed()};
}

void tfr_json_keys_fini(struct tfr_json_keys *keys) {
    tfr_free(keys->slots);
    *keys = (struct tfr_json_keys){0};
}

enum tfr_status tfr_json_keys_add(struct tfr_json_keys *keys, uint32_t object, uint32_t start, uint32_t *first) {
    if (2 * (keys->n + 1) > keys->capacity && grow(keys) != TFR_OK) {
        return TFR_RESOURCE;
    }
    struct tfr_json_key key = {.hash = hash_key(keys, object, start), .object = object, .start = start};
    struct tfr_json_key *slot = find_slot(keys, key);
    *first = slot->start;
    if (slot->start == 0) {
        *slot = key;
        keys->n++;
    }
    return TFR_OK;
}

/* json_keys.h - the set of member keys of one document, to find duplicates in time linear in the text. */
#ifndef TFR_BASE_JSON_KEYS_H
#define TFR_BASE_JSON_KEYS_H

#include <tfrun/types.h>

struct tfr_json_key; /* one slot of the table */

struct tfr_json_keys {
    const char *text; /* the document; keys are kept as offsets into it */
    struct tfr_json_key *slots;
    size_t capacity, n;
    uint64_t seed;
};

void tfr_json_keys_init(struct tfr_json_keys *keys, const char *text);
void tfr_json_keys_fini(struct tfr_json_keys *keys);
/* Adds the checked key whose first byte (after the quote) is at `start`, for the object with this serial
 * number. *first is the offset of an equal key of the same object, or 0. Fails for want of memory only. */
enum tfr_status tfr_json_keys_add(struct tfr_json_keys *keys, uint32_t object, uint32_t start, uint32_t *first);

#endif

/* token_buffer.h - two arrays that grow: token ids and bytes of text.
 *
 * Zero-initialise to start ({0}); append; free. The content stays valid until the next append.
 * A failed append raises TFR_RESOURCE and leaves the content as it was.
 * Thread rule: one thread per buffer.
 */
#ifndef TFR_MODEL_TOKEN_BUFFER_H
#define TFR_MODEL_TOKEN_BUFFER_H

#include <tfrun/types.h>

struct tfr_ids {
    int32_t *data;
    size_t n, capacity;
};

/* Room for `more` ids after the n that are there. */
enum tfr_status tfr_ids_reserve(struct tfr_ids *ids, size_t more);
enum tfr_status tfr_ids_append(struct tfr_ids *ids, int32_t id);
void tfr_ids_free(struct tfr_ids *ids);

/* Bytes, NUL-terminated once anything was appended (the NUL is not counted; the text may contain NULs). */
struct tfr_text {
    char *data;
    size_t size, capacity;
};

enum tfr_status tfr_text_append(struct tfr_text *text, const void *bytes, size_t size);
void tfr_text_free(struct tfr_text *text);

#endif

/* token_buffer.c - see token_buffer.h. Capacities double, so appending is linear in total. */
#include "model/token_buffer.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"

/* A capacity of at least n + more, doubled from the old one; 0 on overflow. */
static size_t grown_capacity(size_t capacity, size_t n, size_t more) {
    if (more > SIZE_MAX / 4 || n > SIZE_MAX / 4) {
        return 0;
    }
    const size_t needed = n + more;
    const size_t doubled = capacity < 32 ? 64 : capacity * 2;
    return needed > doubled ? needed : doubled;
}

enum tfr_status tfr_ids_reserve(struct tfr_ids *ids, size_t more) {
    if (more <= ids->capacity - ids->n) {
        return TFR_OK;
    }
    const size_t capacity = grown_capacity(ids->capacity, ids->n, more);
    if (capacity == 0) {
        return tfr_raise(TFR_RESOURCE, "token ids: %zu more do not fit into memory", more);
    }
    int32_t *data = tfr_realloc(ids->data, capacity, sizeof(*data));
    if (data == NULL) {
        return TFR_RESOURCE;
    }
    ids->data = data;
    ids->capacity = capacity;
    return TFR_OK;
}

enum tfr_status tfr_ids_append(struct tfr_ids *ids, int32_t id) {
    TFR_TRY(tfr_ids_reserve(ids, 1));
    ids->data[ids->n++] = id;
    return TFR_OK;
}

void tfr_ids_free(struct tfr_ids *ids) {
    tfr_free(ids->data);
    *ids = (struct tfr_ids){0};
}

enum tfr_status tfr_text_append(struct tfr_text *text, const void *bytes, size_t size) {
    if (text->capacity == 0 || size >= text->capacity - text->size) {
        const size_t capacity = size == SIZE_MAX ? 0 : grown_capacity(text->capacity, text->size, size + 1);
        if (capacity == 0) {
            return tfr_raise(TFR_RESOURCE, "text: %zu more bytes do not fit into memory", size);
        }
        char *data = tfr_realloc(text->data, capacity, 1);
        if (data == NULL) {
            return TFR_RESOURCE;
        }
        text->data = data;
        text->capacity = capacity;
    }
    if (size > 0) {
        memcpy(text->data + text->size, bytes, size);
    }
    text->size += size;
    text->data[text->size] = '\0';
    return TFR_OK;
}

void tfr_text_free(struct tfr_text *text) {
    tfr_free(text->data);
    *text = (struct tfr_text){0};
}

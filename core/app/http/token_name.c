/* token_name.c - see token_name.h. */
#include "app/http/token_name.h"

#include <stdio.h>

#include "base/utf8.h"

static bool is_utf8(const char *bytes, size_t size) {
    for (size_t at = 0; at < size;) {
        uint32_t code;
        const int length = tfr_utf8_take((const uint8_t *)bytes + at, size - at, &code);
        if (length < 0) {
            return false;
        }
        at += (size_t)length;
    }
    return true;
}

void tfr_token_name(struct tfr_token_name *name, const struct tfr_vocabulary *vocabulary, int32_t id) {
    size_t size = 0, n = 0;
    const char *bytes = vocabulary != NULL ? tfr_vocabulary_bytes(vocabulary, id, &size) : NULL;
    name->text = name->buffer;
    if (bytes == NULL) {
        name->size = (size_t)snprintf(name->buffer, sizeof name->buffer, "token_id:%d", id);
        return;
    }
    if (is_utf8(bytes, size)) {
        name->text = bytes;
        name->size = size;
        return;
    }
    n = (size_t)snprintf(name->buffer, sizeof name->buffer, "bytes:");
    for (size_t i = 0; i < size && n + 5 < sizeof name->buffer; i++) {
        n += (size_t)snprintf(name->buffer + n, sizeof name->buffer - n, "\\x%02X", (uint8_t)bytes[i]);
    }
    name->size = n;
}

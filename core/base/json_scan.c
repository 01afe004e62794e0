/* json_scan.c - the strict scanner: RFC 8259 and a few refusals more (json.h lists them).
 *
 * It builds nothing: it checks, and notes where values stand. Recursion is bounded by the limit of depth.
 * Whatever it accepts, cJSON must be able to parse; tests/fuzz/fuzz_json.c holds the two together.
 */
#include "base/json_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/json_keys.h"
#include "base/json_scanner.h"
#include "base/status.h"
#include "base/utf8.h"

static enum tfr_status scan_value(struct tfr_json_scanner *scan);

enum tfr_status tfr_json_refuse(const struct tfr_json_scanner *scan, size_t offset, const char *format, ...) {
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    int line, column;
    tfr_json_text_place(scan->text, offset, &line, &column);
    return tfr_raise(scan->refusal, "%s:%d:%d: %s", scan->name, line, column, what);
}

enum tfr_status tfr_json_refuse_found(const struct tfr_json_scanner *scan, const char *expected) {
    if (scan->at >= scan->size) {
        return tfr_json_refuse(scan, scan->at, "expected %s, found the end of the text", expected);
    }
    const uint8_t *at = (const uint8_t *)scan->text + scan->at;
    uint32_t code;
    int length = tfr_utf8_take(at, scan->size - scan->at, &code);
    if (code == 0xFEFF && scan->at == 0) {
        return tfr_json_refuse(scan, 0, "the text starts with a byte order mark; save it as plain UTF-8 without one");
    }
    if (length < 0 || code < 0x20 || code == 0x7F) {
        return tfr_json_refuse(scan, scan->at, "expected %s, found byte 0x%02X", expected, at[0]);
    }
    return tfr_json_refuse(scan, scan->at, "expected %s, found '%.*s'", expected, length, (const char *)at);
}

static void skip_space(struct tfr_json_scanner *scan) {
    int byte = tfr_json_peek(scan);
    while (byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r') {
        scan->at++;
        byte = tfr_json_peek(scan);
    }
}

static enum tfr_status note_place(struct tfr_json_scanner *scan) {
    if (++scan->n_values > scan->limits.values) {
        return tfr_json_refuse(scan, scan->at, "more than %zu values", scan->limits.values);
    }
    struct tfr_json_places *places = scan->places;
    if (places == NULL) {
        return TFR_OK;
    }
    if (places->n == places->capacity) {
        size_t capacity = places->capacity > 0 ? 2 * places->capacity : 64;
        int *offset = tfr_realloc(places->offset, capacity, sizeof(*offset));
        if (offset == NULL) {
            return TFR_RESOURCE;
        }
        places->offset = offset;
        places->capacity = capacity;
    }
    places->offset[places->n++] = (int)scan->at;
    return TFR_OK;
}

static enum tfr_status scan_literal(struct tfr_json_scanner *scan, const char *word) {
    size_t length = strlen(word);
    if (scan->size - scan->at < length || memcmp(scan->text + scan->at, word, length) != 0) {
        return tfr_json_refuse(scan, scan->at, "expected a value; did you mean %s?", word);
    }
    scan->at += length;
    return TFR_OK;
}

static enum tfr_status scan_key(struct tfr_json_scanner *scan, uint32_t object) {
    if (tfr_json_peek(scan) != '"') {
        return tfr_json_refuse_found(scan, "a key in double quotes");
    }
    size_t start = scan->at;
    TFR_TRY(tfr_json_scan_string(scan));
    uint32_t first;
    TFR_TRY(tfr_json_keys_add(&scan->keys, object, (uint32_t)start + 1, &first));
    if (first != 0) {
        size_t length = scan->at - start < 128 ? scan->at - start : 128;
        int line, column;
        tfr_json_text_place(scan->text, first - 1, &line, &column);
        return tfr_json_refuse(scan, start, "duplicate key %.*s; the first one is at %d:%d", (int)length, scan->text + start, line,
                               column);
    }
    skip_space(scan);
    if (tfr_json_peek(scan) != ':') {
        return tfr_json_refuse_found(scan, "':' after the key");
    }
    scan->at++;
    return TFR_OK;
}

/* Between two items or members: true when the closing bracket ended the list. */
static enum tfr_status scan_separator(struct tfr_json_scanner *scan, int closing, bool *done) {
    skip_space(scan);
    *done = tfr_json_peek(scan) == closing;
    if (!*done && tfr_json_peek(scan) != ',') {
        return tfr_json_refuse_found(scan, closing == '}' ? "',' or '}'" : "',' or ']'");
    }
    scan->at++;
    return TFR_OK;
}

/* At '{' or '['. */
static enum tfr_status scan_container(struct tfr_json_scanner *scan, int closing) {
    if (++scan->depth > scan->limits.depth) {
        return tfr_json_refuse(scan, scan->at, "nested deeper than %d levels", scan->limits.depth);
    }
    uint32_t object = closing == '}' ? ++scan->n_objects : 0;
    scan->at++;
    skip_space(scan);
    bool done = tfr_json_peek(scan) == closing;
    scan->at += done;
    while (!done) {
        if (closing == '}') {
            skip_space(scan);
            TFR_TRY(scan_key(scan, object));
        }
        TFR_TRY(scan_value(scan));
        TFR_TRY(scan_separator(scan, closing, &done));
    }
    scan->depth--;
    return TFR_OK;
}

static enum tfr_status scan_value(struct tfr_json_scanner *scan) {
    skip_space(scan);
    TFR_TRY(note_place(scan));
    int byte = tfr_json_peek(scan);
    switch (byte) {
    case '{':
        return scan_container(scan, '}');
    case '[':
        return scan_container(scan, ']');
    case '"':
        return tfr_json_scan_string(scan);
    case 't':
        return scan_literal(scan, "true");
    case 'f':
        return scan_literal(scan, "false");
    case 'n':
        return scan_literal(scan, "null");
    default:
        return byte == '-' || byte == 'I' || byte == 'N' || tfr_json_is_digit(byte) ? tfr_json_scan_number(scan)
                                                                                    : tfr_json_refuse_found(scan, "a value");
    }
}

void tfr_json_walk_place(const char *text, size_t n, int *line, int *column) {
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((uint8_t)text[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

void tfr_json_text_place(const char *text, size_t offset, int *line, int *column) {
    *line = 1;
    *column = 1;
    tfr_json_walk_place(text, offset, line, column);
}

enum tfr_status tfr_json_scan_places(const char *name, const char *text, size_t size, enum tfr_status status,
                                     struct tfr_json_places *places) {
    if (size > TFR_JSON_MAX_BYTES) {
        return tfr_raise(status, "%s: %zu bytes of JSON; the limit is %zu", name, size, TFR_JSON_MAX_BYTES);
    }
    struct tfr_json_scanner scan = {.name = name, .text = text, .size = size, .refusal = status, .places = places};
    scan.limits = places != NULL && places->limits != NULL
                      ? *places->limits
                      : (struct tfr_json_limits){.depth = TFR_JSON_MAX_DEPTH, .values = SIZE_MAX, .n_digits = TFR_JSON_MAX_NUMBER};
    tfr_json_keys_init(&scan.keys, text);
    enum tfr_status result = scan_value(&scan);
    if (result == TFR_OK) {
        skip_space(&scan);
        if (scan.at < size) {
            result = tfr_json_refuse_found(&scan, "the end of the text");
        }
    }
    tfr_json_keys_fini(&scan.keys);
    return result;
}

enum tfr_status tfr_json_scan(const char *name, const char *text, size_t size, enum tfr_status status) {
    return tfr_json_scan_places(name, text, size, status, NULL);
}

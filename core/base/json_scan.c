/* json_scan.c - the strict scanner: RFC 8259 and a few refusals more (json.h lists them).
 *
 * It builds nothing: it checks, and notes where values stand. Recursion is bounded by TFR_JSON_MAX_DEPTH.
 * Whatever it accepts, cJSON must be able to parse; tests/fuzz/fuzz_json.c holds the two together.
 */
#include "base/json_scan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/json_keys.h"
#include "base/status.h"
#include "base/utf8.h"

struct scan {
    const char *name, *text;
    size_t size, at;
    enum tfr_status refusal; /* what a refused text is raised as */
    int depth;
    uint32_t n_objects;
    struct tfr_json_keys keys;
    struct tfr_json_places *places;
};

static enum tfr_status scan_value(struct scan *scan);

TFR_PRINTF(3, 4)
static enum tfr_status refuse(const struct scan *scan, size_t offset, const char *format, ...) {
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    int line, column;
    tfr_json_text_place(scan->text, offset, &line, &column);
    return tfr_raise(scan->refusal, "%s:%d:%d: %s", scan->name, line, column, what);
}

/* "expected X, found Y" for the byte at the scanner. */
static enum tfr_status refuse_found(const struct scan *scan, const char *expected) {
    if (scan->at >= scan->size) {
        return refuse(scan, scan->at, "expected %s, found the end of the text", expected);
    }
    const uint8_t *at = (const uint8_t *)scan->text + scan->at;
    uint32_t code;
    int length = tfr_utf8_take(at, scan->size - scan->at, &code);
    if (code == 0xFEFF && scan->at == 0) {
        return refuse(scan, 0, "the text starts with a byte order mark; save it as plain UTF-8 without one");
    }
    if (length < 0 || code < 0x20 || code == 0x7F) {
        return refuse(scan, scan->at, "expected %s, found byte 0x%02X", expected, at[0]);
    }
    return refuse(scan, scan->at, "expected %s, found '%.*s'", expected, length, (const char *)at);
}

/* The byte at the scanner; -1 at the end. */
static int peek(const struct scan *scan) {
    return scan->at < scan->size ? (uint8_t)scan->text[scan->at] : -1;
}

static void skip_space(struct scan *scan) {
    int byte = peek(scan);
    while (byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r') {
        scan->at++;
        byte = peek(scan);
    }
}

static bool is_digit(int byte) {
    return byte >= '0' && byte <= '9';
}

static enum tfr_status note_place(struct scan *scan) {
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

/* At the first letter of one of Python's words, behind its sign. */
static enum tfr_status scan_python_word(struct scan *scan, size_t start) {
    static const char *const words[] = {"Infinity", "NaN"};
    for (size_t i = 0; i < TFR_COUNT_OF(words); i++) {
        const size_t length = strlen(words[i]);
        const bool is_signed_nan = i == 1 && start != scan->at;
        if (is_signed_nan || scan->size - scan->at < length ||
            memcmp(scan->text + scan->at, words[i], length) != 0) {
            continue;
        }
        if (scan->places == NULL || !scan->places->takes_python) {
            return refuse(scan, start, "JSON has no %s (Python writes it); write a number or null", words[i]);
        }
        scan->places->offset[scan->places->n - 1] = -1 - (int)start;
        scan->at += length;
        return TFR_OK;
    }
    return refuse_found(scan, start != scan->at ? "a digit" : "a value");
}

static enum tfr_status scan_literal(struct scan *scan, const char *word) {
    size_t length = strlen(word);
    if (scan->size - scan->at < length || memcmp(scan->text + scan->at, word, length) != 0) {
        return refuse(scan, scan->at, "expected a value; did you mean %s?", word);
    }
    scan->at += length;
    return TFR_OK;
}

/* At least one digit must follow. */
static enum tfr_status scan_digits(struct scan *scan) {
    if (!is_digit(peek(scan))) {
        return refuse_found(scan, "a digit");
    }
    while (is_digit(peek(scan))) {
        scan->at++;
    }
    return TFR_OK;
}

/* Whether a number fits a double. Only an exponent can make it too large, as its length is limited. The point
 * is moved into the exponent, because strtod reads points by the locale. */
static bool is_finite(const char *number, size_t length) {
    char copy[TFR_JSON_MAX_NUMBER + 1], digits[TFR_JSON_MAX_NUMBER + 32];
    memcpy(copy, number, length);
    copy[length] = '\0';
    const char *at = copy;
    size_t n = 0;
    long fraction = 0;
    for (bool behind_point = false; *at != '\0' && (*at | 0x20) != 'e'; at++) {
        if (*at == '.') {
            behind_point = true;
            continue;
        }
        fraction += behind_point;
        digits[n++] = *at;
    }
    long exponent = *at != '\0' ? strtol(at + 1, NULL, 10) : 0;
    exponent = exponent > 100000 ? 100000 : exponent < -100000 ? -100000 : exponent;
    snprintf(digits + n, sizeof(digits) - n, "e%ld", exponent - fraction);
    return isfinite(strtod(digits, NULL)) != 0;
}

static enum tfr_status scan_exponent(struct scan *scan) {
    scan->at++;
    if (peek(scan) == '+' || peek(scan) == '-') {
        scan->at++;
    }
    return scan_digits(scan);
}

static enum tfr_status scan_number(struct scan *scan) {
    size_t start = scan->at;
    scan->at += peek(scan) == '-';
    if (peek(scan) == 'I' || peek(scan) == 'N') {
        return scan_python_word(scan, start);
    }
    if (peek(scan) == '0') {
        scan->at++;
        if (is_digit(peek(scan))) {
            return refuse(scan, start, "a number must not start with 0 and more digits");
        }
    } else {
        TFR_TRY(scan_digits(scan));
    }
    if (peek(scan) == '.') {
        scan->at++;
        TFR_TRY(scan_digits(scan));
    }
    bool exponent = peek(scan) == 'e' || peek(scan) == 'E';
    if (exponent) {
        TFR_TRY(scan_exponent(scan));
    }
    size_t length = scan->at - start;
    if (length > TFR_JSON_MAX_NUMBER) {
        return refuse(scan, start, "a number of %zu characters; the limit is %d", length,
                      TFR_JSON_MAX_NUMBER);
    }
    if (exponent && !is_finite(scan->text + start, length)) {
        return refuse(scan, start, "the number %.*s is not finite", (int)length, scan->text + start);
    }
    return TFR_OK;
}

/* The four hexadecimal digits of an escape at `at` into *code; false if they are not there. */
static bool read_hex4(const struct scan *scan, size_t at, uint32_t *code) {
    if (scan->size < 4 || at > scan->size - 4) {
        return false;
    }
    *code = 0;
    for (size_t i = at; i < at + 4; i++) {
        unsigned byte = (uint8_t)scan->text[i], letter = (byte | 0x20) - 'a';
        if (!is_digit((int)byte) && letter > 5) {
            return false;
        }
        *code = *code << 4 | (letter <= 5 ? letter + 10 : byte - '0');
    }
    return true;
}

/* At "\u". A high surrogate takes the low one along. */
static enum tfr_status scan_unicode_escape(struct scan *scan) {
    size_t start = scan->at;
    uint32_t code, low = 0;
    if (!read_hex4(scan, start + 2, &code)) {
        return refuse(scan, start, "\\u needs four hexadecimal digits");
    }
    scan->at += 6;
    if (code == 0) {
        return refuse(scan, start, "\\u0000 is not accepted in a string");
    }
    if (code < 0xD800 || code > 0xDFFF) {
        return TFR_OK;
    }
    bool paired = code <= 0xDBFF && peek(scan) == '\\' && scan->at + 1 < scan->size &&
                  scan->text[scan->at + 1] == 'u' && read_hex4(scan, scan->at + 2, &low);
    if (!paired || low < 0xDC00 || low > 0xDFFF) {
        return refuse(scan, start, "\\u%04X is half of a surrogate pair without its other half",
                      (unsigned)code);
    }
    scan->at += 6;
    return TFR_OK;
}

static enum tfr_status scan_escape(struct scan *scan) {
    char letter = scan->at + 1 < scan->size ? scan->text[scan->at + 1] : '\0';
    if (letter == 'u') {
        return scan_unicode_escape(scan);
    }
    if (letter == '\0' || strchr("\"\\/bfnrt", letter) == NULL) {
        return refuse(scan, scan->at, "unknown escape in a string; a backslash itself is written \\\\");
    }
    scan->at += 2;
    return TFR_OK;
}

/* At a byte that is no plain ASCII character of a string. */
static enum tfr_status scan_special(struct scan *scan) {
    uint8_t byte = (uint8_t)scan->text[scan->at];
    if (byte == '\\') {
        return scan_escape(scan);
    }
    if (byte < 0x20) {
        return refuse(scan, scan->at, "control character 0x%02X in a string; write it as an escape", byte);
    }
    uint32_t code;
    int length = tfr_utf8_take((const uint8_t *)scan->text + scan->at, scan->size - scan->at, &code);
    if (length < 0) {
        return refuse(scan, scan->at, "byte 0x%02X is not valid UTF-8", byte);
    }
    scan->at += (size_t)length;
    return TFR_OK;
}

static enum tfr_status scan_string(struct scan *scan) {
    size_t start = scan->at++;
    for (;;) {
        int byte = peek(scan);
        if (byte < 0) {
            return refuse(scan, start, "a string without its closing quote");
        }
        if (byte == '"') {
            scan->at++;
            return TFR_OK;
        }
        if (byte >= 0x20 && byte < 0x80 && byte != '\\') {
            scan->at++;
            continue;
        }
        TFR_TRY(scan_special(scan));
    }
}

static enum tfr_status scan_key(struct scan *scan, uint32_t object) {
    if (peek(scan) != '"') {
        return refuse_found(scan, "a key in double quotes");
    }
    size_t start = scan->at;
    TFR_TRY(scan_string(scan));
    uint32_t first;
    TFR_TRY(tfr_json_keys_add(&scan->keys, object, (uint32_t)start + 1, &first));
    if (first != 0) {
        size_t length = scan->at - start < 128 ? scan->at - start : 128;
        int line, column;
        tfr_json_text_place(scan->text, first - 1, &line, &column);
        return refuse(scan, start, "duplicate key %.*s; the first one is at %d:%d", (int)length,
                      scan->text + start, line, column);
    }
    skip_space(scan);
    if (peek(scan) != ':') {
        return refuse_found(scan, "':' after the key");
    }
    scan->at++;
    return TFR_OK;
}

/* Between two items or members: true when the closing bracket ended the list. */
static enum tfr_status scan_separator(struct scan *scan, int closing, bool *done) {
    skip_space(scan);
    *done = peek(scan) == closing;
    if (!*done && peek(scan) != ',') {
        return refuse_found(scan, closing == '}' ? "',' or '}'" : "',' or ']'");
    }
    scan->at++;
    return TFR_OK;
}

/* At '{' or '['. */
static enum tfr_status scan_container(struct scan *scan, int closing) {
    if (++scan->depth > TFR_JSON_MAX_DEPTH) {
        return refuse(scan, scan->at, "nested deeper than %d levels", TFR_JSON_MAX_DEPTH);
    }
    uint32_t object = closing == '}' ? ++scan->n_objects : 0;
    scan->at++;
    skip_space(scan);
    bool done = peek(scan) == closing;
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

static enum tfr_status scan_value(struct scan *scan) {
    skip_space(scan);
    TFR_TRY(note_place(scan));
    int byte = peek(scan);
    switch (byte) {
    case '{':
        return scan_container(scan, '}');
    case '[':
        return scan_container(scan, ']');
    case '"':
        return scan_string(scan);
    case 't':
        return scan_literal(scan, "true");
    case 'f':
        return scan_literal(scan, "false");
    case 'n':
        return scan_literal(scan, "null");
    default:
        return byte == '-' || byte == 'I' || byte == 'N' || is_digit(byte) ? scan_number(scan)
                                                                           : refuse_found(scan, "a value");
    }
}

void tfr_json_text_place(const char *text, size_t offset, int *line, int *column) {
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((uint8_t)text[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

enum tfr_status tfr_json_scan_places(const char *name, const char *text, size_t size, enum tfr_status status,
                                     struct tfr_json_places *places) {
    if (size > TFR_JSON_MAX_BYTES) {
        return tfr_raise(status, "%s: %zu bytes of JSON; the limit is %zu", name, size, TFR_JSON_MAX_BYTES);
    }
    struct scan scan = {.name = name, .text = text, .size = size, .refusal = status, .places = places};
    tfr_json_keys_init(&scan.keys, text);
    enum tfr_status result = scan_value(&scan);
    if (result == TFR_OK) {
        skip_space(&scan);
        if (scan.at < size) {
            result = refuse_found(&scan, "the end of the text");
        }
    }
    tfr_json_keys_fini(&scan.keys);
    return result;
}

enum tfr_status tfr_json_scan(const char *name, const char *text, size_t size, enum tfr_status status) {
    return tfr_json_scan_places(name, text, size, status, NULL);
}

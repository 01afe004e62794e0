/* pretokenize.c - see pretokenize.h. Written by hand instead of a regular expression: one pass, two tables. */
#include "model/pretokenize.h"

#include <stdbool.h>

#include "base/utf8.h"
#include "model/unicode_tables.h"

/* Class of the character at `text` (size > 0) and its length in bytes. Of invalid UTF-8 the bytes that one
 * U+FFFD would stand for are taken together; each alone is "other" as well. */
static enum tfr_char_class class_at(const uint8_t *text, size_t size, size_t *length) {
    uint32_t code_point = 0;
    const int taken = tfr_utf8_take(text, size, &code_point);
    *length = (size_t)(taken < 0 ? -taken : taken);
    return tfr_char_class(code_point); /* U+FFFD is "other" */
}

/* Size of the contraction at `text`, which starts with an apostrophe; 0 if it is none. */
static size_t contraction(const uint8_t *text, size_t size) {
    if (size < 2) {
        return 0;
    }
    const uint8_t first = text[1];
    if (first == 's' || first == 't' || first == 'm' || first == 'd') {
        return 2;
    }
    if (size < 3) {
        return 0;
    }
    const uint8_t second = text[2];
    const bool pair = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
    return pair ? 3 : 0;
}

/* End of the run of characters of one class that goes on at `at`. */
static size_t run_end(const uint8_t *text, size_t size, size_t at, enum tfr_char_class kind) {
    size_t length;
    while (at < size && class_at(text + at, size - at, &length) == kind) {
        at += length;
    }
    return at;
}

/* Blanks from the start of `text`: all of them at its end; else all but the last, which goes with what
 * follows, unless it is the only one. */
static size_t blanks(const uint8_t *text, size_t size) {
    size_t at = 0, last = 0, length;
    while (at < size && class_at(text + at, size - at, &length) == TFR_CHAR_SPACE) {
        last = at;
        at += length;
    }
    return at == size || last == 0 ? at : last;
}

size_t tfr_pretokenize_blank(const uint8_t *text, size_t size) {
    size_t length = 0;
    return size > 0 && class_at(text, size, &length) == TFR_CHAR_SPACE ? length : 0;
}

size_t tfr_pretokenize_next(const uint8_t *text, size_t size) {
    if (size == 0) {
        return 0;
    }
    if (text[0] == '\'') {
        const size_t found = contraction(text, size);
        if (found > 0) {
            return found;
        }
    }
    size_t length;
    const size_t start = text[0] == ' ' && size > 1 ? 1 : 0;
    const enum tfr_char_class kind = class_at(text + start, size - start, &length);
    if (kind == TFR_CHAR_SPACE) {
        return blanks(text, size);
    }
    return run_end(text, size, start + length, kind);
}

/* status.c - the failure text of each thread, the words for each status, and "did you mean".
 *
 * The text lives in thread-local storage, so raising never allocates and never fails.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum { TEXT_BYTES = 4096, WORD_BYTES = 64 };

static _Thread_local char failure_text[TEXT_BYTES];

/* Drops a character at the end of `text` that the buffer cut through. */
static void trim_cut_character(char *text) {
    size_t size = strlen(text);
    for (size_t tail = 1; tail <= 3 && tail <= size; tail++) {
        if (tfr_utf8_is_cut((const uint8_t *)text + size - tail, tail)) {
            text[size - tail] = '\0';
            return;
        }
    }
}

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edit distance where swapping two neighbours is one edit (optimal string alignment). Both words are shorter
 * than WORD_BYTES. */
static size_t edit_distance(const char *a, const char *b) {
    size_t rows[3][WORD_BYTES];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    size_t length = strlen(b);
    for (size_t j = 0; j <= length; j++) {
        above[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t replace = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, replace);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = smallest(row[j], before[j - 2] + 1, row[j]);
            }
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[length];
}

enum tfr_status tfr_raise(enum tfr_status status, const char *format, ...) {
    /* Formatted aside first: an argument may be the stored text itself. */
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size < 0) {
        text[0] = '\0';
    }
    if (size >= (int)sizeof(text)) {
        trim_cut_character(text);
    }
    tfr_defuse(text);
    return tfr_raise_lines(status, text);
}

enum tfr_status tfr_raise_lines(enum tfr_status status, const char *text) {
    char copy[TEXT_BYTES]; /* `text` may lie in the stored one */
    const size_t size = strnlen(text, TEXT_BYTES - 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (text[size] != '\0') {
        trim_cut_character(copy);
    }
    memcpy(failure_text, copy, strlen(copy) + 1);
    return status;
}

/* Characters that show what follows in another order. */
static bool turns_text(uint32_t code) {
    return code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

/* What is no character may be one to a terminal of 8 bits, to which 0x80 to 0x9F are control characters. */
static size_t defuse_stray(const char *text, size_t n, char *to) {
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t)text[i] < 0xA0 ? '?' : text[i];
    }
    to[n] = '\0';
    return n;
}

size_t tfr_defuse_one(const char *text, char to[TFR_CHARACTER_BYTES]) {
    uint32_t code;
    const int taken = tfr_utf8_take((const uint8_t *)text, strnlen(text, TFR_CHARACTER_BYTES - 1), &code);
    if (taken < 0) {
        return defuse_stray(text, (size_t)-taken, to);
    }
    if ((code < 0x20 && code != '\t') || code == 0x7F) {
        return defuse_stray("\x7f", 1, to);
    }
    const bool steers = code >= 0x80 && code < 0xA0;
    memcpy(to, steers ? "\u00a0" : turns_text(code) ? "\uFFFD" : text, (size_t)taken); /* as long as what it stands for */
    to[taken] = '\0';
    return (size_t)taken;
}

bool tfr_is_plain(const char *text) {
    char character[TFR_CHARACTER_BYTES];
    for (size_t n; *text != '\0'; text += n) {
        n = tfr_defuse_one(text, character);
        if (*text == '\t' || memcmp(text, character, n) != 0) {
            return false;
        }
    }
    return true;
}

void tfr_defuse(char *text) {
    char character[TFR_CHARACTER_BYTES];
    for (size_t n; *text != '\0'; text += n) {
        n = tfr_defuse_one(text, character);
        memcpy(text, character, n);
    }
}

enum tfr_status tfr_raise_prefix(enum tfr_status status, const char *format, ...) {
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size < 0) {
        return status;
    }
    tfr_defuse(text);
    char longer[2 * TEXT_BYTES + 2];
    snprintf(longer, sizeof(longer), "%s: %s", text, failure_text);
    return tfr_raise_lines(status, longer);
}

const char *tfr_failure_text(void) {
    return failure_text;
}

const char *tfr_status_name(enum tfr_status status) {
    static const char *const names[] = {
#define STATUS_NAME(name, code, text) #name,
        TFR_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    };
    return (unsigned)status < TFR_STATUS_COUNT ? names[status] : "UNKNOWN";
}

const char *tfr_status_text(enum tfr_status status) {
    static const char *const texts[] = {
#define STATUS_TEXT(name, code, text) text,
        TFR_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    };
    return (unsigned)status < TFR_STATUS_COUNT ? texts[status] : "unknown status";
}

int tfr_status_exit_code(enum tfr_status status) {
    static const int codes[] = {
#define STATUS_CODE(name, code, text) code,
        TFR_STATUS_LIST(STATUS_CODE)
#undef STATUS_CODE
    };
    return (unsigned)status < TFR_STATUS_COUNT ? codes[status] : 1;
}

/* The name has the word as its last parts: "beams" of num-beams, "threads" of runtime.threads. */
static bool ends_with_word(const char *name, const char *word) {
    const size_t length = strlen(name), tail = strlen(word);
    return tail >= 4 && length > tail && strchr("-_.", name[length - tail - 1]) != NULL && strcmp(name + length - tail, word) == 0;
}

const char *tfr_nearest_name(const char *word, const char *const *names, size_t n) {
    size_t length = strlen(word);
    if (length >= WORD_BYTES) {
        return NULL;
    }
    const char *nearest = NULL;
    size_t best = length / 3 + 1;
    for (size_t i = 0; i < n; i++) {
        if (strlen(names[i]) >= WORD_BYTES) {
            continue;
        }
        size_t distance = edit_distance(word, names[i]);
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    for (size_t i = 0; i < n && nearest == NULL; i++) {
        nearest = ends_with_word(names[i], word) ? names[i] : NULL;
    }
    return nearest;
}

/* json_scalars.c - the strict scanner on numbers and strings; json_scan.c has the rest. */
#include "base/json_scanner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"
#include "base/status.h"
#include "base/utf8.h"

/* At the first letter of one of Python's words, behind its sign. */
static enum tfr_status scan_python_word(struct tfr_json_scanner *scan, size_t start) {
    static const char *const words[] = {"Infinity", "NaN"};
    for (size_t i = 0; i < TFR_COUNT_OF(words); i++) {
        const size_t length = strlen(words[i]);
        const bool is_signed_nan = i == 1 && start != scan->at;
        if (is_signed_nan || scan->size - scan->at < length || memcmp(scan->text + scan->at, words[i], length) != 0) {
            continue;
        }
        if (scan->places == NULL || !scan->places->takes_python) {
            return tfr_json_refuse(scan, start, "JSON has no %s (Python writes it); write a number or null", words[i]);
        }
        scan->places->offset[scan->places->n - 1] = -1 - (int)start;
        scan->at += length;
        return TFR_OK;
    }
    return tfr_json_refuse_found(scan, start != scan->at ? "a digit" : "a value");
}

/* At least one digit must follow. */
static enum tfr_status scan_digits(struct tfr_json_scanner *scan) {
    if (!tfr_json_is_digit(tfr_json_peek(scan))) {
        return tfr_json_refuse_found(scan, "a digit");
    }
    while (tfr_json_is_digit(tfr_json_peek(scan))) {
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

static enum tfr_status scan_exponent(struct tfr_json_scanner *scan) {
    scan->at++;
    if (tfr_json_peek(scan) == '+' || tfr_json_peek(scan) == '-') {
        scan->at++;
    }
    return scan_digits(scan);
}

enum tfr_status tfr_json_scan_number(struct tfr_json_scanner *scan) {
    size_t start = scan->at;
    scan->at += tfr_json_peek(scan) == '-';
    if (tfr_json_peek(scan) == 'I' || tfr_json_peek(scan) == 'N') {
        return scan_python_word(scan, start);
    }
    if (tfr_json_peek(scan) == '0') {
        scan->at++;
        if (tfr_json_is_digit(tfr_json_peek(scan))) {
            return tfr_json_refuse(scan, start, "a number must not start with 0 and more digits");
        }
    } else {
        TFR_TRY(scan_digits(scan));
    }
    if (tfr_json_peek(scan) == '.') {
        scan->at++;
        TFR_TRY(scan_digits(scan));
    }
    bool exponent = tfr_json_peek(scan) == 'e' || tfr_json_peek(scan) == 'E';
    if (exponent) {
        TFR_TRY(scan_exponent(scan));
    }
    size_t length = scan->at - start;
    if (length > scan->limits.n_digits) {
        return tfr_json_refuse(scan, start, "a number of %zu characters; the limit is %zu", length, scan->limits.n_digits);
    }
    if (exponent && !is_finite(scan->text + start, length)) {
        return tfr_json_refuse(scan, start, "the number %.*s is not finite", (int)length, scan->text + start);
    }
    return TFR_OK;
}

/* The four hexadecimal digits of an escape at `at` into *code; false if they are not there. */
static bool read_hex4(const struct tfr_json_scanner *scan, size_t at, uint32_t *code) {
    if (scan->size < 4 || at > scan->size - 4) {
        return false;
    }
    *code = 0;
    for (size_t i = at; i < at + 4; i++) {
        unsigned byte = (uint8_t)scan->text[i], letter = (byte | 0x20) - 'a';
        if (!tfr_json_is_digit((int)byte) && letter > 5) {
            return false;
        }
        *code = *code << 4 | (letter <= 5 ? letter + 10 : byte - '0');
    }
    return true;
}

/* At "\u". A high surrogate takes the low one along. */
static enum tfr_status scan_unicode_escape(struct tfr_json_scanner *scan) {
    size_t start = scan->at;
    uint32_t code, low = 0;
    if (!read_hex4(scan, start + 2, &code)) {
        return tfr_json_refuse(scan, start, "\\u needs four hexadecimal digits");
    }
    scan->at += 6;
    if (code == 0 && !scan->limits.takes_nul) {
        return tfr_json_refuse(scan, start, "\\u0000 is not accepted in a string");
    }
    if (code < 0xD800 || code > 0xDFFF) {
        return TFR_OK;
    }
    bool paired = code <= 0xDBFF && tfr_json_peek(scan) == '\\' && scan->at + 1 < scan->size && scan->text[scan->at + 1] == 'u' &&
                  read_hex4(scan, scan->at + 2, &low);
    if (!paired || low < 0xDC00 || low > 0xDFFF) {
        return tfr_json_refuse(scan, start, "\\u%04X is half of a surrogate pair without its other half", (unsigned)code);
    }
    scan->at += 6;
    return TFR_OK;
}

static enum tfr_status scan_escape(struct tfr_json_scanner *scan) {
    char letter = scan->at + 1 < scan->size ? scan->text[scan->at + 1] : '\0';
    if (letter == 'u') {
        return scan_unicode_escape(scan);
    }
    if (letter == '\0' || strchr("\"\\/bfnrt", letter) == NULL) {
        return tfr_json_refuse(scan, scan->at, "unknown escape in a string; a backslash itself is written \\\\");
    }
    scan->at += 2;
    return TFR_OK;
}

/* At a byte that is no plain ASCII character of a string. */
static enum tfr_status scan_special(struct tfr_json_scanner *scan) {
    uint8_t byte = (uint8_t)scan->text[scan->at];
    if (byte == '\\') {
        return scan_escape(scan);
    }
    if (byte < 0x20) {
        return tfr_json_refuse(scan, scan->at, "control character 0x%02X in a string; write it as an escape", byte);
    }
    uint32_t code;
    int length = tfr_utf8_take((const uint8_t *)scan->text + scan->at, scan->size - scan->at, &code);
    if (length < 0) {
        return tfr_json_refuse(scan, scan->at, "byte 0x%02X is not valid UTF-8", byte);
    }
    scan->at += (size_t)length;
    return TFR_OK;
}

enum tfr_status tfr_json_scan_string(struct tfr_json_scanner *scan) {
    size_t start = scan->at++;
    for (;;) {
        int byte = tfr_json_peek(scan);
        if (byte < 0) {
            return tfr_json_refuse(scan, start, "a string without its closing quote");
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

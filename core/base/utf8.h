/* utf8.h - the one UTF-8 decoder of the project.
 *
 * Refuses what Unicode refuses: overlong forms, surrogates, code points over U+10FFFF. A bad sequence is
 * measured as its maximal subpart (Unicode 3.9), so that replacing each by U+FFFD gives what other
 * well-behaved decoders give. Thread rule: any thread, no state.
 */
#ifndef TFR_BASE_UTF8_H
#define TFR_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a character by its first byte; 0 where no character starts. */
static inline int tfr_utf8_lead_length(uint8_t lead) {
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xC2 || lead > 0xF4) {
        return 0;
    }
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* Whether `byte` may stand at `index` (1..3) of a character that starts with `lead`. */
static inline bool tfr_utf8_continues(uint8_t lead, int index, uint8_t byte) {
    uint8_t low = 0x80, high = 0xBF;
    if (index == 1) {
        low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    }
    return byte >= low && byte <= high;
}

/* Bytes from `text` on that fit one character, `left` >= 1 bytes being there; at least 1, also if bad. */
static inline int tfr_utf8_matched(const uint8_t *text, size_t left) {
    int length = tfr_utf8_lead_length(text[0]);
    int n = 1;
    while (n < length && (size_t)n < left && tfr_utf8_continues(text[0], n, text[n])) {
        n++;
    }
    return n;
}

/* Length of the valid character at `text` (1..4) with its code point in *code; or minus the number of
 * bytes that one U+FFFD stands for, with 0xFFFD in *code. */
static inline int tfr_utf8_take(const uint8_t *text, size_t left, uint32_t *code) {
    int length = tfr_utf8_lead_length(text[0]);
    int n = tfr_utf8_matched(text, left);
    if (length == 0 || n < length) {
        *code = 0xFFFD;
        return -n;
    }
    uint32_t value = length == 1 ? text[0] : text[0] & (0x7Fu >> length);
    for (int i = 1; i < length; i++) {
        value = value << 6 | (text[i] & 0x3Fu);
    }
    *code = value;
    return length;
}

/* True if all `left` bytes are the beginning of a character whose end is missing. */
static inline bool tfr_utf8_is_cut(const uint8_t *text, size_t left) {
    return left > 0 && (size_t)tfr_utf8_lead_length(text[0]) > left && (size_t)tfr_utf8_matched(text, left) == left;
}

/* Writes `code` (a valid scalar value) as 1..4 bytes and returns how many. */
static inline int tfr_utf8_put(uint8_t *to, uint32_t code) {
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--) {
        to[i] = (uint8_t)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    to[0] = (uint8_t)(0xF00u >> length | code);
    return length;
}

#endif

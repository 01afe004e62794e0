/* json_out.c - the JSON writer: append only, always well-formed, whatever bytes the strings hold.
 *
 * The first failure (memory, a number that is not finite) sets `failed` and raises; everything after it is
 * ignored, so that a caller checks once at the end. The text is compact; put_raw adds line ends and the like.
 */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/utf8.h"

static void append(struct tfr_json_out *out, const char *bytes, size_t size) {
    if (out->failed) {
        return;
    }
    size_t needed = out->size + size + 1;
    if (needed > out->capacity) {
        size_t capacity = out->capacity > 0 ? out->capacity : 256;
        while (capacity < needed) {
            capacity *= 2;
        }
        char *text = tfr_realloc(out->text, capacity, 1);
        if (text == NULL) {
            out->failed = true;
            return;
        }
        out->text = text;
        out->capacity = capacity;
    }
    memcpy(out->text + out->size, bytes, size);
    out->size += size;
    out->text[out->size] = '\0';
}

/* U+2028 and U+2029 are escaped because JavaScript once took them for line ends, U+0080 to U+009F because terminals obey them. */
static void append_character(struct tfr_json_out *out, const char *bytes, int length, uint32_t code) {
    static const char letters[] = "btn?fr"; /* 0x08 to 0x0D */
    char escape[8];
    if (code == '"' || code == '\\') {
        snprintf(escape, sizeof(escape), "\\%c", (char)code);
    } else if (code >= 0x08 && code <= 0x0D && code != 0x0B) {
        snprintf(escape, sizeof(escape), "\\%c", letters[code - 0x08]);
    } else if (code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029) {
        snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)code & 0xFFFF);
    } else {
        append(out, bytes, (size_t)length);
        return;
    }
    append(out, escape, strlen(escape));
}

/* Bytes of the run from `text` on that need no thought. */
static size_t plain_run(const uint8_t *text, size_t size) {
    size_t n = 0;
    while (n < size && text[n] >= 0x20 && text[n] < 0x7F && text[n] != '"' && text[n] != '\\') {
        n++;
    }
    return n;
}

/* Bytes that are not UTF-8 become U+FFFD, as JSON has no way to carry them. */
static void append_quoted(struct tfr_json_out *out, const char *value, size_t size) {
    append(out, "\"", 1);
    for (size_t at = 0; at < size;) {
        const uint8_t *text = (const uint8_t *)value + at;
        size_t run = plain_run(text, size - at);
        append(out, value + at, run);
        at += run;
        if (at == size) {
            break;
        }
        uint32_t code;
        int length = tfr_utf8_take((const uint8_t *)value + at, size - at, &code);
        if (length < 0) {
            append(out, "\xEF\xBF\xBD", 3);
            at += (size_t)-length;
            continue;
        }
        append_character(out, value + at, length, code);
        at += (size_t)length;
    }
    append(out, "\"", 1);
}

/* Comma and key before a value. */
static void open_value(struct tfr_json_out *out, const char *key) {
    if (out->comma) {
        append(out, ",", 1);
    }
    out->comma = true;
    if (key != NULL) {
        append_quoted(out, key, strlen(key));
        append(out, ":", 1);
    }
}

void tfr_json_put_raw(struct tfr_json_out *out, const char *text) {
    append(out, text, strlen(text));
}

void tfr_json_put_bytes(struct tfr_json_out *out, const char *bytes, size_t size) {
    append(out, bytes, size);
}

void tfr_json_put_key(struct tfr_json_out *out, const char *key, size_t size) {
    open_value(out, NULL);
    append_quoted(out, key, size);
    append(out, ":", 1);
    out->comma = false;
}

void tfr_json_begin(struct tfr_json_out *out, const char *key, char bracket) {
    open_value(out, key);
    append(out, &bracket, 1);
    out->comma = false;
}

void tfr_json_end(struct tfr_json_out *out, char bracket) {
    append(out, &bracket, 1);
    out->comma = true;
}

void tfr_json_put_string(struct tfr_json_out *out, const char *key, const char *value, size_t size) {
    open_value(out, key);
    append_quoted(out, value, size);
}

void tfr_json_put_text(struct tfr_json_out *out, const char *key, const char *value) {
    tfr_json_put_string(out, key, value, strlen(value));
}

void tfr_json_put_text_or_null(struct tfr_json_out *out, const char *key, const char *value) {
    if (value != NULL) {
        tfr_json_put_text(out, key, value);
    } else {
        tfr_json_put_null(out, key);
    }
}

void tfr_json_put_texts(struct tfr_json_out *out, const char *key, char *const *values, size_t n) {
    tfr_json_begin(out, key, '[');
    for (size_t i = 0; i < n; i++) {
        tfr_json_put_text(out, NULL, values[i]);
    }
    tfr_json_end(out, ']');
}

void tfr_json_put_int(struct tfr_json_out *out, const char *key, int64_t value) {
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRId64, value);
    open_value(out, key);
    append(out, digits, strlen(digits));
}

void tfr_json_put_int128(struct tfr_json_out *out, const char *key, tfr_int128 value) {
    char text[TFR_INT128_TEXT];
    if (value <= (INT64_C(1) << 53)) {
        tfr_json_put_int(out, key, (int64_t)value);
    } else {
        tfr_json_put_text(out, key, tfr_int128_text(value, '\0', text));
    }
}

/* The shortest digits that read back as the same double. */
void tfr_json_put_number(struct tfr_json_out *out, const char *key, double value) {
    if (!isfinite(value)) {
        if (!out->failed) {
            tfr_raise(TFR_RUNTIME, "%s = %f: JSON has no such number", key != NULL ? key : "item", value);
        }
        out->failed = true;
        return;
    }
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    if (value == 0 && signbit(value)) {
        snprintf(digits, sizeof digits, "-0.0"); /* "-0" is a whole number to many a reader, and has no sign then */
    }
    open_value(out, key);
    for (const char *at = digits; *at != '\0';) {
        size_t run = strspn(at, "0123456789+-eE");
        append(out, at, run);
        at += run;
        if (*at != '\0') {
            append(out, ".", 1); /* whatever the locale puts there */
            at += strcspn(at, "0123456789+-eE");
        }
    }
}

void tfr_json_put_bool(struct tfr_json_out *out, const char *key, bool value) {
    open_value(out, key);
    tfr_json_put_raw(out, value ? "true" : "false");
}

void tfr_json_put_value(struct tfr_json_out *out, const char *key, const char *json) {
    open_value(out, key);
    tfr_json_put_raw(out, json);
}

void tfr_json_put_null(struct tfr_json_out *out, const char *key) {
    tfr_json_put_value(out, key, "null");
}

void tfr_json_put_node(struct tfr_json_out *out, const char *key, const struct tfr_json_doc *doc, const tfr_json *node) {
    const enum tfr_json_kind kind = tfr_json_kind(node);
    int64_t integer;
    if (kind == TFR_JSON_OBJECT || kind == TFR_JSON_ARRAY) {
        tfr_json_begin(out, key, kind == TFR_JSON_OBJECT ? '{' : '[');
        for (const tfr_json *child = tfr_json_first(node); child != NULL; child = tfr_json_next(child)) {
            tfr_json_put_node(out, tfr_json_key(child), doc, child);
        }
        tfr_json_end(out, kind == TFR_JSON_OBJECT ? '}' : ']');
    } else if (kind == TFR_JSON_STRING) {
        tfr_json_put_text(out, key, tfr_json_string(node));
    } else if (kind == TFR_JSON_BOOL) {
        tfr_json_put_bool(out, key, tfr_json_bool(node));
    } else if (kind == TFR_JSON_NOT_FINITE) {
        tfr_json_put_text(out, key, tfr_json_not_finite(node));
    } else if (kind == TFR_JSON_NULL) {
        tfr_json_put_null(out, key);
    } else if (tfr_json_int64(doc, node, &integer)) {
        tfr_json_put_int(out, key, integer);
    } else {
        tfr_json_put_number(out, key, tfr_json_number(node));
    }
}

enum tfr_status tfr_json_take(struct tfr_json_out *out, char **text) {
    if (out->failed) {
        tfr_free(out->text);
        out->text = NULL;
    }
    *text = out->text;
    return out->failed ? TFR_RESOURCE : TFR_OK;
}

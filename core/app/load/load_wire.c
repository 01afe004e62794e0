/* load_wire.c - see load_wire.h: a machine that takes bytes in any portions. */
#include "app/load/load_wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/status.h"

enum { MOST_HEAD = 32 << 10, MOST_LINE = 1 << 20, MOST_BODY = 256 << 20 };

static bool fail(struct tfr_load_wire *wire, const char *format, ...) TFR_PRINTF(2, 3);
static bool fail(struct tfr_load_wire *wire, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(wire->error, sizeof wire->error, format, arguments);
    va_end(arguments);
    tfr_defuse(wire->error); /* words of a server */
    return false;
}

bool tfr_load_buffer_put(struct tfr_load_buffer *buffer, const char *bytes, size_t size) {
    if (size >= buffer->capacity - buffer->size) {
        size_t capacity = buffer->capacity > 0 ? buffer->capacity : 1024;
        while (capacity - buffer->size <= size) {
            capacity *= 2;
        }
        char *grown = realloc(buffer->bytes, capacity);
        if (grown == NULL) {
            return false;
        }
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    if (size > 0) {
        memcpy(buffer->bytes + buffer->size, bytes, size);
    }
    buffer->size += size;
    buffer->bytes[buffer->size] = '\0';
    return true;
}

static bool keep(struct tfr_load_wire *wire, struct tfr_load_buffer *buffer, const char *bytes, size_t size, size_t most) {
    if (buffer->size + size > most) {
        return fail(wire, "more than %zu bytes in one piece of the reply", most);
    }
    return tfr_load_buffer_put(buffer, bytes, size) || fail(wire, "no memory for the reply");
}

void tfr_load_wire_start(struct tfr_load_wire *wire, tfr_load_event_fn event, void *user) {
    const struct tfr_load_buffer line = wire->line, body = wire->body;
    *wire = (struct tfr_load_wire){.line = line, .body = body, .event = event, .user = user};
    wire->line.size = wire->body.size = 0;
}

void tfr_load_wire_free(struct tfr_load_wire *wire) {
    free(wire->line.bytes);
    free(wire->body.bytes);
    *wire = (struct tfr_load_wire){0};
}

/* A whole number without sign; -1 if it is none. */
static int64_t whole_number(const char *text, int base) {
    const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "0123456789";
    const size_t length = strspn(text, digits);
    return length > 0 && length < 16 && text[length] == '\0' ? strtoll(text, NULL, base) : -1;
}

/* ---- the head ----------------------------------------------------------------------------------------------- */

struct head {
    bool has_length, is_chunked, closes, is_old;
    int64_t length;
};

static bool take_field(struct tfr_load_wire *wire, struct head *head, const char *name, const char *value) {
    if (strcasecmp(name, "content-length") == 0) {
        const int64_t length = whole_number(value, 10);
        if (length < 0 || head->has_length) {
            return fail(wire, "Content-Length \"%.40s\" is not one whole number", value);
        }
        head->has_length = true;
        head->length = length;
    } else if (strcasecmp(name, "transfer-encoding") == 0) {
        if (strcasecmp(value, "chunked") != 0 || head->is_chunked) {
            return fail(wire, "Transfer-Encoding \"%.40s\" is not one \"chunked\"", value);
        }
        head->is_chunked = true;
    } else if (strcasecmp(name, "content-type") == 0) {
        wire->is_stream = strncasecmp(value, "text/event-stream", strlen("text/event-stream")) == 0;
    } else if (strcasecmp(name, "connection") == 0) {
        head->closes = strcasecmp(value, "close") == 0;
    } else if (strcasecmp(name, "retry-after") == 0) {
        const int64_t seconds = whole_number(value, 10);
        wire->retry_s = seconds > 0 && seconds < 1000000 ? (int)seconds : 0;
    } else if (strcasecmp(name, "content-encoding") == 0) {
        return fail(wire, "Content-Encoding \"%.40s\" was not asked for", value);
    }
    return true;
}

/* "name: value"; the name has no blanks. */
static bool take_line(struct tfr_load_wire *wire, struct head *head, char *line) {
    char *colon = strchr(line, ':'), *end = line + strlen(line);
    if (colon == NULL || colon == line || strcspn(line, " \t") < (size_t)(colon - line)) {
        return fail(wire, "\"%.40s\" is not a header line", line);
    }
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        *--end = '\0';
    }
    return take_field(wire, head, line, value);
}

static bool take_status(struct tfr_load_wire *wire, struct head *head, const char *line) {
    const bool is_http = strncmp(line, "HTTP/1.", 7) == 0 && (line[7] == '0' || line[7] == '1') && line[8] == ' ';
    if (!is_http || strspn(line + 9, "0123456789") != 3 || (line[12] != ' ' && line[12] != '\0')) {
        return fail(wire, "\"%.40s\" is not a status line of HTTP/1.1", line);
    }
    wire->status = atoi(line + 9);
    head->is_old = line[7] == '0';
    return wire->status >= 200 || fail(wire, "an interim reply %d that nothing asked for", wire->status);
}

static bool take_head(struct tfr_load_wire *wire, char *text) {
    struct head head = {0};
    bool is_first = true;
    while (*text != '\0') {
        char *end = strstr(text, "\r\n");
        *end = '\0';
        if (strpbrk(text, "\r\n") != NULL) {
            return fail(wire, "a bare line end in the head of the reply");
        }
        if (*text != '\0' && !(is_first ? take_status(wire, &head, text) : take_line(wire, &head, text))) {
            return false;
        }
        is_first = false;
        text = end + 2;
    }
    if (head.has_length && head.is_chunked) {
        return fail(wire, "a reply with Content-Length and Transfer-Encoding");
    }
    const bool empty = wire->status == 204 || wire->status == 304;
    wire->keeps_alive = !head.closes && !head.is_old && (head.has_length || head.is_chunked || empty);
    wire->left = head.has_length ? head.length : empty ? 0 : -1;
    wire->state = head.is_chunked ? TFR_WIRE_CHUNK_SIZE : wire->left == 0 ? TFR_WIRE_DONE : TFR_WIRE_BODY;
    return true;
}

/* Byte by byte to the blank line, so that no byte of the body is taken; a head is short. */
static bool feed_head(struct tfr_load_wire *wire, const char *bytes, size_t size, size_t *used) {
    struct tfr_load_buffer *line = &wire->line;
    for (*used = 0; *used < size;) {
        if (bytes[*used] == '\0') {
            return fail(wire, "a NUL in the head of the reply");
        }
        if (!keep(wire, line, bytes + (*used)++, 1, MOST_HEAD)) {
            return false;
        }
        if (line->size >= 4 && memcmp(line->bytes + line->size - 4, "\r\n\r\n", 4) == 0) {
            const bool good = take_head(wire, line->bytes);
            line->size = 0;
            return good;
        }
    }
    return true;
}

/* ---- the body ----------------------------------------------------------------------------------------------- */

/* A line of an event stream, without its end. */
static bool take_event_line(struct tfr_load_wire *wire, const char *line, size_t size) {
    if (size == 0) {
        if (wire->body.size > 0) {
            wire->event(wire->user, wire->body.bytes, wire->body.size);
            wire->body.size = 0;
        }
        return true;
    }
    if (size > 5 && memcmp(line, "data:", 5) == 0) {
        const size_t blank = line[5] == ' ';
        if (wire->body.size > 0) {
            return fail(wire, "an event with two lines of data");
        }
        return keep(wire, &wire->body, line + 5 + blank, size - 5 - blank, MOST_LINE);
    }
    const bool known =
        line[0] == ':' || strncmp(line, "event:", 6) == 0 || strncmp(line, "id:", 3) == 0 || strncmp(line, "retry:", 6) == 0;
    return known || fail(wire, "\"%.40s\" is no line of an event stream", line);
}

static bool take_body(struct tfr_load_wire *wire, const char *bytes, size_t size) {
    if (!wire->is_stream) {
        return keep(wire, &wire->body, bytes, size, MOST_BODY);
    }
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        const size_t n = end != NULL ? (size_t)(end - bytes) : size;
        if (!keep(wire, &wire->line, bytes, n, MOST_LINE)) {
            return false;
        }
        if (end == NULL) {
            return true;
        }
        size_t length = wire->line.size;
        length -= length > 0 && wire->line.bytes[length - 1] == '\r';
        wire->line.bytes[length] = '\0';
        if (!take_event_line(wire, wire->line.bytes, length)) {
            return false;
        }
        wire->line.size = 0;
        bytes += n + 1;
        size -= n + 1;
    }
    return true;
}

/* What stands for the framing is kept apart from an event that is not whole. */
static bool feed_chunk_size(struct tfr_load_wire *wire, char byte) {
    if (byte != '\n') {
        wire->left = wire->left < 0 ? 0 : wire->left;
        const char *digits = "0123456789abcdef", *digit = byte != '\0' ? strchr(digits, byte | 0x20) : NULL;
        if (byte == '\r') {
            wire->chunk_return = wire->chunk_digits > 0;
            return wire->chunk_return || fail(wire, "a chunk without a size");
        }
        if (digit == NULL || wire->chunk_return || ++wire->chunk_digits > 8) {
            return fail(wire, "a chunk's size is not a hexadecimal number");
        }
        wire->left = wire->left * 16 + (digit - digits);
        return true;
    }
    if (!wire->chunk_return) {
        return fail(wire, "a bare line end behind a chunk's size");
    }
    wire->state = wire->left == 0 ? TFR_WIRE_TRAILER : TFR_WIRE_CHUNK;
    wire->chunk_return = false;
    wire->chunk_digits = 0;
    return true;
}

/* "\r\n" behind a chunk; behind the last one the blank line, as trailers were not asked for. */
static bool feed_line_end(struct tfr_load_wire *wire, char byte) {
    if (byte != (wire->chunk_return ? '\n' : '\r')) {
        return fail(wire, wire->state == TFR_WIRE_TRAILER ? "a trailer that was not asked for" : "a chunk longer than its size");
    }
    if (wire->chunk_return) {
        wire->state = wire->state == TFR_WIRE_TRAILER ? TFR_WIRE_DONE : TFR_WIRE_CHUNK_SIZE;
        wire->left = -1;
    }
    wire->chunk_return = !wire->chunk_return;
    return true;
}

static bool feed_counted(struct tfr_load_wire *wire, const char *bytes, size_t size, size_t *used) {
    *used = wire->left >= 0 && (uint64_t)wire->left < size ? (size_t)wire->left : size;
    if (!take_body(wire, bytes, *used)) {
        return false;
    }
    wire->left -= wire->left >= 0 ? (int64_t)*used : 0;
    if (wire->left == 0) {
        wire->state = wire->state == TFR_WIRE_BODY ? TFR_WIRE_DONE : TFR_WIRE_CHUNK_END;
    }
    return true;
}

bool tfr_load_wire_feed(struct tfr_load_wire *wire, const char *bytes, size_t size) {
    wire->n_read += size;
    while (size > 0) {
        size_t used = 1;
        bool good = false;
        switch (wire->state) {
        case TFR_WIRE_HEAD:
            good = feed_head(wire, bytes, size, &used);
            break;
        case TFR_WIRE_BODY:
        case TFR_WIRE_CHUNK:
            good = feed_counted(wire, bytes, size, &used);
            break;
        case TFR_WIRE_CHUNK_SIZE:
            good = feed_chunk_size(wire, *bytes);
            break;
        case TFR_WIRE_CHUNK_END:
        case TFR_WIRE_TRAILER:
            good = feed_line_end(wire, *bytes);
            break;
        case TFR_WIRE_DONE:
            good = fail(wire, "bytes behind the end of the reply");
            break;
        }
        if (!good) {
            return false;
        }
        bytes += used;
        size -= used;
    }
    if (wire->state == TFR_WIRE_DONE && wire->is_stream && (wire->line.size > 0 || wire->body.size > 0)) {
        return fail(wire, "the stream ends inside of an event");
    }
    return true;
}

bool tfr_load_wire_close(struct tfr_load_wire *wire) {
    if (wire->state == TFR_WIRE_BODY && wire->left < 0) {
        wire->state = TFR_WIRE_DONE;
        return !wire->is_stream || (wire->line.size == 0 && wire->body.size == 0) ||
               fail(wire, "the stream ends inside of an event");
    }
    return wire->state == TFR_WIRE_DONE ||
           fail(wire, wire->n_read == 0 ? "the connection closed without a reply" : "the connection closed inside of the reply");
}

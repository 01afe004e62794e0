/* http_chunked.c - see http_chunked.h. */
#include "app/http/http_chunked.h"

enum { MOST_DIGITS = 16 };

static int digit_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static enum tfr_http_fault size_byte(struct tfr_chunked *chunked, char c) {
    const int digit = digit_of(c);
    if (digit >= 0 && chunked->digits < MOST_DIGITS) {
        chunked->left = chunked->left << 4 | (uint64_t)digit;
        chunked->digits++;
        return TFR_HTTP_FINE;
    }
    chunked->state = CHUNK_SIZE_LF;
    return c == '\r' && chunked->digits > 0 ? TFR_HTTP_FINE : TFR_HTTP_BAD_CHUNK;
}

static enum tfr_http_fault size_ends(struct tfr_chunked *chunked, char c, size_t max_body) {
    if (c != '\n') {
        return TFR_HTTP_BAD_CHUNK;
    }
    if (chunked->left > max_body - chunked->total) {
        return TFR_HTTP_BODY_TOO_LARGE;
    }
    chunked->state = chunked->left > 0 ? CHUNK_DATA : CHUNK_LAST_CR;
    chunked->digits = 0;
    return TFR_HTTP_FINE;
}

/* One byte that must be `wanted`, between two states. */
static enum tfr_http_fault expect_byte(struct tfr_chunked *chunked, char c, char wanted, int next) {
    chunked->state = next;
    return c == wanted ? TFR_HTTP_FINE : TFR_HTTP_BAD_CHUNK;
}

static enum tfr_http_fault framing_byte(struct tfr_chunked *chunked, char c, size_t max_body) {
    switch (chunked->state) {
    case CHUNK_SIZE:
        return size_byte(chunked, c);
    case CHUNK_SIZE_LF:
        return size_ends(chunked, c, max_body);
    case CHUNK_DATA_CR:
        return expect_byte(chunked, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return expect_byte(chunked, c, '\n', CHUNK_SIZE);
    case CHUNK_LAST_CR:
        return expect_byte(chunked, c, '\r', CHUNK_LAST_LF);
    default:
        return expect_byte(chunked, c, '\n', CHUNK_DONE);
    }
}

enum tfr_http_fault tfr_chunked_feed(struct tfr_chunked *chunked, const char *bytes, size_t size, size_t max_body, size_t *used,
                                     const char **data, size_t *n_data) {
    *used = *n_data = 0;
    while (*used < size && chunked->state != CHUNK_DATA && chunked->state != CHUNK_DONE) {
        const enum tfr_http_fault fault = framing_byte(chunked, bytes[(*used)++], max_body);
        if (fault != TFR_HTTP_FINE) {
            return fault;
        }
    }
    *data = bytes + *used;
    if (chunked->state == CHUNK_DATA) {
        const size_t there = size - *used;
        *n_data = chunked->left < there ? (size_t)chunked->left : there;
        *used += *n_data;
        chunked->left -= *n_data;
        chunked->total += *n_data;
        chunked->state = chunked->left > 0 ? CHUNK_DATA : CHUNK_DATA_CR;
    }
    return TFR_HTTP_FINE;
}

/* fuzz_http.c - the head and the chunks of a request, which strangers send: any bytes, in any pieces.
 *
 * A head looked at in pieces has the verdict that it has at once. What is accepted is strings of the head's own bytes without
 * control characters, with one length at most, one Host, and a path that begins with a slash. Chunks give the same data in any
 * pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "app/http/http_chunked.h"
#include "app/http/http_head.h"
#include "harness.h"

static void require(bool holds) {
    tfr_fuzz_require(holds, "a head has one meaning, in any pieces");
}

/* A string that lies in the head and ends there. */
static void check_string(const char *text, const char *bytes, size_t size) {
    require(text >= bytes && text < bytes + size && memchr(text, '\0', (size_t)(bytes + size - text)) != NULL);
    for (; *text != '\0'; text++) {
        require((unsigned char)*text >= 0x20 ? *text != 0x7f : *text == '\t');
    }
}

static void check_head(const struct tfr_head *head, const char *bytes, size_t size, const struct tfr_http_limits *limits) {
    size_t hosts = 0, lengths = 0;
    check_string(head->method, bytes, size);
    check_string(head->path, bytes, size);
    check_string(head->query, bytes, size);
    require(*head->method != '\0' && (*head->path == '/' || strcmp(head->path, "*") == 0));
    require(head->n_lines <= limits->max_lines && strlen(head->path) + strlen(head->query) <= limits->max_uri);
    for (size_t i = 0; i < head->n_lines; i++) {
        const struct tfr_http_header *const line = &head->lines[i];
        check_string(line->name, bytes, size);
        check_string(line->value, bytes, size);
        require(line->name[0] != '\0' && strpbrk(line->name, " \t:ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL);
        require(tfr_head_line(head, line->name) != NULL);
        hosts += strcmp(line->name, "host") == 0;
        lengths += strcmp(line->name, "content-length") == 0 || strcmp(line->name, "transfer-encoding") == 0;
    }
    require(lengths <= 1 && lengths == (size_t)(head->counted || head->chunked) && !(head->counted && head->chunked));
    require(head->minor == 1 ? hosts == 1 : hosts <= 1 && !head->chunked && !head->expects_continue);
    if (hosts > 0) {
        tfr_head_host_is(tfr_head_line(head, "host"), NULL);
        tfr_head_host_is(tfr_head_line(head, "host"), "localhost");
    }
}

/* The end of the head, 0 without one. */
static size_t scan_head(const char *bytes, size_t size, const struct tfr_http_limits *limits) {
    struct tfr_head_scan whole = {0}, pieces = {0};
    size_t end = 0, end_in_pieces = 0;
    const enum tfr_http_fault fault = tfr_head_scan(&whole, bytes, size, limits, &end);
    enum tfr_http_fault fault_in_pieces = TFR_HTTP_FINE;
    for (size_t n = 0; n <= size && fault_in_pieces == TFR_HTTP_FINE && end_in_pieces == 0; n++) {
        fault_in_pieces = tfr_head_scan(&pieces, bytes, n, limits, &end_in_pieces);
    }
    require(fault == fault_in_pieces && end == end_in_pieces && end <= size);
    return fault == TFR_HTTP_FINE ? end : 0;
}

/* Data of a chunked body, fed at most `piece` bytes at a time. Returns the verdict; *used: bytes taken. */
static enum tfr_http_fault unchunk(const char *bytes, size_t size, size_t piece, char *out, size_t *n_out, size_t *used) {
    struct tfr_chunked chunked = {0};
    *n_out = *used = 0;
    while (*used < size && chunked.state != CHUNK_DONE) {
        const char *data;
        size_t taken, n;
        const size_t left = size - *used;
        const enum tfr_http_fault fault =
            tfr_chunked_feed(&chunked, bytes + *used, left < piece ? left : piece, 1 << 16, &taken, &data, &n);
        if (fault != TFR_HTTP_FINE) {
            return fault;
        }
        require(taken > 0 && n <= taken && *n_out + n <= size);
        memcpy(out + *n_out, data, n);
        *n_out += n;
        *used += taken;
    }
    return TFR_HTTP_FINE;
}

static void check_chunks(const char *bytes, size_t size) {
    char *const out = malloc(2 * size + 1);
    size_t n, n_again, used, used_again;
    if (out == NULL) {
        return;
    }
    const enum tfr_http_fault fault = unchunk(bytes, size, size, out, &n, &used);
    const enum tfr_http_fault again = unchunk(bytes, size, 1, out + size, &n_again, &used_again);
    require(fault == again && (fault != TFR_HTTP_FINE || (n == n_again && used == used_again && memcmp(out, out + size, n) == 0)));
    free(out);
}

int tfr_fuzz_http(const uint8_t *data, size_t size) {
    struct tfr_http_limits limits;
    struct tfr_head head;
    tfr_http_limits_default(&limits);
    limits.max_head = 2048;
    limits.max_uri = 256;
    limits.max_lines = 8;
    const size_t end = scan_head((const char *)data, size, &limits);
    check_chunks((const char *)data + end, size - end);
    char *const bytes = end > 0 ? malloc(end) : NULL;
    if (bytes != NULL) {
        memcpy(bytes, data, end);
        if (tfr_head_parse(bytes, end, &limits, &head) == TFR_HTTP_FINE) {
            check_head(&head, bytes, end, &limits);
        }
        free(bytes);
    }
    return 0;
}

/* http_head.h - the head of an HTTP/1 request: bytes in, verdict out; no memory, no sockets.
 *
 * First tfr_head_scan over the bytes as they come, each byte once; when it knows the end, tfr_head_parse over the whole head.
 */
#ifndef TFR_APP_HTTP_HTTP_HEAD_H
#define TFR_APP_HTTP_HTTP_HEAD_H

#include "app/http/transport.h"

enum { TFR_HEAD_LINES = 64 }; /* limits.max_lines is at most this */

/* How far the bytes were looked at. Zeros to begin with. */
struct tfr_head_scan {
    size_t at, line, lines;
    bool cr; /* the byte before was a CR */
};

struct tfr_head {
    const char *method, *path, *query;
    struct tfr_http_header lines[TFR_HEAD_LINES]; /* names in lower case */
    size_t n_lines;
    int minor;       /* of HTTP/1.minor */
    uint64_t length; /* of a counted body; UINT64_MAX for one that nobody could count */
    bool counted, chunked, close, keep_alive, expects_continue;
};

/* `bytes` hold all that came of the head, also what was looked at before. *end: bytes of the head, 0 while more are needed. */
enum tfr_http_fault tfr_head_scan(struct tfr_head_scan *scan, const char *bytes, size_t size, const struct tfr_http_limits *limits,
                                  size_t *end);
/* Cuts a whole head into strings, in place. Says what is wrong with it by itself: whether a body is too large, the host served or
 * the method known is for others. */
enum tfr_http_fault tfr_head_parse(char *bytes, size_t size, const struct tfr_http_limits *limits, struct tfr_head *head);
/* NULL without one; of several the first. */
const char *tfr_head_line(const struct tfr_head *head, const char *name);
/* Whether a Host header (with or without a port) is `name`, or, without a name, a loopback address. */
bool tfr_head_host_is(const char *host, const char *name);

#endif

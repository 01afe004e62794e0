/* transport_reply.c - replies: whole ones, streams in chunks, and the transport's own refusals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/http/transport_inner.h"

enum { ROOM_OF_A_HEAD = 4096 };

void tfr_exchange_free(struct tfr_exchange *x) {
    struct tfr_conn *const conn = x->conn;
    conn->x = NULL;
    conn->http->counts.busy--;
    tfr_bytes_free(conn->http, &x->body);
    free(x->head_bytes);
    free(x);
}

static bool add_text(struct tfr_http *http, const char *text) {
    return tfr_bytes_add(http, NULL, &http->head, text, strlen(text));
}

static bool is_clean(const char *value) {
    for (; *value != '\0'; value++) {
        if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool add_line(struct tfr_http *http, const char *name, const char *value) {
    if (!is_clean(name) || !is_clean(value)) {
        return true;
    }
    return add_text(http, name) && add_text(http, ": ") && add_text(http, value) && add_text(http, "\r\n");
}

static bool add_date(struct tfr_http *http) {
    const time_t now = time(NULL);
    struct tm parts;
    if (now != http->date_s && gmtime_r(&now, &parts) != NULL) {
        http->date_s = now;
        strftime(http->date, sizeof http->date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    }
    return add_line(http, "Date", http->date);
}

/* The status line, the lines given and that of the framing, into http->head. */
static bool write_head(struct tfr_http *http, int status, const struct tfr_http_header *headers, size_t n, const char *framing) {
    char line[64];
    http->head.size = http->head.start = 0;
    snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", status, tfr_http_reason(status));
    bool fine = add_text(http, line) && add_date(http);
    for (size_t i = 0; i < n && fine; i++) {
        fine = add_line(http, headers[i].name, headers[i].value);
    }
    return fine && add_text(http, framing) && add_text(http, "\r\n");
}

static void send_with_head(struct tfr_conn *conn, bool written, const void *body, size_t size) {
    struct tfr_http *const http = conn->http;
    struct iovec parts[] = {{http->head.data, http->head.size}, {(void *)body, size}};
    if (written) {
        tfr_conn_send(conn, parts, size > 0 ? 2 : 1);
    } else { /* no memory for a head */
        conn->failed = true;
        tfr_conn_again(conn);
    }
}

static const char *connection_line(const struct tfr_exchange *x) {
    if (x->conn->close_after) {
        return "Connection: close\r\n";
    }
    return x->head.minor == 0 ? "Connection: keep-alive\r\n" : "";
}

/* Without a length the end of a reply to HTTP/1.0 is that of the connection. */
static void decide_close(struct tfr_exchange *x, bool counted) {
    const struct tfr_head *const head = &x->head;
    const bool keeps = head->minor > 0 || (head->keep_alive && counted);
    x->conn->close_after = head->close || !keeps || !x->complete || x->conn->http->draining;
    x->conn->interrupts = !x->complete;
}

static void end(struct tfr_exchange *x) {
    struct tfr_conn *const conn = x->conn;
    tfr_exchange_free(x);
    tfr_conn_enter(conn, CONN_FLUSH, conn->http->limits.reply_s);
    tfr_conn_again(conn);
}

static bool is_head(const struct tfr_exchange *x) {
    return strcmp(x->head.method, "HEAD") == 0;
}

bool tfr_http_fits(const struct tfr_exchange *x, size_t size) {
    return size <= x->conn->http->limits.send_buffer || is_head(x) || tfr_conn_may_hold(x->conn, size + ROOM_OF_A_HEAD, false);
}

void tfr_http_reply(struct tfr_exchange *x, int status, const struct tfr_http_header *headers, size_t n_headers, const void *body,
                    size_t size) {
    char framing[80];
    if (x->gone || x->streaming) {
        return;
    }
    decide_close(x, true);
    if (!tfr_http_fits(x, size)) {
        x->conn->close_after = true;
        tfr_conn_count_refused(x->conn, TFR_HTTP_NO_MEMORY);
        tfr_http_send_fault(x->conn, TFR_HTTP_NO_MEMORY, false);
        end(x);
        return;
    }
    if (status == 204 || status == 304) { /* have no body, and so no length */
        snprintf(framing, sizeof framing, "%s", connection_line(x));
        size = 0;
    } else {
        snprintf(framing, sizeof framing, "Content-Length: %zu\r\n%s", size, connection_line(x));
    }
    const bool written = write_head(x->conn->http, status, headers, n_headers, framing);
    send_with_head(x->conn, written, body, is_head(x) ? 0 : size);
    end(x);
}

void tfr_http_stream_begin(struct tfr_exchange *x, int status, const struct tfr_http_header *headers, size_t n_headers) {
    if (x->gone || x->streaming) {
        return;
    }
    decide_close(x, false);
    x->streaming = true;
    x->conn->over_ns = 0;
    const char *const coding = x->head.minor > 0 ? "Transfer-Encoding: chunked\r\n" : "";
    char framing[80];
    snprintf(framing, sizeof framing, "%s%s", coding, connection_line(x));
    send_with_head(x->conn, write_head(x->conn->http, status, headers, n_headers, framing), NULL, 0);
}

/* What comes at once may be more than max_output, however fast it is read: a reader is slow where so much goes on waiting. */
static bool is_slow(struct tfr_conn *conn) {
    const struct tfr_http_limits *const limits = &conn->http->limits;
    if (conn->out.size <= limits->max_output) {
        conn->over_ns = 0;
        return false;
    }
    conn->over_ns = conn->over_ns > 0 ? conn->over_ns : tfr_http_now();
    return (double)(tfr_http_now() - conn->over_ns) / 1e9 > limits->write_s;
}

/* One chunk, and the end where it is the last, in one send. */
static void send_chunk(struct tfr_exchange *x, const void *data, size_t size, bool last) {
    struct tfr_conn *const conn = x->conn;
    char length[24];
    struct iovec parts[3];
    int n = 0;
    if (is_head(x) || (size == 0 && !last)) {
        return;
    }
    if (is_slow(conn)) {
        conn->failed = true;
        tfr_conn_again(conn);
    }
    const bool chunked = x->head.minor > 0;
    if (chunked && size > 0) {
        parts[n++] = (struct iovec){length, (size_t)snprintf(length, sizeof length, "%zx\r\n", size)};
    }
    if (size > 0) {
        parts[n++] = (struct iovec){(void *)data, size};
    }
    if (chunked) {
        static char ends[] = "\r\n0\r\n\r\n"; /* of the data, and of the body */
        char *const from = size > 0 ? ends : ends + 2;
        parts[n++] = (struct iovec){from, last ? strlen(from) : 2};
    }
    if (n > 0) {
        tfr_conn_send(conn, parts, n);
    }
}

void tfr_http_stream_write(struct tfr_exchange *x, const void *data, size_t size) {
    if (!x->gone && x->streaming) {
        send_chunk(x, data, size, false);
    }
}

void tfr_http_stream_end(struct tfr_exchange *x, const void *data, size_t size) {
    if (!x->gone && x->streaming) {
        send_chunk(x, data, size, true);
        end(x);
    }
}

/* The body of a refusal, and the lines that its status asks for. */
void tfr_http_send_fault(struct tfr_conn *conn, enum tfr_http_fault fault, bool head_only) {
    static const char *const codes[] = {
        "",
#define TFR_HTTP_FAULT(name, status, code, text) code,
#include "app/http/http_faults.def"
#undef TFR_HTTP_FAULT
    };
    static const struct tfr_http_header headers[] = {{"Content-Type", "application/json"}, {"Retry-After", "1"}};
    const int status = tfr_http_fault_status(fault);
    const bool later = status == 429 || status == 503;
    const char *const type = status == 429 ? "rate_limit_error" : status == 503 ? "unavailable_error" : "invalid_request_error";
    char body[400], framing[80];
    const int size = snprintf(body, sizeof body, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
                              tfr_http_fault_text(fault), type, codes[fault]);
    snprintf(framing, sizeof framing, "Content-Length: %d\r\nConnection: close\r\n", size);
    send_with_head(conn, write_head(conn->http, status, headers, later ? 2 : 1, framing), body, head_only ? 0 : (size_t)size);
}

/* transport_read.c - what a connection reads: heads and bodies, and what of them goes to the application. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "app/http/transport_inner.h"

/* A body has body_s, and less while it comes slower than min_rate. */
static void set_body_deadline(struct tfr_conn *conn) {
    const struct tfr_http_limits *const limits = &conn->http->limits;
    const double at_rate = limits->grace_s + (double)conn->x->body.size / limits->min_rate;
    const double seconds = at_rate < limits->body_s ? at_rate : limits->body_s;
    conn->deadline_ns = conn->body_ns + (uint64_t)(seconds * 1e9);
    tfr_http_due(conn->http, conn->deadline_ns);
}

bool tfr_read_more(struct tfr_conn *conn) {
    struct tfr_http *const http = conn->http;
    if (!conn->readable) {
        if (conn->peer_closed) {
            tfr_conn_lose(conn);
        }
        return false;
    }
    const ssize_t got = recv(conn->fd, http->scratch, sizeof http->scratch, MSG_DONTWAIT);
    if (got <= 0) {
        conn->readable = got < 0 && errno == EINTR;
        if (got == 0) {
            tfr_conn_lose(conn);
        } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            tfr_conn_lose(conn);
        }
        return conn->readable;
    }
    conn->readable = (size_t)got == sizeof http->scratch; /* what comes later has an event of its own */
    http->counts.bytes_in += (uint64_t)got;
    if (conn->state == CONN_LINGER) {
        return true;
    }
    if (!tfr_bytes_add(http, conn, &conn->in, http->scratch, (size_t)got)) {
        tfr_conn_refuse(conn, TFR_HTTP_NO_MEMORY);
    }
    return true;
}

static bool deliver(struct tfr_conn *conn) {
    struct tfr_http *const http = conn->http;
    struct tfr_exchange *const x = conn->x;
    if (x->body.size > 0) {
        if (!tfr_bytes_add(http, conn, &x->body, "", 1)) {
            tfr_conn_refuse(conn, TFR_HTTP_NO_MEMORY);
            return true;
        }
        x->body.size--; /* the NUL */
    }
    if (conn->in.size == 0) {
        tfr_bytes_free(http, &conn->in);
    }
    x->received_ns = tfr_http_now();
    x->complete = true;
    tfr_conn_enter(conn, CONN_BUSY, http->limits.request_s);
    http->counts.requests++;
    http->app.on_request(http->app.user, x);
    if (conn->x == x) { /* it is replied to later: what was said is read */
        tfr_bytes_free(http, &x->body);
    }
    return true;
}

static void send_continue(struct tfr_conn *conn) {
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec part = {text, sizeof text - 1};
    tfr_conn_send(conn, &part, 1);
}

static enum tfr_http_fault judge_head(const struct tfr_http *http, const struct tfr_head *head) {
    static const char *const with_body[] = {"POST", "PUT", "PATCH"};
    if (!tfr_http_host_served(http, head)) {
        return TFR_HTTP_HOST_NOT_SERVED;
    }
    for (size_t i = 0; i < sizeof with_body / sizeof *with_body; i++) {
        if (strcmp(head->method, with_body[i]) == 0 && !head->counted && !head->chunked) {
            return TFR_HTTP_NO_LENGTH;
        }
    }
    return head->length > http->limits.max_body ? TFR_HTTP_BODY_TOO_LARGE : TFR_HTTP_FINE;
}

/* An exchange from the first `size` bytes of input. */
static enum tfr_http_fault open_exchange(struct tfr_conn *conn, size_t size, struct tfr_exchange **opened) {
    struct tfr_http *const http = conn->http;
    struct tfr_exchange *const x = calloc(1, sizeof *x);
    char *const bytes = malloc(size);
    enum tfr_http_fault fault = TFR_HTTP_NO_MEMORY;
    if (x != NULL && bytes != NULL) {
        memcpy(bytes, conn->in.data + conn->in.start, size);
        fault = tfr_head_parse(bytes, size, &http->limits, &x->head);
    }
    if (fault == TFR_HTTP_FINE) {
        fault = judge_head(http, &x->head);
    }
    if (fault != TFR_HTTP_FINE) {
        free(bytes);
        free(x);
        return fault;
    }
    tfr_bytes_take(&conn->in, size);
    x->conn = conn;
    x->head_bytes = bytes;
    x->received_ns = tfr_http_now();
    x->complete = !tfr_http_has_body(x);
    x->body.input = true;
    x->body.most = x->head.counted ? (size_t)x->head.length + 1 : 0; /* with the NUL */
    tfr_peer_name(&conn->peer, x->peer, sizeof x->peer);
    tfr_peer_host(&conn->peer, x->host, sizeof x->host);
    conn->client = 0;
    conn->x = *opened = x;
    http->counts.busy++;
    return TFR_HTTP_FINE;
}

/* The head that ends after `size` bytes. */
static bool take_head(struct tfr_conn *conn, size_t size) {
    struct tfr_http *const http = conn->http;
    struct tfr_exchange *x = NULL;
    const enum tfr_http_fault fault = open_exchange(conn, size, &x);
    if (fault != TFR_HTTP_FINE) {
        tfr_conn_refuse(conn, fault);
        return true;
    }
    tfr_conn_enter(conn, CONN_BODY, 0);
    conn->body_ns = tfr_http_now();
    if (http->app.on_head != NULL) {
        http->app.on_head(http->app.user, x);
    }
    if (conn->state != CONN_BODY || conn->failed) { /* replied */
        return true;
    }
    if (x->complete) {
        return deliver(conn);
    }
    /* Refused before it is sent. Room is not taken by this: it counts as it comes, or heads alone could have all. */
    if (x->head.counted && !tfr_conn_may_hold(conn, (size_t)x->head.length, true)) {
        tfr_conn_refuse(conn, TFR_HTTP_NO_MEMORY);
        return true;
    }
    set_body_deadline(conn);
    if (x->head.expects_continue && conn->in.size == 0) {
        send_continue(conn);
    }
    return true;
}

bool tfr_read_head(struct tfr_conn *conn) {
    if (conn->in.size == 0) {
        return false;
    }
    if (conn->state == CONN_IDLE) {
        conn->scan = (struct tfr_head_scan){0};
        tfr_conn_enter(conn, CONN_HEAD, conn->http->limits.head_s);
    }
    size_t end;
    const enum tfr_http_fault fault =
        tfr_head_scan(&conn->scan, conn->in.data + conn->in.start, conn->in.size, &conn->http->limits, &end);
    if (fault != TFR_HTTP_FINE) {
        tfr_conn_refuse(conn, fault);
        return true;
    }
    return end > 0 && take_head(conn, end);
}

/* The data of a body at the start of the input, up to its end or that of the input. */
static enum tfr_http_fault body_data(struct tfr_conn *conn, size_t *used, const char **data, size_t *n_data) {
    struct tfr_exchange *const x = conn->x;
    const char *const bytes = conn->in.data + conn->in.start;
    if (x->head.chunked) {
        const enum tfr_http_fault fault =
            tfr_chunked_feed(&x->chunked, bytes, conn->in.size, conn->http->limits.max_body, used, data, n_data);
        x->complete = x->chunked.state == CHUNK_DONE;
        return fault;
    }
    const size_t left = (size_t)x->head.length - x->body.size;
    *data = bytes;
    *n_data = *used = left < conn->in.size ? left : conn->in.size;
    x->complete = *used == left;
    return TFR_HTTP_FINE;
}

bool tfr_read_body(struct tfr_conn *conn) {
    struct tfr_exchange *const x = conn->x;
    size_t used, n_data;
    const char *data;
    if (conn->in.size == 0) {
        return false;
    }
    enum tfr_http_fault fault = body_data(conn, &used, &data, &n_data);
    if (fault == TFR_HTTP_FINE && !tfr_bytes_add(conn->http, conn, &x->body, data, n_data)) {
        fault = TFR_HTTP_NO_MEMORY;
    }
    if (fault != TFR_HTTP_FINE) {
        tfr_conn_refuse(conn, fault);
        return true;
    }
    tfr_bytes_take(&conn->in, used);
    if (x->complete) {
        return deliver(conn);
    }
    set_body_deadline(conn);
    return true;
}

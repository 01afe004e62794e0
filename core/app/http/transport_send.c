/* transport_send.c - what a connection writes: one send, and a buffer for what the peer does not take yet. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "app/http/transport_inner.h"

static const size_t first_capacity = 1024;

/* Room for `size` more at the end: of what is large no more than that at first, twice as much while it grows. */
static bool make_room(struct tfr_http *http, const struct tfr_conn *conn, struct tfr_http_bytes *bytes, size_t size) {
    if (bytes->start > 0) {
        memmove(bytes->data, bytes->data + bytes->start, bytes->size);
        bytes->start = 0;
    }
    const size_t wanted = bytes->size + size, twice = bytes->capacity > 0 ? 2 * bytes->capacity : first_capacity;
    size_t capacity = wanted > twice ? wanted : twice;
    if (wanted <= bytes->capacity) {
        return true;
    }
    if (capacity > bytes->most && bytes->most >= wanted) {
        capacity = bytes->most;
    }
    if (conn != NULL && !tfr_conn_may_hold(conn, capacity - bytes->capacity, bytes->input)) {
        return false;
    }
    char *const data = realloc(bytes->data, capacity);
    if (data == NULL) {
        return false;
    }
    http->counts.held_bytes += capacity - bytes->capacity;
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

bool tfr_bytes_add(struct tfr_http *http, const struct tfr_conn *conn, struct tfr_http_bytes *bytes, const void *data,
                   size_t size) {
    if (bytes->start + bytes->size + size > bytes->capacity && !make_room(http, conn, bytes, size)) {
        return false;
    }
    if (size > 0) {
        memcpy(bytes->data + bytes->start + bytes->size, data, size);
    }
    bytes->size += size;
    return true;
}

void tfr_bytes_take(struct tfr_http_bytes *bytes, size_t size) {
    bytes->size -= size;
    bytes->start = bytes->size > 0 ? bytes->start + size : 0;
}

void tfr_bytes_free(struct tfr_http *http, struct tfr_http_bytes *bytes) {
    http->counts.held_bytes -= bytes->capacity;
    free(bytes->data);
    *bytes = (struct tfr_http_bytes){0};
}

/* The broken connection is dealt with at the end of the turn: never while the application is in a call of ours. */
static void fail(struct tfr_conn *conn) {
    conn->failed = true;
    tfr_conn_again(conn);
}

static void watch_output(struct tfr_conn *conn, bool watch) {
    if (conn->watches_output != watch) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (watch ? EPOLLOUT : 0), .data.ptr = conn};
        epoll_ctl(conn->http->epoll, EPOLL_CTL_MOD, conn->fd, &event);
        conn->watches_output = watch;
    }
}

/* A reader may be slow, as long as it takes min_rate once write_s are over. */
static void set_out_deadline(struct tfr_conn *conn) {
    const struct tfr_http_limits *const limits = &conn->http->limits;
    const double seconds = limits->write_s + (double)conn->out_sent / limits->min_rate;
    conn->out_deadline_ns = conn->out_ns + (uint64_t)(seconds * 1e9);
    tfr_http_due(conn->http, conn->out_deadline_ns);
}

/* Bytes that the socket took, 0 when it takes none now. */
static size_t send_parts(struct tfr_conn *conn, struct iovec *parts, int n) {
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)n};
    ssize_t sent;
    do {
        sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    conn->http->counts.sends++;
    if (sent < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            fail(conn);
        }
        return 0;
    }
    conn->http->counts.bytes_out += (uint64_t)sent;
    return (size_t)sent;
}

void tfr_conn_send(struct tfr_conn *conn, struct iovec *parts, int n) {
    if (conn->failed || conn->state == CONN_DEAD) {
        return;
    }
    const bool waiting = conn->out.size > 0;
    size_t sent = waiting ? 0 : send_parts(conn, parts, n);
    for (int i = 0; i < n && !conn->failed; i++) {
        const size_t done = sent < parts[i].iov_len ? sent : parts[i].iov_len;
        sent -= done;
        if (done < parts[i].iov_len &&
            !tfr_bytes_add(conn->http, conn, &conn->out, (const char *)parts[i].iov_base + done, parts[i].iov_len - done)) {
            fail(conn);
        }
    }
    if (!waiting && !conn->failed && conn->out.size > 0) {
        conn->out_ns = tfr_http_now();
        conn->out_sent = 0;
        set_out_deadline(conn);
        watch_output(conn, true);
    }
}

void tfr_conn_flush(struct tfr_conn *conn) {
    while (conn->out.size > 0 && !conn->failed) {
        struct iovec part = {conn->out.data + conn->out.start, conn->out.size};
        const size_t sent = send_parts(conn, &part, 1);
        if (sent == 0) {
            return;
        }
        tfr_bytes_take(&conn->out, sent);
        conn->out_sent += sent;
        set_out_deadline(conn);
    }
    if (conn->out.size == 0) {
        tfr_bytes_free(conn->http, &conn->out);
        conn->out_deadline_ns = 0;
        watch_output(conn, false);
    }
}

/* transport_conn.c - one connection: its states, the leaving of the peer, its deadlines. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/http/transport_inner.h"

enum { STEPS_A_TURN = 64 }; /* then others come first */

static uint64_t in_seconds(double seconds) {
    return tfr_http_now() + (uint64_t)(seconds * 1e9);
}

void tfr_conn_enter(struct tfr_conn *conn, enum tfr_conn_state state, double seconds) {
    conn->state = state;
    conn->deadline_ns = seconds > 0 ? in_seconds(seconds) : 0;
    if (conn->deadline_ns > 0) {
        tfr_http_due(conn->http, conn->deadline_ns);
    }
}

struct tfr_conn *tfr_conn_open(struct tfr_http *http, int fd, const struct in6_addr *peer, bool turned_away) {
    struct tfr_conn *const conn = calloc(1, sizeof *conn);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = conn};
    if (conn == NULL || epoll_ctl(http->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(conn);
        return NULL;
    }
    conn->http = http;
    conn->fd = fd;
    conn->peer = *peer;
    conn->next = http->first;
    if (http->first != NULL) {
        http->first->previous = conn;
    }
    http->first = conn;
    conn->turned_away = turned_away;
    *(turned_away ? &http->n_turned_away : &http->counts.open) += 1;
    tfr_conn_enter(conn, CONN_IDLE, http->limits.idle_s);
    return conn;
}

static void close_conn(struct tfr_conn *conn) {
    struct tfr_http *const http = conn->http;
    if (conn->state == CONN_DEAD) {
        return;
    }
    close(conn->fd);
    tfr_bytes_free(http, &conn->in);
    tfr_bytes_free(http, &conn->out);
    *(conn->previous != NULL ? &conn->previous->next : &http->first) = conn->next;
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
    *(conn->turned_away ? &http->n_turned_away : &http->counts.open) -= 1;
    conn->state = CONN_DEAD;
    conn->next = http->dead;
    http->dead = conn;
    if (http->draining) {
        tfr_http_wake(http); /* it may have been the last one */
    }
}

void tfr_conn_again(struct tfr_conn *conn) {
    if (!conn->queued) {
        conn->queued = true;
        conn->again = conn->http->again;
        conn->http->again = conn;
    }
}

/* TFR_HTTP_FINE: the client left. */
static void tell_gone(struct tfr_conn *conn, enum tfr_http_fault fault) {
    struct tfr_exchange *const x = conn->x;
    struct tfr_http *const http = conn->http;
    if (x == NULL) {
        return;
    }
    x->gone = true;
    http->counts.gone++;
    if (http->app.on_gone != NULL) {
        http->app.on_gone(http->app.user, x, fault);
    }
    tfr_exchange_free(x);
}

void tfr_conn_lose(struct tfr_conn *conn) {
    tell_gone(conn, TFR_HTTP_FINE);
    close_conn(conn);
}

void tfr_conn_count_refused(struct tfr_conn *conn, enum tfr_http_fault fault) {
    struct tfr_http *const http = conn->http;
    http->counts.refused[fault]++;
    if (http->app.on_refused != NULL) {
        char peer[INET6_ADDRSTRLEN];
        tfr_peer_name(&conn->peer, peer, sizeof peer);
        http->app.on_refused(http->app.user, peer, fault);
    }
}

void tfr_conn_refuse(struct tfr_conn *conn, enum tfr_http_fault fault) {
    const bool head_only = conn->x != NULL && strcmp(conn->x->head.method, "HEAD") == 0;
    tell_gone(conn, fault);
    tfr_conn_count_refused(conn, fault);
    tfr_http_send_fault(conn, fault, head_only);
    conn->close_after = conn->interrupts = true;
    tfr_conn_enter(conn, CONN_FLUSH, 0);
    tfr_conn_again(conn);
}

/* The reply has ended: once it is sent, the next request, or the end. */
static bool leave_flush(struct tfr_conn *conn) {
    if (conn->out.size > 0) {
        return false;
    }
    if (!conn->close_after && !conn->http->draining) {
        tfr_conn_enter(conn, CONN_IDLE, conn->http->limits.idle_s);
        return true;
    }
    if (conn->peer_closed && !conn->readable && conn->in.size == 0) {
        close_conn(conn);
        return false;
    }
    tfr_bytes_free(conn->http, &conn->in);
    shutdown(conn->fd, SHUT_WR);
    if (conn->http->draining) {
        tfr_http_wake(conn->http);
    }
    tfr_conn_enter(conn, CONN_LINGER, conn->http->limits.linger_s);
    return true;
}

/* One step: false when nothing can be done until something happens. */
static bool step(struct tfr_conn *conn) {
    if (conn->failed && conn->state != CONN_DEAD) {
        tfr_conn_lose(conn);
        return false;
    }
    switch (conn->state) {
    case CONN_IDLE:
    case CONN_HEAD:
        return tfr_read_head(conn) || tfr_read_more(conn);
    case CONN_BODY:
        return tfr_read_body(conn) || tfr_read_more(conn);
    case CONN_BUSY:
        if (conn->peer_closed) {
            tfr_conn_lose(conn);
        }
        return false;
    case CONN_FLUSH:
        return leave_flush(conn);
    case CONN_LINGER:
        return tfr_read_more(conn);
    default:
        return false;
    }
}

void tfr_conn_advance(struct tfr_conn *conn) {
    for (int steps = 0; step(conn); steps++) {
        if (steps == STEPS_A_TURN) {
            tfr_conn_again(conn);
            return;
        }
    }
    if (conn->state == CONN_IDLE && conn->in.size == 0) {
        tfr_bytes_free(conn->http, &conn->in);
    }
}

void tfr_conn_event(struct tfr_conn *conn, uint32_t events) {
    if (conn->state == CONN_DEAD) {
        return;
    }
    conn->failed |= (events & (EPOLLERR | EPOLLHUP)) != 0 && conn->state != CONN_IDLE && conn->state != CONN_HEAD;
    conn->readable |= (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
    conn->peer_closed |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
    if ((events & EPOLLOUT) != 0) {
        tfr_conn_flush(conn);
    }
    tfr_conn_advance(conn);
}

void tfr_conn_expire(struct tfr_conn *conn, uint64_t now) {
    static const enum tfr_http_fault faults[] = {
        [CONN_HEAD] = TFR_HTTP_SLOW_HEAD, [CONN_BODY] = TFR_HTTP_SLOW_BODY, [CONN_BUSY] = TFR_HTTP_TOOK_TOO_LONG};
    if (tfr_conn_next_ns(conn) > now) {
        return;
    }
    const bool answers = conn->state == CONN_HEAD || conn->state == CONN_BODY || (conn->state == CONN_BUSY && !conn->x->streaming);
    const bool blocked = conn->out_deadline_ns > 0 && conn->out_deadline_ns <= now;
    if (answers && !blocked) {
        tfr_conn_refuse(conn, faults[conn->state]);
    } else {
        tell_gone(conn, conn->state == CONN_BUSY && !blocked ? faults[CONN_BUSY] : TFR_HTTP_FINE);
        tfr_conn_lose(conn);
    }
}

uint64_t tfr_conn_next_ns(const struct tfr_conn *conn) {
    const uint64_t state = conn->deadline_ns > 0 ? conn->deadline_ns : UINT64_MAX;
    const uint64_t output = conn->out_deadline_ns > 0 ? conn->out_deadline_ns : UINT64_MAX;
    return state < output ? state : output;
}

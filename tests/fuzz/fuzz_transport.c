/* fuzz_transport.c - what a client sends to the transport of the server: the first byte is the size of the pieces, the rest is
 * sent. A reply is HTTP that a strict client takes, and the same for all pieces.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "app/load/load_wire.h"
#include "stand.h"

static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
static const char long_body[600000] = "a";

static void on_head(void *user, struct tfr_exchange *x) {
    tfr_http_set_user(x, user);
    tfr_http_set_client(x, tfr_http_method(x)[0] == 'P' ? 7 : 0);
}

static void on_gone(void *user, struct tfr_exchange *x, enum tfr_http_fault fault) {
    struct tfr_stand *stand = user;
    stand->holds = false;
    tfr_fuzz_require(tfr_http_user(x) == user && fault < TFR_HTTP_N_FAULTS, "a request that is over was there");
}

static void on_refused(void *user, const char *peer, enum tfr_http_fault fault) {
    (void)user;
    tfr_fuzz_require(strcmp(peer, "unix") == 0 && tfr_http_fault_name(fault)[0] != '\0', "a refusal has a name");
}

/* The body comes back; of a longer one as a stream. */
static void echo(void *user, struct tfr_exchange *x) {
    struct tfr_stand *stand = user;
    size_t size;
    const char *body = tfr_http_body(x, &size);
    const struct tfr_http_header header = {"X-Query", tfr_http_query(x)};
    tfr_fuzz_require(user == tfr_http_user(x) && !tfr_http_streaming(x) && tfr_http_received_ns(x) > 0 &&
                         strcmp(tfr_http_peer(x), "unix") == 0 && strcmp(tfr_http_host(x), "unix") == 0,
                     "a request is what its head said");
    tfr_fuzz_require((tfr_http_header(x, "host") != NULL) == (tfr_http_header_count(x, "host") > 0), "what counts is there");
    if (strcmp(tfr_http_path(x), "/wait") == 0) {
        stand->holds = true; /* a deadline ends it */
        return;
    }
    if (strcmp(tfr_http_path(x), "/long") == 0 && !stand->gave_long) { /* longer than what a socket takes at once */
        stand->gave_long = true;
        tfr_http_reply(x, 200, &header, 1, long_body, sizeof long_body);
        return;
    }
    if (size > 16) {
        tfr_http_stream_begin(x, 200, &header, 1);
        tfr_http_stream_write(x, body, 16);
        tfr_http_stream_end(x, body + 16, size - 16);
    } else {
        tfr_http_reply(x, 200, &header, 1, body, size);
    }
}

/* The last of its deadlines is over: who waits for the rest of a request, or for a reply, is told; who is idle is let go. */
static void expire(struct tfr_stand *stand, int fd, struct tfr_stand_reply *reply) {
    struct tfr_conn *conn = stand->http->first;
    if (conn != NULL && tfr_conn_next_ns(conn) != UINT64_MAX) {
        tfr_conn_expire(conn, UINT64_MAX - 1);
        tfr_stand_settle(stand, fd, reply);
    }
}

static struct tfr_stand_reply converse(struct tfr_stand *stand, const uint8_t *data, size_t size, size_t piece) {
    struct tfr_stand_reply reply = {0};
    stand->gave_long = false;
    const int fd = tfr_stand_connect(stand);
    for (size_t at = 0; at < size && !reply.has_ended; at += piece) {
        const ssize_t sent = send(fd, data + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL);
        (void)sent; /* a server that has closed reads no more */
        tfr_stand_settle(stand, fd, &reply);
    }
    tfr_stand_settle(stand, fd, &reply);
    expire(stand, fd, &reply);
    struct tfr_stand_reply kept = reply;
    reply.bytes = NULL;
    tfr_stand_finish(stand, fd, &reply);
    return kept;
}

static void no_event(void *user, const char *data, size_t size) {
    (void)user, (void)data, (void)size;
}

/* 100 Continue is for a body that is not there yet, which hangs on the pieces. */
static void drop_interim(struct tfr_stand_reply *reply) {
    const size_t n = sizeof interim - 1;
    for (char *at; reply->size > 0 && (at = memmem(reply->bytes, reply->size, interim, n)) != NULL;) {
        memmove(at, at + n, reply->size - n - (size_t)(at - reply->bytes));
        reply->size -= n;
    }
}

/* Dates are those of now. A body may hold what looks like one: then what stands behind is no reply any more. */
static void blank_dates(const struct tfr_stand_reply *reply) {
    static const char name[] = "\r\nDate: ";
    for (size_t at = 0; reply->size >= sizeof name + 28 && at + sizeof name + 28 <= reply->size; at++) {
        if (memcmp(reply->bytes + at, name, sizeof name - 1) == 0) {
            memset(reply->bytes + at + sizeof name - 1, '-', 28);
        }
    }
}

static void make_comparable(struct tfr_stand_reply *reply) {
    drop_interim(reply);
    blank_dates(reply);
}

/* Replies one after the other, as a strict client sees them; those of HEAD have lengths and no bodies. */
static void check_replies(const struct tfr_stand_reply *reply, const uint8_t *data, size_t size) {
    const bool has_head = size >= 4 && memmem(data, size, "HEAD", 4) != NULL;
    struct tfr_load_wire wire = {0};
    tfr_load_wire_start(&wire, no_event, NULL);
    for (size_t at = 0; at < reply->size && !has_head; at++) {
        const size_t n = sizeof interim - 1;
        if (wire.n_read == 0 && reply->size - at >= n && memcmp(reply->bytes + at, interim, n) == 0) {
            at += n - 1;
            continue;
        }
        tfr_fuzz_require(tfr_load_wire_feed(&wire, reply->bytes + at, 1), wire.error);
        if (wire.state == TFR_WIRE_DONE) {
            tfr_load_wire_start(&wire, no_event, NULL);
        }
    }
    tfr_load_wire_free(&wire);
}

int tfr_fuzz_transport(const uint8_t *data, size_t size) {
    static struct tfr_stand stand;
    const struct tfr_http_app app = {
        .user = &stand, .on_head = on_head, .on_request = echo, .on_gone = on_gone, .on_refused = on_refused};
    if (stand.http == NULL) {
        tfr_stand_open(&stand, "raw", &app);
    }
    if (size < 2 || size > 16384) {
        return 0;
    }
    const size_t piece = 1 + data[0] % 64;
    struct tfr_stand_reply whole = converse(&stand, data + 1, size - 1, size), pieces;
    check_replies(&whole, data + 1, size - 1);
    if (size <= 64 * piece) {
        pieces = converse(&stand, data + 1, size - 1, piece);
        make_comparable(&whole);
        make_comparable(&pieces);
        tfr_fuzz_require(whole.size == pieces.size && (whole.size == 0 || memcmp(whole.bytes, pieces.bytes, whole.size) == 0),
                         "a client has the same replies in any pieces");
        free(pieces.bytes);
    }
    free(whole.bytes);
    return 0;
}

/* transport_owner.c - whose a connection is, and what its owner may have of the server: connections, memory. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "app/http/transport_inner.h"

enum { HOST_BYTES = 8, HOSTS_SHARE = 4 /* an owner has a fourth of max_held at most */ };

/* A unix socket has zeros. Those of the first HOST_BYTES are IPv4's too, and this machine's. */
static bool is_unix(const struct in6_addr *peer) {
    static const struct in6_addr none;
    return memcmp(peer, &none, sizeof none) == 0;
}

/* One IPv6 host may take any address of its network of 64 bits, and a new one each time. */
static size_t bytes_of_host(const struct in6_addr *peer) {
    static const unsigned char none[HOST_BYTES];
    return memcmp(peer, none, HOST_BYTES) == 0 ? sizeof *peer : HOST_BYTES;
}

bool tfr_peer_is_loopback(const struct in6_addr *peer) {
    return IN6_IS_ADDR_V4MAPPED(peer) ? peer->s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(peer);
}

bool tfr_peer_is_same_host(const struct in6_addr *a, const struct in6_addr *b) {
    return memcmp(a, b, bytes_of_host(a)) == 0;
}

void tfr_peer_name(const struct in6_addr *peer, char *name, size_t size) {
    if (is_unix(peer)) {
        snprintf(name, size, "unix");
    } else if (IN6_IS_ADDR_V4MAPPED(peer)) {
        inet_ntop(AF_INET, &peer->s6_addr[12], name, (socklen_t)size);
    } else {
        inet_ntop(AF_INET6, peer, name, (socklen_t)size);
    }
}

void tfr_peer_host(const struct in6_addr *peer, char *name, size_t size) {
    struct in6_addr host = {0};
    const size_t n = bytes_of_host(peer);
    memcpy(&host, peer, n);
    tfr_peer_name(&host, name, size);
    if (n == HOST_BYTES) {
        snprintf(name + strlen(name), size - strlen(name), "/%d", HOST_BYTES * 8);
    }
}

/* A proxy on this machine may have all of it. */
static bool is_counted(const struct tfr_http *http, const struct in6_addr *peer) {
    return !is_unix(peer) && (http->limits.count_loopback || !tfr_peer_is_loopback(peer));
}

bool tfr_http_has_its_connections(const struct tfr_http *http, const struct in6_addr *peer) {
    size_t n = 0;
    if (!is_counted(http, peer) || http->limits.max_per_address == 0) {
        return false;
    }
    for (const struct tfr_conn *conn = http->first; conn != NULL; conn = conn->next) {
        n += !conn->turned_away && tfr_peer_is_same_host(&conn->peer, peer);
    }
    return n >= http->limits.max_per_address;
}

static bool is_same_owner(const struct tfr_conn *a, const struct tfr_conn *b) {
    return a->client == b->client && (a->client != 0 || tfr_peer_is_same_host(&a->peer, &b->peer));
}

static size_t held_by(const struct tfr_conn *conn) {
    return conn->in.capacity + conn->out.capacity + (conn->x != NULL ? conn->x->body.capacity : 0);
}

bool tfr_conn_may_hold(const struct tfr_conn *conn, size_t more, bool input) {
    const struct tfr_http *const http = conn->http;
    const size_t all = http->limits.max_held, share = all / HOSTS_SHARE;
    size_t sum = more;
    if (http->counts.held_bytes + more > (input ? all / 2 : all)) {
        return false;
    }
    if (http->counts.held_bytes + more <= share || (conn->client == 0 && !is_counted(http, &conn->peer))) {
        return true;
    }
    for (const struct tfr_conn *other = http->first; other != NULL; other = other->next) {
        sum += is_same_owner(conn, other) ? held_by(other) : 0;
    }
    return sum <= share;
}

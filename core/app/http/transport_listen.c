/* transport_listen.c - addresses to listen on, and the accepting of connections within their limits. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/http/transport_inner.h"

enum { BACKLOG = 512, ACCEPTS_A_TURN = 64, MOST_TURNED_AWAY = 32 /* that are told so */ };

static void set_int(int fd, int level, int name, int value) {
    setsockopt(fd, level, name, &value, sizeof value);
}

/* Connections have these from their listening socket. */
static void set_options(const struct tfr_http *http, int fd, int family) {
    set_int(fd, SOL_SOCKET, SO_SNDBUF, (int)http->limits.send_buffer);
    if (family == AF_UNIX) {
        return;
    }
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)(http->limits.write_s * 1000));
    if (family == AF_INET6) {
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
}

/* -1 and a sentence with what to do about it. */
static int explain(const char *address, const char *verb, char *error, size_t size) {
    if (errno == EADDRINUSE) {
        snprintf(error, size, "%s is in use by another program: stop it, or choose another %s", address,
                 strncmp(address, "unix:", 5) == 0 ? "path" : "port (port 0 takes any free one)");
    } else if (errno == EACCES) {
        snprintf(error, size,
                 "%s: not permitted to %s: ports below 1024 are the administrator's, and a socket's folder must be writable",
                 address, verb);
    } else if (errno == EADDRNOTAVAIL) {
        snprintf(error, size, "%s is no address of this machine: listen on one of those that `ip address` shows", address);
    } else {
        snprintf(error, size, "cannot %s %s: %s", verb, address, strerror(errno));
    }
    return -1;
}

static int open_socket(struct tfr_http *http, const char *address, const struct sockaddr *at, socklen_t length, char *error,
                       size_t size) {
    http->listener = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (http->listener < 0) {
        return explain(address, "open a socket for", error, size);
    }
    set_options(http, http->listener, at->sa_family);
    if (bind(http->listener, at, length) != 0 || listen(http->listener, BACKLOG) != 0) {
        return explain(address, "listen on", error, size);
    }
    return 0;
}

/* A socket that nobody listens on any more is left by a server that was killed; it is removed. */
static int clear_path(const char *address, const struct sockaddr_un *at, char *error, size_t size) {
    struct stat found;
    if (lstat(at->sun_path, &found) != 0) {
        return 0;
    }
    if (!S_ISSOCK(found.st_mode)) {
        snprintf(error, size, "%s: there is a file of this name that is no socket: choose another path", address);
        return -1;
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 && errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    if (dead) {
        unlink(at->sun_path);
        return 0;
    }
    errno = EADDRINUSE;
    return explain(address, "listen on", error, size);
}

static int listen_unix(struct tfr_http *http, const char *address, const char *path, char *error, size_t size) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (*path == '\0' || strlen(path) >= sizeof at.sun_path) {
        snprintf(error, size, "%s: the path of a socket has 1 to %zu bytes", address, sizeof at.sun_path - 1);
        return -1;
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    if (clear_path(address, &at, error, size) != 0 ||
        open_socket(http, address, (const struct sockaddr *)&at, sizeof at, error, size) != 0) {
        return -1;
    }
    http->unix_path = strdup(path);
    if (http->unix_path == NULL) { /* without it nobody would remove the socket */
        explain(address, "listen on", error, size);
        unlink(path);
        return -1;
    }
    http->local = true;
    snprintf(http->address, sizeof http->address, "unix:%s", path);
    return 0;
}

/* "NAME:PORT" or "[NAME]:PORT" into http->host and the port, NULL where it is neither. */
static const char *split(struct tfr_http *http, const char *address) {
    const char *const bracket = address[0] == '[' ? strchr(address, ']') : NULL;
    const char *const colon = bracket != NULL ? bracket + 1 : strchr(address, ':');
    const char *const name = bracket != NULL ? address + 1 : address;
    const size_t n = colon == NULL ? 0 : (size_t)(colon - name) - (bracket != NULL);
    if (n == 0 || n >= sizeof http->host || *colon != ':' || colon[1] == '\0' ||
        colon[1 + strspn(colon + 1, "0123456789")] != '\0' || strtoul(colon + 1, NULL, 10) > 65535) {
        return NULL;
    }
    memcpy(http->host, name, n);
    http->host[n] = '\0';
    return colon + 1;
}

static struct in6_addr address_of(const struct sockaddr_storage *at) {
    struct in6_addr address = {0};
    if (at->ss_family == AF_INET6) {
        address = ((const struct sockaddr_in6 *)at)->sin6_addr;
    } else if (at->ss_family == AF_INET) {
        address.s6_addr[10] = address.s6_addr[11] = 0xff;
        memcpy(&address.s6_addr[12], &((const struct sockaddr_in *)at)->sin_addr, 4);
    }
    return address;
}

static void note_address(struct tfr_http *http) {
    struct sockaddr_storage at = {0}; /* of no family if the system does not say: not local then */
    socklen_t length = sizeof at;
    getsockname(http->listener, (struct sockaddr *)&at, &length);
    const struct in6_addr address = address_of(&at);
    http->local = tfr_peer_is_loopback(&address);
    const unsigned port = ntohs(at.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&at)->sin6_port
                                                         : ((const struct sockaddr_in *)&at)->sin_port);
    const bool six = strchr(http->host, ':') != NULL;
    snprintf(http->address, sizeof http->address, six ? "[%s]:%u" : "%s:%u", http->host, port);
}

int tfr_http_listen(struct tfr_http *http, const char *address, char *error, size_t size) {
    if (strncmp(address, "unix:", 5) == 0) {
        return listen_unix(http, address, address + 5, error, size);
    }
    const char *const port = split(http, address);
    if (port == NULL) {
        snprintf(error, size, "%s is no address: write NAME:PORT, [IPv6]:PORT or unix:PATH, with a port of 0 to 65535%s%s", address,
                 address[0] == '/' ? "; did you mean unix:" : "", address[0] == '/' ? address : "");
        return -1;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int failed = getaddrinfo(http->host, port, &hints, &found);
    if (failed != 0) {
        snprintf(error, size, "%s: there is no such host: %s", address, gai_strerror(failed));
        return -1;
    }
    const struct addrinfo *at = found; /* a name with addresses of both families has its IPv4 one taken: clients try that too */
    while (at->ai_next != NULL && at->ai_family != AF_INET) {
        at = at->ai_next;
    }
    at = at->ai_family == AF_INET ? at : found;
    const int result = open_socket(http, address, at->ai_addr, at->ai_addrlen, error, size);
    freeaddrinfo(found);
    if (result == 0) {
        note_address(http);
    }
    return result;
}

void tfr_http_unlisten(struct tfr_http *http) {
    if (http->listener >= 0) {
        close(http->listener);
        http->listener = -1;
        if (http->unix_path != NULL) {
            unlink(http->unix_path);
        }
    }
}

/* An idle connection costs its client one reconnect. False when there is none. */
static bool close_longest_idle(struct tfr_http *http) {
    struct tfr_conn *longest = NULL;
    for (struct tfr_conn *conn = http->first; conn != NULL; conn = conn->next) {
        if (conn->state == CONN_IDLE && conn->in.size == 0 && (longest == NULL || conn->deadline_ns < longest->deadline_ns)) {
            longest = conn;
        }
    }
    if (longest != NULL) {
        http->counts.closed_for_room++;
        tfr_conn_lose(longest);
    }
    return longest != NULL;
}

/* Why one more connection is not taken. Who has its own closes nobody else's. */
static enum tfr_http_fault judge(struct tfr_http *http, const struct in6_addr *peer) {
    if (tfr_http_has_its_connections(http, peer)) {
        return TFR_HTTP_TOO_MANY_FROM_ADDRESS;
    }
    return http->counts.open >= http->limits.max_connections && !close_longest_idle(http) ? TFR_HTTP_TOO_MANY_CONNECTIONS
                                                                                          : TFR_HTTP_FINE;
}

/* Some are told why, of one owner's not all of those; they take no place of others. */
static struct tfr_conn *turn_away(struct tfr_http *http, int fd, const struct in6_addr *peer, enum tfr_http_fault fault) {
    const size_t most = fault == TFR_HTTP_TOO_MANY_FROM_ADDRESS ? MOST_TURNED_AWAY / 2 : MOST_TURNED_AWAY;
    struct tfr_conn *const conn = http->n_turned_away < most ? tfr_conn_open(http, fd, peer, true) : NULL;
    if (conn != NULL) {
        tfr_conn_refuse(conn, fault);
    } else {
        http->counts.refused[fault]++;
    }
    return conn;
}

static void take(struct tfr_http *http, int fd, const struct sockaddr_storage *at) {
    const struct in6_addr peer = address_of(at);
    const enum tfr_http_fault fault = judge(http, &peer);
    http->counts.accepted++;
    if ((fault == TFR_HTTP_FINE ? tfr_conn_open(http, fd, &peer, false) : turn_away(http, fd, &peer, fault)) == NULL) {
        close(fd);
    }
}

/* No descriptor is left: an idle connection gives its own, or the peer is turned away by the one kept for this. False: not now. */
static bool without_descriptor(struct tfr_http *http) {
    http->counts.no_descriptor++;
    if (close_longest_idle(http)) {
        return true;
    }
    if (http->spare < 0) {
        return false;
    }
    close(http->spare);
    const int fd = accept4(http->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    http->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

void tfr_http_accept(struct tfr_http *http) {
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
        socklen_t length = sizeof at;
        const int fd = accept4(http->listener, (struct sockaddr *)&at, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(http, fd, &at);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED && ((errno != EMFILE && errno != ENFILE) || !without_descriptor(http))) {
            http->listening = false; /* until the next tick: the listener would wake the thread again and again */
            epoll_ctl(http->epoll, EPOLL_CTL_DEL, http->listener, NULL);
            return;
        }
    }
}

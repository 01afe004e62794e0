/* transport_inner.h - what the files of the transport share: the server, a connection, an exchange.
 *
 * transport.c has the loop and the timer, transport_listen.c addresses and accepting, transport_conn.c the states of a connection,
 * transport_owner.c whose one is, transport_read.c what it reads, transport_send.c what it writes, transport_reply.c the replies,
 * transport_request.c what is asked about a request.
 */
#ifndef TFR_APP_HTTP_TRANSPORT_INNER_H
#define TFR_APP_HTTP_TRANSPORT_INNER_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <time.h>

#include "app/http/http_chunked.h"
#include "app/http/http_head.h"
#include "app/http/transport.h"

enum { TFR_HTTP_READ = 65536 };

/* Bytes that grow at the end and are taken from the start. Its memory is counted in counts.held_bytes. */
struct tfr_http_bytes {
    char *data;
    size_t start, size, capacity; /* `size` bytes from data + start */
    size_t most;                  /* where it is known how large it gets: no more memory than this; else 0 */
    bool input;                   /* of a client's: half of max_held is for the rest */
};

enum tfr_conn_state {
    CONN_IDLE,   /* between requests; owns no buffers */
    CONN_HEAD,   /* some of a head is there */
    CONN_BODY,   /* on_head was called */
    CONN_BUSY,   /* on_request was called: nothing is read, but the peer's leaving is seen */
    CONN_FLUSH,  /* the reply has ended; it may not be sent yet */
    CONN_LINGER, /* all is sent and our half closed; what still comes is dropped, or the peer would lose the reply */
    CONN_DEAD    /* closed; freed at the end of the turn */
};

struct tfr_conn {
    struct tfr_conn *previous, *next; /* of all */
    struct tfr_conn *again;           /* the next one that wants a look at the end of the turn */
    struct tfr_http *http;
    struct tfr_exchange *x;
    int fd;
    enum tfr_conn_state state;
    bool readable, peer_closed, failed, close_after, watches_output, queued;
    bool turned_away; /* one too many: it is told so, and takes no place */
    bool interrupts;  /* the reply came before the end of the body: closing at once would take it away from the client */
    struct tfr_http_bytes in, out;
    struct tfr_head_scan scan;
    uint64_t deadline_ns;                       /* of the state; 0: none */
    uint64_t body_ns;                           /* since when the body is read */
    uint64_t out_ns, out_deadline_ns, out_sent; /* since when output waits, until when it may, bytes taken since */
    uint64_t over_ns;                           /* since when more than max_output of a stream waits; 0: it does not */
    struct in6_addr peer;                       /* IPv4 mapped; zeros for a unix socket */
    uint64_t client;                            /* as the application told for this request; 0: it did not */
};

struct tfr_exchange {
    struct tfr_conn *conn;
    void *user;
    char *head_bytes;
    struct tfr_head head;
    struct tfr_http_bytes body;
    struct tfr_chunked chunked;
    uint64_t received_ns;
    bool complete, streaming, gone; /* the body is there; a stream has begun; on_gone is being called */
    char peer[INET6_ADDRSTRLEN], host[INET6_ADDRSTRLEN + 4];
};

struct tfr_http {
    struct tfr_http_limits limits;
    struct tfr_http_app app;
    struct tfr_http_counts counts;
    char address[160], host[128]; /* as listened on; the name that was asked for */
    char *unix_path;              /* removed at closing; NULL for TCP */
    bool local, draining, listening;
    int epoll, listener, wake, timer, signals, spare; /* descriptors; spare is given up when there are no others */
    atomic_bool stopped, woken;
    struct tfr_conn *first, *again, *dead;
    size_t n_turned_away;       /* of the connections */
    uint64_t tick_ns, timer_ns; /* next tick; what the timer is set to */
    struct tfr_http_bytes head; /* of a reply, while it is written */
    time_t date_s;
    char date[40];
    char scratch[TFR_HTTP_READ];
};

/* transport.c */
uint64_t tfr_http_now(void);
void tfr_http_due(struct tfr_http *http, uint64_t ns); /* the timer fires at `ns` at the latest */

/* transport_listen.c */
int tfr_http_listen(struct tfr_http *http, const char *address, char *error, size_t size);
void tfr_http_unlisten(struct tfr_http *http);
void tfr_http_accept(struct tfr_http *http);

/* transport_conn.c */
struct tfr_conn *tfr_conn_open(struct tfr_http *http, int fd, const struct in6_addr *peer, bool turned_away);
void tfr_conn_enter(struct tfr_conn *conn, enum tfr_conn_state state, double seconds); /* seconds until it expires; 0: never */
void tfr_conn_event(struct tfr_conn *conn, uint32_t events);
void tfr_conn_advance(struct tfr_conn *conn);
void tfr_conn_again(struct tfr_conn *conn); /* a look at the end of the turn */
void tfr_conn_expire(struct tfr_conn *conn, uint64_t now);
uint64_t tfr_conn_next_ns(const struct tfr_conn *conn); /* its earliest deadline, UINT64_MAX for none */
void tfr_conn_refuse(struct tfr_conn *conn, enum tfr_http_fault fault);
void tfr_conn_count_refused(struct tfr_conn *conn, enum tfr_http_fault fault); /* for the counts, and those who log */
void tfr_conn_lose(struct tfr_conn *conn);                                     /* tells on_gone and closes */

/* transport_owner.c */
bool tfr_peer_is_loopback(const struct in6_addr *peer);
bool tfr_peer_is_same_host(const struct in6_addr *a, const struct in6_addr *b);
void tfr_peer_name(const struct in6_addr *peer, char *name, size_t size);
void tfr_peer_host(const struct in6_addr *peer, char *name, size_t size); /* "192.0.2.7", "2001:db8:0:1::/64", "unix" */
bool tfr_http_has_its_connections(const struct tfr_http *http, const struct in6_addr *peer); /* and gets no more */
bool tfr_conn_may_hold(const struct tfr_conn *conn, size_t more, bool input);                /* bytes, beside what is held */

/* transport_read.c: true when something was done and there may be more */
bool tfr_read_more(struct tfr_conn *conn); /* from the socket; a peer that has closed its half here is lost */
bool tfr_read_head(struct tfr_conn *conn);
bool tfr_read_body(struct tfr_conn *conn);

/* transport_send.c */
/* Without a connection it is memory of the server's own. */
bool tfr_bytes_add(struct tfr_http *http, const struct tfr_conn *conn, struct tfr_http_bytes *bytes, const void *data, size_t size);
void tfr_bytes_take(struct tfr_http_bytes *bytes, size_t size);
void tfr_bytes_free(struct tfr_http *http, struct tfr_http_bytes *bytes);
void tfr_conn_send(struct tfr_conn *conn, struct iovec *parts, int n); /* one send; what does not go is kept */
void tfr_conn_flush(struct tfr_conn *conn);

/* transport_reply.c */
void tfr_exchange_free(struct tfr_exchange *x);
void tfr_http_send_fault(struct tfr_conn *conn, enum tfr_http_fault fault, bool head_only);

/* transport_request.c */
bool tfr_http_host_served(const struct tfr_http *http, const struct tfr_head *head);

#endif

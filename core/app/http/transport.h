/* transport.h - strict HTTP/1.1 over TCP and unix sockets: a server on one thread, its connections, requests and replies.
 *
 * Strict: what two readers could take for different requests is refused (docs/decisions/013-own-http-transport.md). No TLS,
 * trailers, upgrades: a proxy in front has those. Thread rule: tfr_http_run is the network thread; all callbacks come on it, and
 * every function here is for it alone, but for tfr_http_wake and tfr_http_stop (any thread) and open and close (none running).
 */
#ifndef TFR_APP_HTTP_TRANSPORT_H
#define TFR_APP_HTTP_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tfr_http;     /* one listening address and its connections */
struct tfr_exchange; /* one request and its reply: there from on_head until the reply has ended or on_gone returned */

struct tfr_http_limits {
#define TFR_HTTP_LIMIT(type, name, value, what) type name;
#include "app/http/http_limits.def"
#undef TFR_HTTP_LIMIT
    /* Names for the Host header beside localhost and the addresses of this machine; "*" is any. Asked for only while
     * listening on a loopback address, where a web page could reach the server under a name of its own (DNS rebinding). */
    const char *const *hosts;
    size_t n_hosts;
};

enum tfr_http_fault {
    TFR_HTTP_FINE,
#define TFR_HTTP_FAULT(name, status, code, text) TFR_HTTP_##name,
#include "app/http/http_faults.def"
#undef TFR_HTTP_FAULT
    TFR_HTTP_N_FAULTS
};

struct tfr_http_header {
    const char *name, *value;
};

/* What the transport calls; each may be NULL but on_request. A callback may reply to any exchange, also to its own. */
struct tfr_http_app {
    void *user;
    /* The head is complete, of the body nothing is given yet. With a reply the body is not read, and the connection is closed
     * if one was announced; without a reply the body is read (after 100 Continue where it was asked for). */
    void (*on_head)(void *user, struct tfr_exchange *x);
    void (*on_request)(void *user, struct tfr_exchange *x); /* the body is there too */
    /* Before the reply had ended the client left (also by closing only its sending half) or did not read: TFR_HTTP_FINE; or the
     * transport ended it: by answering the fault, or, in a stream, by closing. */
    void (*on_gone)(void *user, struct tfr_exchange *x, enum tfr_http_fault fault);
    void (*on_refused)(void *user, const char *peer, enum tfr_http_fault fault); /* answered by the transport itself */
    void (*on_wake)(void *user);                                                 /* after tfr_http_wake */
    void (*on_tick)(void *user);                                                 /* every tick_s */
    void (*on_signal)(void *user, int signal);
    const int *signals; /* for on_signal; blocked by tfr_http_block_signals before any thread started */
    size_t n_signals;
};

struct tfr_http_counts {
    size_t open, busy, held_bytes;                     /* now: connections that have a place, exchanges, bytes of buffers */
    size_t unsent;                                     /* now: connections with a request or a reply under way */
    uint64_t accepted, requests, gone;                 /* since opening; gone: as told by on_gone */
    uint64_t closed_for_room, no_descriptor;           /* idle connections closed for new ones; accepts without a descriptor left */
    uint64_t bytes_in, bytes_out, sends, wakes, turns; /* turns: times the thread woke up */
    uint64_t refused[TFR_HTTP_N_FAULTS];
    bool raised; /* the thread got a higher priority than those that compute */
};

void tfr_http_limits_default(struct tfr_http_limits *limits);
/* Keeps the signals from ending the process: they come by on_signal instead. Call it first thing in main: threads inherit it. */
void tfr_http_block_signals(const int *signals, size_t n);

/* Listens on "127.0.0.1:8080", "[::1]:0", "localhost:8080" or "unix:PATH". 0, or -1 with a sentence in error. The limits' hosts
 * must live as long as the server; everything else is copied. */
int tfr_http_open(struct tfr_http **http, const char *address, const struct tfr_http_limits *limits, const struct tfr_http_app *app,
                  char *error, size_t size);
void tfr_http_close(struct tfr_http *http);                        /* tells on_gone of every exchange that is left */
const char *tfr_http_address(const struct tfr_http *http);         /* as given to open, with the port that it got */
bool tfr_http_is_local(const struct tfr_http *http);               /* a loopback address or a unix socket */
int tfr_http_run(struct tfr_http *http, char *error, size_t size); /* until tfr_http_stop */
void tfr_http_stop(struct tfr_http *http);
void tfr_http_wake(struct tfr_http *http); /* on_wake soon; many wakes may be one */
/* From now on each reply is the last of its connection. New ones are taken all the same: a request on them gets what the
 * application says to it by then, which tells a server that ends from one that is not there. */
void tfr_http_drain(struct tfr_http *http);
void tfr_http_drain_bodies(struct tfr_http *http); /* the time for it is over: requests that are still being sent are refused */
void tfr_http_counts(const struct tfr_http *http, struct tfr_http_counts *counts);

/* The name ("BAD_LENGTH"), status and sentence of a fault; the reason phrase of any status ("Not Found"). */
const char *tfr_http_fault_name(enum tfr_http_fault fault);
int tfr_http_fault_status(enum tfr_http_fault fault);
const char *tfr_http_fault_text(enum tfr_http_fault fault);
const char *tfr_http_reason(int status);

/* The request. Strings are the exchange's. */
const char *tfr_http_method(const struct tfr_exchange *x);
const char *tfr_http_path(const struct tfr_exchange *x);  /* as sent, percent signs and all */
const char *tfr_http_query(const struct tfr_exchange *x); /* after the question mark; "" without one */
/* The value of a header by its name in lower case, NULL without one; of several the first. */
const char *tfr_http_header(const struct tfr_exchange *x, const char *name);
size_t tfr_http_header_count(const struct tfr_exchange *x, const char *name);
bool tfr_http_has_body(const struct tfr_exchange *x); /* one is announced, or there */
/* A NUL byte follows the body. Nothing before on_request, nothing after it has returned. */
const char *tfr_http_body(const struct tfr_exchange *x, size_t *size);
const char *tfr_http_peer(const struct tfr_exchange *x); /* "192.0.2.7", "2001:db8::1", "unix" */
const char *tfr_http_host(const struct tfr_exchange *x); /* whose the address is: "192.0.2.7", "2001:db8:0:1::/64", "unix" */
uint64_t
tfr_http_received_ns(const struct tfr_exchange *x); /* monotonic clock at the last byte of the request (in on_head: of the head) */
void *tfr_http_user(const struct tfr_exchange *x);
void tfr_http_set_user(struct tfr_exchange *x, void *user);
/* In on_head: its memory is counted as this client's, wherever it asks from. 0: as its host's. */
void tfr_http_set_client(struct tfr_exchange *x, uint64_t client);

/* Replies. Content-Length, Transfer-Encoding, Date and Connection are the transport's; a header with a control character in it is
 * left out. After reply and stream_end the exchange is over. What can't be sent at once is copied. A client that is lost meanwhile
 * shows by on_gone later, never inside of these. HEAD gets the head alone. */
void tfr_http_reply(struct tfr_exchange *x, int status, const struct tfr_http_header *headers, size_t n_headers, const void *body,
                    size_t size);
/* Whether its client may still hold so much, should it not read: a reply that does not fit is sent as 503. */
bool tfr_http_fits(const struct tfr_exchange *x, size_t size);
/* A reply whose length is not known yet: chunked, or to the end of the connection for HTTP/1.0. The head goes out at once; each
 * write is one chunk in one send. stream_end sends its data and the end together; size may be 0. */
void tfr_http_stream_begin(struct tfr_exchange *x, int status, const struct tfr_http_header *headers, size_t n_headers);
void tfr_http_stream_write(struct tfr_exchange *x, const void *data, size_t size);
void tfr_http_stream_end(struct tfr_exchange *x, const void *data, size_t size);
bool tfr_http_streaming(const struct tfr_exchange *x); /* between begin and end */

#endif

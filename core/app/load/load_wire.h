/* load_wire.h - one reply of HTTP/1.1 as its bytes come: strict, so that what a server sends wrong is told and not measured.
 *
 * A body of type text/event-stream is taken apart into its events, any other is kept whole. */
#ifndef TFR_APP_LOAD_WIRE_H
#define TFR_APP_LOAD_WIRE_H

#include <tfrun/types.h>

/* The data of one event ("[DONE]" too), NUL behind it. */
typedef void (*tfr_load_event_fn)(void *user, const char *data, size_t size);

enum tfr_load_wire_state {
    TFR_WIRE_HEAD,
    TFR_WIRE_BODY, /* of a length, or until the connection closes */
    TFR_WIRE_CHUNK_SIZE,
    TFR_WIRE_CHUNK,
    TFR_WIRE_CHUNK_END,
    TFR_WIRE_TRAILER,
    TFR_WIRE_DONE,
};

struct tfr_load_buffer {
    char *bytes;
    size_t size, capacity;
};

struct tfr_load_wire {
    enum tfr_load_wire_state state;
    int status;                  /* of HTTP */
    int retry_s;                 /* Retry-After, 0 without */
    bool is_stream, keeps_alive; /* known behind the head */
    int64_t left;                /* of the body or chunk; -1: until the connection closes */
    bool chunk_return;           /* a CR of the framing was the last byte */
    int chunk_digits;
    struct tfr_load_buffer line; /* head, chunk line, line of an event stream: what is not whole yet */
    struct tfr_load_buffer body; /* a whole one; of an event its data */
    size_t n_read;               /* bytes of this reply */
    tfr_load_event_fn event;
    void *user;
    char error[200];
};

/* For the next reply; buffers are kept. The first time of a wire that is all 0. */
void tfr_load_wire_start(struct tfr_load_wire *wire, tfr_load_event_fn event, void *user);
void tfr_load_wire_free(struct tfr_load_wire *wire);
/* False with `error` where it is not HTTP as it should be. Bytes behind the end of the reply are an error too. */
bool tfr_load_wire_feed(struct tfr_load_wire *wire, const char *bytes, size_t size);
/* The connection has closed: false with `error` unless that is how the reply ends. */
bool tfr_load_wire_close(struct tfr_load_wire *wire);

/* Grows a buffer by some bytes and a NUL that does not count; false without memory. */
bool tfr_load_buffer_put(struct tfr_load_buffer *buffer, const char *bytes, size_t size);

#endif

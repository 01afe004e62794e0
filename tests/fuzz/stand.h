/* stand.h - a server on the thread of a target, one turn of its loop at a time, and a client of it. Thread rule: one thread. */
#ifndef TFR_FUZZ_STAND_H
#define TFR_FUZZ_STAND_H

#include "app/http/transport_inner.h"
#include "harness.h"

/* A server that makes one turn of its loop at a time. */
struct tfr_stand {
    struct tfr_http *http;
    struct tfr_http_app app; /* of the server itself; on_wake stops the turn too */
    struct tfr_engine *engine;
    bool holds;     /* the app keeps a request without a reply: nothing more is waited for */
    bool gave_long; /* the app: once for each client, a second one would be more than a reply may be */
    char path[256];
};

struct tfr_stand_reply {
    char *bytes;
    size_t size;
    bool has_ended; /* the server closed */
};

/* On a socket of the process's folder. The callbacks get app->user. */
void tfr_stand_open(struct tfr_stand *stand, const char *name, const struct tfr_http_app *app);
/* One turn of the loop, and one step of the engine where there is one. */
void tfr_stand_turn(struct tfr_stand *stand);
/* A client's descriptor, which never blocks. */
int tfr_stand_connect(const struct tfr_stand *stand);
/* All that the server does with what it has got; what it sends is added to the reply. */
void tfr_stand_settle(struct tfr_stand *stand, int fd, struct tfr_stand_reply *reply);
/* The client leaves, and nothing of it is left; frees the reply. */
void tfr_stand_finish(struct tfr_stand *stand, int fd, struct tfr_stand_reply *reply);

#endif

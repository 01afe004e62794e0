/* route.h - which handler serves a path, who may ask, and what is refused before a body is read. Thread rule: network thread. */
#ifndef TFR_APP_HTTP_ROUTE_H
#define TFR_APP_HTTP_ROUTE_H

#include "app/http/server.h"

enum tfr_route_access { TFR_ROUTE_OPEN, TFR_ROUTE_KEYED }; /* KEYED: with an API key where the server has any */
enum tfr_route_time { TFR_ROUTE_ALWAYS, TFR_ROUTE_READY }; /* READY: not while the model is loaded, or the server drains */
enum tfr_route_log { TFR_ROUTE_QUIET, TFR_ROUTE_LOGGED };

/* A handler replies (reply.h), at once or later (tfr_call_wait). */
typedef void (*tfr_route_fn)(struct tfr_server *server, struct tfr_exchange *x);

struct tfr_route {
    const char *method, *path; /* a path that ends in a star stands for all that begin so */
    const char *name;          /* of the handler */
    tfr_route_fn handler;
    enum tfr_route_access access;
    enum tfr_route_time time;
    enum tfr_route_log log;
    const char *help;
};

const struct tfr_route *tfr_route_table(size_t *n);
/* What follows the path of a route that ends in a star. */
const char *tfr_route_rest(const struct tfr_exchange *x);
/* False after a refusal: the model is being loaded, or the server ends. */
bool tfr_route_is_ready(struct tfr_call *call);
/* Finds the route of a call and refuses what can be refused by the head alone. */
void tfr_route_head(struct tfr_call *call);
/* For a GET that makes work (a POST is asked by tfr_route_head): true after a reply, where a page of another site asks. */
bool tfr_route_refuse_cross_site(struct tfr_exchange *x);

#define TFR_ROUTE(method, path, name, access, time, log, help)                                                                     \
    void tfr_route_##name(struct tfr_server *server, struct tfr_exchange *x);
#include "app/http/routes.def"
#undef TFR_ROUTE

#endif

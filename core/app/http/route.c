/* route.c - see route.h. */
#include "app/http/route.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "app/http/reply.h"
#include "base/status.h"

static const struct tfr_route routes[] = {
#define TFR_ROUTE(method, path, name, access, time, log, help)                                                                     \
    {#method, path, #name, tfr_route_##name, TFR_ROUTE_##access, TFR_ROUTE_##time, TFR_ROUTE_##log, help},
#include "app/http/routes.def"
#undef TFR_ROUTE
};

const struct tfr_route *tfr_route_table(size_t *n) {
    *n = TFR_COUNT_OF(routes);
    return routes;
}

/* Bytes of a route's path that must be equal; all of them, unless it ends in a star. */
static bool fits(const struct tfr_route *route, const char *path) {
    const size_t length = strlen(route->path);
    return route->path[length - 1] == '*' ? strncmp(route->path, path, length - 1) == 0 && path[length - 1] != '\0'
                                          : strcmp(route->path, path) == 0;
}

const char *tfr_route_rest(const struct tfr_exchange *x) {
    return tfr_http_path(x) + strlen(tfr_call_of(x)->route->path) - 1;
}

static bool has_method(const struct tfr_route *route, const char *method) {
    return strcmp(route->method, method) == 0 || (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* The methods of a path, as "GET, HEAD, OPTIONS"; "" where it has none. */
static void list_methods(const char *path, char *text, size_t size) {
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < TFR_COUNT_OF(routes) && n < size; i++) {
        if (fits(&routes[i], path)) {
            const bool is_get = strcmp(routes[i].method, "GET") == 0;
            n += (size_t)snprintf(text + n, size - n, "%s, %s", routes[i].method, is_get ? "HEAD, " : "");
        }
    }
    if (n > 0 && n < size) {
        snprintf(text + n, size - n, "OPTIONS");
    }
}

/* A page of another site makes its reader's browser ask: not unless its origin is listed. */
static bool is_cross_site(const struct tfr_exchange *x) {
    const char *site = tfr_http_header(x, "sec-fetch-site");
    const bool elsewhere = site != NULL && (strcmp(site, "cross-site") == 0 || strcmp(site, "same-site") == 0);
    return elsewhere && tfr_reply_origin(x) == NULL;
}

bool tfr_route_refuse_cross_site(struct tfr_exchange *x) {
    const bool refused = is_cross_site(x);
    if (refused) {
        tfr_reply_error(x, TFR_ERROR_CROSS_SITE, NULL,
                        "a page of another site may not ask this server; --cors-origin names those that may");
    }
    return refused;
}

/* "application/json", with parameters perhaps. */
static bool is_json(const struct tfr_exchange *x) {
    static const char type[] = "application/json";
    const char *given = tfr_http_header(x, "content-type");
    const size_t length = sizeof type - 1;
    return given != NULL && strncasecmp(given, type, length) == 0 &&
           (given[length] == '\0' || given[length] == ';' || given[length] == ' ');
}

bool tfr_route_is_ready(struct tfr_call *call) {
    const int state = atomic_load(&call->server->state);
    if (call->route->time != TFR_ROUTE_READY || state == TFR_SERVER_READY) {
        return true;
    }
    tfr_reply_error(call->exchange, state == TFR_SERVER_LOADING ? TFR_ERROR_LOADING : TFR_ERROR_DRAINING, NULL, NULL);
    return false;
}

/* Who asks, when, and with what. */
static void check_call(struct tfr_call *call) {
    struct tfr_exchange *x = call->exchange;
    const struct tfr_server *server = call->server;
    const bool posts = strcmp(call->route->method, "POST") == 0;
    const struct tfr_http_header challenge = {"WWW-Authenticate", "Bearer"};
    const char *given = tfr_http_header(x, "authorization");
    call->key = tfr_keys_find(server->keys, given);
    tfr_http_set_client(x, (uint64_t)(call->key + 1));
    if (call->route->access == TFR_ROUTE_KEYED && tfr_keys_count(server->keys) > 0 && call->key < 0) {
        struct tfr_refusal refusal = {.error = TFR_ERROR_UNAUTHORIZED};
        if (given != NULL) {
            tfr_refuse(&refusal, TFR_ERROR_UNAUTHORIZED, NULL, "%s",
                       tfr_keys_bears(given) ? "this key is not one of this server's"
                                             : "the Authorization header gives no key: it must be Bearer KEY");
        }
        tfr_reply_refusal(x, &refusal, &challenge, 1);
    } else if (!tfr_route_is_ready(call)) {
        return;                                  /* it has its reply */
    } else if (!posts && tfr_http_has_body(x)) { /* it would be held, perhaps for somebody without a key */
        tfr_reply_error(x, TFR_ERROR_NO_BODY, NULL, NULL);
    } else if (posts && !tfr_route_refuse_cross_site(x) && !is_json(x)) {
        tfr_reply_error(
            x, TFR_ERROR_NOT_JSON, NULL,
            "the body must come as JSON: give Content-Type: application/json (curl: -H 'Content-Type: application/json')");
    }
}

void tfr_route_head(struct tfr_call *call) {
    struct tfr_exchange *x = call->exchange;
    const char *path = tfr_http_path(x), *method = tfr_http_method(x);
    char allowed[64];
    for (size_t i = 0; i < TFR_COUNT_OF(routes) && call->route == NULL; i++) {
        if (fits(&routes[i], path) && has_method(&routes[i], method)) {
            call->route = &routes[i];
        }
    }
    if (call->route != NULL) {
        check_call(call);
        return;
    }
    list_methods(path, allowed, sizeof allowed);
    const struct tfr_http_header allow = {"Allow", allowed};
    if (allowed[0] == '\0') {
        tfr_reply_error(x, TFR_ERROR_NOT_FOUND, NULL, "there is no route %.200s here", path);
    } else if (strcmp(method, "OPTIONS") == 0) {
        tfr_reply_preflight(x, allowed);
    } else {
        struct tfr_refusal refusal;
        tfr_refuse(&refusal, TFR_ERROR_METHOD, NULL, "%.200s has no method %.20s, but %s", path, method, allowed);
        tfr_reply_refusal(x, &refusal, &allow, 1);
    }
}

/* page_route.c - GET / and /offline.js: the page and its worker, with headers that keep everything out that is not of them. */
#include "app/http/page.h"
#include "app/http/reply.h"
#include "app/http/route.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

/* False after a reply. */
static bool is_on(struct tfr_server *server, struct tfr_exchange *x) {
    const bool on = tfr_settings_bool(server->settings, "serve.ui");
    if (!on) {
        tfr_reply_error(x, TFR_ERROR_NOT_FOUND, NULL, "the page is off here (serve.ui)");
    }
    return on;
}

/* A browser that has these bytes already is told so. */
static void reply_file(struct tfr_exchange *x, const char *type, const void *data, size_t size, struct tfr_http_header *headers,
                       size_t n) {
    char tag[24];
    const char *known = tfr_http_header(x, "if-none-match");
    snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)tfr_hash(TFR_HASH_START, data, size));
    headers[n++] = (struct tfr_http_header){"ETag", tag};
    tfr_reply(x, known != NULL && strstr(known, tag) != NULL ? 304 : 200, type, data, size, headers, n);
}

void tfr_route_page(struct tfr_server *server, struct tfr_exchange *x) {
    static const char type[] = "text/html; charset=utf-8";
    struct tfr_http_header headers[8] = {
        {"Content-Security-Policy", tfr_page.policy},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
        {"Cache-Control", "no-cache"},
    };
    if (is_on(server, x)) {
        reply_file(x, type, tfr_page.html, tfr_page.size, headers, 7);
    }
}

void tfr_route_offline(struct tfr_server *server, struct tfr_exchange *x) {
    static const char type[] = "text/javascript; charset=utf-8";
    struct tfr_http_header headers[4] = {
        {"Content-Security-Policy", "default-src 'none'; connect-src 'self'"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-cache"},
    };
    if (is_on(server, x)) {
        reply_file(x, type, tfr_page.offline, tfr_page.offline_size, headers, 3);
    }
}

/* page_route.c - GET / and /offline.js: the page and its worker, with headers that keep everything out that is not of them. */
#include "app/http/page.h"
#include "app/http/reply.h"
#include "app/http/route.h"

/* False after a reply. */
static bool is_on(struct tfr_server *server, struct tfr_exchange *x) {
    const bool on = tfr_settings_bool(server->settings, "serve.ui");
    if (!on) {
        tfr_reply_error(x, TFR_ERROR_NOT_FOUND, NULL, "the page is off here (serve.ui)");
    }
    return on;
}

void tfr_route_page(struct tfr_server *server, struct tfr_exchange *x) {
    static const char type[] = "text/html; charset=utf-8";
    const struct tfr_http_header headers[] = {
        {"Content-Security-Policy", tfr_page.policy},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
        {"Cache-Control", "no-cache"},
    };
    if (is_on(server, x)) {
        tfr_reply(x, 200, type, tfr_page.html, tfr_page.size, headers, sizeof headers / sizeof headers[0]);
    }
}

void tfr_route_offline(struct tfr_server *server, struct tfr_exchange *x) {
    static const char type[] = "text/javascript; charset=utf-8";
    static const struct tfr_http_header headers[] = {
        {"Content-Security-Policy", "default-src 'none'; connect-src 'self'"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-cache"},
    };
    if (is_on(server, x)) {
        tfr_reply(x, 200, type, tfr_page.offline, tfr_page.offline_size, headers, sizeof headers / sizeof headers[0]);
    }
}

/* page_route.c - GET /: the page, with headers that keep everything out that is not of it. */
#include "app/http/page.h"
#include "app/http/reply.h"
#include "app/http/route.h"

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
    if (!tfr_settings_bool(server->settings, "serve.ui")) {
        tfr_reply_error(x, TFR_ERROR_NOT_FOUND, NULL, "the page is off here (serve.ui)");
        return;
    }
    tfr_reply(x, 200, type, tfr_page.html, tfr_page.size, headers, sizeof headers / sizeof headers[0]);
}

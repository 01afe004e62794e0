/* page.c - GET /: the page, with headers that keep everything out that is not of it. */
#include "app/http/page.h"

void tfr_route_page(struct tfr_server *server, struct tfr_exchange *x) {
    (void)server;
    const struct tfr_http_header headers[] = {
        {"Content-Type", "text/html; charset=utf-8"},
        {"Content-Security-Policy", tfr_page.policy},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
        {"Cache-Control", "no-cache"},
    };
    tfr_http_reply(x, 200, headers, sizeof headers / sizeof headers[0], tfr_page.html, tfr_page.size);
}

/* page.h - the page at /: a notebook for the model, one file that is compiled in. */
#ifndef TFR_APP_HTTP_PAGE_H
#define TFR_APP_HTTP_PAGE_H

#include <stddef.h>

#include "app/http/transport.h"

struct tfr_server;

/* Made at build time of the files in core/app/http/page. */
struct tfr_page {
    const unsigned char *html;
    size_t size;
    const char *policy; /* the Content-Security-Policy: nothing but this script and this style, and this server */
};
extern const struct tfr_page tfr_page;

/* GET / */
void tfr_route_page(struct tfr_server *server, struct tfr_exchange *x);

#endif

/* page.h - the page at /: a notebook on the model, one file that is compiled in (core/app/http/page), and the worker that lets a
 * browser keep a copy of it. */
#ifndef TFR_APP_HTTP_PAGE_H
#define TFR_APP_HTTP_PAGE_H

#include <stddef.h>

/* Made at build time. */
struct tfr_page {
    const unsigned char *html;
    size_t size;
    const char *policy;           /* the Content-Security-Policy: nothing but this script and this style, and this server */
    const unsigned char *offline; /* the worker, JavaScript */
    size_t offline_size;
};
extern const struct tfr_page tfr_page;

#endif

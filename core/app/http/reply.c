/* reply.c - see reply.h. */
#include "app/http/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"

enum { MAX_HEADERS = 16 };

const char *tfr_reply_origin(const struct tfr_exchange *x) {
    char *const *origins;
    const size_t n = tfr_settings_list(tfr_call_of(x)->server->settings, "serve.cors_origins", &origins);
    const char *origin = tfr_http_header(x, "origin");
    for (size_t i = 0; i < n && origin != NULL; i++) {
        if (strcmp(origins[i], origin) == 0 || strcmp(origins[i], "*") == 0) {
            return origin;
        }
    }
    return NULL;
}

/* The headers of a reply, as they come together. */
struct headers {
    struct tfr_http_header list[MAX_HEADERS];
    size_t n;
    char elapsed[32];
};

static void add(struct headers *headers, const char *name, const char *value) {
    if (headers->n < MAX_HEADERS && value != NULL) {
        headers->list[headers->n++] = (struct tfr_http_header){name, value};
    }
}

static void add_common(struct headers *headers, const struct tfr_exchange *x, const char *type) {
    const struct tfr_call *call = tfr_call_of(x);
    const char *origin = tfr_reply_origin(x);
    add(headers, "Content-Type", type);
    add(headers, "x-request-id", call->id);
    add(headers, "X-Content-Type-Options", "nosniff");
    if (origin != NULL) {
        add(headers, "Access-Control-Allow-Origin", origin);
        add(headers, "Access-Control-Expose-Headers", "x-request-id, openai-processing-ms, retry-after, retry-after-ms");
        add(headers, "Vary", "Origin");
    }
}

static void add_elapsed(struct headers *headers, const struct tfr_exchange *x) {
    const uint64_t now = tfr_clock_ns(), since = tfr_http_received_ns(x);
    snprintf(headers->elapsed, sizeof headers->elapsed, "%.3f", now > since ? (double)(now - since) / 1e6 : 0);
    add(headers, "openai-processing-ms", headers->elapsed);
}

void tfr_reply(struct tfr_exchange *x, int status, const char *type, const void *body, size_t size,
               const struct tfr_http_header *headers, size_t n_headers) {
    struct tfr_call *call = tfr_call_of(x);
    struct headers all = {.n = 0};
    if (!tfr_http_fits(x, size)) { /* then its metrics and the log have what is sent */
        tfr_reply_error(x, TFR_ERROR_NO_MEMORY, NULL, NULL);
        return;
    }
    add_common(&all, x, type);
    add_elapsed(&all, x);
    for (size_t i = 0; i < n_headers; i++) {
        add(&all, headers[i].name, headers[i].value);
    }
    call->status = status;
    tfr_call_settle(call);
    tfr_http_reply(x, status, all.list, all.n, body, size);
    tfr_call_free(call);
}

static size_t most_bytes(const struct tfr_call *call) {
    return (size_t)tfr_settings_int(call->server->settings, "serve.max_reply");
}

bool tfr_reply_goes_on(const struct tfr_call *call, const struct tfr_json_out *out) {
    return !out->failed && out->size <= most_bytes(call);
}

void tfr_reply_json(struct tfr_exchange *x, int status, struct tfr_json_out *out) {
    static const struct tfr_http_header fresh = {"Cache-Control", "no-store"};
    if (out->failed) {
        tfr_free(out->text);
        tfr_reply_error(x, TFR_ERROR_NO_MEMORY, NULL, NULL);
        return;
    }
    const size_t most = most_bytes(tfr_call_of(x)), size = out->size;
    if (size > most) {
        tfr_free(out->text);
        tfr_reply_error(x, TFR_ERROR_INVALID, NULL, "the answer has at least %zu bytes; at most %zu are sent whole: ask in parts",
                        size, most);
        return;
    }
    tfr_reply(x, status, "application/json", out->text, out->size, &fresh, 1);
    tfr_free(out->text);
}

/* An error whose body finds no memory is its status alone. */
static void reply_body(struct tfr_exchange *x, enum tfr_error error, const char *param, const char *text,
                       const struct tfr_http_header *headers, size_t n_headers) {
    static const struct tfr_http_header soon = {"Retry-After", "2"};
    struct tfr_json_out out = {0};
    const int status = tfr_error_info(error)->status;
    const bool returns = status == 503 && n_headers == 0;
    tfr_error_body(&out, error, param, text);
    tfr_reply(x, status, "application/json", out.text, out.failed ? 0 : out.size, returns ? &soon : headers,
              returns ? 1 : n_headers);
    tfr_free(out.text);
}

void tfr_reply_error(struct tfr_exchange *x, enum tfr_error error, const char *param, const char *format, ...) {
    char text[1024];
    if (format != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
    }
    reply_body(x, error, param, format != NULL ? text : NULL, NULL, 0);
}

void tfr_reply_refusal(struct tfr_exchange *x, const struct tfr_refusal *refusal, const struct tfr_http_header *headers,
                       size_t n_headers) {
    reply_body(x, refusal->error, refusal->param[0] != '\0' ? refusal->param : NULL,
               refusal->text[0] != '\0' ? refusal->text : NULL, headers, n_headers);
}

void tfr_reply_preflight(struct tfr_exchange *x, const char *methods) {
    const bool allowed = tfr_reply_origin(x) != NULL;
    const struct tfr_http_header headers[] = {
        {"Allow", methods},
        {"Access-Control-Allow-Methods", methods},
        {"Access-Control-Allow-Headers", "authorization, content-type, x-request-id"},
        {"Access-Control-Max-Age", "600"},
    };
    tfr_reply(x, 204, NULL, NULL, 0, headers, allowed ? 4 : 1);
}

void tfr_reply_events(struct tfr_exchange *x) {
    struct headers all = {.n = 0};
    add_common(&all, x, "text/event-stream; charset=utf-8");
    add(&all, "Cache-Control", "no-store");
    add(&all, "X-Accel-Buffering", "no");
    add_elapsed(&all, x);
    tfr_call_of(x)->status = 200;
    tfr_http_stream_begin(x, 200, all.list, all.n);
}

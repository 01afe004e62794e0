/* transport_request.c - what the application asks about a request, and the tables of faults and reasons. */
#include <stdio.h>
#include <string.h>

#include "app/http/transport_inner.h"

static const struct {
    const char *name, *text;
    int status;
} faults[TFR_HTTP_N_FAULTS] = {
    [TFR_HTTP_FINE] = {"FINE", "", 200},
#define TFR_HTTP_FAULT(name, status, code, text) [TFR_HTTP_##name] = {#name, text, status},
#include "app/http/http_faults.def"
#undef TFR_HTTP_FAULT
};

const char *tfr_http_fault_name(enum tfr_http_fault fault) {
    return faults[fault].name;
}

int tfr_http_fault_status(enum tfr_http_fault fault) {
    return faults[fault].status;
}

const char *tfr_http_fault_text(enum tfr_http_fault fault) {
    return faults[fault].text;
}

const char *tfr_http_reason(int status) {
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
#define TFR_HTTP_STATUS(code, text) {code, text},
#include "app/http/http_status.def"
#undef TFR_HTTP_STATUS
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Status";
}

const char *tfr_http_method(const struct tfr_exchange *x) {
    return x->head.method;
}

const char *tfr_http_path(const struct tfr_exchange *x) {
    return x->head.path;
}

const char *tfr_http_query(const struct tfr_exchange *x) {
    return x->head.query;
}

const char *tfr_http_header(const struct tfr_exchange *x, const char *name) {
    return tfr_head_line(&x->head, name);
}

size_t tfr_http_header_count(const struct tfr_exchange *x, const char *name) {
    size_t n = 0;
    for (size_t i = 0; i < x->head.n_lines; i++) {
        n += strcmp(x->head.lines[i].name, name) == 0;
    }
    return n;
}

bool tfr_http_has_body(const struct tfr_exchange *x) {
    return x->head.chunked || x->head.length > 0;
}

const char *tfr_http_body(const struct tfr_exchange *x, size_t *size) {
    const bool there = x->complete && x->body.data != NULL;
    *size = there ? x->body.size : 0;
    return there ? x->body.data : "";
}

const char *tfr_http_peer(const struct tfr_exchange *x) {
    return x->peer;
}

const char *tfr_http_host(const struct tfr_exchange *x) {
    return x->host;
}

void tfr_http_set_client(struct tfr_exchange *x, uint64_t client) {
    x->conn->client = client;
}

uint64_t tfr_http_received_ns(const struct tfr_exchange *x) {
    return x->received_ns;
}

void *tfr_http_user(const struct tfr_exchange *x) {
    return x->user;
}

void tfr_http_set_user(struct tfr_exchange *x, void *user) {
    x->user = user;
}

bool tfr_http_streaming(const struct tfr_exchange *x) {
    return x->streaming;
}

/* A web page of anybody's can point a name of its own at 127.0.0.1, and its scripts then read what they get from there. */
bool tfr_http_host_served(const struct tfr_http *http, const struct tfr_head *head) {
    const char *const host = tfr_head_line(head, "host");
    if (!http->local || http->unix_path != NULL || host == NULL || tfr_head_host_is(host, NULL) ||
        tfr_head_host_is(host, http->host)) {
        return true;
    }
    for (size_t i = 0; i < http->limits.n_hosts; i++) {
        const char *const name = http->limits.hosts[i];
        if (strcmp(name, "*") == 0 || tfr_head_host_is(host, name)) {
            return true;
        }
    }
    return false;
}

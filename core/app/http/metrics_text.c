/* metrics_text.c - GET /metrics: the text format of Prometheus, version 0.0.4; with serve.metrics_compat the same numbers once more
 * under vLLM's names. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/http/reply.h"
#include "app/http/route.h"
#include "base/arena.h"

/* One reply under writing. */
struct look {
    const struct tfr_server *server;
    struct tfr_serving serving;
    struct tfr_http_counts counts;
    struct tfr_json_out out; /* plain text, appended to */
    bool vllm;               /* names of vLLM, which have the model as a label */
    char model[256];         /* model_name="...", where vllm */
};

static void put_number(struct tfr_json_out *out, double value) {
    char text[40];
    snprintf(text, sizeof text, fabs(value) < 1e15 && value == floor(value) ? " %.0f\n" : " %.9g\n", value);
    tfr_json_put_raw(out, text);
}

/* A label's value: backslash, quote and line end are escaped; other control characters of a config's name become '?', and what is
 * too long ends behind a whole character: a scraper takes no other text. */
static void escape(char *to, size_t size, const char *from) {
    size_t n = 0;
    for (; *from != '\0' && n + 3 < size; from++) {
        if (*from == '\\' || *from == '"' || *from == '\n') {
            to[n++] = '\\';
        }
        to[n++] = *from == '\n' ? 'n' : (unsigned char)*from < 0x20 || *from == 0x7F ? '?' : *from;
    }
    for (bool is_cut = (*from & 0xC0) == 0x80; is_cut && n > 0;) {
        is_cut = (to[--n] & 0xC0) == 0x80;
    }
    to[n] = '\0';
}

static void put_head(struct look *look, const char *name, const char *type, const char *help) {
    const char *const parts[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        tfr_json_put_raw(&look->out, parts[i]);
    }
}

/* name{labels} value; labels may be empty. */
static void put_line(struct look *look, const char *name, const char *suffix, const char *labels, double value) {
    const bool both = look->vllm && labels[0] != '\0', any = look->vllm || labels[0] != '\0';
    const char *const parts[] = {name,   suffix,        any ? "{" : "", look->vllm ? look->model : "", both ? "," : "",
                                 labels, any ? "}" : ""};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        tfr_json_put_raw(&look->out, parts[i]);
    }
    put_number(&look->out, value);
}

static const char *kind_word(enum tfr_metric_kind kind) {
    return kind == TFR_METRIC_GAUGE ? "gauge" : "counter";
}

static void put_value(struct look *look, const char *name, enum tfr_metric_kind kind, double value, const char *help) {
    put_head(look, name, kind_word(kind), help);
    put_line(look, name, "", "", value);
}

static void put_histogram(struct look *look, const char *name, const struct tfr_metric_histogram *histogram,
                          enum tfr_buckets buckets, const char *help) {
    size_t n;
    const double *bounds = tfr_bucket_bounds(buckets, &n);
    uint64_t total = 0;
    char label[48];
    put_head(look, name, "histogram", help);
    for (size_t i = 0; i < n; i++) {
        total += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        snprintf(label, sizeof label, "le=\"%g\"", bounds[i]);
        put_line(look, name, "_bucket", label, (double)total);
    }
    total += atomic_load_explicit(&histogram->counts[TFR_METRIC_BUCKETS], memory_order_relaxed);
    put_line(look, name, "_bucket", "le=\"+Inf\"", (double)total);
    put_line(look, name, "_sum", "", atomic_load_explicit(&histogram->sum, memory_order_relaxed));
    put_line(look, name, "_count", "", (double)total);
}

static void put_build(struct look *look, const char *name) {
    const struct tfr_server *server = look->server;
    char model[256], labels[512];
    escape(model, sizeof model, server->model);
    snprintf(labels, sizeof labels, "version=\"%s\",model=\"%s\",dtype=\"%s\",isa=\"%s\"", tfr_version(), model,
             tfr_settings_text(server->settings, "runtime.dtype"),
             tfr_isa_within(tfr_settings_text(server->settings, "runtime.isa")));
    put_line(look, name, "", labels, 1);
}

static void put_requests(struct look *look, const char *name) {
    const struct tfr_metrics *metrics = &look->server->metrics;
    char labels[80];
    for (size_t row = 0; row < TFR_METRIC_STATUSES && metrics->statuses[row] != 0; row++) {
        for (size_t i = 0; i < TFR_METRIC_FINISHES; i++) {
            if (metrics->requests[row][i] > 0) {
                snprintf(labels, sizeof labels, "code=\"%d\",finish_reason=\"%s\"", metrics->statuses[row], tfr_metric_finishes[i]);
                put_line(look, name, "", labels, (double)metrics->requests[row][i]);
            }
        }
    }
}

static void put_rejected(struct look *look, const char *name) {
    const struct {
        const char *label;
        uint64_t n;
    } queue[] = {{"reason=\"queue_full\"", look->serving.refused_full},
                 {"reason=\"queue_tokens\"", look->serving.refused_tokens},
                 {"reason=\"queue_wait\"", look->serving.refused_wait}};
    char label[64];
    for (size_t i = 0; i < sizeof queue / sizeof queue[0]; i++) {
        put_line(look, name, "", queue[i].label, (double)queue[i].n);
    }
    for (int fault = TFR_HTTP_FINE + 1; fault < TFR_HTTP_N_FAULTS; fault++) {
        size_t n = (size_t)snprintf(label, sizeof label, "reason=\"http_%s\"", tfr_http_fault_name((enum tfr_http_fault)fault));
        for (size_t i = sizeof "reason=\"http_" - 1; i < n; i++) {
            label[i] = label[i] >= 'A' && label[i] <= 'Z' ? (char)(label[i] | 0x20) : label[i];
        }
        put_line(look, name, "", label, (double)look->counts.refused[fault]);
    }
}

static void put_cancelled(struct look *look, const char *name) {
    put_line(look, name, "", "state=\"waiting\"", (double)look->serving.cancelled_waiting);
    put_line(look, name, "", "state=\"prefill\"", (double)look->serving.cancelled_prefill);
    put_line(look, name, "", "state=\"decode\"", (double)look->serving.cancelled_decode);
}

static void put_own(struct look *look) {
    const struct tfr_serving *s = &look->serving;
    const struct tfr_http_counts *c = &look->counts;
    const struct tfr_metrics *m = &look->server->metrics;
#define TFR_METRIC(name, kind, vllm, value, help) put_value(look, #name, TFR_METRIC_##kind, (double)(value), help);
#define TFR_METRIC_FAMILY(name, kind, vllm, writer, labels, help)                                                                  \
    put_head(look, #name, kind_word(TFR_METRIC_##kind), help);                                                                     \
    writer(look, #name);
#define TFR_METRIC_HISTOGRAM(member, name, vllm, buckets, help) put_histogram(look, #name, &m->member, TFR_BUCKETS_##buckets, help);
#include "app/http/metrics.def"
#undef TFR_METRIC
#undef TFR_METRIC_FAMILY
#undef TFR_METRIC_HISTOGRAM
}

static void put_success(struct look *look) {
    static const char name[] = "vllm:request_success_total";
    const struct tfr_metrics *metrics = &look->server->metrics;
    put_head(look, name, "counter", "requests that ended well");
    for (size_t i = 0; i < TFR_METRIC_FINISHES; i++) {
        const bool is_good = strcmp(tfr_metric_finishes[i], "stop") == 0 || strcmp(tfr_metric_finishes[i], "length") == 0;
        uint64_t n = 0;
        char label[48];
        for (size_t row = 0; row < TFR_METRIC_STATUSES; row++) {
            n += metrics->statuses[row] == 200 ? metrics->requests[row][i] : 0;
        }
        if (is_good) {
            snprintf(label, sizeof label, "finished_reason=\"%s\"", tfr_metric_finishes[i]);
            put_line(look, name, "", label, (double)n);
        }
    }
}

static void put_compatible(struct look *look) {
    const struct tfr_serving *s = &look->serving;
    const struct tfr_http_counts *c = &look->counts;
    const struct tfr_metrics *m = &look->server->metrics;
    char model[200];
    escape(model, sizeof model, look->server->model);
    snprintf(look->model, sizeof look->model, "model_name=\"%s\"", model);
    look->vllm = true;
#define TFR_METRIC(name, kind, vllm, value, help)                                                                                  \
    if ((vllm) != NULL) {                                                                                                          \
        put_value(look, vllm, TFR_METRIC_##kind, (double)(value), help);                                                           \
    }
#define TFR_METRIC_FAMILY(name, kind, vllm, writer, labels, help)
#define TFR_METRIC_HISTOGRAM(member, name, vllm, buckets, help) put_histogram(look, vllm, &m->member, TFR_BUCKETS_##buckets, help);
#include "app/http/metrics.def"
#undef TFR_METRIC
#undef TFR_METRIC_FAMILY
#undef TFR_METRIC_HISTOGRAM
    put_success(look);
    (void)c;
}

void tfr_route_metrics(struct tfr_server *server, struct tfr_exchange *x) {
    static const struct tfr_http_header fresh = {"Cache-Control", "no-store"};
    struct look look = {.server = server};
    if (atomic_load(&server->state) != TFR_SERVER_LOADING) {
        tfr_engine_serving(server->engine, &look.serving);
    }
    tfr_http_counts(server->http, &look.counts);
    put_own(&look);
    if (strcmp(tfr_settings_text(server->settings, "serve.metrics_compat"), "vllm") == 0) {
        put_compatible(&look);
    }
    if (look.out.failed) {
        tfr_reply_error(x, TFR_ERROR_NO_MEMORY, NULL, NULL);
    } else {
        tfr_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", look.out.text, look.out.size, &fresh, 1);
    }
    tfr_free(look.out.text);
}

/* metrics.h - what the server counts beside the engine and the transport, and GET /metrics. Thread rule: network thread, but for
 * tfr_metrics_step (engine's thread). */
#ifndef TFR_APP_HTTP_METRICS_H
#define TFR_APP_HTTP_METRICS_H

#include <stdatomic.h>

#include "base/json.h"

enum { TFR_METRIC_BUCKETS = 16 };

/* Read by one thread while another may count: sums may be a count behind. */
struct tfr_metric_histogram {
    _Atomic uint64_t counts[TFR_METRIC_BUCKETS + 1]; /* the last: above all bounds */
    _Atomic double sum;
};

enum tfr_buckets { TFR_BUCKETS_SECONDS, TFR_BUCKETS_TOKENS };
enum tfr_metric_kind { TFR_METRIC_GAUGE, TFR_METRIC_COUNTER };

enum {
    TFR_METRIC_FINISHES = 5,
    TFR_METRIC_STATUSES = 4 /* 200, 204, 304, 499, and as many as the tables of errors have rows: each status finds one */
#define TFR_ERROR(name, status, type, code, text) +1
#include "app/http/errors.def"
#undef TFR_ERROR
#define TFR_HTTP_FAULT(name, status, code, text) +1
#include "app/http/http_faults.def"
#undef TFR_HTTP_FAULT
};

struct tfr_metrics {
    int64_t created; /* unix time of the start */
    uint64_t split_bytes, inputs;
    /* requests by status, in the order in which the statuses were first seen, and by the words of tfr_metric_finishes */
    int statuses[TFR_METRIC_STATUSES];
    uint64_t requests[TFR_METRIC_STATUSES][TFR_METRIC_FINISHES];
#define TFR_METRIC(name, kind, vllm, value, help)
#define TFR_METRIC_FAMILY(name, kind, vllm, writer, labels, help)
#define TFR_METRIC_HISTOGRAM(member, name, vllm, buckets, help) struct tfr_metric_histogram member;
#include "app/http/metrics.def"
#undef TFR_METRIC
#undef TFR_METRIC_FAMILY
#undef TFR_METRIC_HISTOGRAM
};

struct tfr_call;

extern const char *const tfr_metric_finishes[TFR_METRIC_FINISHES];
const double *tfr_bucket_bounds(enum tfr_buckets buckets, size_t *n);

/* One call that is over; nothing is counted of those that are not logged. */
void tfr_metrics_call(struct tfr_metrics *metrics, const struct tfr_call *call);
/* The time between two tokens. */
void tfr_metrics_gap(struct tfr_metrics *metrics, double seconds);
void tfr_metrics_step(struct tfr_metrics *metrics, int64_t rows);

#endif

/* metrics.c - see metrics.h. */
#include "app/http/metrics.h"

#include <string.h>

#include "app/http/route.h"
#include "base/clock.h"
#include "base/status.h"

const char *const tfr_metric_finishes[TFR_METRIC_FINISHES] = {"none", "stop", "length", "error", "cancelled"};

const double *tfr_bucket_bounds(enum tfr_buckets buckets, size_t *n) {
    static const double seconds[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60};
    static const double tokens[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};
    *n = buckets == TFR_BUCKETS_SECONDS ? TFR_COUNT_OF(seconds) : TFR_COUNT_OF(tokens);
    return buckets == TFR_BUCKETS_SECONDS ? seconds : tokens;
}

/* One thread writes each histogram. */
static void observe(struct tfr_metric_histogram *histogram, enum tfr_buckets buckets, double value) {
    size_t n, at = 0;
    const double *bounds = tfr_bucket_bounds(buckets, &n);
    while (at < n && value > bounds[at]) {
        at++;
    }
    const double sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    atomic_store_explicit(&histogram->sum, sum + value, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->counts[at < n ? at : TFR_METRIC_BUCKETS], 1, memory_order_relaxed);
}

static void observe_known(struct tfr_metric_histogram *histogram, double seconds) {
    if (seconds >= 0) {
        observe(histogram, TFR_BUCKETS_SECONDS, seconds);
    }
}

static void count_request(struct tfr_metrics *metrics, int status, const char *finish) {
    size_t row = 0, column = 0;
    while (row + 1 < TFR_METRIC_STATUSES && metrics->statuses[row] != 0 && metrics->statuses[row] != status) {
        row++;
    }
    metrics->statuses[row] = status;
    for (size_t i = 0; i < TFR_METRIC_FINISHES && finish != NULL; i++) {
        column = strcmp(tfr_metric_finishes[i], finish) == 0 ? i : column;
    }
    metrics->requests[row][column]++;
}

void tfr_metrics_call(struct tfr_metrics *metrics, const struct tfr_call *call) {
    if (call->route != NULL && call->route->log == TFR_ROUTE_QUIET) {
        return;
    }
    count_request(metrics, call->status, call->finish);
    if (call->n_choices > 0) {
        observe_known(&metrics->ttft, call->ttft_s);
        observe_known(&metrics->queue, call->queue_s);
        observe_known(&metrics->prefill, call->prefill_s);
        observe_known(&metrics->decode, call->decode_s);
        observe_known(&metrics->e2e, call->status == 200 ? (double)(tfr_clock_ns() - call->begun_ns) / 1e9 : -1);
    }
}

void tfr_metrics_gap(struct tfr_metrics *metrics, double seconds) {
    observe(&metrics->itl, TFR_BUCKETS_SECONDS, seconds);
}

void tfr_metrics_step(struct tfr_metrics *metrics, int64_t rows) {
    observe(&metrics->rows, TFR_BUCKETS_TOKENS, (double)rows);
}

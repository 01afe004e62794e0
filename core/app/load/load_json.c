/* load_json.c - the runs as one document, schema tfrun-load-1. Times are seconds. */
#include <stdio.h>

#include "app/load/load_report.h"
#include "base/arena.h"
#include "base/json.h"

static void put_histogram(struct tfr_json_out *out, const char *key, const struct tfr_histogram *histogram) {
    static const struct {
        const char *key;
        double share;
    } shares[] = {{"p50", 0.5}, {"p75", 0.75}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}};
    tfr_json_begin(out, key, '{');
    tfr_json_put_int(out, "n", (int64_t)histogram->n);
    if (histogram->n > 0) {
        tfr_json_put_number(out, "mean", tfr_histogram_mean(histogram) / 1e9);
        tfr_json_put_number(out, "min", (double)histogram->min / 1e9);
        for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            tfr_json_put_number(out, shares[i].key, (double)tfr_histogram_percentile(histogram, shares[i].share) / 1e9);
        }
        tfr_json_put_number(out, "max", (double)histogram->max / 1e9);
    }
    tfr_json_end(out, '}');
}

static void put_range(struct tfr_json_out *out, const char *key, struct tfr_load_range range) {
    tfr_json_begin(out, key, '[');
    tfr_json_put_int(out, NULL, range.low);
    tfr_json_put_int(out, NULL, range.high);
    tfr_json_end(out, ']');
}

static void put_workload(struct tfr_json_out *out, const struct tfr_load_report *report) {
    const struct tfr_load_workload *workload = &report->workload;
    tfr_json_begin(out, "workload", '{');
    put_range(out, "prompt_tokens", workload->prompt_tokens);
    put_range(out, "output_tokens", workload->output_tokens);
    tfr_json_put_bool(out, "same_prompts", workload->same_prompts);
    tfr_json_put_int(out, "shared_prefix", workload->shared_prefix);
    tfr_json_put_bool(out, "as_text", workload->as_text);
    tfr_json_put_bool(out, "scoring", workload->scoring);
    tfr_json_put_bool(out, "streamed", !workload->whole && !workload->scoring);
    tfr_json_put_number(out, "disconnect", workload->disconnect);
    tfr_json_put_int(out, "seed", (int64_t)workload->seed);
    tfr_json_put_int(out, "vocab_size", workload->vocab_size);
    tfr_json_end(out, '}');
}

static void put_slo(struct tfr_json_out *out, const struct tfr_load_slo *slo) {
    const struct {
        const char *key;
        uint64_t ns;
    } limits[] = {{"ttft", slo->ttft}, {"itl", slo->itl}, {"tpot", slo->tpot}, {"e2e", slo->e2e}};
    tfr_json_begin(out, "slo", '{');
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].ns > 0) {
            tfr_json_put_number(out, limits[i].key, (double)limits[i].ns / 1e9);
        }
    }
    tfr_json_end(out, '}');
}

static void put_counts(struct tfr_json_out *out, const struct tfr_load_result *result) {
    tfr_json_begin(out, "requests", '{');
    tfr_json_put_int(out, "done", result->n_done);
    tfr_json_put_int(out, "good", result->n_good);
    tfr_json_put_int(out, "refused", result->n_refused);
    tfr_json_put_int(out, "failed", result->n_failed);
    tfr_json_put_int(out, "left", result->n_left);
    tfr_json_put_int(out, "short", result->n_short);
    tfr_json_begin(out, "failed_by_status", '{');
    for (int i = 0; i < TFR_LOAD_MOST_STATUS && result->failed[i].n > 0; i++) {
        char status[16];
        snprintf(status, sizeof status, "%d", result->failed[i].status);
        tfr_json_put_int(out, status, result->failed[i].n);
    }
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
    if (result->n_failed > 0) {
        tfr_json_put_text(out, "first_error", result->error);
    }
}

static void put_run(struct tfr_json_out *out, const struct tfr_load_result *result) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "kind", tfr_load_kind_name(result->kind));
    if (result->kind == TFR_LOAD_CLOSED || result->kind == TFR_LOAD_VICTIM) {
        tfr_json_put_int(out, "clients", result->clients);
    } else {
        tfr_json_put_number(out, "rate", result->rate);
    }
    if (result->percent > 0) {
        tfr_json_put_number(out, "percent_of_capacity", result->percent);
    }
    put_counts(out, result);
    tfr_json_put_number(out, "seconds", result->seconds);
    tfr_json_put_number(out, "window_s", result->window_s);
    tfr_json_put_number(out, "requests_per_s", result->requests_per_s);
    tfr_json_put_number(out, "output_tokens_per_s", result->output_per_s);
    tfr_json_put_number(out, "prompt_tokens_per_s", result->prompt_per_s);
    tfr_json_put_number(out, "good_requests_per_s", result->good_per_s);
    put_histogram(out, "ttft_s", &result->ttft);
    put_histogram(out, "itl_s", &result->itl);
    if (result->kind == TFR_LOAD_VICTIM) {
        put_histogram(out, "itl_alone_s", &result->itl_alone);
    }
    put_histogram(out, "tpot_s", &result->tpot);
    put_histogram(out, "e2e_s", &result->e2e);
    put_histogram(out, "refusal_s", &result->refusal);
    put_histogram(out, "late_s", &result->late);
    tfr_json_put_number(out, "own_cpu_share", result->cpu_share);
    tfr_json_end(out, '}');
}

enum tfr_status tfr_load_report_json(const struct tfr_load_report *report, FILE *file) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-load-1");
    tfr_json_put_text(&out, "version", TFR_VERSION_TEXT);
    tfr_json_put_text(&out, "target", report->target);
    tfr_json_put_text(&out, "model", report->model);
    tfr_json_put_text(&out, "server", report->what);
    tfr_json_put_bool(&out, "in_process", report->is_inside);
    put_workload(&out, report);
    put_slo(&out, &report->slo);
    if (report->capacity > 0) {
        tfr_json_put_number(&out, "capacity_requests_per_s", report->capacity);
    }
    tfr_json_begin(&out, "runs", '[');
    for (size_t i = 0; i < report->n_results; i++) {
        put_run(&out, report->results[i]);
    }
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    char *text = NULL;
    const enum tfr_status status = tfr_json_take(&out, &text);
    if (status == TFR_OK) {
        fprintf(file, "%s\n", text);
    }
    tfr_free(text);
    return status;
}

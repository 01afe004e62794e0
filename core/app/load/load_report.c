/* load_report.c - the runs as a table for people. */
#include "app/load/load_report.h"

#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

enum { FEW_FOR_P95 = 200, FEW_FOR_P99 = 1000 };

const char *tfr_load_kind_name(enum tfr_load_kind kind) {
    static const char *const names[TFR_LOAD_KIND_COUNT] = {"closed", "poisson", "constant", "trace", "victim"};
    return names[kind];
}

static double ms(uint64_t ns) {
    return (double)ns / 1e6;
}

static void put_range(FILE *out, struct tfr_load_range range) {
    fprintf(out, "%" PRId64, range.low);
    if (range.high != range.low) {
        fprintf(out, " to %" PRId64, range.high);
    }
}

/* What the server calls itself may be meant for a terminal. */
static enum tfr_status put_server(const struct tfr_load_report *report, FILE *out) {
    char *server = tfr_format("%s%s%s", report->model, report->what[0] != '\0' ? ", " : "", report->what);
    if (server == NULL) {
        return TFR_RESOURCE;
    }
    tfr_defuse(server);
    fprintf(out, "%s: %s%s\n", report->target, server, report->is_inside ? ", in this process" : "");
    tfr_free(server);
    return TFR_OK;
}

static void put_workload(const struct tfr_load_report *report, FILE *out) {
    const struct tfr_load_workload *workload = &report->workload;
    fprintf(out, "prompts of ");
    put_range(out, workload->prompt_tokens);
    fprintf(out, workload->same_prompts ? " tokens, all the same; " : " tokens, no two the same; ");
    if (workload->shared_prefix > 0) {
        fprintf(out, "their first %" PRId64 " are shared; ", workload->shared_prefix);
    }
    if (workload->scoring) {
        fprintf(out, "scored (echo, logprobs)");
    } else {
        put_range(out, workload->output_tokens);
        fprintf(out, workload->whole ? " new, replies whole" : " new, streamed");
    }
    fprintf(out, "; seed %" PRIu64 "\n", workload->seed);
}

static void put_head(const struct tfr_load_report *report, FILE *out) {
    fprintf(out, "\n%-8s %7s %6s %7s %8s %8s | %6s %6s | %6s %6s %6s %6s | %6s | %6s %6s | %5s %5s %5s", "", "load", "done",
            "req/s", "output/s", "prompt/s", "TTFT50", "95", "ITL50", "95", "99", "max", "TPOT50", "e2e50", "95", "429", "fail",
            "CPU%");
    const struct tfr_load_slo *slo = &report->slo;
    if (slo->ttft + slo->itl + slo->tpot + slo->e2e > 0) {
        fprintf(out, " | %6s %6s", "good/s", "good%");
    }
    fputc('\n', out);
}

static void put_latency(FILE *out, const struct tfr_histogram *histogram, double share) {
    if (histogram->n == 0) {
        fprintf(out, " %6s", "-");
    } else {
        const double value = ms(share > 1 ? histogram->max : tfr_histogram_percentile(histogram, share));
        fprintf(out, " %6.*f", value < 100 ? 2 : value < 10000 ? 1 : 0, value);
    }
}

static void put_run(const struct tfr_load_report *report, const struct tfr_load_result *result, FILE *out) {
    const bool closed = result->kind == TFR_LOAD_CLOSED || result->kind == TFR_LOAD_VICTIM;
    char load[32];
    snprintf(load, sizeof load, closed ? "%.0f" : "%.3g/s", closed ? (double)result->clients : result->rate);
    fprintf(out, "%-8s %7s %6" PRId64 " %7.3g %8.1f %8.1f |", tfr_load_kind_name(result->kind), load, result->n_done,
            result->requests_per_s, result->output_per_s, result->prompt_per_s);
    put_latency(out, &result->ttft, 0.5);
    put_latency(out, &result->ttft, 0.95);
    fprintf(out, " |");
    put_latency(out, &result->itl, 0.5);
    put_latency(out, &result->itl, 0.95);
    put_latency(out, &result->itl, 0.99);
    put_latency(out, &result->itl, 2);
    fprintf(out, " |");
    put_latency(out, &result->tpot, 0.5);
    fprintf(out, " |");
    put_latency(out, &result->e2e, 0.5);
    put_latency(out, &result->e2e, 0.95);
    fprintf(out, " | %5" PRId64 " %5" PRId64 " %5.1f", result->n_refused, result->n_failed, result->cpu_share * 100);
    const struct tfr_load_slo *slo = &report->slo;
    if (slo->ttft + slo->itl + slo->tpot + slo->e2e > 0) {
        const int64_t n = result->n_done + result->n_refused + result->n_failed;
        fprintf(out, " | %6.3g %6.1f", result->good_per_s, n > 0 ? 100 * (double)result->n_good / (double)n : 0);
    }
    if (result->percent > 0) {
        fprintf(out, "  %.0f %% of capacity", result->percent);
    }
    fputc('\n', out);
}

static void put_victim(const struct tfr_load_result *result, FILE *out) {
    static const double shares[] = {0.5, 0.95, 0.99, 2};
    static const char *const names[] = {"p50", "p95", "p99", "max"};
    fprintf(out, "\ngaps of the victim, ms  %8s", "n");
    for (int i = 0; i < 4; i++) {
        fprintf(out, " %6s", names[i]);
    }
    for (int side = 0; side < 2; side++) {
        const struct tfr_histogram *gaps = side == 0 ? &result->itl_alone : &result->itl;
        fprintf(out, "\n  %-20s %9" PRIu64, side == 0 ? "alone" : "beside prompts", gaps->n);
        for (int i = 0; i < 4; i++) {
            put_latency(out, gaps, shares[i]);
        }
    }
    fputc('\n', out);
}

/* What a reader of the row above has to know. */
static void put_notes(const struct tfr_load_result *result, FILE *out) {
    if (result->n_refused > 0) {
        fprintf(out, "  refused within %.2f ms (p50), %.2f ms (p95), %.2f ms (max)\n",
                ms(tfr_histogram_percentile(&result->refusal, 0.5)), ms(tfr_histogram_percentile(&result->refusal, 0.95)),
                ms(result->refusal.max));
    }
    for (int i = 0; i < TFR_LOAD_MOST_STATUS && result->failed[i].n > 0; i++) {
        if (result->failed[i].status > 0) {
            fprintf(out, "  %" PRId64 " failed with status %d\n", result->failed[i].n, result->failed[i].status);
        } else {
            fprintf(out, "  %" PRId64 " failed without a reply\n", result->failed[i].n);
        }
    }
    if (result->n_failed > 0) {
        fprintf(out, "  the first: %s\n", result->error);
    }
    if (result->n_left > 0 && result->kind != TFR_LOAD_VICTIM) {
        fprintf(out, "  %" PRId64 " left before their end, as --disconnect wants\n", result->n_left);
    }
    if (result->n_short > 0) {
        fprintf(out, "  %" PRId64 " ended before as many tokens as were asked for: the server does not know ignore_eos\n",
                result->n_short);
    }
    const uint64_t late = tfr_histogram_percentile(&result->late, 0.99);
    if (late > 10000000) {
        fprintf(out, "  this program itself was late: 1 %% of the requests were sent more than %.0f ms after their time\n",
                ms(late));
    }
}

/* Of requests; there are many more gaps. */
static void put_sample_size(const struct tfr_load_report *report, FILE *out) {
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < report->n_results; i++) {
        least = report->results[i]->n_done < least ? report->results[i]->n_done : least;
    }
    if (least < FEW_FOR_P95) {
        fprintf(out, "p95 of fewer than %d requests is a guess: --requests %d, and %d for p99\n", FEW_FOR_P95, FEW_FOR_P95,
                FEW_FOR_P99);
    }
}

enum tfr_status tfr_load_report_text(const struct tfr_load_report *report, FILE *out) {
    TFR_TRY(put_server(report, out));
    put_workload(report, out);
    put_head(report, out);
    for (size_t i = 0; i < report->n_results; i++) {
        put_run(report, report->results[i], out);
        put_notes(report->results[i], out);
        if (report->results[i]->kind == TFR_LOAD_VICTIM) {
            put_victim(report->results[i], out);
        }
    }
    fprintf(out,
            "\ntimes in ms; TTFT and e2e from the sending, in an open loop from the scheduled arrival\n"
            "rates in the steady window; CPU%% is this program's share of one core%s\n",
            report->is_inside ? ", without the engine" : "");
    if (report->capacity > 0) {
        fprintf(out, "capacity: %.3g requests/s, by the closed loop\n", report->capacity);
    }
    put_sample_size(report, out);
    return TFR_OK;
}

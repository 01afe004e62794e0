/* bench_json.c - a bench as a document, schema tfrun-bench-1. Times are milliseconds, but for those of the start: seconds. */
#include <inttypes.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"
#include "study/bench_document.h"
#include "study/bench_gate.h"

static void put_figure_ranks(struct tfr_json_out *out, const struct tfr_bench_figure *figure, int n_ranks) {
    tfr_json_begin(out, "ranks", '[');
    for (int rank = 0; rank < n_ranks; rank++) {
        const struct tfr_bench_rank *one = &figure->ranks[rank];
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_number(out, "busy_ms", one->busy_s * 1e3);
        tfr_json_put_number(out, "wait_ms", one->wait_s * 1e3);
        tfr_json_put_number(out, "control_ms", one->control_s * 1e3);
        tfr_json_put_number(out, "bytes_sent", one->bytes);
        tfr_json_put_number(out, "messages_sent", one->messages);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
}

static void put_figure(struct tfr_json_out *out, const struct tfr_bench_figure *figure, const struct tfr_bench *bench,
                       const struct tfr_bench *before) {
    const struct tfr_spread *spread = &figure->spread;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "case", tfr_bench_kind_name(figure->what.kind));
    tfr_json_put_int(out, "n", figure->what.n);
    tfr_json_put_number(out, "tokens", figure->tokens);
    tfr_json_put_number(out, "median_ms", spread->median * 1e3);
    tfr_json_put_number(out, "q1_ms", spread->q1 * 1e3);
    tfr_json_put_number(out, "q3_ms", spread->q3 * 1e3);
    tfr_json_put_number(out, "low95_ms", spread->low * 1e3);
    tfr_json_put_number(out, "high95_ms", spread->high * 1e3);
    tfr_json_put_number(out, "coverage", spread->coverage);
    tfr_json_put_number(out, "tokens_per_s", figure->tokens / spread->median);
    tfr_json_put_number(out, "first_ms", figure->first_s * 1e3);
    if (figure->roof_s > 0) {
        tfr_json_put_number(out, "roof_ms", figure->roof_s * 1e3);
        tfr_json_put_number(out, "roof_share", figure->roof_s / spread->median);
    }
    if (figure->predicted_s > 0) {
        tfr_json_put_number(out, "predicted_ms", figure->predicted_s * 1e3);
    }
    if (figure->waited_percent >= 0) {
        tfr_json_put_number(out, "waited_percent", figure->waited_percent);
    }
    const struct tfr_bench_figure *old = before != NULL ? tfr_bench_find(before, &figure->what) : NULL;
    if (old != NULL) {
        tfr_json_put_number(out, "before_ms", old->spread.median * 1e3);
        tfr_json_put_number(out, "before_low95_ms", old->spread.low * 1e3);
        tfr_json_put_number(out, "before_high95_ms", old->spread.high * 1e3);
        tfr_json_put_number(out, "ratio", spread->median / old->spread.median);
        if (old->waited_percent >= 0) {
            tfr_json_put_number(out, "before_waited_percent", old->waited_percent);
        }
        tfr_json_put_text(out, "verdict", tfr_bench_verdict(bench, figure, before, old));
    }
    if (figure->ranks != NULL) {
        put_figure_ranks(out, figure, bench->n_ranks);
    }
    tfr_json_begin(out, "times_ms", '[');
    for (size_t i = 0; i < figure->n_times; i++) {
        tfr_json_put_number(out, NULL, figure->times[i] * 1e3);
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

/* Each case once, as --cases has it. */
static void put_missed(struct tfr_json_out *out, const struct tfr_bench_held *held, size_t n) {
    const struct tfr_bench_held *missed = NULL;
    tfr_json_begin(out, "missed", '[');
    while ((missed = tfr_bench_next_missed(held, n, missed)) != NULL) {
        char name[64];
        snprintf(name, sizeof name, "%s:%" PRId64, tfr_bench_kind_name(missed->what.kind), missed->what.n);
        tfr_json_put_text(out, NULL, name);
    }
    tfr_json_end(out, ']');
}

static void put_gate(struct tfr_json_out *out, const struct tfr_bench *bench) {
    struct tfr_bench_held held[TFR_MOST_HELD];
    const size_t n = tfr_bench_hold(bench, held);
    tfr_json_begin(out, "gate", '[');
    for (size_t i = 0; i < n; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "case", tfr_bench_kind_name(held[i].what.kind));
        tfr_json_put_int(out, "n", held[i].what.n);
        tfr_json_put_text(out, "figure", tfr_bench_limit_name(held[i].figure));
        tfr_json_put_number(out, "is", held[i].value);
        tfr_json_put_number(out, tfr_bench_limit_is_least(held[i].figure) ? "at_least" : "at_most", held[i].limit);
        tfr_json_put_bool(out, "is_held", held[i].is_met);
        tfr_json_put_bool(out, "is_doubtful", held[i].is_doubtful);
        tfr_json_put_bool(out, "is_disturbed", held[i].is_disturbed);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    put_missed(out, held, n);
    tfr_json_begin(out, "without_limit", '[');
    for (size_t i = 0; i < bench->n_figures; i++) {
        if (!tfr_bench_has_limit(bench, &bench->figures[i].what)) {
            tfr_json_begin(out, NULL, '{');
            tfr_json_put_text(out, "case", tfr_bench_kind_name(bench->figures[i].what.kind));
            tfr_json_put_int(out, "n", bench->figures[i].what.n);
            tfr_json_end(out, '}');
        }
    }
    tfr_json_end(out, ']');
}

static void put_ranks(struct tfr_json_out *out, const struct tfr_bench *bench) {
    tfr_json_begin(out, "per_rank", '[');
    for (int rank = 0; rank < bench->n_ranks; rank++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int(out, "rank", rank);
        tfr_json_put_int(out, "peak_memory_bytes", bench->peak_memory_bytes[rank]);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
}

static void put_difference(void *user, const char *what, const char *before, const char *now) {
    struct tfr_json_out *out = user;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "what", what);
    tfr_json_put_text(out, "before", before);
    tfr_json_put_text(out, "now", now);
    tfr_json_end(out, '}');
}

enum tfr_status tfr_bench_json(const struct tfr_bench *bench, const struct tfr_bench *before, char **text) {
    struct tfr_json_out out = {0};
    char digest[24];
    snprintf(digest, sizeof digest, "%016" PRIx64, bench->logits_digest);
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", TFR_BENCH_SCHEMA);
    tfr_json_put_text(&out, "model", bench->model);
    tfr_json_put_text(&out, "machine", bench->machine);
    tfr_json_put_int(&out, "ranks", bench->n_ranks);
    tfr_json_put_int(&out, "threads", bench->n_threads);
    tfr_json_put_int(&out, "repetitions", bench->repetitions);
    tfr_json_put_text(&out, "logits_digest", digest);
    tfr_json_put_number(&out, "load_s", bench->load_s);
    tfr_json_put_number(&out, "first_token_s", bench->first_token_s);
    tfr_json_put_number(&out, "memory_bytes_per_s", bench->memory_rate);
    tfr_json_put_number(&out, "flops_per_s", bench->flop_rate);
    tfr_json_begin(&out, "cases", '[');
    for (size_t i = 0; i < bench->n_figures; i++) {
        put_figure(&out, &bench->figures[i], bench, before);
    }
    tfr_json_end(&out, ']');
    put_ranks(&out, bench);
    if (bench->is_gated) {
        put_gate(&out, bench);
    }
    if (before != NULL) {
        tfr_json_put_bool(&out, "same_digest_as_before", tfr_bench_same_bits(bench, before));
        tfr_json_begin(&out, "differences", '[');
        tfr_bench_differences(bench, before, put_difference, &out);
        tfr_json_end(&out, ']');
    }
    tfr_manifest_put(&out, &bench->manifest);
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

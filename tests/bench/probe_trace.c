/* probe_trace.c - what a trace costs a step: one engine, steps with and without it in turn, compared pair by pair.
 *
 *     probe_trace MODEL_DIR [f32|bf16] [pairs]
 *
 * Decode of one sequence at context 128 (each pair feeds two tokens; which of them is traced changes from pair to pair), then
 * prefill of 64 tokens. Prints medians, and the median of the pairs' ratios with the range that holds it nineteen times in twenty.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rank/rank.h"

#include "bandwidth.h"
#include "usage.h"

enum { CONTEXT = 128, PREFILL = 64, MOST = 2000, N_IDS = 1024, USUAL = 300 };

static int32_t ids[N_IDS];

static void check(enum tfr_status status) {
    if (status != TFR_OK) {
        fprintf(stderr, "probe_trace: %s\n", tfr_last_error());
        exit(tfr_exit_code(status));
    }
}

static double feed_seconds(struct tfr_engine *engine, struct tfr_session *session, int64_t n) {
    const float *logits;
    const struct tfr_feed one = {.session = session, .ids = ids, .n = n, .keep = 1};
    const double start = bench_now();
    check(tfr_engine_feed(engine, &one, 1, &logits));
    return bench_now() - start;
}

/* A step of `rows` behind `context` positions, which are cropped to again. */
static double step_seconds(struct tfr_engine *engine, struct tfr_session *session, int64_t context, int64_t rows,
                           struct tfr_trace *trace) {
    tfr_exec_set_trace(engine->exec, trace, NULL);
    const double seconds = feed_seconds(engine, session, rows);
    check(tfr_session_crop(session, context));
    return seconds;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(const char *what, double *plain, double *traced, double *ratio, int n) {
    const struct bench_summary without = bench_summarise(plain, n), with = bench_summarise(traced, n);
    qsort(ratio, (size_t)n, sizeof *ratio, by_size);
    const int margin = (int)(0.98 * sqrt((double)n)); /* 1.96 sqrt(n) / 2 ranks on either side */
    const int low = n / 2 - margin, high = n / 2 + margin;
    printf("%-24s %9.3f ms without (spread %.0f %%), %9.3f ms with; with / without %.4f (%.4f to %.4f), %d pairs\n", what,
           without.median * 1e3, without.spread * 100, with.median * 1e3, ratio[n / 2], ratio[low < 0 ? 0 : low],
           ratio[high < n ? high : n - 1], n);
}

static void probe(struct tfr_engine *engine, const char *what, int64_t context, int64_t rows, int n) {
    static double plain[MOST], traced[MOST], ratio[MOST];
    struct tfr_session *session;
    check(tfr_session_open(&session, engine, context + rows + 1));
    tfr_exec_set_trace(engine->exec, NULL, NULL);
    if (context > 0) {
        feed_seconds(engine, session, context);
    }
    for (int i = 0; i < 4; i++) {
        step_seconds(engine, session, context, rows, NULL);
    }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < 2; k++) {
            const bool is_traced = (i + k) % 2 != 0;
            (is_traced ? traced : plain)[i] = step_seconds(engine, session, context, rows, is_traced ? engine->trace : NULL);
        }
        ratio[i] = traced[i] / plain[i];
    }
    print_result(what, plain, traced, ratio, n);
    tfr_session_close(session);
}

static const char usage[] = "usage: probe_trace MODEL_DIR [f32|bf16] [pairs]\n"
                            "what a trace costs a step, pair by pair\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    bench_words(argc, 1, 3, usage);
    const int n = (int)bench_number(argc, argv, 3, USUAL, 4, MOST, usage);
    const struct tfr_override overrides[] = {{"runtime.dtype", argc > 2 ? argv[2] : "f32", "probe"},
                                             {"observe.trace", "/dev/null", "probe"},
                                             {"output.force", "true", "probe"}};
    struct tfr_engine *engine;
    check(tfr_engine_open(&engine, argv[1], overrides, 3));
    for (int i = 0; i < N_IDS; i++) {
        ids[i] = (int32_t)((i * 7919 + 13) % tfr_engine_vocab_size(engine));
    }
    printf("%s, %s, %d threads\n", argv[1], overrides[0].value, tfr_engine_threads(engine));
    probe(engine, "decode, context 128", CONTEXT, 1, n);
    probe(engine, "prefill of 64 tokens", 0, PREFILL, n / 4);
    tfr_engine_close(engine);
    return 0;
}

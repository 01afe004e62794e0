/* step_measure.c - runs the kinds of steps that a server has, and takes their time. What is measured is the engine alone: what
 * choosing tokens takes beside it is learned later. */
#include "serve/step_measure.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "session/session.h"

enum { CONTEXT = 128, LATE = 448, LATE_SEQUENCES = 8, SOME_ROWS = 64, MOST_RUNS = 3, PATIENCE_S = 3 };

static const int64_t chunks[] = {16, 32, 64, 128, 256, 512};

struct bench {
    struct tfr_engine *engine;
    struct tfr_session **sessions;
    struct tfr_feed *feeds;
    int32_t *ids; /* [n_positions] */
    int64_t n, n_positions;
    int runs; /* that are timed, after one that is not */
    uint64_t start_ns;
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Sequences that the curve of decoding has points for: 1, 2, 4, ... and the most there can be. */
static int64_t next_count(int64_t n, int64_t most) {
    return n < most && 2 * n > most ? most : 2 * n;
}

static enum tfr_status open_bench(struct bench *bench, struct tfr_engine *engine, int runs) {
    const int64_t most = least(engine->max_batch, engine->max_rows);
    *bench =
        (struct bench){.engine = engine, .n_positions = tfr_engine_n_positions(engine), .runs = runs, .start_ns = tfr_clock_ns()};
    bench->sessions = tfr_alloc((size_t)most, sizeof(struct tfr_session *));
    bench->feeds = tfr_alloc((size_t)most, sizeof *bench->feeds);
    bench->ids = tfr_alloc((size_t)bench->n_positions, sizeof *bench->ids);
    if (bench->sessions == NULL || bench->feeds == NULL || bench->ids == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < bench->n_positions; i++) {
        bench->ids[i] = (int32_t)((uint64_t)(i * 2654435761) % (uint64_t)tfr_engine_vocab_size(engine));
    }
    for (; bench->n < most && tfr_engine_free_slots(engine) > 0; bench->n++) {
        TFR_TRY(tfr_session_open(&bench->sessions[bench->n], engine, bench->n_positions));
    }
    return bench->n > 0 ? TFR_OK : tfr_raise(TFR_USAGE, "open sessions hold all sequences; warm up before they are opened");
}

static void close_bench(struct bench *bench) {
    for (int64_t i = 0; i < bench->n; i++) {
        tfr_session_close(bench->sessions[i]);
    }
    tfr_free(bench->sessions);
    tfr_free(bench->feeds);
    tfr_free(bench->ids);
}

/* The first n sessions hold `past` positions, and take `rows` more each, of which the last `keep` have logits; then they are as
 * before. */
static enum tfr_status run(struct bench *bench, int64_t n, int64_t past, int64_t rows, int64_t keep, double *seconds) {
    const float *logits;
    const bool has_others = tfr_engine_size(bench->engine) > 1; /* who are done when logits come back, not before */
    for (int64_t i = 0; i < n; i++) {
        TFR_TRY(tfr_session_crop(bench->sessions[i], past));
        bench->feeds[i] = (struct tfr_feed){
            .session = bench->sessions[i], .ids = bench->ids + past, .n = rows, .keep = keep == 0 && has_others ? 1 : keep};
    }
    const uint64_t start_ns = tfr_clock_ns();
    TFR_TRY(tfr_engine_feed(bench->engine, bench->feeds, (size_t)n, &logits));
    *seconds = (double)(tfr_clock_ns() - start_ns) / 1e9;
    return TFR_OK;
}

static void sort(double *values, int n) {
    for (int i = 1; i < n; i++) {
        for (int j = i; j > 0 && values[j - 1] > values[j]; j--) {
            const double other = values[j];
            values[j] = values[j - 1];
            values[j - 1] = other;
        }
    }
}

/* On a machine so busy that all runs would take too long, the first of each kind has to do. */
static bool is_late(const struct bench *bench) {
    return tfr_clock_ns() - bench->start_ns > (uint64_t)PATIENCE_S * 1000000000u;
}

/* The median, or the first run where none is timed apart from it. */
static enum tfr_status time_step(struct bench *bench, int64_t n, int64_t past, int64_t rows, int64_t keep, double *seconds) {
    double times[MOST_RUNS];
    const int runs = is_late(bench) ? 0 : bench->runs;
    TFR_TRY(run(bench, n, past, rows, keep, seconds));
    for (int i = 0; i < runs; i++) {
        TFR_TRY(run(bench, n, past, rows, keep, &times[i]));
    }
    if (runs > 0) {
        sort(times, runs);
        *seconds = times[runs / 2];
    }
    return TFR_OK;
}

/* The first session reads so much, and n - 1 others become copies of it. */
static enum tfr_status reach(struct bench *bench, int64_t n, int64_t length) {
    double seconds;
    struct tfr_session *first = bench->sessions[0];
    if (tfr_session_length(first) < length) {
        const int64_t known = tfr_session_length(first);
        TFR_TRY(run(bench, 1, known, length - known, 0, &seconds));
    }
    for (int64_t i = 1; i < n; i++) {
        TFR_TRY(tfr_session_copy(bench->sessions[i], first, length));
    }
    return TFR_OK;
}

static enum tfr_status time_decode(struct bench *bench, struct tfr_step_cost *cost) {
    const int64_t context = least(CONTEXT, bench->n_positions / 2);
    cost->decode_keys = (double)context + 1;
    TFR_TRY(reach(bench, bench->n, context));
    for (int64_t n = 1; n <= bench->n; n = next_count(n, bench->n)) {
        double seconds;
        TFR_TRY(time_step(bench, n, context, 1, 1, &seconds));
        tfr_curve_add(&cost->decode, (double)n, seconds);
    }
    return TFR_OK;
}

static enum tfr_status time_prefill(struct bench *bench, struct tfr_step_cost *cost) {
    const int64_t most = least(bench->engine->max_rows, bench->n_positions);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0] && (chunks[i] <= most || i == 0); i++) {
        const int64_t rows = least(chunks[i], most);
        double seconds;
        TFR_TRY(time_step(bench, 1, 0, rows, 0, &seconds));
        tfr_curve_add(&cost->prefill, (double)rows, seconds);
    }
    return TFR_OK;
}

/* What more keys and logits add. Differences of noisy times: below zero they are none. */
static enum tfr_status time_extras(struct bench *bench, struct tfr_step_cost *cost) {
    const int64_t rows = least(SOME_ROWS, least(bench->engine->max_rows, bench->n_positions / 4 > 0 ? bench->n_positions / 4 : 1));
    const int64_t past = least(LATE, bench->n_positions - rows), n = least(LATE_SEQUENCES, bench->n);
    double early, late, scored, decode;
    TFR_TRY(time_step(bench, 1, 0, rows, 0, &early));
    TFR_TRY(time_step(bench, 1, 0, rows, rows, &scored));
    TFR_TRY(reach(bench, n, past));
    TFR_TRY(time_step(bench, 1, past, rows, 0, &late));
    TFR_TRY(time_step(bench, n, past, 1, 1, &decode));
    const double more_keys = (double)n * ((double)past + 1 - cost->decode_keys);
    const double more_s = decode - tfr_curve_s(&cost->decode, (double)n);
    cost->scored_row_s = scored > early ? (scored - early) / (double)rows : 0;
    cost->prefill_key_s = late > early ? (late - early) / (double)(rows * past) : 0;
    cost->decode_key_s = more_keys > 0 && more_s > 0 ? more_s / more_keys : 0;
    return TFR_OK;
}

static enum tfr_status time_all(struct bench *bench, struct tfr_step_cost *cost) {
    TFR_TRY(time_decode(bench, cost));
    TFR_TRY(time_prefill(bench, cost));
    return bench->runs > 0 && !is_late(bench) ? time_extras(bench, cost) : TFR_OK;
}

static enum tfr_status with_bench(struct tfr_engine *engine, int runs, struct tfr_step_cost *cost) {
    struct bench bench;
    *cost = (struct tfr_step_cost){0};
    enum tfr_status status = open_bench(&bench, engine, runs);
    if (status == TFR_OK) {
        status = time_all(&bench, cost);
    }
    close_bench(&bench);
    return status;
}

enum tfr_status tfr_step_cost_measure(struct tfr_engine *engine, struct tfr_step_cost *cost) {
    return with_bench(engine, MOST_RUNS, cost);
}

enum tfr_status tfr_step_cost_glance(struct tfr_engine *engine, struct tfr_step_cost *cost) {
    TFR_TRY(with_bench(engine, 0, cost)); /* builds what steps need; these times count for nothing */
    return with_bench(engine, 0, cost);
}

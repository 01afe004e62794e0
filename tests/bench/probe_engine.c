/* probe_engine.c - the whole runtime against the machine, in one run: decode against reading the same bytes,
 * prefill in GFLOP/s.
 *
 *     probe_engine MODEL_DIR [f32|bf16|int8|int8w|int4] [repetitions] [context]
 *
 * Decode: one sequence at context 128; every token is followed by one pass over buffers of as many bytes as
 * the packed weights and the kv cache hold, with the same threads, in huge pages. Prefill: 512 tokens, logits
 * of the last. With a context: instead, decode there with kv caches of bf16, f16 and int8 against one of f32, token by token.
 * Prints medians and ratios.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/tfrun.h>

#include "bandwidth.h"
#include "probe_direct.h"
#include "usage.h"

enum { CONTEXT = 128, PREFILL = 512, MOST = 1000, MOST_IDS = 16384 };

static void check(enum tfr_status status) {
    if (status != TFR_OK) {
        fprintf(stderr, "probe_engine: %s\n", tfr_last_error());
        exit(tfr_exit_code(status));
    }
}

static struct tfr_engine *open_engine(const char *path, const char *dtype, const char *kv_dtype) {
    const struct tfr_override overrides[] = {{"runtime.dtype", dtype, "probe"}, {"runtime.kv_dtype", kv_dtype, "probe"}};
    struct tfr_engine *engine;
    check(tfr_engine_open(&engine, path, overrides, 2));
    return engine;
}

static void feed(struct tfr_engine *engine, struct tfr_session *session, const int32_t *ids, int64_t n) {
    const float *logits;
    const struct tfr_feed one = {.session = session, .ids = ids, .n = n, .keep = 1};
    check(tfr_engine_feed(engine, &one, 1, &logits));
}

static double prefill_seconds(struct tfr_engine *engine, const int32_t *ids) {
    struct tfr_session *session;
    check(tfr_session_open(&session, engine, PREFILL));
    double start = bench_now();
    feed(engine, session, ids, PREFILL);
    double seconds = bench_now() - start;
    tfr_session_close(session);
    return seconds;
}

static void print_row(const char *what, struct bench_summary summary, double scale, const char *unit) {
    printf("%-34s %9.3f %s   (best %.3f, spread %.1f %%)\n", what, summary.median * scale, unit, summary.best * scale,
           summary.spread * 100);
}

static void probe_decode(struct tfr_engine *engine, const int32_t *ids, int n) {
    static double token[MOST], stream[MOST], ratio[MOST];
    struct tfr_session *session;
    check(tfr_session_open(&session, engine, CONTEXT + n + 8));
    feed(engine, session, ids, CONTEXT);
    for (int i = 0; i < 4; i++) {
        feed(engine, session, ids + i, 1);
    }
    struct tfr_memory memory = tfr_engine_memory(engine);
    const double share = (double)(CONTEXT + n / 2) / (double)(CONTEXT + n + 8);
    const size_t bytes = (size_t)memory.weights_bytes + (size_t)((double)memory.kv_bytes * share);
    void *data = bench_huge_alloc(bytes);
    memset(data, 1, bytes); /* untouched pages would all be the one page of zeros */
    const struct bench_buffer buffer = {.data = data, .bytes = bytes};
    const int threads = tfr_engine_threads(engine);
    bench_read_seconds(&buffer, 1, threads);
    for (int i = 0; i < n; i++) {
        double start = bench_now();
        feed(engine, session, ids + i % CONTEXT, 1);
        token[i] = bench_now() - start;
        stream[i] = bench_read_seconds(&buffer, 1, threads);
        ratio[i] = token[i] / stream[i];
    }
    print_row("decode, context 128: token", bench_summarise(token, n), 1e3, "ms");
    print_row("reading the same bytes", bench_summarise(stream, n), 1e3, "ms");
    printf("%-34s %9.1f MB, %.1f MB of the process in huge pages\n", "bytes a token", (double)bytes / 1e6,
           (double)bench_huge_bytes() / 1e6);
    print_row("decode / reading, pair by pair", bench_summarise(ratio, n), 1, "x ");
    tfr_session_close(session);
}

enum { BLOCKS = 12, N_SHAPES = 4 };
static const int64_t shapes[N_SHAPES][2] = {{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}}; /* K, N */

static float *numbers(int64_t n) {
    float *value = bench_huge_alloc((size_t)n * sizeof *value);
    for (int64_t i = 0; i < n; i++) {
        value[i] = (float)((i * 2654435761u) >> 8 & 0xffff) / 65536.0f - 0.5f;
    }
    return value;
}

/* oneDNN alone on the four shapes of a block; zero in a build without it. */
static double open_direct(struct probe_direct **direct, int dtype, int n_threads) {
    double flops = 0;
    for (int i = 0; i < N_SHAPES; i++) {
        const int64_t k = shapes[i][0], n = shapes[i][1];
        direct[i] = probe_direct_open(dtype, PREFILL, k, n, n_threads, numbers(PREFILL * k), numbers(k * n), numbers(PREFILL * n));
        flops += 2.0 * PREFILL * (double)(k * n);
    }
    return flops * BLOCKS;
}

static double direct_seconds(struct probe_direct *const *direct) {
    double seconds = 0;
    for (int block = 0; block < BLOCKS; block++) {
        for (int i = 0; i < N_SHAPES; i++) {
            seconds += probe_direct_seconds(direct[i]);
        }
    }
    return seconds;
}

static void probe_prefill(struct tfr_engine *engine, const int32_t *ids, int n, const char *dtype) {
    static double seconds[MOST], alone[MOST], ratio[MOST];
    struct probe_direct *direct[N_SHAPES];
    prefill_seconds(engine, ids);
    const int type = strcmp(dtype, "bf16") == 0 ? TFR_DTYPE_BF16 : TFR_DTYPE_F32;
    const double flops = probe_direct_is_built() ? open_direct(direct, type, tfr_engine_threads(engine)) : 0;
    for (int i = 0; i < n; i++) {
        seconds[i] = prefill_seconds(engine, ids);
        alone[i] = flops > 0 ? direct_seconds(direct) : 0;
        ratio[i] = alone[i] / seconds[i];
    }
    print_row("prefill of 512 tokens", bench_summarise(seconds, n), 1e3, "ms");
    if (flops > 0) {
        struct bench_summary summary = bench_summarise(alone, n);
        print_row("oneDNN alone, the same linears", summary, 1e3, "ms");
        printf("%-34s %9.1f GFLOP/s\n", "oneDNN alone", flops / summary.median / 1e9);
        print_row("oneDNN alone / whole prefill", bench_summarise(ratio, n), 1, "  ");
    }
}

static void probe_caches(const char *path, const char *dtype, const int32_t *ids, int n, int context) {
    static const char *const kinds[] = {"f32", "bf16", "f16", "int8"};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    static double token[KINDS][MOST], ratio[KINDS][MOST];
    struct tfr_engine *engine[KINDS];
    struct tfr_session *session[KINDS];
    for (int k = 0; k < KINDS; k++) {
        engine[k] = open_engine(path, dtype, kinds[k]);
        check(tfr_session_open(&session[k], engine[k], context + n));
        feed(engine[k], session[k], ids, context);
    }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < KINDS; k++) {
            const double start = bench_now();
            feed(engine[k], session[k], ids + i, 1);
            token[k][i] = bench_now() - start;
            ratio[k][i] = token[k][i] / token[0][i];
        }
    }
    printf("decode, %d to %d tokens in the cache\n", context, context + n);
    for (int k = 0; k < KINDS; k++) {
        char text[64];
        snprintf(text, sizeof text, "a token, %s kv cache", kinds[k]);
        print_row(text, bench_summarise(token[k], n), 1e3, "ms");
        snprintf(text, sizeof text, "%s / f32, pair by pair", kinds[k]);
        print_row(text, bench_summarise(ratio[k], n), 1, "x ");
        tfr_session_close(session[k]);
        tfr_engine_close(engine[k]);
    }
}

static const char usage[] =
    "usage: probe_engine MODEL_DIR [f32|bf16|int8|int8w|int4] [repetitions] [context]\n"
    "decode against reading the same bytes, prefill in GFLOP/s; with a context: decode there by type of the kv cache\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    bench_words(argc, 1, 4, usage);
    const char *dtype = argc > 2 ? argv[2] : "f32";
    const int n = (int)bench_number(argc, argv, 3, 60, 1, MOST, usage),
              context = (int)bench_number(argc, argv, 4, 0, 0, MOST_IDS, usage);
    struct tfr_engine *engine = open_engine(argv[1], dtype, "f32");
    static int32_t ids[MOST_IDS];
    for (int i = 0; i < MOST_IDS; i++) {
        ids[i] = (int32_t)((i * 7919 + 13) % tfr_engine_vocab_size(engine));
    }
    printf("%s, %s, %d threads\n", argv[1], dtype, tfr_engine_threads(engine));
    if (context > 0) {
        tfr_engine_close(engine);
        probe_caches(argv[1], dtype, ids, n, context);
        return 0;
    }
    probe_decode(engine, ids, n);
    probe_prefill(engine, ids, n > 12 ? 12 : n, dtype);
    tfr_engine_close(engine);
    return 0;
}

/* probe_steps.c - what steps cost, and the tokens per second that these costs allow a server: the yardstick of
 * scripts/check_serving.
 *
 *     probe_steps MODEL_DIR [f32|bf16] [prompt] [output] [repetitions] [sequences,...]
 *
 * A prompt of one sequence in a step of its own, and a step of one token for each of 1, 4, 8, 16 and 32 sequences in the middle of
 * their answers, repetitions interleaved. Of n clients that each want `output` tokens again and again, nothing can serve more than
 * n * output tokens in n prompts and output - 1 such steps (the first token comes with the prompt). Sampling is not counted. JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/tfrun.h>

#include "bandwidth.h"
#include "usage.h"

enum { MOST_SEQUENCES = 64, MOST_SIZES = 16, MOST = 200 };

struct probe {
    struct tfr_engine *engine;
    struct tfr_session *prompted, *sessions[MOST_SEQUENCES];
    int32_t *ids; /* prompt + output of them for each sequence */
    int64_t prompt, output;
    int sizes[MOST_SIZES], n_sizes, n_sessions, repetitions;
    double prefill[MOST], decode[MOST_SIZES][MOST];
};

static void check(enum tfr_status status) {
    if (status != TFR_OK) {
        fprintf(stderr, "probe_steps: %s\n", tfr_last_error());
        exit(tfr_exit_code(status));
    }
}

static double feed(struct probe *probe, struct tfr_session *const *sessions, int n, const int32_t *ids, int64_t n_ids) {
    struct tfr_feed feeds[MOST_SEQUENCES];
    const float *logits;
    for (int i = 0; i < n; i++) {
        feeds[i] =
            (struct tfr_feed){.session = sessions[i], .ids = ids + i * (probe->prompt + probe->output), .n = n_ids, .keep = 1};
    }
    const double start = bench_now();
    check(tfr_engine_feed(probe->engine, feeds, (size_t)n, &logits));
    return bench_now() - start;
}

/* Sequences in the middle of their answers, all different. */
static void open_sessions(struct probe *probe) {
    const int64_t each = probe->prompt + probe->output, middle = probe->prompt + probe->output / 2;
    probe->ids = calloc((size_t)(each * MOST_SEQUENCES), sizeof *probe->ids);
    for (int64_t i = 0; probe->ids != NULL && i < each * MOST_SEQUENCES; i++) {
        probe->ids[i] = (int32_t)((i * i * 31 + i * 17) % tfr_engine_vocab_size(probe->engine));
    }
    check(probe->ids != NULL ? TFR_OK : TFR_RESOURCE);
    check(tfr_session_open(&probe->prompted, probe->engine, each));
    for (int i = 0; i < probe->n_sessions; i++) {
        check(tfr_session_open(&probe->sessions[i], probe->engine, each));
        feed(probe, &probe->sessions[i], 1, probe->ids + i * each, middle);
    }
}

/* Steps of every kind in turn; the first turn warms up. */
static void measure(struct probe *probe) {
    for (int turn = -1; turn < probe->repetitions; turn++) {
        const int at = turn < 0 ? 0 : turn;
        check(tfr_session_crop(probe->prompted, 0));
        probe->prefill[at] = feed(probe, &probe->prompted, 1, probe->ids, probe->prompt);
        for (int size = 0; size < probe->n_sizes; size++) {
            const int n = probe->sizes[size];
            probe->decode[size][at] = feed(probe, probe->sessions, n, probe->ids, 1);
            for (int i = 0; i < n; i++) {
                check(tfr_session_crop(probe->sessions[i], probe->prompt + probe->output / 2));
            }
        }
    }
}

static void print(struct probe *probe, const char *dtype) {
    const struct bench_summary prefill = bench_summarise(probe->prefill, probe->repetitions);
    printf("{\"dtype\":\"%s\",\"prompt\":%lld,\"output\":%lld,\"repetitions\":%d,\"prefill_ms\":%.3f,\"prefill_spread\":%.3f,"
           "\"steps\":[",
           dtype, (long long)probe->prompt, (long long)probe->output, probe->repetitions, prefill.median * 1e3, prefill.spread);
    for (int size = 0; size < probe->n_sizes; size++) {
        const struct bench_summary decode = bench_summarise(probe->decode[size], probe->repetitions);
        const double n = probe->sizes[size], seconds = n * prefill.median + (double)(probe->output - 1) * decode.median;
        printf("%s{\"sequences\":%d,\"ms\":%.3f,\"spread\":%.3f,\"allowed_tokens_per_s\":%.2f}", size > 0 ? "," : "",
               probe->sizes[size], decode.median * 1e3, decode.spread, n * (double)probe->output / seconds);
    }
    printf("]}\n");
}

/* "8,16": the numbers, and the largest of them as the number of sessions. False for what is no such list. */
static bool take_sizes(struct probe *probe, const char *words) {
    while (probe->n_sizes < MOST_SIZES) {
        char *end;
        const long size = strtol(words, &end, 10);
        if (end == words || size < 1 || size > MOST_SEQUENCES) {
            return false;
        }
        probe->sizes[probe->n_sizes++] = (int)size;
        probe->n_sessions = size > probe->n_sessions ? (int)size : probe->n_sessions;
        if (*end == '\0') {
            return true;
        }
        words = end + (*end == ',');
    }
    return false;
}

static const char usage[] = "usage: probe_steps MODEL_DIR [f32|bf16] [prompt] [output] [repetitions] [sequences,...]\n"
                            "what steps cost, and the tokens per second that they allow a server; JSON\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    static struct probe probe;
    const char *dtype = argc > 2 ? argv[2] : "bf16";
    bench_words(argc, 1, 6, usage);
    probe.prompt = bench_number(argc, argv, 3, 128, 1, INT32_MAX, usage);
    probe.output = bench_number(argc, argv, 4, 64, 2, INT32_MAX, usage);
    probe.repetitions = (int)bench_number(argc, argv, 5, 20, 1, MOST, usage);
    if (!take_sizes(&probe, argc > 6 ? argv[6] : "1,4,8,16,32")) {
        return bench_misuse(usage);
    }
    char most[16];
    snprintf(most, sizeof most, "%d", probe.n_sessions + 1);
    const struct tfr_override overrides[] = {{"runtime.dtype", dtype, "probe"}, {"runtime.max_batch", most, "probe"}};
    check(tfr_engine_open(&probe.engine, argv[1], overrides, 2));
    open_sessions(&probe);
    measure(&probe);
    print(&probe, dtype);
    tfr_engine_close(probe.engine);
    return 0;
}

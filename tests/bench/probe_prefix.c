/* probe_prefix.c - what cached beginnings of prompts are worth, and what they cost where nobody begins like another.
 *
 *     probe_prefix MODEL_DIR [repetitions] [cpu] [KEY=VALUE...]
 *
 * Prompts are made up. What is compared is interleaved; medians, and the ratio of pairs. cpu: the processor's time of this process
 * in place of the clock's, for a machine that has other work; with runtime.threads=1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tfrun/tfrun.h>

#include "bandwidth.h"
#include "usage.h"

enum { PROMPT = 896, CACHED = 832, SHORT = 128, SAMPLED = 512, AT_ONCE = 8, ENDINGS = 4, ENDING = 12, MOST = 100 };

static bool by_cpu;
static int32_t fresh_id; /* no two prompts are alike unless they are meant to be */

static void check(enum tfr_status status, const char *words) {
    if (status != TFR_OK) {
        fprintf(stderr, "probe_prefix: %s\n", words != NULL ? words : tfr_last_error());
        exit(tfr_exit_code(status));
    }
}

static double now(void) {
    struct timespec time;
    if (!by_cpu) {
        return bench_now();
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void make_ids(const struct tfr_engine *engine, int32_t *ids, int from, int n) {
    fresh_id++;
    for (int i = from; i < n; i++) {
        ids[i] = (int32_t)(((int64_t)i * i * 31 + i * 17 + (int64_t)fresh_id * 7919) % tfr_engine_vocab_size(engine));
    }
}

static struct tfr_request *ask(struct tfr_engine *engine, const int32_t *ids, size_t n, const char *settings, bool no_prefix) {
    const struct tfr_prompt prompt = {.ids = ids, .n_ids = n};
    const struct tfr_request_terms terms = {.no_prefix = no_prefix};
    struct tfr_params *params;
    struct tfr_request *request;
    check(tfr_params_parse_json(engine, settings, strlen(settings), &params), NULL);
    check(tfr_request_submit_on(engine, &prompt, params, &terms, &request), NULL);
    tfr_params_free(params);
    return request;
}

/* Until all of n have ended; the last one's statistics. */
static struct tfr_request_stats finish(struct tfr_engine *engine, struct tfr_request **requests, int n) {
    struct tfr_request_stats stats = {0};
    for (int n_ended = 0; n_ended < n;) {
        struct tfr_step_info info;
        struct tfr_event event;
        check(tfr_engine_step(engine, &info), NULL);
        for (int i = 0; i < n; i++) {
            while (tfr_request_poll(requests[i], &event)) {
                if (event.kind == TFR_EVENT_END) {
                    check(event.status, event.error);
                    stats = event.stats;
                    n_ended++;
                }
            }
        }
    }
    for (int i = 0; i < n; i++) {
        tfr_request_close(requests[i]);
    }
    return stats;
}

static struct tfr_request_stats run(struct tfr_engine *engine, const int32_t *ids, size_t n, const char *settings, bool no_prefix) {
    struct tfr_request *request = ask(engine, ids, n, settings, no_prefix);
    return finish(engine, &request, 1);
}

static double first_token(struct tfr_engine *engine, const int32_t *ids, size_t n, bool no_prefix, size_t cached) {
    const double start = now();
    const struct tfr_request_stats stats = run(engine, ids, n, "{\"max_tokens\": 1}", no_prefix);
    if (stats.cached_tokens != cached) {
        fprintf(stderr, "probe_prefix: %zu cached tokens, not %zu\n", stats.cached_tokens, cached);
        exit(6);
    }
    return now() - start;
}

static void print(const char *what, double *seconds, int n) {
    const struct bench_summary summary = bench_summarise(seconds, n);
    printf("%-62s %9.2f ms  (spread %.1f %%)\n", what, summary.median * 1e3, summary.spread * 100);
}

static void measure_first_tokens(struct tfr_engine *engine, int repetitions) {
    static double none[MOST], copied[MOST], moved[MOST];
    int32_t ids[PROMPT], other[PROMPT];
    for (int i = -1; i < repetitions; i++) { /* the first is not counted */
        double *const to[] = {&none[i < 0 ? 0 : i], &copied[i < 0 ? 0 : i], &moved[i < 0 ? 0 : i]};
        make_ids(engine, ids, 0, PROMPT);
        *to[0] = first_token(engine, ids, PROMPT, true, 0);
        first_token(engine, ids, CACHED + 1, false, 0);
        *to[2] = first_token(engine, ids, PROMPT, false, CACHED); /* nothing was behind it */
        memcpy(other, ids, sizeof ids);
        make_ids(engine, other, CACHED, PROMPT);
        *to[1] = first_token(engine, other, PROMPT, false, CACHED); /* the one before went on otherwise */
    }
    printf("first token of a prompt of %d tokens, of which are cached\n", PROMPT);
    print("  none", none, repetitions);
    print("  832, copied from a sequence that goes on otherwise", copied, repetitions);
    print("  832, moved from a sequence that ends there", moved, repetitions);
}

static double all_fresh(struct tfr_engine *engine, bool no_prefix) {
    struct tfr_request *requests[AT_ONCE];
    int32_t ids[SHORT];
    const double start = now();
    for (int i = 0; i < AT_ONCE; i++) {
        make_ids(engine, ids, 0, SHORT);
        requests[i] = ask(engine, ids, SHORT, "{\"max_tokens\": 32}", no_prefix);
    }
    finish(engine, requests, AT_ONCE);
    return now() - start;
}

static void measure_cost(struct tfr_engine *engine, int repetitions) {
    static double with[MOST], without[MOST], ratio[MOST];
    all_fresh(engine, false);
    all_fresh(engine, false);
    all_fresh(engine, false);
    for (int i = 0; i < repetitions; i++) {
        const bool first = i % 2 == 0;
        without[i] = first ? all_fresh(engine, true) : 0;
        with[i] = all_fresh(engine, false);
        without[i] = first ? without[i] : all_fresh(engine, true);
        ratio[i] = with[i] / without[i];
    }
    printf("%d requests at once, %d tokens and 32 new ones, none like another\n", AT_ONCE, SHORT);
    print("  without a cache", without, repetitions);
    print("  each looks and leaves its sequence", with, repetitions);
    printf("  ratio of pairs %.4f\n", bench_summarise(ratio, repetitions).median);
}

static void measure_samples(struct tfr_engine *engine, int repetitions) {
    static double one[MOST], eight[MOST], apart[MOST];
    int32_t ids[SAMPLED];
    for (int i = -1; i < repetitions; i++) {
        const int at = i < 0 ? 0 : i;
        struct tfr_request *requests[AT_ONCE];
        make_ids(engine, ids, 0, SAMPLED);
        double start = now();
        run(engine, ids, SAMPLED, "{\"max_tokens\": 1, \"temperature\": 1}", true);
        one[at] = now() - start;
        start = now();
        run(engine, ids, SAMPLED, "{\"max_tokens\": 1, \"temperature\": 1, \"num_return_sequences\": 8}", true);
        eight[at] = now() - start;
        start = now();
        make_ids(engine, ids, 0, SAMPLED);
        for (int k = 0; k < AT_ONCE; k++) {
            requests[k] = ask(engine, ids, SAMPLED, "{\"max_tokens\": 1, \"temperature\": 1}", false);
        }
        finish(engine, requests, AT_ONCE);
        apart[at] = now() - start;
    }
    printf("the first token of samples of a prompt of %d tokens\n", SAMPLED);
    print("  one", one, repetitions);
    print("  eight of one request", eight, repetitions);
    print("  eight requests, which share what the first one reads", apart, repetitions);
}

static double score(struct tfr_engine *engine, int32_t (*ids)[SAMPLED + ENDING], bool no_prefix) {
    static const char scoring[] = "{\"max_tokens\": 1, \"logprobs\": 1, \"prompt_logprobs\": true}";
    struct tfr_request *requests[ENDINGS];
    const double start = now();
    for (int k = 0; k < ENDINGS; k++) {
        requests[k] = ask(engine, ids[k], SAMPLED + ENDING, scoring, no_prefix);
    }
    finish(engine, requests, ENDINGS);
    return now() - start;
}

/* What an evaluation harness asks: how probable is each of several endings behind one context. */
static void measure_scores(struct tfr_engine *engine, int repetitions) {
    static double with[MOST], without[MOST];
    int32_t ids[ENDINGS][SAMPLED + ENDING];
    for (int i = -1; i < repetitions; i++) {
        make_ids(engine, ids[0], 0, SAMPLED);
        for (int k = 0; k < ENDINGS; k++) {
            memmove(ids[k], ids[0], SAMPLED * sizeof **ids);
            make_ids(engine, ids[k], SAMPLED, SAMPLED + ENDING);
        }
        without[i < 0 ? 0 : i] = score(engine, ids, true);
        with[i < 0 ? 0 : i] = score(engine, ids, false);
    }
    printf("scores of %d endings of %d tokens behind one context of %d tokens\n", ENDINGS, ENDING, SAMPLED);
    print("  each read for itself", without, repetitions);
    print("  the context read and scored once", with, repetitions);
}

static const char usage[] = "usage: probe_prefix MODEL_DIR [repetitions] [cpu] [KEY=VALUE...]\n"
                            "what cached beginnings of prompts are worth, and what they cost\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    struct tfr_override overrides[16] = {
        {"runtime.max_batch", "32", "probe"}, {"sampling.ignore_eos", "true", "probe"}, {"serve.max_queue_ms", "1000000", "probe"}};
    struct tfr_engine *engine;
    size_t n = 3;
    bench_words(argc, 1, 15, usage);
    const int repetitions = (int)bench_number(argc, argv, 2, 7, 1, MOST, usage);
    for (int i = 3; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        const bool is_cpu = strcmp(argv[i], "cpu") == 0;
        if (!is_cpu && value == NULL) {
            return bench_misuse(usage);
        }
        by_cpu = by_cpu || is_cpu;
        if (value != NULL) {
            *value = '\0';
            overrides[n++] = (struct tfr_override){argv[i], value + 1, "probe"};
        }
    }
    check(tfr_engine_open(&engine, argv[1], overrides, n), NULL);
    check(tfr_engine_warm(engine, NULL, NULL), NULL);
    measure_first_tokens(engine, repetitions);
    measure_cost(engine, repetitions);
    measure_samples(engine, repetitions);
    measure_scores(engine, repetitions);
    tfr_engine_close(engine);
    return 0;
}

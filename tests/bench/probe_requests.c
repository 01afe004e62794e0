/* probe_requests.c - what company is worth: N requests one after the other against the same N at once, in one
 * run.
 *
 *     probe_requests MODEL_DIR [requests] [settings] [repetitions] [threads]
 *
 * Prompts of 32 tokens. Settings are a JSON object, by default 4 beams and 16 new tokens. Repetitions are
 * interleaved; the first is not counted. Prints medians and the ratio; ids and digests of both must be the
 * same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/tfrun.h>

#include "bandwidth.h"
#include "usage.h"

enum { PROMPT = 32, MOST_REQUESTS = 64, MOST = 100 };

static void check(enum tfr_status status, const char *words) {
    if (status != TFR_OK) {
        fprintf(stderr, "probe_requests: %s\n", words != NULL ? words : tfr_last_error());
        exit(tfr_exit_code(status));
    }
}

static struct tfr_request *submit(struct tfr_engine *engine, struct tfr_params *params, int index) {
    int32_t ids[PROMPT];
    for (int i = 0; i < PROMPT; i++) {
        ids[i] = (int32_t)((i * i * 31 + i * 17 + index * 101) % tfr_engine_vocab_size(engine));
    }
    const struct tfr_prompt prompt = {.ids = ids, .n_ids = PROMPT};
    struct tfr_request *request;
    check(tfr_request_submit(engine, &prompt, params, &request), NULL);
    return request;
}

/* Until all of n have ended; their digests. */
static void finish(struct tfr_engine *engine, struct tfr_request **requests, int n, uint64_t *digests) {
    for (int n_ended = 0; n_ended < n;) {
        struct tfr_step_info info;
        struct tfr_event event;
        check(tfr_engine_step(engine, &info), NULL);
        for (int i = 0; i < n; i++) {
            while (tfr_request_poll(requests[i], &event)) {
                if (event.kind == TFR_EVENT_END) {
                    check(event.status, event.error);
                    digests[i] = event.stats.logits_digest;
                    n_ended++;
                }
            }
        }
    }
    for (int i = 0; i < n; i++) {
        tfr_request_close(requests[i]);
    }
}

static double one_by_one(struct tfr_engine *engine, struct tfr_params *params, int n, uint64_t *digests) {
    const double start = bench_now();
    for (int i = 0; i < n; i++) {
        struct tfr_request *request = submit(engine, params, i);
        finish(engine, &request, 1, &digests[i]);
    }
    return bench_now() - start;
}

static double at_once(struct tfr_engine *engine, struct tfr_params *params, int n, uint64_t *digests) {
    struct tfr_request *requests[MOST_REQUESTS];
    const double start = bench_now();
    for (int i = 0; i < n; i++) {
        requests[i] = submit(engine, params, i);
    }
    finish(engine, requests, n, digests);
    return bench_now() - start;
}

static void measure(struct tfr_engine *engine, struct tfr_params *params, int n, int repetitions) {
    static double alone[MOST], together[MOST], ratio[MOST];
    uint64_t a[MOST_REQUESTS], b[MOST_REQUESTS];
    one_by_one(engine, params, n, a);
    at_once(engine, params, n, b);
    for (int i = 0; i < repetitions; i++) {
        alone[i] = one_by_one(engine, params, n, a);
        together[i] = at_once(engine, params, n, b);
        ratio[i] = alone[i] / together[i];
        if (memcmp(a, b, (size_t)n * sizeof *a) != 0) {
            check(TFR_CHECK, "the bits are not those of each alone");
        }
    }
    printf("%d requests one after the other   %9.1f ms\n", n, bench_summarise(alone, repetitions).median * 1e3);
    printf("%d requests at once               %9.1f ms\n", n, bench_summarise(together, repetitions).median * 1e3);
    const struct bench_summary summary = bench_summarise(ratio, repetitions);
    printf("ratio                            %9.2f      (spread %.1f %%), same bits\n", summary.median, summary.spread * 100);
}

static const char usage[] = "usage: probe_requests MODEL_DIR [requests] [settings] [repetitions] [threads]\n"
                            "N requests one after the other against the same N at once; settings are a JSON object\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    bench_words(argc, 1, 5, usage);
    const int n = (int)bench_number(argc, argv, 2, 8, 1, MOST_REQUESTS, usage);
    const int repetitions = (int)bench_number(argc, argv, 4, 5, 1, MOST, usage);
    const char *settings = argc > 3 ? argv[3] : "{\"num_beams\": 4, \"max_tokens\": 16}";
    const struct tfr_override overrides[] = {{"runtime.max_batch", "64", "probe"},
                                             {"sampling.ignore_eos", "true", "probe"},
                                             {"runtime.threads", argc > 5 ? argv[5] : "auto", "probe"}};
    struct tfr_engine *engine;
    struct tfr_params *params;
    check(tfr_engine_open(&engine, argv[1], overrides, 3), NULL);
    check(tfr_params_parse_json(engine, settings, strlen(settings), &params), NULL);
    measure(engine, params, n, repetitions);
    tfr_params_free(params);
    tfr_engine_close(engine);
    return 0;
}

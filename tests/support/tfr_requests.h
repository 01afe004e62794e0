/* tfr_requests.h - for tests of requests: all that the events of one said, several run to their end, and
 * comparing them. */
#ifndef TFR_TEST_REQUESTS_H
#define TFR_TEST_REQUESTS_H

#include "tfr_test.h"

#include <stdio.h>

#include "base/status.h"

#include <tfrun/tfrun.h>

#define GOLDEN TFR_SOURCE_DIR "/tests/model/golden/"

enum { MAX_TOKENS = 64, MAX_SEQUENCES = 4, MAX_REQUESTS = 16, MAX_LOGPROBS = 256 };

/* All that the events of one request said. */
struct seen {
    int32_t prompt[MAX_TOKENS], ids[MAX_SEQUENCES][MAX_TOKENS];
    size_t n_prompt, n[MAX_SEQUENCES];
    enum tfr_finish finish[MAX_SEQUENCES];
    struct tfr_logprob logprobs[MAX_LOGPROBS], prompt_logprobs[MAX_LOGPROBS];
    size_t n_logprobs, n_prompt_logprobs, n_top;
    int n_prompts, n_ends;
    enum tfr_status status;
    char error[512];
    struct tfr_request_stats stats;
};

static inline void see(struct seen *seen, const struct tfr_event *event) {
    assert_int_equal(seen->n_ends, 0); /* nothing comes behind the end */
    if (event->kind == TFR_EVENT_PROMPT) {
        memcpy(seen->prompt, event->ids, event->n_ids * sizeof *event->ids);
        seen->n_prompt = event->n_ids;
        seen->n_prompts++;
        if (event->logprobs != NULL) {
            seen->n_prompt_logprobs = (event->n_ids - 1) * (event->n_top + 1);
            memcpy(seen->prompt_logprobs, event->logprobs, seen->n_prompt_logprobs * sizeof *event->logprobs);
        }
    } else if (event->kind == TFR_EVENT_TOKENS) {
        assert_int_equal(seen->n_prompts, 1);
        assert_int_equal(seen->finish[event->index], TFR_FINISH_NONE);
        memcpy(seen->ids[event->index] + seen->n[event->index], event->ids, event->n_ids * sizeof *event->ids);
        seen->n[event->index] += event->n_ids;
        seen->finish[event->index] = event->finish;
        if (event->logprobs != NULL) {
            const size_t n = event->n_ids * (event->n_top + 1);
            memcpy(seen->logprobs + seen->n_logprobs, event->logprobs, n * sizeof *event->logprobs);
            seen->n_logprobs += n;
            seen->n_top = event->n_top;
        }
    } else {
        seen->n_ends++;
        seen->status = event->status;
        snprintf(seen->error, sizeof seen->error, "%s", event->error);
        seen->stats = event->stats;
    }
}

static inline void poll_all(struct tfr_request *request, struct seen *seen) {
    struct tfr_event event;
    while (tfr_request_poll(request, &event)) {
        see(seen, &event);
    }
}

static inline struct tfr_engine *open_model(const char *folder, const char *key, const char *value) {
    const struct tfr_override overrides[] = {{"sampling.max_tokens", "8", "the test"},
                                             {"sampling.ignore_eos", "true", "the test"},
                                             {"runtime.threads", "2", "the test"},
                                             {key, value, "the test"}};
    struct tfr_engine *engine;
    assert_ok(tfr_engine_open(&engine, folder, overrides, key != NULL ? 4 : 3));
    return engine;
}

static const int32_t request_prompts[][5] = {
    {5, 9, 5, 9, 5}, {7, 3, 1, 2, 4}, {11, 12, 13, 14, 15}, {2, 2, 2, 2, 2}, {60, 1, 59, 3, 8}};

static inline struct tfr_request *submit(struct tfr_engine *engine, size_t prompt, const char *settings) {
    const struct tfr_prompt given = {.ids = request_prompts[prompt % 5], .n_ids = 5 - prompt % 3};
    struct tfr_params *params;
    struct tfr_request *request;
    assert_ok(tfr_params_parse_json(engine, settings, strlen(settings), &params));
    assert_ok(tfr_request_submit(engine, &given, params, &request));
    tfr_params_free(params);
    return request;
}

/* Steps until all have ended; the most that ran at once. */
static inline size_t run_all(struct tfr_engine *engine, struct tfr_request **requests, struct seen *seen, size_t n) {
    size_t most = 0, n_ended = 0;
    for (int steps = 0; n_ended < n; steps++) {
        struct tfr_step_info info;
        assert_true(steps < 1000);
        assert_ok(tfr_engine_step(engine, &info));
        most = info.running > most ? info.running : most;
        n_ended = 0;
        for (size_t i = 0; i < n; i++) {
            poll_all(requests[i], &seen[i]);
            n_ended += (size_t)seen[i].n_ends;
        }
    }
    for (size_t i = 0; i < n; i++) {
        tfr_request_close(requests[i]);
    }
    return most;
}

static inline void expect_same(const struct seen *have, const struct seen *want, size_t index) {
    assert_int_equal(have->status, want->status);
    assert_true(have->stats.logits_digest == want->stats.logits_digest);
    for (size_t s = 0; s < MAX_SEQUENCES; s++) {
        if (have->n[s] != want->n[s] || memcmp(have->ids[s], want->ids[s], sizeof have->ids[s]) != 0 ||
            have->finish[s] != want->finish[s]) {
            fail_msg("request %zu, sequence %zu: not what it is alone", index, s);
        }
    }
    assert_int_equal(have->n_logprobs, want->n_logprobs);
    for (size_t i = 0; i < have->n_logprobs; i++) {
        assert_true(have->logprobs[i].id == want->logprobs[i].id && have->logprobs[i].logprob == want->logprobs[i].logprob);
    }
}

static const char *const kinds[] = {"{}",
                                    "{\"num_beams\": 3, \"num_return_sequences\": 2}",
                                    "{\"temperature\": 2, \"seed\": 4, \"num_return_sequences\": 3}",
                                    "{\"prompt_lookup\": 4, \"max_tokens\": 12}",
                                    "{\"logprobs\": 2, \"repetition_penalty\": 1.5}",
                                    "{\"num_beams\": 2, \"length_penalty\": 0.5, \"early_stopping\": true, \"max_tokens\": 6}",
                                    "{\"temperature\": 1, \"top_k\": 3, \"seed\": 9, \"max_tokens\": 11}",
                                    "{\"logprobs\": 0, \"prompt_logprobs\": true}",
                                    "{\"do_sample\": true, \"temperature\": 2, \"num_beams\": 2, \"seed\": 3}"};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static inline void run_alone(struct tfr_engine *engine, const char *const *settings, size_t n, struct seen *seen) {
    memset(seen, 0, n * sizeof *seen);
    for (size_t i = 0; i < n; i++) {
        struct tfr_request *request = submit(engine, i, settings[i]);
        assert_int_equal(run_all(engine, &request, &seen[i], 1), 1);
    }
}

#endif

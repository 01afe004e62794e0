/* tfr_serving.h - for tests of a serving engine: many requests of all kinds over long prompts, and what came of each. */
#ifndef TFR_TEST_SERVING_H
#define TFR_TEST_SERVING_H

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/status.h"
#include "rank/rank.h"
#include "serve/batcher.h"

#include <tfrun/tfrun.h>

enum { N_SERVED = 32, MOST_PROMPT = 400 };

/* All that a request said, but for times: two that are alike said the same. */
struct served {
    struct tfr_request *request;
    uint64_t hash; /* of its ids, text, log-probabilities and the digest of its logits */
    bool ended;
    enum tfr_status status;
    char error[256];
    struct tfr_request_stats stats;
};

static const char *const served_settings[] = {
    "{\"max_tokens\": 12}",
    "{\"max_tokens\": 20, \"temperature\": 0.8, \"top_p\": 0.9, \"seed\": 5}",
    "{\"max_tokens\": 6, \"num_beams\": 2}",
    "{\"max_tokens\": 1, \"logprobs\": 3, \"prompt_logprobs\": true}",
    "{\"max_tokens\": 9, \"temperature\": 1.3, \"top_k\": 20, \"seed\": 8, \"num_return_sequences\": 3}",
    "{\"max_tokens\": 15, \"repetition_penalty\": 1.2, \"logprobs\": 1}",
    "{\"max_tokens\": 8, \"prompt_lookup\": 4}",
};

/* Prompt i is 1 .. 400 tokens long, the first ones most different. */
static inline struct tfr_prompt served_prompt(size_t i, int32_t *ids) {
    static const size_t lengths[] = {390, 3, 150, 61, 40, 257, 17, 16, 1, 100};
    const size_t n = i < 10 ? lengths[i] : 1 + i * 53 % 200;
    for (size_t k = 0; k < n; k++) {
        ids[k] = (int32_t)((k * k * 7 + k * 13 + i * 101) % 6000);
    }
    return (struct tfr_prompt){.ids = ids, .n_ids = n};
}

static inline enum tfr_status serve_one(struct tfr_engine *engine, size_t i, const struct tfr_request_terms *terms,
                                        struct served *served) {
    int32_t ids[MOST_PROMPT];
    const char *settings = served_settings[i % (sizeof served_settings / sizeof served_settings[0])];
    const struct tfr_prompt prompt = served_prompt(i, ids);
    struct tfr_params *params;
    *served = (struct served){.hash = TFR_HASH_START};
    TFR_TRY(tfr_params_parse_json(engine, settings, strlen(settings), &params));
    const enum tfr_status status = tfr_request_submit_on(engine, &prompt, params, terms, &served->request);
    tfr_params_free(params);
    return status;
}

static inline void hear(struct served *served) {
    struct tfr_event event;
    while (!served->ended && tfr_request_poll(served->request, &event)) {
        served->hash = tfr_hash(served->hash, event.text, event.text_size);
        served->hash = tfr_hash(served->hash, event.ids, event.n_ids * sizeof *event.ids);
        for (size_t k = 0; event.logprobs != NULL && event.kind == TFR_EVENT_TOKENS && k < event.n_ids * (event.n_top + 1); k++) {
            served->hash = tfr_hash(served->hash, &event.logprobs[k].logprob, sizeof event.logprobs[k].logprob);
        }
        if (event.kind == TFR_EVENT_END) {
            served->hash = tfr_hash(served->hash, &event.stats.logits_digest, sizeof event.stats.logits_digest);
            served->ended = true;
            served->status = event.status;
            served->stats = event.stats;
            snprintf(served->error, sizeof served->error, "%s", event.error);
        }
    }
}

static inline void leave_all(struct served *served, size_t n) {
    for (size_t i = 0; i < n; i++) {
        tfr_request_close(served[i].request);
        served[i].request = NULL;
    }
}

/* Until all of n have ended; the number of steps, the most that ran at once. */
static inline enum tfr_status serve_all(struct tfr_engine *engine, struct served *served, size_t n, size_t *at_once) {
    size_t n_ended = 0;
    *at_once = 0;
    while (n_ended < n) {
        struct tfr_step_info info;
        TFR_TRY(tfr_engine_step(engine, &info));
        *at_once = info.running > *at_once ? info.running : *at_once;
        n_ended = 0;
        for (size_t i = 0; i < n; i++) {
            hear(&served[i]);
            n_ended += served[i].ended;
        }
    }
    leave_all(served, n);
    return TFR_OK;
}

/* Each alone. */
static inline enum tfr_status serve_alone(struct tfr_engine *engine, struct served *served) {
    size_t at_once;
    for (size_t i = 0; i < N_SERVED; i++) {
        TFR_TRY(serve_one(engine, i, NULL, &served[i]));
        TFR_TRY(serve_all(engine, &served[i], 1, &at_once));
    }
    return TFR_OK;
}

#endif

/* test_prefixes.c - `test_prefixes MODEL [KEY=VALUE...]`: what cached beginnings of prompts change of answers, which is nothing.
 *
 * Requests of all kinds, whose prompts begin alike in many ways, each alone without a cache; then all of them together with one,
 * twice, so that they find what others left and what others are reading. Ids, digests of logits and log-probabilities must be the
 * same. Under a launcher rank 0 does this and the others follow. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/tfrun.h>

enum { N_REQUESTS = 24, BEGINNING = 100, LONGEST = 120, MAX_SEEN = 64, MAX_SEQUENCES = 4, MAX_LOGPROBS = 1024 };

static void fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "test_prefixes: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    exit(1);
}

static void check(enum tfr_status status, const char *what) {
    if (status != TFR_OK) {
        fail("%s: %s", what, tfr_last_error());
    }
}

static uint32_t draw(uint32_t *state, uint32_t n) {
    *state = *state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(*state >> 8) * n >> 24);
}

struct question {
    int32_t ids[LONGEST];
    size_t n;
    const char *settings;
    struct tfr_request_terms terms;
    int joins; /* at this step */
};

/* What its events said. */
struct seen {
    int32_t ids[MAX_SEQUENCES][MAX_SEEN];
    size_t n[MAX_SEQUENCES], n_logprobs;
    struct tfr_logprob logprobs[MAX_LOGPROBS];
    bool ended;
    struct tfr_request_stats stats;
};

static const char *const kinds[] = {"{\"max_tokens\": 6}",
                                    "{\"max_tokens\": 9, \"temperature\": 1.5, \"seed\": 3}",
                                    "{\"max_tokens\": 4, \"num_beams\": 3}",
                                    "{\"max_tokens\": 5, \"temperature\": 1, \"seed\": 5, \"num_return_sequences\": 3}",
                                    "{\"max_tokens\": 8, \"prompt_lookup\": 4}",
                                    "{\"max_tokens\": 3, \"logprobs\": 2}",
                                    "{\"max_tokens\": 2, \"logprobs\": 1, \"prompt_logprobs\": true}",
                                    "{\"max_tokens\": 1, \"logprobs\": 1, \"prompt_logprobs\": true}",
                                    "{\"max_tokens\": 0, \"logprobs\": 3, \"prompt_logprobs\": true}",
                                    "{\"max_tokens\": 0}"};

/* A beginning of one of two, or of what was asked before, and some tokens of its own. */
static void make_question(struct question *questions, size_t i, int64_t vocab_size, uint32_t *state) {
    static int32_t beginnings[2][BEGINNING];
    static const char *const keys[] = {NULL, NULL, NULL, "a"};
    struct question *question = &questions[i];
    if (i == 0) {
        for (size_t k = 0; k < 2 * BEGINNING; k++) {
            beginnings[k / BEGINNING][k % BEGINNING] = (int32_t)draw(state, (uint32_t)vocab_size);
        }
    }
    const struct question *before = i > 0 && draw(state, 3) == 0 ? &questions[draw(state, (uint32_t)i)] : NULL;
    const int32_t *from = before != NULL ? before->ids : beginnings[draw(state, 2)];
    const size_t most = before != NULL ? before->n : BEGINNING;
    question->n = 1 + most / 2 + draw(state, (uint32_t)most / 2);
    memcpy(question->ids, from, question->n * sizeof *from);
    for (size_t own = draw(state, 20); own > 0 && question->n < LONGEST; own--) {
        question->ids[question->n++] = (int32_t)draw(state, (uint32_t)vocab_size);
    }
    question->settings = kinds[draw(state, sizeof kinds / sizeof kinds[0])];
    question->terms = (struct tfr_request_terms){.key = keys[draw(state, 4)], .salt = draw(state, 8) == 0 ? "s" : NULL};
    question->joins = (int)draw(state, 30);
}

static struct tfr_request *ask(struct tfr_engine *engine, const struct question *question, bool no_prefix) {
    const struct tfr_prompt prompt = {.ids = question->ids, .n_ids = question->n};
    struct tfr_request_terms terms = question->terms;
    struct tfr_params *params;
    struct tfr_request *request;
    terms.no_prefix = no_prefix;
    check(tfr_params_parse_json(engine, question->settings, strlen(question->settings), &params), "settings");
    check(tfr_request_submit_on(engine, &prompt, params, &terms, &request), "submit");
    tfr_params_free(params);
    return request;
}

static void add_logprobs(struct seen *seen, const struct tfr_event *event, size_t n_ids) {
    const size_t n = event->logprobs != NULL ? n_ids * (event->n_top + 1) : 0;
    if (seen->n_logprobs + n > MAX_LOGPROBS) {
        fail("more log-probabilities than there is room for");
    }
    if (n > 0) {
        memcpy(seen->logprobs + seen->n_logprobs, event->logprobs, n * sizeof *event->logprobs);
    }
    seen->n_logprobs += n;
}

static void see(struct seen *seen, const struct tfr_event *event) {
    switch (event->kind) {
    case TFR_EVENT_PROMPT:
        add_logprobs(seen, event, event->n_ids - 1);
        break;
    case TFR_EVENT_TOKENS:
        memcpy(seen->ids[event->index] + seen->n[event->index], event->ids, event->n_ids * sizeof *event->ids);
        seen->n[event->index] += event->n_ids;
        add_logprobs(seen, event, event->n_ids);
        break;
    case TFR_EVENT_END:
        check(event->status, event->error);
        seen->ended = true;
        seen->stats = event->stats;
    }
}

static void step(struct tfr_engine *engine, struct tfr_request **requests, struct seen *seen, size_t n, size_t *n_ended) {
    struct tfr_step_info info;
    struct tfr_event event;
    check(tfr_engine_step(engine, &info), "step");
    for (size_t i = 0; i < n; i++) {
        while (requests[i] != NULL && tfr_request_poll(requests[i], &event)) {
            see(&seen[i], &event);
        }
        if (requests[i] != NULL && seen[i].ended) {
            tfr_request_close(requests[i]);
            requests[i] = NULL;
            (*n_ended)++;
        }
    }
}

static void run_alone(struct tfr_engine *engine, const struct question *questions, struct seen *seen) {
    for (size_t i = 0; i < N_REQUESTS; i++) {
        struct tfr_request *request = ask(engine, &questions[i], true);
        for (size_t n_ended = 0; n_ended == 0;) {
            step(engine, &request, &seen[i], 1, &n_ended);
        }
        if (seen[i].stats.cached_tokens != 0) {
            fail("request %zu, which wants no cache: %zu cached tokens", i, seen[i].stats.cached_tokens);
        }
    }
}

static void run_together(struct tfr_engine *engine, const struct question *questions, struct seen *seen) {
    struct tfr_request *requests[N_REQUESTS] = {0};
    size_t n_ended = 0;
    for (int at = 0; n_ended < N_REQUESTS; at++) {
        for (size_t i = 0; i < N_REQUESTS; i++) {
            requests[i] = questions[i].joins == at ? ask(engine, &questions[i], false) : requests[i];
        }
        step(engine, requests, seen, N_REQUESTS, &n_ended);
    }
}

static size_t compare(const struct seen *have, const struct seen *want) {
    size_t cached = 0;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        if (have[i].stats.logits_digest != want[i].stats.logits_digest || memcmp(have[i].n, want[i].n, sizeof want[i].n) != 0 ||
            memcmp(have[i].ids, want[i].ids, sizeof want[i].ids) != 0 || have[i].n_logprobs != want[i].n_logprobs) {
            fail("request %zu, with %zu cached tokens: not the answer that it gets alone", i, have[i].stats.cached_tokens);
        }
        for (size_t k = 0; k < want[i].n_logprobs; k++) {
            if (have[i].logprobs[k].id != want[i].logprobs[k].id || have[i].logprobs[k].logprob != want[i].logprobs[k].logprob) {
                fail("request %zu, log-probability %zu: not the one that it gets alone", i, k);
            }
        }
        if (have[i].stats.cached_tokens >= have[i].stats.prompt_tokens) {
            fail("request %zu: %zu of %zu tokens are cached", i, have[i].stats.cached_tokens, have[i].stats.prompt_tokens);
        }
        cached += have[i].stats.cached_tokens;
    }
    return cached;
}

static void compare_all(struct tfr_engine *engine) {
    static struct question questions[N_REQUESTS];
    static struct seen alone[N_REQUESTS], seen[N_REQUESTS];
    uint32_t state = 8;
    for (size_t i = 0; i < N_REQUESTS; i++) {
        make_question(questions, i, tfr_engine_vocab_size(engine), &state);
    }
    run_alone(engine, questions, alone);
    for (int round = 0; round < 2; round++) {
        memset(seen, 0, sizeof seen);
        run_together(engine, questions, seen);
        const size_t cached = compare(seen, alone);
        if (cached == 0) {
            fail("no token was cached, so nothing was tested");
        }
        printf("round %d: %zu cached tokens, same answers\n", round, cached);
    }
}

int main(int argc, char **argv) {
    struct tfr_override overrides[16] = {
        {"sampling.ignore_eos", "true", "the test"}, {"serve.prefix_block", "8", "the test"}, {"runtime.threads", "1", "the test"}};
    struct tfr_engine *engine;
    size_t n = 3;
    if (argc < 2 || argc > 12) {
        fail("usage: test_prefixes MODEL [KEY=VALUE...]");
    }
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL) {
            fail("%s: not KEY=VALUE", argv[i]);
        }
        *value = '\0';
        overrides[n++] = (struct tfr_override){argv[i], value + 1, "the test"};
    }
    check(tfr_engine_open(&engine, argv[1], overrides, n), "open");
    if (tfr_engine_rank(engine) == 0) {
        compare_all(engine);
    } else {
        check(tfr_engine_follow(engine), "follow");
    }
    tfr_engine_close(engine);
    return 0;
}

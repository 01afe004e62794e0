/* bench_requests.c - sequences side by side as requests, since those are what ranks and groups of a batch are kept busy with. */
#include <tfrun/tfrun.h>

#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "study/bench_document.h"

struct party {
    struct tfr_engine *engine;
    struct tfr_request **requests; /* [n] */
    int64_t *got;                  /* [n] tokens */
    int32_t *ids;                  /* of one prompt */
    int64_t n, n_tokens, n_ended;
    struct tfr_company *company;
    struct tfr_rank_watch *watch;
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

struct tfr_company_size tfr_bench_company_size(int64_t n_positions) {
    struct tfr_company_size size = {.prompt = least(TFR_BENCH_COMPANY_PROMPT, n_positions / 2)};
    size.tokens = least(TFR_BENCH_COMPANY_TOKENS, n_positions - size.prompt);
    size.middle = size.prompt + size.tokens / 2;
    return size;
}

/* Other numbers for each sequence, the same in each run: Knuth's generator. */
static void make_prompt(const struct party *party, int64_t which, int64_t n) {
    uint64_t state = (uint64_t)which + 1;
    for (int64_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        party->ids[i] = (int32_t)((state >> 33) % (uint64_t)tfr_engine_vocab_size(party->engine));
    }
}

/* What a config says of sampling is left aside: the best token, so many of them, and no extra work. */
static enum tfr_status parse_params(struct tfr_engine *engine, int64_t new_tokens, struct tfr_params **params) {
    char text[256];
    const int size = snprintf(text, sizeof text,
                              "{\"max_tokens\": %lld, \"temperature\": 0, \"do_sample\": \"auto\", \"ignore_eos\": true, "
                              "\"num_beams\": 1, \"num_return_sequences\": 1, \"prompt_lookup\": 0, \"logprobs\": null, "
                              "\"prompt_logprobs\": false, \"min_tokens\": 0, \"max_length\": 0, \"stop\": []}",
                              (long long)new_tokens);
    return tfr_params_parse_json(engine, text, (size_t)size, params);
}

static enum tfr_status submit(struct party *party, int64_t prompt_tokens) {
    struct tfr_params *params;
    TFR_TRY(parse_params(party->engine, party->n_tokens, &params));
    enum tfr_status status = TFR_OK;
    for (int64_t i = 0; status == TFR_OK && i < party->n; i++) {
        make_prompt(party, i, prompt_tokens);
        const struct tfr_prompt prompt = {.ids = party->ids, .n_ids = (size_t)prompt_tokens};
        status = tfr_request_submit(party->engine, &prompt, params, &party->requests[i]);
    }
    tfr_params_free(params);
    return status;
}

/* Takes the events of all. */
static enum tfr_status look(struct party *party) {
    for (int64_t i = 0; i < party->n; i++) {
        struct tfr_event event;
        while (tfr_request_poll(party->requests[i], &event)) {
            if (event.kind == TFR_EVENT_TOKENS) {
                party->got[i] += (int64_t)event.n_ids;
            } else if (event.kind == TFR_EVENT_END && event.status != TFR_OK) {
                return tfr_raise(event.status, "%s", event.error);
            } else if (event.kind == TFR_EVENT_END) {
                party->n_ended++;
                if (i == 0) {
                    party->company->logits_digest = event.stats.logits_digest;
                    party->company->first_token_s = (double)event.stats.first_token_ns / 1e9;
                }
            }
        }
    }
    return TFR_OK;
}

struct window {
    uint64_t start_ns, end_ns; /* 0: not yet */
    int64_t before, tokens;    /* that were there at its start; that came in it */
};

/* After a step: from when all have their first token, to when one has its last. */
static enum tfr_status follow(const struct party *party, struct window *window) {
    int64_t all = 0, fewest = INT64_MAX, most = 0;
    for (int64_t i = 0; i < party->n; i++) {
        all += party->got[i];
        fewest = least(fewest, party->got[i]);
        most = party->got[i] > most ? party->got[i] : most;
    }
    if (window->start_ns == 0 && fewest > 0) {
        TFR_TRY(tfr_rank_watch_begin(party->watch));
        window->start_ns = tfr_clock_ns();
        window->before = all;
    } else if (window->start_ns != 0 && window->end_ns == 0) {
        window->tokens = all - window->before;
        window->end_ns = most >= party->n_tokens ? tfr_clock_ns() : 0;
        if (window->end_ns != 0) {
            TFR_TRY(tfr_rank_watch_end(party->watch, (double)window->tokens / (double)party->n));
        }
    }
    return TFR_OK;
}

static enum tfr_status run_all(struct party *party) {
    struct window window = {0};
    while (party->n_ended < party->n) {
        struct tfr_step_info info;
        TFR_TRY(tfr_engine_step(party->engine, &info));
        TFR_TRY(look(party));
        TFR_TRY(follow(party, &window));
    }
    if (window.tokens == 0 || window.end_ns <= window.start_ns) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "sequences:%lld: the first sequence had all its %lld tokens before the last one had its first; give a "
                         "higher --max-rows, or fewer sequences",
                         (long long)party->n, (long long)party->n_tokens);
    }
    party->company->seconds = (double)(window.end_ns - window.start_ns) / 1e9 * (double)party->n / (double)window.tokens;
    return TFR_OK;
}

enum tfr_status tfr_bench_company(struct tfr_engine *engine, int64_t n, int64_t prompt_tokens, int64_t new_tokens,
                                  struct tfr_rank_watch *watch, struct tfr_company *company) {
    *company = (struct tfr_company){0};
    struct party party = {.engine = engine, .n = n, .n_tokens = new_tokens, .company = company, .watch = watch};
    party.requests = tfr_alloc((size_t)n, sizeof(struct tfr_request *));
    party.got = tfr_alloc((size_t)n, sizeof *party.got);
    party.ids = tfr_alloc((size_t)prompt_tokens, sizeof *party.ids);
    enum tfr_status status = TFR_RESOURCE;
    if (party.requests != NULL && party.got != NULL && party.ids != NULL) {
        status = submit(&party, prompt_tokens);
        status = status == TFR_OK ? run_all(&party) : status;
    }
    for (int64_t i = 0; party.requests != NULL && i < n; i++) {
        if (party.requests[i] != NULL) {
            tfr_request_close(party.requests[i]);
        }
    }
    tfr_free(party.requests);
    tfr_free(party.got);
    tfr_free(party.ids);
    return status;
}

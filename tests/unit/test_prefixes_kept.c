/* test_prefixes_kept.c - whose beginnings of prompts are kept, who may take them, and when they go. */
#include "tfr_test.h"

#include "base/arena.h"
#include "job/command.h"
#include "serve/batcher.h"
#include "serve/prefixes.h"
#include "tfr_poisoned.h"
#include "tfr_requests.h"

enum { LONG = 20 };

static struct tfr_engine *open_cached(const char *key, const char *value) {
    const struct tfr_override overrides[] = {{"sampling.max_tokens", "4", "the test"},
                                             {"sampling.ignore_eos", "true", "the test"},
                                             {"runtime.threads", "1", "the test"},
                                             {"runtime.max_batch", "4", "the test"},
                                             {"serve.prefix_block", "4", "the test"},
                                             {"runtime.max_slots", "6", "the test"},
                                             {key, value, "the test"}};
    struct tfr_engine *engine;
    assert_ok(tfr_engine_open(&engine, GOLDEN "base", overrides, key != NULL ? 7 : 6));
    return engine;
}

/* The first n of LONG tokens; from `at` on they are others for each `kind`. */
static struct tfr_request *ask(struct tfr_engine *engine, int kind, size_t at, size_t n, const struct tfr_request_terms *terms,
                               const char *settings) {
    int32_t ids[LONG];
    struct tfr_params *params;
    struct tfr_request *request;
    for (size_t i = 0; i < LONG; i++) {
        ids[i] = (int32_t)((i * i + 3 * i + (i >= at ? (size_t)kind * 7 + 1 : 0)) % 61);
    }
    const struct tfr_prompt prompt = {.ids = ids, .n_ids = n};
    assert_ok(tfr_params_parse_json(engine, settings, strlen(settings), &params));
    assert_ok(tfr_request_submit_on(engine, &prompt, params, terms, &request));
    tfr_params_free(params);
    return request;
}

static struct seen run(struct tfr_engine *engine, struct tfr_request *request) {
    static struct seen seen;
    memset(&seen, 0, sizeof seen);
    run_all(engine, &request, &seen, 1);
    return seen;
}

/* Tokens of a prompt of LONG that had been read. */
static size_t cached(struct tfr_engine *engine, int kind, size_t at, const struct tfr_request_terms *terms) {
    const struct seen seen = run(engine, ask(engine, kind, at, LONG, terms, "{}"));
    assert_int_equal(seen.status, TFR_OK);
    return seen.stats.cached_tokens;
}

static size_t n_kept(const struct tfr_engine *engine) {
    return tfr_prefixes_counts(engine->batcher->prefixes).entries;
}

TFR_TEST(whole_blocks_but_never_the_last_token) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_cached("runtime.max_slots", "10");
    assert_int_equal(cached(engine, 0, LONG, NULL), 0);
    assert_int_equal(cached(engine, 0, LONG, NULL), 16); /* of 20: the fifth block has the last token */
    assert_int_equal(cached(engine, 1, 15, NULL), 12);
    assert_int_equal(cached(engine, 2, 3, NULL), 0);
    const struct seen seen = run(engine, ask(engine, 0, LONG, 17, NULL, "{}"));
    assert_int_equal(seen.stats.cached_tokens, 16);
    struct tfr_serving serving;
    struct tfr_step_info info;
    assert_ok(tfr_engine_step(engine, &info));
    tfr_engine_serving(engine, &serving);
    assert_int_equal(serving.prefix_queries_tokens, 4 * 19 + 16);
    assert_int_equal(serving.prefix_hit_tokens, 16 + 12 + 16);
    assert_int_equal(serving.prefix_slots, n_kept(engine));
    tfr_engine_close(engine);
}

TFR_TEST(an_answer_is_kept_with_its_prompt) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_cached(NULL, NULL);
    static struct seen first, next;
    first = run(engine, ask(engine, 0, LONG, LONG, NULL, "{\"max_tokens\": 8}"));
    int32_t ids[MAX_TOKENS];
    memcpy(ids, first.prompt, LONG * sizeof *ids);
    memcpy(ids + LONG, first.ids[0], 8 * sizeof *ids);
    const struct tfr_prompt whole = {.ids = ids, .n_ids = LONG + 8};
    struct tfr_request *request;
    assert_ok(tfr_request_submit_on(engine, &whole, NULL, NULL, &request));
    memset(&next, 0, sizeof next);
    run_all(engine, &request, &next, 1);
    assert_int_equal(next.stats.cached_tokens, 24); /* 27 of 28 were read: the last one that was chosen never is */
    const struct tfr_prefixes_counts counts = tfr_prefixes_counts(engine->batcher->prefixes);
    assert_int_equal(counts.moved, 1);
    assert_int_equal(counts.entries, 1); /* the longer one says all that the shorter one said */
    tfr_engine_close(engine);
}

TFR_TEST(keys_and_salts_never_meet) {
    TFR_UNUSED_STATE;
    static const struct tfr_request_terms terms[] = {
        {.key = NULL},  {.key = "a"}, {.key = "b"}, {.key = ""}, {.key = "a", .salt = "s"}, {.key = "a", .salt = ""},
        {.key = "a+s"}, {.key = "-"}};
    struct tfr_engine *engine = open_cached("runtime.max_slots", "20");
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(cached(engine, 0, LONG, &terms[i]), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(cached(engine, 0, LONG, &terms[i]), 16);
    }
    tfr_engine_close(engine);
    engine = open_cached("serve.share_prefix", "all");
    assert_int_equal(cached(engine, 0, LONG, &terms[1]), 0);
    assert_int_equal(cached(engine, 0, LONG, &terms[2]), 16);
    assert_int_equal(cached(engine, 0, LONG, &terms[0]), 16);
    assert_int_equal(cached(engine, 0, LONG, &terms[4]), 0); /* a salt still parts */
    tfr_engine_close(engine);
}

/* Two copies are all that a step has time for, and two that want one come with each step. */
TFR_TEST(one_that_waits_for_a_copy_is_before_newcomers) {
    TFR_UNUSED_STATE;
    enum { ALL = 15 };
    struct tfr_request *requests[ALL];
    struct tfr_step_info info;
    struct tfr_event event = {.kind = TFR_EVENT_PROMPT};
    struct tfr_engine *engine = open_cached("runtime.max_rows", "8");
    cached(engine, 0, LONG, NULL);
    for (size_t i = 0; i < ALL; i++) {
        requests[i] = ask(engine, 0, LONG, LONG, NULL, "{\"max_tokens\": 1}");
        if (i % 2 == 0 && i > 0) {
            assert_ok(tfr_engine_step(engine, &info));
        }
    }
    while (tfr_request_poll(requests[2], &event)) {
    }
    assert_int_equal(event.kind, TFR_EVENT_END);
    for (size_t i = 0; i < ALL; i++) {
        tfr_request_close(requests[i]);
    }
    tfr_engine_close(engine);
}

TFR_TEST(at_once_keys_do_not_wait_for_one_another) {
    TFR_UNUSED_STATE;
    static const struct tfr_request_terms terms[] = {{.key = "a"}, {.key = "b"}, {.key = "a"}};
    static struct seen seen[3];
    struct tfr_request *requests[3];
    struct tfr_engine *engine = open_cached(NULL, NULL);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 3; i++) {
        requests[i] = ask(engine, 0, LONG, LONG, &terms[i], "{}");
    }
    run_all(engine, requests, seen, 3);
    assert_int_equal(seen[0].stats.cached_tokens, 0);
    assert_int_equal(seen[1].stats.cached_tokens, 0);
    assert_int_equal(seen[2].stats.cached_tokens, 16);
    assert_int_equal(tfr_prefixes_counts(engine->batcher->prefixes).waited, 1);
    for (size_t i = 1; i < 3; i++) {
        expect_same(&seen[i], &seen[0], i);
    }
    tfr_engine_close(engine);
}

TFR_TEST(the_one_not_asked_for_longest_goes) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_cached(NULL, NULL); /* room for two */
    cached(engine, 0, 0, NULL);
    cached(engine, 1, 0, NULL);
    assert_int_equal(n_kept(engine), 2);
    assert_int_equal(cached(engine, 0, 0, NULL), 16);
    cached(engine, 2, 0, NULL);
    assert_int_equal(n_kept(engine), 2);
    assert_int_equal(cached(engine, 0, 0, NULL), 16);
    assert_int_equal(cached(engine, 1, 0, NULL), 0);
    const int64_t free_slots = tfr_engine_free_slots(engine);
    assert_int_equal(free_slots, 4); /* what is kept takes no place of a request */
    tfr_engine_close(engine);
}

static void expect_nothing_kept(const char *key, const char *value, bool no_prefix) {
    const struct tfr_request_terms terms = {.no_prefix = no_prefix};
    struct tfr_engine *engine = open_cached(key, value);
    assert_int_equal(cached(engine, 0, LONG, &terms), 0);
    assert_int_equal(cached(engine, 0, LONG, &terms), 0);
    assert_int_equal(n_kept(engine), 0);
    assert_int_equal(tfr_engine_free_slots(engine), 4);
    tfr_engine_close(engine);
}

TFR_TEST(nothing_is_kept_where_nobody_wants_it) {
    TFR_UNUSED_STATE;
    expect_nothing_kept("serve.prefix_cache", "false", false);
    expect_nothing_kept("runtime.max_slots", "4", false);
    expect_nothing_kept("serve.prefix_block", "64", false);
    expect_nothing_kept(NULL, NULL, true);
    struct tfr_engine *engine = open_cached(NULL, NULL); /* requests that no server made */
    static struct seen seen[1];
    static const char *const settings[] = {"{\"max_tokens\": 20}"};
    run_alone(engine, settings, 1, seen);
    assert_int_equal(n_kept(engine), 0);
    assert_int_equal(tfr_engine_memory(engine).kv_bytes, 0);
    tfr_engine_close(engine);
}

TFR_TEST(a_prompt_alone_warms_the_cache) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_cached(NULL, NULL);
    const struct seen seen = run(engine, ask(engine, 0, LONG, 16, NULL, "{\"max_tokens\": 0}"));
    assert_int_equal(seen.status, TFR_OK);
    assert_int_equal(seen.stats.output_tokens, 0);
    assert_int_equal(cached(engine, 0, LONG, NULL), 16);
    tfr_engine_close(engine);
}

static void expect_same_scores(const struct seen *have, const struct seen *want) {
    assert_int_equal(have->n_prompt_logprobs, want->n_prompt_logprobs);
    for (size_t i = 0; i < want->n_prompt_logprobs; i++) {
        assert_int_equal(have->prompt_logprobs[i].id, want->prompt_logprobs[i].id);
        assert_true(have->prompt_logprobs[i].logprob == want->prompt_logprobs[i].logprob);
    }
}

/* What a prompt is scored by is there for the next one, if it asks for no more of it. */
TFR_TEST(scored_prompts_take_from_scored_ones) {
    TFR_UNUSED_STATE;
    static const char *const settings[] = {"{\"logprobs\": 2, \"prompt_logprobs\": true, \"max_tokens\": 1}",
                                           "{\"logprobs\": 1, \"prompt_logprobs\": true, \"max_tokens\": 1}",
                                           "{\"logprobs\": 0, \"prompt_logprobs\": true, \"max_tokens\": 0}",
                                           "{\"logprobs\": 3, \"prompt_logprobs\": true, \"max_tokens\": 1}"};
    static const size_t taken[] = {0, 11, 11, 0};
    const struct tfr_request_terms terms = {.no_prefix = true};
    struct tfr_engine *engine = open_cached("runtime.max_slots", "10");
    assert_int_equal(cached(engine, 0, LONG, NULL), 0); /* it was read, but not scored */
    for (size_t i = 0; i < 4; i++) {
        static struct seen have, want;
        have = run(engine, ask(engine, (int)i, 13, LONG, NULL, settings[i]));
        want = run(engine, ask(engine, (int)i, 13, LONG, &terms, settings[i]));
        assert_int_equal(have.stats.cached_tokens, taken[i]);
        assert_int_equal(want.stats.cached_tokens, 0);
        expect_same(&have, &want, i);
        expect_same_scores(&have, &want);
    }
    tfr_engine_close(engine);
}

TFR_TEST(scored_prompts_at_once_are_read_once) {
    TFR_UNUSED_STATE;
    static const char scoring[] = "{\"logprobs\": 1, \"prompt_logprobs\": true, \"max_tokens\": 1}";
    static struct seen seen[4];
    struct tfr_request *requests[4];
    struct tfr_engine *engine = open_cached(NULL, NULL);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 4; i++) { /* one context, four answers */
        requests[i] = ask(engine, (int)i, 17, LONG, NULL, scoring);
    }
    run_all(engine, requests, seen, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct tfr_request_terms terms = {.no_prefix = true};
        static struct seen alone;
        assert_int_equal(seen[i].stats.cached_tokens, i == 0 ? 0 : 15);
        alone = run(engine, ask(engine, (int)i, 17, LONG, &terms, scoring));
        expect_same(&seen[i], &alone, i);
        expect_same_scores(&seen[i], &alone);
    }
    tfr_engine_close(engine);
}

/* One without scores that goes on behind scored tokens takes a copy of them, or those that are scored next would read them anew. */
TFR_TEST(scores_outlive_a_prompt_that_needs_none) {
    TFR_UNUSED_STATE;
    static const char scored[] = "{\"logprobs\": 1, \"prompt_logprobs\": true, \"max_tokens\": 0}";
    static struct seen first, second;
    struct tfr_engine *engine = open_cached(NULL, NULL);
    first = run(engine, ask(engine, 0, LONG, 12, NULL, scored));
    assert_int_equal(cached(engine, 0, LONG, NULL), 8);
    second = run(engine, ask(engine, 0, LONG, 12, NULL, scored));
    assert_int_equal(second.stats.cached_tokens, 7);
    expect_same_scores(&second, &first);
    tfr_engine_close(engine);
}

/* Another one with the same tokens still runs, and then fails. */
TFR_TEST(one_that_ended_is_kept_while_its_like_runs) {
    TFR_UNUSED_STATE;
    struct tfr_step_info info;
    struct tfr_engine *engine = open_cached(NULL, NULL);
    struct tfr_request *longer = ask(engine, 0, LONG, LONG, NULL, "{\"max_tokens\": 30}");
    assert_ok(tfr_engine_step(engine, &info));
    assert_int_equal(run(engine, ask(engine, 0, LONG, LONG, NULL, "{\"max_tokens\": 1}")).status, TFR_OK);
    assert_int_equal(n_kept(engine), 1);
    tfr_continuation_fail(&longer->continuation, tfr_raise(TFR_CHECK, "the test"));
    assert_ok(tfr_engine_step(engine, &info));
    tfr_request_close(longer);
    assert_int_equal(n_kept(engine), 1);
    assert_int_equal(cached(engine, 0, LONG, NULL), 16);
    tfr_engine_close(engine);
}

TFR_TEST(not_all_copy_before_the_same_step) {
    TFR_UNUSED_STATE;
    static struct seen seen[4];
    struct tfr_request *requests[4];
    struct tfr_engine *engine =
        open_cached("runtime.max_rows", "4"); /* so 16 tokens, or what goes beyond them, are enough at a time */
    uint64_t copied = 0;
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 4; i++) {
        requests[i] = ask(engine, (int)i, 17, LONG, NULL, "{}");
    }
    while (copied < 3) {
        struct tfr_step_info info;
        assert_ok(tfr_engine_step(engine, &info));
        assert_true(info.rows > 0);
        const uint64_t now = tfr_prefixes_counts(engine->batcher->prefixes).copied;
        assert_true(now <= copied + 2); /* of 12 tokens each: nobody waits for the last block */
        copied = now;
    }
    run_all(engine, requests, seen, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(seen[i].status, TFR_OK);
        assert_int_equal(seen[i].stats.cached_tokens > 0, i > 0);
    }
    tfr_engine_close(engine);
}

TFR_TEST(what_was_read_before_a_cancel_is_kept) {
    TFR_UNUSED_STATE;
    static struct seen seen[2];
    struct tfr_step_info info;
    struct tfr_engine *engine = open_cached("runtime.max_rows", "8");
    struct tfr_request *requests[2] = {ask(engine, 0, LONG, LONG, NULL, "{}"), ask(engine, 0, LONG, LONG, NULL, "{}")};
    memset(seen, 0, sizeof seen);
    assert_ok(tfr_engine_step(engine, &info)); /* 8 tokens of the first one; the other waits for it */
    assert_int_equal(info.rows, 8);
    tfr_request_cancel(requests[0]);
    run_all(engine, requests, seen, 2);
    assert_int_equal(seen[0].status, TFR_CANCELLED);
    assert_int_equal(seen[1].status, TFR_OK);
    assert_int_equal(seen[1].stats.cached_tokens, 8);
    static struct seen alone[1];
    const struct tfr_request_terms terms = {.no_prefix = true};
    alone[0] = run(engine, ask(engine, 0, LONG, LONG, &terms, "{}"));
    expect_same(&seen[1], &alone[0], 1);
    tfr_engine_close(engine);
}

TFR_TEST(one_that_waits_can_be_cancelled) {
    TFR_UNUSED_STATE;
    static struct seen seen[2];
    struct tfr_step_info info;
    struct tfr_engine *engine = open_cached("runtime.max_rows", "8");
    struct tfr_request *requests[2] = {ask(engine, 0, LONG, LONG, NULL, "{}"), ask(engine, 0, LONG, LONG, NULL, "{}")};
    memset(seen, 0, sizeof seen);
    assert_ok(tfr_engine_step(engine, &info));
    tfr_request_cancel(requests[1]);
    run_all(engine, requests, seen, 2);
    assert_int_equal(seen[0].status, TFR_OK);
    assert_int_equal(seen[1].status, TFR_CANCELLED);
    tfr_engine_close(engine);
}

TFR_TEST(nothing_is_kept_of_one_that_failed) {
    TFR_UNUSED_STATE;
    const struct tfr_override overrides[] = {{"serve.prefix_block", "4", "the test"}, {"runtime.threads", "1", "the test"}};
    struct tfr_engine *engine;
    assert_ok(tfr_engine_open(&engine, poisoned_model(17), overrides, 2));
    static const size_t lengths[] = {LONG, 18, 17, 13}; /* in its prompt, at its end, with the first and with a later new token */
    for (size_t i = 0; i < 4; i++) {
        const struct seen seen = run(engine, ask(engine, (int)i, 0, lengths[i], NULL, "{\"max_tokens\": 8}"));
        assert_int_equal(seen.status, TFR_CHECK);
        assert_int_equal(n_kept(engine), 0);
    }
    for (int most = 0; most < 2; most++) { /* scored */
        char settings[80];
        snprintf(settings, sizeof settings, "{\"logprobs\": 0, \"prompt_logprobs\": true, \"max_tokens\": %d}", most);
        const struct seen seen = run(engine, ask(engine, 7, 0, LONG, NULL, settings));
        assert_int_equal(seen.status, TFR_CHECK);
        assert_int_equal(seen.n_prompts, 0);
        assert_int_equal(n_kept(engine), 0);
    }
    tfr_engine_close(engine);
}

/* Memory of a sequence goes to the next one as it is, numbers or not. */
static void expect_same_in_used_memory(const char *key, const char *value) {
    const struct tfr_override overrides[] = {
        {"serve.prefix_block", "4", "the test"}, {"runtime.threads", "1", "the test"}, {key, value, "the test"}};
    const struct tfr_request_terms terms = {.no_prefix = true};
    static struct seen first, again;
    struct tfr_engine *engine;
    assert_ok(tfr_engine_open(&engine, poisoned_model(17), overrides, 3));
    tfr_batcher_serve(engine->batcher);
    first = run(engine, ask(engine, 1, 0, 9, &terms, "{\"max_tokens\": 8}"));
    assert_int_equal(first.status, TFR_OK);
    assert_int_equal(run(engine, ask(engine, 2, 0, LONG, &terms, "{}")).status, TFR_CHECK);
    again = run(engine, ask(engine, 1, 0, 9, &terms, "{\"max_tokens\": 8}"));
    expect_same(&again, &first, 0);
    tfr_engine_close(engine);
}

TFR_TEST(used_memory_changes_no_bit) {
    TFR_UNUSED_STATE;
    expect_same_in_used_memory("runtime.attn", "fused");
    expect_same_in_used_memory("runtime.attn", "eager");
    expect_same_in_used_memory("runtime.kernels", "ref");
    expect_same_in_used_memory("runtime.kv_dtype", "int8");
    expect_same_in_used_memory("runtime.kv_dtype", "bf16");
}

/* No memory for an entry is no failure of the request. */
TFR_TEST(memory_that_is_not_there_costs_the_cache_alone_or_one_request) {
    TFR_UNUSED_STATE;
    for (uint64_t at = 1; at < 120; at++) {
        struct tfr_engine *engine = open_cached(NULL, NULL);
        assert_int_equal(cached(engine, 0, LONG, NULL), 0);
        struct tfr_request *request = ask(engine, 1, 15, LONG, NULL, "{}");
        tfr_alloc_fail_after(at);
        const struct seen seen = run(engine, request);
        tfr_alloc_fail_after(0);
        assert_true(seen.status == TFR_OK || seen.status == TFR_RESOURCE);
        const size_t again = cached(engine, 1, 15, NULL);
        assert_true(again == 16 || again == 12);
        assert_int_equal(tfr_engine_free_slots(engine), 4);
        tfr_engine_close(engine);
    }
}

TFR_TEST_MAIN(TFR_CASE(whole_blocks_but_never_the_last_token), TFR_CASE(an_answer_is_kept_with_its_prompt),
              TFR_CASE(keys_and_salts_never_meet), TFR_CASE(one_that_waits_for_a_copy_is_before_newcomers),
              TFR_CASE(at_once_keys_do_not_wait_for_one_another), TFR_CASE(the_one_not_asked_for_longest_goes),
              TFR_CASE(nothing_is_kept_where_nobody_wants_it), TFR_CASE(a_prompt_alone_warms_the_cache),
              TFR_CASE(scored_prompts_take_from_scored_ones), TFR_CASE(scored_prompts_at_once_are_read_once),
              TFR_CASE(not_all_copy_before_the_same_step), TFR_CASE(what_was_read_before_a_cancel_is_kept),
              TFR_CASE(one_that_waits_can_be_cancelled), TFR_CASE(nothing_is_kept_of_one_that_failed),
              TFR_CASE(scores_outlive_a_prompt_that_needs_none), TFR_CASE(one_that_ended_is_kept_while_its_like_runs),
              TFR_CASE(used_memory_changes_no_bit), TFR_CASE(memory_that_is_not_there_costs_the_cache_alone_or_one_request))

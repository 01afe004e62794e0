/* test_request_ends.c - how requests end early: cancelled, by a NaN, without slots or memory; and what
 * becomes of the others. */
#include "tfr_test.h"

#include "base/arena.h"
#include "serve/batcher.h"
#include "tfr_poisoned.h"
#include "tfr_requests.h"

TFR_TEST(one_of_several_is_cancelled) {
    TFR_UNUSED_STATE;
    static struct seen alone[3], seen[3];
    static const char *const settings[] = {"{\"max_tokens\": 20}", "{\"max_tokens\": 20, \"num_beams\": 2}",
                                           "{\"max_tokens\": 20}"};
    struct tfr_request *requests[3];
    struct tfr_step_info info;
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    run_alone(engine, settings, 3, alone);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 3; i++) {
        requests[i] = submit(engine, i, settings[i]);
    }
    for (int steps = 0; steps < 4; steps++) {
        assert_ok(tfr_engine_step(engine, &info));
    }
    tfr_request_cancel(requests[0]);
    run_all(engine, requests, seen, 3);
    assert_int_equal(seen[0].status, TFR_CANCELLED);
    assert_int_equal(seen[0].n[0], 4);
    assert_memory_equal(seen[0].ids[0], alone[0].ids[0], 4 * sizeof(int32_t));
    expect_same(&seen[1], &alone[1], 1);
    expect_same(&seen[2], &alone[2], 2);
    assert_int_equal(tfr_engine_memory(engine).kv_bytes, 0); /* every slot came back */
    tfr_engine_close(engine);
}

TFR_TEST(stop_tokens_end_a_sequence_and_are_not_shown) {
    TFR_UNUSED_STATE;
    static struct seen plain, stopped, late;
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    char settings[96];
    struct tfr_request *request = submit(engine, 0, "{}");
    run_all(engine, &request, &plain, 1);
    const int32_t stop = plain.ids[0][3];
    size_t first = 0;
    while (plain.ids[0][first] != stop) {
        first++;
    }
    snprintf(settings, sizeof settings, "{\"stop_token_ids\": [%d]}", stop);
    request = submit(engine, 0, settings);
    run_all(engine, &request, &stopped, 1);
    assert_int_equal(stopped.finish[0], TFR_FINISH_STOP);
    assert_int_equal(stopped.n[0], first + 1);
    assert_memory_equal(stopped.ids[0], plain.ids[0], (first + 1) * sizeof(int32_t));
    snprintf(settings, sizeof settings, "{\"stop_token_ids\": [%d], \"min_tokens\": %zu}", stop, first + 2);
    request = submit(engine, 0, settings);
    run_all(engine, &request, &late, 1);
    assert_true(late.n[0] > first + 1);
    assert_int_not_equal(late.ids[0][first], stop);
    tfr_engine_close(engine);
}

TFR_TEST(a_signal_cancels_all_also_those_that_wait) {
    TFR_UNUSED_STATE;
    static struct seen seen[4];
    struct tfr_request *requests[4];
    struct tfr_step_info info;
    struct tfr_engine *engine = open_model(GOLDEN "base", "runtime.max_batch", "2");
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 4; i++) {
        requests[i] = submit(engine, i, "{\"max_tokens\": 20}");
    }
    assert_ok(tfr_engine_step(engine, &info));
    assert_int_equal(info.running, 2);
    assert_int_equal(info.waiting, 2);
    tfr_engine_cancel();
    assert_ok(tfr_engine_step(engine, &info));
    assert_int_equal(info.running + info.waiting, 0);
    run_all(engine, requests, seen, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(seen[i].status, TFR_CANCELLED);
    }
    struct tfr_request *next = submit(engine, 0, "{}"); /* the wish is used up */
    memset(seen, 0, sizeof seen);
    run_all(engine, &next, seen, 1);
    assert_int_equal(seen[0].status, TFR_OK);
    tfr_engine_close(engine);
}

/* Who takes the event of the prompt reads log-probabilities of all its tokens: there are all of them, or none. */
TFR_TEST(a_prompt_that_is_not_scored_to_its_end_has_no_scores) {
    TFR_UNUSED_STATE;
    static struct seen seen;
    struct tfr_step_info info;
    struct tfr_engine *engine = open_model(GOLDEN "base", "runtime.max_rows", "1");
    struct tfr_request *request = submit(engine, 0, "{\"logprobs\": 2, \"prompt_logprobs\": true}");
    for (int steps = 0; steps < 2; steps++) {
        assert_ok(tfr_engine_step(engine, &info));
    }
    assert_int_equal(tfr_continuation_scored(&request->continuation), 3); /* of 5 tokens */
    tfr_request_cancel(request);
    memset(&seen, 0, sizeof seen);
    run_all(engine, &request, &seen, 1);
    assert_int_equal(seen.status, TFR_CANCELLED);
    assert_int_equal(seen.n_prompt, 5);
    assert_int_equal(seen.n_prompt_logprobs, 0);
    tfr_engine_close(engine);
}

TFR_TEST(a_nan_row_ends_its_own_request_alone) {
    TFR_UNUSED_STATE;
    static const char *const settings[] = {"{}",
                                           "{\"max_tokens\": 20}",
                                           "{\"num_beams\": 2}",
                                           "{\"max_tokens\": 20, \"num_beams\": 3}",
                                           "{\"temperature\": 2, \"seed\": 1, \"num_return_sequences\": 2}",
                                           "{\"max_tokens\": 20, \"prompt_lookup\": 3}"};
    static struct seen healthy[6], seen[6];
    struct tfr_request *requests[6];
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    run_alone(engine, settings, 6, healthy);
    tfr_engine_close(engine);
    engine = open_model(poisoned_model(17), NULL, NULL);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 6; i++) {
        requests[i] = submit(engine, i, settings[i]);
    }
    run_all(engine, requests, seen, 6);
    for (size_t i = 0; i < 6; i++) {
        if (i % 2 == 0) {
            expect_same(&seen[i], &healthy[i], i);
        } else {
            assert_int_equal(seen[i].status, TFR_CHECK);
            assert_non_null(strstr(seen[i].error, "NaN"));
            assert_memory_equal(seen[i].ids[0], healthy[i].ids[0], seen[i].n[0] * sizeof(int32_t));
        }
    }
    assert_int_equal(tfr_engine_memory(engine).kv_bytes, 0);
    tfr_engine_close(engine);
}

/* A server's slots keep their memory: what the last sequence left there, NaN too, is nothing to the next one. */
TFR_TEST(what_a_slot_held_before_changes_nothing) {
    TFR_UNUSED_STATE;
    static const char *const settings[] = {"{\"max_tokens\": 13, \"logprobs\": 1}"}; /* up to the place of the NaN */
    static struct seen healthy[1], seen[1], poisoned[1];
    static const char *const kinds_of_cache[] = {"f32", "int8", "bf16"};
    for (size_t i = 0; i < 3; i++) {
        struct tfr_engine *engine = open_model(GOLDEN "base", "runtime.kv_dtype", kinds_of_cache[i]);
        run_alone(engine, settings, 1, healthy);
        tfr_engine_close(engine);
        engine = open_model(poisoned_model(17), "runtime.kv_dtype", kinds_of_cache[i]);
        tfr_batcher_serve(engine->batcher);
        for (int times = 0; times < 3; times++) {
            struct tfr_request *request = submit(engine, 1, "{\"max_tokens\": 20}");
            memset(poisoned, 0, sizeof poisoned);
            run_all(engine, &request, poisoned, 1);
            assert_int_equal(poisoned->status, TFR_CHECK);
            run_alone(engine, settings, 1, seen);
            expect_same(seen, healthy, 0);
        }
        assert_true(engine->slots[0].has_memory && !engine->slots[1].has_memory);
        tfr_engine_close(engine);
    }
}

TFR_TEST(what_a_prompt_asks_in_vain_is_refused_at_submit) {
    TFR_UNUSED_STATE;
    static int32_t many[40];
    const struct tfr_prompt longer = {.ids = many, .n_ids = 40}, outside = {.ids = (const int32_t[]){61}, .n_ids = 1},
                            text = {.text = "text", .size = 4};
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    struct tfr_request *request;
    assert_refused(tfr_request_submit(engine, &longer, NULL, &request), TFR_USAGE, "prompt has 40 tokens, context is 32");
    assert_refused(tfr_request_submit(engine, &outside, NULL, &request), TFR_USAGE, "token id 61");
    assert_int_equal(tfr_request_submit(engine, &text, NULL, &request), TFR_RESOURCE); /* there is no tokenizer */
    assert_null(request);
    tfr_engine_close(engine);
}

TFR_TEST(sessions_of_the_caller_may_hold_all_slots) {
    TFR_UNUSED_STATE;
    static struct seen seen[1];
    struct tfr_session *session;
    struct tfr_engine *engine = open_model(GOLDEN "base", "runtime.max_batch", "2");
    assert_ok(tfr_session_open(&session, engine, 8));
    struct tfr_request *request = submit(engine, 0, "{\"num_beams\": 2}");
    memset(seen, 0, sizeof seen);
    run_all(engine, &request, seen, 1);
    assert_int_equal(seen->status, TFR_RESOURCE);
    assert_non_null(strstr(seen->error, "open sessions hold the sequences"));
    const struct tfr_score_item items[] = {{request_prompts[0], 5, 1}, {request_prompts[1], 5, 2}};
    struct tfr_score scores[2];
    assert_ok(tfr_score(engine, items, 2, scores)); /* one after the other */
    assert_int_equal(scores[1].n_tokens, 3);
    tfr_score_free(&scores[0]);
    tfr_score_free(&scores[1]);
    tfr_session_close(session);
    tfr_engine_close(engine);
}

/* Every allocation in turn fails once: the request is refused or ends with a sentence, or its result is
 * whole. */
static void check_no_memory(const char *settings) {
    static struct seen whole[1], seen[1];
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    run_alone(engine, &settings, 1, whole); /* plans are built, working memory is there */
    for (uint64_t n = 1;; n++) {
        const struct tfr_prompt prompt = {.ids = request_prompts[0], .n_ids = 5};
        struct tfr_params *params = NULL;
        struct tfr_request *request = NULL;
        memset(seen, 0, sizeof seen);
        tfr_raise(TFR_OK, "%s", "");
        tfr_alloc_fail_after(n);
        enum tfr_status status = tfr_params_parse_json(engine, settings, strlen(settings), &params);
        status = status == TFR_OK ? tfr_request_submit(engine, &prompt, params, &request) : status;
        for (int steps = 0; status == TFR_OK && seen->n_ends == 0 && steps < 200; steps++) {
            struct tfr_step_info info;
            assert_ok(tfr_engine_step(engine, &info));
            poll_all(request, seen);
        }
        tfr_alloc_fail_after(0);
        tfr_request_close(request);
        tfr_params_free(params);
        if (status != TFR_OK || seen->status != TFR_OK) {
            assert_true(status != TFR_OK ? tfr_failure_text()[0] != '\0' : seen->error[0] != '\0');
            assert_true(n < 5000);
            continue;
        }
        expect_same(seen, whole, n);
        if (n > 2000) { /* more than any of them allocates */
            break;
        }
        n += n > 400 ? 97 : 0; /* the later ones are alike */
    }
    assert_int_equal(tfr_engine_memory(engine).kv_bytes, 0);
    tfr_engine_close(engine);
}

TFR_TEST(without_memory_a_result_is_whole_or_an_error) {
    TFR_UNUSED_STATE;
    check_no_memory("{\"logprobs\": 1}");
    check_no_memory("{\"num_beams\": 2}");
    check_no_memory("{\"prompt_lookup\": 3}");
    check_no_memory("{\"temperature\": 2, \"seed\": 1, \"num_return_sequences\": 3}");
}

static size_t text_of_ids(struct tfr_engine *engine) {
    static const int32_t ids[] = {5, 6, 7};
    const struct tfr_prompt prompt = {.ids = ids, .n_ids = 3};
    struct tfr_request *request;
    struct tfr_step_info info;
    struct tfr_event event = {0};
    size_t size = 0;
    assert_ok(tfr_request_submit(engine, &prompt, NULL, &request));
    tfr_alloc_fail_after(0);
    while (event.kind != TFR_EVENT_END) {
        assert_ok(tfr_engine_step(engine, &info));
        while (tfr_request_poll(request, &event)) {
            size += event.text_size;
        }
    }
    tfr_request_close(request);
    return size;
}

/* Ids alone are continued where there is no tokenizer; one that is there must not be passed by because it
 * found no memory. */
TFR_TEST(text_is_not_lost_for_want_of_memory) {
    TFR_UNUSED_STATE;
    for (uint64_t n = 1; n <= 256; n *= 2) {
        struct tfr_engine *engine = open_model(TFR_SOURCE_DIR "/configs/demo", NULL, NULL);
        tfr_alloc_fail_after(1 + n); /* the first is the request's */
        assert_true(text_of_ids(engine) > 0);
        tfr_engine_close(engine);
    }
}

static long mapped_pages(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    return pages;
}

/* Opens an engine, runs a call of many steps whose logits are all kept (some 10 MB), closes it. */
static void keep_many_logits(void) {
    enum { N = 400 };
    static int32_t ids[N];
    struct tfr_engine *engine = open_model(TFR_SOURCE_DIR "/configs/demo", "runtime.max_rows", "100");
    struct tfr_session *session;
    const float *logits;
    assert_ok(tfr_session_open(&session, engine, N));
    const struct tfr_feed feed = {.session = session, .ids = ids, .n = N, .keep = N};
    assert_ok(tfr_engine_feed(engine, &feed, 1, &logits));
    tfr_session_close(session);
    tfr_engine_close(engine);
}

TFR_TEST(a_closed_engine_gives_back_what_it_mapped) {
    TFR_UNUSED_STATE;
#if defined(TFR_TEST_THREAD_SANITIZER)
    skip(); /* maps memory of its own for every page that the program ever had */
#endif
    keep_many_logits(); /* what stays of a first engine: libraries, threads */
    const long before = mapped_pages();
    for (int i = 0; i < 4; i++) {
        keep_many_logits();
    }
    assert_true((mapped_pages() - before) * 4096 < 20000000); /* the logits of two calls */
}

TFR_TEST_MAIN(TFR_CASE(stop_tokens_end_a_sequence_and_are_not_shown), TFR_CASE(text_is_not_lost_for_want_of_memory),
              TFR_CASE(a_closed_engine_gives_back_what_it_mapped), TFR_CASE(one_of_several_is_cancelled),
              TFR_CASE(a_signal_cancels_all_also_those_that_wait), TFR_CASE(a_prompt_that_is_not_scored_to_its_end_has_no_scores),
              TFR_CASE(a_nan_row_ends_its_own_request_alone), TFR_CASE(what_a_slot_held_before_changes_nothing),
              TFR_CASE(what_a_prompt_asks_in_vain_is_refused_at_submit), TFR_CASE(sessions_of_the_caller_may_hold_all_slots),
              TFR_CASE(without_memory_a_result_is_whole_or_an_error))

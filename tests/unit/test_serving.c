/* test_serving.c - an engine as a server has it: the same bits in any company and with any budget, ends in every state, refusals,
 * deadlines, work between steps, and counters that say what happened. */
#include "tfr_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tfr_serving.h"

#define DEMO TFR_SOURCE_DIR "/configs/demo"

static struct tfr_engine *open_demo(const char *key, const char *value) {
    const struct tfr_override overrides[] = {{"runtime.max_batch", "32", "the test"},
                                             {"runtime.threads", "2", "the test"},
                                             {"sampling.ignore_eos", "true", "the test"},
                                             {key, value, "the test"}};
    struct tfr_engine *engine;
    assert_ok(tfr_engine_open(&engine, DEMO, overrides, key != NULL ? 4 : 3));
    return engine;
}

/* As warm as tests need it: nothing is measured. */
static struct tfr_engine *open_server(const char *key, const char *value, int64_t chunk_rows) {
    struct tfr_engine *engine = open_demo(key, value);
    tfr_batcher_serve(engine->batcher);
    engine->batcher->chunk_rows = chunk_rows;
    return engine;
}

static struct tfr_serving look(const struct tfr_engine *engine) {
    struct tfr_serving serving;
    tfr_engine_serving(engine, &serving);
    return serving;
}

static void step(struct tfr_engine *engine, int n) {
    for (int i = 0; i < n; i++) {
        struct tfr_step_info info;
        assert_ok(tfr_engine_step(engine, &info));
    }
}

static void expect_same_answers(const struct served *have, const struct served *want, int64_t chunk_rows) {
    for (size_t i = 0; i < N_SERVED; i++) {
        assert_int_equal(have[i].status, TFR_OK);
        if (have[i].hash != want[i].hash) {
            fail_msg("request %zu with chunks of %lld: not what it is alone", i, (long long)chunk_rows);
        }
    }
}

TFR_TEST(no_budget_and_no_company_changes_a_bit) {
    TFR_UNUSED_STATE;
    static const int64_t chunks[] = {16, 37, 128, 512, 0};
    static struct served alone[N_SERVED], together[N_SERVED];
    struct tfr_engine *engine = open_demo("runtime.kv_dtype", "f32");
    assert_ok(serve_alone(engine, alone));
    tfr_engine_close(engine);
    for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
        size_t at_once;
        engine = open_server(NULL, NULL, chunks[c]);
        for (size_t i = 0; i < N_SERVED; i++) {
            char key[2] = {(char)('a' + i % 3), '\0'};
            const struct tfr_request_terms terms = {.key = i % 4 == 0 ? NULL : key, .batch = i % 5 == 0};
            assert_ok(serve_one(engine, i, &terms, &together[i]));
        }
        assert_ok(serve_all(engine, together, N_SERVED, &at_once));
        assert_true(at_once > 8);
        expect_same_answers(together, alone, chunks[c]);
        tfr_engine_close(engine);
    }
}

TFR_TEST(a_long_prompt_does_not_keep_short_ones_waiting) {
    TFR_UNUSED_STATE;
    static const size_t which[] = {0, 1, 5}; /* 390, 3 and 257 tokens */
    static struct served served[3];
    int steps[3] = {0};
    struct tfr_engine *engine = open_server(NULL, NULL, 32);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(serve_one(engine, which[i], NULL, &served[i]));
    }
    for (int n = 1; n < 60; n++) {
        step(engine, 1);
        for (size_t i = 0; i < 3; i++) {
            steps[i] = steps[i] == 0 && served[i].request->first_token_ns > 0 ? n : steps[i];
        }
    }
    assert_int_equal(steps[1], 1);     /* at once, */
    assert_in_range(steps[2], 17, 18); /* with half of the rows, */
    assert_in_range(steps[0], 21, 22); /* with the other half, then all */
    leave_all(served, 3);
    tfr_engine_close(engine);
}

static void submit_scored(struct tfr_engine *engine, size_t i, size_t n_ids, struct served *served) {
    static const char settings[] = "{\"max_tokens\": 1, \"logprobs\": 1, \"prompt_logprobs\": true}";
    int32_t ids[MOST_PROMPT];
    struct tfr_params *params;
    struct tfr_prompt prompt = served_prompt(0, ids);
    for (size_t k = 0; k < n_ids; k++) {
        ids[k] = (int32_t)((ids[k] + 17 * (int32_t)i) % 6000);
    }
    prompt.n_ids = n_ids;
    *served = (struct served){.hash = TFR_HASH_START};
    assert_ok(tfr_params_parse_json(engine, settings, strlen(settings), &params));
    assert_ok(tfr_request_submit_on(engine, &prompt, params, NULL, &served->request));
    tfr_params_free(params);
}

/* One that writes, and scored prompts that come all at once: long ones, and such as are no longer than what others write. */
TFR_TEST(scored_prompts_keep_to_the_budget) {
    TFR_UNUSED_STATE;
    enum { MANY = 20, BUDGET = 32 };
    static const size_t lengths[] = {390, 17};
    static struct served writer, scored[MANY];
    for (size_t l = 0; l < 2; l++) {
        struct tfr_engine *engine = open_server(NULL, NULL, BUDGET);
        assert_ok(serve_one(engine, 1, NULL, &writer));
        step(engine, 2);
        for (size_t i = 0; i < MANY; i++) {
            submit_scored(engine, i, lengths[l], &scored[i]);
        }
        for (size_t n_ended = 0; n_ended < MANY;) {
            struct tfr_step_info info;
            assert_ok(tfr_engine_step(engine, &info));
            assert_in_range(info.rows, 0, BUDGET + MANY + 1); /* and one row of each that writes */
            n_ended = 0;
            for (size_t i = 0; i < MANY; i++) {
                hear(&scored[i]);
                n_ended += scored[i].ended;
            }
        }
        leave_all(scored, MANY);
        leave_all(&writer, 1);
        tfr_engine_close(engine);
    }
}

/* In each state: queued, reading a prompt, writing. */
TFR_TEST(a_cancel_frees_its_places_in_two_steps) {
    TFR_UNUSED_STATE;
    static struct served served[4], alone[1];
    struct tfr_engine *engine = open_server("runtime.max_batch", "3", 16);
    size_t at_once;
    assert_ok(serve_one(engine, 5, NULL, &alone[0]));
    assert_ok(serve_all(engine, alone, 1, &at_once));
    assert_ok(serve_one(engine, 5, NULL, &served[0]));
    assert_ok(serve_one(engine, 1, NULL, &served[1]));
    assert_ok(serve_one(engine, 0, NULL, &served[2]));
    step(engine, 4);
    assert_ok(serve_one(engine, 7, NULL, &served[3]));
    step(engine, 1);
    assert_int_equal(look(engine).slots_used, 3);
    assert_int_equal(look(engine).waiting, 1);
    tfr_request_cancel(served[3].request); /* queued */
    tfr_request_cancel(served[2].request); /* 390 tokens, of which it has read some */
    tfr_request_cancel(served[1].request); /* writes */
    tfr_request_cancel(served[1].request);
    step(engine, 2);
    const struct tfr_serving serving = look(engine);
    assert_int_equal(serving.running, 1);
    assert_int_equal(serving.waiting, 0);
    assert_int_equal(serving.waiting_prompt_tokens, 0);
    assert_int_equal(serving.slots_used, 1);
    assert_int_equal(serving.cancelled_waiting, 1);
    assert_int_equal(serving.cancelled_prefill, 1);
    assert_int_equal(serving.cancelled_decode, 1);
    assert_in_range(serving.cancelled_steps_max, 0, 2);
    assert_ok(serve_all(engine, served, 4, &at_once));
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(served[i].status, TFR_CANCELLED);
        assert_string_equal(served[i].error, "stopped on request");
    }
    assert_true(served[0].status == TFR_OK && served[0].hash == alone[0].hash); /* the one beside them does not notice */
    tfr_engine_close(engine);
}

TFR_TEST(a_deadline_ends_a_request_wherever_it_is) {
    TFR_UNUSED_STATE;
    static struct served served[3];
    const struct tfr_request_terms soon = {.deadline_s = 1e-6}, late = {.deadline_s = 1e6};
    struct tfr_engine *engine = open_server("runtime.max_batch", "3", 16);
    size_t at_once;
    assert_ok(serve_one(engine, 0, &late, &served[0]));
    assert_ok(serve_one(engine, 1, &soon, &served[1])); /* before it began */
    assert_ok(serve_one(engine, 2, &late, &served[2]));
    step(engine, 2);
    served[2].request->continuation.terms.deadline_s = 1e-6; /* while it reads */
    assert_ok(serve_all(engine, served, 3, &at_once));
    assert_int_equal(served[0].status, TFR_OK);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(served[i].status, TFR_CANCELLED);
        assert_string_equal(served[i].error, "took longer than 1e-06 s, its limit");
    }
    tfr_engine_close(engine);
}

TFR_TEST(a_full_queue_refuses_and_takes_again) {
    TFR_UNUSED_STATE;
    static struct served served[5];
    struct served more;
    struct tfr_engine *engine = open_server("serve.max_queue", "3", 0);
    size_t at_once;
    for (size_t i = 0; i < 3; i++) { /* no step: all of them wait */
        assert_ok(serve_one(engine, i, NULL, &served[i]));
    }
    assert_refused(serve_one(engine, 3, NULL, &more), TFR_BUSY, "3 requests wait, 3 may (serve.max_queue)");
    assert_null(more.request);
    assert_int_equal(look(engine).refused_full, 1);
    assert_int_equal(look(engine).waiting, 3);
    assert_int_equal(look(engine).waiting_prompt_tokens, 390 + 3 + 150);
    assert_ok(serve_all(engine, served, 3, &at_once));
    assert_ok(serve_one(engine, 3, NULL, &served[0]));
    assert_ok(serve_all(engine, served, 1, &at_once));
    assert_int_equal(served[0].status, TFR_OK);
    tfr_engine_close(engine);
}

TFR_TEST(tokens_and_waits_have_limits_of_their_own) {
    TFR_UNUSED_STATE;
    static struct served served[3];
    struct served more;
    size_t at_once;
    struct tfr_engine *engine = open_server("serve.max_queue_tokens", "500", 0);
    assert_ok(serve_one(engine, 0, NULL, &served[0]));
    assert_refused(serve_one(engine, 2, NULL, &more), TFR_BUSY, "prompts of 390 tokens wait, 500 may (serve.max_queue_tokens)");
    assert_ok(serve_one(engine, 1, NULL, &served[1]));
    assert_int_equal(look(engine).refused_tokens, 1);
    assert_ok(serve_all(engine, served, 2, &at_once));
    tfr_engine_close(engine);

    engine = open_server("serve.max_queue_ms", "3000", 0);
    engine->batcher->queue->load.slots_total = engine->batcher->queue->load.slots_used = 32;
    engine->batcher->queue->load.soonest_s = 1.5;
    engine->batcher->queue->load.last_s = 52; /* as if such requests held all places */
    assert_ok(serve_one(engine, 0, NULL, &served[0]));
    assert_refused(serve_one(engine, 1, NULL, &more), TFR_BUSY, "it would wait for about 3.1 s, and 3.0 s are the limit");
    assert_true(look(engine).estimated_wait_s > 3.1 && look(engine).estimated_wait_s < 3.2);
    assert_int_equal(look(engine).refused_wait, 1);
    assert_ok(serve_all(engine, served, 1, &at_once));
    tfr_engine_close(engine);
}

TFR_TEST(prompts_of_one_question_come_all_or_none) {
    TFR_UNUSED_STATE;
    enum { MANY = 20 };
    static struct served served[MANY];
    struct tfr_request *requests[MANY];
    struct tfr_prompt prompts[MANY];
    int32_t ids[MOST_PROMPT], bad = 999999;
    size_t at_once;
    struct tfr_engine *engine = open_server("serve.max_queue", "8", 0);
    for (size_t i = 0; i < MANY; i++) {
        prompts[i] = served_prompt(1, ids);
    }
    assert_ok(tfr_request_submit_all(engine, prompts, MANY, NULL, NULL, requests)); /* nothing waits: more than may */
    assert_int_equal(look(engine).waiting, MANY);
    assert_int_equal(tfr_request_submit_all(engine, prompts, 1, NULL, NULL, &served[0].request), TFR_BUSY);
    for (size_t i = 0; i < MANY; i++) {
        served[i] = (struct served){.request = requests[i], .hash = TFR_HASH_START};
    }
    assert_ok(serve_all(engine, served, MANY, &at_once));
    assert_int_equal(at_once, MANY);
    prompts[MANY - 1] = (struct tfr_prompt){.ids = &bad, .n_ids = 1};
    assert_refused(tfr_request_submit_all(engine, prompts, MANY, NULL, NULL, requests), TFR_USAGE, "token id 999999");
    for (size_t i = 0; i < MANY; i++) {
        assert_null(requests[i]);
    }
    assert_int_equal(look(engine).waiting, 0);
    tfr_engine_close(engine);
}

/* One key floods the server, another comes later with one request. */
TFR_TEST(a_newcomer_is_served_before_a_backlog) {
    TFR_UNUSED_STATE;
    static struct served busy[12], newcomer;
    const struct tfr_request_terms one = {.key = "one"}, two = {.key = "two"};
    size_t n_before = 0, at_once;
    struct tfr_engine *engine = open_server("runtime.max_batch", "3", 0);
    for (size_t i = 0; i < 12; i++) {
        assert_ok(serve_one(engine, 7 * i, &one, &busy[i]));
    }
    step(engine, 2);
    assert_ok(serve_one(engine, 7, &two, &newcomer));
    while (newcomer.request->admitted_ns == 0) {
        step(engine, 1);
    }
    for (size_t i = 0; i < 12; i++) {
        n_before += busy[i].request->admitted_ns > 0 && busy[i].request->admitted_ns < newcomer.request->admitted_ns;
    }
    assert_in_range(n_before, 3, 4);
    assert_ok(serve_all(engine, busy, 12, &at_once));
    assert_ok(serve_all(engine, &newcomer, 1, &at_once));
    tfr_engine_close(engine);
}

static struct tfr_request *submit_settings(struct tfr_engine *engine, const char *settings, size_t n_ids) {
    int32_t ids[MOST_PROMPT];
    struct tfr_params *params;
    struct tfr_request *request;
    struct tfr_prompt prompt = served_prompt(0, ids);
    prompt.n_ids = n_ids;
    assert_ok(tfr_params_parse_json(engine, settings, strlen(settings), &params));
    assert_ok(tfr_request_submit_on(engine, &prompt, params, NULL, &request));
    tfr_params_free(params);
    return request;
}

/* Also those who leave before they got anything: a prompt that was half read, beams that have said nothing yet. */
TFR_TEST(a_key_is_charged_for_what_was_computed) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_server(NULL, NULL, 16);
    struct tfr_request *reader = submit_settings(engine, "{}", 390);
    step(engine, 3);
    assert_true(tfr_batcher_spent(engine->batcher, &reader->continuation) == 3 * 16);
    tfr_request_close(reader);
    step(engine, 1);
    struct tfr_request *beams = submit_settings(engine, "{\"num_beams\": 4, \"max_tokens\": 50}", 8);
    step(engine, 21); /* the prompt, then 20 times four tokens */
    const double token = tfr_step_token_weight(&engine->batcher->cost, 16);
    assert_int_equal(beams->continuation.output_tokens, 0);
    assert_true(tfr_batcher_spent(engine->batcher, &beams->continuation) == 8 + 80 * token);
    tfr_request_close(beams);
    tfr_engine_close(engine);
}

/* Of four texts on three places one comes after another; the places that are free then are other requests'. */
TFR_TEST(places_in_use_are_never_more_than_there_are) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_server("runtime.max_batch", "3", 0);
    struct tfr_request *several =
        submit_settings(engine, "{\"max_tokens\": 6, \"num_return_sequences\": 4, \"temperature\": 1}", 8);
    struct tfr_request *next = submit_settings(engine, "{\"max_tokens\": 4}", 9);
    bool were_together = false;
    for (int steps = 0; steps < 20; steps++) {
        step(engine, 1);
        were_together |= look(engine).running == 2;
        assert_in_range(look(engine).slots_used, 0, 3);
    }
    assert_true(were_together);
    assert_int_equal(look(engine).slots_used, 0);
    tfr_request_close(several);
    tfr_request_close(next);
    tfr_engine_close(engine);
}

/* More texts than a step has rows: what is made of their logits has room. */
TFR_TEST(many_texts_in_steps_of_few_rows) {
    TFR_UNUSED_STATE;
    static const char settings[] =
        "{\"max_tokens\": 3, \"num_return_sequences\": 24, \"temperature\": 1, \"seed\": 3, \"logprobs\": 2}";
    static struct served few, many;
    size_t at_once;
    for (int i = 0; i < 2; i++) {
        struct tfr_engine *engine = open_server("runtime.max_rows", i == 0 ? "3" : "512", 0);
        struct served *served = i == 0 ? &few : &many;
        *served = (struct served){.hash = TFR_HASH_START, .request = submit_settings(engine, settings, 8)};
        assert_ok(serve_all(engine, served, 1, &at_once));
        assert_int_equal(served->status, TFR_OK);
        assert_true(engine->batcher->groups.group[0].round.ahead.room >= 24 + 1);
        tfr_engine_close(engine);
    }
    assert_true(few.hash == many.hash);
}

static void note(struct tfr_engine *engine, void *user) {
    int32_t *notes = user;
    struct tfr_session *session;
    assert_ok(tfr_session_open(&session, engine, 4)); /* it may use the engine */
    tfr_session_close(session);
    notes[0]++;
}

static void look_within(struct tfr_engine *engine, void *user) {
    double *age_s = user;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    *age_s = look(engine).last_step_age_s;
}

/* What a watchdog sees of a first step that hangs. */
TFR_TEST(a_step_of_an_idle_engine_has_an_age_too) {
    TFR_UNUSED_STATE;
    double age_s = 0;
    struct tfr_engine *engine = open_server(NULL, NULL, 0);
    step(engine, 1);
    assert_true(look(engine).last_step_age_s == 0);
    assert_ok(tfr_engine_call(engine, look_within, &age_s));
    step(engine, 1);
    assert_true(age_s >= 0.02 && age_s < 60);
    assert_true(look(engine).last_step_age_s == 0);
    tfr_engine_close(engine);
}

static void *post_later(void *user) {
    static int32_t notes[8];
    struct tfr_engine *engine = user;
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    assert_ok(tfr_engine_call(engine, note, notes));
    return NULL;
}

TFR_TEST(calls_run_between_steps_in_order) {
    TFR_UNUSED_STATE;
    static struct served served[1];
    static int32_t notes[8];
    pthread_t thread;
    size_t at_once;
    struct tfr_engine *engine = open_server(NULL, NULL, 16);
    assert_ok(serve_one(engine, 0, NULL, &served[0]));
    step(engine, 1);
    for (int i = 0; i < 3; i++) {
        assert_ok(tfr_engine_call(engine, note, notes));
    }
    assert_int_equal(notes[0], 0);
    step(engine, 1);
    assert_int_equal(notes[0], 3);
    assert_ok(serve_all(engine, served, 1, &at_once));
    assert_int_equal(pthread_create(&thread, NULL, post_later, engine), 0);
    assert_true(tfr_engine_wait(engine, 100)); /* a call wakes an idle engine */
    step(engine, 1);
    pthread_join(thread, NULL);
    notes[0] = 0;
    assert_ok(tfr_engine_call(engine, note, notes));
    tfr_engine_close(engine); /* what was posted is not forgotten */
    assert_int_equal(notes[0], 1);
}

TFR_TEST(work_between_steps_finds_room_while_all_places_are_taken) {
    TFR_UNUSED_STATE;
    static struct served served[4];
    static int32_t notes[8];
    size_t at_once;
    struct tfr_engine *engine = open_server("runtime.max_batch", "2", 16);
    for (size_t i = 0; i < 4; i++) { /* two wait */
        assert_ok(serve_one(engine, i == 2 ? 5 : i, NULL, &served[i]));
    }
    step(engine, 2);
    assert_int_equal(look(engine).slots_used, 2);
    assert_ok(tfr_engine_call(engine, note, notes));
    step(engine, 1);
    assert_int_equal(notes[0], 1);
    assert_int_equal(look(engine).slots_used, 2); /* no request has the room that is kept for this */
    assert_ok(serve_all(engine, served, 4, &at_once));
    assert_int_equal(at_once, 2);
    tfr_engine_close(engine);
}

TFR_TEST(a_snapshot_adds_up) {
    TFR_UNUSED_STATE;
    static struct served served[N_SERVED];
    size_t at_once, prompt = 0, output = 0;
    struct tfr_engine *engine = open_server("runtime.max_batch", "8", 0);
    assert_true(look(engine).running == 0 && look(engine).last_step_age_s == 0 && look(engine).estimated_wait_s == 0);
    for (size_t i = 0; i < N_SERVED; i++) {
        assert_ok(serve_one(engine, i, NULL, &served[i]));
    }
    step(engine, 3);
    assert_true(look(engine).running > 0 && look(engine).waiting > 0 && look(engine).slots_used <= 8);
    assert_true(look(engine).last_step_age_s > 0 && look(engine).last_step_age_s < 60);
    assert_ok(serve_all(engine, served, N_SERVED, &at_once));
    for (size_t i = 0; i < N_SERVED; i++) {
        prompt += served[i].stats.prompt_tokens;
        output += served[i].stats.output_tokens;
        assert_true(served[i].stats.prefill_ns > 0);
        assert_true(served[i].stats.waited_ns + served[i].stats.prefill_ns + served[i].stats.decode_ns <=
                    served[i].stats.total_ns + 1000);
    }
    const struct tfr_serving serving = look(engine);
    assert_int_equal(serving.running + serving.waiting + serving.slots_used, 0);
    assert_int_equal(serving.prompt_tokens, prompt);
    assert_int_equal(serving.generation_tokens, output);
    assert_true(serving.n_steps > 20 && serving.n_batch_rows >= prompt - serving.cached_tokens);
    assert_true(serving.last_step_age_s == 0);
    assert_true(serving.plans > 0 && serving.n_plans_made >= serving.plans);
    tfr_engine_close(engine);
}

TFR_TEST_MAIN(TFR_CASE(no_budget_and_no_company_changes_a_bit), TFR_CASE(a_long_prompt_does_not_keep_short_ones_waiting),
              TFR_CASE(scored_prompts_keep_to_the_budget), TFR_CASE(a_cancel_frees_its_places_in_two_steps),
              TFR_CASE(a_deadline_ends_a_request_wherever_it_is), TFR_CASE(a_full_queue_refuses_and_takes_again),
              TFR_CASE(tokens_and_waits_have_limits_of_their_own), TFR_CASE(prompts_of_one_question_come_all_or_none),
              TFR_CASE(a_newcomer_is_served_before_a_backlog), TFR_CASE(calls_run_between_steps_in_order),
              TFR_CASE(work_between_steps_finds_room_while_all_places_are_taken), TFR_CASE(a_step_of_an_idle_engine_has_an_age_too),
              TFR_CASE(a_snapshot_adds_up), TFR_CASE(a_key_is_charged_for_what_was_computed),
              TFR_CASE(places_in_use_are_never_more_than_there_are), TFR_CASE(many_texts_in_steps_of_few_rows))

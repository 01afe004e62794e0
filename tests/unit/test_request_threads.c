/* test_request_threads.c - what other threads may do: settings parsed, requests submitted, polled and
 * cancelled. */
#include "tfr_test.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "tfr_requests.h"

static enum tfr_status parse(struct tfr_engine *engine, const char *settings) {
    struct tfr_params *params;
    const enum tfr_status status = tfr_params_parse_json(engine, settings, strlen(settings), &params);
    tfr_params_free(params);
    return status;
}

TFR_TEST(wrong_settings_are_refused_by_name) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *settings, *words;
    } cases[] = {
        {"[1]", "must be an object"},
        {"{\"temperature\": \"hot\"}", "temperature = \"hot\" is not a number"},
        {"{\"temperature\": -1}", "temperature = -1 is outside 0..10000"},
        {"{\"temprature\": 1}", "did you mean \"temperature\"?"},
        {"{\"top_p\": 2, \"top_k\": -1}", "top_k = -1"}, /* all at once */
        {"{\"num_beams\": 4, \"num_return_sequences\": 5}", "is more than sampling.num_beams"},
        {"{\"num_beams\": 17}", "runtime.max_batch"},
        {"{\"num_return_sequences\": 2}", "greedy decoding would give one text many times"},
        {"{\"num_beams\": 2, \"logprobs\": 1}", "sampling.logprobs with num_beams = 2"},
        {"{\"prompt_logprobs\": true}", "needs sampling.logprobs"},
        {"{\"prompt_logprobs\": true, \"logprobs\": 1, \"prompt_lookup\": 2}", "does not go with drafts"},
        {"{\"assistant\": \"/somewhere\"}", "an engine opens its assistant once"},
        {"{\"do_sample\": true, \"temperature\": 0}", "the request gives"},
        {"{\"bad_words_ids\": [[99]]}", "token 99, outside 0..60"},
        {"{\"stop\": [\"\"]}", "an empty item"},
    };
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(parse(engine, cases[i].settings), TFR_CONFIG, cases[i].words);
    }
    assert_ok(parse(engine, "{\"top_p\": 0.5, \"seed\": null, \"stop\": null}")); /* without effect, and as the config has it */
    const struct tfr_override wrong[] = {
        {"runtime.threads", "1", NULL}, {"output.file", "x", NULL}, {"sampling.top_p", "3", "top_p"}};
    struct tfr_params *params;
    for (size_t i = 0; i < 3; i++) {
        assert_refused(tfr_params_parse(engine, &wrong[i], 1, &params), TFR_CONFIG,
                       i < 2 ? "no setting of a request" : "outside 0..1");
        assert_null(params);
    }
    tfr_engine_close(engine);
}

TFR_TEST(a_request_beats_what_the_config_says) {
    TFR_UNUSED_STATE;
    static const char *const hot[] = {"{}"}, *const cold[] = {"{\"temperature\": 0}"},
                             *const plain[] = {"{\"temperature\": 0, \"max_tokens\": 3}"};
    static struct seen a[1], b[1], c[1];
    struct tfr_engine *engine = open_model(GOLDEN "base", "sampling.temperature", "3");
    const struct tfr_override shorter = {"sampling.max_tokens", "3", NULL};
    struct tfr_params *params;
    run_alone(engine, hot, 1, a);
    run_alone(engine, cold, 1, b);
    run_alone(engine, plain, 1, c);
    assert_true(memcmp(a->ids, b->ids, sizeof a->ids) != 0);
    assert_int_equal(c->n[0], 3);
    assert_memory_equal(c->ids[0], b->ids[0], 3 * sizeof(int32_t));
    assert_ok(tfr_params_parse(engine, &shorter, 1, &params));
    tfr_params_free(params);
    tfr_engine_close(engine);
}

struct client {
    pthread_t thread;
    struct tfr_engine *engine;
    size_t index;
    struct seen seen[4];
    atomic_bool ended;
};

/* Submits, polls until the end, four times; cancels its second one. */
static void *run_client(void *user) {
    struct client *client = user;
    for (size_t i = 0; i < 4; i++) {
        struct seen *seen = &client->seen[i];
        struct tfr_request *request = submit(client->engine, client->index, kinds[(client->index + i) % N_KINDS]);
        if (i == 1) {
            tfr_request_cancel(request);
        }
        while (seen->n_ends == 0) {
            poll_all(request, seen);
        }
        tfr_request_close(request);
    }
    atomic_store(&client->ended, true);
    return NULL;
}

/* A text prompt from each thread at once: whichever opens the tokenizer, both use it. */
static void *submit_text(void *user) {
    struct client *client = user;
    const struct tfr_prompt prompt = {.text = "Once upon a time", .size = 16};
    struct tfr_request *request;
    assert_ok(tfr_request_submit(client->engine, &prompt, NULL, &request));
    while (client->seen[0].n_ends == 0) {
        poll_all(request, &client->seen[0]);
    }
    tfr_request_close(request);
    atomic_store(&client->ended, true);
    return NULL;
}

static void count_notice(void *user) {
    ++*(int *)user; /* on the engine's thread */
}

TFR_TEST(clients_on_threads_of_their_own) {
    TFR_UNUSED_STATE;
    enum { CLIENTS = 3 };
    static struct client clients[CLIENTS];
    static struct seen alone[1];
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    int notices = 0;
    tfr_engine_notify(engine, count_notice, &notices);
    memset(clients, 0, sizeof clients);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i].engine = engine;
        clients[i].index = i;
        assert_int_equal(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
    }
    for (size_t n_ended = 0; n_ended < CLIENTS;) {
        struct tfr_step_info info;
        assert_ok(tfr_engine_step(engine, &info));
        if (info.running + info.waiting == 0) {
            tfr_engine_wait(engine, 0.01);
        }
        n_ended = 0;
        for (size_t i = 0; i < CLIENTS; i++) {
            n_ended += atomic_load(&clients[i].ended);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        for (size_t k = 0; k < 4; k++) {
            if (clients[i].seen[k].status == TFR_CANCELLED) {
                assert_int_equal(k, 1);
                continue;
            }
            struct tfr_request *request = submit(engine, i, kinds[(i + k) % N_KINDS]);
            memset(alone, 0, sizeof alone);
            run_all(engine, &request, alone, 1);
            expect_same(&clients[i].seen[k], alone, i);
        }
    }
    assert_true(notices > 0);
    assert_false(tfr_engine_wait(engine, 0));
    tfr_engine_close(engine);
}

static void *submit_later(void *user) {
    struct client *client = user;
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    return submit_text(client);
}

/* No time is too long to wait, INFINITY included: it is not over at once. */
TFR_TEST(a_wait_has_no_longest_time) {
    TFR_UNUSED_STATE;
    static const double seconds[] = {INFINITY, 1e30, 1e10};
    static struct client client;
    struct tfr_engine *engine = open_model(TFR_SOURCE_DIR "/configs/demo", NULL, NULL);
    struct tfr_step_info info;
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        client = (struct client){.engine = engine};
        assert_int_equal(pthread_create(&client.thread, NULL, submit_later, &client), 0);
        assert_true(tfr_engine_wait(engine, seconds[i]));
        while (!atomic_load(&client.ended)) {
            assert_ok(tfr_engine_step(engine, &info));
        }
        pthread_join(client.thread, NULL);
        assert_ok(tfr_engine_step(engine, &info)); /* hears of the close */
    }
    assert_false(tfr_engine_wait(engine, -INFINITY));
    assert_false(tfr_engine_wait(engine, NAN));
    tfr_engine_close(engine);
}

TFR_TEST(a_tokenizer_is_opened_by_whoever_needs_it) {
    TFR_UNUSED_STATE;
    static struct client clients[2];
    struct tfr_engine *engine = open_model(TFR_SOURCE_DIR "/configs/demo", NULL, NULL);
    memset(clients, 0, sizeof clients);
    for (size_t i = 0; i < 2; i++) {
        clients[i].engine = engine;
        assert_int_equal(pthread_create(&clients[i].thread, NULL, submit_text, &clients[i]), 0);
    }
    while (!atomic_load(&clients[0].ended) || !atomic_load(&clients[1].ended)) {
        struct tfr_step_info info;
        assert_ok(tfr_engine_step(engine, &info));
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].seen[0].status, TFR_OK);
        assert_int_equal(clients[i].seen[0].n[0], 8);
    }
    expect_same(&clients[0].seen[0], &clients[1].seen[0], 0);
    tfr_engine_close(engine);
}

TFR_TEST_MAIN(TFR_CASE(wrong_settings_are_refused_by_name), TFR_CASE(a_request_beats_what_the_config_says),
              TFR_CASE(clients_on_threads_of_their_own), TFR_CASE(a_wait_has_no_longest_time),
              TFR_CASE(a_tokenizer_is_opened_by_whoever_needs_it))

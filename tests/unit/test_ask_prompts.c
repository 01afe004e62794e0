/* test_ask_prompts.c - the prompts of a request as they wait for the engine: their ids, and a text only where one is shown. */
#include "app/http/ask_prompts.h"

#include <stdlib.h>

#include "base/status.h"
#include "tfr_test.h"

#define DEMO TFR_SOURCE_DIR "/configs/demo"

static void open_server(struct tfr_server *server, struct tfr_settings **settings) {
    assert_ok(tfr_settings_open(settings, DEMO, NULL, 0));
    *server = (struct tfr_server){.settings = *settings, .n_positions = 512, .vocab_size = 2048};
    assert_ok(tfr_vocabulary_open(&server->vocabulary, DEMO, NULL, 0));
    tfr_server_measure_texts(server);
}

static void close_server(struct tfr_server *server, struct tfr_settings *settings) {
    tfr_vocabulary_close(server->vocabulary);
    tfr_settings_close(settings);
}

/* What embeddings and labels are asked for. */
TFR_TEST(inputs_that_wait_have_no_text) {
    TFR_UNUSED_STATE;
    static const char body[] = "{\"input\":[\"Once upon a time\",\"the sea\"]}";
    struct tfr_settings *settings;
    struct tfr_server server;
    struct tfr_ask_prompts prompts;
    struct tfr_refusal refusal;
    open_server(&server, &settings);
    struct tfr_call call = {.server = &server};
    struct tfr_json_doc *doc = tfr_fields_open(body, sizeof body - 1, &refusal);
    assert_non_null(doc);
    const tfr_json *input = tfr_json_member(tfr_json_root(doc), "input");
    assert_true(tfr_ask_prompts_read(&prompts, &server, doc, input, "prompt", 2, -1, &refusal));
    assert_string_equal(prompts.list[1].text, "the sea"); /* an echo would show it */
    tfr_ask_prompts_free(&prompts);
    assert_true(tfr_ask_prompts_read_input(&prompts, &call, doc, input, &refusal));
    tfr_json_close(doc);
    assert_int_equal(prompts.n, 2);
    assert_int_equal(call.prompt_tokens, prompts.list[0].n + prompts.list[1].n);
    for (size_t i = 0; i < prompts.n; i++) {
        assert_true(prompts.list[i].text == NULL && prompts.list[i].text_size == 0);
        assert_true(prompts.list[i].ids != NULL && prompts.list[i].n > 0);
    }
    tfr_ask_prompts_free(&prompts);
    close_server(&server, settings);
}

TFR_TEST(a_prompt_that_is_cut_has_its_last_ids_and_no_text) {
    TFR_UNUSED_STATE;
    struct tfr_ask_prompt prompt = {.ids = malloc(5 * sizeof *prompt.ids), .n = 5, .text = malloc(9), .text_size = 9};
    assert_true(prompt.ids != NULL && prompt.text != NULL);
    for (int32_t i = 0; i < 5; i++) {
        prompt.ids[i] = 10 + i;
    }
    tfr_ask_prompt_cut(&prompt, 2);
    assert_true(prompt.n == 2 && prompt.text == NULL && prompt.text_size == 0);
    assert_true(prompt.ids[0] == 13 && prompt.ids[1] == 14);
    free(prompt.ids);
}

TFR_TEST_MAIN(TFR_CASE(inputs_that_wait_have_no_text), TFR_CASE(a_prompt_that_is_cut_has_its_last_ids_and_no_text))

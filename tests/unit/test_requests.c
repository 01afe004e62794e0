/* test_requests.c - requests of all kinds in one batch: each gets the ids, bits and log-probabilities that it
 * gets alone. */
#include "tfr_test.h"

#include "tfr_requests.h"

/* Together in an engine of this size, they get what they get alone in another one. */
static void check_company(const char *key, const char *value, const char *const *settings, size_t n, size_t at_once) {
    static struct seen alone[MAX_REQUESTS], together[MAX_REQUESTS];
    struct tfr_request *requests[MAX_REQUESTS];
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    run_alone(engine, settings, n, alone);
    tfr_engine_close(engine);
    engine = open_model(GOLDEN "base", key, value);
    memset(together, 0, sizeof together);
    for (size_t i = 0; i < n; i++) {
        requests[i] = submit(engine, i, settings[i]);
    }
    assert_true(run_all(engine, requests, together, n) >= at_once);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(alone[i].status, TFR_OK);
        expect_same(&together[i], &alone[i], i);
    }
    tfr_engine_close(engine);
}

TFR_TEST(each_kind_has_in_company_what_it_has_alone) {
    TFR_UNUSED_STATE;
    check_company("runtime.max_batch", "16", kinds, N_KINDS, 7);
}

TFR_TEST(few_slots_and_few_rows_change_nothing) {
    TFR_UNUSED_STATE;
    check_company("runtime.max_batch", "3", kinds, N_KINDS, 1);
    check_company("runtime.max_rows", "2", kinds, N_KINDS, 6);
}

TFR_TEST(a_beam_and_a_greedy_request_share_steps) {
    TFR_UNUSED_STATE;
    static const char *const two[] = {"{\"num_beams\": 4}", "{}"};
    check_company("runtime.max_batch", "5", two, 2, 2);
}

TFR_TEST(drafts_of_a_model_share_steps) {
    TFR_UNUSED_STATE;
    static const char *const settings[] = {"{}", "{}", "{\"assistant\": false, \"num_beams\": 3}",
                                           "{\"temperature\": 2, \"seed\": 1}"};
    static struct seen plain[4], drafted[4];
    struct tfr_request *requests[4];
    struct tfr_engine *engine = open_model(GOLDEN "layers_5", NULL, NULL);
    run_alone(engine, settings, 3, plain);
    tfr_engine_close(engine);
    engine = open_model(GOLDEN "layers_5", "sampling.assistant", GOLDEN "base");
    memset(drafted, 0, sizeof drafted);
    for (size_t i = 0; i < 4; i++) {
        requests[i] = submit(engine, i, settings[i]);
    }
    assert_int_equal(run_all(engine, requests, drafted, 4), 4);
    for (size_t i = 0; i < 3; i++) { /* greedy: the ids of plain decoding; the rows that were looked at may be more */
        assert_memory_equal(drafted[i].ids[0], plain[i].ids[0], sizeof plain[i].ids[0]);
    }
    assert_int_equal(drafted[3].n[0], 8);
    tfr_engine_close(engine);
}

TFR_TEST(without_a_digest_all_else_is_the_same) {
    TFR_UNUSED_STATE;
    static struct seen with[TFR_COUNT_OF(kinds)], without[TFR_COUNT_OF(kinds)];
    struct tfr_request *requests[TFR_COUNT_OF(kinds)];
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    run_alone(engine, kinds, TFR_COUNT_OF(kinds), with);
    tfr_engine_set_digest(engine, false);
    memset(without, 0, sizeof without);
    for (size_t i = 0; i < TFR_COUNT_OF(kinds); i++) {
        requests[i] = submit(engine, i, kinds[i]);
    }
    run_all(engine, requests, without, TFR_COUNT_OF(kinds));
    for (size_t i = 0; i < TFR_COUNT_OF(kinds); i++) {
        assert_true(with[i].stats.logits_digest != 0 && without[i].stats.logits_digest == 0);
        with[i].stats.logits_digest = 0;
        expect_same(&without[i], &with[i], i);
    }
    tfr_engine_close(engine);
}

TFR_TEST(log_probabilities_are_those_of_score) {
    TFR_UNUSED_STATE;
    static const char *const settings[] = {"{\"logprobs\": 3, \"prompt_logprobs\": true, \"max_tokens\": 6}"};
    static struct seen seen[1], zero[1];
    struct tfr_engine *engine = open_model(GOLDEN "base", "runtime.max_rows", "3");
    run_alone(engine, settings, 1, seen);
    int32_t ids[MAX_TOKENS];
    memcpy(ids, seen->prompt, seen->n_prompt * sizeof *ids);
    memcpy(ids + seen->n_prompt, seen->ids[0], seen->n[0] * sizeof *ids);
    const struct tfr_score_item item = {.ids = ids, .n = seen->n_prompt + seen->n[0], .n_context = 1};
    struct tfr_score score;
    assert_ok(tfr_score(engine, &item, 1, &score));
    assert_int_equal(seen->n_prompt_logprobs + seen->n_logprobs, 4 * score.n_tokens);
    for (size_t i = 0; i < score.n_tokens; i++) {
        const bool of_prompt = i + 1 < seen->n_prompt;
        const struct tfr_logprob *have = of_prompt ? &seen->prompt_logprobs[4 * i] : &seen->logprobs[4 * (i + 1 - seen->n_prompt)];
        assert_true(have[0].id == score.tokens[i].id && have[0].logprob == score.tokens[i].logprob);
        assert_true(have[1].id == score.tokens[i].best_id && have[1].logprob == score.tokens[i].best_logprob);
        assert_true(have[1].logprob >= have[2].logprob && have[2].logprob >= have[3].logprob);
        assert_true(have[1].rank == 1 && have[2].rank == 2 && have[3].rank == 3);
        assert_true(have[0].rank > 3 ? have[0].logprob <= have[3].logprob : have[0].id == have[have[0].rank].id);
    }
    const struct tfr_prompt whole = {.ids = ids, .n_ids = item.n};
    static const char scoring[] = "{\"logprobs\": 0, \"prompt_logprobs\": true, \"max_tokens\": 0}";
    struct tfr_params *params;
    struct tfr_request *request;
    assert_ok(tfr_params_parse_json(engine, scoring, strlen(scoring), &params));
    assert_ok(tfr_request_submit(engine, &whole, params, &request));
    tfr_params_free(params);
    memset(zero, 0, sizeof zero);
    run_all(engine, &request, zero, 1);
    assert_int_equal(zero->n_prompt_logprobs, score.n_tokens);
    for (size_t i = 0; i < score.n_tokens; i++) {
        assert_true(zero->prompt_logprobs[i].logprob == score.tokens[i].logprob);
    }
    tfr_score_free(&score);
    tfr_engine_close(engine);
}

TFR_TEST_MAIN(TFR_CASE(each_kind_has_in_company_what_it_has_alone), TFR_CASE(few_slots_and_few_rows_change_nothing),
              TFR_CASE(a_beam_and_a_greedy_request_share_steps), TFR_CASE(drafts_of_a_model_share_steps),
              TFR_CASE(without_a_digest_all_else_is_the_same), TFR_CASE(log_probabilities_are_those_of_score))

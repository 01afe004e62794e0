/* test_no_memory.c - what finds no memory is refused or is whole: each allocation of a call is refused in turn, and where the call
 * goes well all the same, it has to give what it gives without a fault. */
#include <tfrun/profile.h>
#include <tfrun/tfrun.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "tfr_files.h"
#include "tfr_test.h"

static const char *const golden = TFR_SOURCE_DIR "/tests/model/golden/base";

/* One answer as a text of its own. */
typedef enum tfr_status (*ask_fn)(char **text);

/* Every `stride`-th allocation; all of them where the environment has TFR_EVERY_ALLOCATION, which takes some minutes. */
static void refuse_each(ask_fn ask, uint64_t stride) {
    enum { ENOUGH = 5 }; /* in a row that go well: there are no more to refuse */
    char *whole, *text;
    tfr_log_set_level(TFR_LOG_NONE);
    stride = getenv("TFR_EVERY_ALLOCATION") != NULL ? 1 : stride;
    assert_ok(ask(&whole));
    uint64_t i = 1;
    for (int n_good = 0; n_good < ENOUGH; i += stride) {
        text = NULL;
        tfr_alloc_fail_after(i);
        const enum tfr_status status = ask(&text);
        tfr_alloc_fail_after(0);
        n_good = status == TFR_OK ? n_good + 1 : 0;
        if (status == TFR_OK ? strcmp(text, whole) != 0 : status != TFR_RESOURCE) {
            fail_msg("allocation %llu: %s\n%s\ninstead of %s", (unsigned long long)i, tfr_status_name(status),
                     status == TFR_OK ? text : tfr_failure_text(), whole);
        }
        tfr_free(text);
    }
    assert_true(i > 20 * stride);
    tfr_free(whole);
}

static enum tfr_status ask_config(char **text) {
    static const struct tfr_override overrides[] = {
        {.key = "sampling.eos_token_id", .value = "[1, 2]", .origin = "--set"},
        {.key = "sampling.bad_words_ids", .value = "[[3], [4, 5]]", .origin = "--set"},
    };
    return tfr_report_config(golden, overrides, TFR_COUNT_OF(overrides), text);
}

TFR_TEST(a_config_is_printed_with_all_keys) {
    TFR_UNUSED_STATE;
    refuse_each(ask_config, 1);
}

static enum tfr_status ask_missing(char **text) {
    bool missing;
    TFR_TRY(tfr_weights_are_missing(golden, NULL, 0, &missing));
    *text = tfr_strdup(missing ? "missing" : "there");
    return *text != NULL ? TFR_OK : TFR_RESOURCE;
}

TFR_TEST(weights_that_are_there_are_not_missing) {
    TFR_UNUSED_STATE;
    refuse_each(ask_missing, 1);
}

static enum tfr_status ask_check(char **text) {
    static const struct tfr_override overrides[] = {
        {.key = "model.tokenizer", .value = TFR_SOURCE_DIR "/tests/model/text/tokenizer", .origin = "--tokenizer"}};
    enum tfr_status verdict;
    TFR_TRY(tfr_report_check(golden, overrides, TFR_COUNT_OF(overrides), TFR_REPORT_TEXT, text, &verdict));
    if (verdict == TFR_RESOURCE) { /* told in the report */
        tfr_free(*text);
        *text = NULL;
    }
    return verdict == TFR_RESOURCE ? verdict : TFR_OK; /* that tokenizer has more tokens than the model, which is told */
}

TFR_TEST(a_check_has_all_lines) {
    TFR_UNUSED_STATE;
    refuse_each(ask_check, 1);
}

static enum tfr_status ask_plan(char **text) {
    const struct tfr_plan_question question = {.rows = 8, .context = 4, .n_ranks = 2, .refusals = true};
    return tfr_report_plan(golden, NULL, 0, &question, TFR_REPORT_TEXT, text);
}

TFR_TEST(a_plan_does_not_depend_on_memory) {
    TFR_UNUSED_STATE;
    refuse_each(ask_plan, 17);
}

static enum tfr_status ask_graph(char **text) {
    const struct tfr_graph_question question = {.seq = 8, .batch = 1, .context = 4, .n_ranks = 2, .critical_path = true};
    return tfr_report_graph(golden, NULL, 0, &question, TFR_REPORT_TEXT, text);
}

TFR_TEST(a_graph_has_all_nodes) {
    TFR_UNUSED_STATE;
    refuse_each(ask_graph, 19);
}

static enum tfr_status ask_cost(char **text) {
    const struct tfr_cost_query query = {.level = TFR_COST_KERNEL, .form = TFR_COST_BOTH, .format = TFR_COST_JSON, .n_ranks = 2};
    return tfr_report_cost(golden, NULL, 0, &query, text);
}

TFR_TEST(a_cost_has_all_sums) {
    TFR_UNUSED_STATE;
    refuse_each(ask_cost, 17);
}

/* Ids, their log-probabilities and the digest of two prompts, from the opening of the engine on. */
static enum tfr_status ask_generation(char **text) {
    static const struct tfr_override overrides[] = {{.key = "runtime.threads", .value = "1", .origin = "--threads"},
                                                    {.key = "sampling.max_tokens", .value = "3", .origin = "--max-tokens"},
                                                    {.key = "sampling.logprobs", .value = "2", .origin = "--logprobs"},
                                                    {.key = "output.format", .value = "json", .origin = "--json"}};
    static const int32_t ids[] = {1, 2, 3, 4, 5};
    const struct tfr_prompt prompts[] = {{.ids = ids, .n_ids = 5}, {.ids = ids + 1, .n_ids = 2}};
    struct tfr_generation results[TFR_COUNT_OF(prompts)] = {{0}};
    struct tfr_generation_stats stats;
    struct tfr_engine *engine;
    uint64_t sum = 0;
    TFR_TRY(tfr_engine_open(&engine, golden, overrides, TFR_COUNT_OF(overrides)));
    enum tfr_status status = tfr_generate(engine, prompts, TFR_COUNT_OF(prompts), NULL, NULL, results, &stats);
    for (size_t i = 0; i < TFR_COUNT_OF(prompts) && status == TFR_OK; i++) {
        const struct tfr_generation *result = &results[i];
        sum = tfr_hash(sum, result->ids, result->n_ids * sizeof *result->ids);
        for (size_t k = 0; k < result->n_ids * (result->n_top + 1); k++) {
            sum = tfr_hash(sum, &result->logprobs[k].id, sizeof result->logprobs[k].id);
        }
    }
    for (size_t i = 0; i < TFR_COUNT_OF(prompts); i++) {
        tfr_generation_free(&results[i]);
    }
    tfr_engine_close(engine);
    if (status == TFR_OK) {
        *text = tfr_format("%llx %llx", (unsigned long long)sum, (unsigned long long)stats.logits_digest);
        status = *text != NULL ? TFR_OK : TFR_RESOURCE;
    }
    return status;
}

TFR_TEST(a_generation_is_whole) {
    TFR_UNUSED_STATE;
    refuse_each(ask_generation, 19);
}

TFR_TEST(a_model_is_never_quantized_into_its_own_folder) {
    TFR_UNUSED_STATE;
    const struct tfr_override overrides[] = {{.key = "output.file", .value = golden, .origin = "-o"},
                                             {.key = "output.force", .value = "true", .origin = "--force"}};
    const struct tfr_quantize_request request = {.to = "int8"};
    for (uint64_t i = 0; i < 300; i++) {
        tfr_alloc_fail_after(i);
        assert_int_not_equal(tfr_quantize_check(golden, overrides, TFR_COUNT_OF(overrides), &request), TFR_OK);
        tfr_alloc_fail_after(0);
    }
}

TFR_TEST_MAIN(TFR_CASE(a_config_is_printed_with_all_keys), TFR_CASE(weights_that_are_there_are_not_missing),
              TFR_CASE(a_check_has_all_lines), TFR_CASE(a_plan_does_not_depend_on_memory), TFR_CASE(a_graph_has_all_nodes),
              TFR_CASE(a_cost_has_all_sums), TFR_CASE(a_generation_is_whole),
              TFR_CASE(a_model_is_never_quantized_into_its_own_folder))

/* test_processors.c - the score pipeline against transformers' own processors (tests/model/golden/processors.json): the banned
 * tokens are the same ones exactly, the other scores within 1e-6. Then what transformers has no processor for. */
#include "tfr_test.h"

#include <math.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "config/config_internal.h"
#include "generation/pipeline.h"
#include "generation/sampler.h"

enum { V = 50, MAX_IDS = 64 };

static int64_t whole(const tfr_json *object, const char *key) {
    return (int64_t)tfr_json_number(tfr_json_member(object, key));
}

static void read_row(const tfr_json *list, float *row) {
    assert_int_equal(tfr_json_size(list), V);
    int i = 0;
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        row[i++] = tfr_json_kind(item) == TFR_JSON_NULL     ? -INFINITY
                   : tfr_json_kind(item) == TFR_JSON_STRING ? NAN
                                                            : (float)tfr_json_number(item);
    }
}

static void set(struct tfr_options *options, const char *key, const char *value) {
    char why[256];
    const int option = tfr_option_find(key);
    if (option < 0 || tfr_option_from_text(options, option, value, why, sizeof why) != TFR_OK) {
        fail_msg("%s = %s: %s", key, value, option < 0 ? "no such option" : why);
    }
}

static void set_json(struct tfr_options *options, const struct tfr_json_doc *doc, const char *key, const tfr_json *node) {
    char *text = tfr_config_json_text(doc, node);
    assert_non_null(text);
    set(options, key, text);
    tfr_free(text);
}

static void take_settings(struct tfr_options *options, const struct tfr_json_doc *doc, const tfr_json *item) {
    char beams[24];
    tfr_options_set_defaults(options);
    set(options, "sampling.temperature", "1");
    for (const tfr_json *node = tfr_json_first(tfr_json_member(item, "settings")); node != NULL; node = tfr_json_next(node)) {
        set_json(options, doc, tfr_json_key(node), node);
    }
    set(options, "sampling.do_sample", tfr_json_bool(tfr_json_member(item, "do_sample")) ? "true" : "false");
    set_json(options, doc, "sampling.eos_token_id", tfr_json_member(item, "eos"));
    snprintf(beams, sizeof beams, "%lld", (long long)whole(item, "num_beams"));
    set(options, "sampling.num_beams", beams);
}

static void expect_row(const float *got, const float *expected, int index, const char *name) {
    for (int i = 0; i < V; i++) {
        const bool same = isinf(expected[i]) || isinf(got[i])
                              ? got[i] == expected[i]
                              : fabs((double)got[i] - (double)expected[i]) <= 1e-6 * fmax(1, fabs((double)expected[i]));
        if (!same) {
            fail_msg("case %d (%s): score %d is %.9g, transformers has %.9g", index, name, i, (double)got[i], (double)expected[i]);
        }
    }
}

static void check_case(const struct tfr_json_doc *doc, const tfr_json *item, int index) {
    struct tfr_options options = {0};
    struct tfr_pipeline pipeline;
    struct tfr_processors processors;
    int32_t ids[MAX_IDS];
    float scores[V], expected[V];
    struct tfr_score_row row = {.ids = ids, .n_prompt = whole(item, "n_prompt"), .max_length = whole(item, "max_length")};
    for (const tfr_json *id = tfr_json_first(tfr_json_member(item, "ids")); id != NULL; id = tfr_json_next(id)) {
        ids[row.n++] = (int32_t)tfr_json_number(id);
    }
    take_settings(&options, doc, item);
    assert_ok(tfr_pipeline_open(&pipeline, &options, -1, V));
    assert_ok(tfr_processors_open(&processors, &pipeline, V));
    read_row(tfr_json_member(item, "before"), scores);
    read_row(tfr_json_member(item, "after"), expected);
    assert_false(tfr_processors_idle(&processors));
    tfr_processors_apply(&processors, &row, scores);
    expect_row(scores, expected, index, tfr_json_string(tfr_json_first(tfr_json_member(item, "processors"))));
    tfr_processors_close(&processors);
    tfr_pipeline_close(&pipeline);
    tfr_options_free(&options);
}

/* Cases of one processor, or of several. */
static void check_cases(bool single, int at_least) {
    struct tfr_json_doc *doc;
    assert_ok(tfr_json_open_file(&doc, TFR_SOURCE_DIR "/tests/model/golden/processors.json", TFR_MODEL));
    int index = 0, checked = 0;
    for (const tfr_json *item = tfr_json_first(tfr_json_member(tfr_json_root(doc), "cases")); item != NULL;
         item = tfr_json_next(item)) {
        if ((tfr_json_size(tfr_json_member(item, "settings")) == 1) == single) {
            check_case(doc, item, index);
            checked++;
        }
        index++;
    }
    assert_true(checked >= at_least);
    tfr_json_close(doc);
}

TFR_TEST(every_processor_alone_gives_the_scores_of_transformers) {
    TFR_UNUSED_STATE;
    check_cases(true, 60);
}

TFR_TEST(random_combinations_give_the_scores_of_transformers) {
    TFR_UNUSED_STATE;
    check_cases(false, 60);
}

static void apply_text(const char *key, const char *value, const int32_t *ids, int64_t n, int64_t n_prompt, float *scores) {
    struct tfr_options options = {0};
    struct tfr_pipeline pipeline;
    struct tfr_processors processors;
    tfr_options_set_defaults(&options);
    set(&options, key, value);
    assert_ok(tfr_pipeline_open(&pipeline, &options, 0, V));
    assert_ok(tfr_processors_open(&processors, &pipeline, V));
    const struct tfr_score_row row = {.ids = ids, .n = n, .n_prompt = n_prompt, .max_length = n + 5};
    tfr_processors_apply(&processors, &row, scores);
    tfr_processors_close(&processors);
    tfr_pipeline_close(&pipeline);
    tfr_options_free(&options);
}

TFR_TEST(openai_penalties_count_generated_tokens_only) {
    TFR_UNUSED_STATE;
    const int32_t ids[] = {3, 3, 5, 7, 5};
    float scores[V] = {0};
    apply_text("sampling.frequency_penalty", "0.5", ids, 5, 2, scores);
    assert_true(scores[5] == -1.0f && scores[7] == -0.5f && scores[3] == 0);
    memset(scores, 0, sizeof scores);
    apply_text("sampling.presence_penalty", "0.5", ids, 5, 2, scores);
    assert_true(scores[5] == -0.5f && scores[7] == -0.5f && scores[3] == 0);
}

TFR_TEST(logit_bias_is_added) {
    TFR_UNUSED_STATE;
    const int32_t ids[] = {3};
    float scores[V] = {1, 1, 1};
    apply_text("sampling.logit_bias", "{\"2\": -100, \"7\": 0.25}", ids, 1, 1, scores);
    assert_true(scores[2] == -99.0f && scores[7] == 0.25f && scores[0] == 1);
}

/* transformers gives NaN here. */
TFR_TEST(a_banned_end_token_stays_banned_under_decay) {
    TFR_UNUSED_STATE;
    const int32_t ids[] = {3, 4, 5};
    float scores[V] = {-INFINITY, 1};
    apply_text("sampling.exponential_decay_length_penalty", "[0, 1.5]", ids, 3, 1, scores);
    assert_true(scores[0] == -INFINITY && scores[1] == 1);
}

/* `n` items as the list of an option, opened for a vocabulary of `vocab_size`. */
static void open_list(struct tfr_pipeline *pipeline, const char *key, const char *form, int n, int64_t vocab_size) {
    enum { MOST = 32 };
    struct tfr_options options = {0};
    char *text = calloc((size_t)n, MOST);
    assert_non_null(text);
    size_t length = 0;
    for (int i = 0; i < n; i++) {
        length += (size_t)snprintf(text + length, MOST, form, i == 0 ? '[' : ',', i / 1000, i % 1000);
    }
    text[length] = ']';
    tfr_options_set_defaults(&options);
    set(&options, key, text);
    free(text);
    assert_ok(tfr_pipeline_open(pipeline, &options, -1, vocab_size));
    tfr_options_free(&options);
}

/* A file may list very many: each was compared with all before it, for minutes. */
TFR_TEST(long_lists_take_no_square_of_their_length) {
    TFR_UNUSED_STATE;
    enum { PHRASES = 600000, ENDS = 1000000 };
    struct tfr_pipeline pipeline;
    open_list(&pipeline, "sampling.bad_words_ids", "%c[%d,%d]", PHRASES, 1000);
    assert_int_equal(pipeline.bad_words.n, PHRASES);
    assert_int_equal(pipeline.bad_words.items[1001].tokens.ids[0], 1);
    tfr_pipeline_close(&pipeline);
    open_list(&pipeline, "sampling.eos_token_id", "%c1%d%03d", ENDS, 1 << 24);
    assert_int_equal(pipeline.eos.n, ENDS);
    assert_true(tfr_pipeline_ends(&pipeline, 1999999) && !tfr_pipeline_ends(&pipeline, 5));
    tfr_pipeline_close(&pipeline);
}

TFR_TEST(a_phrase_that_comes_again_has_the_last_bias_in_the_first_place) {
    TFR_UNUSED_STATE;
    struct tfr_options options = {0};
    struct tfr_pipeline pipeline;
    tfr_options_set_defaults(&options);
    set(&options, "sampling.sequence_bias", "[[[7], 1], [[3, 4], 2], [[3], 3], [[3, 4], 4], [[7], 5], [[9], 6], [[7], 7]]");
    set(&options, "sampling.eos_token_id", "[9, 3, 60, 9, 1, 3]");
    assert_ok(tfr_pipeline_open(&pipeline, &options, -1, V));
    const struct tfr_phrase_list *list = &pipeline.sequence_bias;
    assert_int_equal(list->n, 4);
    assert_true(list->items[0].tokens.ids[0] == 7 && list->items[0].bias == 7);
    assert_true(list->items[1].tokens.n == 2 && list->items[1].bias == 4);
    assert_true(list->items[2].tokens.n == 1 && list->items[2].bias == 3);
    assert_true(list->items[3].tokens.ids[0] == 9 && list->items[3].bias == 6);
    assert_int_equal(pipeline.eos.n, 3);
    assert_true(tfr_pipeline_ends(&pipeline, 9) && tfr_pipeline_ends(&pipeline, 1) && !tfr_pipeline_ends(&pipeline, 2));
    tfr_pipeline_close(&pipeline);
    tfr_options_free(&options);
}

TFR_TEST(lists_that_are_none_are_refused_by_key) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *key, *value, *words;
    } cases[] = {
        {"sampling.bad_words_ids", "[1, 2]", "sampling.bad_words_ids must be"},
        {"sampling.bad_words_ids", "[[50]]", "token 50, outside 0..49"},
        {"sampling.sequence_bias", "[[[1]]]", "sampling.sequence_bias must be"},
        {"sampling.suppress_tokens", "[[]]", "sampling.suppress_tokens holds something"},
        {"sampling.suppress_tokens", "{\"a\": 1}", "sampling.suppress_tokens must be"},
        {"sampling.bad_words_ids", "[[]]", "sampling.bad_words_ids must be"},
        {"sampling.suppress_tokens", "[1.5]", "not a token id"},
        {"sampling.logit_bias", "{\"x\": 1}", "sampling.logit_bias"},
        {"sampling.exponential_decay_length_penalty", "[1]", "must be a pair"},
        {"sampling.forced_bos_token_id", "50", "outside 0..49"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tfr_options options = {0};
        struct tfr_pipeline pipeline;
        tfr_options_set_defaults(&options);
        set(&options, cases[i].key, cases[i].value);
        assert_refused(tfr_pipeline_open(&pipeline, &options, 0, V), TFR_CONFIG, cases[i].words);
        tfr_options_free(&options);
    }
}

TFR_TEST(every_processor_has_an_option) {
    TFR_UNUSED_STATE;
    const char *option;
    for (size_t i = 0; tfr_processor_name(i, &option) != NULL; i++) {
        assert_true(tfr_option_find(option) >= 0);
    }
}

TFR_TEST_MAIN(TFR_CASE(every_processor_alone_gives_the_scores_of_transformers),
              TFR_CASE(random_combinations_give_the_scores_of_transformers), TFR_CASE(openai_penalties_count_generated_tokens_only),
              TFR_CASE(logit_bias_is_added), TFR_CASE(a_banned_end_token_stays_banned_under_decay),
              TFR_CASE(long_lists_take_no_square_of_their_length),
              TFR_CASE(a_phrase_that_comes_again_has_the_last_bias_in_the_first_place),
              TFR_CASE(lists_that_are_none_are_refused_by_key), TFR_CASE(every_processor_has_an_option))

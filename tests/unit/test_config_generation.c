/* test_config_generation.c - generation settings from four places: which one wins, and what they mean together. */
#include "config/config.h"

#include "base/status.h"
#include "config/config_internal.h"
#include "tfr_files.h"
#include "tfr_test.h"

enum { SAMPLE_AUTO, SAMPLE, GREEDY };

static struct tfr_config *config;

/* Any of the three may be NULL: task_specific_params.text-generation, generation_config.json, tfrun.sampling. */
static enum tfr_status load_with(const char *task, const char *generation, const char *sampling,
                                 const struct tfr_override *overrides, size_t n) {
    char text[4096];
    tfr_test_folder("config_generation");
    if (generation != NULL) {
        tfr_test_write_text("generation_config.json", generation);
    }
    snprintf(text, sizeof text,
             "{\"model_type\": \"gpt2\", \"task_specific_params\": {\"text-generation\": %s}, \"tfrun\": {\"sampling\": %s}}",
             task != NULL ? task : "{}", sampling != NULL ? sampling : "{}");
    tfr_config_free(config);
    return tfr_config_load(&config, tfr_test_write_text("config.json", text), overrides, n);
}

static enum tfr_status load(const char *task, const char *generation, const char *sampling) {
    return load_with(task, generation, sampling, NULL, 0);
}

static enum tfr_status load_flag(const char *generation, const char *key, const char *value) {
    const struct tfr_override override = {.key = key, .value = value, .origin = "--flag"};
    return load_with(NULL, generation, NULL, &override, 1);
}

static void done(void) {
    tfr_config_free(config);
    config = NULL;
}

static enum tfr_origin origin(const char *key) {
    return (enum tfr_origin)config->origin[tfr_option_find(key)];
}

TFR_TEST(without_settings_it_is_greedy) {
    TFR_UNUSED_STATE;
    assert_ok(load(NULL, NULL, NULL));
    assert_int_equal(config->options.sampling_do_sample, GREEDY);
    assert_int_equal(config->options.sampling_top_k, 0);
    assert_int_equal(origin("sampling.top_k"), TFR_ORIGIN_DEFAULT);
    done();
}

TFR_TEST(the_stronger_source_wins_key_by_key) {
    TFR_UNUSED_STATE;
    const struct tfr_override flag = {.key = "sampling.top_p", .value = "0.4", .origin = "--top-p"};
    assert_ok(load_with("{\"top_p\": 0.1, \"top_k\": 1, \"min_p\": 0.1, \"typical_p\": 0.1}",
                        "{\"top_p\": 0.2, \"top_k\": 2, \"min_p\": 0.2}", "{\"top_p\": 0.3, \"top_k\": 3, \"temperature\": 1}",
                        &flag, 1));
    assert_true(config->options.sampling_top_p == 0.4);
    assert_int_equal(config->options.sampling_top_k, 3);
    assert_true(config->options.sampling_min_p == 0.2);
    assert_true(config->options.sampling_typical_p == 0.1);
    assert_int_equal(origin("sampling.top_p"), TFR_ORIGIN_OVERRIDE);
    assert_int_equal(origin("sampling.top_k"), TFR_ORIGIN_FILE);
    assert_int_equal(origin("sampling.min_p"), TFR_ORIGIN_GENERATION);
    assert_int_equal(origin("sampling.typical_p"), TFR_ORIGIN_TASK_PARAMS);
    done();
}

/* The hub's GPT-2: nobody who runs it asked for chance, so the same text comes every time. */
TFR_TEST(sampling_of_the_task_alone_has_seed_0_and_top_k_50) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"do_sample\": true, \"max_length\": 50}", NULL, NULL));
    assert_int_equal(config->options.sampling_do_sample, SAMPLE);
    assert_true(config->options.sampling_temperature == 1);
    assert_int_equal(config->options.sampling_top_k, 50);
    assert_int_equal(config->options.sampling_seed, 0);
    assert_int_equal(config->options.sampling_max_length, 50);
    assert_ok(load(NULL, "{\"do_sample\": true}", NULL));
    assert_int_equal(config->options.sampling_seed, -1);
    assert_int_equal(config->options.sampling_top_k, 50);
    done();
}

TFR_TEST(a_temperature_of_a_stronger_source_decides) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"do_sample\": true}", NULL, "{\"temperature\": 0}"));
    assert_int_equal(config->options.sampling_do_sample, GREEDY);
    assert_ok(load(NULL, "{\"do_sample\": false}", "{\"temperature\": 0.7}"));
    assert_int_equal(config->options.sampling_do_sample, SAMPLE);
    assert_ok(load(NULL, "{\"temperature\": 0.7}", NULL));
    assert_int_equal(config->options.sampling_do_sample, GREEDY);
    done();
}

TFR_TEST(do_sample_false_is_greedy_whatever_the_temperature) {
    TFR_UNUSED_STATE;
    assert_ok(load(NULL, NULL, "{\"do_sample\": false, \"temperature\": 0.7}"));
    assert_int_equal(config->options.sampling_do_sample, GREEDY);
    assert_ok(load_flag("{\"temperature\": 0}", "sampling.do_sample", "true"));
    assert_int_equal(config->options.sampling_do_sample, SAMPLE);
    assert_true(config->options.sampling_temperature == 1);
    assert_refused(load(NULL, NULL, "{\"do_sample\": true, \"temperature\": 0}"), TFR_CONFIG, "give a temperature above 0");
    done();
}

TFR_TEST(max_tokens_beats_max_length_unless_weaker) {
    TFR_UNUSED_STATE;
    assert_ok(load(NULL, "{\"max_length\": 30, \"max_new_tokens\": 7}", NULL));
    assert_int_equal(config->options.sampling_max_tokens, 7);
    assert_int_equal(config->options.sampling_max_length, 0);
    assert_ok(load(NULL, "{\"max_length\": 30}", "{\"max_tokens\": 9}"));
    assert_int_equal(config->options.sampling_max_length, 0);
    assert_ok(load_flag("{\"max_new_tokens\": 7}", "sampling.max_length", "30"));
    assert_int_equal(config->options.sampling_max_length, 30);
    done();
}

TFR_TEST(lists_are_read_from_hugging_face_files) {
    TFR_UNUSED_STATE;
    assert_ok(load(NULL,
                   "{\"eos_token_id\": [5, 6], \"bad_words_ids\": [[1, 2], [3]], \"early_stopping\": true, \"bos_token_id\": 9,"
                   " \"sequence_bias\": [[[1], -2.5]], \"stop_strings\": [\"x\"], \"_from_model_config\": true}",
                   NULL));
    assert_string_equal(config->options.sampling_eos_token_id, "[5,6]");
    assert_string_equal(config->options.sampling_bad_words_ids, "[[1,2],[3]]");
    assert_string_equal(config->options.sampling_sequence_bias, "[[[1],-2.5]]");
    assert_int_equal(config->options.sampling_early_stopping, 1);
    assert_int_equal(config->options.sampling_stop.n, 1);
    assert_int_equal(config->model.bos_token_id, 9);
    done();
}

TFR_TEST(what_is_not_built_is_refused_by_name) {
    TFR_UNUSED_STATE;
    assert_refused(load(NULL, "{\"penalty_alpha\": 0.6}", NULL), TFR_UNSUPPORTED, "generation_config.json:1:");
    assert_refused(load(NULL, "{\"num_beam_groups\": 2}", NULL), TFR_UNSUPPORTED, "num_beam_groups is not supported");
    assert_refused(load("{\"guidance_scale\": 1.5}", NULL, NULL), TFR_UNSUPPORTED, "guidance_scale");
    assert_ok(load(NULL, "{\"guidance_scale\": null, \"num_beam_groups\": 1, \"diversity_penalty\": 0.0, \"output_scores\": true}",
                   NULL));
    assert_refused(load(NULL, "{\"top_p\": 2}", NULL), TFR_CONFIG, "top_p = 2 is outside 0..1");
    assert_refused(load(NULL, "[]", NULL), TFR_CONFIG, "must be an object");
    assert_refused(load(NULL, "{", NULL), TFR_CONFIG, "generation_config.json:");
    done();
}

TFR_TEST(flags_without_effect_are_refused_and_file_settings_are_not) {
    TFR_UNUSED_STATE;
    assert_refused(load_flag(NULL, "sampling.top_k", "5"), TFR_USAGE, "--top-k does nothing without sampling");
    assert_refused(load_flag(NULL, "sampling.length_penalty", "2"), TFR_USAGE, "without beams");
    assert_refused(load_flag(NULL, "sampling.num_assistant_tokens", "3"), TFR_USAGE, "without a draft model");
    assert_ok(load_flag("{\"do_sample\": true}", "sampling.top_k", "5"));
    assert_ok(load_flag("{\"num_beams\": 2}", "sampling.length_penalty", "2"));
    assert_ok(load_flag(NULL, "sampling.top_p", "1"));
    assert_ok(load(NULL, "{\"top_k\": 5, \"length_penalty\": 2.0}", "{\"top_p\": 0.5}"));
    done();
}

TFR_TEST(empty_lists_are_neutral_and_empty_texts_are_not) {
    TFR_UNUSED_STATE;
    assert_ok(load(NULL, "{\"constraints\": [], \"force_words_ids\": [], \"watermarking_config\": {}}", NULL));
    assert_refused(load(NULL, NULL, "{\"stop\": [\"x\", \"\"]}"), TFR_CONFIG, "empty item");
    assert_ok(load(NULL, "{\"bos_token_id\": 50257}", NULL)); /* can't come, so it is none, as in config.json */
    assert_refused(load(NULL, "{\"bos_token_id\": \"x\"}", NULL), TFR_CONFIG, "bos_token_id must be a token id");
    done();
}

TFR_TEST(modes_that_exclude_each_other_are_refused) {
    TFR_UNUSED_STATE;
    assert_refused(load(NULL, NULL, "{\"num_return_sequences\": 2}"), TFR_CONFIG, "greedy decoding would give one text many times");
    assert_refused(load(NULL, NULL, "{\"num_return_sequences\": 3, \"num_beams\": 2}"), TFR_CONFIG,
                   "more than sampling.num_beams = 2");
    assert_refused(load(NULL, NULL, "{\"num_beams\": 17}"), TFR_CONFIG, "runtime.max_batch");
    assert_refused(load(NULL, NULL, "{\"num_beams\": 2, \"stop\": [\"x\"]}"), TFR_CONFIG, "sampling.stop with num_beams = 2");
    assert_refused(load(NULL, NULL, "{\"num_beams\": 2, \"prompt_lookup\": 3}"), TFR_CONFIG,
                   "assisted decoding makes one sequence");
    assert_refused(load(NULL, NULL, "{\"assistant\": \"x\", \"prompt_lookup\": 3}"), TFR_CONFIG, "two ways to draft");
    assert_refused(load(NULL, NULL, "{\"early_stopping\": \"soon\"}"), TFR_CONFIG, "false|true|never");
    assert_refused(load_flag(NULL, "sampling.bad_words_ids", "[[1,"), TFR_USAGE, "is not JSON");
    done();
}

TFR_TEST_MAIN(TFR_CASE(without_settings_it_is_greedy), TFR_CASE(the_stronger_source_wins_key_by_key),
              TFR_CASE(sampling_of_the_task_alone_has_seed_0_and_top_k_50), TFR_CASE(a_temperature_of_a_stronger_source_decides),
              TFR_CASE(do_sample_false_is_greedy_whatever_the_temperature), TFR_CASE(max_tokens_beats_max_length_unless_weaker),
              TFR_CASE(lists_are_read_from_hugging_face_files), TFR_CASE(what_is_not_built_is_refused_by_name),
              TFR_CASE(flags_without_effect_are_refused_and_file_settings_are_not),
              TFR_CASE(empty_lists_are_neutral_and_empty_texts_are_not), TFR_CASE(modes_that_exclude_each_other_are_refused))

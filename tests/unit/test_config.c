/* test_config.c - loading a config: the fields of Hugging Face, what is refused, and how it is said. */
#include "config/config.h"

#include <tfrun/plugin.h>

#include "base/arena.h"
#include "base/status.h"
#include "tfr_files.h"
#include "tfr_test.h"

static struct tfr_config *config;

static enum tfr_status load(const char *text) {
    tfr_test_folder("config");
    tfr_config_free(config);
    return tfr_config_load(&config, tfr_test_write_text("config.json", text), NULL, 0);
}

static void done(void) {
    tfr_config_free(config);
    config = NULL;
}

/* The text of the last failure has exactly these words somewhere. */
static void expect_words(const char *words) {
    if (strstr(tfr_failure_text(), words) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", tfr_failure_text(), words);
    }
}

TFR_TEST(defaults_are_those_of_gpt2config) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"model_type\": \"gpt2\"}"));
    const struct tfr_hparams *m = &config->model;
    assert_int_equal(m->vocab_size, 50257);
    assert_int_equal(m->n_positions, 1024);
    assert_int_equal(m->n_embd, 768);
    assert_int_equal(m->n_layer, 12);
    assert_int_equal(m->n_head, 12);
    assert_int_equal(m->n_inner, 3072);
    assert_int_equal(m->activation, TFR_ACT_GELU_TANH);
    assert_string_equal(m->activation_name, "gelu_new");
    assert_true(m->layer_norm_epsilon == 1e-5 && m->initializer_range == 0.02);
    assert_true(m->scale_attn_weights && m->tie_word_embeddings);
    assert_false(m->scale_attn_by_inverse_layer_idx || m->reorder_and_upcast_attn);
    assert_int_equal(m->bos_token_id, 50256);
    assert_int_equal(m->eos_token_id, 50256);
    assert_int_equal(m->pad_token_id, -1);
    assert_null(config->options.model_weights);
    assert_int_equal(config->options.sampling_max_tokens, 64);
    assert_int_equal(config->options.sampling_seed, -1);
    assert_int_equal(config->device_map.n_blocks, 0);
    done();
}

TFR_TEST(every_field_is_read) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 100,"
                   "\"n_positions\": 32, \"n_embd\": 24, \"n_layer\": 3, \"n_head\": 4, \"n_inner\": 50,"
                   "\"activation_function\": \"quick_gelu\", \"layer_norm_epsilon\": 1e-3,"
                   "\"initializer_range\": 0.5, \"scale_attn_weights\": false,"
                   "\"scale_attn_by_inverse_layer_idx\": true, \"reorder_and_upcast_attn\": true,"
                   "\"tie_word_embeddings\": false, \"bos_token_id\": 1, \"eos_token_id\": [2],"
                   "\"pad_token_id\": 3, \"some_new_key\": {\"a\": []}, \"torch_dtype\": \"float32\"}"));
    const struct tfr_hparams *m = &config->model;
    assert_int_equal(m->vocab_size + m->n_positions + m->n_embd + m->n_layer + m->n_head + m->n_inner, 213);
    assert_int_equal(m->activation, TFR_ACT_QUICK_GELU);
    assert_true(m->layer_norm_epsilon == 1e-3 && m->initializer_range == 0.5);
    assert_false(m->scale_attn_weights || m->tie_word_embeddings);
    assert_true(m->scale_attn_by_inverse_layer_idx && m->reorder_and_upcast_attn);
    assert_int_equal(m->bos_token_id * 100 + m->eos_token_id * 10 + m->pad_token_id, 123);
    done();
}

TFR_TEST(aliases_are_read_and_contradictions_refused) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"model_type\": \"gpt2\", \"hidden_size\": 8, \"num_hidden_layers\": 2,"
                   "\"num_attention_heads\": 2, \"max_position_embeddings\": 16, \"n_head\": 2, \"n_inner\": null}"));
    assert_int_equal(config->model.n_embd, 8);
    assert_int_equal(config->model.n_layer, 2);
    assert_int_equal(config->model.n_positions, 16);
    assert_int_equal(config->model.n_inner, 32);
    assert_refused(load("{\"model_type\": \"gpt2\", \"n_layer\": 2, \"num_hidden_layers\": 3}"), TFR_CONFIG,
                   "num_hidden_layers = 3 contradicts n_layer = 2");
    done();
}

TFR_TEST(every_activation_of_the_registry_is_known) {
    TFR_UNUSED_STATE;
#define EXPECT_ACTIVATION(enum_name, name, ...)                                                                                    \
    assert_ok(load("{\"model_type\": \"gpt2\", \"activation_function\": \"" name "\"}"));                                          \
    assert_int_equal(config->model.activation, TFR_ACT_##enum_name);                                                               \
    assert_string_equal(config->model.activation_name, name);
    TFR_ACTIVATION_LIST(EXPECT_ACTIVATION)
    done();
}

TFR_TEST(unknown_activation_names_the_nearest) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"model_type\": \"gpt2\",\n \"activation_function\": \"gelu_nwe\"}"), TFR_CONFIG,
                   "config.json:2:25: unknown activation_function \"gelu_nwe\"; did you mean \"gelu_new\"?");
    assert_refused(load("{\"model_type\": \"gpt2\", \"activation_function\": \"xyzzy\"}"), TFR_CONFIG,
                   "unknown activation_function \"xyzzy\"; GPT-2 models use gelu_new");
    assert_refused(load("{\"model_type\": \"gpt2\", \"activation_function\": \"prelu\"}"), TFR_UNSUPPORTED, "learned parameters");
    assert_refused(load("{\"model_type\": \"gpt2\", \"activation_function\": 1}"), TFR_CONFIG,
                   "activation_function = 1 is not a text");
    done();
}

TFR_TEST(n_embd_must_divide_by_n_head) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"model_type\": \"gpt2\", \"n_embd\": 770, \"n_head\": 12}"), TFR_CONFIG,
                   "n_embd = 770 is not divisible by n_head = 12");
    done();
}

TFR_TEST(sizes_outside_their_limits_are_refused) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"model_type\": \"gpt2\", \"n_layer\": 0}"), TFR_CONFIG, "n_layer = 0 is outside 1..65536");
    assert_refused(load("{\"model_type\": \"gpt2\", \"n_head\": -12}"), TFR_CONFIG, "n_head = -12 is outside");
    assert_refused(load("{\"model_type\": \"gpt2\", \"vocab_size\": 9007199254740993}"), TFR_CONFIG,
                   "vocab_size = 9007199254740993 is outside");
    assert_refused(load("{\"model_type\": \"gpt2\", \"n_inner\": 0}"), TFR_CONFIG, "n_inner = 0 is outside");
    assert_refused(load("{\"model_type\": \"gpt2\", \"layer_norm_epsilon\": -1}"), TFR_CONFIG,
                   "layer_norm_epsilon = -1 is outside 0..1");
    done();
}

TFR_TEST(wrong_types_are_refused) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"model_type\": \"gpt2\", \"n_layer\": \"12\"}"), TFR_CONFIG, "n_layer = \"12\" is not a whole number");
    assert_refused(load("{\"model_type\": \"gpt2\", \"n_layer\": 12.5}"), TFR_CONFIG, "n_layer = 12.5 is not a whole");
    assert_refused(load("{\"model_type\": \"gpt2\", \"n_layer\": null}"), TFR_CONFIG, "n_layer = null is not a whole");
    assert_refused(load("{\"model_type\": \"gpt2\", \"scale_attn_weights\": 1}"), TFR_CONFIG,
                   "scale_attn_weights = 1 is not true or false");
    assert_refused(load("{\"model_type\": \"gpt2\", \"attn_pdrop\": \"x\"}"), TFR_CONFIG, "attn_pdrop = \"x\" is not a number");
    assert_refused(load("[]"), TFR_CONFIG, "a config must be an object, this is an array");
    done();
}

TFR_TEST(tokens_outside_the_vocabulary_are_none) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"model_type\": \"gpt2\", \"vocab_size\": 100, \"pad_token_id\": null}"));
    assert_int_equal(config->model.bos_token_id, -1);
    assert_int_equal(config->model.eos_token_id, -1);
    assert_int_equal(config->model.pad_token_id, -1);
    assert_refused(load("{\"model_type\": \"gpt2\", \"bos_token_id\": [1, 2]}"), TFR_UNSUPPORTED,
                   "bos_token_id is a list of 2 ids");
    done();
}

TFR_TEST(several_end_tokens_are_all_kept) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"model_type\": \"gpt2\", \"eos_token_id\": [1, 2]}"));
    assert_int_equal(config->model.eos_token_id, 1);
    assert_string_equal(config->options.sampling_eos_token_id, "[1,2]");
    done();
}

TFR_TEST(other_models_are_refused_by_name) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"model_type\": \"llama\"}"), TFR_UNSUPPORTED, "model_type = \"llama\" is not supported");
    assert_refused(load("{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2ForEverything\"]}"), TFR_UNSUPPORTED,
                   "architecture GPT2ForEverything is not supported; tfrun runs GPT2LMHeadModel, GPT2Model");
    assert_refused(load("{\"vocab_size\": 5}"), TFR_CONFIG, "no model_type");
    assert_ok(load("{\"architectures\": [\"GPT2LMHeadModel\"]}"));
    assert_ok(load("{\"model_type\": \"gpt2\", \"architectures\": null}"));
    assert_ok(load("{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\", \"Other\"]}")); /* the first counts */
    done();
}

TFR_TEST(the_head_is_read_from_architectures) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"architectures\": [\"GPT2ForSequenceClassification\"], \"num_labels\": 4,"
                   "\"id2label\": {\"0\": \"A\", \"1\": \"B\", \"2\": \"C\"}, \"problem_type\": \"regression\"}"));
    assert_int_equal(config->model.head, TFR_HEAD_SEQUENCE);
    assert_int_equal(config->model.num_labels, 3); /* id2label counts */
    assert_int_equal(config->model.problem_type, TFR_PROBLEM_REGRESSION);
    assert_ok(load("{\"architectures\": [\"GPT2DoubleHeadsModel\"], \"num_labels\": 4, \"summary_type\": \"mean\","
                   "\"summary_activation\": \"tanh\", \"add_cross_attention\": true, \"is_causal\": false}"));
    assert_int_equal(config->model.head, TFR_HEAD_DOUBLE);
    assert_int_equal(config->model.num_labels, 1);
    assert_int_equal(config->model.summary_type, TFR_SUMMARY_MEAN);
    assert_int_equal(config->model.summary_activation, TFR_ACT_TANH);
    assert_true(config->model.add_cross_attention);
    assert_false(config->model.is_causal);
    assert_refused(load("{\"model_type\": \"gpt2\", \"summary_type\": \"attn\"}"), TFR_UNSUPPORTED,
                   "summary_type = \"attn\" is not supported");
    done();
}

TFR_TEST(unsupported_values_are_refused_by_name) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"model_type\": \"gpt2\", \"pruned_heads\": {\"0\": [1]}}"), TFR_UNSUPPORTED, "pruned_heads");
    assert_refused(load("{\"model_type\": \"gpt2\", \"quantization_config\": {\"bits\": 4}}"), TFR_UNSUPPORTED,
                   "quantization_config");
    assert_ok(load("{\"model_type\": \"gpt2\", \"add_cross_attention\": false, \"pruned_heads\": {},"
                   "\"is_causal\": true}"));
    done();
}

TFR_TEST(bad_json_has_line_and_column) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"model_type\": \"gpt2\",\n  \"n_layer\" 12}"), TFR_CONFIG, "config.json:2:13: ");
    assert_refused(load("{\"n_layer\": 1, \"n_layer\": 2}"), TFR_CONFIG, "n_layer");
    assert_refused(load("{\"model_type\": \"gpt2\"} x"), TFR_CONFIG, "config.json:1:24: ");
    assert_refused(load("{\"layer_norm_epsilon\": 1e999}"), TFR_CONFIG, "config.json:1:24: ");
    assert_refused(load(""), TFR_CONFIG, "config.json:1:1: ");
    done();
}

TFR_TEST(missing_files_and_folders_are_named) {
    TFR_UNUSED_STATE;
    tfr_test_folder("config");
    assert_refused(tfr_config_load(&config, tfr_test_path("nothing.json"), NULL, 0), TFR_RESOURCE,
                   "nothing.json: there is no such file");
    assert_null(config);
    assert_refused(tfr_config_load(&config, tfr_test_folder("config"), NULL, 0), TFR_RESOURCE, "this folder has no config.json");
    done();
}

TFR_TEST(a_folder_stands_for_its_config) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"model_type\": \"gpt2\", \"tfrun\": {\"model\": {\"weights\": \"w.safetensors\"}}}"));
    char weights[1024];
    snprintf(weights, sizeof(weights), "%s", config->options.model_weights);
    tfr_config_free(config);
    config = NULL;
    char folder[600];
    snprintf(folder, sizeof(folder), "%s/", tfr_test_folder_);
    assert_ok(tfr_config_load(&config, folder, NULL, 0));
    assert_string_equal(config->options.model_weights, weights);
    assert_non_null(strstr(config->path, "/config.json"));
    done();
}

TFR_TEST(all_problems_come_at_once_in_file_order) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\n \"tfrun\": {\"sampling\": {\"top_p\": 1.4}},\n \"n_layer\": 0,\n"
                        " \"activation_function\": \"gelo\",\n \"model_type\": \"gpt2\", \"pruned_heads\": {\"0\": [1]}}"),
                   TFR_CONFIG, "config.json:2:34: tfrun.sampling.top_p = 1.4 is outside 0..1\n");
    expect_words("config.json:3:13: n_layer = 0 is outside");
    expect_words("config.json:4:25: unknown activation_function");
    expect_words("config.json:5:40: pruned_heads");
    const char *text = tfr_failure_text();
    assert_true(strstr(text, "top_p") < strstr(text, "n_layer"));
    assert_true(strstr(text, "n_layer") < strstr(text, "activation_function"));
    int lines = 1;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, 4);
    done();
}

TFR_TEST(committed_configs_load) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *name;
        int64_t layers, width, heads;
    } known[] = {{"gpt2", 12, 768, 12},
                 {"gpt2-medium", 24, 1024, 16},
                 {"gpt2-large", 36, 1280, 20},
                 {"gpt2-xl", 48, 1600, 25},
                 {"distilgpt2", 6, 768, 12}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/configs/%s.json", TFR_SOURCE_DIR, known[i].name);
        assert_ok(tfr_config_load(&config, path, NULL, 0));
        assert_int_equal(config->model.n_layer, known[i].layers);
        assert_int_equal(config->model.n_embd, known[i].width);
        assert_int_equal(config->model.n_head, known[i].heads);
        assert_string_equal(config->options.model_name, known[i].name);
        done();
    }
}

/* Every allocation fails once: no crash, no leak, never half a config. */
static void expect_clean_failures(const char *text) {
    uint64_t i = 1;
    for (enum tfr_status status = TFR_RESOURCE; status != TFR_OK; i++) {
        tfr_alloc_fail_after(i);
        status = load(text);
        tfr_alloc_fail_after(0);
        assert_true(status == TFR_OK || (config == NULL && tfr_failure_text()[0] != '\0'));
        assert_true(i < 5000);
    }
    assert_true(i > 30);
    done();
}

TFR_TEST(no_leak_when_memory_ends) {
    TFR_UNUSED_STATE;
    expect_clean_failures("{\"model_type\": \"gpt2\", \"tfrun\": {\"model\": {\"weights\": \"w\", \"name\": \"n\"},"
                          "\"sampling\": {\"stop\": [\"a\", \"b\"]},"
                          "\"parallel\": {\"device_map\": {\"0\": [0,1,2,3,4,5,6,7,8,9,10,11]}}}}");
}

/* And none is taken for a config with fewer end tokens, or for one whose labels are wrong. */
TFR_TEST(no_memory_is_no_missing_value) {
    TFR_UNUSED_STATE;
    static const char text[] =
        "{\"architectures\": [\"GPT2ForSequenceClassification\"], \"vocab_size\": 100,"
        "\"eos_token_id\": [1, 2, 500], \"id2label\": {\"0\": \"no\", \"1\": \"yes\"}, \"tfrun\": {"
        "\"model\": {\"tokenizer\": \"t\"}, \"parallel\": {\"device_map\": {\"0\": [0,1,2,3,4,5,6,7,8,9,10,11]}},"
        "\"sampling\": {\"stop\": [\"a\", \"b\"], \"bad_words_ids\": [[1], [2, 3]]}}}";
    uint64_t i = 1;
    for (enum tfr_status status = TFR_RESOURCE; status != TFR_OK; i++) {
        tfr_alloc_fail_after(i);
        status = load(text);
        tfr_alloc_fail_after(0);
        if (status == TFR_OK) {
            assert_string_equal(config->options.sampling_eos_token_id, "[1,2]");
            assert_string_equal(config->labels.items[1], "yes");
        } else if (status != TFR_RESOURCE) {
            fail_msg("allocation %d: %s", (int)i, tfr_failure_text());
        }
    }
    assert_true(i > 30);
    done();
}

TFR_TEST_MAIN(TFR_CASE(no_leak_when_memory_ends), TFR_CASE(no_memory_is_no_missing_value),
              TFR_CASE(defaults_are_those_of_gpt2config), TFR_CASE(every_field_is_read),
              TFR_CASE(aliases_are_read_and_contradictions_refused), TFR_CASE(every_activation_of_the_registry_is_known),
              TFR_CASE(unknown_activation_names_the_nearest), TFR_CASE(n_embd_must_divide_by_n_head),
              TFR_CASE(sizes_outside_their_limits_are_refused), TFR_CASE(wrong_types_are_refused),
              TFR_CASE(tokens_outside_the_vocabulary_are_none), TFR_CASE(several_end_tokens_are_all_kept),
              TFR_CASE(other_models_are_refused_by_name), TFR_CASE(unsupported_values_are_refused_by_name),
              TFR_CASE(the_head_is_read_from_architectures), TFR_CASE(bad_json_has_line_and_column),
              TFR_CASE(missing_files_and_folders_are_named), TFR_CASE(a_folder_stands_for_its_config),
              TFR_CASE(all_problems_come_at_once_in_file_order), TFR_CASE(committed_configs_load))

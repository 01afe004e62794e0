/* test_config_tfrun.c - the key "tfrun", overrides, the device map, the option table. */
#include "config/config.h"

#include "base/status.h"
#include "tfr_files.h"
#include "tfr_test.h"

static struct tfr_config *config;

static enum tfr_status load_with(const char *tfrun, const struct tfr_override *overrides, size_t n) {
    char text[2048];
    tfr_test_folder("config_tfrun");
    snprintf(text, sizeof(text), "{\"model_type\": \"gpt2\", \"n_layer\": 4, \"tfrun\":\n%s}", tfrun);
    tfr_config_free(config);
    return tfr_config_load(&config, tfr_test_write_text("config.json", text), overrides, n);
}

static enum tfr_status load(const char *tfrun) {
    return load_with(tfrun, NULL, 0);
}

static enum tfr_status load_override(const char *key, const char *value, const char *origin) {
    const struct tfr_override override = {.key = key, .value = value, .origin = origin};
    return load_with("{}", &override, 1);
}

static void done(void) {
    tfr_config_free(config);
    config = NULL;
}

static void expect_words(const char *words) {
    if (strstr(tfr_failure_text(), words) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", tfr_failure_text(), words);
    }
}

TFR_TEST(sums_by_head_want_a_fixed_order_and_equal_parts) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"runtime\": {\"sums\": \"by-head\"}}"));
    assert_int_equal(config->options.runtime_sums, TFR_SUMS_BY_HEAD);
    assert_refused(load("{\"runtime\": {\"sums\": \"by-head\", \"deterministic\": false}}"), TFR_CONFIG,
                   "tfrun.runtime.deterministic = false");
    tfr_test_folder("config_tfrun");
    tfr_config_free(config);
    assert_refused(tfr_config_load(&config,
                                   tfr_test_write_text("config.json", "{\"model_type\": \"gpt2\", \"n_inner\": 50, \"tfrun\": "
                                                                      "{\"runtime\": {\"sums\": \"by-head\"}}}"),
                                   NULL, 0),
                   TFR_CONFIG, "n_inner = 50, which n_head = 12 does not divide");
    done();
}

TFR_TEST(every_type_is_read) {
    TFR_UNUSED_STATE;
    tfr_test_folder("config_tfrun");
    const struct tfr_override trusted = {.key = "trust", .value = tfr_test_folder_, .origin = "--trust"};
    assert_ok(load_with("{\"version\": 1, \"task\": \"generate\", \"model\": {\"name\": \"n\", \"check_weights\": true,"
                        "\"tokenizer\": \"tok\", \"weights\": \"/abs/w\"}, \"input\": {\"prompts\": [\"a\", \"b\"]},"
                        "\"sampling\": {\"seed\": 9000000000000000, \"stop\": \"x\", \"temperature\": 0.5},"
                        "\"runtime\": {\"threads\": 3, \"isa\": \"avx512_bf16\"}, \"plugins\": [\"p.so\"],"
                        "\"output\": {\"file\": \"-\"}}",
                        &trusted, 1));
    const struct tfr_options *o = &config->options;
    char path[1024];
    snprintf(path, sizeof(path), "%s/tok", tfr_test_folder_);
    assert_string_equal(o->model_name, "n");
    assert_true(o->model_check_weights);
    assert_string_equal(o->model_tokenizer, path);
    assert_string_equal(o->model_weights, "/abs/w");
    assert_int_equal(o->input_prompts.n, 2);
    assert_string_equal(o->input_prompts.items[1], "b");
    assert_true(o->sampling_seed == 9000000000000000);
    assert_int_equal(o->sampling_stop.n, 1);
    assert_true(o->sampling_temperature == 0.5);
    assert_int_equal(o->runtime_threads, 3);
    assert_string_equal(tfr_choice_name("runtime.isa", o->runtime_isa), "avx512_bf16");
    snprintf(path, sizeof(path), "%s/p.so", tfr_test_folder_);
    assert_string_equal(o->plugins.items[0], path);
    assert_string_equal(o->output_file, "-");
    done();
}

TFR_TEST(null_is_the_default_where_it_may_stand) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"model\": {\"weights\": null, \"name\": null}, \"sampling\": {\"seed\": null, \"stop\": null},"
                   "\"runtime\": {\"threads\": \"auto\"}, \"parallel\": {\"device_map\": null}}"));
    assert_null(config->options.model_weights);
    assert_int_equal(config->options.sampling_seed, -1);
    assert_int_equal(config->options.runtime_threads, 0);
    assert_refused(load("{\"runtime\": {\"threads\": null}}"), TFR_CONFIG,
                   "tfrun.runtime.threads = null is not a whole number or \"auto\"");
    assert_refused(load("{\"output\": {\"force\": null}}"), TFR_CONFIG, "tfrun.output.force = null is not true or false");
    done();
}

TFR_TEST(unknown_keys_name_the_nearest) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"runtime\": {\"thread\": 2}}"), TFR_CONFIG,
                   "config.json:2:24: unknown key tfrun.runtime.thread; did you mean \"threads\"?");
    assert_refused(load("{\"sampeling\": {}}"), TFR_CONFIG, "unknown key tfrun.sampeling; did you mean \"sampling\"?");
    assert_refused(load("{\"threads\": 2}"), TFR_CONFIG, "unknown key tfrun.threads; did you mean \"tfrun.runtime.threads\"?");
    assert_refused(load("{\"market\": {\"port\": 1}}"), TFR_CONFIG,
                   "unknown key tfrun.market; docs/config.md lists the known ones");
    assert_refused(load("{\"parallel\": {\"device_mpa\": {}}}"), TFR_CONFIG, "did you mean \"device_map\"?");
    done();
}

TFR_TEST(wrong_values_say_what_is_wanted) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"sampling\": {\"top_p\": 1.4}}"), TFR_CONFIG,
                   "config.json:2:24: tfrun.sampling.top_p = 1.4 is outside 0..1");
    assert_refused(load("{\"sampling\": {\"top_p\": \"high\"}}"), TFR_CONFIG, "tfrun.sampling.top_p = \"high\" is not a number");
    assert_refused(load("{\"runtime\": {\"dtype\": \"bf61\"}}"), TFR_CONFIG,
                   "tfrun.runtime.dtype = \"bf61\" is not one of f32|bf16|int8|int8w|int4; did you mean \"bf16\"?");
    assert_refused(load("{\"runtime\": {\"dtype\": \"float32\"}}"), TFR_CONFIG,
                   "tfrun.runtime.dtype = \"float32\" is not one of f32|bf16|int8|int8w|int4; it is called f32 here");
    assert_refused(load("{\"runtime\": {\"dtype\": \"half\"}}"), TFR_CONFIG,
                   "\"half\" is not one of f32|bf16|int8|int8w|int4; take bf16");
    assert_refused(load("{\"runtime\": {\"dtype\": \"INT8\"}}"), TFR_CONFIG, "int4; did you mean \"int8\"?");
    assert_refused(load("{\"runtime\": {\"dtype\": \"Q4_0\"}}"), TFR_CONFIG, "int4; int4 has weights of 4 bits");
    assert_refused(load("{\"runtime\": {\"dtype\": \"Q4_K_M\"}}"), TFR_CONFIG, "int4; int4 with --zero-point has");
    assert_refused(load("{\"runtime\": {\"dtype\": \"nf4\"}}"), TFR_CONFIG, "int4; int4 has weights of 4 bits");
    assert_refused(load("{\"runtime\": {\"dtype\": \"GPTQ\"}}"), TFR_CONFIG, "int4; int4 and int8w round the weights");
    assert_refused(load("{\"runtime\": {\"kv_dtype\": \"float16\"}}"), TFR_CONFIG,
                   "tfrun.runtime.kv_dtype = \"float16\" is not one of auto|f32|bf16|f16|int8; it is called f16 here");
    assert_refused(load("{\"runtime\": {\"kv_dtype\": \"BF16\"}}"), TFR_CONFIG, "int8; did you mean \"bf16\"?");
    assert_refused(load("{\"runtime\": {\"kv_dtype\": \"FP8\"}}"), TFR_CONFIG, "int8; the cache of 8 bits is int8");
    assert_refused(load("{\"version\": 2}"), TFR_CONFIG, "tfrun.version = 2 is not 1");
    assert_refused(load("{\"plugins\": [{\"name\": \"serve\"}]}"), TFR_CONFIG,
                   "tfrun.plugins = item 0 of the list is {...}, not a text");
    assert_refused(load("{\"model\": \"gpt2\"}"), TFR_CONFIG, "tfrun.model is a string; it must be an object");
    assert_refused(load("{\"model\": {\"weights\": \"\"}}"), TFR_CONFIG, "tfrun.model.weights = \"\" is an empty path");
    assert_refused(load("{\"sampling\": {\"max_tokens\": 1.5}}"), TFR_CONFIG,
                   "tfrun.sampling.max_tokens = 1.5 is not a whole number");
    assert_refused(load("7"), TFR_CONFIG, "tfrun is a number; it must be an object");
    done();
}

TFR_TEST(one_source_of_the_prompt) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"input\": {\"prompt\": \"a\", \"file\": \"b\"}}"), TFR_CONFIG, "tfrun.input names 2 sources");
    const struct tfr_override file = {.key = "input.file", .value = "-", .origin = "--file"};
    assert_ok(load_with("{\"input\": {\"prompt\": \"a\"}}", &file, 1));
    assert_null(config->options.input_prompt);
    assert_string_equal(config->options.input_file, "-");
    const struct tfr_override both[] = {file, {.key = "input.prompt", .value = "x", .origin = "--prompt"}};
    assert_refused(load_with("{}", both, 2), TFR_USAGE, "the command line names 2 sources");
    done();
}

TFR_TEST(overrides_win_over_the_file) {
    TFR_UNUSED_STATE;
    const struct tfr_override overrides[] = {
        {.key = "sampling.top_p", .value = "0.25", .origin = "--top-p"},
        {.key = "tfrun.runtime.threads", .value = "auto", .origin = "--threads"},
        {.key = "sampling.seed", .value = "9007199254740993", .origin = "--seed"},
        {.key = "model.weights", .value = "here.safetensors", .origin = "--weights"},
        {.key = "model.check_weights", .value = "on", .origin = "--set"},
    };
    assert_ok(load_with("{\"sampling\": {\"top_p\": 0.5, \"temperature\": 1}, \"runtime\": {\"threads\": 2}}", overrides, 2));
    assert_true(config->options.sampling_top_p == 0.25);
    assert_int_equal(config->options.runtime_threads, 0);
    assert_refused(load_with("{}", overrides, 3), TFR_USAGE, "--seed: 9007199254740993 is outside 0..9e+15");
    assert_ok(load_with("{}", &overrides[3], 2));
    assert_string_equal(config->options.model_weights, "here.safetensors");
    assert_true(config->options.model_check_weights);
    done();
}

TFR_TEST(overrides_of_a_list_append_to_each_other) {
    TFR_UNUSED_STATE;
    const struct tfr_override overrides[] = {{.key = "sampling.stop", .value = "b", .origin = "--stop"},
                                             {.key = "sampling.stop", .value = "c", .origin = "--stop"}};
    assert_ok(load_with("{\"sampling\": {\"stop\": [\"a\"]}}", overrides, 2));
    assert_int_equal(config->options.sampling_stop.n, 2);
    assert_string_equal(config->options.sampling_stop.items[0], "b");
    assert_string_equal(config->options.sampling_stop.items[1], "c");
    struct tfr_override many[65];
    for (size_t i = 0; i < 65; i++) {
        many[i] = overrides[0];
    }
    assert_ok(load_with("{}", many, 64));
    assert_refused(load_with("{}", many, 65), TFR_USAGE, "--stop: more than 64 items");
    done();
}

TFR_TEST(wrong_overrides_name_their_origin) {
    TFR_UNUSED_STATE;
    assert_refused(load_override("sampling.top_p", "1.4", "--top-p"), TFR_USAGE, "--top-p: 1.4 is outside 0..1");
    assert_refused(load_override("sampling.top_p", "nan", "--top-p"), TFR_USAGE, "--top-p: \"nan\" is not a number");
    assert_refused(load_override("sampling.top_p", "0.5x", "--set"), TFR_USAGE, "--set sampling.top_p: \"0.5x\" is not a number");
    assert_refused(load_override("runtime.threads", "two", "--threads"), TFR_USAGE,
                   "--threads: \"two\" is not a whole number or \"auto\"");
    assert_refused(load_override("runtime.threads", "99999999999999999999", "--threads"), TFR_USAGE, "is not a whole");
    assert_refused(load_override("runtime.thread", "2", "--set"), TFR_USAGE,
                   "--set runtime.thread: unknown key runtime.thread; did you mean \"runtime.threads\"?");
    assert_refused(load_override("threads", "2", "--set"), TFR_USAGE, "did you mean \"runtime.threads\"?");
    assert_refused(load_override("runtime", "2", "--set"), TFR_USAGE, "runtime is a section");
    assert_refused(load_override("n_layer", "2", "--set"), TFR_USAGE, "a field of the model cannot be overridden");
    assert_refused(load_override("output.force", "maybe", "--force"), TFR_USAGE, "--force: \"maybe\" is not true or false");
    assert_refused(load_override("model.weights", "", "--weights"), TFR_USAGE, "--weights: the path is empty");
    done();
}

/* JSON has numbers and truth values of its own for choices that read like them. */
TFR_TEST(choices_are_taken_as_texts_and_as_what_they_read_like) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"runtime\": {\"dtype\": \"int4\", \"int4_group\": 64}}"));
    assert_int_equal(config->options.runtime_int4_group, TFR_GROUP_64);
    assert_ok(load("{\"runtime\": {\"dtype\": \"int4\", \"int4_group\": \"64\"}, \"sampling\": {\"do_sample\": true}}"));
    assert_int_equal(config->options.runtime_int4_group, TFR_GROUP_64);
    assert_int_equal(config->options.sampling_do_sample, TFR_SAMPLE_TRUE);
    assert_refused(load("{\"runtime\": {\"int4_group\": 48}}"), TFR_CONFIG, "tfrun.runtime.int4_group = 48 is not one of 32|64");
    assert_refused(load("{\"runtime\": {\"int4_group\": \"48\"}}"), TFR_CONFIG, "is not one of 32|64");
    assert_refused(load("{\"runtime\": {\"int4_group\": true}}"), TFR_CONFIG, "true is not one of 32|64");
    assert_refused(load("{\"runtime\": {\"int4_group\": [64]}}"), TFR_CONFIG, "is not one of 32|64");
    assert_refused(load("{\"sampling\": {\"do_sample\": null}}"), TFR_CONFIG, "null is not one of auto|true|false");
    done();
}

TFR_TEST(problems_of_overrides_come_after_those_of_the_file) {
    TFR_UNUSED_STATE;
    const struct tfr_override overrides[] = {{.key = "sampling.top_p", .value = "7", .origin = "--top-p"},
                                             {.key = "runtime.dtype", .value = "f64", .origin = "--dtype"}};
    assert_refused(load_with("{\"runtime\": {\"bind\": 1}}", overrides, 2), TFR_CONFIG,
                   "tfrun.runtime.bind = 1 is not one of compact|scatter|none\n--top-p: 7 is");
    expect_words("\n--dtype: \"f64\" is not one of f32|bf16|int8|int8w|int4");
    done();
}

TFR_TEST(device_map_is_read) {
    TFR_UNUSED_STATE;
    assert_ok(load("{\"parallel\": {\"device_map\": {\"0\": [0, 3], \"2\": [1, 2]}}}"));
    assert_int_equal(config->device_map.n_blocks, 4);
    assert_int_equal(config->device_map.n_ranks, 3);
    const int expected[] = {0, 2, 2, 0};
    assert_memory_equal(config->device_map.rank_of_block, expected, sizeof(expected));
    assert_ok(load_override("parallel.device_map", "{\"0\": [0], \"1\": [1, 2, 3]}", "--set"));
    assert_int_equal(config->device_map.n_ranks, 2);
    done();
}

TFR_TEST(device_map_is_checked_in_order) {
    TFR_UNUSED_STATE;
    assert_refused(load("{\"parallel\": {\"device_map\": {\"0\": [0, 1, 1], \"1\": [0, 9]}}}"), TFR_CONFIG,
                   "config.json:2:29: tfrun.parallel.device_map names blocks more than once: 0, 1");
    assert_refused(load("{\"parallel\": {\"device_map\": {\"0\": [0, 9]}}}"), TFR_CONFIG,
                   "tfrun.parallel.device_map leaves out blocks: 1, 2, 3");
    assert_refused(load("{\"parallel\": {\"device_map\": {\"0\": [0, 1, 2, 3, 4, -1]}}}"), TFR_CONFIG,
                   "tfrun.parallel.device_map names blocks that the model does not have: 4, -1");
    assert_refused(load("{\"parallel\": {\"device_map\": {\"cpu\": [0, 1, 2, 3]}}}"), TFR_CONFIG,
                   "has a key that is not a rank number: cpu");
    assert_refused(load("{\"parallel\": {\"device_map\": {\"00\": [0, 1, 2, 3]}}}"), TFR_CONFIG, "not a rank number: 00");
    assert_refused(load("{\"parallel\": {\"device_map\": {\"0\": [0, 1.5]}}}"), TFR_CONFIG, "not a whole number: 1.5");
    assert_refused(load("{\"parallel\": {\"device_map\": {\"0\": [0, 1, 2, 3], \"1\": []}}}"), TFR_CONFIG,
                   "must list at least one block for rank 1");
    assert_refused(load("{\"parallel\": {\"device_map\": \"auto\"}}"), TFR_CONFIG, "must be an object of lists");
    assert_refused(load_override("parallel.device_map", "{\"0\": [0]", "--set"), TFR_USAGE, "--set:1:");
    done();
}

TFR_TEST(option_table_is_consistent) {
    TFR_UNUSED_STATE;
    size_t n;
    const struct tfr_option_info *table = tfr_option_table(&n);
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(table[i].help);
        assert_int_equal(strcmp(table[i].type, "CHOICE") == 0, table[i].choices != NULL);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(table[i].key, table[k].key);
            if (table[i].flag != NULL && table[k].flag != NULL) {
                assert_string_not_equal(table[i].flag, table[k].flag);
            }
            assert_true(table[i].short_flag == 0 || table[i].short_flag != table[k].short_flag);
        }
    }
    assert_string_equal(tfr_choice_name("runtime.bind", 1), "scatter");
    assert_string_equal(tfr_choice_name("runtime.bind", 2), "none");
    assert_null(tfr_choice_name("runtime.bind", 3));
    assert_null(tfr_choice_name("runtime.threads", 0));
    assert_null(tfr_choice_name("nothing", 0));
}

static void expect_choices(const char *key, const char *choices, size_t n_members) {
    size_t n, n_words = 1;
    const struct tfr_option_info *table = tfr_option_table(&n), *found = NULL;
    for (size_t i = 0; i < n; i++) {
        found = strcmp(table[i].key, key) == 0 ? &table[i] : found;
    }
    assert_non_null(found);
    assert_string_equal(found->choices, choices);
    for (const char *at = choices; (at = strchr(at, '|')) != NULL; at++) {
        n_words++;
    }
    assert_int_equal(n_words, n_members);
}

TFR_TEST(choices_are_numbered_as_in_the_table) {
    TFR_UNUSED_STATE;
#define EXPECT_CHOICES(key, choices, ...) expect_choices(key, choices, sizeof((int[]){__VA_ARGS__}) / sizeof(int));
    TFR_CHOICES(EXPECT_CHOICES)
#undef EXPECT_CHOICES
}

TFR_TEST_MAIN(TFR_CASE(sums_by_head_want_a_fixed_order_and_equal_parts), TFR_CASE(every_type_is_read),
              TFR_CASE(null_is_the_default_where_it_may_stand), TFR_CASE(unknown_keys_name_the_nearest),
              TFR_CASE(wrong_values_say_what_is_wanted), TFR_CASE(one_source_of_the_prompt), TFR_CASE(overrides_win_over_the_file),
              TFR_CASE(overrides_of_a_list_append_to_each_other), TFR_CASE(wrong_overrides_name_their_origin),
              TFR_CASE(choices_are_taken_as_texts_and_as_what_they_read_like),
              TFR_CASE(problems_of_overrides_come_after_those_of_the_file), TFR_CASE(device_map_is_read),
              TFR_CASE(device_map_is_checked_in_order), TFR_CASE(option_table_is_consistent),
              TFR_CASE(choices_are_numbered_as_in_the_table))

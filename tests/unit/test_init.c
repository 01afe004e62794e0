/* test_init.c - `tfrun init`: the folder that it writes opens, follows GPT2Config's rules and is the same for
 * the same seed. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>

#include <tfrun/half.h>

#include "base/rng.h"
#include "base/status.h"
#include "base/tensor.h"
#include "tfr_files.h"
#include "tfr_test.h"

#define SMALL                                                                                                                      \
    "{\"model_type\": \"gpt2\", \"n_layer\": 2, \"n_embd\": 64, \"n_head\": 4, \"vocab_size\": 301, "                              \
    "\"n_positions\": 33"

static struct tfr_config *config, *made;
static struct tfr_model *model;

static void done(void) {
    tfr_model_close(model);
    tfr_config_free(made);
    tfr_config_free(config);
    model = NULL;
    made = config = NULL;
}

static void load(const char *rest) {
    char text[1024];
    done();
    snprintf(text, sizeof(text), "%s%s", SMALL, rest);
    assert_ok(tfr_config_load(&config, tfr_test_write_text("source.json", text), NULL, 0));
}

static void open_made(const char *name, int parts) {
    tfr_model_close(model);
    tfr_config_free(made);
    model = NULL;
    made = NULL;
    assert_ok(tfr_config_load(&made, tfr_test_path(name), NULL, 0));
    assert_ok(tfr_model_open(&model, made, parts));
}

static void moments(enum tfr_param param, int64_t layer, double *mean, double *deviation) {
    static float values[300 * 300];
    const struct tfr_tensor *tensor = &tfr_model_param(model, param, layer)->tensor;
    const int64_t n = tfr_tensor_count(tensor);
    double sum = 0, squares = 0;
    assert_true(n <= (int64_t)(sizeof(values) / sizeof(values[0])));
    tfr_to_f32(values, tensor->data, tensor->dtype, n);
    for (int64_t i = 0; i < n; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    *mean = sum / (double)n;
    *deviation = sqrt(squares / (double)n - *mean * *mean);
}

static void expect_moments(enum tfr_param param, double mean, double deviation) {
    for (int64_t layer = 0; layer < 2; layer++) {
        double has_mean, has_deviation;
        moments(param, layer, &has_mean, &has_deviation);
        assert_true(fabs(has_mean - mean) < 0.05 * deviation + 1e-9);
        assert_true(fabs(has_deviation - deviation) < 0.05 * deviation + 1e-9);
    }
}

static void read_bytes(const char *path, uint8_t **bytes, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(*size + 1);
    assert_int_equal(fread(*bytes, 1, *size, file), *size);
    (*bytes)[*size] = 0;
    fclose(file);
}

static bool same_file(const char *left, const char *right) {
    uint8_t *a, *b;
    size_t n_a, n_b;
    read_bytes(left, &a, &n_a);
    read_bytes(right, &b, &n_b);
    const bool is_same = n_a == n_b && memcmp(a, b, n_a) == 0;
    free(a);
    free(b);
    return is_same;
}

TFR_TEST(rules_of_gpt2config) {
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    load(", \"initializer_range\": 0.5}");
    assert_ok(tfr_model_init(config, tfr_test_path("a"), TFR_DTYPE_F32, 1, false));
    open_made("a", TFR_MODEL_WEIGHTS);
    expect_moments(TFR_PARAM_WTE, 0, 0.5);
    expect_moments(TFR_PARAM_WPE, 0, 0.5);
    expect_moments(TFR_PARAM_C_ATTN_WEIGHT, 0, 0.5);
    expect_moments(TFR_PARAM_C_FC_WEIGHT, 0, 0.5);
    expect_moments(TFR_PARAM_ATTN_PROJ_WEIGHT, 0, 0.25);
    expect_moments(TFR_PARAM_MLP_PROJ_WEIGHT, 0, 0.25);
    expect_moments(TFR_PARAM_LN_1_WEIGHT, 1, 0);
    expect_moments(TFR_PARAM_LN_F_WEIGHT, 1, 0);
    expect_moments(TFR_PARAM_LN_2_BIAS, 0, 0);
    expect_moments(TFR_PARAM_C_ATTN_BIAS, 0, 0);
    const struct tfr_weight *wte = tfr_model_param(model, TFR_PARAM_WTE, 0);
    assert_string_equal(wte->name, "transformer.wte.weight");
    assert_null(tfr_weights_find(model->weights, "lm_head.weight"));
    float second;
    memcpy(&second, (const float *)wte->tensor.data + 2, sizeof(second));
    assert_true(second == (float)(0.5 * tfr_philox_normal(1, 0, 1)));
    done();
}

TFR_TEST(same_seed_same_file) {
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    load("}");
    assert_ok(tfr_model_init(config, tfr_test_path("a"), TFR_DTYPE_F32, 7, false));
    assert_ok(tfr_model_init(config, tfr_test_path("b"), TFR_DTYPE_F32, 7, false));
    assert_ok(tfr_model_init(config, tfr_test_path("c"), TFR_DTYPE_F32, 8, false));
    assert_true(same_file(tfr_test_path("a/model.safetensors"), tfr_test_path("b/model.safetensors")));
    assert_false(same_file(tfr_test_path("a/model.safetensors"), tfr_test_path("c/model.safetensors")));
    assert_true(same_file(tfr_test_path("a/config.json"), tfr_test_path("source.json")));
    done();
}

TFR_TEST(bf16_is_the_rounded_f32) {
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    load(", \"tie_word_embeddings\": false}");
    assert_ok(tfr_model_init(config, tfr_test_path("a"), TFR_DTYPE_F32, 7, false));
    assert_ok(tfr_model_init(config, tfr_test_path("b"), TFR_DTYPE_BF16, 7, false));
    open_made("b", TFR_MODEL_WEIGHTS);
    const struct tfr_weight *head = tfr_model_param(model, TFR_PARAM_LM_HEAD, 0);
    assert_string_equal(head->name, "lm_head.weight");
    assert_int_equal(head->tensor.dtype, TFR_DTYPE_BF16);
    uint16_t half;
    memcpy(&half, (const uint16_t *)head->tensor.data + 300, sizeof(half));
    open_made("a", TFR_MODEL_WEIGHTS);
    float full;
    memcpy(&full, (const float *)tfr_model_param(model, TFR_PARAM_LM_HEAD, 0)->tensor.data + 300, sizeof(full));
    assert_int_equal(half, tfr_half_to_bf16(full));
    assert_refused(tfr_model_init(config, tfr_test_path("c"), TFR_DTYPE_F16, 7, false), TFR_USAGE,
                   "stored in f32 or bf16, not in f16");
    done();
}

/* The copied config names paths that would not hold in the new folder; only these two values change. */
TFR_TEST(the_new_folder_stands_on_its_own) {
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    load("}");
    assert_int_equal(mkdir(tfr_test_path("tok"), 0777), 0);
    tfr_test_write_text("tok/vocab.json", "{}");
    tfr_test_write_text("tok/merges.txt", "#version: 0.2\n");
    load(",\n \"name \xc3\xa9\": \"\xc3\xa9\", \"tfrun\": {\"model\": {\"tokenizer\": \"t\\u006fk\", "
         "\"name\": \"tok\",\n"
         "  \"weights\":\"w/x.safetensors\"}, \"input\": {\"prompt\": \"\xe2\x82\xac\"}}}\n");
    assert_ok(tfr_model_init(config, tfr_test_path("deep/er/b"), TFR_DTYPE_BF16, 7, false));
    assert_true(same_file(tfr_test_path("tok/vocab.json"), tfr_test_path("deep/er/b/vocab.json")));
    assert_true(same_file(tfr_test_path("tok/merges.txt"), tfr_test_path("deep/er/b/merges.txt")));
    tfr_test_write_text("expected.json",
                        SMALL ",\n \"name \xc3\xa9\": \"\xc3\xa9\", \"tfrun\": {\"model\": {\"tokenizer\": \".\", \"name\": "
                              "\"tok\",\n"
                              "  \"weights\":\"model.safetensors\"}, \"input\": {\"prompt\": \"\xe2\x82\xac\"}}}\n");
    assert_true(same_file(tfr_test_path("expected.json"), tfr_test_path("deep/er/b/config.json")));
    open_made("deep/er/b", TFR_MODEL_WEIGHTS);
    done();
}

/* Whatever may be run may be made random. */
TFR_TEST(marks_and_words_of_python_pass) {
    static const char rest[] = ", \"best\": [-Infinity, NaN], \"tfrun\": {\"model\": {\"weights\": ";
    char source[512], wanted[512];
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    done();
    snprintf(source, sizeof(source), "\xef\xbb\xbf%s%s\"w.safetensors\"}}}", SMALL, rest);
    snprintf(wanted, sizeof(wanted), "%s%s\"model.safetensors\"}}}", SMALL, rest);
    assert_ok(tfr_config_load(&config, tfr_test_write_text("source.json", source), NULL, 0));
    assert_ok(tfr_model_init(config, tfr_test_path("b"), TFR_DTYPE_BF16, 7, false));
    tfr_test_write_text("expected.json", wanted);
    assert_true(same_file(tfr_test_path("expected.json"), tfr_test_path("b/config.json")));
    open_made("b", TFR_MODEL_WEIGHTS);
    done();
}

/* New weights have plain names, were not rounded, and no adapter was made for them. */
TFR_TEST(what_was_said_of_other_weights_is_left_out) {
    static const char form[] =
        ", \"quantization_config\": %s, \"tfrun\": {\"model\": {\"adapter\": %s, \"tensor_prefix\":%s, \"prefix\":%s}}";
    char source[512], wanted[1024];
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    snprintf(source, sizeof(source), form, "{\"quant_method\": \"tfrun\", \"version\": 1, \"weights\": \"int8\", \"smooth\": 0.5}",
             "\"a}\"", "\"module.\"", "\"p\"");
    load(strcat(source, "}"));
    assert_ok(tfr_model_init(config, tfr_test_path("b"), TFR_DTYPE_F32, 7, false));
    snprintf(source, sizeof(source), form, "null", "null", "null", "null");
    snprintf(wanted, sizeof(wanted), "%s%s}", SMALL, source);
    tfr_test_write_text("expected.json", wanted);
    assert_true(same_file(tfr_test_path("expected.json"), tfr_test_path("b/config.json")));
    open_made("b", TFR_MODEL_WEIGHTS);
    done();
}

TFR_TEST(an_existing_model_needs_force) {
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    load("}");
    assert_ok(tfr_model_init(config, tfr_test_path("a"), TFR_DTYPE_BF16, 7, false));
    assert_refused(tfr_model_init(config, tfr_test_path("a"), TFR_DTYPE_BF16, 8, false), TFR_USAGE,
                   "already holds a model (config.json); choose another folder or give --force");
    assert_ok(tfr_model_init(config, tfr_test_path("a"), TFR_DTYPE_BF16, 8, true));
    assert_ok(tfr_model_init(config, tfr_test_path("b"), TFR_DTYPE_BF16, 8, false));
    assert_true(same_file(tfr_test_path("a/model.safetensors"), tfr_test_path("b/model.safetensors")));
    done();
}

TFR_TEST(an_unwritable_folder_is_named) {
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    load("}");
    tfr_test_write_text("plain", "x");
    assert_refused(tfr_model_init(config, tfr_test_path("plain/a"), TFR_DTYPE_F32, 7, false), TFR_RESOURCE,
                   "cannot make this folder");
    assert_refused(tfr_model_init(config, "/proc/tfrun-no-such-place", TFR_DTYPE_F32, 7, false), TFR_RESOURCE,
                   "/proc/tfrun-no-such-place: cannot make this folder: ");
    /* Root too may make nothing here, for a reason that is not its absence. */
    assert_int_not_equal(mkdir("/sys/tfrun-no-such-place", 0777), 0);
    const char *why = strerror(errno);
    assert_refused(tfr_model_init(config, "/sys/tfrun-no-such-place", TFR_DTYPE_F32, 7, false), TFR_RESOURCE, why);
    done();
}

TFR_TEST(a_missing_tokenizer_is_named_before_writing) {
    TFR_UNUSED_STATE;
    tfr_test_folder("init");
    load(", \"tfrun\": {\"model\": {\"tokenizer\": \"nowhere\"}}}");
    assert_refused(tfr_model_init(config, tfr_test_path("a"), TFR_DTYPE_F32, 7, false), TFR_RESOURCE,
                   "nowhere: there is no such tokenizer");
    assert_int_not_equal(access(tfr_test_path("a"), F_OK), 0);
    done();
}

TFR_TEST_MAIN(TFR_CASE(rules_of_gpt2config), TFR_CASE(same_seed_same_file), TFR_CASE(bf16_is_the_rounded_f32),
              TFR_CASE(the_new_folder_stands_on_its_own), TFR_CASE(marks_and_words_of_python_pass),
              TFR_CASE(what_was_said_of_other_weights_is_left_out), TFR_CASE(an_existing_model_needs_force),
              TFR_CASE(an_unwritable_folder_is_named), TFR_CASE(a_missing_tokenizer_is_named_before_writing))

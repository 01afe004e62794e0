/* test_lora.c - the merge of a LoRA adapter: every number against a sum written out here, names matched by
 * PEFT's rules, and no memory lost where it ends. PEFT's own logits are in tests/app/test_lora.py. */
#include "model/lora.h"

#include <math.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/lora_config.h"
#include "tfr_files.h"
#include "tfr_test.h"

#define GOLDEN TFR_SOURCE_DIR "/tests/model/golden/lora/"

static struct tfr_config *config;
static struct tfr_model *model;

static void done(void) {
    tfr_model_close(model);
    tfr_config_free(config);
    model = NULL;
    config = NULL;
}

static enum tfr_status open_model(const char *name, const char *adapter) {
    char path[512], folder[512];
    snprintf(path, sizeof path, GOLDEN "models/%s/config.json", name);
    snprintf(folder, sizeof folder, GOLDEN "%s", adapter);
    const struct tfr_override override = {"model.adapter", folder, "--adapter"};
    done();
    TFR_TRY(tfr_config_load(&config, path, &override, 1));
    return tfr_model_open(&model, config, TFR_MODEL_WEIGHTS);
}

static double number(const struct tfr_weight *weight, int64_t i) {
    float value;
    assert_non_null(weight);
    if (weight->tensor.dtype == TFR_DTYPE_F64) {
        double wide;
        memcpy(&wide, (const uint8_t *)weight->tensor.data + i * 8, sizeof wide);
        return wide;
    }
    tfr_to_f32(&value, (const uint8_t *)weight->tensor.data + (size_t)i * tfr_dtype_size(weight->tensor.dtype),
               weight->tensor.dtype, 1);
    return value;
}

/* Half a unit in the last place of a number of this type, and what float32 sums may add. */
static double room(double value, enum tfr_dtype dtype) {
    const int bits = dtype == TFR_DTYPE_BF16 ? 8 : dtype == TFR_DTYPE_F16 ? 11 : dtype == TFR_DTYPE_F64 ? 50 : 23;
    return ldexp(fabs(value) + 1, -bits);
}

/* W + 4 B A, W being stored [inputs, outputs]; r = 4, lora_alpha = 16. */
static void check_sums(const char *name, const char *adapter, enum tfr_dtype dtype) {
    struct tfr_weights *factors;
    char path[512];
    assert_ok(open_model(name, adapter));
    snprintf(path, sizeof path, GOLDEN "%s/adapter_model.safetensors", adapter);
    assert_ok(tfr_weights_open(&factors, path));
    const struct tfr_weight *a = tfr_weights_find(factors, "base_model.model.transformer.h.1.mlp.c_fc.lora_A.weight");
    const struct tfr_weight *b = tfr_weights_find(factors, "base_model.model.transformer.h.1.mlp.c_fc.lora_B.weight");
    const struct tfr_weight *stored = tfr_model_stored_param(model, TFR_PARAM_C_FC_WEIGHT, 1);
    const struct tfr_weight *merged = tfr_model_param(model, TFR_PARAM_C_FC_WEIGHT, 1);
    const int64_t inputs = stored->tensor.dim[0], outputs = stored->tensor.dim[1];
    assert_ptr_not_equal(merged, stored);
    assert_int_equal(merged->tensor.dtype, dtype);
    assert_int_equal(a->tensor.dim[0], 4);
    for (int64_t i = 0; i < inputs * outputs; i++) {
        double sum = 0;
        for (int64_t k = 0; k < 4; k++) {
            sum += number(b, i % outputs * 4 + k) * number(a, k * inputs + i / outputs);
        }
        const double want = number(stored, i) + 4 * sum;
        assert_true(fabs(number(merged, i) - want) <= room(want, dtype));
    }
    assert_ptr_equal(tfr_model_param(model, TFR_PARAM_LN_1_BIAS, 0), tfr_model_stored_param(model, TFR_PARAM_LN_1_BIAS, 0));
    tfr_weights_close(factors);
    done();
}

TFR_TEST(sums_are_right_in_every_type) {
    TFR_UNUSED_STATE;
    check_sums("f32", "all", TFR_DTYPE_F32);
    check_sums("bf16", "bf16", TFR_DTYPE_BF16);
    check_sums("f16", "f16", TFR_DTYPE_F16);
    check_sums("f64", "f64", TFR_DTYPE_F64);
}

/* wte and lm_head are one matrix, of which the adapter changes one name. */
TFR_TEST(a_tied_matrix_is_changed_on_one_side) {
    TFR_UNUSED_STATE;
    assert_ok(open_model("f32", "embedding"));
    assert_ptr_equal(tfr_model_param(model, TFR_PARAM_LM_HEAD, 0), tfr_model_stored_param(model, TFR_PARAM_WTE, 0));
    assert_ptr_not_equal(tfr_model_param(model, TFR_PARAM_WTE, 0), tfr_model_stored_param(model, TFR_PARAM_WTE, 0));
    assert_ok(open_model("f32", "saved_head"));
    assert_ptr_equal(tfr_model_param(model, TFR_PARAM_WTE, 0), tfr_model_stored_param(model, TFR_PARAM_WTE, 0));
    assert_ptr_not_equal(tfr_model_param(model, TFR_PARAM_LM_HEAD, 0), tfr_model_stored_param(model, TFR_PARAM_WTE, 0));
    done();
}

static enum tfr_status open_lora_config(struct tfr_lora_config *lora, const char *keys) {
    static const struct tfr_hparams hparams = {.head = TFR_HEAD_LM};
    char text[2048];
    const char *folder = tfr_test_folder("lora");
    snprintf(text, sizeof text, "{\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": 16%s}", keys);
    tfr_test_write_text("adapter_config.json", text);
    return tfr_lora_config_open(lora, folder, &hparams);
}

static bool is_target(const char *keys, const char *module, int64_t layer) {
    struct tfr_lora_config lora;
    bool target = false;
    assert_ok(open_lora_config(&lora, keys));
    assert_ok(tfr_lora_targets(&lora, module, layer, &target));
    tfr_lora_config_close(&lora);
    return target;
}

TFR_TEST(modules_are_matched_as_peft_matches_them) {
    TFR_UNUSED_STATE;
    const char *c_attn = "transformer.h.1.attn.c_attn", *list = ", \"target_modules\": [\"c_attn\", \"mlp.c_proj\"]";
    assert_true(is_target(list, c_attn, 1));
    assert_true(is_target(list, "transformer.h.0.mlp.c_proj", 0));
    assert_false(is_target(list, "transformer.h.0.attn.c_proj", 0));
    assert_false(is_target(list, "transformer.h.0.attn.xc_attn", 0));
    assert_true(is_target(", \"target_modules\": \".*c_attn\"", c_attn, 1));
    assert_false(is_target(", \"target_modules\": \"c_attn\"", c_attn, 1)); /* a text is for the whole name */
    assert_true(is_target(", \"target_modules\": \".*\\\\.h\\\\.\\\\d+\\\\.attn\\\\.c_(attn|proj)\"", c_attn, 1));
    /* letters in a set */
    assert_true(is_target(", \"target_modules\": \"[\\\\w.]+\\\\.h\\\\.[\\\\d]+\\\\.attn\\\\.c_[at]+n\"", c_attn, 1));
    assert_false(is_target(", \"target_modules\": \"[\\\\w.]+\\\\.h\\\\.[^\\\\d]+\\\\.attn\\\\.c_attn\"", c_attn, 1));
    assert_true(is_target(", \"target_modules\": \"[^\\\\d]+1[\\\\.]attn.c_attn\"", c_attn, 1));
    assert_true(is_target(", \"target_modules\": \"[a-z_.\\\\-]+[0-9.]+[a-z_.\\\\-]+\"", c_attn, 1));
    assert_false(is_target(", \"target_modules\": [\"c_attn\"], \"exclude_modules\": [\"h.1.attn.c_attn\"]", c_attn, 1));
    assert_false(is_target(", \"target_modules\": [\"c_attn\"], \"modules_to_save\": [\"attn\"]", c_attn, 1));
    assert_true(is_target(", \"target_modules\": [\"c_attn\"], \"layers_to_transform\": [0, 1]", c_attn, 1));
    assert_true(is_target(", \"target_modules\": [\"c_attn\"], \"layers_to_transform\": []", c_attn, 1));
    assert_false(is_target(", \"target_modules\": [\"c_attn\"], \"layers_to_transform\": [0]", c_attn, 1));
    assert_false(is_target(", \"target_modules\": [\"c_attn\"], \"layers_to_transform\": 0", c_attn, 1));
    assert_false(is_target(", \"target_modules\": null", c_attn, 1));
}

static double scaling_of(const char *keys, int64_t *rank) {
    struct tfr_lora_config lora;
    double scaling = 0;
    assert_ok(open_lora_config(&lora, keys));
    assert_ok(tfr_lora_scaling(&lora, "transformer.h.1.attn.c_attn", rank, &scaling));
    tfr_lora_config_close(&lora);
    return scaling;
}

TFR_TEST(scaling_follows_the_patterns) {
    TFR_UNUSED_STATE;
    int64_t rank = 0;
    assert_true(scaling_of("", &rank) == 2 && rank == 8);
    assert_true(scaling_of(", \"use_rslora\": true", &rank) == 16 / sqrt(8));
    assert_true(scaling_of(", \"rank_pattern\": {\"c_attn\": 4}", &rank) == 4 && rank == 4);
    assert_true(scaling_of(", \"alpha_pattern\": {\"attn\": 1, \"h.1.attn.c_attn\": 24}", &rank) == 3 && rank == 8);
    assert_true(scaling_of(", \"alpha_pattern\": {\"attn.*\": 8, \"c_attn\": 24}", &rank) == 1); /* the first that matches */
    assert_true(scaling_of(", \"alpha_pattern\": {\"attn\": 1, \"_attn\": 1}", &rank) == 2);     /* whole parts of a name */
    assert_true(scaling_of(", \"alpha_pattern\": {\"h\\\\.[\\\\d]+[.]attn[.][\\\\w]+\": 24}", &rank) == 3);
}

TFR_TEST(no_leak_when_memory_ends) {
    TFR_UNUSED_STATE;
    assert_ok(open_model("f32", "lora_bias"));
    for (uint64_t i = 1;; i++) {
        tfr_model_close(model);
        model = NULL;
        tfr_alloc_fail_after(i);
        const enum tfr_status status = tfr_model_open(&model, config, TFR_MODEL_WEIGHTS);
        tfr_alloc_fail_after(0);
        if (status == TFR_OK) {
            assert_true(i > 100);
            break;
        }
        assert_int_equal(status, TFR_RESOURCE);
        assert_true(tfr_failure_text()[0] != '\0');
        assert_true(i < 20000);
    }
    done();
}

TFR_TEST_MAIN(TFR_CASE(sums_are_right_in_every_type), TFR_CASE(a_tied_matrix_is_changed_on_one_side),
              TFR_CASE(modules_are_matched_as_peft_matches_them), TFR_CASE(scaling_follows_the_patterns),
              TFR_CASE(no_leak_when_memory_ends))

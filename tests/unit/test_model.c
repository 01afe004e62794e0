/* test_model.c - checkpoints against the tensor table: names, prefixes, shapes, dtypes, the tied head. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>

#include "base/status.h"
#include "base/tensor.h"
#include "tfr_files.h"
#include "tfr_test.h"

/* Two blocks of width 4, 2 heads, inner 6, 7 tokens, 5 positions. */
#define TINY                                                                                                                       \
    "{\"model_type\": \"gpt2\", \"n_layer\": 2, \"n_embd\": 4, \"n_head\": 2, \"n_inner\": 6, "                                    \
    "\"vocab_size\": 7, \"n_positions\": 5"

enum { MAX_TENSORS = 64, MAX_NAME = 96 };

static struct tfr_config *config;
static struct tfr_model *model;

/* The checkpoint that the next `open_model` writes; cases change it first. */
static struct checkpoint {
    struct tfr_weight_spec specs[MAX_TENSORS];
    char names[MAX_TENSORS][MAX_NAME];
    float base[MAX_TENSORS]; /* element i of tensor t is base + i */
    bool is_finer;           /* F64 by less than F32 holds */
    size_t n;
} file;

static void add(const char *name, int rank, const int64_t *dim) {
    struct tfr_weight_spec *spec = &file.specs[file.n];
    snprintf(file.names[file.n], MAX_NAME, "%s", name);
    *spec = (struct tfr_weight_spec){.name = file.names[file.n], .dtype = TFR_DTYPE_F32, .rank = rank};
    memcpy(spec->dim, dim, (size_t)rank * sizeof(dim[0]));
    file.base[file.n] = (float)file.n;
    file.n++;
}

static struct tfr_weight_spec *spec_of(const char *name) {
    for (size_t i = 0; i < file.n; i++) {
        if (strcmp(file.names[i], name) == 0) {
            return &file.specs[i];
        }
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void drop(const char *name) {
    const size_t i = (size_t)(spec_of(name) - file.specs);
    file.n--;
    memcpy(file.names[i], file.names[file.n], MAX_NAME);
    file.specs[i] = file.specs[file.n];
    file.specs[i].name = file.names[i];
    file.base[i] = file.base[file.n];
}

/* All parameters of the tiny model; no head. */
static void make_checkpoint(bool has_prefix) {
    const struct tfr_hparams tiny = {.n_layer = 2, .n_embd = 4, .n_head = 2, .n_inner = 6, .vocab_size = 7, .n_positions = 5};
    file.n = 0;
    file.is_finer = false;
    for (int param = 0; param < TFR_PARAM_LM_HEAD; param++) {
        for (int64_t layer = tfr_model_has_param(&tiny, (enum tfr_param)param) ? 0 : 2;
             layer < (param < TFR_PARAM_PER_BLOCK ? 2 : 1); layer++) {
            char name[MAX_NAME];
            int64_t dim[2];
            const int rank = tfr_model_param_shape(&tiny, (enum tfr_param)param, dim);
            tfr_model_param_name((enum tfr_param)param, layer, name, sizeof(name));
            add(name + (has_prefix ? 0 : strlen("transformer.")), rank, dim);
        }
    }
}

static enum tfr_status fill(void *user, size_t tensor, int64_t first, int64_t n, void *buffer) {
    float values[1024];
    for (int64_t i = 0; i < n; i++) {
        values[i] = file.base[tensor] + (float)(first + i);
    }
    if (file.specs[tensor].dtype == TFR_DTYPE_F32 || file.specs[tensor].dtype == TFR_DTYPE_BF16 ||
        file.specs[tensor].dtype == TFR_DTYPE_F16) {
        tfr_from_f32(buffer, values, file.specs[tensor].dtype, n);
    } else if (file.specs[tensor].dtype == TFR_DTYPE_F64) {
        for (int64_t i = 0; i < n; i++) {
            ((double *)buffer)[i] = values[i] + (file.is_finer ? 1e-12 : 0);
        }
    } else {
        memset(buffer, 0, (size_t)n * tfr_dtype_size(file.specs[tensor].dtype));
    }
    return TFR_OK;
}

static void done(void) {
    tfr_model_close(model);
    tfr_config_free(config);
    model = NULL;
    config = NULL;
}

static enum tfr_status open_model(const char *config_rest) {
    done();
    char text[1024];
    tfr_test_folder("model");
    snprintf(text, sizeof(text), "%s%s", TINY, config_rest);
    assert_ok(tfr_weights_write(tfr_test_path("model.safetensors"), file.specs, file.n, fill, NULL));
    assert_ok(tfr_config_load(&config, tfr_test_write_text("config.json", text), NULL, 0));
    return tfr_model_open(&model, config, TFR_MODEL_WEIGHTS);
}

static void expect_words(const char *words) {
    if (strstr(tfr_failure_text(), words) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", tfr_failure_text(), words);
    }
}

TFR_TEST(both_name_forms_open) {
    TFR_UNUSED_STATE;
    for (int has_prefix = 0; has_prefix < 2; has_prefix++) {
        make_checkpoint(has_prefix == 1);
        assert_ok(open_model("}"));
        for (int param = 0; param < TFR_PARAM_COUNT; param++) {
            const bool is_there = tfr_model_param(model, (enum tfr_param)param, param < TFR_PARAM_PER_BLOCK ? 1 : 0) != NULL;
            assert_int_equal(is_there, tfr_model_has_param(&model->hparams, (enum tfr_param)param));
        }
        assert_ptr_equal(tfr_model_param(model, TFR_PARAM_LM_HEAD, 0), tfr_model_param(model, TFR_PARAM_WTE, 0));
        assert_ptr_not_equal(tfr_model_param(model, TFR_PARAM_LN_1_BIAS, 0), tfr_model_param(model, TFR_PARAM_LN_1_BIAS, 1));
        assert_null(tfr_model_param(model, TFR_PARAM_LN_1_BIAS, 2));
        assert_true(model->tied);
    }
    done();
}

TFR_TEST(a_mixture_of_name_forms_is_refused) {
    TFR_UNUSED_STATE;
    make_checkpoint(true);
    drop("transformer.wpe.weight");
    add("wpe.weight", 2, (int64_t[]){5, 4});
    assert_refused(open_model("}"), TFR_MODEL, "mixes names with and without \"transformer.\"");
    done();
}

TFR_TEST(old_mask_buffers_are_skipped_by_exact_name) {
    TFR_UNUSED_STATE;
    make_checkpoint(false);
    add("h.0.attn.bias", 4, (int64_t[]){1, 1, 5, 5});
    add("h.1.attn.masked_bias", 0, (int64_t[]){0});
    spec_of("h.0.attn.bias")->dtype = TFR_DTYPE_U8;
    assert_ok(open_model("}"));
    add("h.0.attn.bias2", 1, (int64_t[]){4});
    assert_refused(open_model("}"), TFR_MODEL, "tensor h.0.attn.bias2 is unknown: no parameter of GPT2LMHeadModel");
    done();
}

TFR_TEST(all_stored_dtypes_open) {
    TFR_UNUSED_STATE;
    static const enum tfr_dtype dtypes[] = {TFR_DTYPE_F32, TFR_DTYPE_F16, TFR_DTYPE_BF16, TFR_DTYPE_F64};
    for (size_t i = 0; i < 4; i++) {
        make_checkpoint(true);
        spec_of("transformer.wte.weight")->dtype = dtypes[i];
        assert_ok(open_model("}"));
        assert_int_equal(tfr_model_param(model, TFR_PARAM_WTE, 0)->tensor.dtype, dtypes[i]);
    }
    spec_of("transformer.wte.weight")->dtype = TFR_DTYPE_I32;
    assert_refused(open_model("}"), TFR_MODEL,
                   "tensor transformer.wte.weight has dtype I32; weights must be F32, F16, BF16 or F64");
    done();
}

TFR_TEST(all_wrong_shapes_come_at_once) {
    TFR_UNUSED_STATE;
    make_checkpoint(true);
    spec_of("transformer.wte.weight")->dim[0] = 8;
    spec_of("transformer.h.1.mlp.c_fc.weight")->dim[1] = 16;
    spec_of("transformer.h.0.attn.c_attn.weight")->dim[0] = 12;
    spec_of("transformer.h.0.attn.c_attn.weight")->dim[1] = 4;
    assert_refused(open_model("}"), TFR_MODEL, "tensor transformer.wte.weight has shape [8, 4] but the config says [7, 4]");
    expect_words("tensor transformer.h.1.mlp.c_fc.weight has shape [4, 16] but the config says [4, 6]");
    expect_words("tensor transformer.h.0.attn.c_attn.weight has shape [12, 4] but the config says [4, 12]");
    make_checkpoint(true);
    spec_of("transformer.ln_f.bias")->rank = 2;
    spec_of("transformer.ln_f.bias")->dim[1] = 1;
    assert_refused(open_model("}"), TFR_MODEL, "tensor transformer.ln_f.bias has shape [4, 1] but the config says [4]");
    done();
}

TFR_TEST(long_lists_of_problems_are_cut) {
    TFR_UNUSED_STATE;
    make_checkpoint(true);
    for (size_t i = 0; i < file.n; i++) {
        file.specs[i].dim[0]++;
    }
    assert_refused(open_model("}"), TFR_MODEL, "\nand 8 more");
    done();
}

TFR_TEST(missing_tensors_are_named_with_their_shape) {
    TFR_UNUSED_STATE;
    make_checkpoint(false);
    drop("h.1.mlp.c_proj.weight");
    drop("wpe.weight");
    assert_refused(open_model("}"), TFR_MODEL, "model.safetensors: tensor transformer.h.1.mlp.c_proj.weight [6, 4] is missing");
    expect_words("tensor transformer.wpe.weight [5, 4] is missing");
    done();
}

TFR_TEST(unknown_tensors_are_refused_with_a_hint) {
    TFR_UNUSED_STATE;
    make_checkpoint(true);
    add("transformer.h.0.crossattention.q_attn.weight", 2, (int64_t[]){4, 4});
    add("score.weight", 2, (int64_t[]){2, 4});
    add("transformer.h.0.ln_1.gamma", 1, (int64_t[]){4});
    add("transformer.h.2.ln_1.bias", 1, (int64_t[]){4});
    add("transformer.h.01.ln_1.bias", 1, (int64_t[]){4});
    add("transformer.lm_head.weight", 2, (int64_t[]){7, 4});
    assert_refused(open_model("}"), TFR_MODEL,
                   "crossattention.q_attn.weight is unknown: cross-attention needs add_cross_attention = true in the config");
    expect_words("score.weight is unknown: this is the head of GPT2ForSequenceClassification");
    expect_words("ln_1.gamma is unknown: a layer norm of a very old file; rename gamma to weight and beta to bias");
    expect_words("tensor transformer.h.2.ln_1.bias is of block 2, but the config says n_layer = 2");
    expect_words("tensor transformer.h.01.ln_1.bias is unknown");
    expect_words("tensor transformer.lm_head.weight is unknown");
    done();
}

TFR_TEST(a_tied_head_may_be_stored_twice_if_equal) {
    TFR_UNUSED_STATE;
    make_checkpoint(true);
    add("lm_head.weight", 2, (int64_t[]){7, 4});
    file.base[file.n - 1] = file.base[spec_of("transformer.wte.weight") - file.specs];
    assert_ok(open_model("}"));
    assert_ptr_equal(tfr_model_param(model, TFR_PARAM_LM_HEAD, 0), tfr_model_param(model, TFR_PARAM_WTE, 0));
    file.base[file.n - 1] += 1;
    assert_refused(open_model("}"), TFR_MODEL,
                   "lm_head.weight (F32) differs from transformer.wte.weight (F32), but the config says "
                   "tie_word_embeddings = true");
    file.base[file.n - 1] -= 1;
    spec_of("lm_head.weight")->dtype = TFR_DTYPE_F64; /* in whatever type */
    assert_ok(open_model("}"));
    file.is_finer = true;
    assert_refused(open_model("}"), TFR_MODEL, "lm_head.weight (F64) differs from transformer.wte.weight (F32)");
    done();
}

TFR_TEST(a_tied_head_alone_serves_both) {
    TFR_UNUSED_STATE;
    make_checkpoint(true);
    drop("transformer.wte.weight");
    add("lm_head.weight", 2, (int64_t[]){7, 4});
    assert_ok(open_model("}"));
    const struct tfr_weight *wte = tfr_model_param(model, TFR_PARAM_WTE, 0);
    assert_string_equal(wte->name, "lm_head.weight");
    assert_ptr_equal(wte, tfr_model_param(model, TFR_PARAM_LM_HEAD, 0));
    done();
}

TFR_TEST(an_untied_head_must_be_there) {
    TFR_UNUSED_STATE;
    make_checkpoint(false);
    assert_refused(open_model(", \"tie_word_embeddings\": false}"), TFR_MODEL,
                   "tensor lm_head.weight [7, 4] is missing: the config says tie_word_embeddings = false");
    add("lm_head.weight", 2, (int64_t[]){7, 4});
    assert_ok(open_model(", \"tie_word_embeddings\": false}"));
    assert_false(model->tied);
    assert_string_equal(tfr_model_param(model, TFR_PARAM_LM_HEAD, 0)->name, "lm_head.weight");
    assert_string_equal(tfr_model_param(model, TFR_PARAM_WTE, 0)->name, "wte.weight");
    done();
}

TFR_TEST(check_weights_names_the_element) {
    TFR_UNUSED_STATE;
    make_checkpoint(true);
    file.base[spec_of("transformer.h.1.ln_2.bias") - file.specs] = NAN;
    assert_ok(open_model("}"));
    assert_refused(open_model(", \"tfrun\": {\"model\": {\"check_weights\": true}}}"), TFR_MODEL,
                   "tensor transformer.h.1.ln_2.bias holds NaN at element 0");
    make_checkpoint(true);
    spec_of("transformer.wpe.weight")->dtype = TFR_DTYPE_BF16;
    file.base[spec_of("transformer.wpe.weight") - file.specs] = INFINITY;
    assert_refused(open_model(", \"tfrun\": {\"model\": {\"check_weights\": true}}}"), TFR_MODEL,
                   "tensor transformer.wpe.weight holds an infinity at element 0");
    done();
}

static enum tfr_status open_folder(const char *tfrun, int parts) {
    char text[1024];
    snprintf(text, sizeof(text), "%s%s}", TINY, tfrun);
    done();
    assert_ok(tfr_config_load(&config, tfr_test_write_text("config.json", text), NULL, 0));
    return tfr_model_open(&model, config, parts);
}

TFR_TEST(missing_parts_say_what_was_looked_for) {
    TFR_UNUSED_STATE;
    tfr_test_folder("model");
    assert_refused(open_folder("", TFR_MODEL_WEIGHTS), TFR_RESOURCE,
                   "no model.safetensors, pytorch_model.bin or index of them here");
    assert_refused(open_folder("", TFR_MODEL_TOKENIZER), TFR_RESOURCE, "no tokenizer.json and no vocab.json with merges.txt here");
    assert_refused(open_folder(", \"tfrun\": {\"model\": {\"weights\": \"x.safetensors\"}}", TFR_MODEL_WEIGHTS), TFR_RESOURCE,
                   "x.safetensors: these weights are not there");
    tfr_test_write_text("tf_model.h5", "x");
    assert_refused(open_folder("", TFR_MODEL_WEIGHTS), TFR_UNSUPPORTED, "only tf_model.h5 is here");
    tfr_test_write_text("pytorch_model.bin", "x");
    assert_refused(open_folder("", TFR_MODEL_WEIGHTS), TFR_MODEL,
                   "pytorch_model.bin: neither an archive nor a pickle of torch.save");
    assert_ok(open_folder("", 0));
    assert_null(model->weights);
    assert_null(tfr_model_param(model, TFR_PARAM_WTE, 0));
    done();
}

TFR_TEST(an_index_is_found_beside_the_config) {
    TFR_UNUSED_STATE;
    make_checkpoint(true);
    tfr_test_folder("model");
    assert_ok(tfr_weights_write(tfr_test_path("shard-1.safetensors"), file.specs, file.n, fill, NULL));
    char index[4096] = "{\"weight_map\": {";
    for (size_t i = 0; i < file.n; i++) {
        snprintf(index + strlen(index), sizeof(index) - strlen(index), "%s\"%s\": \"shard-1.safetensors\"", i > 0 ? "," : "",
                 file.names[i]);
    }
    strcat(index, "}}");
    tfr_test_write_text("model.safetensors.index.json", index);
    assert_ok(open_folder("", TFR_MODEL_WEIGHTS));
    assert_non_null(strstr(tfr_model_param(model, TFR_PARAM_WPE, 0)->file, "shard-1.safetensors"));
    done();
}

TFR_TEST(the_tokenizer_must_fit_the_vocabulary) {
    TFR_UNUSED_STATE;
    done();
    tfr_test_folder("model");
    char text[1400];
    snprintf(text, sizeof(text), "%s, \"tfrun\": {\"model\": {\"tokenizer\": \"%s/configs/tokenizer/gpt2\"}}}", TINY,
             TFR_SOURCE_DIR);
    const struct tfr_override trusted = {.key = "trust", .value = TFR_SOURCE_DIR "/configs", .origin = "--trust"};
    assert_ok(tfr_config_load(&config, tfr_test_write_text("config.json", text), &trusted, 1));
    assert_refused(tfr_model_open(&model, config, TFR_MODEL_TOKENIZER), TFR_MODEL,
                   "the tokenizer has ids up to 50256 but the config says vocab_size = 7");
    done();
}

TFR_TEST(the_demo_model_opens) {
    TFR_UNUSED_STATE;
    done();
    assert_ok(tfr_config_load(&config, TFR_SOURCE_DIR "/configs/demo", NULL, 0));
    assert_ok(tfr_model_open(&model, config, TFR_MODEL_WEIGHTS | TFR_MODEL_TOKENIZER));
    assert_non_null(model->tokenizer);
    assert_non_null(tfr_model_param(model, TFR_PARAM_LM_HEAD, 0));
    done();
}

/* Published sizes; the block and the cross-checks are of the reference document. */
TFR_TEST(parameter_counts_are_the_published_ones) {
    TFR_UNUSED_STATE;
    static const struct {
        int64_t layers, width, count;
    } known[] = {{12, 768, 124439808}, {24, 1024, 354823168}, {36, 1280, 774030080}, {48, 1600, 1557611200}, {6, 768, 81912576}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct tfr_hparams h = {.vocab_size = 50257,
                                .n_positions = 1024,
                                .n_embd = known[i].width,
                                .n_layer = known[i].layers,
                                .n_inner = 4 * known[i].width,
                                .tie_word_embeddings = true};
        assert_true(tfr_model_param_count(&h) == known[i].count);
        h.tie_word_embeddings = false;
        assert_true(tfr_model_param_count(&h) == known[i].count + 50257 * known[i].width);
    }
}

TFR_TEST_MAIN(TFR_CASE(the_demo_model_opens), TFR_CASE(both_name_forms_open), TFR_CASE(a_mixture_of_name_forms_is_refused),
              TFR_CASE(old_mask_buffers_are_skipped_by_exact_name), TFR_CASE(all_stored_dtypes_open),
              TFR_CASE(all_wrong_shapes_come_at_once), TFR_CASE(long_lists_of_problems_are_cut),
              TFR_CASE(missing_tensors_are_named_with_their_shape), TFR_CASE(unknown_tensors_are_refused_with_a_hint),
              TFR_CASE(a_tied_head_may_be_stored_twice_if_equal), TFR_CASE(a_tied_head_alone_serves_both),
              TFR_CASE(an_untied_head_must_be_there), TFR_CASE(check_weights_names_the_element),
              TFR_CASE(missing_parts_say_what_was_looked_for), TFR_CASE(an_index_is_found_beside_the_config),
              TFR_CASE(the_tokenizer_must_fit_the_vocabulary), TFR_CASE(parameter_counts_are_the_published_ones))

/* config_model.c - the fields of Hugging Face's config.json that decide a GPT-2 forward pass, each honoured
 * or refused by name. Fields without an effect on inference are checked for their type where the class
 * declares one; keys that nobody here knows are left alone (every release of transformers adds some). */
#include "config/config_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tfrun/plugin.h>

#include "base/log.h"
#include "base/status.h"

enum field_kind { FIELD_INT, FIELD_SIZE_OR_NULL, FIELD_TOKEN, FIELD_REAL, FIELD_BOOL };

/* Fields that are read and have no effect here go to no member. */
#define NO_MEMBER    SIZE_MAX
#define MEMBER(name) offsetof(struct tfr_hparams, name)

/* Upper limits are far above any GPT-2; they keep every product of two of them inside int64_t. */
static const struct field {
    const char *name, *alias;
    enum field_kind kind;
    size_t offset;
    double min, max;
} fields[] = {
    {"vocab_size", NULL, FIELD_INT, MEMBER(vocab_size), 1, 1 << 24},
    {"n_positions", "max_position_embeddings", FIELD_INT, MEMBER(n_positions), 1, 1 << 24},
    {"n_embd", "hidden_size", FIELD_INT, MEMBER(n_embd), 1, 1 << 20},
    {"n_layer", "num_hidden_layers", FIELD_INT, MEMBER(n_layer), 1, 1 << 16},
    {"n_head", "num_attention_heads", FIELD_INT, MEMBER(n_head), 1, 1 << 16},
    {"n_inner", NULL, FIELD_SIZE_OR_NULL, MEMBER(n_inner), 1, 1 << 22},
    {"layer_norm_epsilon", NULL, FIELD_REAL, MEMBER(layer_norm_epsilon), 0, 1},
    {"initializer_range", NULL, FIELD_REAL, MEMBER(initializer_range), 0, 1e3},
    {"scale_attn_weights", NULL, FIELD_BOOL, MEMBER(scale_attn_weights), 0, 0},
    {"scale_attn_by_inverse_layer_idx", NULL, FIELD_BOOL, MEMBER(scale_attn_by_inverse_layer_idx), 0, 0},
    {"reorder_and_upcast_attn", NULL, FIELD_BOOL, MEMBER(reorder_and_upcast_attn), 0, 0},
    {"tie_word_embeddings", NULL, FIELD_BOOL, MEMBER(tie_word_embeddings), 0, 0},
    {"bos_token_id", NULL, FIELD_TOKEN, MEMBER(bos_token_id), -1, INT32_MAX},
    {"eos_token_id", NULL, FIELD_TOKEN, MEMBER(eos_token_id), -1, INT32_MAX},
    {"pad_token_id", NULL, FIELD_TOKEN, MEMBER(pad_token_id), -1, INT32_MAX},
    {"resid_pdrop", NULL, FIELD_REAL, NO_MEMBER, 0, 1},
    {"embd_pdrop", NULL, FIELD_REAL, NO_MEMBER, 0, 1},
    {"attn_pdrop", NULL, FIELD_REAL, NO_MEMBER, 0, 1},
    {"use_cache", NULL, FIELD_BOOL, NO_MEMBER, 0, 0},
};

static const struct {
    const char *name;
    enum tfr_activation activation;
} activations[] = {
#define ACTIVATION_ENTRY(enum_name, config_name) {config_name, TFR_ACT_##enum_name},
    TFR_ACTIVATION_LIST(ACTIVATION_ENTRY)
#undef ACTIVATION_ENTRY
};

static const struct tfr_hparams defaults = {
    .vocab_size = 50257,
    .n_positions = 1024,
    .n_embd = 768,
    .n_layer = 12,
    .n_head = 12,
    .activation = TFR_ACT_GELU_TANH,
    .activation_name = "gelu_new",
    .layer_norm_epsilon = 1e-5,
    .initializer_range = 0.02,
    .scale_attn_weights = true,
    .tie_word_embeddings = true,
    .bos_token_id = 50256,
    .eos_token_id = 50256,
    .pad_token_id = -1,
};

static void wrong_type(struct tfr_config_reader *reader, const tfr_json *node, const char *name,
                       const char *words) {
    char shown[64];
    tfr_config_complain(reader, node, TFR_CONFIG, "%s = %s is not %s", name,
                        tfr_json_value_text(node, shown, sizeof(shown)), words);
}

/* False after a problem: `value` is left alone. */
static bool read_integer(struct tfr_config_reader *reader, const struct field *field, const tfr_json *node,
                         int64_t *value) {
    int64_t parsed;
    if (!tfr_json_int64(reader->doc, node, &parsed)) {
        wrong_type(reader, node, field->name,
                   field->kind == FIELD_INT ? "a whole number" : "a whole number or null");
        return false;
    }
    if ((double)parsed < field->min || (double)parsed > field->max) {
        tfr_config_complain(reader, node, TFR_CONFIG, "%s = %lld is outside %.0f..%.0f", field->name,
                            (long long)parsed, field->min, field->max);
        return false;
    }
    *value = parsed;
    return true;
}

/* Newer configs may list several end tokens; one is all that can be honoured so far. */
static void read_token(struct tfr_config_reader *reader, const struct field *field, const tfr_json *node,
                       int32_t *member) {
    if (tfr_json_kind(node) == TFR_JSON_ARRAY && tfr_json_size(node) > 1) {
        tfr_config_complain(reader, node, TFR_UNSUPPORTED,
                            "%s is a list of %zu ids; only a single id is supported", field->name,
                            tfr_json_size(node));
        return;
    }
    if (tfr_json_kind(node) == TFR_JSON_ARRAY && tfr_json_size(node) == 1) {
        node = tfr_json_first(node);
    }
    int64_t id = -1;
    if (tfr_json_kind(node) == TFR_JSON_NULL || read_integer(reader, field, node, &id)) {
        *member = (int32_t)id;
    }
}

static void read_real(struct tfr_config_reader *reader, const struct field *field, const tfr_json *node,
                      double *member) {
    if (tfr_json_kind(node) != TFR_JSON_NUMBER) {
        wrong_type(reader, node, field->name, "a number");
        return;
    }
    const double value = tfr_json_number(node);
    if (value < field->min || value > field->max) {
        tfr_config_complain(reader, node, TFR_CONFIG, "%s = %.15g is outside %.15g..%.15g", field->name,
                            value, field->min, field->max);
        return;
    }
    *member = value;
}

static void read_field(struct tfr_config_reader *reader, const struct field *field, const tfr_json *node) {
    double unused[1];
    char *base = (char *)&reader->config->model;
    void *member = field->offset == NO_MEMBER ? (void *)unused : base + field->offset;
    switch (field->kind) {
    case FIELD_SIZE_OR_NULL:
        if (tfr_json_kind(node) == TFR_JSON_NULL) {
            return;
        }
        read_integer(reader, field, node, member);
        return;
    case FIELD_INT:
        read_integer(reader, field, node, member);
        return;
    case FIELD_TOKEN:
        read_token(reader, field, node, member);
        return;
    case FIELD_REAL:
        read_real(reader, field, node, member);
        return;
    case FIELD_BOOL:
        if (tfr_json_kind(node) != TFR_JSON_BOOL) {
            wrong_type(reader, node, field->name, "true or false");
            return;
        }
        *(bool *)member = tfr_json_bool(node);
        return;
    }
}

static void read_fields(struct tfr_config_reader *reader, const tfr_json *root) {
    for (size_t i = 0; i < TFR_COUNT_OF(fields); i++) {
        const tfr_json *node = tfr_json_member(root, fields[i].name);
        const tfr_json *other = fields[i].alias == NULL ? NULL : tfr_json_member(root, fields[i].alias);
        int64_t a, b;
        if (node != NULL && other != NULL && tfr_json_int64(reader->doc, node, &a) &&
            tfr_json_int64(reader->doc, other, &b) && a != b) {
            tfr_config_complain(reader, other, TFR_CONFIG,
                                "%s = %lld contradicts %s = %lld, which is the same field", fields[i].alias,
                                (long long)b, fields[i].name, (long long)a);
        }
        if (node != NULL || other != NULL) {
            read_field(reader, &fields[i], node != NULL ? node : other);
        }
    }
}

static void read_model_type(struct tfr_config_reader *reader, const tfr_json *root) {
    const tfr_json *type = tfr_json_member(root, "model_type");
    if (type == NULL) {
        if (tfr_json_member(root, "architectures") == NULL) {
            tfr_config_complain(reader, root, TFR_CONFIG,
                                "no model_type: this is not the config.json of a Hugging Face model");
        }
        return;
    }
    if (tfr_json_kind(type) != TFR_JSON_STRING) {
        wrong_type(reader, type, "model_type", "a text");
    } else if (strcmp(tfr_json_string(type), "gpt2") != 0) {
        tfr_config_complain(reader, type, TFR_UNSUPPORTED,
                            "model_type = \"%s\" is not supported; tfrun runs \"gpt2\"",
                            tfr_json_string(type));
    }
}

static void read_architectures(struct tfr_config_reader *reader, const tfr_json *root) {
    const tfr_json *list = tfr_json_member(root, "architectures");
    if (list == NULL || tfr_json_kind(list) == TFR_JSON_NULL) {
        return;
    }
    if (tfr_json_kind(list) != TFR_JSON_ARRAY) {
        wrong_type(reader, list, "architectures", "a list of class names");
        return;
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        const char *name = tfr_json_string(item);
        if (name == NULL) {
            wrong_type(reader, item, "architectures", "a list of class names");
        } else if (strcmp(name, "GPT2LMHeadModel") != 0) {
            tfr_config_complain(reader, item, TFR_UNSUPPORTED,
                                "architecture %s is not supported; so far tfrun runs GPT2LMHeadModel only",
                                name);
        }
    }
}

static void read_activation(struct tfr_config_reader *reader, const tfr_json *root) {
    const tfr_json *node = tfr_json_member(root, "activation_function");
    if (node == NULL) {
        return;
    }
    const char *name = tfr_json_string(node);
    if (name == NULL) {
        wrong_type(reader, node, "activation_function", "a text");
        return;
    }
    const char *names[TFR_COUNT_OF(activations)];
    for (size_t i = 0; i < TFR_COUNT_OF(activations); i++) {
        names[i] = activations[i].name;
        if (strcmp(names[i], name) == 0) {
            reader->config->model.activation = (int)activations[i].activation;
            reader->config->model.activation_name = activations[i].name;
            return;
        }
    }
    if (strcmp(name, "prelu") == 0 || strcmp(name, "xielu") == 0) {
        tfr_config_complain(
            reader, node, TFR_UNSUPPORTED,
            "activation_function = \"%s\" is not supported: it has learned parameters that no GPT-2 "
            "checkpoint stores",
            name);
        return;
    }
    const char *nearest = tfr_nearest_name(name, names, TFR_COUNT_OF(names));
    tfr_config_complain(reader, node, TFR_CONFIG, "unknown activation_function \"%s\"; %s%s%s", name,
                        nearest != NULL ? "did you mean \""
                                        : "GPT-2 models use gelu_new, gelu, relu, silu or tanh",
                        nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
}

static bool is_true(const tfr_json *node) {
    return tfr_json_kind(node) == TFR_JSON_BOOL && tfr_json_bool(node);
}

static bool is_false(const tfr_json *node) {
    return tfr_json_kind(node) == TFR_JSON_BOOL && !tfr_json_bool(node);
}

static bool is_not_empty(const tfr_json *node) {
    return tfr_json_size(node) > 0;
}

/* Values that transformers would act on and tfrun cannot: running on would give other numbers than the
 * reference. */
static void refuse_unsupported(struct tfr_config_reader *reader, const tfr_json *root) {
    static const struct {
        const char *name;
        bool (*applies)(const tfr_json *node);
        const char *reason;
    } refusals[] = {
        {"add_cross_attention", is_true,
         "add_cross_attention = true is not supported: blocks have no cross-attention yet"},
        {"is_encoder_decoder", is_true,
         "is_encoder_decoder = true is not supported: there is no encoder to attend to"},
        {"is_causal", is_false, "is_causal = false is not supported: attention is always causal"},
        {"pruned_heads", is_not_empty, "pruned_heads is not supported: save the model with all its heads"},
        {"quantization_config", is_not_empty,
         "quantization_config is not supported: save the model in f32, f16 or bf16"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(refusals); i++) {
        const tfr_json *node = tfr_json_member(root, refusals[i].name);
        if (node != NULL && refusals[i].applies(node)) {
            tfr_config_complain(reader, node, TFR_UNSUPPORTED, "%s", refusals[i].reason);
        }
    }
}

static void check_heads(struct tfr_config_reader *reader, const tfr_json *root) {
    const struct tfr_hparams *model = &reader->config->model;
    if (model->n_embd % model->n_head == 0) {
        return;
    }
    static const char *const names[] = {"n_head", "num_attention_heads", "n_embd", "hidden_size"};
    const tfr_json *node = NULL;
    for (size_t i = 0; i < TFR_COUNT_OF(names) && node == NULL; i++) {
        node = tfr_json_member(root, names[i]);
    }
    tfr_config_complain(reader, node, TFR_CONFIG,
                        "n_embd = %lld is not divisible by n_head = %lld; every head needs the same width",
                        (long long)model->n_embd, (long long)model->n_head);
}

/* A small vocabulary often keeps the default 50256: such a token can never come, which is what "none" means.
 */
static void drop_tokens_outside(struct tfr_hparams *model) {
    int32_t *const ids[] = {&model->bos_token_id, &model->eos_token_id, &model->pad_token_id};
    static const char *const names[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    for (size_t i = 0; i < TFR_COUNT_OF(ids); i++) {
        if (*ids[i] >= model->vocab_size) {
            tfr_log(TFR_LOG_DEBUG, "config", "%s = %d is outside the vocabulary of %lld: taken as none",
                    names[i], (int)*ids[i], (long long)model->vocab_size);
            *ids[i] = -1;
        }
    }
}

bool tfr_config_is_model_field(const char *key) {
    static const char *const others[] = {"model_type",          "architectures", "activation_function",
                                         "add_cross_attention", "is_causal",     "pruned_heads",
                                         "torch_dtype",         "dtype",         "n_ctx"};
    for (size_t i = 0; i < TFR_COUNT_OF(fields); i++) {
        if (strcmp(key, fields[i].name) == 0 ||
            (fields[i].alias != NULL && strcmp(key, fields[i].alias) == 0)) {
            return true;
        }
    }
    for (size_t i = 0; i < TFR_COUNT_OF(others); i++) {
        if (strcmp(key, others[i]) == 0) {
            return true;
        }
    }
    return false;
}

void tfr_config_read_model(struct tfr_config_reader *reader, const tfr_json *root) {
    struct tfr_hparams *model = &reader->config->model;
    *model = defaults;
    read_model_type(reader, root);
    read_architectures(reader, root);
    read_fields(reader, root);
    read_activation(reader, root);
    refuse_unsupported(reader, root);
    check_heads(reader, root);
    drop_tokens_outside(model);
    if (model->n_inner == 0) {
        model->n_inner = 4 * model->n_embd;
    }
}

/* config_model.c - the fields of Hugging Face's config.json that decide a GPT-2 forward pass, each honoured
 * or refused by name. Fields without an effect on inference are checked for their type where the class
 * declares one; keys that nobody here knows are left alone (every release of transformers adds some). */
#include "config/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/plugin.h>

#include "base/log.h"
#include "base/status.h"

static const struct tfr_model_field fields[] = {
#define MEMBER(name) offsetof(struct tfr_hparams, name)
#define NONE         TFR_NO_MEMBER
#define TFR_FIELD(name_, alias_, kind_, member_, min_, max_, default_, effect_, when_, why_, meaning_, tests_)                     \
    {.name = #name_,                                                                                                               \
     .alias = alias_,                                                                                                              \
     .kind = TFR_FIELD_##kind_,                                                                                                    \
     .offset = member_,                                                                                                            \
     .min = min_,                                                                                                                  \
     .max = max_,                                                                                                                  \
     .default_text = default_,                                                                                                     \
     .effect = TFR_FIELD_##effect_,                                                                                                \
     .refused_if = TFR_FIELD_##when_,                                                                                              \
     .why_refused = why_,                                                                                                          \
     .meaning = meaning_},
#include "config/model_fields.def"
#undef TFR_FIELD
#undef NONE
#undef MEMBER
};

void tfr_config_wrong_type(struct tfr_config_reader *reader, const tfr_json *node, const char *name, const char *words) {
    char shown[64];
    tfr_config_complain(reader, node, TFR_CONFIG, "%s = %s is not %s", name, tfr_json_value_text(node, shown, sizeof(shown)),
                        words);
}

/* False after a problem: `value` is left alone. */
static bool read_integer(struct tfr_config_reader *reader, const struct tfr_model_field *field, const tfr_json *node,
                         int64_t *value) {
    int64_t parsed;
    const bool is_whole = tfr_json_whole(reader->doc, node, &parsed);
    if (is_whole && field->kind != TFR_FIELD_TOKEN && !tfr_json_int64(reader->doc, node, &parsed)) {
        tfr_config_complain(reader, node, TFR_CONFIG,
                            "%s is written as a float, which transformers takes for no size; write %lld without the point",
                            field->name, (long long)parsed);
        return false;
    }
    if (!is_whole) {
        tfr_config_wrong_type(reader, node, field->name,
                              field->kind == TFR_FIELD_INT ? "a whole number" : "a whole number or null");
        return false;
    }
    if ((double)parsed < field->min || (double)parsed > field->max) {
        tfr_config_complain(reader, node, TFR_CONFIG, "%s = %lld is outside %.0f..%.0f", field->name, (long long)parsed, field->min,
                            field->max);
        return false;
    }
    *value = parsed;
    return true;
}

/* Newer configs may list several end tokens; the first stands here, all of them in sampling.eos_token_id. */
static void read_token(struct tfr_config_reader *reader, const struct tfr_model_field *field, const tfr_json *node,
                       int32_t *member) {
    if (tfr_json_kind(node) == TFR_JSON_ARRAY && tfr_json_size(node) > 1 && strcmp(field->name, "eos_token_id") == 0) {
        tfr_config_read_eos_list(reader, node);
        node = tfr_json_first(node);
    }
    if (tfr_json_kind(node) == TFR_JSON_ARRAY && tfr_json_size(node) > 1) {
        tfr_config_complain(reader, node, TFR_UNSUPPORTED, "%s is a list of %zu ids; only a single id is supported", field->name,
                            tfr_json_size(node));
        return;
    }
    if (tfr_json_kind(node) == TFR_JSON_ARRAY && tfr_json_size(node) == 0) {
        *member = -1; /* a list of none asks for none */
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

static void read_real(struct tfr_config_reader *reader, const struct tfr_model_field *field, const tfr_json *node, double *member) {
    if (tfr_json_kind(node) != TFR_JSON_NUMBER) {
        tfr_config_wrong_type(reader, node, field->name, "a number");
        return;
    }
    const double value = tfr_json_number(node);
    if (value < field->min || value > field->max) {
        tfr_config_complain(reader, node, TFR_CONFIG, "%s = %.15g is outside %.15g..%.15g", field->name, value, field->min,
                            field->max);
        return;
    }
    *member = value;
}

static void read_field(struct tfr_config_reader *reader, const struct tfr_model_field *field, const tfr_json *node) {
    double unused[1];
    char *base = (char *)&reader->config->model;
    void *member = field->offset == TFR_NO_MEMBER ? (void *)unused : base + field->offset;
    switch (field->kind) {
    case TFR_FIELD_SIZE_OR_NULL:
        if (tfr_json_kind(node) == TFR_JSON_NULL) {
            return;
        }
        read_integer(reader, field, node, member);
        return;
    case TFR_FIELD_INT:
        read_integer(reader, field, node, member);
        return;
    case TFR_FIELD_TOKEN:
        read_token(reader, field, node, member);
        return;
    case TFR_FIELD_REAL:
        read_real(reader, field, node, member);
        return;
    case TFR_FIELD_BOOL:
        if (tfr_json_kind(node) != TFR_JSON_BOOL) {
            tfr_config_wrong_type(reader, node, field->name, "true or false");
            return;
        }
        *(bool *)member = tfr_json_bool(node);
        return;
    case TFR_FIELD_OTHER:
        return;
    }
}

/* null is -1 for a token and 0, to be replaced, for a size. */
static void set_default(struct tfr_hparams *model, const struct tfr_model_field *field) {
    void *member = (char *)model + field->offset;
    const double number = field->default_text != NULL ? strtod(field->default_text, NULL) : 0;
    const bool is_null = field->default_text == NULL || strcmp(field->default_text, "null") == 0;
    switch (field->kind) {
    case TFR_FIELD_INT:
    case TFR_FIELD_SIZE_OR_NULL:
        *(int64_t *)member = (int64_t)number;
        return;
    case TFR_FIELD_TOKEN:
        *(int32_t *)member = is_null ? -1 : (int32_t)number;
        return;
    case TFR_FIELD_REAL:
        *(double *)member = number;
        return;
    case TFR_FIELD_BOOL:
        *(bool *)member = !is_null && strcmp(field->default_text, "true") == 0;
        return;
    case TFR_FIELD_OTHER:
        return;
    }
}

static void set_defaults(struct tfr_hparams *model) {
    *model = (struct tfr_hparams){.activation = TFR_ACT_GELU_TANH, .activation_name = "gelu_new"};
    for (size_t i = 0; i < TFR_COUNT_OF(fields); i++) {
        if (fields[i].offset != TFR_NO_MEMBER) {
            set_default(model, &fields[i]);
        }
    }
}

static void read_fields(struct tfr_config_reader *reader, const tfr_json *root) {
    for (size_t i = 0; i < TFR_COUNT_OF(fields); i++) {
        const tfr_json *node = tfr_json_member(root, fields[i].name);
        const tfr_json *other = fields[i].alias == NULL ? NULL : tfr_json_member(root, fields[i].alias);
        int64_t a, b;
        if (node != NULL && other != NULL && tfr_json_int64(reader->doc, node, &a) && tfr_json_int64(reader->doc, other, &b) &&
            a != b) {
            tfr_config_complain(reader, other, TFR_CONFIG, "%s = %lld contradicts %s = %lld, which is the same field",
                                fields[i].alias, (long long)b, fields[i].name, (long long)a);
        }
        if (node != NULL || other != NULL) {
            read_field(reader, &fields[i], node != NULL ? node : other);
        }
    }
}

static bool is_refused(const struct tfr_model_field *field, const tfr_json *node) {
    const bool is_bool = tfr_json_kind(node) == TFR_JSON_BOOL;
    switch (field->refused_if) {
    case TFR_FIELD_IF_TRUE:
        return is_bool && tfr_json_bool(node);
    case TFR_FIELD_IF_FALSE:
        return is_bool && !tfr_json_bool(node);
    case TFR_FIELD_IF_NOT_EMPTY:
        return tfr_json_size(node) > 0;
    case TFR_FIELD_NEVER:
        break;
    }
    return false;
}

/* Values that transformers would act on and tfrun cannot: running on would give other numbers than the
 * reference. */
static void refuse_unsupported(struct tfr_config_reader *reader, const tfr_json *root) {
    for (size_t i = 0; i < TFR_COUNT_OF(fields); i++) {
        const tfr_json *node = tfr_json_member(root, fields[i].name);
        if (node != NULL && is_refused(&fields[i], node)) {
            static const char *const values[] = {
                [TFR_FIELD_IF_TRUE] = " = true", [TFR_FIELD_IF_FALSE] = " = false", [TFR_FIELD_IF_NOT_EMPTY] = ""};
            tfr_config_complain(reader, node, TFR_UNSUPPORTED, "%s%s is not supported: %s", fields[i].name,
                                values[fields[i].refused_if], fields[i].why_refused);
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
            tfr_log(TFR_LOG_DEBUG, "config", "%s = %d is outside the vocabulary of %lld: taken as none", names[i], (int)*ids[i],
                    (long long)model->vocab_size);
            *ids[i] = -1;
        }
    }
}

bool tfr_config_is_model_field(const char *key) {
    for (size_t i = 0; i < TFR_COUNT_OF(fields); i++) {
        if (strcmp(key, fields[i].name) == 0 || (fields[i].alias != NULL && strcmp(key, fields[i].alias) == 0)) {
            return true;
        }
    }
    return false;
}

const struct tfr_model_field *tfr_config_model_fields(size_t *n) {
    *n = TFR_COUNT_OF(fields);
    return fields;
}

void tfr_config_read_model(struct tfr_config_reader *reader, const tfr_json *root) {
    struct tfr_hparams *model = &reader->config->model;
    set_defaults(model);
    tfr_config_read_classes(reader, root);
    read_fields(reader, root);
    tfr_config_read_names(reader, root);
    tfr_config_read_shown(reader, root);
    tfr_config_read_quantization(reader, root);
    refuse_unsupported(reader, root);
    check_heads(reader, root);
    drop_tokens_outside(model);
    if (model->n_inner == 0) {
        model->n_inner = 4 * model->n_embd;
    }
}

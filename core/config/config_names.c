/* config_names.c - fields of config.json whose value is one of a few names: model type, class, activations, problem, summary. */
#include "config/config_internal.h"

#include <string.h>

#include <tfrun/plugin.h>

#include "base/status.h"

struct named_value {
    const char *name;
    int value;
};

static const struct named_value activations[] = {
#define ACTIVATION_ENTRY(enum_name, config_name, ...) {config_name, TFR_ACT_##enum_name},
    TFR_ACTIVATION_LIST(ACTIVATION_ENTRY)
#undef ACTIVATION_ENTRY
};

static void read_model_type(struct tfr_config_reader *reader, const tfr_json *root) {
    const tfr_json *type = tfr_json_member(root, "model_type");
    if (type == NULL) {
        if (tfr_json_member(root, "architectures") == NULL) {
            tfr_config_complain(reader, root, TFR_CONFIG, "no model_type: this is not the config.json of a Hugging Face model");
        }
        return;
    }
    if (tfr_json_kind(type) != TFR_JSON_STRING) {
        tfr_config_wrong_type(reader, type, "model_type", "a text");
    } else if (strcmp(tfr_json_string(type), "gpt2") != 0) {
        tfr_config_complain(reader, type, TFR_UNSUPPORTED, "model_type = \"%s\" is not supported; tfrun runs \"gpt2\"",
                            tfr_json_string(type));
    }
}

/* Index of a name, -1 if unknown. */
static int find_name(const char *name, const struct named_value *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, names[i].name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static const struct {
    const char *class_name, *word;
} heads[] = {
    [TFR_HEAD_LM] = {"GPT2LMHeadModel", "lm"},
    [TFR_HEAD_NONE] = {"GPT2Model", "none"},
    [TFR_HEAD_DOUBLE] = {"GPT2DoubleHeadsModel", "double"},
    [TFR_HEAD_SEQUENCE] = {"GPT2ForSequenceClassification", "seq-cls"},
    [TFR_HEAD_TOKEN] = {"GPT2ForTokenClassification", "token-cls"},
    [TFR_HEAD_QA] = {"GPT2ForQuestionAnswering", "qa"},
};

const char *tfr_head_class(int head) {
    return heads[head].class_name;
}

const char *tfr_head_word(int head) {
    return heads[head].word;
}

int tfr_head_find(const char *word) {
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        if (strcmp(word, heads[i].word) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int head_of_class(const char *name) {
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        if (strcmp(name, heads[i].class_name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static void read_architectures(struct tfr_config_reader *reader, const tfr_json *root) {
    const tfr_json *list = tfr_json_member(root, "architectures");
    if (list == NULL || tfr_json_kind(list) == TFR_JSON_NULL) {
        return;
    }
    if (tfr_json_kind(list) != TFR_JSON_ARRAY) {
        tfr_config_wrong_type(reader, list, "architectures", "a list of class names");
        return;
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        const char *name = tfr_json_string(item);
        if (name == NULL) {
            tfr_config_wrong_type(reader, item, "architectures", "a list of class names");
            return;
        }
        const int head = head_of_class(name);
        if (head < 0 && item == tfr_json_first(list)) {
            tfr_config_complain(reader, item, TFR_UNSUPPORTED,
                                "architecture %s is not supported; tfrun runs GPT2LMHeadModel, GPT2Model, "
                                "GPT2DoubleHeadsModel and GPT2For(Sequence|Token)Classification, -QuestionAnswering",
                                name);
        } else if (item == tfr_json_first(list)) { /* the others are read by nobody */
            reader->config->model.head = head;
        }
    }
}

/* A field that is null or one of a few names: which, -1 for null and after a complaint. */
static int read_choice(struct tfr_config_reader *reader, const tfr_json *root, const char *field, const struct named_value *names,
                       size_t n, int *member) {
    const tfr_json *node = tfr_json_member(root, field);
    if (node == NULL || tfr_json_kind(node) == TFR_JSON_NULL) {
        return -1;
    }
    const char *name = tfr_json_string(node);
    const int at = name != NULL ? find_name(name, names, n) : -1;
    if (at >= 0) {
        *member = names[at].value;
    } else {
        char shown[64];
        tfr_config_complain(reader, node, TFR_UNSUPPORTED, "%s = %s is not supported; known are %s to %s", field,
                            tfr_json_value_text(node, shown, sizeof(shown)), names[0].name, names[n - 1].name);
    }
    return at;
}

static void read_head_fields(struct tfr_config_reader *reader, const tfr_json *root) {
    static const struct named_value problems[] = {{"regression", TFR_PROBLEM_REGRESSION},
                                                  {"single_label_classification", TFR_PROBLEM_SINGLE_LABEL},
                                                  {"multi_label_classification", TFR_PROBLEM_MULTI_LABEL}};
    static const struct named_value summaries[] = {
        {"cls_index", TFR_SUMMARY_CLS_INDEX}, {"first", TFR_SUMMARY_FIRST}, {"last", TFR_SUMMARY_LAST}, {"mean", TFR_SUMMARY_MEAN}};
    struct tfr_hparams *model = &reader->config->model;
    tfr_config_read_labels(reader, root);
    read_choice(reader, root, "problem_type", problems, TFR_COUNT_OF(problems), &model->problem_type);
    read_choice(reader, root, "summary_type", summaries, TFR_COUNT_OF(summaries), &model->summary_type);
    const int at =
        read_choice(reader, root, "summary_activation", activations, TFR_COUNT_OF(activations), &model->summary_activation);
    model->summary_activation_name = at >= 0 ? activations[at].name : NULL;
}

static void read_activation(struct tfr_config_reader *reader, const tfr_json *root) {
    const tfr_json *node = tfr_json_member(root, "activation_function");
    if (node == NULL) {
        return;
    }
    const char *name = tfr_json_string(node);
    if (name == NULL) {
        tfr_config_wrong_type(reader, node, "activation_function", "a text");
        return;
    }
    const char *names[TFR_COUNT_OF(activations)];
    for (size_t i = 0; i < TFR_COUNT_OF(activations); i++) {
        names[i] = activations[i].name;
        if (strcmp(names[i], name) == 0) {
            reader->config->model.activation = activations[i].value;
            reader->config->model.activation_name = activations[i].name;
            return;
        }
    }
    if (strcmp(name, "prelu") == 0 || strcmp(name, "xielu") == 0) {
        tfr_config_complain(reader, node, TFR_UNSUPPORTED,
                            "activation_function = \"%s\" is not supported: it has learned parameters that no GPT-2 "
                            "checkpoint stores",
                            name);
        return;
    }
    const char *nearest = tfr_nearest_name(name, names, TFR_COUNT_OF(names));
    tfr_config_complain(reader, node, TFR_CONFIG, "unknown activation_function \"%s\"; %s%s%s", name,
                        nearest != NULL ? "did you mean \"" : "GPT-2 models use gelu_new, gelu, relu, silu or tanh",
                        nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
}

void tfr_config_read_classes(struct tfr_config_reader *reader, const tfr_json *root) {
    read_model_type(reader, root);
    read_architectures(reader, root);
}

void tfr_config_read_names(struct tfr_config_reader *reader, const tfr_json *root) {
    read_activation(reader, root);
    read_head_fields(reader, root);
}

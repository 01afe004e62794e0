/* adapter_config.c - what PEFT says about a prefix, checked against the model: see adapter_config.h. */
#include "model/adapter_config.h"

#include <string.h>

#include "base/json.h"
#include "base/status.h"

/* Keys that say how the adapter was trained or found. encoder_* and prefix_projection: PEFT saves the
 * projected result. */
static const char *const without_effect[] = {
    "auto_mapping", "base_model_name_or_path", "encoder_dropout", "encoder_hidden_size", "inference_mode",
    "init_weights", "modules_to_save",         "peft_version",    "prefix_projection",   "revision"};
static const char *const honoured[] = {"peft_type",           "task_type", "num_virtual_tokens",        "num_layers",
                                       "num_attention_heads", "token_dim", "num_transformer_submodules"};

static bool is_among(const char *key, const char *const *keys, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

static enum tfr_status check_keys(const struct tfr_json_doc *doc) {
    for (const tfr_json *node = tfr_json_first(tfr_json_root(doc)); node != NULL; node = tfr_json_next(node)) {
        const char *key = tfr_json_key(node);
        if (!is_among(key, without_effect, TFR_COUNT_OF(without_effect)) && !is_among(key, honoured, TFR_COUNT_OF(honoured))) {
            return tfr_raise(TFR_UNSUPPORTED,
                             "%s: %.64s is no key of a prefix that tfrun knows; take it out if it does not "
                             "change what the model computes",
                             tfr_json_name(doc), key);
        }
    }
    return TFR_OK;
}

static const struct {
    const char *type, *what, *fix;
} kinds[] = {
    {"PREFIX_TUNING", "a prefix", "give its folder with --prefix"},
    {"LORA", "a LoRA adapter", "give its folder with --adapter"},
    {"PROMPT_TUNING", "embeddings before the text", "pass them with the text's own as inputs_embeds of `tfrun forward`"},
    {"P_TUNING", "embeddings before the text", "pass them with the text's own as inputs_embeds of `tfrun forward`"},
    {"MULTITASK_PROMPT_TUNING", "embeddings before the text", "pass them with the text's own as inputs_embeds of `tfrun forward`"},
};

/* Each kind with the way to run it all the same. */
enum tfr_status tfr_adapter_check_type(const struct tfr_json_doc *doc, const char *wanted) {
    const tfr_json *node = tfr_json_member(tfr_json_root(doc), "peft_type");
    const char *type = node != NULL ? tfr_json_string(node) : NULL;
    if (type == NULL) {
        return tfr_raise(TFR_MODEL, "%s: peft_type is missing; this is not a file of PEFT", tfr_json_name(doc));
    }
    if (strcmp(type, wanted) == 0) {
        return TFR_OK;
    }
    for (size_t i = 0; i < TFR_COUNT_OF(kinds); i++) {
        if (strcmp(type, kinds[i].type) == 0) {
            return tfr_raise(TFR_UNSUPPORTED, "%s: peft_type = %s, %s, where %s is needed; %s", tfr_json_name(doc), type,
                             kinds[i].what, wanted, kinds[i].fix);
        }
    }
    return tfr_raise(TFR_UNSUPPORTED,
                     "%s: peft_type = %.32s is neither LORA nor PREFIX_TUNING; merge it into the model with "
                     "merge_and_unload() and "
                     "save_pretrained",
                     tfr_json_name(doc), type);
}

enum tfr_status tfr_adapter_check_task(const struct tfr_json_doc *doc, const struct tfr_hparams *hparams) {
    static const struct {
        const char *task, *class;
        unsigned heads;
    } tasks[] = {
        {"CAUSAL_LM", "GPT2LMHeadModel", 1U << TFR_HEAD_LM | 1U << TFR_HEAD_DOUBLE},
        {"SEQ_CLS", "GPT2ForSequenceClassification", 1U << TFR_HEAD_SEQUENCE},
        {"TOKEN_CLS", "GPT2ForTokenClassification", 1U << TFR_HEAD_TOKEN},
        {"QUESTION_ANS", "GPT2ForQuestionAnswering", 1U << TFR_HEAD_QA},
        {"FEATURE_EXTRACTION", "GPT2Model", 1U << TFR_HEAD_NONE},
    };
    const tfr_json *node = tfr_json_member(tfr_json_root(doc), "task_type");
    if (node == NULL || tfr_json_kind(node) == TFR_JSON_NULL) {
        return TFR_OK; /* trained on whatever the model is */
    }
    const char *task = tfr_json_string(node);
    for (size_t i = 0; task != NULL && i < TFR_COUNT_OF(tasks); i++) {
        if (strcmp(task, tasks[i].task) == 0) {
            return (tasks[i].heads >> hparams->head & 1) != 0
                       ? TFR_OK
                       : tfr_raise(TFR_MODEL,
                                   "%s: task_type = %s is for %s, but the model's config names another class "
                                   "in architectures",
                                   tfr_json_name(doc), task, tasks[i].class);
        }
    }
    return tfr_raise(TFR_UNSUPPORTED, "%s: task_type = %.32s is none that a GPT-2 model has", tfr_json_name(doc),
                     task != NULL ? task : "(no text)");
}

static enum tfr_status check_numbers(const struct tfr_json_doc *doc, const struct tfr_hparams *hparams, int64_t *n) {
    const struct {
        const char *key, *name;
        int64_t wanted; /* -1: anything */
    } numbers[] = {
        {"num_virtual_tokens", NULL, -1},
        {"num_layers", "n_layer", hparams->n_layer},
        {"num_attention_heads", "n_head", hparams->n_head},
        {"token_dim", "n_embd", hparams->n_embd},
        {"num_transformer_submodules", "decoders", 1},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(numbers); i++) {
        const tfr_json *node = tfr_json_member(tfr_json_root(doc), numbers[i].key);
        int64_t value;
        if (node == NULL || !tfr_json_int64(doc, node, &value)) {
            return tfr_raise(TFR_MODEL, "%s: %s must be a whole number", tfr_json_name(doc), numbers[i].key);
        }
        if (numbers[i].wanted >= 0 && value != numbers[i].wanted) {
            return tfr_raise(TFR_MODEL, "%s: %s = %lld, but the model has %s = %lld; the adapter belongs to another model",
                             tfr_json_name(doc), numbers[i].key, (long long)value, numbers[i].name, (long long)numbers[i].wanted);
        }
        *n = i == 0 ? value : *n;
    }
    return TFR_OK;
}

static enum tfr_status check(const struct tfr_json_doc *doc, const struct tfr_hparams *hparams, int64_t *n) {
    if (tfr_json_kind(tfr_json_root(doc)) != TFR_JSON_OBJECT) {
        return tfr_raise(TFR_MODEL, "%s: is not an object", tfr_json_name(doc));
    }
    TFR_TRY(tfr_adapter_check_type(doc, "PREFIX_TUNING")); /* first: keys of another kind are not the fault */
    TFR_TRY(check_keys(doc));
    TFR_TRY(tfr_adapter_check_task(doc, hparams));
    return check_numbers(doc, hparams, n);
}

enum tfr_status tfr_adapter_read_config(const char *directory, const struct tfr_hparams *hparams, int64_t *n) {
    struct tfr_json_doc *doc = NULL;
    enum tfr_status status = tfr_adapter_open_config(&doc, directory);
    if (status == TFR_OK) {
        status = check(doc, hparams, n);
    }
    tfr_json_close(doc);
    return status;
}

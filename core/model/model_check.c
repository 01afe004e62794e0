/* model_check.c - checks every tensor of a checkpoint by name against the table: nothing unknown, nothing
 * missing, all shapes and dtypes right. Reads no data, except for a tied matrix that was stored twice and on
 * request for NaN. */
#include "model/model_check.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "config/complaints.h"
#include "model/lora.h"
#include "model/model_coarse.h"
#include "model/model_tensors.h"

enum { MAX_LINES = 20, MAX_NAME = 128, PIECE = 16384, PREFIX_LENGTH = 12 /* of "transformer." */ };

static bool ends_with(const char *text, const char *end) {
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* What a tensor that GPT-2's language model does not have probably is. */
static const char *hint_of(const char *name) {
    static const struct {
        const char *part, *hint;
    } hints[] = {
        {"crossattention.", "cross-attention needs add_cross_attention = true in the config"},
        {"ln_cross_attn.", "cross-attention needs add_cross_attention = true in the config"},
        {"score.", "this is the head of GPT2ForSequenceClassification, which architectures does not name"},
        {"classifier.", "this is the head of GPT2ForTokenClassification, which architectures does not name"},
        {"qa_outputs.", "this is the head of GPT2ForQuestionAnswering, which architectures does not name"},
        {"multiple_choice_head.", "this is a head of GPT2DoubleHeadsModel, which architectures does not name"},
        {"lora_", "adapters must be merged into the model first"},
    };
    if (ends_with(name, ".gamma") || ends_with(name, ".beta")) {
        return "a layer norm of a very old file; rename gamma to weight and beta to bias";
    }
    for (size_t i = 0; i < TFR_COUNT_OF(hints); i++) {
        if (strstr(name, hints[i].part) != NULL) {
            return hints[i].hint;
        }
    }
    return "no parameter of GPT2LMHeadModel has this name";
}

static bool is_known_dtype(enum tfr_dtype dtype) {
    return dtype == TFR_DTYPE_F32 || dtype == TFR_DTYPE_F16 || dtype == TFR_DTYPE_BF16 || dtype == TFR_DTYPE_F64;
}

static void complain(struct tfr_complaints *complaints, const struct tfr_weight *weight, const char *text) {
    tfr_complaints_add(complaints, TFR_MODEL, 0, 0, "%s: tensor %.200s %s", weight->file, weight->name, text);
}

static void check_form(struct tfr_complaints *complaints, const struct tfr_model *model, const struct tfr_weight *weight,
                       enum tfr_param param) {
    int64_t dim[2];
    const int rank = tfr_model_param_shape(&model->hparams, param, dim);
    const struct tfr_tensor *tensor = &weight->tensor;
    char text[256], has[96], wants[96];
    if (tensor->rank != rank || memcmp(tensor->dim, dim, (size_t)rank * sizeof(dim[0])) != 0) {
        snprintf(text, sizeof(text), "has shape %s but the config says %s",
                 tfr_shape_text(tensor->rank, tensor->dim, has, sizeof(has)), tfr_shape_text(rank, dim, wants, sizeof(wants)));
        complain(complaints, weight, text);
    }
    if (!is_known_dtype(tensor->dtype) && weight->coarse == NULL) {
        snprintf(text, sizeof(text), "has dtype %s; weights must be F32, F16, BF16 or F64", tfr_dtype_file_name(tensor->dtype));
        complain(complaints, weight, text);
    }
}

/* True if no parameter of the model asks for the tensor. */
static bool is_unasked(const struct tfr_model *model, const struct tfr_weight *weight, const struct tfr_parsed_name *parsed) {
    if (parsed->kind != TFR_NAME_PARAM) {
        return parsed->kind == TFR_NAME_OTHER;
    }
    const bool is_second =
        model->tied && parsed->param == TFR_PARAM_LM_HEAD && tfr_model_stored_param(model, TFR_PARAM_LM_HEAD, 0) != weight;
    return is_second || parsed->layer >= model->hparams.n_layer ||
           (parsed->param != TFR_PARAM_LM_HEAD && !tfr_model_has_param(&model->hparams, parsed->param));
}

static bool is_listed(const struct tfr_model *model, const char *name) {
    const struct tfr_string_list *list = &model->config->options.model_ignore_tensors;
    for (size_t i = 0; i < list->n; i++) {
        if (fnmatch(list->items[i], name, 0) == 0) {
            return true;
        }
    }
    return false;
}

bool tfr_model_is_ignored(const struct tfr_model *model, const struct tfr_weight *weight) {
    const struct tfr_parsed_name parsed = tfr_model_parse_name(weight->name);
    return is_unasked(model, weight, &parsed) && is_listed(model, weight->name);
}

void tfr_model_check_tensor(struct tfr_complaints *complaints, const struct tfr_model *model, const struct tfr_weight *weight) {
    const struct tfr_parsed_name name = tfr_model_parse_name(weight->name), *parsed = &name;
    char text[256];
    const bool is_foreign = parsed->kind == TFR_NAME_PARAM && parsed->param != TFR_PARAM_LM_HEAD &&
                            !tfr_model_has_param(&model->hparams, parsed->param);
    if (tfr_model_is_ignored(model, weight)) {
        return;
    }
    if (parsed->kind == TFR_NAME_OTHER || is_foreign) {
        const char *dot = strchr(weight->name, '.');
        const bool is_head = dot != NULL && strncmp(weight->name, "transformer.", PREFIX_LENGTH) != 0 && weight->name[0] != 'h';
        snprintf(text, sizeof(text), "is unknown: %s; --ignore-tensors '%.*s%s' runs the model without it", hint_of(weight->name),
                 is_head ? (int)(dot - weight->name) : 64, weight->name, is_head ? ".*" : "");
        complain(complaints, weight, text);
    } else if (parsed->kind == TFR_NAME_PARAM && parsed->layer >= model->hparams.n_layer) {
        snprintf(text, sizeof(text), "is of block %lld, but the config says n_layer = %lld", (long long)parsed->layer,
                 (long long)model->hparams.n_layer);
        complain(complaints, weight, text);
    } else if (parsed->kind == TFR_NAME_PARAM) {
        check_form(complaints, model, weight, parsed->param);
    }
}

void tfr_model_each_missing(const struct tfr_model *model, void (*missing)(void *user, enum tfr_param param, int64_t layer),
                            void *user) {
    for (int param = 0; param < TFR_PARAM_COUNT; param++) {
        const int64_t n = param < TFR_PARAM_PER_BLOCK ? model->hparams.n_layer : 1;
        for (int64_t layer = 0; layer < n; layer++) {
            const bool is_shared = model->tied && param == TFR_PARAM_LM_HEAD; /* missing as wte, once */
            const bool is_wanted = tfr_model_has_param(&model->hparams, (enum tfr_param)param) &&
                                   !(param > TFR_PARAM_LM_HEAD && model->hparams.allow_missing_head);
            if (is_wanted && !is_shared && tfr_model_param(model, (enum tfr_param)param, layer) == NULL) {
                missing(user, (enum tfr_param)param, layer);
            }
        }
    }
}

struct missing {
    struct tfr_complaints *complaints;
    const struct tfr_model *model;
    const char *path;
};

static void complain_missing(void *user, enum tfr_param param, int64_t layer) {
    const struct missing *missing = user;
    char name[MAX_NAME], shape[96];
    int64_t dim[2];
    const int rank = tfr_model_param_shape(&missing->model->hparams, param, dim);
    tfr_complaints_add(missing->complaints, TFR_MODEL, 1, 0, "%s: tensor %s %s is missing%s", missing->path,
                       tfr_model_param_name(param, layer, name, sizeof(name)), tfr_shape_text(rank, dim, shape, sizeof(shape)),
                       param == TFR_PARAM_LM_HEAD ? ": the config says tie_word_embeddings = false"
                       : param > TFR_PARAM_LM_HEAD
                           ? ": architectures names this head; --allow-missing-head runs the model without it"
                           : "");
}

/* A pattern that lets nothing pass is misspelled, or its tensor is gone. */
static void warn_unused(const struct tfr_model *model) {
    const struct tfr_string_list *list = &model->config->options.model_ignore_tensors;
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(model->weights, &n);
    for (size_t i = 0; i < list->n; i++) {
        bool is_used = false;
        for (size_t j = 0; j < n && !is_used; j++) {
            const struct tfr_parsed_name parsed = tfr_model_parse_name(all[j].name);
            is_used = fnmatch(list->items[i], all[j].name, 0) == 0 && is_unasked(model, &all[j], &parsed);
        }
        if (!is_used) {
            tfr_log(TFR_LOG_WARN, "model", "model.ignore_tensors: %.100s matches no tensor that could be ignored", list->items[i]);
        }
    }
}

enum tfr_status tfr_model_check_tensors(const struct tfr_model *model, const char *path) {
    struct tfr_complaints complaints = {0};
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(model->weights, &n);
    TFR_TRY(tfr_model_check_prefix(model));
    for (size_t i = 0; i < n; i++) {
        tfr_model_check_tensor(&complaints, model, &all[i]);
    }
    struct missing missing = {&complaints, model, path};
    tfr_model_each_missing(model, complain_missing, &missing);
    TFR_TRY(tfr_complaints_raise(&complaints, MAX_LINES));
    warn_unused(model);
    return tfr_model_check_tied(model);
}

static enum tfr_status check_finite(const struct tfr_weight *weight, float *buffer) {
    const struct tfr_tensor *tensor = &weight->tensor;
    const int64_t count = tfr_tensor_count(tensor);
    const size_t width = tfr_dtype_size(tensor->dtype);
    for (int64_t first = 0; first < count; first += PIECE) {
        const int64_t n = count - first < PIECE ? count - first : PIECE;
        tfr_to_f32(buffer, (const uint8_t *)tensor->data + (size_t)first * width, tensor->dtype, n);
        for (int64_t i = 0; i < n; i++) {
            if (!isfinite(buffer[i])) {
                return tfr_raise(TFR_MODEL, "%s: tensor %s holds %s at element %lld; the checkpoint is damaged", weight->file,
                                 weight->name, isnan(buffer[i]) ? "NaN" : "an infinity", (long long)(first + i));
            }
        }
    }
    return TFR_OK;
}

static enum tfr_status check_merged(void *user, const struct tfr_weight *weight) {
    return check_finite(weight, user);
}

/* The head that counts may be one that came with a prefix. */
static enum tfr_status check_heads(const struct tfr_model *model, float *buffer) {
    enum tfr_status status = TFR_OK;
    for (int param = TFR_PARAM_LM_HEAD + 1; param < TFR_PARAM_COUNT && status == TFR_OK && model->adapter != NULL; param++) {
        const struct tfr_weight *weight = tfr_model_stored_param(model, (enum tfr_param)param, 0);
        const bool is_read =
            weight != NULL && weight->coarse == NULL && tfr_model_has_param(&model->hparams, (enum tfr_param)param);
        status = is_read ? check_finite(weight, buffer) : TFR_OK;
    }
    return status;
}

enum tfr_status tfr_model_check_values(const struct tfr_model *model) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(model->weights, &n);
    float *buffer = tfr_alloc(PIECE, sizeof(*buffer));
    if (buffer == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < n && status == TFR_OK; i++) {
        if (tfr_model_parse_name(all[i].name).kind == TFR_NAME_PARAM) {
            status = all[i].coarse != NULL ? tfr_model_check_coarse(&all[i]) : check_finite(&all[i], buffer);
            tfr_weights_drop(model->weights, &all[i]);
        }
    }
    if (status == TFR_OK) {
        status = tfr_lora_each(model->lora, check_merged, buffer);
    }
    if (status == TFR_OK) {
        status = check_heads(model, buffer);
    }
    tfr_free(buffer);
    return status;
}

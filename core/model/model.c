/* model.c - opens a model: finds the checkpoint, has it checked, opens the tokenizer. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "model/lora.h"
#include "model/model_check.h"
#include "model/model_coarse.h"
#include "model/model_tensors.h"

enum { MAX_NAME = 128 };

/* Length of "transformer.": the bare name follows it. */
enum { PREFIX_LENGTH = 12 };

enum tfr_status tfr_model_open_checkpoint(struct tfr_model *model, const char *path) {
    const char *front = model->config->options.model_tensor_prefix;
    TFR_TRY(tfr_weights_open(&model->weights, path));
    if (front != NULL && front[0] != '\0') {
        TFR_TRY(tfr_weights_strip(model->weights, front));
    }
    return model->config->quantization.given ? tfr_model_fold_coarse(model) : TFR_OK;
}

enum tfr_status tfr_model_find_lora(const struct tfr_config *config, char **directory) {
    TFR_TRY(tfr_lora_find(config, directory));
    if (*directory == NULL || !config->quantization.given) {
        return TFR_OK;
    }
    tfr_raise(TFR_UNSUPPORTED,
              "%s: an adapter can't be merged into coarse weights; merge it while they are made: tfrun quantize MODEL "
              "--adapter %s",
              *directory, *directory);
    tfr_free(*directory);
    *directory = NULL;
    return TFR_UNSUPPORTED;
}

static enum tfr_status open_lora(struct tfr_model *model) {
    char *directory = NULL;
    enum tfr_status status = tfr_model_find_lora(model->config, &directory);
    if (status == TFR_OK && directory != NULL) {
        status = tfr_lora_open(&model->lora, directory, &model->hparams);
    }
    tfr_free(directory);
    return status;
}

static enum tfr_status open_weights(struct tfr_model *model) {
    const char *prefix = model->config->options.model_prefix;
    char *path = NULL;
    TFR_TRY(tfr_model_find_weights(model->config, &path));
    enum tfr_status status = tfr_model_open_checkpoint(model, path);
    if (status == TFR_OK && prefix != NULL) {
        status = tfr_adapter_open(&model->adapter, prefix, &model->hparams);
    }
    if (status == TFR_OK) {
        status = open_lora(model);
    }
    if (status == TFR_OK) {
        status = tfr_model_check_tensors(model, path);
    }
    if (status == TFR_OK && model->lora != NULL) {
        status = tfr_lora_merge(model->lora, model);
    }
    if (status == TFR_OK && model->config->options.model_check_weights) {
        status = tfr_model_check_values(model);
    }
    tfr_free(path);
    return status;
}

static enum tfr_dtype table_type(const struct tfr_model *model, enum tfr_param param, enum tfr_dtype otherwise) {
    const struct tfr_weight *table = tfr_model_stored_param(model, param, 0);
    return table == NULL ? otherwise : table->tensor.dtype == TFR_DTYPE_F64 ? TFR_DTYPE_F32 : table->tensor.dtype;
}

static enum tfr_status read_table_types(struct tfr_model *model, struct tfr_table_types *types) {
    char *path = NULL;
    TFR_TRY(tfr_model_find_weights(model->config, &path));
    const enum tfr_status status = tfr_model_open_checkpoint(model, path);
    tfr_free(path);
    TFR_TRY(status);
    types->wte = table_type(model, TFR_PARAM_WTE, types->wte);
    types->wpe = table_type(model, TFR_PARAM_WPE, types->wpe);
    return TFR_OK;
}

enum tfr_status tfr_model_table_types(const struct tfr_config *config, enum tfr_dtype otherwise, struct tfr_table_types *types) {
    struct tfr_model model = {.config = config, .hparams = config->model, .tied = config->model.tie_word_embeddings};
    *types = (struct tfr_table_types){.wte = otherwise, .wpe = otherwise};
    const enum tfr_status status = tfr_model_has_weights(config) ? read_table_types(&model, types) : TFR_OK;
    tfr_weights_close(model.weights);
    return status == TFR_RESOURCE ? status : TFR_OK; /* what is no checkpoint is refused where one is needed */
}

bool tfr_model_has_tokenizer(const char *directory) {
    return tfr_path_holds(directory, "tokenizer.json") ||
           (tfr_path_holds(directory, "vocab.json") && tfr_path_holds(directory, "merges.txt"));
}

static enum tfr_status open_tokenizer(struct tfr_model *model) {
    const char *named = model->config->options.model_tokenizer;
    const char *path = named != NULL ? named : model->config->directory;
    if (named == NULL && !tfr_model_has_tokenizer(path)) {
        return tfr_raise(TFR_RESOURCE,
                         "%s: no tokenizer.json and no vocab.json with merges.txt here; --tokenizer "
                         "names the folder of a tokenizer",
                         path);
    }
    TFR_TRY(tfr_tokenizer_open(&model->tokenizer, path));
    const int64_t n_tokens = tfr_tokenizer_n_model(model->tokenizer);
    if (n_tokens > model->hparams.vocab_size) {
        return tfr_raise(TFR_MODEL,
                         "%s: the tokenizer has ids up to %lld but the config says vocab_size = %lld; it "
                         "belongs to another model",
                         path, (long long)n_tokens - 1, (long long)model->hparams.vocab_size);
    }
    return TFR_OK;
}

enum tfr_status tfr_model_open(struct tfr_model **model, const struct tfr_config *config, int parts) {
    *model = NULL;
    struct tfr_model *opened = tfr_alloc(1, sizeof(*opened));
    if (opened == NULL) {
        return TFR_RESOURCE;
    }
    opened->config = config;
    opened->hparams = config->model;
    opened->tied = config->model.tie_word_embeddings;
    enum tfr_status status = TFR_OK;
    if ((parts & TFR_MODEL_WEIGHTS) != 0) {
        status = open_weights(opened);
    }
    if (status == TFR_OK && (parts & TFR_MODEL_TOKENIZER) != 0) {
        status = open_tokenizer(opened);
    }
    if (status != TFR_OK) {
        tfr_model_close(opened);
        return status;
    }
    *model = opened;
    return TFR_OK;
}

void tfr_model_close(struct tfr_model *model) {
    if (model == NULL) {
        return;
    }
    tfr_tokenizer_close(model->tokenizer);
    tfr_weights_close(model->weights);
    tfr_adapter_close(model->adapter);
    tfr_lora_close(model->lora);
    tfr_free(model);
}

/* Either name form; they are never mixed. */
static const struct tfr_weight *find_param(const struct tfr_model *model, enum tfr_param param, int64_t layer) {
    char name[MAX_NAME];
    tfr_model_param_name(param, layer, name, sizeof(name));
    const struct tfr_weight *weight = param > TFR_PARAM_LM_HEAD ? tfr_adapter_head(model->adapter, name) : NULL;
    weight = weight != NULL ? weight : tfr_weights_find(model->weights, name);
    if (weight == NULL && param < TFR_PARAM_LM_HEAD) {
        weight = tfr_weights_find(model->weights, name + PREFIX_LENGTH);
    }
    return weight;
}

const struct tfr_weight *tfr_model_stored_param(const struct tfr_model *model, enum tfr_param param, int64_t layer) {
    if (model->weights == NULL) {
        return NULL;
    }
    if (!model->tied || (param != TFR_PARAM_WTE && param != TFR_PARAM_LM_HEAD)) {
        return find_param(model, param, layer);
    }
    /* One matrix under either name; files saved with the head alone exist. A coarse head is a matrix of its own, and no table. */
    const struct tfr_weight *head = find_param(model, TFR_PARAM_LM_HEAD, 0), *wte = find_param(model, TFR_PARAM_WTE, 0);
    if (head != NULL && head->coarse != NULL) {
        return param == TFR_PARAM_LM_HEAD ? head : wte;
    }
    return wte != NULL ? wte : head;
}

const struct tfr_weight *tfr_model_param(const struct tfr_model *model, enum tfr_param param, int64_t layer) {
    const struct tfr_weight *merged = tfr_lora_param(model->lora, param, layer);
    return merged != NULL ? merged : tfr_model_stored_param(model, param, layer);
}

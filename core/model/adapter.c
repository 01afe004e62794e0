/* adapter.c - the tensors of a prefix: which there must be, and those of a block as keys and values. See
 * adapter.h. */
#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/adapter_config.h"
#include "model/model.h"
#include "model/model_tensors.h"

enum { MAX_NAME = 128 };

struct tfr_adapter {
    struct tfr_hparams hparams;
    struct tfr_weights *weights;
    const struct tfr_weight *prompt; /* prompt_embeddings; NULL: past_key_values.{i}.* */
    int64_t n;
};

static enum tfr_status check_dtype(const struct tfr_weight *weight) {
    const enum tfr_dtype dtype = weight->tensor.dtype;
    if (dtype != TFR_DTYPE_F32 && dtype != TFR_DTYPE_F16 && dtype != TFR_DTYPE_BF16) {
        return tfr_raise(TFR_MODEL, "%s: tensor %.100s has dtype %s; a prefix must be F32, F16 or BF16", weight->file, weight->name,
                         tfr_dtype_file_name(dtype));
    }
    return TFR_OK;
}

static enum tfr_status check_shape(const struct tfr_weight *weight, int rank, const int64_t *dim) {
    const struct tfr_tensor *tensor = &weight->tensor;
    char has[96], wants[96];
    if (tensor->rank != rank || memcmp(tensor->dim, dim, (size_t)rank * sizeof *dim) != 0) {
        return tfr_raise(TFR_MODEL, "%s: tensor %.100s has shape %s but the model needs %s", weight->file, weight->name,
                         tfr_shape_text(tensor->rank, tensor->dim, has, sizeof has),
                         tfr_shape_text(rank, dim, wants, sizeof wants));
    }
    return check_dtype(weight);
}

/* Name in the model of a head's tensor in an adapter: behind "base_model.", of old versions behind
 * "base_model.model.". */
static const char *head_name(const char *name) {
    static const char *const fronts[] = {"base_model.model.", "base_model."};
    for (size_t i = 0; i < TFR_COUNT_OF(fronts); i++) {
        const size_t length = strlen(fronts[i]);
        if (strncmp(name, fronts[i], length) == 0) {
            return name + length;
        }
    }
    return NULL;
}

static enum tfr_status check_head(const struct tfr_adapter *adapter, const struct tfr_weight *weight) {
    const char *name = head_name(weight->name);
    const struct tfr_parsed_name parsed = tfr_model_parse_name(name != NULL ? name : "");
    int64_t dim[2];
    if (parsed.kind != TFR_NAME_PARAM || parsed.param <= TFR_PARAM_LM_HEAD ||
        !tfr_model_has_param(&adapter->hparams, parsed.param)) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: tensor %.200s is neither the prefix nor part of the head that the config's "
                         "architectures name",
                         weight->file, weight->name);
    }
    const struct tfr_weight *first = tfr_adapter_head(adapter, name); /* two names may mean the same, by the front */
    if (first != weight) {
        return tfr_raise(TFR_MODEL, "%s: tensors %.200s and %.200s are one and the same part; save the adapter again", weight->file,
                         first->name, weight->name);
    }
    return check_shape(weight, tfr_model_param_shape(&adapter->hparams, parsed.param, dim), dim);
}

/* A head comes whole and once, or not at all: the rest would be the checkpoint's. */
static enum tfr_status check_head_count(const struct tfr_adapter *adapter, const char *path, size_t n) {
    const size_t whole = adapter->hparams.head == TFR_HEAD_SEQUENCE ? 1 : 2;
    return n == 0 || n == whole
               ? TFR_OK
               : tfr_raise(TFR_MODEL, "%s: %zu tensors of a head that has %zu; save the adapter again with save_pretrained", path,
                           n, whole);
}

/* What PEFT wrote: the prefix, and possibly a head. */
static enum tfr_status check_peft(struct tfr_adapter *adapter, const char *path) {
    const int64_t dim[] = {adapter->n, 2 * adapter->hparams.n_layer * adapter->hparams.n_embd};
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(adapter->weights, &n);
    adapter->prompt = tfr_weights_find(adapter->weights, "prompt_embeddings");
    if (adapter->prompt == NULL) {
        return tfr_raise(TFR_MODEL, "%s: tensor prompt_embeddings is missing; save the adapter again with save_pretrained", path);
    }
    TFR_TRY(check_shape(adapter->prompt, 2, dim));
    for (size_t i = 0; i < n; i++) {
        if (&all[i] != adapter->prompt) {
            TFR_TRY(check_head(adapter, &all[i]));
        }
    }
    return check_head_count(adapter, path, n - 1);
}

static enum tfr_status open_peft(struct tfr_adapter *adapter, const char *directory) {
    TFR_TRY(tfr_adapter_read_config(directory, &adapter->hparams, &adapter->n));
    TFR_TRY(tfr_adapter_open_weights(&adapter->weights, directory));
    return check_peft(adapter, directory);
}

static const struct tfr_weight *find_past(const struct tfr_adapter *adapter, int64_t layer, bool is_value) {
    char name[MAX_NAME];
    snprintf(name, sizeof name, "past_key_values.%lld.%s", (long long)layer, is_value ? "value" : "key");
    return tfr_weights_find(adapter->weights, name);
}

static enum tfr_status check_past(struct tfr_adapter *adapter, const char *path) {
    const struct tfr_hparams *model = &adapter->hparams;
    const struct tfr_weight *first = find_past(adapter, 0, false);
    size_t n;
    tfr_weights_all(adapter->weights, &n);
    if (first == NULL) {
        return tfr_raise(TFR_MODEL,
                         "%s: tensor past_key_values.0.key is missing; model.prefix is a folder of PEFT or a "
                         "file with key and value of "
                         "every block",
                         path);
    }
    if (first->tensor.rank == 4 && first->tensor.dim[0] > 1) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: past_key_values.0.key is for %lld rows, a prefix is for all rows alike: keep "
                         "one; `tfrun forward` takes "
                         "rows of their own as inputs",
                         path, (long long)first->tensor.dim[0]);
    }
    adapter->n = first->tensor.rank == 4 ? first->tensor.dim[2] : 0;
    const int64_t dim[] = {1, model->n_head, adapter->n, model->n_embd / model->n_head};
    for (int64_t i = 0; i < 2 * model->n_layer; i++) {
        const struct tfr_weight *weight = find_past(adapter, i / 2, i % 2 == 1);
        if (weight == NULL) {
            return tfr_raise(TFR_MODEL, "%s: tensor past_key_values.%lld.%s is missing", path, (long long)(i / 2),
                             i % 2 == 1 ? "value" : "key");
        }
        TFR_TRY(check_shape(weight, 4, dim));
    }
    if ((int64_t)n != 2 * model->n_layer) {
        return tfr_raise(TFR_MODEL, "%s: %zu tensors, but a prefix has %lld: key and value of each of the model's %lld blocks",
                         path, n, (long long)(2 * model->n_layer), (long long)model->n_layer);
    }
    return TFR_OK;
}

static enum tfr_status open_any(struct tfr_adapter *adapter, const char *path) {
    if (!tfr_path_exists(path)) {
        return tfr_raise(TFR_RESOURCE, "%s: this prefix is not there; name a folder that PEFT wrote or a safetensors file", path);
    }
    if (tfr_path_is_directory(path)) {
        TFR_TRY(open_peft(adapter, path));
    } else {
        TFR_TRY(tfr_weights_open(&adapter->weights, path));
        TFR_TRY(check_past(adapter, path));
    }
    if (adapter->n < 1 || adapter->n >= adapter->hparams.n_positions) {
        return tfr_raise(TFR_MODEL,
                         "%s: a prefix of %lld positions is outside 1..%lld (n_positions - 1): a token must fit behind it", path,
                         (long long)adapter->n, (long long)(adapter->hparams.n_positions - 1));
    }
    return TFR_OK;
}

enum tfr_status tfr_adapter_open(struct tfr_adapter **adapter, const char *path, const struct tfr_hparams *hparams) {
    *adapter = NULL;
    struct tfr_adapter *opened = tfr_alloc(1, sizeof *opened);
    if (opened == NULL) {
        return TFR_RESOURCE;
    }
    opened->hparams = *hparams;
    const enum tfr_status status = open_any(opened, path);
    if (status != TFR_OK) {
        tfr_adapter_close(opened);
        return tfr_raise_prefix(status, "model.prefix");
    }
    *adapter = opened;
    return TFR_OK;
}

void tfr_adapter_close(struct tfr_adapter *adapter) {
    if (adapter != NULL) {
        tfr_weights_close(adapter->weights);
        tfr_free(adapter);
    }
}

int64_t tfr_adapter_positions(const struct tfr_adapter *adapter) {
    return adapter->n;
}

/* `n` floats from element `first` of a tensor. */
static enum tfr_status read_floats(const struct tfr_weight *weight, int64_t first, int64_t n, float *to) {
    const enum tfr_dtype dtype = weight->tensor.dtype;
    tfr_to_f32(to, (const uint8_t *)weight->tensor.data + (size_t)first * tfr_dtype_size(dtype), dtype, n);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(to[i])) {
            return tfr_raise(TFR_MODEL, "model.prefix: %s: tensor %.100s holds %s at element %lld; the adapter is damaged",
                             weight->file, weight->name, isnan(to[i]) ? "NaN" : "an infinity", (long long)(first + i));
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_adapter_block(const struct tfr_adapter *adapter, int64_t layer, float *keys) {
    const struct tfr_hparams *model = &adapter->hparams;
    const int64_t n = adapter->n, C = model->n_embd, D = C / model->n_head;
    for (int kind = 0; kind < 2; kind++) {
        float *to = keys + kind * n * C;
        if (adapter->prompt == NULL) {
            TFR_TRY(read_floats(find_past(adapter, layer, kind == 1), 0, n * C, to));
            continue;
        }
        for (int64_t s = 0; s < n; s++) { /* row s: [2 L][H][D] */
            const int64_t row = (s * 2 * model->n_layer + 2 * layer + kind) * C;
            for (int64_t h = 0; h < model->n_head; h++) {
                TFR_TRY(read_floats(adapter->prompt, row + h * D, D, to + (h * n + s) * D));
            }
        }
    }
    return TFR_OK;
}

const struct tfr_weight *tfr_adapter_head(const struct tfr_adapter *adapter, const char *name) {
    size_t n = 0;
    const struct tfr_weight *all = adapter != NULL && adapter->prompt != NULL ? tfr_weights_all(adapter->weights, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        const char *own = head_name(all[i].name);
        if (own != NULL && strcmp(own, name) == 0) {
            return &all[i];
        }
    }
    return NULL;
}

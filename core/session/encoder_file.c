/* encoder_file.c - input.encoder_states: a safetensors file with encoder_hidden_states [B,E,C] or [E,C] and
 * perhaps encoder_attention_mask [B,E]. One row serves every prompt, otherwise row i serves prompt i. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "base/tensor_input.h"
#include "model/weights.h"
#include "rank/rank.h"
#include "session/encoder.h"

static const char states_name[] = "encoder_hidden_states", mask_name[] = "encoder_attention_mask";

static enum tfr_status check_names(const struct tfr_weights *weights) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(weights, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i].name, states_name) != 0 && strcmp(all[i].name, mask_name) != 0) {
            return tfr_raise(TFR_USAGE, "%.200s is not known here; give %s and %s alone", all[i].name, states_name, mask_name);
        }
    }
    return TFR_OK;
}

static enum tfr_status read_states(struct tfr_encoder_file *file, const struct tfr_weights *weights, int64_t C) {
    const struct tfr_weight *weight = tfr_weights_find(weights, states_name);
    if (weight == NULL) {
        return tfr_raise(TFR_USAGE, "%s is missing; it has shape [rows, positions, %lld]", states_name, (long long)C);
    }
    const struct tfr_tensor *tensor = &weight->tensor;
    const int64_t dim[] = {-1, -1, C};
    const bool is_flat = tensor->rank == 2;
    TFR_TRY(tfr_input_shape(states_name, tensor, is_flat ? 2 : 3, is_flat ? dim + 1 : dim));
    file->rows = is_flat ? 1 : tensor->dim[0];
    file->n = tensor->dim[tensor->rank - 2];
    file->width = C;
    if (file->rows < 1 || file->n < 1) {
        return tfr_raise(TFR_USAGE, "%s is empty: %lld rows of %lld positions; give at least one", states_name,
                         (long long)file->rows, (long long)file->n);
    }
    return tfr_input_floats(states_name, tensor, &file->states);
}

static enum tfr_status read_mask(struct tfr_encoder_file *file, const struct tfr_weights *weights) {
    const struct tfr_weight *weight = tfr_weights_find(weights, mask_name);
    if (weight == NULL) {
        return TFR_OK;
    }
    const int64_t dim[] = {file->rows, file->n};
    const bool is_flat = weight->tensor.rank == 1 && file->rows == 1;
    TFR_TRY(tfr_input_shape(mask_name, &weight->tensor, is_flat ? 1 : 2, is_flat ? dim + 1 : dim));
    return tfr_input_mask(mask_name, &weight->tensor, &file->mask);
}

static enum tfr_status check_rows(const struct tfr_encoder_file *file, size_t n_prompts) {
    if (file->rows != 1 && (size_t)file->rows != n_prompts) {
        return tfr_raise(TFR_USAGE, "%s has %lld rows for %zu prompts; give one row for all, or one for each", states_name,
                         (long long)file->rows, n_prompts);
    }
    return TFR_OK;
}

enum tfr_status tfr_encoder_file_open(struct tfr_encoder_file *file, const struct tfr_engine *engine, size_t n_prompts) {
    const char *path = engine->config->options.input_encoder_states;
    *file = (struct tfr_encoder_file){0};
    if (path == NULL) {
        return TFR_OK;
    }
    struct tfr_weights *weights = NULL;
    TFR_TRY(tfr_weights_open(&weights, path));
    enum tfr_status status = check_names(weights);
    status = status == TFR_OK ? read_states(file, weights, engine->config->model.n_embd) : status;
    status = status == TFR_OK ? read_mask(file, weights) : status;
    status = status == TFR_OK ? check_rows(file, n_prompts) : status;
    tfr_weights_close(weights);
    if (status != TFR_OK) {
        tfr_encoder_file_close(file);
        return tfr_raise_prefix(status, "%s", path);
    }
    return TFR_OK;
}

void tfr_encoder_file_close(struct tfr_encoder_file *file) {
    tfr_free(file->states);
    tfr_free(file->mask);
    *file = (struct tfr_encoder_file){0};
}

bool tfr_encoder_file_at(const struct tfr_encoder_file *file, size_t prompt, struct tfr_encoder_states *states) {
    if (file->states == NULL) {
        return false;
    }
    const int64_t row = file->rows == 1 ? 0 : (int64_t)prompt;
    *states = (struct tfr_encoder_states){.states = file->states + row * file->n * file->width,
                                          .mask = file->mask != NULL ? file->mask + row * file->n : NULL,
                                          .n = file->n};
    return true;
}

enum tfr_status tfr_encoder_refuse_file(const struct tfr_engine *engine, const char *work) {
    if (engine->config->options.input_encoder_states != NULL) {
        return tfr_raise(TFR_USAGE, "input.encoder_states is for generate; %s does not use it: leave it out", work);
    }
    return TFR_OK;
}

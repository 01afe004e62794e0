/* exact_types.c - which matrices of a checkpoint hold only values that 16 bits hold exactly: for plans without weights. */
#include "base/arena.h"
#include "base/exact.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/lora.h"
#include "model/model_check.h"

static enum tfr_dtype exact_type(const struct tfr_tensor *tensor, bool scans) {
    static const enum tfr_dtype types[] = {TFR_DTYPE_BF16, TFR_DTYPE_F16};
    for (int i = 0; i < 2; i++) {
        if (tensor->dtype == types[i] || (scans && tensor->dtype == TFR_DTYPE_F32 && tfr_tensor_is_dense(tensor) &&
                                          tfr_is_exact(types[i], tensor->data, tfr_tensor_count(tensor)))) {
            return types[i];
        }
    }
    return TFR_DTYPE_F32;
}

static void fill_param(const struct tfr_model *model, enum tfr_param param, bool scans, uint8_t *exact) {
    int64_t dim[2];
    const bool is_table = param == TFR_PARAM_WTE || param == TFR_PARAM_WPE;
    if (is_table || !tfr_model_has_param(&model->hparams, param) || tfr_model_param_shape(&model->hparams, param, dim) != 2) {
        return;
    }
    const int64_t n_layers = param < TFR_PARAM_PER_BLOCK ? model->hparams.n_layer : 1;
    for (int64_t layer = 0; layer < n_layers; layer++) {
        const struct tfr_weight *weight = tfr_model_stored_param(model, param, layer);
        exact[layer * TFR_PARAM_COUNT + (int64_t)param] =
            (uint8_t)(weight != NULL && weight->coarse == NULL ? exact_type(&weight->tensor, scans) : TFR_DTYPE_F32);
    }
}

static enum tfr_status read_types(struct tfr_model *model, bool scans, uint8_t *exact) {
    char *path = NULL, *adapter = NULL;
    TFR_TRY(tfr_model_find_weights(model->config, &path));
    enum tfr_status status = tfr_model_open_checkpoint(model, path);
    tfr_free(path);
    status = status == TFR_OK ? tfr_lora_find(model->config, &adapter) : status;
    for (int param = 0; param < TFR_PARAM_COUNT && status == TFR_OK; param++) {
        fill_param(model, (enum tfr_param)param, scans && adapter == NULL, exact);
    }
    tfr_free(adapter);
    return status;
}

enum tfr_status tfr_model_exact_types(const struct tfr_config *config, bool scans, uint8_t **exact) {
    struct tfr_model model = {.config = config, .hparams = config->model, .tied = config->model.tie_word_embeddings};
    *exact = tfr_alloc((size_t)(config->model.n_layer > 0 ? config->model.n_layer : 1), TFR_PARAM_COUNT);
    if (*exact == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = tfr_model_has_weights(config) ? read_types(&model, scans, *exact) : TFR_OK;
    tfr_weights_close(model.weights);
    return status == TFR_RESOURCE ? status : TFR_OK; /* as tfr_model_table_types */
}

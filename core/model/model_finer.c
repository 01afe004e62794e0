/* model_finer.c - the linears that runtime.int4_finer names: a glob that names none is a slip, and is told before work begins. */
#include <tfrun/quant.h>

#include "base/status.h"
#include "model/model.h"
#include "model/model_tensors.h"

bool tfr_model_is_linear(const struct tfr_hparams *hparams, enum tfr_param param) {
    int64_t dim[2];
    return tfr_model_param_shape(hparams, param, dim) == 2 && param != TFR_PARAM_WTE && param != TFR_PARAM_WPE;
}

enum tfr_dtype tfr_model_linear_dtype(const struct tfr_string_list *finer, enum tfr_param param, int64_t layer,
                                      enum tfr_dtype dtype) {
    char name[96];
    const bool may_differ = finer != NULL && finer->n > 0 && tfr_quant_group(dtype) > 0;
    return may_differ && tfr_config_is_finer(finer, tfr_model_param_name(param, layer, name, sizeof name)) ? TFR_DTYPE_I8_CHANNEL
                                                                                                           : dtype;
}

static bool names_a_linear(const struct tfr_hparams *hparams, const struct tfr_string_list *glob, bool any_head) {
    char name[96];
    for (int param = 0; param < TFR_PARAM_COUNT; param++) {
        const bool is_there = any_head || tfr_model_has_param(hparams, (enum tfr_param)param);
        if (!is_there || !tfr_model_is_linear(hparams, (enum tfr_param)param)) {
            continue;
        }
        const int64_t n = param < TFR_PARAM_PER_BLOCK ? hparams->n_layer : 1;
        for (int64_t layer = 0; layer < n; layer++) {
            if (tfr_config_is_finer(glob, tfr_model_param_name((enum tfr_param)param, layer, name, sizeof name))) {
                return true;
            }
        }
    }
    return false;
}

enum tfr_status tfr_model_check_finer(const struct tfr_config *config) {
    static const char key[] = "runtime.int4_finer";
    const struct tfr_string_list *finer = &config->options.runtime_int4_finer;
    const bool is_given = tfr_config_is_overridden(config, key);
    char said[600];
    for (size_t i = 0; i < finer->n; i++) {
        const struct tfr_string_list glob = {.items = &finer->items[i], .n = 1};
        if (!names_a_linear(&config->model, &glob, !is_given)) {
            return tfr_raise(is_given ? TFR_USAGE : TFR_CONFIG,
                             "%s names no linear of this model; they are h.0.attn.c_attn.weight to h.%lld.mlp.c_proj.weight and "
                             "lm_head.weight (`tfrun check` lists all tensors): mend it or leave it out",
                             tfr_option_said(config, key, finer->items[i], said, sizeof said),
                             (long long)config->model.n_layer - 1);
        }
    }
    return TFR_OK;
}

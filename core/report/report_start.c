/* report_start.c - whether ranks of a config could start, asked before a launcher is: options, checkpoint and layout. Silent, since
 * the ranks will warn themselves. */
#include <tfrun/tfrun.h>

#include "base/log.h"
#include "base/status.h"
#include "config/config.h"
#include "generation/params.h"
#include "model/model.h"
#include "model/model_check.h"
#include "rank/rank.h"

static enum tfr_status check_sampling(const struct tfr_config *config) {
    struct tfr_params *params = NULL;
    const enum tfr_status status = tfr_params_make(&params, &config->options, &config->model);
    tfr_params_free(params);
    return tfr_config_blame(config, "sampling.", status);
}

/* Where there is none, the model says what it looked for; one that is there may take long to open. */
static enum tfr_status check_weights(const struct tfr_config *config) {
    struct tfr_model *model = NULL;
    if (tfr_model_has_weights(config)) {
        return TFR_OK;
    }
    const enum tfr_status status = tfr_model_open(&model, config, TFR_MODEL_WEIGHTS);
    tfr_model_close(model);
    return status;
}

/* By the rule that needs no costs: which blocks go where is no matter here. What --split auto will choose nobody knows yet. */
static enum tfr_status check_layout(struct tfr_config *config, int n_ranks) {
    const bool is_open = config->options.parallel_split == TFR_SPLIT_AUTO;
    struct tfr_placement placement = {0};
    config->options.parallel_split = TFR_SPLIT_HF;
    const enum tfr_status status = tfr_engine_place(config, NULL, NULL, n_ranks, &placement);
    tfr_placement_close(&placement);
    return status == TFR_OK && !is_open ? tfr_check_idle_ranks(config, n_ranks) : status;
}

enum tfr_status tfr_report_start(const char *path, const struct tfr_override *overrides, size_t n_overrides, int n_ranks) {
    const enum tfr_log_level level = tfr_log_level();
    struct tfr_config *config = NULL;
    tfr_log_set_level(TFR_LOG_NONE);
    enum tfr_status status = tfr_config_load(&config, path, overrides, n_overrides);
    if (status == TFR_OK) {
        status = check_sampling(config);
        status = status == TFR_OK ? check_weights(config) : status;
        status = status == TFR_OK ? check_layout(config, n_ranks) : status;
        tfr_config_free(config);
    }
    tfr_log_set_level(level);
    return status;
}

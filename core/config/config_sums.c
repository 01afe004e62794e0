/* config_sums.c - what the order of additions by head asks of the model and of the other options. */
#include "config/config_internal.h"

/* A head's share of the MLP is a block of sums: the heads must divide it. */
void tfr_config_check_sums(struct tfr_config_reader *reader) {
    const struct tfr_config *config = reader->config;
    const struct tfr_hparams *model = &config->model;
    if (config->options.runtime_sums != TFR_SUMS_BY_HEAD || reader->complaints.n > 0) {
        return;
    }
    const enum tfr_status fault = tfr_option_fault(config, "runtime.sums");
    if (!config->options.runtime_deterministic) {
        tfr_complaints_add(&reader->complaints, fault, TFR_COMPLAINT_LAST_LINE, 0,
                           "%s: tfrun.runtime.sums = by-head is an order of additions, and tfrun.runtime.deterministic = false "
                           "keeps none; leave one out",
                           config->path);
    } else if (model->n_inner % model->n_head != 0) {
        tfr_complaints_add(&reader->complaints, fault, TFR_COMPLAINT_LAST_LINE, 0,
                           "%s: tfrun.runtime.sums = by-head gives each head an equal part of n_inner = %lld, which n_head = %lld "
                           "does not divide; take plain",
                           config->path, (long long)model->n_inner, (long long)model->n_head);
    }
}

/* config_sums.c - what sums by head, and the shards that imply them, ask of the model and of the other options. */
#include "config/config_internal.h"

#include <stdio.h>

/* "1, 2, 3, 6" of 6. */
static const char *divisors(int64_t n, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int64_t d = 1; d <= n && used < size; d++) {
        if (n % d == 0) {
            used += (size_t)snprintf(text + used, size - used, "%s%lld", d > 1 ? ", " : "", (long long)d);
        }
    }
    return text;
}

static void check_shards(struct tfr_config_reader *reader) {
    const struct tfr_config *config = reader->config;
    const struct tfr_options *o = &config->options;
    char text[128], value[24], said[600], sums[600];
    snprintf(value, sizeof value, "%lld", (long long)o->parallel_tensor);
    tfr_option_said(config, "parallel.tensor", value, said, sizeof said);
    if (config->model.n_head % o->parallel_tensor != 0) {
        tfr_complaints_add(&reader->complaints, tfr_option_fault(config, "parallel.tensor"), TFR_COMPLAINT_LAST_LINE, 0,
                           "%s does not divide n_head = %lld; take one of %s", said, (long long)config->model.n_head,
                           divisors(config->model.n_head, text, sizeof text));
    } else if (o->parallel_tensor > 1 && o->runtime_sums == TFR_SUMS_PLAIN &&
               config->origin[tfr_option_find("runtime.sums")] != TFR_ORIGIN_DEFAULT) {
        tfr_complaints_add(&reader->complaints, tfr_option_fault(config, "runtime.sums"), TFR_COMPLAINT_LAST_LINE, 0,
                           "%s adds head by head, and %s does not; leave one out", said,
                           tfr_option_said(config, "runtime.sums", "plain", sums, sizeof sums));
    }
}

/* A head's share of the MLP is a block of sums: the heads must divide it. */
static void check_order(struct tfr_config_reader *reader, const char *key, const char *what) {
    const struct tfr_config *config = reader->config;
    const struct tfr_hparams *model = &config->model;
    const enum tfr_status fault = tfr_option_fault(config, key);
    if (!config->options.runtime_deterministic) {
        tfr_complaints_add(&reader->complaints, fault, TFR_COMPLAINT_LAST_LINE, 0,
                           "%s is an order of additions, and tfrun.runtime.deterministic = false keeps none; leave one out", what);
    } else if (model->n_inner % model->n_head != 0) {
        tfr_complaints_add(&reader->complaints, fault, TFR_COMPLAINT_LAST_LINE, 0,
                           "%s gives each head an equal part of n_inner = %lld, which n_head = %lld does not divide; leave it out",
                           what, (long long)model->n_inner, (long long)model->n_head);
    }
}

bool tfr_has_one_sum(const struct tfr_options *options) {
    return options->runtime_dtype != TFR_PACK_F32 && options->runtime_dtype != TFR_PACK_BF16;
}

/* A scale holds for all of K. */
static void check_one_sum(struct tfr_config_reader *reader, const char *key, const char *what) {
    const struct tfr_config *config = reader->config;
    char said[600];
    tfr_complaints_add(&reader->complaints, tfr_option_fault(config, key), TFR_COMPLAINT_LAST_LINE, 0,
                       "%s adds head by head, and %s adds all of K at once; leave one out, or take --dtype f32 or bf16", what,
                       tfr_option_said(config, "runtime.dtype", tfr_choice_name("runtime.dtype", config->options.runtime_dtype),
                                       said, sizeof said));
}

void tfr_config_check_sums(struct tfr_config_reader *reader) {
    const struct tfr_options *o = &reader->config->options;
    char what[600], value[24];
    if (reader->complaints.n > 0) {
        return;
    }
    check_shards(reader);
    void (*check)(struct tfr_config_reader *, const char *, const char *) = tfr_has_one_sum(o) ? check_one_sum : check_order;
    if (o->parallel_tensor > 1) {
        snprintf(value, sizeof value, "%lld", (long long)o->parallel_tensor);
        check(reader, "parallel.tensor", tfr_option_said(reader->config, "parallel.tensor", value, what, sizeof what));
    } else if (o->runtime_sums == TFR_SUMS_BY_HEAD) {
        check(reader, "runtime.sums", tfr_option_said(reader->config, "runtime.sums", "by-head", what, sizeof what));
    }
}

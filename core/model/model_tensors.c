/* model_tensors.c - model_tensors.def as functions: names, shapes, counts, and names of checkpoints read
 * back. */
#include "model/model_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static const char prefix[] = "transformer.";

static const struct {
    const char *name;
    enum tfr_param_init init;
} params[TFR_PARAM_COUNT] = {
#define TFR_PARAM(enum_name, name_, rank, rows, columns, init_) [TFR_PARAM_##enum_name] = {.name = name_, .init = TFR_INIT_##init_},
#include "model/model_tensors.def"
#undef TFR_PARAM
};

/* Digits without a leading zero; the rest of the name, or NULL. */
static const char *parse_layer(const char *text, int64_t *layer) {
    char *end;
    const bool is_number = text[0] >= '0' && text[0] <= '9' && !(text[0] == '0' && text[1] >= '0' && text[1] <= '9');
    *layer = is_number ? strtoll(text, &end, 10) : 0;
    return is_number && *end == '.' ? end + 1 : NULL;
}

static bool is_buffer(const char *name) {
    static const char *const buffers[] = {"attn.bias", "attn.masked_bias", "crossattention.bias", "crossattention.masked_bias"};
    for (size_t i = 0; i < TFR_COUNT_OF(buffers); i++) {
        if (strcmp(name, buffers[i]) == 0) {
            return true;
        }
    }
    return strstr(name, "rotary_emb.inv_freq") != NULL; /* transformers skips it by this name in any model */
}

static void find_param(struct tfr_parsed_name *parsed, const char *name, int first, int end) {
    for (int i = first; i < end; i++) {
        if (strcmp(name, params[i].name) == 0) {
            parsed->kind = TFR_NAME_PARAM;
            parsed->param = (enum tfr_param)i;
            return;
        }
    }
}

struct tfr_parsed_name tfr_model_parse_name(const char *name) {
    struct tfr_parsed_name parsed = {.kind = TFR_NAME_OTHER};
    parsed.has_prefix = strncmp(name, prefix, sizeof(prefix) - 1) == 0;
    const char *bare = parsed.has_prefix ? name + sizeof(prefix) - 1 : name;
    if (strncmp(bare, "h.", 2) != 0) {
        /* The head is no part of the base model: it never has the prefix. */
        find_param(&parsed, bare, TFR_PARAM_PER_BLOCK, parsed.has_prefix ? TFR_PARAM_LM_HEAD : TFR_PARAM_COUNT);
        return parsed;
    }
    const char *rest = parse_layer(bare + 2, &parsed.layer);
    if (rest != NULL && is_buffer(rest)) {
        parsed.kind = TFR_NAME_BUFFER;
    } else if (rest != NULL) {
        find_param(&parsed, rest, 0, TFR_PARAM_PER_BLOCK);
    }
    return parsed;
}

enum tfr_param_init tfr_model_param_init(enum tfr_param param) {
    return params[param].init;
}

int64_t tfr_model_summary_width(const struct tfr_hparams *hparams) {
    const bool to_labels = hparams->summary_proj_to_labels && hparams->num_labels > 0;
    return hparams->summary_use_proj && to_labels ? hparams->num_labels : hparams->n_embd;
}

bool tfr_model_has_param(const struct tfr_hparams *hparams, enum tfr_param param) {
    switch (param) {
    case TFR_PARAM_LN_CROSS_WEIGHT:
    case TFR_PARAM_LN_CROSS_BIAS:
    case TFR_PARAM_CROSS_ATTN_WEIGHT:
    case TFR_PARAM_CROSS_ATTN_BIAS:
    case TFR_PARAM_Q_ATTN_WEIGHT:
    case TFR_PARAM_Q_ATTN_BIAS:
    case TFR_PARAM_CROSS_PROJ_WEIGHT:
    case TFR_PARAM_CROSS_PROJ_BIAS:
        return hparams->add_cross_attention;
    case TFR_PARAM_LM_HEAD:
        return tfr_head_has_vocabulary((int)hparams->head);
    case TFR_PARAM_SCORE:
        return hparams->head == TFR_HEAD_SEQUENCE;
    case TFR_PARAM_CLASSIFIER_WEIGHT:
    case TFR_PARAM_CLASSIFIER_BIAS:
        return hparams->head == TFR_HEAD_TOKEN;
    case TFR_PARAM_QA_WEIGHT:
    case TFR_PARAM_QA_BIAS:
        return hparams->head == TFR_HEAD_QA;
    case TFR_PARAM_SUMMARY_WEIGHT:
    case TFR_PARAM_SUMMARY_BIAS:
        return hparams->head == TFR_HEAD_DOUBLE && hparams->summary_use_proj;
    default:
        return true;
    }
}

int tfr_model_param_shape(const struct tfr_hparams *hparams, enum tfr_param param, int64_t *dim) {
    const int64_t C = hparams->n_embd, F = hparams->n_inner, V = hparams->vocab_size, N = hparams->n_positions,
                  K = hparams->num_labels, Y = tfr_model_summary_width(hparams);
    switch (param) {
#define TFR_PARAM(enum_name, name, rank, rows, columns, init)                                                                      \
    case TFR_PARAM_##enum_name:                                                                                                    \
        dim[0] = rows;                                                                                                             \
        dim[1] = columns;                                                                                                          \
        return rank;
#include "model/model_tensors.def"
#undef TFR_PARAM
    default:
        return 0;
    }
}

const char *tfr_model_param_name(enum tfr_param param, int64_t layer, char *text, size_t size) {
    if (param < TFR_PARAM_PER_BLOCK) {
        snprintf(text, size, "%sh.%lld.%s", prefix, (long long)layer, params[param].name);
    } else {
        snprintf(text, size, "%s%s", param >= TFR_PARAM_LM_HEAD ? "" : prefix, params[param].name);
    }
    return text;
}

int64_t tfr_model_param_count(const struct tfr_hparams *hparams) {
    int64_t total = 0;
    for (int param = 0; param < TFR_PARAM_COUNT; param++) {
        int64_t dim[2];
        if (!tfr_model_has_param(hparams, (enum tfr_param)param)) {
            continue;
        }
        const int rank = tfr_model_param_shape(hparams, (enum tfr_param)param, dim);
        const int64_t count = rank == 1 ? dim[0] : dim[0] * dim[1];
        const bool is_shared = param == TFR_PARAM_LM_HEAD && hparams->tie_word_embeddings;
        total += is_shared ? 0 : param < TFR_PARAM_PER_BLOCK ? hparams->n_layer * count : count;
    }
    return total;
}

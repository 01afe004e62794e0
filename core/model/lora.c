/* lora.c - the tensors of a LoRA adapter: each finds the parameter that it changes, or is refused. See
 * lora.h. */
#include "model/lora.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/adapter_config.h"
#include "model/lora_parts.h"
#include "model/model_tensors.h"

struct tfr_lora {
    struct tfr_hparams hparams;
    struct tfr_lora_config config;
    struct tfr_weights *weights;
    struct tfr_lora_slot *slots; /* [n_layer * TFR_PARAM_PER_BLOCK], then the others */
    size_t n;
};

/* The part that a tensor of the adapter plays for its module, by the end of its name. */
enum part { PART_A, PART_B, PART_BIAS, PART_REPLACEMENT };

static const struct {
    const char *ending;
    enum part part;
    const char *parameter; /* what follows the module in the name of the parameter */
    bool is_embedding;
} endings[] = {
    {".lora_A.weight", PART_A, ".weight", false},
    {".lora_B.weight", PART_B, ".weight", false},
    {".lora_embedding_A", PART_A, ".weight", true},
    {".lora_embedding_B", PART_B, ".weight", true},
    {".lora_B.bias", PART_BIAS, ".bias", false},
    {".base_layer.weight", PART_REPLACEMENT, ".weight", false},
    {".base_layer.bias", PART_REPLACEMENT, ".bias", false},
    {".weight", PART_REPLACEMENT, ".weight", false},
    {".bias", PART_REPLACEMENT, ".bias", false},
};

static size_t slot_index(const struct tfr_hparams *hparams, enum tfr_param param, int64_t layer) {
    return param < TFR_PARAM_PER_BLOCK ? (size_t)(layer * TFR_PARAM_PER_BLOCK + param)
                                       : (size_t)(hparams->n_layer * TFR_PARAM_PER_BLOCK + (param - TFR_PARAM_PER_BLOCK));
}

static enum tfr_param slot_param(const struct tfr_lora *lora, size_t index, int64_t *layer) {
    const size_t blocks = (size_t)(lora->hparams.n_layer * TFR_PARAM_PER_BLOCK);
    *layer = index < blocks ? (int64_t)(index / TFR_PARAM_PER_BLOCK) : 0;
    return (enum tfr_param)(index < blocks ? index % TFR_PARAM_PER_BLOCK : TFR_PARAM_PER_BLOCK + (index - blocks));
}

static enum tfr_status check_tensor(const struct tfr_weight *weight, int rank, const int64_t *dim) {
    const struct tfr_tensor *tensor = &weight->tensor;
    char has[96], wants[96];
    if (tensor->rank != rank || memcmp(tensor->dim, dim, (size_t)rank * sizeof *dim) != 0) {
        return tfr_raise(TFR_MODEL,
                         "%s: tensor %.200s has shape %s but model and adapter_config.json say %s; the adapter belongs "
                         "to another model",
                         weight->file, weight->name, tfr_shape_text(tensor->rank, tensor->dim, has, sizeof has),
                         tfr_shape_text(rank, dim, wants, sizeof wants));
    }
    if (tensor->dtype > TFR_DTYPE_F64) {
        return tfr_raise(TFR_MODEL, "%s: tensor %.200s has dtype %s; an adapter must be F32, F16, BF16 or F64", weight->file,
                         weight->name, tfr_dtype_file_name(tensor->dtype));
    }
    return TFR_OK;
}

static enum tfr_status unknown(const struct tfr_weight *weight) {
    return tfr_raise(TFR_UNSUPPORTED, "%s: tensor %.200s is no part of a LoRA adapter for this model", weight->file, weight->name);
}

/* One tensor for a part: two names may mean the same, with and without the front. */
static enum tfr_status put(const struct tfr_weight **place, const struct tfr_weight *weight) {
    if (*place != NULL) {
        return tfr_raise(TFR_MODEL, "%s: tensors %.200s and %.200s are one and the same part; save the adapter again", weight->file,
                         (*place)->name, weight->name);
    }
    *place = weight;
    return TFR_OK;
}

/* A or B of a weight of two dimensions. */
static enum tfr_status take_factor(struct tfr_lora *lora, struct tfr_lora_slot *slot, const struct tfr_weight *weight,
                                   enum part part, enum tfr_param param, const char *module, int64_t layer) {
    int64_t shape[2], rank;
    bool is_target;
    TFR_TRY(tfr_lora_targets(&lora->config, module, layer, &is_target));
    if (!is_target || tfr_model_param_shape(&lora->hparams, param, shape) != 2) {
        return tfr_raise(TFR_MODEL, "%s: tensor %.200s is of a module that target_modules of adapter_config.json does not name",
                         weight->file, weight->name);
    }
    TFR_TRY(tfr_lora_scaling(&lora->config, module, &rank, &slot->scaling));
    const bool is_transposed = tfr_lora_is_transposed(param);
    const int64_t inputs = shape[is_transposed ? 0 : 1], outputs = shape[is_transposed ? 1 : 0];
    const int64_t dim_a[2] = {rank, inputs}, dim_b[2] = {outputs, rank};
    TFR_TRY(check_tensor(weight, 2, part == PART_A ? dim_a : dim_b));
    return put(part == PART_A ? &slot->a : &slot->b, weight);
}

static enum tfr_status take_part(struct tfr_lora *lora, const struct tfr_weight *weight, enum part part, bool is_embedding,
                                 const struct tfr_parsed_name *parsed, const char *module) {
    struct tfr_lora_slot *slot = &lora->slots[slot_index(&lora->hparams, parsed->param, parsed->layer)];
    const bool is_table = parsed->param == TFR_PARAM_WTE || parsed->param == TFR_PARAM_WPE;
    int64_t shape[2], rank;
    const int dims = tfr_model_param_shape(&lora->hparams, parsed->param, shape);
    tfr_model_param_name(parsed->param, parsed->layer, slot->name, sizeof slot->name);
    switch (part) {
    case PART_A:
    case PART_B:
        if (is_table != is_embedding) {
            return unknown(weight);
        }
        return take_factor(lora, slot, weight, part, parsed->param, module,
                           parsed->param < TFR_PARAM_PER_BLOCK ? parsed->layer : -1);
    case PART_BIAS:
        TFR_TRY(tfr_lora_scaling(&lora->config, module, &rank, &slot->scaling));
        TFR_TRY(check_tensor(weight, dims, shape));
        return put(&slot->bias, weight);
    case PART_REPLACEMENT:
        TFR_TRY(check_tensor(weight, dims, shape));
        TFR_TRY(tfr_lora_saves(&lora->config, module, &slot->is_own));
        TFR_TRY(put(&slot->replacement, weight));
        slot->merged = *weight;
        slot->merged.name = slot->name;
    }
    return TFR_OK;
}

/* "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight" is part A of
 * transformer.h.0.attn.c_attn.weight. */
static enum tfr_status take_tensor(struct tfr_lora *lora, const struct tfr_weight *weight) {
    static const char front[] = "base_model.model.";
    const char *name = weight->name;
    name += strncmp(name, front, sizeof front - 1) == 0 ? sizeof front - 1 : 0;
    const size_t length = strlen(name);
    for (size_t i = 0; i < TFR_COUNT_OF(endings); i++) {
        const size_t tail = strlen(endings[i].ending);
        if (length <= tail || length >= TFR_LORA_NAME || strcmp(name + length - tail, endings[i].ending) != 0) {
            continue;
        }
        char module[TFR_LORA_NAME], parameter[TFR_LORA_NAME + 16];
        snprintf(module, sizeof module, "%.*s", (int)(length - tail), name);
        snprintf(parameter, sizeof parameter, "%s%s", module, endings[i].parameter);
        const struct tfr_parsed_name parsed = tfr_model_parse_name(parameter);
        if (parsed.kind == TFR_NAME_BUFFER) {
            return TFR_OK; /* a mask of old versions, saved because its name ends as a bias does */
        }
        if (parsed.kind != TFR_NAME_PARAM || parsed.layer >= lora->hparams.n_layer ||
            !tfr_model_has_param(&lora->hparams, parsed.param)) {
            return unknown(weight);
        }
        return take_part(lora, weight, endings[i].part, endings[i].is_embedding, &parsed, module);
    }
    return unknown(weight);
}

static enum tfr_status check_pairs(const struct tfr_lora *lora) {
    for (size_t i = 0; i < lora->n; i++) {
        const struct tfr_lora_slot *slot = &lora->slots[i];
        if ((slot->a == NULL) != (slot->b == NULL)) {
            const struct tfr_weight *half = slot->a != NULL ? slot->a : slot->b;
            return tfr_raise(TFR_MODEL, "%s: tensor %.200s is there without its other factor; save the adapter again", half->file,
                             half->name);
        }
    }
    return TFR_OK;
}

static enum tfr_status open_all(struct tfr_lora *lora, const char *directory) {
    TFR_TRY(tfr_lora_config_open(&lora->config, directory, &lora->hparams));
    TFR_TRY(tfr_adapter_open_weights(&lora->weights, directory));
    lora->n = slot_index(&lora->hparams, TFR_PARAM_COUNT, 0);
    lora->slots = tfr_alloc(lora->n, sizeof *lora->slots);
    if (lora->slots == NULL) {
        return TFR_RESOURCE;
    }
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(lora->weights, &n);
    for (size_t i = 0; i < n; i++) {
        TFR_TRY(take_tensor(lora, &all[i]));
    }
    return check_pairs(lora);
}

enum tfr_status tfr_lora_open(struct tfr_lora **lora, const char *directory, const struct tfr_hparams *hparams) {
    *lora = NULL;
    struct tfr_lora *opened = tfr_alloc(1, sizeof *opened);
    if (opened == NULL) {
        return TFR_RESOURCE;
    }
    opened->hparams = *hparams;
    const enum tfr_status status = open_all(opened, directory);
    if (status != TFR_OK) {
        tfr_lora_close(opened);
        return tfr_raise_prefix(status, "adapter");
    }
    *lora = opened;
    return TFR_OK;
}

void tfr_lora_close(struct tfr_lora *lora) {
    if (lora == NULL) {
        return;
    }
    for (size_t i = 0; lora->slots != NULL && i < lora->n; i++) {
        tfr_free(lora->slots[i].memory);
    }
    tfr_free(lora->slots);
    tfr_weights_close(lora->weights);
    tfr_lora_config_close(&lora->config);
    tfr_free(lora);
}

/* wte and lm_head of a tied model are one matrix: what replaces one replaces both, unless PEFT made a copy
 * for modules_to_save. */
static const struct tfr_weight *find_base(const struct tfr_lora *lora, const struct tfr_model *model, enum tfr_param param,
                                          int64_t layer) {
    const struct tfr_lora_slot *slot = &lora->slots[slot_index(&lora->hparams, param, layer)];
    if (slot->replacement != NULL) {
        return slot->replacement;
    }
    if (model->tied && (param == TFR_PARAM_WTE || param == TFR_PARAM_LM_HEAD)) {
        const enum tfr_param other = param == TFR_PARAM_WTE ? TFR_PARAM_LM_HEAD : TFR_PARAM_WTE;
        const struct tfr_lora_slot *twin = &lora->slots[slot_index(&lora->hparams, other, 0)];
        if (twin->replacement != NULL && !twin->is_own) {
            return twin->replacement;
        }
    }
    return tfr_model_stored_param(model, param, layer);
}

static enum tfr_status merge_slot(struct tfr_lora *lora, const struct tfr_model *model, size_t index) {
    struct tfr_lora_slot *slot = &lora->slots[index];
    int64_t layer;
    const enum tfr_param param = slot_param(lora, index, &layer);
    const struct tfr_weight *stored = tfr_model_stored_param(model, param, layer);
    const struct tfr_weight *base = find_base(lora, model, param, layer);
    if (base == NULL || (base == stored && slot->a == NULL && slot->bias == NULL)) {
        return TFR_OK;
    }
    /* A head that the checkpoint lacks has the type of the rest. */
    const struct tfr_weight *typical = stored != NULL ? stored : tfr_model_stored_param(model, TFR_PARAM_WTE, 0);
    tfr_model_param_name(param, layer, slot->name, sizeof slot->name);
    TFR_TRY(tfr_lora_merge_slot(slot, param, base, typical != NULL ? typical->tensor.dtype : base->tensor.dtype));
    if (base == stored) {
        tfr_weights_drop(model->weights, base); /* not read again */
    }
    return TFR_OK;
}

enum tfr_status tfr_lora_merge(struct tfr_lora *lora, const struct tfr_model *model) {
    for (size_t i = 0; i < lora->n; i++) {
        TFR_TRY(merge_slot(lora, model, i));
    }
    return TFR_OK;
}

const struct tfr_weight *tfr_lora_param(const struct tfr_lora *lora, enum tfr_param param, int64_t layer) {
    if (lora == NULL) {
        return NULL;
    }
    const struct tfr_lora_slot *slot = &lora->slots[slot_index(&lora->hparams, param, layer)];
    return slot->merged.name != NULL ? &slot->merged : NULL;
}

enum tfr_status tfr_lora_each(const struct tfr_lora *lora, enum tfr_status (*merged)(void *user, const struct tfr_weight *weight),
                              void *user) {
    for (size_t i = 0; lora != NULL && i < lora->n; i++) {
        if (lora->slots[i].merged.name != NULL) {
            TFR_TRY(merged(user, &lora->slots[i].merged));
        }
    }
    return TFR_OK;
}

size_t tfr_lora_count(const struct tfr_lora *lora) {
    size_t n = 0;
    for (size_t i = 0; i < lora->n; i++) {
        const struct tfr_lora_slot *slot = &lora->slots[i];
        n += slot->a != NULL || slot->bias != NULL || slot->replacement != NULL;
    }
    return n;
}

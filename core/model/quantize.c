/* quantize.c - the weights of a model into one file, linears coarse, all else as it is. A tensor at a time: its parts are made when
 * the writer asks for the first of them. */
#include "model/quantize_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tfrun/quant.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/coarse_tensor.h"
#include "model/model_tensors.h"

enum { MAX_NAME = 160, MOST_PARTS = 3 };

/* A tensor of the file: a parameter as it is, or a part of a coarse one. */
struct item {
    char name[MAX_NAME];
    const struct tfr_weight *weight;
    size_t tensor; /* of the result */
    enum { AS_IT_IS, NUMBERS, SCALES, ZEROS } part;
};

struct writing {
    const struct tfr_model *model;
    const struct tfr_quantize_form *form;
    const struct tfr_quantize_request *request;
    struct tfr_quantized *quantized;
    struct tfr_weight_spec *specs;
    struct item *items;
    size_t n;
    struct tfr_coarse_weight coarse; /* of the tensor that is being written */
    struct tfr_tensor smoothed;      /* the same, before it was rounded */
    uint64_t start_ns;
};

static bool is_smoothed(const struct tfr_quantize_form *form, enum tfr_param param) {
    return form->smooth > 0 && tfr_smooth_changes(param);
}

static enum tfr_dtype type_of(const struct tfr_quantize_form *form, const char *name) {
    return tfr_config_is_finer(form->finer, name) ? TFR_DTYPE_I8_CHANNEL : form->dtype;
}

static void add_item(struct writing *writing, const char *name, const char *end, const struct tfr_weight *weight, int part,
                     const struct tfr_tensor *form) {
    struct item *item = &writing->items[writing->n];
    struct tfr_weight_spec *spec = &writing->specs[writing->n++];
    snprintf(item->name, sizeof item->name, "%s%s", name, end);
    item->weight = weight;
    item->tensor = writing->quantized->n - 1;
    item->part = part;
    *spec = (struct tfr_weight_spec){.name = item->name, .dtype = form->dtype, .rank = form->rank};
    memcpy(spec->dim, form->dim, sizeof spec->dim);
}

static void add_param(struct writing *writing, enum tfr_param param, int64_t layer) {
    const struct tfr_model *model = writing->model;
    const struct tfr_weight *weight = tfr_model_param(model, param, layer);
    if (weight == NULL || !tfr_model_has_param(&model->hparams, param)) {
        return;
    }
    const bool is_tied = param == TFR_PARAM_LM_HEAD && weight == tfr_model_param(model, TFR_PARAM_WTE, 0);
    struct tfr_quantized_tensor *tensor = &writing->quantized->tensors[writing->quantized->n++];
    tfr_model_param_name(param, layer, tensor->name, sizeof tensor->name);
    tensor->type_before = tfr_dtype_name(weight->tensor.dtype);
    tensor->bytes_before = is_tied ? 0 : (int64_t)tfr_tensor_bytes(&weight->tensor);
    if (!tfr_model_is_linear(&model->hparams, param)) {
        struct tfr_tensor plain = weight->tensor;
        plain.dtype = is_smoothed(writing->form, param) ? TFR_DTYPE_F32 : plain.dtype; /* which holds all products */
        tensor->type = tfr_dtype_name((enum tfr_dtype)plain.dtype);
        tensor->bytes = is_tied ? 0 : (int64_t)tfr_tensor_bytes(&plain);
        add_item(writing, tensor->name, "", weight, AS_IT_IS, &plain);
        return;
    }
    struct tfr_coarse_weight form;
    const enum tfr_dtype dtype = type_of(writing->form, tensor->name);
    tfr_coarse_shape(&form, dtype, weight->tensor.dim, param >= TFR_PARAM_LM_HEAD);
    tensor->type = tfr_dtype_name(dtype);
    tensor->bytes = (int64_t)tfr_coarse_bytes(&form);
    add_item(writing, tensor->name, "", weight, NUMBERS, &form.parts.q);
    add_item(writing, tensor->name, "_scale", weight, SCALES, &form.parts.scale);
    if (form.parts.zero.rank > 0) {
        add_item(writing, tensor->name, "_zero_point", weight, ZEROS, &form.parts.zero);
    }
}

/* In the order in which a reader meets them. */
static enum tfr_status list(struct writing *writing) {
    const int64_t L = writing->model->hparams.n_layer;
    const size_t n = (size_t)L * TFR_PARAM_PER_BLOCK + TFR_PARAM_COUNT - TFR_PARAM_PER_BLOCK;
    writing->quantized->tensors = tfr_alloc(n, sizeof writing->quantized->tensors[0]);
    writing->specs = tfr_alloc(n * MOST_PARTS, sizeof writing->specs[0]);
    writing->items = tfr_alloc(n * MOST_PARTS, sizeof writing->items[0]);
    if (writing->quantized->tensors == NULL || writing->specs == NULL || writing->items == NULL) {
        return TFR_RESOURCE;
    }
    add_param(writing, TFR_PARAM_WTE, 0);
    add_param(writing, TFR_PARAM_WPE, 0);
    for (int64_t layer = 0; layer < L; layer++) {
        for (int param = 0; param < TFR_PARAM_PER_BLOCK; param++) {
            add_param(writing, (enum tfr_param)param, layer);
        }
    }
    for (int param = TFR_PARAM_LN_F_WEIGHT; param < TFR_PARAM_COUNT; param++) {
        add_param(writing, (enum tfr_param)param, 0);
    }
    return TFR_OK;
}

static void free_parts(struct tfr_coarse_weight *coarse) {
    tfr_free(coarse->parts.q.data);
    tfr_free(coarse->parts.scale.data);
    tfr_free(coarse->parts.zero.data);
    *coarse = (struct tfr_coarse_weight){0};
}

static bool make_part(struct tfr_tensor *part) {
    part->data = tfr_alloc(tfr_tensor_bytes(part), 1);
    return part->data != NULL;
}

/* What is to be written or rounded: the parameter, or its smoothed values, made when its first element is asked for. */
static enum tfr_status find_source(struct writing *writing, const struct item *item, bool is_first,
                                   const struct tfr_tensor **from) {
    const struct tfr_parsed_name name = tfr_model_parse_name(item->name);
    *from = &item->weight->tensor;
    if (!is_smoothed(writing->form, name.param)) {
        return TFR_OK;
    }
    *from = &writing->smoothed;
    if (!is_first) {
        return TFR_OK;
    }
    tfr_free(writing->smoothed.data);
    writing->smoothed = tfr_tensor_make(NULL, TFR_DTYPE_F32, item->weight->tensor.rank, item->weight->tensor.dim);
    return make_part(&writing->smoothed)
               ? tfr_smooth_param(writing->model, name.param, name.layer, writing->form->smooth, writing->smoothed.data)
               : TFR_RESOURCE;
}

static enum tfr_status make_parts(struct writing *writing, const struct item *item) {
    struct tfr_coarse_weight *coarse = &writing->coarse;
    const struct tfr_tensor *from;
    struct tfr_quantized_tensor *tensor = &writing->quantized->tensors[item->tensor];
    const int k_axis = tfr_model_parse_name(item->name).param >= TFR_PARAM_LM_HEAD;
    struct tfr_coarse_error error;
    free_parts(coarse);
    tfr_coarse_shape(coarse, type_of(writing->form, item->name), item->weight->tensor.dim, k_axis);
    if (!make_part(&coarse->parts.q) || !make_part(&coarse->parts.scale) ||
        (coarse->parts.zero.rank > 0 && !make_part(&coarse->parts.zero))) {
        return TFR_RESOURCE;
    }
    TFR_TRY(find_source(writing, item, true, &from));
    TFR_TRY(tfr_coarse_round(coarse, from, &error));
    if (error.not_held >= 0) {
        return tfr_raise(TFR_MODEL,
                         "%s: tensor %s, output %lld, holds a NaN, an infinity or a number that %s is too small for; "
                         "--check-weights on the model names the element",
                         item->weight->file, item->name, (long long)error.not_held, writing->form->to);
    }
    tensor->error = error.norm > 0 ? sqrt(error.squared / error.norm) : 0;
    tensor->largest = error.largest;
    return TFR_OK;
}

static void report(const struct writing *writing, const struct item *item) {
    if (writing->request->progress != NULL) {
        const struct tfr_progress progress = {.what = "quantize",
                                              .unit = "tensors",
                                              .done = item->tensor + 1,
                                              .total = writing->quantized->n,
                                              .elapsed_ns = tfr_clock_ns() - writing->start_ns + 1};
        writing->request->progress(writing->request->user, &progress);
    }
}

static enum tfr_status fill(void *user, size_t index, int64_t first, int64_t n, void *buffer) {
    struct writing *writing = user;
    const struct item *item = &writing->items[index];
    const struct tfr_tensor *from;
    if (item->part == AS_IT_IS) {
        TFR_TRY(find_source(writing, item, first == 0, &from));
    } else {
        if (item->part == NUMBERS && first == 0) {
            TFR_TRY(make_parts(writing, item));
        }
        const struct tfr_coarse *parts = &writing->coarse.parts;
        from = item->part == NUMBERS ? &parts->q : item->part == SCALES ? &parts->scale : &parts->zero;
    }
    const size_t width = tfr_dtype_size(from->dtype);
    memcpy(buffer, (const uint8_t *)from->data + (size_t)first * width, (size_t)n * width);
    if (first + n == tfr_tensor_count(from)) {
        tfr_weights_drop(writing->model->weights, item->weight);
        report(writing, item);
    }
    return TFR_OK;
}

enum tfr_status tfr_quantize_weights(const struct tfr_model *model, const struct tfr_quantize_form *form, struct tfr_outfile *to,
                                     const struct tfr_quantize_request *request, struct tfr_quantized *quantized) {
    struct writing writing = {.model = model, .form = form, .request = request, .quantized = quantized, .start_ns = tfr_clock_ns()};
    enum tfr_status status = list(&writing);
    if (status == TFR_OK) {
        status = tfr_weights_write_into(to, writing.specs, writing.n, fill, &writing);
    }
    for (size_t i = 0; i < quantized->n; i++) {
        quantized->bytes_before += quantized->tensors[i].bytes_before;
        quantized->bytes += quantized->tensors[i].bytes;
    }
    free_parts(&writing.coarse);
    tfr_free(writing.smoothed.data);
    tfr_free(writing.specs);
    tfr_free(writing.items);
    return status;
}

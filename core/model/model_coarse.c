/* model_coarse.c - the coarse tensors of a checkpoint that `tfrun quantize` wrote: each is three tensors of the file, checked and
 * made one that has the shape of the parameter. */
#include "model/model_coarse.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tfrun/quant.h>

#include "base/arena.h"
#include "base/status.h"
#include "config/complaints.h"
#include "model/coarse_tensor.h"
#include "model/model_tensors.h"
#include "model/weights_internal.h"

enum { MAX_NAME = 160, MAX_LINES = 20 };

static const char scale_end[] = "_scale", zero_end[] = "_zero_point";

static const struct tfr_weight *companion(const struct tfr_weights *weights, const char *name, const char *end) {
    char text[MAX_NAME];
    const int length = snprintf(text, sizeof text, "%s%s", name, end);
    return length > 0 && (size_t)length < sizeof text ? tfr_weights_find(weights, text) : NULL;
}

/* A parameter of a linear: a matrix, but not a table of embeddings. */
static bool may_be_coarse(const struct tfr_hparams *hparams, const char *name, int *k_axis) {
    const struct tfr_parsed_name parsed = tfr_model_parse_name(name);
    int64_t dim[2];
    *k_axis = parsed.kind == TFR_NAME_PARAM && parsed.param >= TFR_PARAM_LM_HEAD;
    return parsed.kind == TFR_NAME_PARAM && tfr_model_param_shape(hparams, parsed.param, dim) == 2 &&
           parsed.param != TFR_PARAM_WTE && parsed.param != TFR_PARAM_WPE;
}

static bool check_part(struct tfr_complaints *complaints, const struct tfr_weight *of, const struct tfr_weight *part,
                       const char *end, const struct tfr_tensor *wanted) {
    char has[96], wants[96];
    tfr_shape_text(wanted->rank, wanted->dim, wants, sizeof wants);
    if (part == NULL) {
        tfr_complaints_add(complaints, TFR_MODEL, 0, 0,
                           "%s: tensor %.120s is coarse but has no %.120s%s (%s %s); quantise the model again", of->file, of->name,
                           of->name, end, tfr_dtype_file_name(wanted->dtype), wants);
        return false;
    }
    const struct tfr_tensor *tensor = &part->tensor;
    if (tensor->dtype != wanted->dtype || tensor->rank != wanted->rank ||
        memcmp(tensor->dim, wanted->dim, (size_t)wanted->rank * sizeof wanted->dim[0]) != 0) {
        tfr_complaints_add(complaints, TFR_MODEL, 0, 0,
                           "%s: tensor %.120s is %s %s but the config asks for %s %s; quantise the model again", part->file,
                           part->name, tfr_dtype_file_name(tensor->dtype),
                           tfr_shape_text(tensor->rank, tensor->dim, has, sizeof has), tfr_dtype_file_name(wanted->dtype), wants);
        return false;
    }
    return true;
}

/* A scale is finite, a zero point one of 16. */
static void check_values(struct tfr_complaints *complaints, const struct tfr_weight *scale, const struct tfr_weight *zero) {
    const int64_t n = tfr_tensor_count(&scale->tensor);
    for (int64_t i = 0; i < n; i++) {
        float value;
        tfr_to_f32(&value, (const uint8_t *)scale->tensor.data + (size_t)i * tfr_dtype_size(scale->tensor.dtype),
                   scale->tensor.dtype, 1);
        if (!isfinite(value)) {
            tfr_complaints_add(complaints, TFR_MODEL, 0, 0,
                               "%s: tensor %.120s holds %g at element %lld; a scale is finite: quantise the "
                               "model again",
                               scale->file, scale->name, (double)value, (long long)i);
            return;
        }
    }
    const uint8_t *points = zero != NULL ? zero->tensor.data : NULL;
    for (int64_t i = 0; points != NULL && i < n; i++) {
        if (points[i] > TFR_QUANT_I4_LARGEST) {
            tfr_complaints_add(complaints, TFR_MODEL, 0, 0,
                               "%s: tensor %.120s holds %d at element %lld; a zero point is 0 to 15: quantise "
                               "the model again",
                               zero->file, zero->name, points[i], (long long)i);
            return;
        }
    }
}

static enum tfr_status fold(struct tfr_weights *weights, size_t index, const struct tfr_model *model, int k_axis,
                            struct tfr_complaints *complaints) {
    struct tfr_weight *weight = &weights->items[index];
    const struct tfr_quantization *facts = &model->config->quantization;
    const enum tfr_dtype fours = facts->has_zero ? (facts->group == 32 ? TFR_DTYPE_I4_ZERO : TFR_DTYPE_I4_ZERO64)
                                                 : (facts->group == 32 ? TFR_DTYPE_I4_GROUP : TFR_DTYPE_I4_GROUP64);
    int64_t dim[2];
    tfr_model_param_shape(&model->hparams, tfr_model_parse_name(weight->name).param, dim);
    struct tfr_coarse_weight *coarse = tfr_alloc(1, sizeof *coarse);
    if (coarse == NULL) {
        return TFR_RESOURCE;
    }
    weight->coarse = coarse; /* freed with the weights */
    tfr_coarse_shape(coarse, weight->tensor.dtype == TFR_DTYPE_I8 ? TFR_DTYPE_I8_CHANNEL : fours, dim, k_axis);
    struct tfr_coarse *parts = &coarse->parts;
    const struct tfr_weight *scale = companion(weights, weight->name, scale_end),
                            *zero = companion(weights, weight->name, zero_end);
    bool fits = check_part(complaints, weight, weight, "", &parts->q);
    fits &= check_part(complaints, weight, scale, scale_end, &parts->scale);
    fits &= parts->zero.rank == 0 || check_part(complaints, weight, zero, zero_end, &parts->zero);
    if (parts->zero.rank == 0 && zero != NULL) {
        tfr_complaints_add(complaints, TFR_MODEL, 0, 0,
                           "%s: tensor %.120s stands where the config says that there are no zero points (quantization_config: "
                           "zero_point); quantise the model again",
                           zero->file, zero->name);
    }
    if (fits) {
        parts->q.data = weight->tensor.data;
        parts->scale.data = scale->tensor.data;
        parts->zero.data = parts->zero.rank > 0 ? zero->tensor.data : NULL;
        check_values(complaints, scale, parts->zero.rank > 0 ? zero : NULL);
    }
    weight->tensor = tfr_tensor_make(weight->tensor.data, (enum tfr_dtype)parts->dtype, 2, dim);
    return TFR_OK;
}

static bool ends_with(const char *name, const char *end, char *front, size_t size) {
    const size_t length = strlen(name), tail = strlen(end);
    if (length <= tail || strcmp(name + length - tail, end) != 0 || length - tail >= size) {
        return false;
    }
    memcpy(front, name, length - tail);
    front[length - tail] = '\0';
    return true;
}

/* A scale or zero point of a tensor that is no coarse one. */
static void check_alone(struct tfr_complaints *complaints, const struct tfr_weight *weight, const struct tfr_weights *weights) {
    char front[MAX_NAME];
    const struct tfr_weight *of = NULL;
    const bool is_part =
        ends_with(weight->name, scale_end, front, sizeof front) || ends_with(weight->name, zero_end, front, sizeof front);
    if (is_part && ((of = tfr_weights_find(weights, front)) == NULL || of->coarse == NULL)) {
        tfr_complaints_add(complaints, TFR_MODEL, 0, 0,
                           "%s: tensor %.120s has no whole numbers (%.120s) that it belongs to; quantise "
                           "the model again",
                           weight->file, weight->name, front);
    }
}

/* A part of a tensor that was folded. */
static bool is_part(const struct tfr_weights *weights, const char *name) {
    char front[MAX_NAME];
    if (!ends_with(name, scale_end, front, sizeof front) && !ends_with(name, zero_end, front, sizeof front)) {
        return false;
    }
    const struct tfr_weight *of = tfr_weights_find(weights, front);
    return of != NULL && of->coarse != NULL;
}

static enum tfr_status remove_parts(struct tfr_weights *weights) {
    bool *goes = tfr_alloc(weights->n + 1, sizeof *goes);
    if (goes == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < weights->n; i++) {
        goes[i] = is_part(weights, weights->items[i].name);
    }
    size_t n = 0;
    for (size_t i = 0; i < weights->n; i++) {
        if (goes[i]) {
            tfr_free((void *)(uintptr_t)weights->items[i].name);
        } else {
            weights->items[n++] = weights->items[i];
        }
    }
    weights->n = n;
    tfr_free(goes);
    tfr_free(weights->slots);
    weights->slots = NULL;
    return tfr_weights_build_slots(weights);
}

enum tfr_status tfr_model_fold_coarse(struct tfr_model *model) {
    struct tfr_weights *weights = model->weights;
    struct tfr_complaints complaints = {0};
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < weights->n && status == TFR_OK; i++) {
        const enum tfr_dtype dtype = weights->items[i].tensor.dtype;
        int k_axis;
        if ((dtype == TFR_DTYPE_I8 || dtype == TFR_DTYPE_U8) && may_be_coarse(&model->hparams, weights->items[i].name, &k_axis)) {
            status = fold(weights, i, model, k_axis, &complaints);
        }
    }
    for (size_t i = 0; i < weights->n && status == TFR_OK; i++) {
        check_alone(&complaints, &weights->items[i], weights);
    }
    if (status != TFR_OK) {
        tfr_complaints_clear(&complaints);
        return status;
    }
    TFR_TRY(tfr_complaints_raise(&complaints, MAX_LINES));
    return remove_parts(weights);
}

enum tfr_status tfr_model_check_coarse(const struct tfr_weight *weight) {
    const struct tfr_tensor *q = &weight->coarse->parts.q;
    const int8_t *numbers = q->data;
    const int64_t n = q->dtype == TFR_DTYPE_I8 ? tfr_tensor_count(q) : 0;
    for (int64_t i = 0; i < n; i++) {
        if (numbers[i] < -TFR_QUANT_I8_LARGEST) {
            return tfr_raise(TFR_MODEL, "%s: tensor %s holds %d at element %lld, below -127; quantise the model again",
                             weight->file, weight->name, numbers[i], (long long)i);
        }
    }
    return TFR_OK;
}

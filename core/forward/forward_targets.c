/* forward_targets.c - labels and whatever else belongs to one head: read and checked before anything is
 * computed. Shapes are those of Hugging Face's classes. */
#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "forward/forward.h"

/* Inputs that only some heads have. */
static enum tfr_status check_heads(const struct tfr_forward_request *request) {
    static const struct {
        const char *name;
        unsigned heads;
    } inputs[] = {
        {"labels", 1U << TFR_HEAD_LM | 1U << TFR_HEAD_DOUBLE | 1U << TFR_HEAD_SEQUENCE | 1U << TFR_HEAD_TOKEN},
        {"mc_token_ids", 1U << TFR_HEAD_DOUBLE},
        {"mc_labels", 1U << TFR_HEAD_DOUBLE},
        {"start_positions", 1U << TFR_HEAD_QA},
        {"end_positions", 1U << TFR_HEAD_QA},
        {"logits_to_keep", 1U << TFR_HEAD_LM},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(inputs); i++) {
        if (tfr_input_find(request, inputs[i].name) != NULL && (inputs[i].heads >> request->head & 1) == 0) {
            return tfr_raise(TFR_USAGE, "%s is given, but the head that the config's architectures name does not take it",
                             inputs[i].name);
        }
    }
    return TFR_OK;
}

/* Inputs that mean something only with another, or not with every config. */
static enum tfr_status check_company(const struct tfr_forward_request *request) {
    const bool has_start = tfr_input_find(request, "start_positions") != NULL;
    const bool has_mc_labels = tfr_input_find(request, "mc_labels") != NULL;
    const bool has_mc_ids = tfr_input_find(request, "mc_token_ids") != NULL;
    const int64_t width = tfr_model_summary_width(request->model);
    if (has_start != (tfr_input_find(request, "end_positions") != NULL)) {
        return tfr_raise(TFR_USAGE, "%s_positions are given without %s_positions; the loss needs both", has_start ? "start" : "end",
                         has_start ? "end" : "start");
    }
    if ((has_mc_ids || has_mc_labels) && !tfr_has_summary(request)) {
        return tfr_raise(TFR_USAGE, "%s is given, but the multiple-choice head has no tensors and is left out",
                         has_mc_ids ? "mc_token_ids" : "mc_labels");
    }
    if (has_mc_labels && width != 1) {
        return tfr_raise(TFR_USAGE, "mc_labels are given, but the summary of this config gives %lld numbers for a choice, not one",
                         (long long)width);
    }
    if (has_mc_ids && request->model->summary_type != TFR_SUMMARY_CLS_INDEX) {
        return tfr_raise(TFR_USAGE, "mc_token_ids are given, but summary_type of the config is not cls_index: leave them out");
    }
    return TFR_OK;
}

/* One number a row: [B], or [B,1]. */
static enum tfr_status row_shape(const struct tfr_forward_request *request, const char *name, const struct tfr_tensor *tensor) {
    const int64_t dim[] = {request->B, 1};
    return tfr_input_shape(name, tensor, tensor->rank == 2 ? 2 : 1, dim);
}

/* One number a choice: [B / choices, choices], or one a row without choices. */
static enum tfr_status choice_shape(const struct tfr_forward_request *request, const char *name, const struct tfr_tensor *tensor) {
    const int64_t choices = request->choices;
    if (choices == 0) {
        return row_shape(request, name, tensor);
    }
    const int64_t dim[] = {request->B / choices, choices};
    return tfr_input_shape(name, tensor, 2, dim);
}

/* The loss of the language model leaves out the last token of the last dim, that of the token classifier is
 * of all at once. */
static enum tfr_status token_labels_shape(const struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    const int64_t dim[] = {request->B, request->S}, line[] = {request->B * request->S};
    if (request->head == TFR_HEAD_TOKEN && tfr_input_fits(tensor, 1, line)) {
        return TFR_OK;
    }
    if (request->head != TFR_HEAD_TOKEN && (tensor->rank == 0 || tensor->dim[tensor->rank - 1] != request->S)) {
        return tfr_input_shape("labels", tensor, 2, dim);
    }
    return tfr_forward_request_token_shape(request, "labels", tensor, NULL);
}

static enum tfr_status read_token_labels(struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    const bool is_token_head = request->head == TFR_HEAD_TOKEN;
    TFR_TRY(token_labels_shape(request, tensor));
    TFR_TRY(tfr_input_integers("labels", tensor, &request->targets.labels));
    return tfr_labels_check("labels", request->targets.labels, request->B * request->S,
                            is_token_head ? request->model->num_labels : request->model->vocab_size);
}

/* Numbers of any type, one for each logit. */
static enum tfr_status read_numbers(struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    const int64_t width = request->model->num_labels, n = request->B * width;
    const int64_t dim[] = {request->B, width};
    TFR_TRY(width == 1 ? tfr_input_shape_but_ones("labels", tensor, 1, dim) : tfr_input_shape("labels", tensor, 2, dim));
    if (!tfr_input_is_integer(tensor->dtype)) {
        return tfr_input_floats("labels", tensor, &request->targets.numbers);
    }
    int64_t *whole = NULL;
    TFR_TRY(tfr_input_integers("labels", tensor, &whole));
    request->targets.numbers = tfr_alloc((size_t)n, sizeof(float));
    for (int64_t i = 0; i < n && request->targets.numbers != NULL; i++) {
        request->targets.numbers[i] = (float)whole[i];
    }
    tfr_free(whole);
    return request->targets.numbers != NULL ? TFR_OK : TFR_RESOURCE;
}

/* What kind of labels they are follows from the config, else from their number and type. */
static enum tfr_status read_sequence_labels(struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    int type = request->model->problem_type;
    if (type == TFR_PROBLEM_INFERRED) {
        type = request->model->num_labels == 1       ? TFR_PROBLEM_REGRESSION
               : tfr_input_is_integer(tensor->dtype) ? TFR_PROBLEM_SINGLE_LABEL
                                                     : TFR_PROBLEM_MULTI_LABEL;
    }
    request->targets.problem_type = type;
    if (type != TFR_PROBLEM_SINGLE_LABEL) {
        return read_numbers(request, tensor);
    }
    TFR_TRY(tfr_input_shape_but_ones("labels", tensor, 1, &request->B));
    TFR_TRY(tfr_input_integers("labels", tensor, &request->targets.labels));
    return tfr_labels_check("labels", request->targets.labels, request->B, request->model->num_labels);
}

static enum tfr_status read_labels(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "labels");
    if (tensor == NULL) {
        return TFR_OK;
    }
    return request->head == TFR_HEAD_SEQUENCE ? read_sequence_labels(request, tensor) : read_token_labels(request, tensor);
}

static enum tfr_status read_choices(struct tfr_forward_request *request) {
    const struct tfr_tensor *ids = tfr_input_find(request, "mc_token_ids");
    const struct tfr_tensor *labels = tfr_input_find(request, "mc_labels");
    const int64_t choices = request->choices > 0 ? request->choices : 1;
    if (ids != NULL) {
        TFR_TRY(choice_shape(request, "mc_token_ids", ids));
        TFR_TRY(tfr_input_indices("mc_token_ids", ids, choices, request->S, "tokens of a row", &request->targets.mc_tokens));
    }
    if (labels != NULL) {
        const int64_t n = request->B / tfr_choice_width(request);
        TFR_TRY(tfr_input_shape_but_ones("mc_labels", labels, 1, &n));
        TFR_TRY(tfr_input_integers("mc_labels", labels, &request->targets.mc_labels));
        return tfr_labels_check("mc_labels", request->targets.mc_labels, n, tfr_choice_width(request));
    }
    return TFR_OK;
}

/* Clamped to [0, S], as in the reference; S is not counted. */
static enum tfr_status read_spans(struct tfr_forward_request *request) {
    static const char *const names[] = {"start_positions", "end_positions"};
    for (int i = 0; i < 2; i++) {
        const struct tfr_tensor *tensor = tfr_input_find(request, names[i]);
        if (tensor == NULL) {
            continue;
        }
        TFR_TRY(row_shape(request, names[i], tensor));
        TFR_TRY(tfr_input_integers(names[i], tensor, &request->targets.span[i]));
        for (int64_t b = 0; b < request->B; b++) {
            int64_t *at = &request->targets.span[i][b];
            *at = *at < 0 ? 0 : *at > request->S ? request->S : *at;
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_targets_open(struct tfr_forward_request *request) {
    TFR_TRY(check_heads(request));
    TFR_TRY(check_company(request));
    TFR_TRY(read_labels(request));
    TFR_TRY(read_choices(request));
    return read_spans(request);
}

void tfr_targets_close(struct tfr_targets *targets) {
    tfr_free(targets->labels);
    tfr_free(targets->numbers);
    tfr_free(targets->mc_tokens);
    tfr_free(targets->mc_labels);
    tfr_free(targets->span[0]);
    tfr_free(targets->span[1]);
}

/* forward_head.c - what stands on the trunk: whose logits are computed, pooling, losses, and the results'
 * names and shapes. */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "engine/forward.h"

/* The given positions, negative ones from the end. */
static enum tfr_status read_keep(struct tfr_request *request, const struct tfr_tensor *tensor) {
    const int64_t dim[] = {-1};
    TFR_TRY(tfr_input_shape("logits_to_keep", tensor, 1, dim));
    TFR_TRY(tfr_input_integers("logits_to_keep", tensor, &request->keep));
    request->n_keep = tensor->dim[0];
    for (int64_t i = 0; i < request->n_keep; i++) {
        request->keep[i] += request->keep[i] < 0 ? request->S : 0;
        if (request->keep[i] < 0 || request->keep[i] >= request->S) {
            return tfr_raise(TFR_USAGE, "logits_to_keep: element %lld is outside -%lld..%lld", (long long)i,
                             (long long)request->S, (long long)(request->S - 1));
        }
    }
    return TFR_OK;
}

static bool is_padding(const struct tfr_request *request, int64_t b, int64_t t) {
    const int32_t pad = request->model->pad_token_id;
    const bool is_hidden = request->key_mask != NULL && request->key_mask[b * request->T + request->P + t] == 0;
    return (request->options.ragged && is_hidden) ||
           (pad >= 0 && request->ids != NULL && request->ids[b * request->S + t] == pad);
}

/* Rightmost token that is not padding; one per sequence. */
static enum tfr_status find_last_tokens(struct tfr_request *request) {
    const int32_t pad = request->model->pad_token_id;
    if (pad < 0 && request->B > 1 && !request->options.ragged) {
        return tfr_raise(TFR_USAGE,
                         "%lld rows for sequence classification, but the config has no pad_token_id to find "
                         "their last tokens by; "
                         "set pad_token_id or give one row",
                         (long long)request->B);
    }
    if (pad >= 0 && request->ids == NULL) {
        tfr_log(TFR_LOG_WARN, "forward",
                "inputs_embeds show no padding: the last position of every row is classified");
    }
    request->n_keep = 1;
    request->keep = tfr_alloc((size_t)request->B, sizeof *request->keep);
    for (int64_t b = 0; b < request->B && request->keep != NULL; b++) {
        request->keep[b] = request->S - 1;
        while (request->keep[b] > 0 && is_padding(request, b, request->keep[b])) {
            request->keep[b]--;
        }
    }
    return request->keep != NULL ? TFR_OK : TFR_RESOURCE;
}

static bool is_lm(const struct tfr_request *request) {
    return request->head == TFR_HEAD_LM || request->head == TFR_HEAD_DOUBLE;
}

/* Inputs that only some heads have. */
static enum tfr_status check_head_inputs(const struct tfr_request *request) {
    static const struct {
        const char *name;
        unsigned heads;
    } inputs[] = {
        {"labels",
         1U << TFR_HEAD_LM | 1U << TFR_HEAD_DOUBLE | 1U << TFR_HEAD_SEQUENCE | 1U << TFR_HEAD_TOKEN},
        {"mc_token_ids", 1U << TFR_HEAD_DOUBLE},
        {"mc_labels", 1U << TFR_HEAD_DOUBLE},
        {"start_positions", 1U << TFR_HEAD_QA},
        {"end_positions", 1U << TFR_HEAD_QA},
        {"logits_to_keep", 1U << TFR_HEAD_LM},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(inputs); i++) {
        if (tfr_input_find(request, inputs[i].name) != NULL && (inputs[i].heads >> request->head & 1) == 0) {
            return tfr_raise(
                TFR_USAGE, "%s is given, but the head that the config's architectures name does not take it",
                inputs[i].name);
        }
    }
    return TFR_OK;
}

/* Inputs that mean something only with another, or not with every config. */
static enum tfr_status check_loss_inputs(const struct tfr_request *request) {
    const bool has_start = tfr_input_find(request, "start_positions") != NULL;
    if (has_start != (tfr_input_find(request, "end_positions") != NULL)) {
        return tfr_raise(TFR_USAGE, "%s_positions are given without %s_positions; the loss needs both", has_start ? "start" : "end",
                         has_start ? "end" : "start");
    }
    const int64_t width = tfr_model_summary_width(request->model);
    if (tfr_input_find(request, "mc_labels") != NULL && width != 1) {
        return tfr_raise(TFR_USAGE, "mc_labels are given, but the summary of this config gives %lld numbers for a choice, not one",
                         (long long)width);
    }
    return TFR_OK;
}

enum tfr_status tfr_head_positions(struct tfr_request *request) {
    const struct tfr_tensor *vector = tfr_input_find(request, "logits_to_keep");
    const int64_t last = request->options.logits_to_keep;
    TFR_TRY(check_head_inputs(request));
    TFR_TRY(check_loss_inputs(request));
    if (last < 0 || (last > 0 && vector != NULL) || (last > 0 && request->head != TFR_HEAD_LM)) {
        return tfr_raise(TFR_USAGE, last < 0 ? "logits_to_keep is negative; 0 keeps all, K the last K"
                                    : vector != NULL
                                        ? "logits_to_keep is given both as a tensor and as a number"
                                        : "logits_to_keep is given, but only GPT2LMHeadModel takes it");
    }
    if ((last > 0 || vector != NULL) && tfr_input_find(request, "labels") != NULL) {
        return tfr_raise(TFR_USAGE, "labels need the logits of all positions; leave logits_to_keep out");
    }
    if (vector != NULL) {
        return read_keep(request, vector);
    }
    if (request->head == TFR_HEAD_SEQUENCE) {
        return find_last_tokens(request);
    }
    request->n_keep = request->head == TFR_HEAD_NONE ? 0 : last > 0 && last < request->S ? last : request->S;
    return TFR_OK;
}

int64_t tfr_head_position(const struct tfr_request *request, int64_t b, int64_t j) {
    if (request->head == TFR_HEAD_SEQUENCE) {
        return request->keep[b];
    }
    return request->keep != NULL ? request->keep[j] : request->S - request->n_keep + j;
}

int64_t tfr_head_width(const struct tfr_request *request) {
    return request->head == TFR_HEAD_NONE ? 0
           : is_lm(request)               ? request->model->vocab_size
           : request->head == TFR_HEAD_QA ? 2
                                          : request->model->num_labels;
}

/* Dims of a result that has one item per sequence: [B] or [B / choices, choices], then those given. */
static int lead_dims(const struct tfr_request *request, int64_t *dim) {
    dim[0] = request->choices > 0 ? request->B / request->choices : request->B;
    dim[1] = request->choices;
    return request->choices > 0 ? 2 : 1;
}

/* Label of position t + 1 for the logits of position t. */
static enum tfr_status lm_loss(const struct tfr_request *request, const struct tfr_result *result,
                               const int64_t *labels, double *loss) {
    const int64_t S = request->S, n = request->B * S;
    TFR_TRY(tfr_labels_check("labels", labels, n, request->model->vocab_size, -100));
    int64_t *shifted = tfr_alloc((size_t)n, sizeof *shifted);
    if (shifted == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < n; i++) {
        shifted[i] = i % S + 1 < S ? labels[i + 1] : -100;
    }
    *loss = tfr_cross_entropy(result->logits, n, result->width, shifted, -100);
    tfr_free(shifted);
    return TFR_OK;
}

static enum tfr_status integer_loss(const struct tfr_request *request, const struct tfr_result *result,
                                    const struct tfr_tensor *tensor, double *loss) {
    int64_t *labels = NULL;
    const int64_t n = tfr_tensor_count(tensor), rows = request->B * request->n_keep;
    if (n != rows) {
        return tfr_raise(TFR_USAGE, "labels has %lld elements, needs %lld: one for each of the logits' rows",
                         (long long)n, (long long)rows);
    }
    enum tfr_status status = tfr_input_integers("labels", tensor, &labels);
    if (status == TFR_OK && is_lm(request)) {
        status = lm_loss(request, result, labels, loss);
    } else if (status == TFR_OK) {
        status = tfr_labels_check("labels", labels, n, result->width, -100);
        *loss = status == TFR_OK ? tfr_cross_entropy(result->logits, n, result->width, labels, -100) : NAN;
    }
    tfr_free(labels);
    return status;
}

/* Mean squared error, or binary cross entropy with logits, of one number for each logit. */
static enum tfr_status number_loss(const struct tfr_request *request, const struct tfr_result *result,
                                   const struct tfr_tensor *tensor, bool is_regression, double *loss) {
    const int64_t n = tfr_tensor_count(tensor), wanted = request->B * result->width;
    if (n != wanted) {
        return tfr_raise(TFR_USAGE, "labels has %lld elements, needs %lld: one for each logit", (long long)n,
                         (long long)wanted);
    }
    float *values = NULL;
    int64_t *whole = NULL;
    const bool is_whole = tfr_input_is_integer(tensor->dtype);
    TFR_TRY(is_whole ? tfr_input_integers("labels", tensor, &whole)
                     : tfr_input_floats("labels", tensor, &values));
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = result->logits[i], y = is_whole ? (double)whole[i] : values[i];
        total += is_regression ? (x - y) * (x - y) : (x > 0 ? x : 0) - x * y + log1p(exp(-fabs(x)));
    }
    *loss = total / (double)n;
    tfr_free(values);
    tfr_free(whole);
    return TFR_OK;
}

static enum tfr_status class_loss(const struct tfr_request *request, const struct tfr_result *result,
                                  const struct tfr_tensor *tensor, double *loss) {
    int type = request->model->problem_type;
    if (type == TFR_PROBLEM_INFERRED) {
        type = result->width == 1                    ? TFR_PROBLEM_REGRESSION
               : tfr_input_is_integer(tensor->dtype) ? TFR_PROBLEM_SINGLE_LABEL
                                                     : TFR_PROBLEM_MULTI_LABEL;
    }
    return type == TFR_PROBLEM_SINGLE_LABEL
               ? integer_loss(request, result, tensor, loss)
               : number_loss(request, result, tensor, type == TFR_PROBLEM_REGRESSION, loss);
}

static enum tfr_status add_loss(const struct tfr_request *request, const struct tfr_result *result,
                                struct tfr_forward_reply *reply) {
    const struct tfr_tensor *labels = tfr_input_find(request, "labels");
    double loss = NAN;
    if (labels == NULL) {
        return TFR_OK;
    }
    TFR_TRY(request->head == TFR_HEAD_SEQUENCE ? class_loss(request, result, labels, &loss)
                                               : integer_loss(request, result, labels, &loss));
    if (isnan(loss)) {
        tfr_log(TFR_LOG_WARN, "forward", "labels name no target: the loss is NaN");
    }
    return tfr_reply_add_loss(reply, "loss", loss);
}

/* Cross entropy of one of the two columns over the S positions; positions are clamped to [0, S], S is not
 * counted. */
static enum tfr_status span_loss(const struct tfr_request *request, const char *name, const float *logits,
                                 double *loss) {
    const struct tfr_tensor *tensor = tfr_input_find(request, name);
    int64_t *positions = NULL;
    if (tfr_tensor_count(tensor) != request->B) {
        return tfr_raise(TFR_USAGE, "%s has %lld elements, needs one for each of %lld rows", name,
                         (long long)tfr_tensor_count(tensor), (long long)request->B);
    }
    TFR_TRY(tfr_input_integers(name, tensor, &positions));
    for (int64_t b = 0; b < request->B; b++) {
        positions[b] = positions[b] < 0 ? 0 : positions[b] > request->S ? request->S : positions[b];
    }
    *loss = tfr_cross_entropy(logits, request->B, request->S, positions, request->S);
    tfr_free(positions);
    return TFR_OK;
}

static enum tfr_status finish_spans(const struct tfr_request *request, const struct tfr_result *result,
                                    struct tfr_forward_reply *reply) {
    static const char *const names[] = {"start_logits", "end_logits"}, *const targets[] = {"start_positions",
                                                                                           "end_positions"};
    const int64_t dim[] = {request->B, request->S};
    double loss[2] = {0};
    const bool has_loss = tfr_input_find(request, targets[0]) != NULL;
    for (int c = 0; c < 2; c++) {
        float *logits;
        TFR_TRY(tfr_reply_add(reply, names[c], 2, dim, &logits));
        for (int64_t i = 0; i < request->B * request->S; i++) {
            logits[i] = result->logits[2 * i + c];
        }
        if (has_loss) {
            TFR_TRY(span_loss(request, targets[c], logits, &loss[c]));
        }
    }
    return has_loss ? tfr_reply_add_loss(reply, "loss", (loss[0] + loss[1]) / 2) : TFR_OK;
}

/* One row [C] per sequence out of the last hidden states. */
static enum tfr_status pool(const struct tfr_request *request, const struct tfr_result *result,
                            float *pooled) {
    const struct tfr_hparams *model = request->model;
    const int64_t S = request->S, C = model->n_embd;
    const struct tfr_tensor *tensor = tfr_input_find(request, "mc_token_ids");
    int32_t *at = NULL;
    if (tensor != NULL) {
        if (tfr_tensor_count(tensor) != request->B) {
            return tfr_raise(TFR_USAGE, "mc_token_ids has %lld elements, needs one for each of %lld rows",
                             (long long)tfr_tensor_count(tensor), (long long)request->B);
        }
        TFR_TRY(tfr_input_indices("mc_token_ids", tensor, 1, S, "tokens", &at));
    }
    for (int64_t b = 0; b < request->B; b++) {
        const float *rows = result->last_hidden + b * S * C;
        const int64_t t = model->summary_type == TFR_SUMMARY_FIRST                     ? 0
                          : model->summary_type == TFR_SUMMARY_CLS_INDEX && at != NULL ? at[b]
                                                                                       : S - 1;
        for (int64_t c = 0; c < C; c++) {
            double sum = 0;
            for (int64_t s = 0; s < S && model->summary_type == TFR_SUMMARY_MEAN; s++) {
                sum += rows[s * C + c];
            }
            pooled[b * C + c] =
                model->summary_type == TFR_SUMMARY_MEAN ? (float)(sum / (double)S) : rows[t * C + c];
        }
    }
    tfr_free(at);
    return TFR_OK;
}

/* The summary's linear and activation, max_rows sequences at a time. */
static enum tfr_status summarise(const struct tfr_request *request, const float *pooled, float *mc_logits,
                                 int64_t width) {
    const struct tfr_hparams *model = request->model;
    const int64_t C = model->n_embd, most = request->engine->max_rows;
    if (!model->summary_use_proj && model->summary_activation == 0) {
        memcpy(mc_logits, pooled, (size_t)(request->B * C) * sizeof(float));
        return TFR_OK;
    }
    for (int64_t b = 0; b < request->B; b += most) {
        const int64_t rows = request->B - b < most ? request->B - b : most;
        const struct tfr_payload shape = {.kind = TFR_PAYLOAD_STEP,
                                          .n_embeds = 1,
                                          .features = {.part = TFR_PART_SUMMARY},
                                          .n_rows = rows,
                                          .n_floats = rows * C};
        struct tfr_payload *payload = tfr_payload_make(&shape);
        if (payload == NULL) {
            return TFR_RESOURCE;
        }
        memcpy(tfr_payload_parts(payload).floats, pooled + b * C, (size_t)(rows * C) * sizeof(float));
        enum tfr_status status = tfr_payload_run(request->engine, payload, NULL, NULL);
        tfr_free(payload);
        TFR_TRY(status);
        memcpy(mc_logits + b * width, request->engine->logits.data, (size_t)(rows * width) * sizeof(float));
    }
    return TFR_OK;
}

static enum tfr_status add_mc_loss(const struct tfr_request *request, const float *mc_logits,
                                   struct tfr_forward_reply *reply) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "mc_labels");
    if (tensor == NULL) {
        return TFR_OK;
    }
    const int64_t width = request->choices > 0 ? request->choices : 1, n = request->B / width;
    int64_t *labels = NULL;
    if (tfr_tensor_count(tensor) != n) {
        return tfr_raise(TFR_USAGE, "mc_labels has %lld elements, needs %lld",
                         (long long)tfr_tensor_count(tensor), (long long)n);
    }
    TFR_TRY(tfr_input_integers("mc_labels", tensor, &labels));
    enum tfr_status status = tfr_labels_check("mc_labels", labels, n, width, -100);
    if (status == TFR_OK) {
        status = tfr_reply_add_loss(reply, "mc_loss", tfr_cross_entropy(mc_logits, n, width, labels, -100));
    }
    tfr_free(labels);
    return status;
}

static enum tfr_status finish_choices(const struct tfr_request *request, const struct tfr_result *result,
                                      struct tfr_forward_reply *reply) {
    const int64_t width = tfr_model_summary_width(request->model);
    int64_t dim[TFR_MAX_RANK];
    int rank = lead_dims(request, dim);
    float *mc_logits, *pooled = tfr_alloc((size_t)(request->B * request->model->n_embd), sizeof *pooled);
    if (width > 1) {
        dim[rank++] = width;
    }
    enum tfr_status status = pooled != NULL ? pool(request, result, pooled) : TFR_RESOURCE;
    if (status == TFR_OK) {
        status = tfr_reply_add(reply, "mc_logits", rank, dim, &mc_logits);
    }
    if (status == TFR_OK) {
        status = summarise(request, pooled, mc_logits, width);
    }
    tfr_free(pooled);
    return status == TFR_OK ? add_mc_loss(request, mc_logits, reply) : status;
}

enum tfr_status tfr_head_finish(const struct tfr_request *request, const struct tfr_result *result,
                                struct tfr_forward_reply *reply) {
    if (request->head == TFR_HEAD_QA) {
        return finish_spans(request, result, reply);
    }
    if (request->head != TFR_HEAD_NONE) {
        TFR_TRY(add_loss(request, result, reply));
    }
    const bool has_summary = !request->model->summary_use_proj ||
                             tfr_model_param(request->engine->model, TFR_PARAM_SUMMARY_WEIGHT, 0) != NULL;
    return request->head == TFR_HEAD_DOUBLE && has_summary ? finish_choices(request, result, reply) : TFR_OK;
}

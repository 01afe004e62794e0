/* forward_head.c - what stands on the trunk: whose logits are computed, pooling, and the results' names and
 * shapes. */
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "forward/forward.h"
#include "step/step.h"

/* BOOL [S]: the positions that are true. */
static enum tfr_status read_keep_flags(struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    uint8_t *flags = NULL;
    TFR_TRY(tfr_input_shape("logits_to_keep", tensor, 1, &request->S));
    TFR_TRY(tfr_input_mask("logits_to_keep", tensor, &flags));
    request->keep = tfr_alloc((size_t)request->S, sizeof *request->keep);
    for (int64_t t = 0; t < request->S && request->keep != NULL; t++) {
        if (flags[t]) {
            request->keep[request->n_keep++] = t;
        }
    }
    tfr_free(flags);
    return request->keep != NULL ? TFR_OK : TFR_RESOURCE;
}

/* The given positions, negative ones from the end. */
static enum tfr_status read_keep(struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    const int64_t dim[] = {-1};
    if (tensor->dtype == TFR_DTYPE_BOOL) {
        return read_keep_flags(request, tensor);
    }
    TFR_TRY(tfr_input_shape("logits_to_keep", tensor, 1, dim));
    TFR_TRY(tfr_input_integers("logits_to_keep", tensor, &request->keep));
    request->n_keep = tensor->dim[0];
    for (int64_t i = 0; i < request->n_keep; i++) {
        request->keep[i] += request->keep[i] < 0 ? request->S : 0;
        if (request->keep[i] < 0 || request->keep[i] >= request->S) {
            return tfr_raise(TFR_USAGE, "logits_to_keep: element %lld is outside -%lld..%lld", (long long)i, (long long)request->S,
                             (long long)(request->S - 1));
        }
    }
    return TFR_OK;
}

static bool is_padding(const struct tfr_forward_request *request, int64_t b, int64_t t) {
    const int32_t pad = request->model->pad_token_id;
    const bool is_hidden = request->key_mask != NULL && request->key_mask[b * request->T + request->P + t] == 0;
    return (request->options.ragged && is_hidden) || (pad >= 0 && request->ids != NULL && request->ids[b * request->S + t] == pad);
}

/* Rightmost token that is not padding; one per sequence. */
static enum tfr_status find_last_tokens(struct tfr_forward_request *request) {
    const int32_t pad = request->model->pad_token_id;
    if (pad < 0 && request->B > 1 && !request->options.ragged) {
        return tfr_raise(TFR_USAGE,
                         "%lld rows for sequence classification, but the config has no pad_token_id to find "
                         "their last tokens by; "
                         "set pad_token_id or give one row",
                         (long long)request->B);
    }
    if (pad >= 0 && request->ids == NULL) {
        tfr_log(TFR_LOG_WARN, "forward", "inputs_embeds show no padding: the last position of every row is classified");
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

static bool is_lm(const struct tfr_forward_request *request) {
    return request->head == TFR_HEAD_LM || request->head == TFR_HEAD_DOUBLE;
}

enum tfr_status tfr_head_positions(struct tfr_forward_request *request) {
    const struct tfr_tensor *vector = tfr_input_find(request, "logits_to_keep");
    const int64_t last = request->options.logits_to_keep;
    if (last < 0 || (last > 0 && vector != NULL) || (last > 0 && request->head != TFR_HEAD_LM)) {
        return tfr_raise(TFR_USAGE, last < 0         ? "logits_to_keep is negative; 0 keeps all, K the last K"
                                    : vector != NULL ? "logits_to_keep is given both as a tensor and as a number"
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

int64_t tfr_head_position(const struct tfr_forward_request *request, int64_t b, int64_t j) {
    if (request->head == TFR_HEAD_SEQUENCE) {
        return request->keep[b];
    }
    return request->keep != NULL ? request->keep[j] : request->S - request->n_keep + j;
}

int64_t tfr_head_width(const struct tfr_forward_request *request) {
    return request->head == TFR_HEAD_NONE ? 0
           : is_lm(request)               ? request->model->vocab_size
           : request->head == TFR_HEAD_QA ? 2
                                          : request->model->num_labels;
}

/* Dims of a result that has one item per sequence: [B] or [B / choices, choices], then those given. */
static int lead_dims(const struct tfr_forward_request *request, int64_t *dim) {
    dim[0] = request->choices > 0 ? request->B / request->choices : request->B;
    dim[1] = request->choices;
    return request->choices > 0 ? 2 : 1;
}

static enum tfr_status finish_spans(const struct tfr_forward_request *request, const struct tfr_result *result,
                                    struct tfr_forward_reply *reply) {
    static const char *const names[] = {"start_logits", "end_logits"};
    const int64_t dim[] = {request->B, request->S};
    float *logits[2];
    for (int c = 0; c < 2; c++) {
        TFR_TRY(tfr_reply_add(reply, names[c], 2, dim, &logits[c]));
        for (int64_t i = 0; i < request->B * request->S; i++) {
            logits[c][i] = result->logits[2 * i + c];
        }
    }
    return tfr_add_span_loss(request, logits, reply);
}

/* One row [C] per sequence out of the last hidden states. */
static void pool(const struct tfr_forward_request *request, const struct tfr_result *result, float *pooled) {
    const struct tfr_hparams *model = request->model;
    const int64_t S = request->S, C = model->n_embd;
    const int32_t *at = request->targets.mc_tokens;
    for (int64_t b = 0; b < request->B; b++) {
        const float *rows = result->last_hidden + b * S * C;
        const int64_t t = model->summary_type == TFR_SUMMARY_FIRST ? 0 : at != NULL ? at[b] : S - 1;
        for (int64_t c = 0; c < C; c++) {
            double sum = 0;
            for (int64_t s = 0; s < S && model->summary_type == TFR_SUMMARY_MEAN; s++) {
                sum += rows[s * C + c];
            }
            pooled[b * C + c] = model->summary_type == TFR_SUMMARY_MEAN ? (float)(sum / (double)S) : rows[t * C + c];
        }
    }
}

/* The summary's linear and activation; a sequence is a row here. */
static enum tfr_status summarise(const struct tfr_forward_request *request, const float *pooled, float *mc_logits, int64_t width) {
    const struct tfr_hparams *model = request->model;
    const int64_t C = model->n_embd;
    if (!model->summary_use_proj && model->summary_activation == 0) {
        memcpy(mc_logits, pooled, (size_t)(request->B * C) * sizeof(float));
        return TFR_OK;
    }
    const struct tfr_gpt2_features features = {.part = TFR_PART_SUMMARY};
    const struct tfr_piece piece = {.n = request->B, .features = &features, .embeds = pooled};
    struct tfr_step step;
    enum tfr_status status = tfr_step_open(&step, request->engine, &piece, 1);
    while (status == TFR_OK && tfr_step_cut(&step)) {
        status = tfr_step_run(&step);
        if (status == TFR_OK) {
            memcpy(mc_logits + step.cuts[0].first * width, step.logits, (size_t)(step.n_rows * width) * sizeof(float));
        }
    }
    tfr_step_close(&step);
    return status;
}

static enum tfr_status finish_choices(const struct tfr_forward_request *request, const struct tfr_result *result,
                                      struct tfr_forward_reply *reply) {
    const int64_t width = tfr_model_summary_width(request->model);
    int64_t dim[TFR_MAX_RANK];
    int rank = lead_dims(request, dim);
    float *mc_logits, *pooled = tfr_alloc((size_t)(request->B * request->model->n_embd), sizeof *pooled);
    if (width > 1) {
        dim[rank++] = width;
    }
    enum tfr_status status = pooled != NULL ? tfr_reply_add(reply, "mc_logits", rank, dim, &mc_logits) : TFR_RESOURCE;
    if (status == TFR_OK) {
        pool(request, result, pooled);
        status = summarise(request, pooled, mc_logits, width);
    }
    tfr_free(pooled);
    return status == TFR_OK ? tfr_add_choice_loss(request, mc_logits, reply) : status;
}

int64_t tfr_choice_width(const struct tfr_forward_request *request) {
    return request->choices > 0 ? request->choices : request->B;
}

bool tfr_has_summary(const struct tfr_forward_request *request) {
    return request->head == TFR_HEAD_DOUBLE &&
           (!request->model->summary_use_proj || tfr_model_param(request->engine->model, TFR_PARAM_SUMMARY_WEIGHT, 0) != NULL);
}

enum tfr_status tfr_head_finish(const struct tfr_forward_request *request, const struct tfr_result *result,
                                struct tfr_forward_reply *reply) {
    if (request->head == TFR_HEAD_QA) {
        return finish_spans(request, result, reply);
    }
    TFR_TRY(tfr_add_loss(request, result, reply));
    return tfr_has_summary(request) ? finish_choices(request, result, reply) : TFR_OK;
}

/* forward_request.c - named tensors to a checked request: every input honoured or refused by name
 * (docs/semantics.md). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "forward/forward.h"

enum { N_KINDS = 4 };
static const char *const past_kinds[N_KINDS] = {"key", "value", "cross_key", "cross_value"};

static const char *const known_names[] = {
    "input_ids", "inputs_embeds", "attention_mask",        "token_type_ids",         "position_ids",
    "head_mask", "labels",        "encoder_hidden_states", "encoder_attention_mask", "mc_token_ids",
    "mc_labels", "end_positions", "start_positions",       "logits_to_keep",
};

/* "past_key_values.3.cross_key" of an existing block. */
static bool is_past_name(const struct tfr_forward_request *request, const char *name) {
    static const char prefix[] = "past_key_values.";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    const long long layer = strtoll(name + sizeof prefix - 1, NULL, 10);
    bool known = false;
    for (int k = 0; k < N_KINDS; k++) {
        char exact[64]; /* the one spelling that will be looked for */
        snprintf(exact, sizeof exact, "%s%lld.%s", prefix, layer, past_kinds[k]);
        known |= strcmp(name, exact) == 0;
    }
    return known && layer >= 0 && layer < request->model->n_layer;
}

static enum tfr_status check_names(const struct tfr_forward_request *request) {
    for (size_t i = 0; i < request->n_inputs; i++) {
        const char *name = request->inputs[i].name;
        bool known = is_past_name(request, name);
        for (size_t k = 0; k < TFR_COUNT_OF(known_names); k++) {
            known |= strcmp(name, known_names[k]) == 0;
        }
        if (!known) {
            const char *near = tfr_nearest_name(name, known_names, TFR_COUNT_OF(known_names));
            return tfr_raise(TFR_USAGE, "%.200s is not an input of a model with %lld blocks%s%s%s", name,
                             (long long)request->model->n_layer, near != NULL ? "; did you mean " : "",
                             near != NULL ? near : "", near != NULL ? "?" : "");
        }
    }
    return TFR_OK;
}

static enum tfr_status check_sizes(const struct tfr_forward_request *request, const char *name) {
    if (request->B < 1 || request->S < 1) {
        return tfr_raise(TFR_USAGE, "%s is empty: %lld rows of %lld tokens; give at least one token", name,
                         (long long)request->B, (long long)request->S);
    }
    return TFR_OK;
}

static enum tfr_status read_tokens(struct tfr_forward_request *request) {
    const struct tfr_tensor *ids = tfr_input_find(request, "input_ids"),
                            *embeds = tfr_input_find(request, "inputs_embeds");
    if ((ids == NULL) == (embeds == NULL)) {
        return tfr_raise(TFR_USAGE, ids == NULL
                                        ? "neither input_ids nor inputs_embeds is given; give one of them"
                                        : "both input_ids and inputs_embeds are given; give one of them");
    }
    if (embeds != NULL) {
        const int64_t dim[] = {-1, -1, request->model->n_embd};
        TFR_TRY(tfr_input_shape("inputs_embeds", embeds, 3, dim));
        request->B = embeds->dim[0];
        request->S = embeds->dim[1];
        TFR_TRY(check_sizes(request, "inputs_embeds"));
        return tfr_input_floats("inputs_embeds", embeds, &request->embeds);
    }
    const bool takes_choices =
        request->head == TFR_HEAD_LM || request->head == TFR_HEAD_DOUBLE || request->head == TFR_HEAD_NONE;
    if (ids->rank < 1 || ids->rank > (takes_choices ? 3 : 2)) {
        char has[96];
        return tfr_raise(TFR_USAGE, "input_ids has shape %s, needs [B, S]%s",
                         tfr_shape_text(ids->rank, ids->dim, has, sizeof has),
                         takes_choices ? " or [B, choices, S]" : "");
    }
    request->S = ids->dim[ids->rank - 1];
    request->choices = ids->rank == 3 ? ids->dim[1] : 0;
    request->B = ids->rank == 1 ? 1 : ids->rank == 2 ? ids->dim[0] : ids->dim[0] * ids->dim[1];
    TFR_TRY(check_sizes(request, "input_ids"));
    return tfr_input_indices("input_ids", ids, request->S, request->model->vocab_size, "vocab_size",
                             &request->ids);
}

/* The four tensors of a block: all or none of a pair, the same pairs in every block. */
static enum tfr_status read_past_tensor(struct tfr_forward_request *request, int64_t layer, int kind) {
    const struct tfr_hparams *model = request->model;
    const bool is_cross = kind >= 2;
    char name[64];
    snprintf(name, sizeof name, "past_key_values.%lld.%s", (long long)layer, past_kinds[kind]);
    const struct tfr_tensor *tensor = tfr_input_find(request, name);
    const bool is_wanted = is_cross ? request->has_cross_past : request->has_past;
    if (tensor == NULL || !is_wanted) {
        return tensor == NULL && !is_wanted
                   ? TFR_OK
                   : tfr_raise(TFR_USAGE,
                               "past_key_values is incomplete: %s is %s, past_key_values.0.%s is %s; give "
                               "key and value "
                               "of every block",
                               name, tensor != NULL ? "given" : "missing", is_cross ? "cross_key" : "key",
                               is_wanted ? "given" : "missing");
    }
    const int64_t length = is_cross ? request->E : request->P;
    const int64_t dim[] = {request->B, model->n_head, length, model->n_embd / model->n_head};
    TFR_TRY(tfr_input_shape(name, tensor, 4, dim));
    return tfr_input_floats(name, tensor, &request->past[4 * layer + kind]);
}

static enum tfr_status read_past(struct tfr_forward_request *request) {
    const struct tfr_tensor *key = tfr_input_find(request, "past_key_values.0.key");
    const struct tfr_tensor *cross = tfr_input_find(request, "past_key_values.0.cross_key");
    request->past = tfr_alloc((size_t)(4 * request->model->n_layer), sizeof(float *));
    if (request->past == NULL) {
        return TFR_RESOURCE;
    }
    request->has_past = key != NULL;
    request->has_cross_past = cross != NULL;
    request->P = key != NULL && key->rank == 4 ? key->dim[2] : request->engine->n_prefix;
    request->E = cross != NULL && cross->rank == 4 ? cross->dim[2] : 0;
    request->T = request->P + request->S;
    if (cross != NULL && !request->model->add_cross_attention) {
        return tfr_raise(TFR_USAGE, "past_key_values.0.cross_key is given, but the model has no "
                                    "cross-attention (add_cross_attention)");
    }
    for (int64_t layer = 0; layer < request->model->n_layer; layer++) {
        for (int kind = 0; kind < N_KINDS; kind++) {
            TFR_TRY(read_past_tensor(request, layer, kind));
        }
    }
    return TFR_OK;
}

/* Minus infinity hides a key; nothing can be added to NaN or infinity. */
static enum tfr_status check_additive(const struct tfr_forward_request *request, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!(request->mask[i] < INFINITY)) {
            return tfr_raise(TFR_USAGE, "attention_mask: element %lld is %g; give finite numbers, or -inf for a hidden key",
                             (long long)i, (double)request->mask[i]);
        }
    }
    return TFR_OK;
}

static enum tfr_status read_mask4(struct tfr_forward_request *request, const struct tfr_tensor *tensor) {
    const int64_t dim[] = {-1, -1, request->S, request->T};
    TFR_TRY(tfr_input_shape("attention_mask", tensor, 4, dim));
    request->mask_batch = tensor->dim[0];
    request->mask_heads = tensor->dim[1];
    if ((request->mask_batch != 1 && request->mask_batch != request->B) ||
        (request->mask_heads != 1 && request->mask_heads != request->model->n_head)) {
        return tfr_raise(
            TFR_USAGE,
            "attention_mask is for %lld rows and %lld heads; needs 1 or %lld rows, 1 or %lld heads",
            (long long)request->mask_batch, (long long)request->mask_heads, (long long)request->B,
            (long long)request->model->n_head);
    }
    const bool is_flag = tfr_input_is_integer(tensor->dtype) || tensor->dtype == TFR_DTYPE_BOOL ||
                         tensor->dtype == TFR_DTYPE_U8;
    if (!is_flag) {
        TFR_TRY(tfr_input_floats("attention_mask", tensor, &request->mask));
        return check_additive(request, tfr_tensor_count(tensor));
    }
    uint8_t *flags = NULL;
    enum tfr_status status = tfr_input_mask("attention_mask", tensor, &flags);
    const int64_t n = tfr_tensor_count(tensor);
    request->mask = status == TFR_OK ? tfr_alloc((size_t)n, sizeof(float)) : NULL;
    for (int64_t i = 0; i < n && request->mask != NULL; i++) {
        request->mask[i] = flags[i] ? 0.0f : TFR_HIDDEN;
    }
    tfr_free(flags);
    return status == TFR_OK && request->mask == NULL ? TFR_RESOURCE : status;
}

static void warn_padding(const struct tfr_forward_request *request) {
    const int32_t pad = request->model->pad_token_id;
    for (int64_t b = 0; b < request->B && request->ids != NULL && pad >= 0; b++) {
        if (request->ids[b * request->S] == pad || request->ids[(b + 1) * request->S - 1] == pad) {
            tfr_log(
                TFR_LOG_WARN, "forward",
                "row %lld begins or ends with pad_token_id %d and there is no attention_mask: the padding "
                "is attended to",
                (long long)b, pad);
            return;
        }
    }
}

static enum tfr_status read_mask(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "attention_mask");
    if (tensor == NULL) {
        warn_padding(request);
        return TFR_OK;
    }
    if (tensor->rank == 4) {
        return read_mask4(request, tensor);
    }
    if (request->has_prefix) {
        return tfr_forward_request_prefix_mask(request, tensor);
    }
    if (tensor->rank == 2 && request->P > 0 && tensor->dim[1] == request->S) {
        return tfr_raise(
            TFR_USAGE,
            "attention_mask covers %lld tokens, but %lld are cached and %lld are new; it must cover all %lld",
            (long long)request->S, (long long)request->P, (long long)request->S, (long long)request->T);
    }
    if (tensor->rank == 3 && request->choices > 0 && tensor->dim[0] * tensor->dim[1] == request->B &&
        tensor->dim[2] == request->T) {
        return tfr_input_mask("attention_mask", tensor, &request->key_mask);
    }
    const int64_t dim[] = {request->B, request->T};
    TFR_TRY(tfr_input_shape("attention_mask", tensor, 2, dim));
    return tfr_input_mask("attention_mask", tensor, &request->key_mask);
}

static enum tfr_status read_token_types(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "token_type_ids");
    if (tensor == NULL) {
        return TFR_OK;
    }
    TFR_TRY(tfr_forward_request_token_shape(request, "token_type_ids", tensor));
    return tfr_input_indices("token_type_ids", tensor, request->S, request->model->vocab_size, "vocab_size",
                             &request->token_types);
}

static enum tfr_status read_head_mask(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "head_mask");
    const int64_t L = request->model->n_layer, H = request->model->n_head;
    if (tensor == NULL) {
        return TFR_OK;
    }
    const int64_t dim[] = {L, H};
    TFR_TRY(
        tfr_input_shape("head_mask", tensor, tensor->rank == 1 ? 1 : 2, tensor->rank == 1 ? dim + 1 : dim));
    float *values = NULL;
    uint8_t *flags = NULL;
    const bool is_flag = tensor->dtype == TFR_DTYPE_BOOL || tensor->dtype == TFR_DTYPE_U8 ||
                         tfr_input_is_integer(tensor->dtype);
    TFR_TRY(is_flag ? tfr_input_mask("head_mask", tensor, &flags)
                    : tfr_input_floats("head_mask", tensor, &values));
    request->head_mask = tfr_alloc((size_t)(L * H), sizeof(float));
    for (int64_t i = 0; i < L * H && request->head_mask != NULL; i++) {
        const int64_t at = tensor->rank == 1 ? i % H : i;
        request->head_mask[i] = is_flag ? flags[at] : values[at];
    }
    tfr_free(values);
    tfr_free(flags);
    return request->head_mask != NULL ? TFR_OK : TFR_RESOURCE;
}

/* [B,E] hides positions for all queries, [B,S,E] for each on its own. */
static enum tfr_status read_encoder_mask(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "encoder_attention_mask");
    if (tensor == NULL) {
        return TFR_OK;
    }
    if (!request->has_cross) {
        return tfr_raise(TFR_USAGE, "encoder_attention_mask is given without encoder_hidden_states");
    }
    if (tensor->rank == 2) {
        const int64_t dim[] = {request->B, request->E};
        TFR_TRY(tfr_input_shape("encoder_attention_mask", tensor, 2, dim));
        return tfr_input_mask("encoder_attention_mask", tensor, &request->encoder_mask);
    }
    const int64_t dim[] = {request->B, request->S, request->E};
    TFR_TRY(tfr_input_shape("encoder_attention_mask", tensor, 3, dim));
    uint8_t *flags = NULL;
    enum tfr_status status = tfr_input_mask("encoder_attention_mask", tensor, &flags);
    const int64_t n = tfr_tensor_count(tensor);
    request->cross_mask = status == TFR_OK ? tfr_alloc((size_t)(n > 0 ? n : 1), sizeof(float)) : NULL;
    for (int64_t i = 0; i < n && request->cross_mask != NULL; i++) {
        request->cross_mask[i] = flags[i] ? 0.0f : TFR_HIDDEN;
    }
    tfr_free(flags);
    return status == TFR_OK && request->cross_mask == NULL ? TFR_RESOURCE : status;
}

static enum tfr_status read_encoder(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "encoder_hidden_states");
    if (tensor != NULL && !request->model->add_cross_attention) {
        return tfr_raise(
            TFR_USAGE,
            "encoder_hidden_states is given, but the model has no cross-attention (add_cross_attention)");
    }
    request->has_cross = tensor != NULL || request->has_cross_past;
    if (tensor != NULL) {
        const int64_t dim[] = {request->B, request->has_cross_past ? request->E : -1, request->model->n_embd};
        TFR_TRY(tfr_input_shape("encoder_hidden_states", tensor, 3, dim));
        request->E = tensor->dim[1];
        if (!request->has_cross_past) { /* else keys and values are there already */
            TFR_TRY(tfr_input_floats("encoder_hidden_states", tensor, &request->encoder));
        }
    }
    return read_encoder_mask(request);
}

enum tfr_status tfr_forward_request_open(struct tfr_forward_request *request) {
    TFR_TRY(check_names(request));
    TFR_TRY(tfr_forward_request_check_prefix(request));
    TFR_TRY(read_tokens(request));
    TFR_TRY(read_past(request));
    TFR_TRY(read_mask(request));
    TFR_TRY(read_token_types(request));
    TFR_TRY(tfr_forward_request_positions(request));
    TFR_TRY(read_head_mask(request));
    TFR_TRY(read_encoder(request));
    TFR_TRY(tfr_targets_open(request));
    return tfr_head_positions(request);
}

void tfr_forward_request_close(struct tfr_forward_request *request) {
    for (int64_t i = 0; request->past != NULL && i < 4 * request->model->n_layer; i++) {
        tfr_free(request->past[i]);
    }
    tfr_free(request->past);
    tfr_free(request->ids);
    tfr_free(request->token_types);
    tfr_free(request->positions);
    tfr_free(request->embeds);
    tfr_free(request->key_mask);
    tfr_free(request->mask);
    tfr_free(request->head_mask);
    tfr_free(request->encoder);
    tfr_free(request->encoder_mask);
    tfr_free(request->cross_mask);
    tfr_free(request->keep);
    tfr_targets_close(&request->targets);
}

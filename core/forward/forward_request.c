/* forward_request.c - named tensors to a checked request: every input honoured or refused by name
 * (docs/semantics.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "forward/forward.h"

enum { N_KINDS = 4 };
const struct tfr_tensor *tfr_input_find(const struct tfr_forward_request *request, const char *name) {
    for (size_t i = 0; i < request->n_inputs; i++) {
        if (strcmp(request->inputs[i].name, name) == 0) {
            return &request->inputs[i].tensor;
        }
    }
    return NULL;
}

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

/* Sizes that the sums and products below can't overflow with. A host program may give any numbers here, also of tensors that are
 * empty or read one place again and again (a stride of 0). */
static const int64_t most_elements = (int64_t)1 << 40, most_tokens = (int64_t)1 << 31;

static enum tfr_status check_shape(const char *name, const struct tfr_tensor *tensor) {
    if (tensor->rank < 0 || tensor->rank > TFR_MAX_RANK) {
        return tfr_raise(TFR_USAGE, "%s has %d dimensions; a tensor has 0 to %d", name, tensor->rank, TFR_MAX_RANK);
    }
    int64_t room = most_elements; /* what the product of the rest may be; a 0 takes nothing away */
    for (int i = 0; i < tensor->rank; i++) {
        const int64_t dim = tensor->dim[i];
        if (dim < 0 || dim > room) {
            char has[128];
            return tfr_raise(TFR_USAGE, "%s has shape %s, which no memory holds; %lld elements are the most", name,
                             tfr_shape_text(tensor->rank, tensor->dim, has, sizeof has), (long long)most_elements);
        }
        room /= dim > 0 ? dim : 1;
    }
    return TFR_OK;
}

/* A file has each name once; of a host program the second one would be passed over. */
static enum tfr_status check_once(const struct tfr_forward_request *request, size_t index) {
    for (size_t before = 0; before < index; before++) {
        if (strcmp(request->inputs[before].name, request->inputs[index].name) == 0) {
            return tfr_raise(TFR_USAGE, "%.200s is there twice, as inputs %zu and %zu; give it once", request->inputs[index].name,
                             before, index);
        }
    }
    return TFR_OK;
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
                             (long long)request->model->n_layer, near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                             near != NULL ? "?" : "");
        }
        TFR_TRY(check_once(request, i));
        TFR_TRY(check_shape(name, &request->inputs[i].tensor));
    }
    return TFR_OK;
}

static enum tfr_status check_sizes(const struct tfr_forward_request *request, const char *name) {
    if (request->B < 1 || request->S < 1) {
        return tfr_raise(TFR_USAGE, "%s is empty: %lld rows of %lld tokens; give at least one token", name, (long long)request->B,
                         (long long)request->S);
    }
    if (request->B > most_tokens / request->S) {
        return tfr_raise(TFR_USAGE, "%s has %lld rows of %lld tokens; %lld tokens in all are the most", name, (long long)request->B,
                         (long long)request->S, (long long)most_tokens);
    }
    return TFR_OK;
}

static enum tfr_status read_tokens(struct tfr_forward_request *request) {
    const struct tfr_tensor *ids = tfr_input_find(request, "input_ids"), *embeds = tfr_input_find(request, "inputs_embeds");
    if ((ids == NULL) == (embeds == NULL)) {
        return tfr_raise(TFR_USAGE, ids == NULL ? "neither input_ids nor inputs_embeds is given; give one of them"
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
    const bool takes_choices = request->head == TFR_HEAD_LM || request->head == TFR_HEAD_DOUBLE || request->head == TFR_HEAD_NONE;
    if (ids->rank < 1 || ids->rank > (takes_choices ? 3 : 2)) {
        char has[96];
        return tfr_raise(TFR_USAGE, "input_ids has shape %s, needs [B, S]%s", tfr_shape_text(ids->rank, ids->dim, has, sizeof has),
                         takes_choices ? " or [B, choices, S]" : "");
    }
    request->S = ids->dim[ids->rank - 1];
    request->choices = ids->rank == 3 ? ids->dim[1] : 0;
    request->B = ids->rank == 1 ? 1 : ids->rank == 2 ? ids->dim[0] : ids->dim[0] * ids->dim[1];
    TFR_TRY(check_sizes(request, "input_ids"));
    return tfr_input_indices("input_ids", ids, request->S, request->model->vocab_size, "vocab_size", &request->ids);
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
        return tensor == NULL && !is_wanted ? TFR_OK
                                            : tfr_raise(TFR_USAGE,
                                                        "past_key_values is incomplete: %s is %s, past_key_values.0.%s is %s; give "
                                                        "key and value "
                                                        "of every block",
                                                        name, tensor != NULL ? "given" : "missing", is_cross ? "cross_key" : "key",
                                                        is_wanted ? "given" : "missing");
    }
    const int64_t length = is_cross ? request->E : request->P;
    const int64_t dim[] = {request->B, model->n_head, length, model->n_embd / model->n_head};
    const bool is_shared = is_cross && tensor->rank == 4 && tensor->dim[0] == 1; /* one row of encoder states for all */
    const int64_t from[] = {is_shared ? 1 : dim[0], dim[1], dim[2], dim[3]};
    TFR_TRY(tfr_input_shape(name, tensor, 4, from));
    float **past = &request->past[4 * layer + kind];
    TFR_TRY(tfr_input_floats(name, tensor, past));
    *past = tfr_input_repeat(*past, sizeof **past, 4, from, dim);
    return *past != NULL ? TFR_OK : TFR_RESOURCE;
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

static enum tfr_status read_token_types(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "token_type_ids");
    if (tensor == NULL) {
        return TFR_OK;
    }
    bool is_shared;
    TFR_TRY(tfr_forward_request_token_shape(request, "token_type_ids", tensor, &is_shared));
    TFR_TRY(
        tfr_input_indices("token_type_ids", tensor, request->S, request->model->vocab_size, "vocab_size", &request->token_types));
    const int64_t from[] = {is_shared ? 1 : request->B, request->S}, to[] = {request->B, request->S};
    request->token_types = tfr_input_repeat(request->token_types, sizeof *request->token_types, 2, from, to);
    return request->token_types != NULL ? TFR_OK : TFR_RESOURCE;
}

static enum tfr_status read_encoder(struct tfr_forward_request *request) {
    const struct tfr_tensor *tensor = tfr_input_find(request, "encoder_hidden_states");
    if (tensor != NULL && !request->model->add_cross_attention) {
        return tfr_raise(TFR_USAGE, "encoder_hidden_states is given, but the model has no cross-attention (add_cross_attention)");
    }
    request->has_cross = tensor != NULL || request->has_cross_past;
    if (tensor == NULL) {
        return TFR_OK;
    }
    const int64_t C = request->model->n_embd, any[] = {request->B, request->has_cross_past ? request->E : -1, C};
    const int64_t E = tensor->rank == 3 ? tensor->dim[1] : 0, to[] = {request->B, E, C};
    int64_t from[3];
    if (tensor->rank != 3 || (request->has_cross_past && E != request->E)) {
        return tfr_input_shape("encoder_hidden_states", tensor, 3, any);
    }
    if (tfr_input_broadcast("encoder_hidden_states", tensor, 3, to, from) != TFR_OK || from[2] != C) {
        return tfr_input_shape("encoder_hidden_states", tensor, 3, any);
    }
    request->E = E;
    if (request->has_cross_past) { /* keys and values are there already */
        return TFR_OK;
    }
    if (E < 1) {
        return tfr_raise(TFR_USAGE, "encoder_hidden_states is empty: %lld rows of 0 positions; give at least one position",
                         (long long)tensor->dim[0]);
    }
    TFR_TRY(tfr_input_floats("encoder_hidden_states", tensor, &request->encoder));
    request->encoder = tfr_input_repeat(request->encoder, sizeof *request->encoder, 3, from, to);
    return request->encoder != NULL ? TFR_OK : TFR_RESOURCE;
}

enum tfr_status tfr_forward_request_open(struct tfr_forward_request *request) {
    TFR_TRY(check_names(request));
    TFR_TRY(tfr_forward_request_check_prefix(request));
    TFR_TRY(read_tokens(request));
    TFR_TRY(read_past(request));
    TFR_TRY(tfr_forward_request_mask(request));
    TFR_TRY(read_token_types(request));
    TFR_TRY(tfr_forward_request_positions(request));
    TFR_TRY(tfr_forward_request_head_mask(request));
    TFR_TRY(read_encoder(request));
    TFR_TRY(tfr_forward_request_encoder_mask(request));
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

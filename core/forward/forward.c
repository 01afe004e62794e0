/* forward.c - tfr_forward: one forward pass in order. See forward.h for the parts. */
#include "forward/forward.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

int tfr_forward_head(const struct tfr_engine *engine) {
    static const enum tfr_param params[] = {
        [TFR_HEAD_SEQUENCE] = TFR_PARAM_SCORE, [TFR_HEAD_TOKEN] = TFR_PARAM_CLASSIFIER_WEIGHT, [TFR_HEAD_QA] = TFR_PARAM_QA_WEIGHT};
    const int head = engine->config->model.head;
    const bool is_optional = head == TFR_HEAD_SEQUENCE || head == TFR_HEAD_TOKEN || head == TFR_HEAD_QA;
    return is_optional && tfr_model_param(engine->model, params[head], 0) == NULL ? TFR_HEAD_NONE : head;
}

/* Arrays of tensors named "prefix.0", "prefix.1", ... */
static enum tfr_status add_series(struct tfr_forward_reply *reply, const char *prefix, int64_t n, int rank, const int64_t *dim,
                                  float ***series) {
    *series = tfr_alloc((size_t)n, sizeof **series);
    if (*series == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%lld", prefix, (long long)i);
        TFR_TRY(tfr_reply_add(reply, name, rank, dim, &(*series)[i]));
    }
    return TFR_OK;
}

static enum tfr_status add_past(const struct tfr_forward_request *request, struct tfr_forward_reply *reply, float ***past) {
    static const char *const kinds[] = {"key", "value", "cross_key", "cross_value"};
    const struct tfr_hparams *model = request->model;
    *past = tfr_alloc((size_t)(4 * model->n_layer), sizeof **past);
    if (*past == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < 4 * model->n_layer; i++) {
        const bool is_cross = i % 4 >= 2;
        const int64_t dim[] = {request->B, model->n_head, is_cross ? request->E : request->T, model->n_embd / model->n_head};
        char name[64];
        snprintf(name, sizeof name, "past_key_values.%lld.%s", (long long)(i / 4), kinds[i % 4]);
        if (!is_cross || request->has_cross) {
            TFR_TRY(tfr_reply_add(reply, name, 4, dim, &(*past)[i]));
        }
    }
    return TFR_OK;
}

/* Logits stand in the reply, but for question answering, whose two columns are taken apart afterwards. */
static enum tfr_status add_logits(const struct tfr_forward_request *request, struct tfr_forward_reply *reply,
                                  struct tfr_result *result) {
    int64_t dim[TFR_MAX_RANK] = {request->B};
    int rank = 1;
    result->width = tfr_head_width(request);
    if (request->head == TFR_HEAD_NONE || request->head == TFR_HEAD_QA) {
        const int64_t n = request->B * request->n_keep * result->width;
        result->logits = tfr_alloc((size_t)(n > 0 ? n : 1), sizeof(float));
        return result->logits != NULL ? TFR_OK : TFR_RESOURCE;
    }
    if (request->choices > 0) {
        dim[0] = request->B / request->choices;
        dim[rank++] = request->choices;
    }
    if (request->head != TFR_HEAD_SEQUENCE) {
        dim[rank++] = request->n_keep;
    }
    dim[rank++] = result->width;
    return tfr_reply_add(reply, "logits", rank, dim, &result->logits);
}

/* last_hidden_state is an output of the bare model and the input of the summary of GPT2DoubleHeadsModel. */
static enum tfr_status add_last_hidden(const struct tfr_forward_request *request, struct tfr_forward_reply *reply,
                                       struct tfr_result *result) {
    const int64_t B = request->B, S = request->S, C = request->model->n_embd;
    if (request->head == TFR_HEAD_NONE) {
        int64_t dim[TFR_MAX_RANK] = {B, S, C};
        const int64_t deep[] = {request->choices > 0 ? B / request->choices : 0, request->choices, S, C};
        const bool is_deep = request->choices > 0;
        return tfr_reply_add(reply, "last_hidden_state", is_deep ? 4 : 3, is_deep ? deep : dim, &result->last_hidden);
    }
    if (request->head == TFR_HEAD_DOUBLE) {
        result->last_hidden = tfr_alloc((size_t)(B * S * C), sizeof(float));
        return result->last_hidden != NULL ? TFR_OK : TFR_RESOURCE;
    }
    return TFR_OK;
}

/* With all hidden states asked for, the last of them is written instead; copied where both are wanted. */
static void share_last_hidden(const struct tfr_forward_request *request, const struct tfr_result *result) {
    if (result->hidden != NULL && result->last_hidden != NULL) {
        memcpy(result->last_hidden, result->hidden[request->model->n_layer],
               (size_t)(request->B * request->S * request->model->n_embd) * sizeof(float));
    }
}

static enum tfr_status open_result(const struct tfr_forward_request *request, struct tfr_forward_reply *reply,
                                   struct tfr_result *result) {
    const struct tfr_hparams *model = request->model;
    const int64_t hidden[] = {request->B, request->S, model->n_embd};
    const int64_t weights[] = {request->B, model->n_head, request->S, request->T};
    const int64_t cross[] = {request->B, model->n_head, request->S, request->E};
    TFR_TRY(add_logits(request, reply, result));
    TFR_TRY(add_last_hidden(request, reply, result));
    if (request->options.use_cache) {
        TFR_TRY(add_past(request, reply, &result->past));
    }
    if (request->options.output_hidden_states) {
        TFR_TRY(add_series(reply, "hidden_states", model->n_layer + 1, 3, hidden, &result->hidden));
    }
    if (request->options.output_attentions) {
        TFR_TRY(add_series(reply, "attentions", model->n_layer, 4, weights, &result->weights));
        if (request->has_cross) {
            TFR_TRY(add_series(reply, "cross_attentions", model->n_layer, 4, cross, &result->cross));
        }
    }
    return TFR_OK;
}

/* What the reply does not own. */
static void close_result(const struct tfr_forward_request *request, struct tfr_result *result) {
    if (request->head == TFR_HEAD_NONE || request->head == TFR_HEAD_QA) {
        tfr_free(result->logits);
    }
    if (request->head == TFR_HEAD_DOUBLE) {
        tfr_free(result->last_hidden);
    }
    tfr_free(result->past);
    tfr_free(result->hidden);
    tfr_free(result->weights);
    tfr_free(result->cross);
}

static enum tfr_status run_slots(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                                 int64_t b0, int64_t n, const struct tfr_result *result) {
    TFR_TRY(tfr_caches_load(request, plan, slot, b0, n));
    TFR_TRY(tfr_caches_encode(request, plan, slot, b0, n));
    TFR_TRY(tfr_rows_run(request, plan, slot, b0, n, result));
    return result->past != NULL ? tfr_caches_store(request, plan, slot, b0, n, result->past) : TFR_OK;
}

/* As many sequences at a time as there are slots that no session holds. */
static enum tfr_status run_group(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, int32_t *slot,
                                 int64_t b0, int64_t n, const struct tfr_result *result) {
    int64_t opened = 0;
    enum tfr_status status = TFR_OK;
    while (opened < n && status == TFR_OK) {
        const int64_t keys = plan->n_keys[b0 + opened];
        status =
            tfr_engine_open_slot(request->engine, tfr_rows_replica(request, result, opened, n), keys > 0 ? keys : 1, &slot[opened]);
        opened += status == TFR_OK;
    }
    if (status == TFR_OK) {
        status = run_slots(request, plan, slot, b0, n, result);
    }
    while (opened > 0) {
        tfr_engine_close_slot(request->engine, slot[--opened]);
    }
    return status;
}

static enum tfr_status run_groups(const struct tfr_forward_request *request, const struct tfr_result *result) {
    struct tfr_row_plan plan;
    const int64_t free_slots = tfr_engine_free_slots(request->engine), most = free_slots > 0 ? free_slots : 1;
    int32_t *slot = tfr_alloc((size_t)most, sizeof *slot);
    enum tfr_status status = tfr_row_plan_open(&plan, request);
    if (slot == NULL) {
        status = TFR_RESOURCE;
    }
    for (int64_t b = 0; b < request->B && status == TFR_OK; b++) { /* all of them, before any is computed */
        status = tfr_engine_check_capacity(request->engine, plan.n_past[b], plan.n_keys[b] - plan.n_past[b]);
    }
    for (int64_t b = 0; b < request->B && status == TFR_OK; b += most) {
        status = run_group(request, &plan, slot, b, request->B - b < most ? request->B - b : most, result);
    }
    tfr_row_plan_close(&plan);
    tfr_steps_trim(request->engine);
    tfr_free(slot);
    return status;
}

static enum tfr_status answer(const struct tfr_forward_request *request, struct tfr_forward_reply *reply) {
    struct tfr_result result = {0};
    enum tfr_status status = open_result(request, reply, &result);
    if (status == TFR_OK) {
        status = run_groups(request, &result);
    }
    if (status == TFR_OK) {
        share_last_hidden(request, &result);
        status = tfr_head_finish(request, &result, reply);
    }
    close_result(request, &result);
    return status;
}

static void settle_switch(int *asked, bool by_config) {
    *asked = *asked == TFR_SWITCH_CONFIG ? by_config : *asked > 0;
}

static enum tfr_status check_options(const struct tfr_forward_options *options) {
    if (options->attn < TFR_ATTN_AUTO || options->attn > TFR_ATTN_FUSED) {
        return tfr_raise(TFR_USAGE, "attn = %d is none of enum tfr_attention", options->attn);
    }
    const enum tfr_dtype dtype = options->out_dtype;
    if (dtype != TFR_DTYPE_F32 && dtype != TFR_DTYPE_F16 && dtype != TFR_DTYPE_BF16) {
        return tfr_raise(TFR_USAGE, "out_dtype = %d is none of TFR_DTYPE_F32, TFR_DTYPE_F16 and TFR_DTYPE_BF16", (int)dtype);
    }
    return TFR_OK;
}

enum tfr_status tfr_forward(struct tfr_engine *engine, const struct tfr_named_tensor *inputs, size_t n_inputs,
                            const struct tfr_forward_options *options, struct tfr_forward_reply **reply) {
    struct tfr_forward_request request = {.engine = engine,
                                          .model = &engine->config->model,
                                          .inputs = inputs,
                                          .n_inputs = n_inputs,
                                          .options = *options,
                                          .head = tfr_forward_head(engine)};
    const struct tfr_hparams *model = request.model;
    *reply = NULL;
    TFR_TRY(check_options(options));
    settle_switch(&request.options.use_cache, model->use_cache);
    settle_switch(&request.options.output_attentions, model->output_attentions);
    settle_switch(&request.options.output_hidden_states, model->output_hidden_states);
    *reply = tfr_alloc(1, sizeof **reply);
    if (*reply == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = tfr_forward_request_open(&request);
    if (status == TFR_OK) {
        status = answer(&request, *reply);
    }
    if (status == TFR_OK) {
        tfr_reply_narrow(*reply, options->out_dtype);
    }
    tfr_forward_request_close(&request);
    if (status == TFR_CANCELLED) {
        tfr_engine_clear_cancel();
    }
    if (status != TFR_OK) {
        tfr_forward_reply_close(*reply);
        *reply = NULL;
    }
    return status;
}

/* embedding.c - POST /v1/embeddings: for each input the mean of its tokens' final hidden states, of length 1. One input at a time
 * on the engine's thread, so that others make steps in between. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/http/ask_prompts.h"
#include "app/http/body.h"
#include "app/http/engine_task.h"
#include "app/http/field_tables.h"
#include "app/http/reply.h"
#include "app/http/route.h"
#include "base/arena.h"

struct embedding {
    struct tfr_engine_task task; /* first */
    struct tfr_ask_prompts prompts;
    size_t at;     /* the input under work */
    float *vector; /* [width] of that; NULL until made */
    size_t width;
    bool base64;
    struct tfr_json_out out; /* the answer, as far as it is known */
};

static void free_embedding(struct tfr_engine_task *task) {
    struct embedding *embedding = (struct embedding *)task;
    free(embedding->vector);
    tfr_free(embedding->out.text);
    tfr_ask_prompts_free(&embedding->prompts);
    free(embedding);
}

/* The states behind the last layer norm: the last of the series. */
static const struct tfr_tensor *final_states(const struct tfr_forward_reply *reply) {
    static const char series[] = "hidden_states.";
    const struct tfr_tensor *found = NULL;
    long last = -1;
    for (size_t i = 0; i < tfr_forward_reply_count(reply); i++) {
        const struct tfr_named_tensor *item = tfr_forward_reply_at(reply, i);
        const long layer =
            strncmp(item->name, series, sizeof series - 1) == 0 ? strtol(item->name + sizeof series - 1, NULL, 10) : -1;
        if (layer > last) {
            last = layer;
            found = &item->tensor;
        }
    }
    return found;
}

/* Sums in double, in order: the same bits every time. */
static bool pool(struct embedding *embedding, const struct tfr_tensor *states) {
    const size_t n = (size_t)states->dim[1], width = (size_t)states->dim[2];
    const float *data = states->data;
    double *sums = calloc(width, sizeof *sums), square = 0;
    float *vector = malloc(width * sizeof *vector);
    for (size_t i = 0; sums != NULL && i < n * width; i++) {
        sums[i % width] += data[i];
    }
    for (size_t k = 0; sums != NULL && k < width; k++) {
        square += sums[k] * sums[k];
    }
    for (size_t k = 0; sums != NULL && vector != NULL && k < width; k++) {
        vector[k] = square == 0 ? 0 : (float)(sums[k] / sqrt(square)); /* NaN stays one */
    }
    const bool made = sums != NULL && vector != NULL;
    free(sums);
    embedding->vector = vector; /* freed with the rest */
    embedding->width = width;
    return made;
}

static void run_embedding(struct tfr_engine *engine, struct tfr_engine_task *task) {
    struct embedding *embedding = (struct embedding *)task;
    const struct tfr_ask_prompt *prompt = &embedding->prompts.list[embedding->at];
    const struct tfr_named_tensor input = {"input_ids",
                                           {.data = prompt->ids,
                                            .dtype = TFR_DTYPE_I32,
                                            .rank = 2,
                                            .dim = {1, (int64_t)prompt->n},
                                            .stride = {(int64_t)prompt->n, 1}}};
    /* logits are wanted of nobody, but only this class computes fewer */
    const bool is_lm = strcmp(tfr_engine_class(engine), "GPT2LMHeadModel") == 0;
    const struct tfr_forward_options options = {.use_cache = TFR_SWITCH_OFF,
                                                .output_attentions = TFR_SWITCH_OFF,
                                                .output_hidden_states = TFR_SWITCH_ON,
                                                .logits_to_keep = is_lm ? 1 : 0,
                                                .out_dtype = TFR_DTYPE_F32};
    struct tfr_forward_reply *reply = NULL;
    tfr_engine_task_end(task, tfr_forward(engine, &input, 1, &options, &reply));
    if (task->status != TFR_OK) {
        return;
    }
    const struct tfr_tensor *states = final_states(reply);
    if (states == NULL || !pool(embedding, states)) {
        task->status = states == NULL ? TFR_RUNTIME : TFR_RESOURCE;
        snprintf(task->error, sizeof task->error, "%s", states == NULL ? "no hidden states came" : "no memory for an embedding");
    }
    tfr_forward_reply_close(reply);
}

/* As a machine with the low byte first has them in memory. */
static void put_base64(struct tfr_json_out *out, const float *vector, size_t width) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t size = width * 4;
    char four[5] = "";
    tfr_json_put_key(out, "embedding", sizeof "embedding" - 1);
    tfr_json_put_raw(out, "\"");
    for (size_t at = 0; at < size; at += 3) {
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++) {
            uint32_t word = 0;
            memcpy(&word, &vector[(at + i < size ? at + i : 0) / 4], sizeof word);
            bits = bits << 8 | (at + i < size ? word >> (at + i) % 4 * 8 & 0xff : 0);
        }
        for (size_t i = 0; i < 4; i++) {
            four[i] = at + i > size ? '=' : digits[bits >> (18 - 6 * i) & 63];
        }
        tfr_json_put_raw(out, four);
    }
    tfr_json_put_raw(out, "\"");
    out->comma = true;
}

/* Of the input that was computed, which is freed. */
static void put_vector(struct embedding *embedding) {
    struct tfr_json_out *out = &embedding->out;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "object", "embedding");
    tfr_json_put_int(out, "index", (int64_t)embedding->at);
    if (embedding->base64) {
        put_base64(out, embedding->vector, embedding->width);
    } else {
        tfr_json_begin(out, "embedding", '[');
        for (size_t k = 0; k < embedding->width; k++) {
            tfr_json_put_number(out, NULL, (double)embedding->vector[k]);
        }
        tfr_json_end(out, ']');
    }
    tfr_json_end(out, '}');
    free(embedding->vector);
    embedding->vector = NULL;
}

static void put_head(struct tfr_json_out *out) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "object", "list");
    tfr_json_begin(out, "data", '[');
}

static bool is_finite(const struct embedding *embedding) {
    bool finite = true;
    for (size_t k = 0; k < embedding->width; k++) {
        finite &= isfinite(embedding->vector[k]) != 0;
    }
    return finite;
}

static void reply_vectors(struct embedding *embedding) {
    struct tfr_json_out *out = &embedding->out;
    tfr_json_end(out, ']');
    tfr_json_put_text(out, "model", embedding->task.server->model);
    tfr_engine_task_reply(&embedding->task, out);
}

/* Each vector is written when it is there, so that no turn of the network thread has to write them all. */
static void embedding_done(struct tfr_engine_task *task) {
    struct embedding *embedding = (struct embedding *)task;
    if (task->status == TFR_OK && !is_finite(embedding)) {
        task->status = TFR_CHECK;
        snprintf(task->error, sizeof task->error,
                 "the hidden states of input %zu hold NaN or infinity; look for it in the weights with --check-weights",
                 embedding->at);
    }
    if (task->status != TFR_OK) {
        tfr_engine_task_fail(task);
        return;
    }
    task->server->metrics.inputs++;
    if (embedding->at == 0) {
        put_head(&embedding->out);
    }
    put_vector(embedding);
    if (++embedding->at < embedding->prompts.n && tfr_reply_goes_on(task->call, &embedding->out)) {
        tfr_engine_task_post(task);
    } else {
        reply_vectors(embedding);
    }
}

static bool read_body(struct embedding *embedding, const struct tfr_body *body, struct tfr_refusal *refusal) {
    struct tfr_call *call = embedding->task.call;
    const struct tfr_field_value *format = &body->values[TFR_EMBEDDING_encoding_format];
    const char *word = format->given ? tfr_json_string(format->node) : "float";
    embedding->base64 = strcmp(word, "base64") == 0;
    if (!embedding->base64 && strcmp(word, "float") != 0) {
        return tfr_refuse(refusal, TFR_ERROR_INVALID, "encoding_format", "encoding_format = %.40s is neither float nor base64",
                          word);
    }
    return tfr_engine_task_has_place(call->server, refusal) &&
           tfr_ask_prompts_read_input(&embedding->prompts, call, body->doc, body->values[TFR_EMBEDDING_input].node, refusal);
}

void tfr_route_embeddings(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_call *call = tfr_call_of(x);
    struct tfr_refusal refusal;
    struct tfr_body body;
    (void)server;
    if (!tfr_body_read(&body, call, tfr_embedding_fields, TFR_N_EMBEDDING_FIELDS)) {
        return;
    }
    struct embedding *embedding = calloc(1, sizeof *embedding);
    bool good = embedding != NULL || tfr_refuse(&refusal, TFR_ERROR_NO_MEMORY, NULL, "there is no memory for this now");
    if (good) {
        embedding->task =
            (struct tfr_engine_task){.call = call, .run = run_embedding, .done = embedding_done, .free = free_embedding};
        good = read_body(embedding, &body, &refusal);
    }
    tfr_body_close(&body);
    if (good) {
        tfr_engine_task_start(&embedding->task);
        return;
    }
    tfr_engine_task_reply_refusal(x, &refusal);
    if (embedding != NULL) {
        free_embedding(&embedding->task);
    }
}

/* classify_route.c - POST /classify: labels of texts by a classification head. */
#include <stdlib.h>
#include <string.h>

#include "app/http/ask_prompts.h"
#include "app/http/body.h"
#include "app/http/engine_task.h"
#include "app/http/field_tables.h"
#include "app/http/reply.h"
#include "app/http/route.h"

struct classify {
    struct tfr_engine_task task; /* first */
    struct tfr_ask_prompts prompts;
    size_t at;                          /* the input under work */
    struct tfr_classification *results; /* [prompts.n] */
};

static void free_classify(struct tfr_engine_task *task) {
    struct classify *classify = (struct classify *)task;
    for (size_t i = 0; classify->results != NULL && i < classify->prompts.n; i++) {
        tfr_classification_free(&classify->results[i]);
    }
    free(classify->results);
    tfr_ask_prompts_free(&classify->prompts);
    free(classify);
}

static void run_classify(struct tfr_engine *engine, struct tfr_engine_task *task) {
    struct classify *classify = (struct classify *)task;
    const struct tfr_ask_prompt *given = &classify->prompts.list[classify->at];
    const struct tfr_prompt prompt = {.ids = given->ids, .n_ids = given->n};
    tfr_engine_task_end(task, tfr_classify(engine, &prompt, 1, &classify->results[classify->at]));
}

/* A row's scores stand best first; clients want them by label: the probabilities, or the names that these are of. */
static void put_by_label(struct tfr_json_out *out, const char *key, const struct tfr_label_score *scores, size_t n, bool names) {
    tfr_json_begin(out, key, '[');
    for (size_t label = 0; label < n; label++) {
        for (size_t i = 0; i < n; i++) {
            if (scores[i].label == (int32_t)label && names) {
                tfr_json_put_text(out, NULL, scores[i].name);
            } else if (scores[i].label == (int32_t)label) {
                tfr_json_put_number(out, NULL, scores[i].score);
            }
        }
    }
    tfr_json_end(out, ']');
}

static void put_row(struct tfr_json_out *out, const struct tfr_label_score *scores, size_t n) {
    tfr_json_put_text(out, "label", scores[0].name);
    put_by_label(out, "probs", scores, n, false);
    tfr_json_put_int(out, "num_classes", (int64_t)n);
}

static void put_result(struct tfr_json_out *out, const struct tfr_classification *result, size_t index) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "index", (int64_t)index);
    if (!result->is_per_token) {
        put_row(out, result->scores, result->n_labels);
    } else {
        tfr_json_begin(out, "tokens", '[');
        for (size_t row = 0; row < result->n_rows; row++) {
            tfr_json_begin(out, NULL, '{');
            tfr_json_put_int(out, "token", result->ids[row]);
            put_row(out, result->scores + row * result->n_labels, result->n_labels);
            tfr_json_end(out, '}');
        }
        tfr_json_end(out, ']');
    }
    tfr_json_end(out, '}');
}

static void put_answer(struct tfr_json_out *out, const struct classify *classify, const struct tfr_call *call) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "object", "list");
    tfr_json_put_text(out, "model", call->server->model);
    put_by_label(out, "labels", classify->results[0].scores, classify->results[0].n_labels, true);
    tfr_json_begin(out, "data", '[');
    for (size_t i = 0; i < classify->prompts.n; i++) {
        put_result(out, &classify->results[i], i);
    }
    tfr_json_end(out, ']');
    tfr_json_begin(out, "usage", '{');
    tfr_json_put_int(out, "prompt_tokens", (int64_t)call->prompt_tokens);
    tfr_json_put_int(out, "total_tokens", (int64_t)call->prompt_tokens);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

static void classify_done(struct tfr_engine_task *task) {
    struct classify *classify = (struct classify *)task;
    struct tfr_json_out out = {0};
    if (task->status != TFR_OK) {
        tfr_engine_task_fail(task);
    } else if (++classify->at < classify->prompts.n) {
        tfr_engine_task_post(task);
    } else {
        struct tfr_call *call = tfr_engine_task_take(task);
        put_answer(&out, classify, call);
        tfr_reply_json(call->exchange, 200, &out);
        free_classify(task);
    }
}

static bool check_head(const struct tfr_server *server, struct tfr_refusal *refusal) {
    const char *class = tfr_engine_class(server->engine);
    return strcmp(class, "GPT2ForSequenceClassification") == 0 || strcmp(class, "GPT2ForTokenClassification") == 0 ||
           tfr_refuse(refusal, TFR_ERROR_INVALID, NULL,
                      "this model is a %s, which gives no labels; /classify needs a GPT2ForSequenceClassification or "
                      "GPT2ForTokenClassification",
                      class);
}

void tfr_route_classify(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_call *call = tfr_call_of(x);
    struct tfr_refusal refusal;
    struct tfr_body body;
    if (!tfr_body_read(&body, call, tfr_classify_fields, TFR_N_CLASSIFY_FIELDS)) {
        return;
    }
    struct classify *classify = calloc(1, sizeof *classify);
    bool good = classify != NULL || tfr_refuse(&refusal, TFR_ERROR_NO_MEMORY, NULL, "there is no memory for this now");
    if (good) {
        classify->task = (struct tfr_engine_task){.call = call, .run = run_classify, .done = classify_done, .free = free_classify};
        good = check_head(server, &refusal) &&
               tfr_ask_prompts_read_input(&classify->prompts, call, body.doc, body.values[TFR_CLASSIFY_input].node, &refusal);
    }
    if (good) {
        classify->results = calloc(classify->prompts.n, sizeof *classify->results);
        good = classify->results != NULL || tfr_refuse(&refusal, TFR_ERROR_NO_MEMORY, NULL, "there is no memory for this now");
    }
    tfr_body_close(&body);
    if (good) {
        tfr_engine_task_start(&classify->task);
        return;
    }
    tfr_reply_refusal(x, &refusal, NULL, 0);
    if (classify != NULL) {
        free_classify(&classify->task);
    }
}

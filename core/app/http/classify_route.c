/* classify_route.c - POST /classify: labels of texts by a classification head. */
#include <stdlib.h>
#include <string.h>

#include "app/http/ask_prompts.h"
#include "app/http/body.h"
#include "app/http/engine_task.h"
#include "app/http/field_tables.h"
#include "app/http/reply.h"
#include "app/http/route.h"
#include "base/arena.h"

struct classify {
    struct tfr_engine_task task; /* first */
    struct tfr_ask_prompts prompts;
    size_t at; /* the input under work */
    struct tfr_classification result;
    size_t *places;          /* [n_labels] of one row: where it has them */
    struct tfr_json_out out; /* the answer, as far as it is known */
};

static void free_classify(struct tfr_engine_task *task) {
    struct classify *classify = (struct classify *)task;
    tfr_classification_free(&classify->result);
    free(classify->places);
    tfr_free(classify->out.text);
    tfr_ask_prompts_free(&classify->prompts);
    free(classify);
}

static void run_classify(struct tfr_engine *engine, struct tfr_engine_task *task) {
    struct classify *classify = (struct classify *)task;
    const struct tfr_ask_prompt *given = &classify->prompts.list[classify->at];
    const struct tfr_prompt prompt = {.ids = given->ids, .n_ids = given->n};
    tfr_engine_task_end(task, tfr_classify(engine, &prompt, 1, &classify->result));
}

/* A row's scores stand best first; clients want them by label: the probabilities, or the names that these are of. */
static void put_by_label(struct classify *classify, const char *key, const struct tfr_label_score *scores, bool names) {
    const size_t n = classify->result.n_labels;
    struct tfr_json_out *out = &classify->out;
    for (size_t i = 0; i < n; i++) {
        classify->places[scores[i].label] = i;
    }
    tfr_json_begin(out, key, '[');
    for (size_t label = 0; label < n; label++) {
        const struct tfr_label_score *score = &scores[classify->places[label]];
        if (names) {
            tfr_json_put_text(out, NULL, score->name);
        } else {
            tfr_json_put_number(out, NULL, score->score);
        }
    }
    tfr_json_end(out, ']');
}

static void put_row(struct classify *classify, const struct tfr_label_score *scores) {
    tfr_json_put_text(&classify->out, "label", scores[0].name);
    put_by_label(classify, "probs", scores, false);
    tfr_json_put_int(&classify->out, "num_classes", (int64_t)classify->result.n_labels);
}

static void put_head(struct classify *classify) {
    struct tfr_json_out *out = &classify->out;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "object", "list");
    tfr_json_put_text(out, "model", classify->task.call->server->model);
    put_by_label(classify, "labels", classify->result.scores, true);
    tfr_json_begin(out, "data", '[');
}

/* What is too long is not written to its end. */
static void put_tokens(struct classify *classify) {
    const struct tfr_classification *result = &classify->result;
    struct tfr_json_out *out = &classify->out;
    tfr_json_begin(out, "tokens", '[');
    for (size_t row = 0; row < result->n_rows && tfr_reply_goes_on(classify->task.call, out); row++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int(out, "token", result->ids[row]);
        put_row(classify, result->scores + row * result->n_labels);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
}

/* Of the input that was computed, which is freed: a list of answers takes no memory but for its text. */
static void put_result(struct classify *classify) {
    struct tfr_json_out *out = &classify->out;
    if (classify->at == 0) {
        classify->places = calloc(classify->result.n_labels, sizeof *classify->places);
        out->failed = classify->places == NULL;
    }
    if (out->failed) {
        return;
    }
    if (classify->at == 0) {
        put_head(classify);
    }
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "index", (int64_t)classify->at);
    if (classify->result.is_per_token) {
        put_tokens(classify);
    } else {
        put_row(classify, classify->result.scores);
    }
    tfr_json_end(out, '}');
    tfr_classification_free(&classify->result);
}

static void classify_done(struct tfr_engine_task *task) {
    struct classify *classify = (struct classify *)task;
    if (task->status != TFR_OK) {
        tfr_engine_task_fail(task);
        return;
    }
    task->server->metrics.inputs++;
    put_result(classify);
    if (++classify->at < classify->prompts.n && tfr_reply_goes_on(task->call, &classify->out)) {
        tfr_engine_task_post(task);
        return;
    }
    tfr_json_end(&classify->out, ']');
    tfr_engine_task_reply(task, &classify->out);
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
        good = check_head(server, &refusal) && tfr_engine_task_has_place(server, &refusal) &&
               tfr_ask_prompts_read_input(&classify->prompts, call, body.doc, body.values[TFR_CLASSIFY_input].node, &refusal);
    }
    tfr_body_close(&body);
    if (good) {
        tfr_engine_task_start(&classify->task);
        return;
    }
    tfr_engine_task_reply_refusal(x, &refusal);
    if (classify != NULL) {
        free_classify(&classify->task);
    }
}

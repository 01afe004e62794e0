/* classify.c - labels of texts: tfr_forward on groups of max_batch texts, padded on the right and masked, so
 * that a text's result does not depend on its company. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "forward/forward.h"
#include "session/encoder.h"
#include "session/prompt_ids.h"

static enum tfr_status check_head(const struct tfr_engine *engine) {
    const int head = tfr_forward_head(engine);
    if (head != TFR_HEAD_SEQUENCE && head != TFR_HEAD_TOKEN) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: the head of this model gives no labels; classify needs architectures "
                         "[\"GPT2ForSequenceClassification\"] or [\"GPT2ForTokenClassification\"], `tfrun "
                         "forward` runs the others",
                         engine->config->path);
    }
    return tfr_encoder_refuse_file(engine, "classify");
}

static enum tfr_status truncate_text(const struct tfr_engine *engine, size_t index, struct tfr_ids *ids) {
    const size_t limit = (size_t)tfr_engine_n_positions(engine);
    const int where = engine->config->options.input_truncate;
    if (ids->n <= limit) {
        return TFR_OK;
    }
    if (where == TFR_TRUNCATE_ERROR) {
        return tfr_raise(TFR_USAGE, "text %zu has %zu tokens, context is %zu (%s); shorten it or pass --truncate left|right",
                         index + 1, ids->n, limit, tfr_engine_positions_name(engine));
    }
    tfr_log(TFR_LOG_WARN, "classify", "text %zu cut from %zu to %zu tokens", index + 1, ids->n, limit);
    tfr_ids_cut(ids, limit, where);
    return TFR_OK;
}

static enum tfr_status encode_text(struct tfr_engine *engine, const struct tfr_prompt *prompt, size_t index, struct tfr_ids *ids) {
    if (prompt->encoder != NULL) {
        return tfr_raise(TFR_USAGE, "text %zu has encoder states; classify takes none", index + 1);
    }
    const struct tfr_tokenizer *tokenizer = NULL; /* ids need none */
    if (prompt->text != NULL) {
        TFR_TRY(tfr_engine_tokenizer(engine, &tokenizer));
    }
    TFR_TRY(tfr_prompt_ids(tokenizer, prompt, ids));
    if (ids->n == 0) {
        return tfr_raise(TFR_USAGE, "text %zu is empty; a text to classify has at least one token", index + 1);
    }
    TFR_TRY(tfr_engine_check_ids(engine, ids->data, (int64_t)ids->n, index));
    return truncate_text(engine, index, ids);
}

/* Ids [n, width] and the mask of what is text among them, one behind the other in `ids`. */
static enum tfr_status forward_group(struct tfr_engine *engine, const struct tfr_classification *results, size_t n, size_t width,
                                     int32_t *ids, struct tfr_forward_reply **reply) {
    int32_t *mask = ids + n * width;
    for (size_t i = 0; i < n; i++) {
        memcpy(ids + i * width, results[i].ids, results[i].n_ids * sizeof *ids);
        for (size_t t = 0; t < results[i].n_ids; t++) {
            mask[i * width + t] = 1;
        }
    }
    const int64_t dim[] = {(int64_t)n, (int64_t)width};
    const struct tfr_named_tensor inputs[] = {
        {.name = "input_ids", .tensor = tfr_tensor_make(ids, TFR_DTYPE_I32, 2, dim)},
        {.name = "attention_mask", .tensor = tfr_tensor_make(mask, TFR_DTYPE_I32, 2, dim)},
    };
    const struct tfr_forward_options options = {
        .use_cache = TFR_SWITCH_OFF, .output_attentions = TFR_SWITCH_OFF, .output_hidden_states = TFR_SWITCH_OFF, .ragged = true};
    return tfr_forward(engine, inputs, TFR_COUNT_OF(inputs), &options, reply);
}

static int compare_scores(const void *left, const void *right) {
    const struct tfr_label_score *a = left, *b = right;
    return a->score > b->score ? -1 : a->score < b->score ? 1 : a->label - b->label;
}

static int problem_of(const struct tfr_hparams *model) {
    if (model->head == TFR_HEAD_TOKEN) {
        return TFR_PROBLEM_SINGLE_LABEL;
    }
    return model->problem_type != TFR_PROBLEM_INFERRED ? model->problem_type
           : model->num_labels == 1                    ? TFR_PROBLEM_REGRESSION
                                                       : TFR_PROBLEM_SINGLE_LABEL;
}

/* One row of logits, best label first. */
static void score_row(const struct tfr_config *config, const float *logits, struct tfr_label_score *row) {
    const int problem = problem_of(&config->model);
    const int64_t n = config->model.num_labels;
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = logits[i] > largest ? logits[i] : largest;
    }
    for (int64_t i = 0; i < n; i++) {
        sum += exp(logits[i] - largest);
    }
    for (int64_t i = 0; i < n; i++) {
        const double logit = logits[i];
        row[i] = (struct tfr_label_score){.name = config->labels.items[i], .label = (int32_t)i, .logit = logits[i]};
        row[i].score = problem == TFR_PROBLEM_SINGLE_LABEL  ? exp(logit - largest) / sum
                       : problem == TFR_PROBLEM_MULTI_LABEL ? 1 / (1 + exp(-logit))
                                                            : logit;
    }
    qsort(row, (size_t)n, sizeof *row, compare_scores);
}

static enum tfr_status read_logits(const struct tfr_engine *engine, const struct tfr_forward_reply *reply,
                                   struct tfr_classification *results, size_t n, size_t width) {
    const size_t n_labels = (size_t)engine->config->model.num_labels;
    const float *logits = NULL;
    for (size_t i = 0; i < reply->n; i++) {
        if (strcmp(reply->tensors[i].name, "logits") == 0) {
            logits = reply->tensors[i].tensor.data;
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct tfr_classification *result = &results[i];
        result->is_per_token = engine->config->model.head == TFR_HEAD_TOKEN;
        result->n_rows = result->is_per_token ? result->n_ids : 1;
        result->n_labels = n_labels;
        result->scores = tfr_alloc(result->n_rows * n_labels, sizeof *result->scores);
        if (result->scores == NULL) {
            return TFR_RESOURCE;
        }
        for (size_t r = 0; r < result->n_rows; r++) {
            const size_t row = result->is_per_token ? i * width + r : i;
            score_row(engine->config, logits + row * n_labels, result->scores + r * n_labels);
        }
    }
    return TFR_OK;
}

static enum tfr_status classify_group(struct tfr_engine *engine, struct tfr_classification *results, size_t n) {
    size_t width = 0;
    for (size_t i = 0; i < n; i++) {
        width = results[i].n_ids > width ? results[i].n_ids : width;
    }
    int32_t *ids = tfr_alloc(2 * n * width, sizeof *ids);
    if (ids == NULL) {
        return TFR_RESOURCE;
    }
    struct tfr_forward_reply *reply = NULL;
    enum tfr_status status = forward_group(engine, results, n, width, ids, &reply);
    if (status == TFR_OK) {
        status = read_logits(engine, reply, results, n, width);
    }
    tfr_forward_reply_close(reply);
    tfr_free(ids);
    return status;
}

static enum tfr_status classify_all(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n,
                                    struct tfr_classification *results) {
    TFR_TRY(check_head(engine));
    for (size_t i = 0; i < n; i++) {
        struct tfr_ids ids = {0};
        enum tfr_status status = encode_text(engine, &prompts[i], i, &ids);
        results[i].ids = ids.data;
        results[i].n_ids = ids.n;
        TFR_TRY(status);
    }
    const size_t most = (size_t)engine->max_batch;
    for (size_t first = 0; first < n; first += most) {
        if (tfr_engine_cancelled()) {
            tfr_engine_clear_cancel();
            return tfr_raise(TFR_CANCELLED, "stopped on request");
        }
        TFR_TRY(classify_group(engine, results + first, n - first < most ? n - first : most));
    }
    return TFR_OK;
}

/* Looked at once the last group is done: until then other ranks wait for this one. */
static enum tfr_status check_logits(const struct tfr_classification *results, size_t n) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < results[i].n_rows * results[i].n_labels; k++) {
            if (!isfinite(results[i].scores[k].logit)) {
                return tfr_raise(TFR_CHECK,
                                 "the logits of text %zu hold NaN or infinity; look for it in the weights with --check-weights",
                                 i + 1);
            }
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_classify(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n,
                             struct tfr_classification *results) {
    memset(results, 0, n * sizeof *results);
    enum tfr_status status = classify_all(engine, prompts, n, results);
    status = status == TFR_OK ? check_logits(results, n) : status;
    for (size_t i = 0; i < n && status != TFR_OK; i++) {
        tfr_classification_free(&results[i]);
    }
    return status;
}

void tfr_classification_free(struct tfr_classification *classification) {
    tfr_free(classification->ids);
    tfr_free(classification->scores);
    *classification = (struct tfr_classification){0};
}

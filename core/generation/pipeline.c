/* pipeline.c - the settings of the score pipeline: numbers are taken over, lists are parsed from their JSON
 * text and checked against the vocabulary. */
#include "generation/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"

/* One list under reading. */
struct list_text {
    const char *key; /* "bad_words_ids" */
    int64_t vocab_size;
    const struct tfr_json_doc *doc;
};

static enum tfr_status bad_list(const struct list_text *list, const char *form) {
    return tfr_raise(TFR_CONFIG, "sampling.%s must be %s", list->key, form);
}

static enum tfr_status read_id(const struct list_text *list, const tfr_json *node, int32_t *id) {
    int64_t value;
    if (!tfr_json_int64(list->doc, node, &value)) {
        return tfr_raise(TFR_CONFIG, "sampling.%s holds something that is not a token id", list->key);
    }
    if (value < 0 || value >= list->vocab_size) {
        return tfr_raise(TFR_CONFIG, "sampling.%s holds token %lld, outside 0..%lld (vocab_size - 1)", list->key, (long long)value,
                         (long long)(list->vocab_size - 1));
    }
    *id = (int32_t)value;
    return TFR_OK;
}

/* An array of ids, or one id alone. */
static enum tfr_status read_ids(const struct list_text *list, const tfr_json *node, struct tfr_id_list *ids) {
    const bool single = tfr_json_kind(node) == TFR_JSON_NUMBER;
    const bool is_empty = tfr_json_size(node) == 0 && node != tfr_json_root(list->doc); /* a phrase of no token */
    if (!single && (tfr_json_kind(node) != TFR_JSON_ARRAY || is_empty)) {
        return bad_list(list, "a list of token ids, such as [1, 2]");
    }
    ids->ids = tfr_alloc(single ? 1 : tfr_json_size(node) + 1, sizeof *ids->ids);
    if (ids->ids == NULL) {
        return TFR_RESOURCE;
    }
    if (single) {
        ids->n = 1;
        return read_id(list, node, ids->ids);
    }
    for (const tfr_json *item = tfr_json_first(node); item != NULL; item = tfr_json_next(item)) {
        TFR_TRY(read_id(list, item, &ids->ids[ids->n]));
        ids->n++;
    }
    return TFR_OK;
}

static bool same_ids(const struct tfr_id_list *a, const struct tfr_id_list *b) {
    return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0;
}

/* By their tokens; equal ones as they came. */
static int by_tokens(const void *left, const void *right) {
    const struct tfr_phrase *a = *(const struct tfr_phrase *const *)left, *b = *(const struct tfr_phrase *const *)right;
    const size_t shorter = a->tokens.n < b->tokens.n ? a->tokens.n : b->tokens.n;
    int order = memcmp(a->tokens.ids, b->tokens.ids, shorter * sizeof *a->tokens.ids);
    order = order != 0 ? order : (a->tokens.n > b->tokens.n) - (a->tokens.n < b->tokens.n);
    return order != 0 ? order : (a > b) - (a < b);
}

/* Takes out those without tokens. */
static void close_gaps(struct tfr_phrase_list *phrases) {
    size_t n = 0;
    for (size_t i = 0; i < phrases->n; i++) {
        const struct tfr_phrase phrase = phrases->items[i];
        phrases->items[i] = (struct tfr_phrase){0};
        phrases->items[n] = phrase;
        n += phrase.tokens.n > 0;
    }
    phrases->n = n;
}

/* A phrase that comes again gives the first one its bias, as in a dictionary. They are sorted for that: a file may list very many.
 */
static enum tfr_status join_equal(struct tfr_phrase_list *phrases) {
    struct tfr_phrase **sorted = tfr_alloc(phrases->n + 1, sizeof *sorted), *first = NULL;
    if (sorted == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < phrases->n; i++) {
        sorted[i] = &phrases->items[i];
    }
    qsort(sorted, phrases->n, sizeof *sorted, by_tokens);
    for (size_t i = 0; i < phrases->n; i++) {
        if (first == NULL || !same_ids(&first->tokens, &sorted[i]->tokens)) {
            first = sorted[i];
            continue;
        }
        first->bias = sorted[i]->bias;
        tfr_free(sorted[i]->tokens.ids);
        *sorted[i] = (struct tfr_phrase){0};
    }
    tfr_free(sorted);
    close_gaps(phrases);
    return TFR_OK;
}

static enum tfr_status open_phrases(struct tfr_phrase_list *phrases, const tfr_json *root) {
    phrases->items = tfr_alloc(tfr_json_size(root) + 1, sizeof *phrases->items);
    return phrases->items != NULL ? TFR_OK : TFR_RESOURCE;
}

static enum tfr_status read_bias_pairs(const struct list_text *list, const tfr_json *root, struct tfr_phrase_list *phrases) {
    static const char form[] = "a list of pairs, such as [[[1, 2], -1.5], [[7], 2]]";
    if (tfr_json_kind(root) != TFR_JSON_ARRAY) {
        return bad_list(list, form);
    }
    TFR_TRY(open_phrases(phrases, root));
    for (const tfr_json *pair = tfr_json_first(root); pair != NULL; pair = tfr_json_next(pair)) {
        const tfr_json *ids = tfr_json_first(pair), *bias = ids != NULL ? tfr_json_next(ids) : NULL;
        if (tfr_json_size(pair) != 2 || tfr_json_kind(bias) != TFR_JSON_NUMBER || tfr_json_kind(ids) != TFR_JSON_ARRAY) {
            return bad_list(list, form);
        }
        phrases->items[phrases->n].bias = (float)tfr_json_number(bias);
        TFR_TRY(read_ids(list, ids, &phrases->items[phrases->n].tokens));
        phrases->n++;
    }
    return join_equal(phrases);
}

/* An end token alone is no bad word: without it nothing would end. */
static bool is_end(const struct tfr_pipeline *pipeline, const struct tfr_id_list *ids) {
    return ids->n == 1 && tfr_pipeline_ends(pipeline, ids->ids[0]);
}

static enum tfr_status read_bad_words(const struct list_text *list, const tfr_json *root, struct tfr_pipeline *pipeline) {
    struct tfr_phrase_list *phrases = &pipeline->bad_words;
    if (tfr_json_kind(root) != TFR_JSON_ARRAY) {
        return bad_list(list, "a list of lists of token ids, such as [[1, 2], [7]]");
    }
    TFR_TRY(open_phrases(phrases, root));
    for (const tfr_json *ids = tfr_json_first(root); ids != NULL; ids = tfr_json_next(ids)) {
        struct tfr_phrase *phrase = &phrases->items[phrases->n];
        if (tfr_json_kind(ids) != TFR_JSON_ARRAY) {
            return bad_list(list, "a list of lists of token ids, such as [[1, 2], [7]]");
        }
        phrase->bias = -INFINITY;
        TFR_TRY(read_ids(list, ids, &phrase->tokens));
        if (is_end(pipeline, &phrase->tokens)) {
            tfr_free(phrase->tokens.ids);
            *phrase = (struct tfr_phrase){0};
        } else {
            phrases->n++;
        }
    }
    return join_equal(phrases);
}

static bool parse_key(const char *key, int64_t limit, int32_t *id) {
    int64_t value = 0;
    for (const char *at = key; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || (value = 10 * value + (*at - '0')) >= limit) {
            return false;
        }
    }
    *id = (int32_t)value;
    return key[0] != '\0';
}

static enum tfr_status read_logit_bias(const struct list_text *list, const tfr_json *root, struct tfr_phrase_list *phrases) {
    if (tfr_json_kind(root) != TFR_JSON_OBJECT) {
        return bad_list(list, "an object of token id to bias, such as {\"50256\": -100}");
    }
    TFR_TRY(open_phrases(phrases, root));
    for (const tfr_json *node = tfr_json_first(root); node != NULL; node = tfr_json_next(node)) {
        struct tfr_phrase *phrase = &phrases->items[phrases->n];
        phrase->tokens.ids = tfr_alloc(1, sizeof *phrase->tokens.ids);
        if (phrase->tokens.ids == NULL) {
            return TFR_RESOURCE;
        }
        phrase->tokens.n = 1;
        phrases->n++;
        if (tfr_json_kind(node) != TFR_JSON_NUMBER || !parse_key(tfr_json_key(node), list->vocab_size, phrase->tokens.ids)) {
            return tfr_raise(TFR_CONFIG, "sampling.logit_bias: \"%.20s\" is not a token id in 0..%lld with a number",
                             tfr_json_key(node), (long long)(list->vocab_size - 1));
        }
        phrase->bias = (float)tfr_json_number(node);
    }
    return TFR_OK;
}

static enum tfr_status read_decay(const struct list_text *list, const tfr_json *root, struct tfr_pipeline *pipeline) {
    const tfr_json *start = tfr_json_kind(root) == TFR_JSON_ARRAY ? tfr_json_first(root) : NULL;
    const tfr_json *factor = start != NULL ? tfr_json_next(start) : NULL;
    if (factor == NULL || tfr_json_size(root) != 2 || !tfr_json_int64(list->doc, start, &pipeline->decay_start) ||
        pipeline->decay_start < 0 || tfr_json_kind(factor) != TFR_JSON_NUMBER || tfr_json_number(factor) <= 0) {
        return bad_list(list, "a pair of new tokens and a factor above 0, such as [20, 1.05]");
    }
    if (pipeline->eos.n == 0) {
        return tfr_raise(TFR_CONFIG, "sampling.%s needs an end token, and there is none", list->key);
    }
    pipeline->decay_factor = tfr_json_number(factor);
    pipeline->has_decay = true;
    return TFR_OK;
}

static int by_id(const void *left, const void *right) {
    const int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

/* End tokens outside the vocabulary can never come and are left out, as the config does with its single one. In order: they are
 * looked for. */
static enum tfr_status read_end_tokens(const struct list_text *list, const tfr_json *root, struct tfr_pipeline *pipeline) {
    const struct list_text any = {.key = list->key, .vocab_size = INT32_MAX, .doc = list->doc};
    TFR_TRY(read_ids(&any, root, &pipeline->eos));
    int32_t *ids = pipeline->eos.ids;
    size_t n = 0;
    qsort(ids, pipeline->eos.n, sizeof *ids, by_id);
    for (size_t i = 0; i < pipeline->eos.n && ids[i] < list->vocab_size; i++) {
        if (n == 0 || ids[n - 1] != ids[i]) {
            ids[n++] = ids[i];
        }
    }
    pipeline->eos.n = n;
    return TFR_OK;
}

enum what { END_TOKENS, STOP_TOKENS, SEQUENCE_BIAS, BAD_WORDS, LOGIT_BIAS, SUPPRESS, BEGIN_SUPPRESS, FORCED_EOS, DECAY };

static enum tfr_status read_parsed(struct tfr_pipeline *pipeline, enum what what, const struct list_text *list) {
    const tfr_json *root = tfr_json_root(list->doc);
    switch (what) {
    case END_TOKENS:
        return read_end_tokens(list, root, pipeline);
    case STOP_TOKENS:
        return read_ids(list, root, &pipeline->stop_ids);
    case SEQUENCE_BIAS:
        return read_bias_pairs(list, root, &pipeline->sequence_bias);
    case BAD_WORDS:
        return read_bad_words(list, root, pipeline);
    case LOGIT_BIAS:
        return read_logit_bias(list, root, &pipeline->logit_bias);
    case SUPPRESS:
        return read_ids(list, root, &pipeline->suppress);
    case BEGIN_SUPPRESS:
        return read_ids(list, root, &pipeline->begin_suppress);
    case FORCED_EOS:
        return read_ids(list, root, &pipeline->forced_eos);
    case DECAY:
        return read_decay(list, root, pipeline);
    }
    return TFR_OK;
}

static enum tfr_status read_list(struct tfr_pipeline *pipeline, enum what what, const char *key, const char *text,
                                 int64_t vocab_size) {
    if (text == NULL) {
        return TFR_OK;
    }
    struct tfr_json_doc *doc;
    TFR_TRY(tfr_json_open(&doc, key, text, strlen(text), TFR_CONFIG));
    const struct list_text list = {.key = key, .vocab_size = vocab_size, .doc = doc};
    const enum tfr_status status = read_parsed(pipeline, what, &list);
    tfr_json_close(doc);
    return status;
}

static enum tfr_status read_lists(struct tfr_pipeline *pipeline, const struct tfr_options *o, int64_t vocab_size) {
    TFR_TRY(read_list(pipeline, STOP_TOKENS, "stop_token_ids", o->sampling_stop_token_ids, vocab_size));
    TFR_TRY(read_list(pipeline, SEQUENCE_BIAS, "sequence_bias", o->sampling_sequence_bias, vocab_size));
    TFR_TRY(read_list(pipeline, BAD_WORDS, "bad_words_ids", o->sampling_bad_words_ids, vocab_size));
    TFR_TRY(read_list(pipeline, LOGIT_BIAS, "logit_bias", o->sampling_logit_bias, vocab_size));
    TFR_TRY(read_list(pipeline, SUPPRESS, "suppress_tokens", o->sampling_suppress_tokens, vocab_size));
    TFR_TRY(read_list(pipeline, BEGIN_SUPPRESS, "begin_suppress_tokens", o->sampling_begin_suppress_tokens, vocab_size));
    TFR_TRY(read_list(pipeline, FORCED_EOS, "forced_eos_token_id", o->sampling_forced_eos_token_id, vocab_size));
    TFR_TRY(
        read_list(pipeline, DECAY, "exponential_decay_length_penalty", o->sampling_exponential_decay_length_penalty, vocab_size));
    if (o->sampling_forced_bos_token_id >= vocab_size) {
        return tfr_raise(TFR_CONFIG, "sampling.forced_bos_token_id = %lld is outside 0..%lld (vocab_size - 1)",
                         (long long)o->sampling_forced_bos_token_id, (long long)(vocab_size - 1));
    }
    return TFR_OK;
}

static enum tfr_status choose_end_tokens(struct tfr_pipeline *pipeline, const struct tfr_options *options, int32_t eos,
                                         int64_t vocab_size) {
    if (options->sampling_ignore_eos) {
        return TFR_OK;
    }
    if (options->sampling_eos_token_id != NULL) {
        return read_list(pipeline, END_TOKENS, "eos_token_id", options->sampling_eos_token_id, vocab_size);
    }
    if (eos < 0 || eos >= vocab_size) {
        return TFR_OK;
    }
    pipeline->eos.ids = tfr_alloc(1, sizeof *pipeline->eos.ids);
    if (pipeline->eos.ids == NULL) {
        return TFR_RESOURCE;
    }
    pipeline->eos.ids[0] = eos;
    pipeline->eos.n = 1;
    return TFR_OK;
}

static void take_numbers(struct tfr_pipeline *pipeline, const struct tfr_options *o) {
    *pipeline = tfr_pipeline_neutral();
    pipeline->do_sample =
        o->sampling_do_sample == TFR_SAMPLE_TRUE || (o->sampling_do_sample == TFR_SAMPLE_AUTO && o->sampling_temperature > 0);
    pipeline->temperature = o->sampling_temperature > 0 ? o->sampling_temperature : 1;
    pipeline->top_k = o->sampling_top_k;
    pipeline->top_p = o->sampling_top_p;
    pipeline->min_p = o->sampling_min_p;
    pipeline->typical_p = o->sampling_typical_p;
    pipeline->epsilon_cutoff = o->sampling_epsilon_cutoff;
    pipeline->eta_cutoff = o->sampling_eta_cutoff;
    pipeline->renormalize = o->sampling_renormalize_logits;
    pipeline->repetition_penalty = o->sampling_repetition_penalty;
    pipeline->presence_penalty = o->sampling_presence_penalty;
    pipeline->frequency_penalty = o->sampling_frequency_penalty;
    pipeline->no_repeat_ngram_size = o->sampling_no_repeat_ngram_size;
    pipeline->min_length = o->sampling_min_length;
    pipeline->min_tokens = o->sampling_min_tokens;
    pipeline->forced_bos = (int32_t)o->sampling_forced_bos_token_id;
    pipeline->remove_invalid_values = o->sampling_remove_invalid_values;
}

enum tfr_status tfr_pipeline_open(struct tfr_pipeline *pipeline, const struct tfr_options *options, int32_t eos,
                                  int64_t vocab_size) {
    take_numbers(pipeline, options);
    enum tfr_status status = choose_end_tokens(pipeline, options, eos, vocab_size);
    status = status == TFR_OK ? read_lists(pipeline, options, vocab_size) : status;
    if (options->sampling_num_beams > 1) {
        pipeline->min_keep = pipeline->eos.n > 0 ? (int64_t)pipeline->eos.n + 1 : 2;
    }
    if (status != TFR_OK) {
        tfr_pipeline_close(pipeline);
    }
    return status;
}

static void free_phrases(struct tfr_phrase_list *phrases) {
    for (size_t i = 0; phrases->items != NULL && i <= phrases->n; i++) { /* one more: a phrase that was being read */
        tfr_free(phrases->items[i].tokens.ids);
    }
    tfr_free(phrases->items);
}

void tfr_pipeline_close(struct tfr_pipeline *pipeline) {
    free_phrases(&pipeline->sequence_bias);
    free_phrases(&pipeline->bad_words);
    free_phrases(&pipeline->logit_bias);
    tfr_free(pipeline->eos.ids);
    tfr_free(pipeline->stop_ids.ids);
    tfr_free(pipeline->suppress.ids);
    tfr_free(pipeline->begin_suppress.ids);
    tfr_free(pipeline->forced_eos.ids);
    *pipeline = tfr_pipeline_neutral();
}

bool tfr_pipeline_ends(const struct tfr_pipeline *pipeline, int32_t id) {
    const struct tfr_id_list *eos = &pipeline->eos;
    return eos->n > 0 && bsearch(&id, eos->ids, eos->n, sizeof id, by_id) != NULL;
}

bool tfr_pipeline_stops(const struct tfr_pipeline *pipeline, int32_t id) {
    for (size_t i = 0; i < pipeline->stop_ids.n; i++) {
        if (pipeline->stop_ids.ids[i] == id) {
            return true;
        }
    }
    return false;
}

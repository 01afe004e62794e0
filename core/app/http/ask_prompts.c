/* ask_prompts.c - see ask_prompts.h. */
#include "app/http/ask_prompts.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* Bytes of texts that one request may have split, during which nobody else is served: 256 prompts that fill a context of 1024, with
 * 8 bytes a token, where texts that people write have 3 to 5. */
enum { MOST_SPLIT_BYTES = 1 << 21 };

/* One list under reading. */
struct reading {
    struct tfr_ask_prompts *prompts;
    struct tfr_server *server;
    const struct tfr_json_doc *doc;
    const char *field;
    bool cuts;
    size_t enough; /* where it cuts: bytes that have more tokens than are kept */
    struct tfr_refusal *refusal;
};

static bool no_memory(const struct reading *reading) {
    return tfr_refuse(reading->refusal, TFR_ERROR_NO_MEMORY, reading->field, "there is no memory for the prompt now");
}

/* A text with a byte that the vocabulary has no token for: it stays so, however often it comes. */
static bool no_token(const struct reading *reading) {
    return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field, "%s: %s", reading->field, tfr_last_error());
}

static bool wrong_form(const struct reading *reading) {
    return tfr_refuse(
        reading->refusal, TFR_ERROR_INVALID, reading->field,
        "%s must be a string, a list of strings, a list of token ids, or a list of such lists, not mixed; an empty string is "
        "the end-of-text token, an empty list is nothing",
        reading->field);
}

/* The token that stands where there is nothing: what ends texts, as upstream, else what begins them. */
static bool add_separator(const struct reading *reading, struct tfr_ask_prompt *prompt) {
    const int32_t eos = tfr_settings_eos(reading->server->settings), bos = tfr_settings_bos(reading->server->settings);
    if (eos < 0 && bos < 0) {
        return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field,
                          "%s is empty, and the model has no token that begins or ends a text; give a prompt", reading->field);
    }
    prompt->ids = malloc(sizeof *prompt->ids);
    if (prompt->ids == NULL) {
        return no_memory(reading);
    }
    prompt->ids[0] = eos >= 0 ? eos : bos;
    prompt->n = 1;
    return true;
}

/* Such a text is not worth the time of splitting it, in which nobody else is served. */
static bool check_bytes(const struct reading *reading, size_t size) {
    const size_t most = reading->server->most_text;
    if (size <= most) {
        return true;
    }
    return tfr_refuse(reading->refusal, TFR_ERROR_CONTEXT_LENGTH, reading->field,
                      "the context of this model is %lld tokens, which have at most %zu bytes; a text of %s has %zu: shorten it",
                      (long long)reading->server->n_positions, most, reading->field, size);
}

/* Tokens part before the space or behind the line end, whatever stands before it; gives where, or NULL. */
static const char *parts_at(const char *at) {
    const bool is_word = at[1] > ' ' && at[1] < 0x7f;
    return is_word && at[0] == ' ' ? at : is_word && at[0] == '\n' ? at + 1 : NULL;
}

/* As much of the end as has more tokens than are kept, from the next place before it where tokens part anyway. A text that has none
 * there (one word without an end, a script without spaces) is read from as far as twice what fills the context, and is cut there
 * between two characters: its tokens can be others then. */
static const char *tail_of(const struct reading *reading, const char *text, size_t size) {
    const size_t most = 2 * reading->server->most_text;
    if (size <= reading->enough) {
        return text;
    }
    const char *least = size > most ? text + size - most : text;
    for (const char *at = text + size - reading->enough - 1; at > least; at--) {
        const char *found = parts_at(at);
        if (found != NULL) {
            return found;
        }
    }
    while (least > text && ((unsigned char)*least & 0xc0) == 0x80) {
        least++;
    }
    return least;
}

/* Before any of it is split. */
static bool check_texts(const struct reading *reading, const tfr_json *node, bool many) {
    size_t total = 0;
    if (reading->server->vocabulary == NULL) {
        return true; /* it is told of the first one */
    }
    for (const tfr_json *item = many ? tfr_json_first(node) : node; item != NULL; item = many ? tfr_json_next(item) : NULL) {
        const char *text = tfr_json_kind(item) == TFR_JSON_STRING ? tfr_json_string(item) : "";
        const size_t size = strlen(text);
        if (!reading->cuts && !check_bytes(reading, size)) {
            return false;
        }
        total += reading->cuts ? strlen(tail_of(reading, text, size)) : size;
    }
    return total <= MOST_SPLIT_BYTES ||
           tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field,
                      "the texts of %s have %zu bytes to be split; at most %d are taken at once: ask in parts", reading->field,
                      total, MOST_SPLIT_BYTES);
}

static bool take_text(const struct reading *reading, const char *text, struct tfr_ask_prompt *prompt) {
    size_t size = strlen(text);
    int32_t *ids;
    if (size == 0) {
        return add_separator(reading, prompt);
    }
    if (reading->server->vocabulary == NULL) {
        return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field, "the model has no tokenizer: %s must be token ids",
                          reading->field);
    }
    if (reading->cuts) {
        text = tail_of(reading, text, size);
        size = strlen(text);
    }
    prompt->text = malloc(size + 1);
    const enum tfr_status status =
        prompt->text != NULL ? tfr_server_split(reading->server, text, size, false, &ids, &prompt->n) : TFR_RESOURCE;
    if (status != TFR_OK) {
        return status == TFR_RESOURCE ? no_memory(reading) : no_token(reading);
    }
    memcpy(prompt->text, text, size + 1);
    prompt->text_size = size;
    prompt->ids = malloc(prompt->n * sizeof *prompt->ids + 1);
    if (prompt->ids != NULL) {
        memcpy(prompt->ids, ids, prompt->n * sizeof *prompt->ids);
    }
    tfr_string_free(ids);
    return prompt->ids != NULL || no_memory(reading);
}

static bool take_ids(const struct reading *reading, const tfr_json *array, struct tfr_ask_prompt *prompt) {
    const int64_t limit = reading->server->vocab_size;
    prompt->ids = malloc(tfr_json_size(array) * sizeof *prompt->ids + 1);
    if (prompt->ids == NULL) {
        return no_memory(reading);
    }
    for (const tfr_json *item = tfr_json_first(array); item != NULL; item = tfr_json_next(item)) {
        int64_t id;
        if (tfr_json_kind(item) != TFR_JSON_NUMBER) {
            return wrong_form(reading);
        }
        if (!tfr_json_whole(reading->doc, item, &id) || id < 0 || id >= limit) {
            return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field, "%s has %.17g in place of a token id in 0..%lld",
                              reading->field, tfr_json_number(item), (long long)(limit - 1));
        }
        prompt->ids[prompt->n++] = (int32_t)id;
    }
    return prompt->n > 0 || wrong_form(reading);
}

static bool take_list(const struct reading *reading, const tfr_json *array) {
    const enum tfr_json_kind kind = tfr_json_kind(tfr_json_first(array));
    for (const tfr_json *item = tfr_json_first(array); item != NULL; item = tfr_json_next(item)) {
        struct tfr_ask_prompt *prompt = &reading->prompts->list[reading->prompts->n++];
        if (tfr_json_kind(item) != kind) {
            return wrong_form(reading);
        }
        if (!(kind == TFR_JSON_STRING ? take_text(reading, tfr_json_string(item), prompt) : take_ids(reading, item, prompt))) {
            return false;
        }
        if (!reading->cuts && (int64_t)prompt->n > reading->server->n_positions) {
            break; /* refused for that: the others need not be read */
        }
    }
    return true;
}

/* What the first entry of a list is; NULL where there is no such thing. */
static enum tfr_json_kind inner_kind(const tfr_json *node) {
    const bool has = node != NULL && tfr_json_kind(node) == TFR_JSON_ARRAY && tfr_json_size(node) > 0;
    return has ? tfr_json_kind(tfr_json_first(node)) : TFR_JSON_NULL;
}

size_t tfr_ask_prompts_count(const tfr_json *node) {
    const enum tfr_json_kind inner = inner_kind(node);
    return inner == TFR_JSON_STRING || inner == TFR_JSON_ARRAY ? tfr_json_size(node) : 1;
}

/* Of one prompt alone. */
static bool take_one(const struct reading *reading, const tfr_json *node, struct tfr_ask_prompt *prompt) {
    if (node == NULL) {
        return add_separator(reading, prompt);
    }
    if (tfr_json_kind(node) == TFR_JSON_STRING) {
        return take_text(reading, tfr_json_string(node), prompt);
    }
    return inner_kind(node) == TFR_JSON_NUMBER ? take_ids(reading, node, prompt) : wrong_form(reading);
}

bool tfr_ask_prompts_read(struct tfr_ask_prompts *prompts, struct tfr_server *server, const struct tfr_json_doc *doc,
                          const tfr_json *node, const char *field, size_t most, int64_t keeps, struct tfr_refusal *refusal) {
    const int64_t kept = keeps < server->n_positions ? keeps : server->n_positions;
    const struct reading reading = {.cuts = keeps >= 0,
                                    .enough = keeps >= 0 ? (size_t)(kept + 1) * server->longest_token : 0,
                                    .prompts = prompts,
                                    .server = server,
                                    .doc = doc,
                                    .field = field,
                                    .refusal = refusal};
    const enum tfr_json_kind inner = inner_kind(node);
    const bool many = inner == TFR_JSON_STRING || inner == TFR_JSON_ARRAY;
    const size_t n = tfr_ask_prompts_count(node);
    *prompts = (struct tfr_ask_prompts){0};
    if (n > most) {
        return tfr_refuse(refusal, TFR_ERROR_INVALID, field, "%s has %zu prompts; at most %zu are taken at once", field, n, most);
    }
    prompts->list = calloc(n, sizeof *prompts->list);
    if (prompts->list == NULL) {
        return no_memory(&reading);
    }
    if (!check_texts(&reading, node, many)) {
        return false;
    }
    if (many) {
        return take_list(&reading, node);
    }
    prompts->n = 1;
    return take_one(&reading, node, &prompts->list[0]);
}

bool tfr_ask_prompts_read_input(struct tfr_ask_prompts *prompts, struct tfr_call *call, const struct tfr_json_doc *doc,
                                const tfr_json *node, struct tfr_refusal *refusal) {
    struct tfr_server *server = call->server;
    if (node == NULL || tfr_json_kind(node) == TFR_JSON_NULL) {
        return tfr_refuse(refusal, TFR_ERROR_INVALID, "input", "input must be given: a text, token ids, or a list of them");
    }
    if (!tfr_ask_prompts_read(prompts, server, doc, node, "input", (size_t)tfr_settings_int(server->settings, "serve.max_queue"),
                              -1, refusal)) {
        return false;
    }
    for (size_t i = 0; i < prompts->n; i++) {
        call->prompt_tokens += prompts->list[i].n;
        if ((int64_t)prompts->list[i].n > server->n_positions) {
            return tfr_refuse(refusal, TFR_ERROR_CONTEXT_LENGTH, "input",
                              "the context of this model is %lld tokens; input %zu has %zu", (long long)server->n_positions, i,
                              prompts->list[i].n);
        }
    }
    tfr_ask_prompts_drop_texts(prompts);
    return true;
}

void tfr_ask_prompts_drop_texts(struct tfr_ask_prompts *prompts) {
    for (size_t i = 0; i < prompts->n; i++) {
        free(prompts->list[i].text);
        prompts->list[i].text = NULL;
        prompts->list[i].text_size = 0;
    }
}

void tfr_ask_prompt_cut(struct tfr_ask_prompt *prompt, size_t most) {
    memmove(prompt->ids, prompt->ids + prompt->n - most, most * sizeof *prompt->ids);
    prompt->n = most;
    int32_t *less = realloc(prompt->ids, most * sizeof *less);
    prompt->ids = less != NULL ? less : prompt->ids;
    free(prompt->text);
    prompt->text = NULL;
    prompt->text_size = 0;
}

void tfr_ask_prompts_free(struct tfr_ask_prompts *prompts) {
    for (size_t i = 0; i < prompts->n; i++) {
        free(prompts->list[i].ids);
        free(prompts->list[i].text);
    }
    free(prompts->list);
    *prompts = (struct tfr_ask_prompts){0};
}

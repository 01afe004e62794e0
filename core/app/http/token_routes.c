/* token_routes.c - /tokenize, /detokenize and /tokenizer_info: the tokenizer on its own, without a step of the engine. */
#include <stdlib.h>
#include <string.h>

#include "app/http/body.h"
#include "app/http/field_tables.h"
#include "app/http/reply.h"
#include "app/http/route.h"
#include "app/http/token_name.h"

/* Texts are split while nobody else is served, and the answer is many times as large. */
enum { MOST_TEXT_BYTES = 1 << 18, MOST_DECODED_BYTES = 1 << 20 };

static bool has_vocabulary(const struct tfr_server *server, struct tfr_exchange *x) {
    if (server->vocabulary == NULL) {
        tfr_reply_error(
            x, TFR_ERROR_NOT_FOUND, NULL,
            "the model has no tokenizer: prompts are lists of token ids here; `tfrun serve --tokenizer PATH` gives it one");
    }
    return server->vocabulary != NULL;
}

static void put_tokens(struct tfr_json_out *out, const struct tfr_server *server, const int32_t *ids, size_t n, bool with_text) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "count", (int64_t)n);
    tfr_json_put_int(out, "max_model_len", server->n_positions);
    tfr_json_begin(out, "tokens", '[');
    for (size_t i = 0; i < n; i++) {
        tfr_json_put_int(out, NULL, ids[i]);
    }
    tfr_json_end(out, ']');
    if (with_text) {
        tfr_json_begin(out, "token_strs", '[');
        for (size_t i = 0; i < n; i++) {
            struct tfr_token_name name;
            tfr_token_name(&name, server->vocabulary, ids[i]);
            tfr_json_put_string(out, NULL, name.text, name.size);
        }
        tfr_json_end(out, ']');
    }
    tfr_json_end(out, '}');
}

/* A byte without a token (TFR_MODEL) stays one, however often the text comes. */
static void reply_tokens(struct tfr_server *server, struct tfr_exchange *x, const tfr_json *node, bool plain, bool as_texts) {
    struct tfr_json_out out = {0};
    const char *text = tfr_json_string(node);
    int32_t *ids;
    size_t n;
    const enum tfr_status status = tfr_server_split(server, text, strlen(text), plain, &ids, &n);
    if (status == TFR_RESOURCE) {
        tfr_reply_error(x, TFR_ERROR_NO_MEMORY, tfr_json_key(node), "there is no memory for the tokens now");
    } else if (status != TFR_OK) {
        tfr_reply_error(x, TFR_ERROR_INVALID, tfr_json_key(node), "%s: %s", tfr_json_key(node), tfr_last_error());
    } else {
        tfr_call_of(x)->prompt_tokens = n; /* before the reply ends the call */
        put_tokens(&out, server, ids, n, as_texts);
        tfr_string_free(ids);
        tfr_reply_json(x, 200, &out);
    }
}

void tfr_route_tokenize(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_body body;
    if (!has_vocabulary(server, x) || !tfr_body_read(&body, tfr_call_of(x), tfr_tokenize_fields, TFR_N_TOKENIZE_FIELDS)) {
        return;
    }
    const struct tfr_field_value *prompt = &body.values[TFR_TOKENIZE_prompt], *content = &body.values[TFR_TOKENIZE_content];
    const struct tfr_field_value *given = prompt->given ? prompt : content, *parse = &body.values[TFR_TOKENIZE_parse_special];
    if (prompt->given == content->given) {
        tfr_reply_error(x, TFR_ERROR_INVALID, "prompt", "give the text as prompt, or as content");
    } else if (strlen(tfr_json_string(given->node)) > MOST_TEXT_BYTES) {
        tfr_reply_error(x, TFR_ERROR_INVALID, prompt->given ? "prompt" : "content",
                        "the text has %zu bytes; at most %d are taken at once: ask in parts", strlen(tfr_json_string(given->node)),
                        MOST_TEXT_BYTES);
    } else {
        const bool plain = parse->given && !parse->yes;
        reply_tokens(server, x, given->node, plain, body.values[TFR_TOKENIZE_return_token_strs].yes);
    }
    tfr_body_close(&body);
}

/* The ids of a checked list; NULL after a reply, which many ids of long tokens get too. */
static int32_t *read_ids(const struct tfr_server *server, struct tfr_exchange *x, const struct tfr_body *body, size_t *n) {
    const tfr_json *list = body->values[TFR_DETOKENIZE_tokens].node;
    int32_t *ids = malloc(tfr_json_size(list) * sizeof *ids + 1);
    size_t n_bytes = 0;
    *n = 0;
    if (ids == NULL) {
        tfr_reply_error(x, TFR_ERROR_NO_MEMORY, "tokens", "there is no memory for the tokens now");
        return NULL;
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        int64_t id = -1;
        size_t size;
        if (!tfr_json_int64(body->doc, item, &id) || id >= server->vocab_size ||
            tfr_vocabulary_bytes(server->vocabulary, (int32_t)id, &size) == NULL) {
            tfr_reply_error(x, TFR_ERROR_INVALID, "tokens", "tokens has %lld, which is no token of this model", (long long)id);
            free(ids);
            return NULL;
        }
        ids[(*n)++] = (int32_t)id;
        n_bytes += size;
    }
    if (n_bytes > MOST_DECODED_BYTES) {
        tfr_reply_error(x, TFR_ERROR_INVALID, "tokens",
                        "the text of these tokens has %zu bytes; at most %d are told at once: ask in parts", n_bytes,
                        MOST_DECODED_BYTES);
        free(ids);
        return NULL;
    }
    return ids;
}

static void reply_text(struct tfr_server *server, struct tfr_exchange *x, const int32_t *ids, size_t n) {
    struct tfr_json_out out = {0};
    char *text;
    size_t size;
    if (tfr_vocabulary_decode(server->vocabulary, ids, n, &text, &size) != TFR_OK) {
        tfr_reply_error(x, TFR_ERROR_NO_MEMORY, "tokens", "there is no memory for the text now");
        return;
    }
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_string(&out, "prompt", text, size);
    tfr_json_put_string(&out, "content", text, size);
    tfr_json_end(&out, '}');
    tfr_string_free(text);
    tfr_reply_json(x, 200, &out);
}

void tfr_route_detokenize(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_body body;
    size_t n;
    if (!has_vocabulary(server, x) || !tfr_body_read(&body, tfr_call_of(x), tfr_detokenize_fields, TFR_N_DETOKENIZE_FIELDS)) {
        return;
    }
    if (!body.values[TFR_DETOKENIZE_tokens].given) {
        tfr_reply_error(x, TFR_ERROR_INVALID, "tokens", "tokens must be given: a list of token ids");
    } else {
        int32_t *ids = read_ids(server, x, &body, &n);
        if (ids != NULL) {
            tfr_call_of(x)->prompt_tokens = n;
            reply_text(server, x, ids, n);
        }
        free(ids);
    }
    tfr_body_close(&body);
}

static void put_token(struct tfr_json_out *out, const struct tfr_server *server, const char *key, int32_t id) {
    size_t size = 0;
    const char *bytes = id >= 0 ? tfr_vocabulary_bytes(server->vocabulary, id, &size) : NULL;
    if (bytes != NULL) {
        tfr_json_put_string(out, key, bytes, size);
    } else {
        tfr_json_put_null(out, key);
    }
}

void tfr_route_tokenizer_info(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_json_out out = {0};
    if (!has_vocabulary(server, x)) {
        return;
    }
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "tokenizer_class", "GPT2Tokenizer");
    put_token(&out, server, "bos_token", tfr_settings_bos(server->settings));
    put_token(&out, server, "eos_token", tfr_settings_eos(server->settings));
    tfr_json_put_null(&out, "pad_token");
    tfr_json_put_null(&out, "chat_template");
    tfr_json_put_bool(&out, "add_bos_token", false);
    tfr_json_put_int(&out, "vocab_size", server->vocab_size);
    tfr_json_put_int(&out, "model_max_length", server->n_positions);
    tfr_json_end(&out, '}');
    tfr_reply_json(x, 200, &out);
}

/* load_reply.c - see load_reply.h. Strict about what is measured, indifferent to members that it doesn't know. */
#include "app/load/load_reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"

static bool fail(struct tfr_load_reply *reply, const char *format, ...) TFR_PRINTF(2, 3);
static bool fail(struct tfr_load_reply *reply, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reply->error, sizeof reply->error, format, arguments);
    va_end(arguments);
    tfr_defuse(reply->error); /* words of a server */
    return false;
}

/* Byte 0 is a token of GPT-2: a text may have it. */
static enum tfr_status open_json(struct tfr_json_doc **doc, const char *name, const char *text, size_t size) {
    static const struct tfr_json_limits limits = {.depth = 64, .values = SIZE_MAX, .n_digits = 63, .takes_nul = true};
    return tfr_json_open_limited(doc, name, text, size, TFR_RUNTIME, &limits);
}

/* An error is an object with a message, or whatever it is. */
static bool has_error(struct tfr_load_reply *reply, const tfr_json *root) {
    const tfr_json *error = tfr_json_member(root, "error");
    if (error == NULL || tfr_json_kind(error) == TFR_JSON_NULL) {
        return false;
    }
    const char *words = tfr_json_string(tfr_json_member(error, "message"));
    words = words != NULL ? words : tfr_json_string(error);
    fail(reply, "the server says: %.160s", words != NULL ? words : "an error without words");
    return true;
}

static bool take_usage(struct tfr_load_reply *reply, const struct tfr_json_doc *doc) {
    const tfr_json *usage = tfr_json_member(tfr_json_root(doc), "usage");
    if (usage == NULL || tfr_json_kind(usage) == TFR_JSON_NULL) {
        return true;
    }
    const tfr_json *tokens = tfr_json_member(usage, "completion_tokens");
    int64_t n;
    if (tokens == NULL || !tfr_json_int64(doc, tokens, &n) || n < 0) {
        return fail(reply, "a usage without completion_tokens");
    }
    reply->has_usage = true;
    reply->n_tokens = n;
    return true;
}

/* Tokens of a choice. Without ids an event is one token, but for an empty one that only ends the text. */
static int64_t take_choice(struct tfr_load_reply *reply, const tfr_json *choice) {
    const tfr_json *text = tfr_json_member(choice, "text"), *reason = tfr_json_member(choice, "finish_reason"),
                   *ids = tfr_json_member(choice, "token_ids");
    if (tfr_json_string(text) == NULL) {
        fail(reply, "a choice without a text");
        return -1;
    }
    if (reply->finished) {
        fail(reply, "an event behind the one with finish_reason");
        return -1;
    }
    const char *ended = tfr_json_string(reason);
    reply->finished = ended != NULL;
    reply->by_length = ended != NULL && strcmp(ended, "length") == 0;
    if (ids != NULL && tfr_json_kind(ids) == TFR_JSON_ARRAY) {
        return (int64_t)tfr_json_size(ids);
    }
    return ended == NULL || tfr_json_string(text)[0] != '\0';
}

static int64_t take_event(struct tfr_load_reply *reply, const struct tfr_json_doc *doc) {
    const tfr_json *root = tfr_json_root(doc), *choices = tfr_json_member(root, "choices");
    if (has_error(reply, root)) {
        return -1;
    }
    if (choices == NULL || tfr_json_kind(choices) != TFR_JSON_ARRAY) {
        fail(reply, "an event without choices");
        return -1;
    }
    const tfr_json *choice = tfr_json_first(choices);
    const int64_t n = choice != NULL ? take_choice(reply, choice) : 0;
    reply->n_tokens += n > 0 && !reply->has_usage ? n : 0;
    return n < 0 || take_usage(reply, doc) ? n : -1;
}

int64_t tfr_load_reply_event(struct tfr_load_reply *reply, const char *data, size_t size) {
    struct tfr_json_doc *doc;
    if (reply->has_ended) {
        fail(reply, "an event behind [DONE]");
        return -1;
    }
    if (strcmp(data, "[DONE]") == 0) {
        reply->has_ended = true;
        return 0;
    }
    if (open_json(&doc, "event", data, size) != TFR_OK) {
        fail(reply, "%.180s", tfr_failure_text());
        return -1;
    }
    const int64_t n = take_event(reply, doc);
    tfr_json_close(doc);
    return n;
}

/* One number for each token, null for the first alone. */
static bool check_scores(struct tfr_load_reply *reply, const tfr_json *choice) {
    const tfr_json *logprobs = tfr_json_member(tfr_json_member(choice, "logprobs"), "token_logprobs");
    if (logprobs == NULL || tfr_json_kind(logprobs) != TFR_JSON_ARRAY) {
        return fail(reply, "a scored prompt without token_logprobs");
    }
    for (const tfr_json *at = tfr_json_first(logprobs); at != NULL; at = tfr_json_next(at)) {
        const bool is_first = at == tfr_json_first(logprobs);
        if (tfr_json_kind(at) != (is_first ? TFR_JSON_NULL : TFR_JSON_NUMBER)) {
            return fail(reply, "token_logprobs of a scored prompt are numbers, and null for the first");
        }
    }
    return true;
}

bool tfr_load_reply_whole(struct tfr_load_reply *reply, const char *body, size_t size, bool scored) {
    struct tfr_json_doc *doc;
    if (open_json(&doc, "reply", body, size) != TFR_OK) {
        return fail(reply, "%.180s", tfr_failure_text());
    }
    const tfr_json *root = tfr_json_root(doc), *choice = tfr_json_first(tfr_json_member(root, "choices"));
    bool good = !has_error(reply, root);
    if (good && choice == NULL) {
        good = fail(reply, "a reply without choices");
    }
    good = good && take_choice(reply, choice) >= 0 && take_usage(reply, doc);
    if (good && !(reply->finished && reply->has_usage)) {
        good = fail(reply, "a reply without finish_reason or usage");
    }
    good = good && (!scored || check_scores(reply, choice));
    reply->has_ended = good;
    tfr_json_close(doc);
    return good;
}

void tfr_load_reply_refusal(const char *body, size_t size, char *words, size_t room) {
    struct tfr_load_reply reply = {0};
    struct tfr_json_doc *doc;
    *words = '\0';
    if (size > 0 && open_json(&doc, "reply", body, size) == TFR_OK) {
        if (has_error(&reply, tfr_json_root(doc))) {
            snprintf(words, room, "%s", reply.error);
        }
        tfr_json_close(doc);
    }
}

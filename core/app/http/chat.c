/* chat.c - POST /v1/chat/completions: the messages as one text, continued as a completion. */
#include <stdlib.h>
#include <string.h>

#include "app/http/ask_prompts.h"
#include "app/http/completion.h"
#include "app/http/field_tables.h"
#include "app/http/reply.h"
#include "app/http/route.h"
#include "base/arena.h"
#include "base/status.h"

/* One body under reading. */
struct reading {
    struct tfr_call *call;
    const struct tfr_json_doc *doc;
    struct tfr_field_value values[TFR_N_CHAT_FIELDS];
    struct tfr_json_out prompt; /* plain text */
    struct tfr_refusal *refusal;
};

static bool refuse_messages(const struct reading *reading) {
    return tfr_refuse(
        reading->refusal, TFR_ERROR_INVALID, "messages",
        "messages must be a list of objects with role and content: a text, or a list of {\"type\": \"text\", \"text\": ...}");
}

static bool add_part(struct reading *reading, const tfr_json *part) {
    const char *type = tfr_json_string(tfr_json_member(part, "type")), *text = tfr_json_string(tfr_json_member(part, "text"));
    if (type == NULL || strcmp(type, "text") != 0 || text == NULL) {
        return refuse_messages(reading);
    }
    tfr_json_put_raw(&reading->prompt, text);
    return true;
}

/* The text of all of them counts alike. */
static bool check_role(const struct reading *reading, const tfr_json *message) {
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", "function"};
    const char *role = tfr_json_string(tfr_json_member(message, "role"));
    for (size_t i = 0; i < TFR_COUNT_OF(roles) && role != NULL; i++) {
        if (strcmp(role, roles[i]) == 0) {
            return true;
        }
    }
    return role == NULL
               ? refuse_messages(reading)
               : tfr_refuse(reading->refusal, TFR_ERROR_INVALID, "messages",
                            "messages has the role %.40s; it is system, developer, user, assistant, tool or function", role);
}

static bool add_message(struct reading *reading, const tfr_json *message) {
    const tfr_json *content = tfr_json_member(message, "content");
    const char *text = content != NULL ? tfr_json_string(content) : NULL;
    bool good = content != NULL;
    if (!check_role(reading, message)) {
        return false;
    }
    if (good && text != NULL) {
        tfr_json_put_raw(&reading->prompt, text);
        return true;
    }
    if (!good || tfr_json_kind(content) != TFR_JSON_ARRAY) {
        return refuse_messages(reading);
    }
    for (const tfr_json *part = tfr_json_first(content); part != NULL && good; part = tfr_json_next(part)) {
        good = add_part(reading, part);
    }
    return good;
}

/* The contents, joined by blank lines. */
static bool join_messages(struct reading *reading) {
    const struct tfr_field_value *messages = &reading->values[TFR_CHAT_messages];
    if (!messages->given || tfr_json_kind(messages->node) != TFR_JSON_ARRAY) {
        return refuse_messages(reading);
    }
    if (tfr_json_size(messages->node) == 0) {
        return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, "messages", "messages is empty; give one at least");
    }
    for (const tfr_json *message = tfr_json_first(messages->node); message != NULL; message = tfr_json_next(message)) {
        if (message != tfr_json_first(messages->node)) {
            tfr_json_put_raw(&reading->prompt, "\n\n");
        }
        if (!add_message(reading, message)) {
            return false;
        }
    }
    return true;
}

/* What the context has room for behind the prompt; 1 where that is too long already, or can't be split, which is refused later with
 * the numbers or the reason. 0 for lack of memory. */
static int64_t room_behind(const struct reading *reading) {
    struct tfr_server *server = reading->call->server;
    int32_t *ids;
    size_t n = 0;
    if (reading->prompt.size > server->most_text) {
        return 1;
    }
    if (server->vocabulary != NULL && reading->prompt.size > 0) {
        const enum tfr_status status = tfr_server_split(server, reading->prompt.text, reading->prompt.size, false, &ids, &n);
        if (status != TFR_OK) {
            return status == TFR_RESOURCE ? 0 : 1;
        }
        tfr_string_free(ids);
    }
    const int64_t used = n > 0 ? (int64_t)n : 1;
    return used < server->n_positions ? server->n_positions - used : 1;
}

static bool is_own(const char *name) {
    bool own = false;
    for (size_t i = 0; i < TFR_N_CHAT_FIELDS; i++) {
        own |= strcmp(tfr_chat_fields[i].name, name) == 0;
    }
    return own;
}

/* The request as one for /v1/completions. */
static void write_body(const struct reading *reading, struct tfr_json_out *out) {
    const struct tfr_field_value *newer = &reading->values[TFR_CHAT_max_completion_tokens];
    bool limited = false;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_string(out, "prompt", reading->prompt.size > 0 ? reading->prompt.text : "", reading->prompt.size);
    for (const tfr_json *node = tfr_json_first(tfr_json_root(reading->doc)); node != NULL; node = tfr_json_next(node)) {
        const bool is_limit = strcmp(tfr_json_key(node), "max_tokens") == 0;
        if (is_limit && (newer->given || tfr_json_kind(node) == TFR_JSON_NULL)) {
            continue;
        }
        if (!is_own(tfr_json_key(node))) {
            tfr_json_put_node(out, tfr_json_key(node), reading->doc, node);
            limited |= is_limit;
        }
    }
    if (!limited) {
        const int64_t room = newer->given ? newer->whole : room_behind(reading);
        tfr_json_put_int(out, "max_tokens", room);
        out->failed |= !newer->given && room == 0;
    }
    tfr_json_end(out, '}');
}

static bool translate(struct reading *reading, struct tfr_json_out *out) {
    char unknown[8];
    if (!tfr_fields_read(tfr_chat_fields, TFR_N_CHAT_FIELDS, reading->doc, reading->values, false, unknown, sizeof unknown,
                         reading->refusal) ||
        !join_messages(reading)) {
        return false;
    }
    write_body(reading, out);
    return !(out->failed || reading->prompt.failed) ||
           tfr_refuse(reading->refusal, TFR_ERROR_NO_MEMORY, NULL, "there is no memory for the messages now");
}

void tfr_route_chat_completions(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_refusal refusal;
    struct reading reading = {.call = tfr_call_of(x), .refusal = &refusal};
    struct tfr_json_out out = {0};
    size_t size;
    const char *body = tfr_http_body(x, &size);
    if (strcmp(tfr_settings_text(server->settings, "serve.chat"), "plain") != 0) {
        tfr_reply_error(x, TFR_ERROR_INVALID, "messages",
                        "the model continues texts and has no chat template: use /v1/completions, or start the server with --chat "
                        "plain, which joins the messages by blank lines");
        return;
    }
    struct tfr_json_doc *doc = tfr_fields_open(body, size, &refusal);
    reading.doc = doc;
    const bool good = doc != NULL && translate(&reading, &out);
    if (doc != NULL) {
        tfr_json_close(doc);
    }
    if (good) {
        tfr_completion_serve(reading.call, out.text, out.size, true);
    } else {
        tfr_reply_refusal(x, &refusal, NULL, 0);
    }
    tfr_free(reading.prompt.text);
    tfr_free(out.text);
}

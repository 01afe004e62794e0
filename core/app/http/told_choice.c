/* told_choice.c - see told_choice.h. */
#include "app/http/told_choice.h"

#include <string.h>

#include "app/http/token_name.h"
#include "base/arena.h"
#include "base/utf8.h"

void tfr_char_meter_push(struct tfr_char_meter *meter, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        meter->pending[meter->n_pending++] = (uint8_t)bytes[i];
        while (meter->n_pending > 0 && !tfr_utf8_is_cut(meter->pending, meter->n_pending)) {
            uint32_t code;
            const int length = tfr_utf8_take(meter->pending, meter->n_pending, &code), used = length < 0 ? -length : length;
            meter->n++;
            meter->n_pending = (uint8_t)(meter->n_pending - used);
            memmove(meter->pending, meter->pending + used, meter->n_pending);
        }
    }
}

void tfr_choice_free(struct tfr_choice *choice) {
    tfr_free(choice->text.text);
    tfr_free(choice->ids.text);
    tfr_free(choice->tokens.text);
    tfr_free(choice->token_logprobs.text);
    tfr_free(choice->top_logprobs.text);
    tfr_free(choice->token_ranks.text);
    tfr_free(choice->top_token_ids.text);
    tfr_free(choice->text_offset.text);
}

bool tfr_choice_failed(const struct tfr_choice *choice) {
    return choice->text.failed || choice->ids.failed || choice->tokens.failed || choice->token_logprobs.failed ||
           choice->top_logprobs.failed || choice->text_offset.failed || choice->token_ranks.failed || choice->top_token_ids.failed;
}

static void name_token(struct tfr_token_name *name, const struct tfr_ask *ask, const struct tfr_server *server, int32_t id) {
    tfr_token_name(name, ask->ids_as_tokens ? NULL : server->vocabulary, id);
}

/* JSON has no infinities. */
static double clamped(double logprob) {
    return logprob < -9999.0 ? -9999.0 : logprob;
}

/* The best ones, and the token itself where it is none of them: their log-probabilities, of which equal ones are the same bits, or
 * their ids. */
static void put_top(struct tfr_json_out *out, const struct tfr_ask *ask, const struct tfr_server *server,
                    const struct tfr_logprob *items, size_t n_top, bool ids) {
    bool has_itself = false;
    struct tfr_token_name name;
    tfr_json_begin(out, NULL, '{');
    for (size_t i = 1; i <= n_top + 1; i++) {
        const bool is_last = i > n_top;
        if (is_last && has_itself) {
            break;
        }
        const struct tfr_logprob *item = is_last || items[i].id == items[0].id ? &items[0] : &items[i];
        has_itself |= item == &items[0];
        name_token(&name, ask, server, item->id);
        tfr_json_put_key(out, name.text, name.size);
        if (ids) {
            tfr_json_put_int(out, NULL, item->id);
        } else {
            tfr_json_put_number(out, NULL, clamped(item->logprob));
        }
    }
    tfr_json_end(out, '}');
}

static void put_ranks(struct tfr_choice *choice, const struct tfr_ask *ask, const struct tfr_server *server,
                      const struct tfr_logprob *items, size_t n_top) {
    if (items == NULL) {
        tfr_json_put_null(&choice->token_ranks, NULL);
        tfr_json_put_null(&choice->top_token_ids, NULL);
    } else {
        tfr_json_put_int(&choice->token_ranks, NULL, items[0].rank);
        put_top(&choice->top_token_ids, ask, server, items, n_top, true);
    }
}

/* `items` NULL: nothing is known of it, as of the first token of all. */
static void put_entry(struct tfr_choice *choice, const struct tfr_ask *ask, const struct tfr_server *server, int32_t id,
                      const struct tfr_logprob *items, size_t n_top) {
    struct tfr_token_name name;
    name_token(&name, ask, server, id);
    tfr_json_put_string(&choice->tokens, NULL, name.text, name.size);
    tfr_json_put_int(&choice->text_offset, NULL, choice->meter.n);
    if (items == NULL) {
        tfr_json_put_null(&choice->token_logprobs, NULL);
        tfr_json_put_null(&choice->top_logprobs, NULL);
    } else {
        tfr_json_put_number(&choice->token_logprobs, NULL, clamped(items[0].logprob));
        put_top(&choice->top_logprobs, ask, server, items, n_top, false);
    }
    if (ask->return_ids) {
        put_ranks(choice, ask, server, items, n_top);
    }
}

static void count_chars(struct tfr_choice *choice, const struct tfr_server *server, int32_t id, bool shows_special) {
    size_t size = 0;
    const char *bytes = server->vocabulary != NULL ? tfr_vocabulary_bytes(server->vocabulary, id, &size) : NULL;
    if (bytes != NULL && (shows_special || !tfr_vocabulary_is_special(server->vocabulary, id))) {
        tfr_char_meter_push(&choice->meter, bytes, size);
    }
}

static void put_prompt_text(struct tfr_choice *choice, const struct tfr_server *server, const struct tfr_ask_prompt *prompt) {
    char *text;
    size_t size;
    if (prompt->text_size > 0) {
        tfr_json_put_bytes(&choice->text, prompt->text, prompt->text_size);
    } else if (server->vocabulary != NULL) {
        if (tfr_vocabulary_decode(server->vocabulary, prompt->ids, prompt->n, &text, &size) != TFR_OK) {
            choice->text.failed = true; /* a text without its beginning is another one */
            return;
        }
        tfr_json_put_bytes(&choice->text, text, size);
        tfr_string_free(text);
    }
}

void tfr_choice_put_prompt(struct tfr_choice *choice, const struct tfr_ask *ask, const struct tfr_server *server,
                           const struct tfr_ask_prompt *prompt, const struct tfr_event *event) {
    put_prompt_text(choice, server, prompt);
    for (size_t i = 0; i < event->n_ids && ask->n_top >= 0; i++) {
        const bool is_known = i > 0 && event->logprobs != NULL;
        put_entry(choice, ask, server, event->ids[i], is_known ? event->logprobs + (i - 1) * (event->n_top + 1) : NULL,
                  event->n_top);
        count_chars(choice, server, event->ids[i], true);
    }
    choice->meter.n += choice->meter.n_pending > 0; /* what is cut here the new text does not go on with */
    choice->meter.n_pending = 0;
}

void tfr_choice_put_tokens(struct tfr_choice *choice, const struct tfr_ask *ask, const struct tfr_server *server,
                           const struct tfr_event *event) {
    tfr_json_put_bytes(&choice->text, event->text, event->text_size);
    choice->finish = event->finish;
    choice->n_tokens += event->n_ids;
    for (size_t i = 0; i < event->n_ids; i++) {
        const struct tfr_logprob *items = event->logprobs != NULL ? event->logprobs + i * (event->n_top + 1) : NULL;
        choice->logprob += items != NULL ? items[0].logprob : 0;
        if (ask->n_top >= 0) {
            put_entry(choice, ask, server, event->ids[i], items, event->n_top);
            count_chars(choice, server, event->ids[i], false);
        }
        if (ask->return_ids) {
            tfr_json_put_int(&choice->ids, NULL, event->ids[i]);
        }
    }
}

static void write_items(struct tfr_json_out *out, const char *key, const struct tfr_json_out *items) {
    tfr_json_begin(out, key, '[');
    if (items->size > 0) {
        tfr_json_put_value(out, NULL, items->text);
    }
    tfr_json_end(out, ']');
}

const char *tfr_finish_word(enum tfr_finish finish) {
    return finish == TFR_FINISH_LENGTH ? "length" : "stop";
}

/* A chat's has a role first, once. */
static void write_text(const struct tfr_choice *choice, const struct tfr_ask *ask, struct tfr_json_out *out) {
    const char *text = choice->text.size > 0 ? choice->text.text : "";
    if (!ask->chat) {
        tfr_json_put_string(out, "text", text, choice->text.size);
        return;
    }
    tfr_json_begin(out, ask->stream ? "delta" : "message", '{');
    if (!choice->role_told) {
        tfr_json_put_text(out, "role", "assistant");
    }
    tfr_json_put_string(out, "content", text, choice->text.size);
    tfr_json_end(out, '}');
}

void tfr_choice_write(const struct tfr_choice *choice, const struct tfr_ask *ask, size_t index, const struct tfr_ask_prompt *prompt,
                      struct tfr_json_out *out) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "index", (int64_t)index);
    write_text(choice, ask, out);
    if (choice->tokens.size > 0) {
        tfr_json_begin(out, "logprobs", '{');
        write_items(out, "tokens", &choice->tokens);
        write_items(out, "token_logprobs", &choice->token_logprobs);
        write_items(out, "top_logprobs", &choice->top_logprobs);
        write_items(out, "text_offset", &choice->text_offset);
        if (ask->return_ids) {
            write_items(out, "token_ranks", &choice->token_ranks);
            write_items(out, "top_token_ids", &choice->top_token_ids);
        }
        tfr_json_end(out, '}');
    } else {
        tfr_json_put_null(out, "logprobs");
    }
    if (choice->finish != TFR_FINISH_NONE) {
        tfr_json_put_text(out, "finish_reason", tfr_finish_word(choice->finish));
    } else {
        tfr_json_put_null(out, "finish_reason");
    }
    if (ask->return_ids) {
        write_items(out, "token_ids", &choice->ids);
    }
    if (prompt != NULL) {
        tfr_json_begin(out, "prompt_token_ids", '[');
        for (size_t i = 0; i < prompt->n; i++) {
            tfr_json_put_int(out, NULL, prompt->ids[i]);
        }
        tfr_json_end(out, ']');
    }
    tfr_json_end(out, '}');
}

static void empty(struct tfr_json_out *out) {
    out->size = 0;
    out->comma = false;
}

void tfr_choice_written(struct tfr_choice *choice) {
    empty(&choice->text);
    empty(&choice->ids);
    empty(&choice->tokens);
    empty(&choice->token_logprobs);
    empty(&choice->top_logprobs);
    empty(&choice->text_offset);
    empty(&choice->token_ranks);
    empty(&choice->top_token_ids);
}

/* ask.c - see ask.h. */
#include "app/http/ask.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "app/http/body.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"

static const struct tfr_field fields[] = {
#define TFR_FIELD(name, type, def, min, max, setting, help) {#name, TFR_FIELD_##type, def, min, max, setting, help},
#include "app/http/completion_fields.def"
#undef TFR_FIELD
};

/* Most that one request may have the server hold: texts, and entries of log-probabilities. */
enum { MOST_TEXTS = 1024, MOST_ENTRIES = 1 << 19, MOST_STOPS = 64, MOST_STOP_BYTES = 1024, MOST_IDS = 1024 };

const struct tfr_field *tfr_completion_fields(size_t *n) {
    *n = TFR_N_COMPLETION_FIELDS;
    return fields;
}

/* One request under reading. */
struct reading {
    struct tfr_ask *ask;
    struct tfr_call *call;
    const struct tfr_json_doc *doc;
    struct tfr_field_value values[TFR_N_COMPLETION_FIELDS];
    struct tfr_refusal *refusal;
};

static const struct tfr_field_value *value_of(const struct reading *reading, enum tfr_completion_field field) {
    return &reading->values[field];
}

static const char *text_of(const struct reading *reading, enum tfr_completion_field field) {
    return reading->values[field].given ? tfr_json_string(reading->values[field].node) : NULL;
}

/* So near to 0 scores become infinite: it is meant to be 0. */
static double temperature_of(const struct reading *reading) {
    const double given = value_of(reading, TFR_COMPLETION_temperature)->real;
    return given < 1e-5 ? 0 : given;
}

static bool refuse(const struct reading *reading, enum tfr_completion_field field, const char *text) {
    return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, fields[field].name, "%s", text);
}

static bool check_options(const struct reading *reading) {
    const struct tfr_field_value *options = value_of(reading, TFR_COMPLETION_stream_options);
    const tfr_json *usage = options->given ? tfr_json_member(options->node, "include_usage") : NULL;
    if (options->given && !value_of(reading, TFR_COMPLETION_stream)->yes) {
        return refuse(reading, TFR_COMPLETION_stream_options, "stream_options is for stream: true alone; leave one out");
    }
    if (usage != NULL && tfr_json_kind(usage) != TFR_JSON_BOOL && tfr_json_kind(usage) != TFR_JSON_NULL) {
        return refuse(reading, TFR_COMPLETION_stream_options, "stream_options.include_usage must be true or false");
    }
    reading->ask->include_usage = usage != NULL && tfr_json_bool(usage);
    return true;
}

static bool check_stop(const struct reading *reading) {
    const struct tfr_field_value *stop = value_of(reading, TFR_COMPLETION_stop);
    if (!stop->given) {
        return true;
    }
    const bool is_list = tfr_json_kind(stop->node) == TFR_JSON_ARRAY;
    if (reading->call->server->vocabulary == NULL && !(is_list && tfr_json_size(stop->node) == 0)) {
        return refuse(reading, TFR_COMPLETION_stop, "the model has no tokenizer: stop must be stop_token_ids");
    }
    if (is_list && tfr_json_size(stop->node) > MOST_STOPS) {
        return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, "stop", "stop has %zu texts; at most %d are taken",
                          tfr_json_size(stop->node), MOST_STOPS);
    }
    for (const tfr_json *item = is_list ? tfr_json_first(stop->node) : stop->node; item != NULL;
         item = is_list ? tfr_json_next(item) : NULL) {
        const size_t size = strlen(tfr_json_string(item));
        if (size == 0 || size > MOST_STOP_BYTES) {
            return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, "stop", "a text of stop has %zu bytes; 1 to %d are taken", size,
                              MOST_STOP_BYTES);
        }
    }
    return true;
}

/* Each is looked at for every token of every text, in steps that others share. */
static bool check_ids(const struct reading *reading) {
    static const enum tfr_completion_field lists[] = {TFR_COMPLETION_logit_bias, TFR_COMPLETION_stop_token_ids,
                                                      TFR_COMPLETION_suppress_tokens};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const struct tfr_field_value *list = value_of(reading, lists[i]);
        const size_t n = list->given ? tfr_json_size(list->node) : 0;
        if (n > MOST_IDS) {
            return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, fields[lists[i]].name, "%s has %zu tokens; at most %d are taken",
                              fields[lists[i]].name, n, MOST_IDS);
        }
    }
    return true;
}

/* How many texts: told, made, or beams of which they are the best. */
static bool read_counts(struct reading *reading) {
    struct tfr_ask *ask = reading->ask;
    const int64_t most = tfr_settings_int(reading->call->server->settings, "serve.max_n");
    const struct tfr_field_value *best = value_of(reading, TFR_COMPLETION_best_of),
                                 *beams = value_of(reading, TFR_COMPLETION_num_beams);
    const int64_t n = value_of(reading, TFR_COMPLETION_n)->whole, made = best->given ? best->whole : n;
    if (made < n) {
        return refuse(reading, TFR_COMPLETION_best_of, "best_of must be at least n");
    }
    const bool searches = value_of(reading, TFR_COMPLETION_use_beam_search)->yes || (beams->given && beams->whole > 1);
    const int64_t width = !searches ? made : beams->given ? beams->whole : made;
    if (width > most) {
        const enum tfr_completion_field field = searches && beams->given ? TFR_COMPLETION_num_beams
                                                : best->given            ? TFR_COMPLETION_best_of
                                                                         : TFR_COMPLETION_n;
        return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, fields[field].name,
                          "%s = %lld is more than this server makes (%lld)", fields[field].name, (long long)width, (long long)most);
    }
    if (searches && width < n) {
        return refuse(reading, TFR_COMPLETION_num_beams, "num_beams must be at least n");
    }
    if (ask->stream && made > n) {
        return refuse(reading, TFR_COMPLETION_best_of,
                      "best_of above n does not go with stream: the best is known at the end alone");
    }
    const bool greedy = temperature_of(reading) == 0;
    ask->n = (size_t)n;
    ask->beams = searches && width > 1;
    ask->width = ask->beams ? (size_t)n : greedy ? 1 : (size_t)made;
    ask->ranked = !ask->beams && ask->width > ask->n;
    return true;
}

static bool read_numbers(struct reading *reading) {
    struct tfr_ask *ask = reading->ask;
    const int64_t most = tfr_settings_int(reading->call->server->settings, "serve.max_logprobs");
    const struct tfr_field_value *logprobs = value_of(reading, TFR_COMPLETION_logprobs);
    const char *suffix = text_of(reading, TFR_COMPLETION_suffix), *salt = text_of(reading, TFR_COMPLETION_cache_salt);
    ask->max_tokens = value_of(reading, TFR_COMPLETION_max_tokens)->whole;
    ask->stream = value_of(reading, TFR_COMPLETION_stream)->yes;
    ask->echo = value_of(reading, TFR_COMPLETION_echo)->yes;
    ask->return_ids = value_of(reading, TFR_COMPLETION_return_token_ids)->yes;
    ask->ids_as_tokens =
        value_of(reading, TFR_COMPLETION_return_tokens_as_token_ids)->yes || reading->call->server->vocabulary == NULL;
    ask->n_top = logprobs->given ? logprobs->whole : -1;
    ask->no_prefix = !value_of(reading, TFR_COMPLETION_cache_prompt)->yes && value_of(reading, TFR_COMPLETION_cache_prompt)->given;
    ask->batch = value_of(reading, TFR_COMPLETION_priority)->whole > 0;
    if (ask->n_top > most) {
        return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, "logprobs", "logprobs = %lld is outside 0..%lld",
                          (long long)ask->n_top, (long long)most);
    }
    if (suffix != NULL && suffix[0] != '\0') {
        return refuse(reading, TFR_COMPLETION_suffix, "suffix must be empty: GPT-2 continues texts and does not fill in");
    }
    if (salt != NULL && strlen(salt) >= sizeof ask->salt) {
        return refuse(reading, TFR_COMPLETION_cache_salt, "cache_salt must be shorter than 128 bytes");
    }
    snprintf(ask->salt, sizeof ask->salt, "%s", salt != NULL ? salt : "");
    return true;
}

/* The tokens of a prompt's end that are kept; -1: all. */
static int64_t kept_tokens(const struct reading *reading) {
    const struct tfr_field_value *truncate = value_of(reading, TFR_COMPLETION_truncate_prompt_tokens);
    const int64_t limit = reading->call->server->n_positions, most = reading->ask->max_tokens;
    return !truncate->given ? -1 : truncate->whole >= 0 ? truncate->whole : limit > most ? limit - most : 0;
}

/* Prompt and new tokens together; asked for, a prompt's beginning goes. */
static bool fit_prompts(const struct reading *reading) {
    struct tfr_ask *ask = reading->ask;
    const int64_t limit = reading->call->server->n_positions, kept = kept_tokens(reading);
    const int64_t room = limit > ask->max_tokens ? limit - ask->max_tokens : 0;
    const int64_t most = kept >= 0 ? kept : INT64_MAX;
    if (kept == 0) {
        return refuse(reading, TFR_COMPLETION_truncate_prompt_tokens, "truncate_prompt_tokens leaves nothing of the prompt");
    }
    for (size_t i = 0; i < ask->prompts.n; i++) {
        struct tfr_ask_prompt *prompt = &ask->prompts.list[i];
        char which[32] = "the prompt";
        if (ask->prompts.n > 1) {
            snprintf(which, sizeof which, "prompt[%zu]", i);
        }
        if ((int64_t)prompt->n > most) {
            tfr_ask_prompt_cut(prompt, (size_t)most); /* an echo shows what is left: the ids' text */
        }
        if ((int64_t)prompt->n > room) {
            return tfr_refuse(reading->refusal, TFR_ERROR_CONTEXT_LENGTH, (int64_t)prompt->n < limit ? "max_tokens" : "prompt",
                              "the context of this model is %lld tokens; %s has %zu, max_tokens asks for %lld more, together %lld",
                              (long long)limit, which, prompt->n, (long long)ask->max_tokens,
                              (long long)prompt->n + (long long)ask->max_tokens);
        }
    }
    if (!ask->echo) {
        tfr_ask_prompts_drop_texts(&ask->prompts);
    }
    return true;
}

/* What an answer would hold at least: before the prompts are split, and again before anything of it is allocated. */
static bool check_size(const struct reading *reading, size_t n_prompts) {
    const struct tfr_ask *ask = reading->ask;
    const size_t each = ask->width > ask->n ? ask->width : ask->n, texts = n_prompts * each;
    const int64_t limit = reading->call->server->n_positions; /* for which more new tokens are refused later */
    size_t tokens = n_prompts * (size_t)(ask->max_tokens < limit ? ask->max_tokens : limit);
    for (size_t i = 0; i < ask->prompts.n && ask->echo; i++) {
        tokens += ask->prompts.list[i].n;
    }
    const size_t entries = tokens * each * (size_t)(ask->n_top + 2);
    if (texts > MOST_TEXTS || entries > MOST_ENTRIES) {
        return tfr_refuse(
            reading->refusal, TFR_ERROR_INVALID, "prompt",
            "the answer would hold %zu texts and at least %zu entries; at most %d and %d are made at once: ask in parts", texts,
            entries, MOST_TEXTS, MOST_ENTRIES);
    }
    return true;
}

/* Any 64 bits; the engine's seeds are 0 .. 2^53 - 1, others are folded into that. */
static int64_t fold_seed(int64_t seed) {
    const uint64_t most = (UINT64_C(1) << 53) - 1, bits = (uint64_t)seed;
    return seed >= 0 && bits <= most ? seed : (int64_t)((bits * UINT64_C(0x9e3779b97f4a7c15)) >> 11);
}

/* Whatever the config says: requests that ask for no seed get texts of their own. */
static int64_t draw_seed(void) {
    uint32_t random = (uint32_t)tfr_clock_ns();
    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    return random;
}

/* The settings that are not a field's own value. */
static void put_settings(const struct reading *reading, struct tfr_json_out *out) {
    const struct tfr_ask *ask = reading->ask;
    const struct tfr_field_value *seed = value_of(reading, TFR_COMPLETION_seed), *top_k = value_of(reading, TFR_COMPLETION_top_k);
    const struct tfr_field_value *beams = value_of(reading, TFR_COMPLETION_num_beams),
                                 *best = value_of(reading, TFR_COMPLETION_best_of);
    const bool draws = value_of(reading, TFR_COMPLETION_temperature)->given && temperature_of(reading) > 0;
    tfr_fields_put_settings(fields, TFR_N_COMPLETION_FIELDS, reading->doc, reading->values, out);
    tfr_json_put_number(out, "temperature", temperature_of(reading));
    tfr_json_put_int(out, "num_return_sequences", (int64_t)ask->width);
    tfr_json_put_int(out, "num_beams", !ask->beams ? 1 : beams->given ? beams->whole : best->given ? best->whole : (int64_t)ask->n);
    if (ask->beams && !draws) {
        tfr_json_put_bool(out, "do_sample", false);
    }
    tfr_json_put_int(out, "seed", seed->given ? fold_seed(seed->whole) : draw_seed());
    if (top_k->given) {
        tfr_json_put_int(out, "top_k", top_k->whole > 0 ? top_k->whole : 0);
    }
    if (ask->n_top >= 0 || ask->ranked) {
        tfr_json_put_int(out, "logprobs", ask->n_top > 0 ? ask->n_top : 0);
        tfr_json_put_bool(out, "prompt_logprobs", ask->echo && ask->n_top >= 0);
    }
}

static bool make_params(const struct reading *reading) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    put_settings(reading, &out);
    tfr_json_end(&out, '}');
    const enum tfr_status status =
        out.failed ? TFR_RESOURCE : tfr_params_parse_json(reading->call->server->engine, out.text, out.size, &reading->ask->params);
    tfr_free(out.text);
    if (status == TFR_RESOURCE) {
        return tfr_refuse(reading->refusal, TFR_ERROR_NO_MEMORY, NULL, "there is no memory for the settings now");
    }
    return status == TFR_OK || tfr_fields_refuse_settings(fields, TFR_N_COMPLETION_FIELDS, tfr_last_error(), reading->refusal);
}

/* Outside of what the wire allows, the limit of this server is told: the other one would be the next refusal. */
static bool tell_own_limit(const struct reading *reading) {
    static const struct {
        enum tfr_completion_field field;
        const char *key;
    } limited[] = {{TFR_COMPLETION_n, "serve.max_n"},
                   {TFR_COMPLETION_best_of, "serve.max_n"},
                   {TFR_COMPLETION_num_beams, "serve.max_n"},
                   {TFR_COMPLETION_logprobs, "serve.max_logprobs"}};
    for (size_t i = 0; i < TFR_COUNT_OF(limited); i++) {
        const struct tfr_field *field = &fields[limited[i].field];
        if (strcmp(reading->refusal->param, field->name) == 0 && strstr(reading->refusal->text, "is outside") != NULL) {
            tfr_refuse(reading->refusal, TFR_ERROR_INVALID, field->name, "%s = %lld is outside %.0f..%lld of this server",
                       field->name, (long long)reading->values[limited[i].field].whole, field->min,
                       (long long)tfr_settings_int(reading->call->server->settings, limited[i].key));
        }
    }
    return false;
}

/* Before texts are split, which would be for nothing. */
static bool check_room(const struct reading *reading, size_t n) {
    return tfr_request_check_room(reading->call->server->engine, n) == TFR_OK ||
           tfr_refuse_failed(reading->refusal, TFR_ERROR_QUEUE_FULL, NULL, tfr_last_error());
}

static bool read_prompts(const struct reading *reading) {
    struct tfr_server *server = reading->call->server;
    const tfr_json *node = value_of(reading, TFR_COMPLETION_prompt)->node;
    const size_t most = (size_t)tfr_settings_int(server->settings, "serve.max_queue"), n = tfr_ask_prompts_count(node);
    return check_size(reading, n < most ? n : most) && (n > most || check_room(reading, n)) &&
           tfr_ask_prompts_read(&reading->ask->prompts, server, reading->doc, node, "prompt", most, kept_tokens(reading),
                                reading->refusal) &&
           fit_prompts(reading) && check_size(reading, n);
}

static bool read_all(struct reading *reading) {
    const struct tfr_server *server = reading->call->server;
    const bool strict = tfr_settings_bool(server->settings, "serve.strict_fields");
    char unknown[512];
    if (!tfr_fields_read(fields, TFR_N_COMPLETION_FIELDS, reading->doc, reading->values, strict, unknown, sizeof unknown,
                         reading->refusal)) {
        return tell_own_limit(reading);
    }
    tfr_call_name(reading->call, tfr_http_header(reading->call->exchange, "x-request-id") == NULL
                                     ? text_of(reading, TFR_COMPLETION_request_id)
                                     : NULL);
    if (unknown[0] != '\0') {
        tfr_log(TFR_LOG_DEBUG, "serve", "%s: fields that are not known: %s", reading->call->id, unknown);
    }
    return tfr_body_check_model(server, text_of(reading, TFR_COMPLETION_model), reading->refusal) && read_numbers(reading) &&
           check_options(reading) && check_stop(reading) && check_ids(reading) && read_counts(reading) && read_prompts(reading) &&
           make_params(reading);
}

bool tfr_ask_read(struct tfr_ask *ask, struct tfr_call *call, const void *body, size_t size, struct tfr_refusal *refusal) {
    *ask = (struct tfr_ask){0};
    struct tfr_json_doc *doc = tfr_fields_open(body, size, refusal);
    if (doc == NULL) {
        return false;
    }
    struct reading reading = {.ask = ask, .call = call, .doc = doc, .refusal = refusal};
    const bool good = read_all(&reading);
    tfr_json_close(doc);
    if (!good) {
        tfr_ask_free(ask);
    }
    return good;
}

void tfr_ask_refuse_end(struct tfr_refusal *refusal, const char *text) {
    if (strstr(text, "sampling.") != NULL) {
        tfr_fields_refuse_settings(fields, TFR_N_COMPLETION_FIELDS, text, refusal);
    } else {
        tfr_refuse_failed(refusal, TFR_ERROR_INVALID, NULL, text);
    }
}

void tfr_ask_free(struct tfr_ask *ask) {
    tfr_ask_prompts_free(&ask->prompts);
    tfr_params_free(ask->params);
    ask->params = NULL;
}

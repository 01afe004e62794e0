/* config_request.c - the settings of one request of an open engine: the config's own, then what the request says, then what they
 * mean together. A request has the sampling section and input.truncate to itself; no path, no other section. */
#include "config/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

enum { MAX_KEY = 256, MAX_PROBLEMS = 40 };

static const char origin_name[] = "the request";

/* Keys that a request may name. An engine opens its assistant once: a request can only do without it. */
static bool is_open_to_requests(const char *key) {
    return (strncmp(key, "sampling.", 9) == 0 && strcmp(key, "sampling.assistant") != 0) || strcmp(key, "input.truncate") == 0;
}

static bool is_assistant(const char *key) {
    return strcmp(key, "sampling.assistant") == 0;
}

static const char assistant_words[] = "an engine opens its assistant once; a request can say false, to do without it";

static void took(struct tfr_config_reader *reader, int option) {
    reader->config->origin[option] = TFR_ORIGIN_REQUEST;
}

static void read_member(struct tfr_config_reader *reader, const tfr_json *node) {
    char key[MAX_KEY], why[512], nearest[128];
    const char *name = tfr_json_key(node);
    const bool truncates = strcmp(name, "truncate") == 0;
    snprintf(key, sizeof key, "%s%.200s", truncates ? "input." : "sampling.", name);
    const int option = tfr_option_find(key);
    enum tfr_status status;
    if (option < 0) {
        const bool found = tfr_option_nearest("sampling.", name, nearest, sizeof nearest);
        tfr_config_complain(reader, node, TFR_CONFIG, "unknown setting %.200s%s%s%s", name, found ? "; did you mean \"" : "",
                            found ? nearest : "", found ? "\"?" : "; docs/config.md lists those under sampling");
    } else if (tfr_json_kind(node) == TFR_JSON_NULL) {
        return; /* the config's value, whatever the type */
    } else if (is_assistant(key) && tfr_json_kind(node) == TFR_JSON_BOOL && !tfr_json_bool(node)) {
        tfr_option_clear(&reader->config->options, option);
    } else if (is_assistant(key)) {
        tfr_config_complain(reader, node, TFR_CONFIG, "assistant: %s", assistant_words);
    } else if ((status = tfr_option_from_json(reader, option, node, why, sizeof why)) != TFR_OK) {
        tfr_config_complain(reader, node, status, "%s = %s", name, why);
    } else {
        took(reader, option);
    }
}

static void read_members(struct tfr_config_reader *reader, const struct tfr_json_doc *doc) {
    const tfr_json *root = tfr_json_root(doc);
    if (tfr_json_kind(root) != TFR_JSON_OBJECT) {
        tfr_config_complain(reader, root, TFR_CONFIG, "settings must be an object, this is %s",
                            tfr_json_kind_name(tfr_json_kind(root)));
        return;
    }
    for (const tfr_json *node = tfr_json_first(root); node != NULL; node = tfr_json_next(node)) {
        read_member(reader, node);
    }
}

static void refuse(struct tfr_config_reader *reader, const struct tfr_override *override, enum tfr_status status, const char *why) {
    tfr_complaints_add(&reader->complaints, status, TFR_COMPLAINT_LAST_LINE, 0, "%s: %.200s: %s",
                       override->origin != NULL ? override->origin : origin_name, override->key, why);
}

/* What the config lists gives way to the first item that the request names. */
static bool is_first(const struct tfr_override *overrides, size_t at) {
    for (size_t i = 0; i < at; i++) {
        if (strcmp(overrides[i].key, overrides[at].key) == 0) {
            return false;
        }
    }
    return true;
}

static void apply_override(struct tfr_config_reader *reader, const struct tfr_override *overrides, size_t at) {
    const struct tfr_override *override = &overrides[at];
    const int option = tfr_option_find(override->key);
    struct tfr_options *options = &reader->config->options;
    char why[512];
    if (option >= 0 && is_assistant(override->key)) {
        if (strcmp(override->value, "false") == 0) {
            tfr_option_clear(options, option);
        } else {
            refuse(reader, override, TFR_CONFIG, assistant_words);
        }
        return;
    }
    if (option < 0 || !is_open_to_requests(override->key)) {
        refuse(reader, override, TFR_CONFIG, "no setting of a request; those are sampling.* and input.truncate");
        return;
    }
    if (tfr_option_type(option) == TFR_OPTION_LIST && is_first(overrides, at)) {
        tfr_option_clear(options, option);
    }
    const enum tfr_status status = tfr_option_from_text(options, option, override->value, why, sizeof why);
    if (status != TFR_OK) {
        refuse(reader, override, status, why);
    } else {
        took(reader, option);
    }
}

static enum tfr_status read_request(struct tfr_config_reader *reader, const struct tfr_request_text *text) {
    struct tfr_json_doc *doc = NULL;
    if (text->json != NULL) {
        TFR_TRY(tfr_json_open(&doc, origin_name, text->json, text->json_size, TFR_CONFIG));
        reader->doc = doc;
        read_members(reader, doc);
    }
    for (size_t i = 0; i < text->n_overrides; i++) {
        apply_override(reader, text->overrides, i);
    }
    if (reader->complaints.n == 0) {
        tfr_config_settle_request(reader);
    }
    tfr_json_close(doc);
    return tfr_complaints_raise(&reader->complaints, MAX_PROBLEMS);
}

enum tfr_status tfr_config_request(const struct tfr_config *config, const struct tfr_request_text *text,
                                   struct tfr_options *options) {
    size_t n;
    tfr_option_table(&n);
    struct tfr_config own = *config; /* its options and origins are the request's, the rest is the config's */
    own.origin = tfr_alloc(n, sizeof *own.origin);
    enum tfr_status status = tfr_options_copy(&own.options, &config->options);
    if (own.origin != NULL && status == TFR_OK) {
        memcpy(own.origin, config->origin, n * sizeof *own.origin);
        struct tfr_config_reader reader = {.config = &own};
        status = read_request(&reader, text);
    }
    status = own.origin != NULL ? status : TFR_RESOURCE;
    tfr_free(own.origin);
    *options = own.options;
    return status;
}

void tfr_config_request_free(struct tfr_options *options) {
    tfr_options_free(options);
}

/* config_values.c - a value from text (command line) or from JSON into the member of an option. Knows types,
 * ranges and choices; knows nothing of files, places and who asked. */
#include "config/config_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"

static const struct tfr_option_info *info_of(int option) {
    size_t n;
    return &tfr_option_table(&n)[option];
}

static enum tfr_status wrong(char *why, size_t size, const char *format, ...) TFR_PRINTF(3, 4);
static enum tfr_status wrong(char *why, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
    return TFR_CONFIG;
}

/* No wrong value: who gave it is not to blame. */
static enum tfr_status lacks_memory(char *why, size_t size, const char *what) {
    snprintf(why, size, "no memory for the %s", what);
    return TFR_RESOURCE;
}

/* What a value of this type looks like, for "X is not ...". */
static const char *type_words(enum tfr_option_type type) {
    switch (type) {
    case TFR_OPTION_BOOL:
        return "true or false";
    case TFR_OPTION_INT:
        return "a whole number";
    case TFR_OPTION_REAL:
        return "a number";
    case TFR_OPTION_COUNT:
        return "a whole number or \"auto\"";
    case TFR_OPTION_SEED:
        return "a whole number or null";
    case TFR_OPTION_LIST:
        return "a list of texts";
    default:
        return "a text";
    }
}

static enum tfr_status in_range(int option, double value, const char *shown, char *why, size_t size) {
    const struct tfr_option_info *info = info_of(option);
    if (value >= info->min && value <= info->max) {
        return TFR_OK;
    }
    if (info->min == info->max) {
        return wrong(why, size, "%s is not %.15g, the only value there is", shown, info->min);
    }
    return wrong(why, size, "%s is outside %.15g..%.15g", shown, info->min, info->max);
}

static enum tfr_status store_integer(struct tfr_options *options, int option, int64_t value, char *why, size_t size) {
    char shown[32];
    snprintf(shown, sizeof(shown), "%lld", (long long)value);
    TFR_TRY(in_range(option, (double)value, shown, why, size));
    *(int64_t *)tfr_option_member(options, option) = value;
    return TFR_OK;
}

static enum tfr_status store_real(struct tfr_options *options, int option, double value, const char *shown, char *why,
                                  size_t size) {
    TFR_TRY(in_range(option, value, shown, why, size));
    *(double *)tfr_option_member(options, option) = value;
    return TFR_OK;
}

static bool names_choice(const struct tfr_option_info *info, const char *value) {
    const char *name;
    int i = 0;
    while ((name = tfr_choice_name(info->key, i)) != NULL && strcmp(name, value) != 0) {
        i++;
    }
    return name != NULL;
}

/* Whether it is one of "word|word", in small or large letters. */
static bool is_among(const char *list, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = list;; at++) {
        const size_t n = strcspn(at, "|");
        if (n == length && strncasecmp(at, word, n) == 0) {
            return true;
        }
        at += n;
        if (*at == '\0') {
            return false;
        }
    }
}

const char *tfr_choice_instead(const char *key, const char *value) {
    static const struct {
        const char *key, *words, *instead;
    } words[] = {
#define TFR_CHOICE_WORD(key, words, instead) {key, words, instead},
#include "config/choice_words.def"
    };
    for (size_t i = 0; i < TFR_COUNT_OF(words); i++) {
        if (strcmp(words[i].key, key) == 0 && is_among(words[i].words, value)) {
            return words[i].instead;
        }
    }
    return NULL;
}

const char *tfr_choice_nearest(const char *value, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(names[i], value) == 0) {
            return names[i];
        }
    }
    return tfr_nearest_name(value, names, n);
}

static enum tfr_status store_choice(struct tfr_options *options, int option, const char *value, char *why, size_t size) {
    const struct tfr_option_info *info = info_of(option);
    const char *names[16];
    size_t n = 0;
    for (const char *name; n < TFR_COUNT_OF(names) && (name = tfr_choice_name(info->key, (int)n)) != NULL; n++) {
        names[n] = name;
        if (strcmp(name, value) == 0) {
            *(int *)tfr_option_member(options, option) = (int)n;
            return TFR_OK;
        }
    }
    const char *instead = tfr_choice_instead(info->key, value);
    if (instead != NULL) {
        return wrong(why, size, "\"%s\" is not one of %s; %s", value, info->choices, instead);
    }
    const char *nearest = tfr_choice_nearest(value, names, n);
    if (nearest != NULL) {
        return wrong(why, size, "\"%s\" is not one of %s; did you mean \"%s\"?", value, info->choices, nearest);
    }
    return wrong(why, size, "\"%s\" is not one of %s", value, info->choices);
}

static enum tfr_status store_text(struct tfr_options *options, int option, char *owned, char *why, size_t size) {
    if (owned == NULL) {
        return lacks_memory(why, size, "text");
    }
    char **member = tfr_option_member(options, option);
    tfr_free(*member);
    *member = owned;
    return TFR_OK;
}

static enum tfr_status append_item(struct tfr_options *options, int option, const char *item, char *why, size_t size) {
    struct tfr_string_list *list = tfr_option_member(options, option);
    const double limit = info_of(option)->max;
    if (item[0] == '\0' && strcmp(info_of(option)->key, "input.prompts") != 0) {
        return wrong(why, size, "an empty item; leave it out");
    }
    if (limit > 0 && (double)list->n >= limit) {
        return wrong(why, size, "more than %.15g items", limit);
    }
    char **items = tfr_realloc(list->items, list->n + 1, sizeof(*items));
    if (items == NULL) {
        return lacks_memory(why, size, "list");
    }
    list->items = items;
    items[list->n] = tfr_strdup(item);
    if (items[list->n] == NULL) {
        return lacks_memory(why, size, "list");
    }
    list->n++;
    return TFR_OK;
}

static enum tfr_status number_from_text(struct tfr_options *options, int option, const char *value, char *why, size_t size) {
    const enum tfr_option_type type = tfr_option_type(option);
    if (type == TFR_OPTION_COUNT && strcmp(value, "auto") == 0) {
        *(int64_t *)tfr_option_member(options, option) = 0;
        return TFR_OK;
    }
    if (type == TFR_OPTION_SEED && strcmp(value, "null") == 0) {
        *(int64_t *)tfr_option_member(options, option) = -1;
        return TFR_OK;
    }
    double real;
    int64_t integer;
    if (type == TFR_OPTION_REAL && tfr_parse_real(value, &real)) {
        return store_real(options, option, real, value, why, size);
    }
    if (type != TFR_OPTION_REAL && tfr_parse_integer(value, &integer)) {
        return store_integer(options, option, integer, why, size);
    }
    return wrong(why, size, "\"%s\" is not %s", value, type_words(type));
}

static enum tfr_status json_from_text(struct tfr_options *options, int option, const char *value, char *why, size_t size) {
    const enum tfr_status status = tfr_json_scan("the value", value, strlen(value), TFR_CONFIG);
    if (status == TFR_RESOURCE) {
        return lacks_memory(why, size, "value");
    }
    if (status != TFR_OK) {
        return wrong(why, size, "\"%.60s\" is not JSON: %.200s", value, tfr_failure_text());
    }
    if (strcmp(value, "null") == 0) {
        tfr_option_clear(options, option);
        return TFR_OK;
    }
    return store_text(options, option, tfr_strdup(value), why, size);
}

enum tfr_status tfr_option_from_text(struct tfr_options *options, int option, const char *value, char *why, size_t size) {
    switch (tfr_option_type(option)) {
    case TFR_OPTION_BOOL:
        return tfr_parse_bool(value, tfr_option_member(options, option)) ? TFR_OK
                                                                         : wrong(why, size, "\"%s\" is not true or false", value);
    case TFR_OPTION_INT:
    case TFR_OPTION_REAL:
    case TFR_OPTION_COUNT:
    case TFR_OPTION_SEED:
        return number_from_text(options, option, value, why, size);
    case TFR_OPTION_CHOICE:
        return store_choice(options, option, value, why, size);
    case TFR_OPTION_PATH:
        if (value[0] == '\0') {
            return wrong(why, size, "the path is empty");
        }
        return store_text(options, option, tfr_strdup(value), why, size);
    case TFR_OPTION_TEXT:
        return store_text(options, option, tfr_strdup(value), why, size);
    case TFR_OPTION_JSON:
        return json_from_text(options, option, value, why, size);
    case TFR_OPTION_LIST:
        return append_item(options, option, value, why, size);
    }
    return TFR_CONFIG;
}

static enum tfr_status integer_from_json(struct tfr_config_reader *reader, int option, const tfr_json *node, char *why,
                                         size_t size) {
    struct tfr_options *options = &reader->config->options;
    char shown[64];
    int64_t value;
    if (tfr_json_whole(reader->doc, node, &value)) {
        return store_integer(options, option, value, why, size);
    }
    const char *text = tfr_json_string(node);
    if (text != NULL && tfr_option_type(option) == TFR_OPTION_COUNT && strcmp(text, "auto") == 0) {
        return number_from_text(options, option, text, why, size);
    }
    return wrong(why, size, "%s is not %s", tfr_json_value_text(node, shown, sizeof(shown)), type_words(tfr_option_type(option)));
}

/* Plugins are files: a relative path starts from the folder of the config, as those of all other options do.
 */
static enum tfr_status append_from_file(struct tfr_config_reader *reader, int option, const char *item, char *why, size_t size) {
    if (tfr_option_trust(option) != TFR_TRUST_LOADS || item[0] == '\0') {
        return append_item(&reader->config->options, option, item, why, size);
    }
    char *path = tfr_path_join(reader->config->directory, item);
    const enum tfr_status status =
        path != NULL ? append_item(&reader->config->options, option, path, why, size) : lacks_memory(why, size, "path");
    tfr_free(path);
    return status;
}

static enum tfr_status list_from_json(struct tfr_config_reader *reader, int option, const tfr_json *node, char *why, size_t size) {
    struct tfr_options *options = &reader->config->options;
    char shown[64];
    tfr_option_clear(options, option);
    if (tfr_json_kind(node) == TFR_JSON_STRING) {
        return append_from_file(reader, option, tfr_json_string(node), why, size);
    }
    if (tfr_json_kind(node) != TFR_JSON_ARRAY) {
        return wrong(why, size, "%s is not a list of texts", tfr_json_value_text(node, shown, sizeof(shown)));
    }
    size_t n = 0;
    for (const tfr_json *item = tfr_json_first(node); item != NULL; item = tfr_json_next(item), n++) {
        if (tfr_json_kind(item) != TFR_JSON_STRING) {
            return wrong(why, size, "item %zu of the list is %s, not a text", n, tfr_json_value_text(item, shown, sizeof(shown)));
        }
        TFR_TRY(append_from_file(reader, option, tfr_json_string(item), why, size));
    }
    return TFR_OK;
}

static enum tfr_status path_from_json(struct tfr_config_reader *reader, int option, const char *path, char *why, size_t size) {
    if (path[0] == '\0') {
        return wrong(why, size, "\"\" is an empty path");
    }
    const bool is_stream = strcmp(path, "-") == 0 && tfr_option_takes_dash(option);
    char *joined = is_stream ? tfr_strdup(path) : tfr_path_join(reader->config->directory, path);
    return store_text(&reader->config->options, option, joined, why, size);
}

enum tfr_status tfr_option_from_json(struct tfr_config_reader *reader, int option, const tfr_json *node, char *why, size_t size) {
    struct tfr_options *options = &reader->config->options;
    const enum tfr_option_type type = tfr_option_type(option);
    const enum tfr_json_kind kind = tfr_json_kind(node);
    const bool has_null = type == TFR_OPTION_TEXT || type == TFR_OPTION_PATH || type == TFR_OPTION_SEED ||
                          type == TFR_OPTION_LIST || type == TFR_OPTION_JSON;
    char shown[64];
    if (kind == TFR_JSON_NULL && has_null) {
        return TFR_OK; /* null is the default of these types */
    }
    if (type == TFR_OPTION_INT || type == TFR_OPTION_COUNT || type == TFR_OPTION_SEED) {
        return integer_from_json(reader, option, node, why, size);
    }
    if (type == TFR_OPTION_LIST) {
        return list_from_json(reader, option, node, why, size);
    }
    if (type == TFR_OPTION_JSON && kind != TFR_JSON_STRING) {
        return store_text(options, option, tfr_config_json_text(reader->doc, node), why, size);
    }
    tfr_json_value_text(node, shown, sizeof(shown));
    if (type == TFR_OPTION_CHOICE && kind != TFR_JSON_STRING) { /* of choices like true|false|never and 32|64 */
        return names_choice(info_of(option), shown) ? store_choice(options, option, shown, why, size)
                                                    : wrong(why, size, "%s is not one of %s", shown, info_of(option)->choices);
    }
    if (type == TFR_OPTION_BOOL && kind == TFR_JSON_BOOL) {
        *(bool *)tfr_option_member(options, option) = tfr_json_bool(node);
        return TFR_OK;
    }
    if (type == TFR_OPTION_REAL && kind == TFR_JSON_NUMBER) {
        return store_real(options, option, tfr_json_number(node), shown, why, size);
    }
    if (kind != TFR_JSON_STRING || type == TFR_OPTION_BOOL || type == TFR_OPTION_REAL) {
        return wrong(why, size, "%s is not %s", shown, type_words(type));
    }
    const char *text = tfr_json_string(node);
    if (type == TFR_OPTION_PATH) {
        return path_from_json(reader, option, text, why, size);
    }
    return tfr_option_from_text(options, option, text, why, size);
}

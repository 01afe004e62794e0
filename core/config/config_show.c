/* config_show.c - options and JSON values as text, for messages and for keeping. */
#include "config/config_internal.h"

#include <stdio.h>

#include "base/arena.h"

void tfr_option_value_text(struct tfr_options *options, int option, char *text, size_t size) {
    size_t n;
    const void *member = tfr_option_member(options, option);
    const char *words;
    switch (tfr_option_type(option)) {
    case TFR_OPTION_BOOL:
        snprintf(text, size, "%s", *(const bool *)member ? "true" : "false");
        break;
    case TFR_OPTION_REAL:
        snprintf(text, size, "%g", *(const double *)member);
        break;
    case TFR_OPTION_CHOICE:
        snprintf(text, size, "%s", tfr_choice_name(tfr_option_table(&n)[option].key, *(const int *)member));
        break;
    case TFR_OPTION_INT:
    case TFR_OPTION_COUNT:
    case TFR_OPTION_SEED:
        snprintf(text, size, "%lld", (long long)*(const int64_t *)member);
        break;
    case TFR_OPTION_LIST:
        snprintf(text, size, "%zu texts", ((const struct tfr_string_list *)member)->n);
        break;
    default:
        words = *(char *const *)member;
        snprintf(text, size, "%.100s", words != NULL ? words : "null");
    }
}

const char *tfr_json_value_text(const tfr_json *node, char *text, size_t size) {
    switch (tfr_json_kind(node)) {
    case TFR_JSON_NULL:
        snprintf(text, size, "null");
        break;
    case TFR_JSON_BOOL:
        snprintf(text, size, "%s", tfr_json_bool(node) ? "true" : "false");
        break;
    case TFR_JSON_NOT_FINITE:
        snprintf(text, size, "%s (JSON has none, Python writes it)", tfr_json_not_finite(node));
        break;
    case TFR_JSON_NUMBER:
        snprintf(text, size, "%.15g", tfr_json_number(node));
        break;
    case TFR_JSON_STRING:
        snprintf(text, size, "\"%.40s\"", tfr_json_string(node));
        break;
    case TFR_JSON_ARRAY:
        snprintf(text, size, "[...]");
        break;
    case TFR_JSON_OBJECT:
        snprintf(text, size, "{...}");
        break;
    }
    return text;
}

char *tfr_config_json_text(const struct tfr_json_doc *doc, const tfr_json *node) {
    struct tfr_json_out out = {0};
    tfr_json_put_node(&out, NULL, doc, node);
    char *text;
    return tfr_json_take(&out, &text) == TFR_OK ? text : NULL;
}

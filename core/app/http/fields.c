/* fields.c - see fields.h. */
#include "app/http/fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

bool tfr_refuse(struct tfr_refusal *refusal, enum tfr_error error, const char *param, const char *format, ...) {
    va_list arguments;
    refusal->error = error;
    snprintf(refusal->param, sizeof refusal->param, "%s", param != NULL ? param : "");
    va_start(arguments, format);
    vsnprintf(refusal->text, sizeof refusal->text, format, arguments);
    va_end(arguments);
    return false;
}

bool tfr_refuse_failed(struct tfr_refusal *refusal, enum tfr_error error, const char *param, const char *text) {
    tfr_refuse(refusal, error, param, "%s", text);
    for (char *at = refusal->text; *at != '\0'; at++) { /* one sentence after the other, on one line */
        if (*at == '\n') {
            *at = ' ';
        }
    }
    return false;
}

/* Where a word of names stands in a text, as a whole; NULL: nowhere. */
static const char *find_word(const char *text, const char *word) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
    const size_t length = strlen(word);
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        const bool begins = at == text || strchr(letters, at[-1]) == NULL;
        if (begins && (at[length] == '\0' || strchr(letters, at[length]) == NULL)) {
            return at;
        }
    }
    return NULL;
}

bool tfr_fields_refuse_settings(const struct tfr_field *table, size_t n, const char *text, struct tfr_refusal *refusal) {
    static const char origin[] = "the request:", section[] = "sampling.";
    const char *first = NULL;
    if (strncmp(text, origin, sizeof origin - 1) == 0) { /* a place in a text that nobody sent */
        const char *said = strstr(text, ": ");
        text = said != NULL ? said + 2 : text;
    }
    tfr_refuse_failed(refusal, TFR_ERROR_INVALID, NULL, text);
    for (char *at = strstr(refusal->text, section); at != NULL; at = strstr(at, section)) {
        memmove(at, at + sizeof section - 1, strlen(at + sizeof section - 1) + 1);
    }
    for (size_t i = 0; i < n; i++) {
        const char *at = find_word(refusal->text, table[i].setting != NULL ? table[i].setting : table[i].name);
        if (at != NULL && (first == NULL || at < first)) {
            first = at;
            snprintf(refusal->param, sizeof refusal->param, "%s", table[i].name);
        }
    }
    return false;
}

struct tfr_json_doc *tfr_fields_open(const void *body, size_t size, struct tfr_refusal *refusal) {
    static const struct tfr_json_limits limits = {.depth = 32, .values = 65536, .n_digits = 32};
    struct tfr_json_doc *doc;
    const enum tfr_status status = tfr_json_open_limited(&doc, "body", body, size, TFR_USAGE, &limits);
    if (status == TFR_RESOURCE) {
        tfr_refuse(refusal, TFR_ERROR_NO_MEMORY, NULL, "there is no memory for a body of %zu bytes now", size);
        return NULL;
    }
    if (status != TFR_OK) {
        tfr_refuse_failed(refusal, TFR_ERROR_INVALID_JSON, NULL, tfr_failure_text());
        return NULL;
    }
    const enum tfr_json_kind kind = tfr_json_kind(tfr_json_root(doc));
    if (kind != TFR_JSON_OBJECT) {
        tfr_refuse(refusal, TFR_ERROR_INVALID, NULL, "the body must be an object, this is %s", tfr_json_kind_name(kind));
        tfr_json_close(doc);
        return NULL;
    }
    return doc;
}

static const struct tfr_field *find_field(const struct tfr_field *table, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

/* One field under reading. */
struct reading {
    const struct tfr_field *field;
    const struct tfr_json_doc *doc;
    const tfr_json *node;
    struct tfr_refusal *refusal;
};

static bool wrong_type(const struct reading *reading, const char *wanted) {
    return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field->name, "%s must be %s, this is %s", reading->field->name,
                      wanted, tfr_json_kind_name(tfr_json_kind(reading->node)));
}

static bool check_range(const struct reading *reading, double value) {
    const struct tfr_field *field = reading->field;
    if (field->min == field->max || (value >= field->min && value <= field->max)) {
        return true;
    }
    return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, field->name, "%s = %.10g is outside %.10g..%.10g", field->name, value,
                      field->min, field->max);
}

static bool read_int(const struct reading *reading, struct tfr_field_value *value) {
    if (tfr_json_kind(reading->node) != TFR_JSON_NUMBER) {
        return wrong_type(reading, "a whole number");
    }
    if (!tfr_json_whole(reading->doc, reading->node, &value->whole)) {
        return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field->name, "%s = %.17g is not a whole number of 64 bits",
                          reading->field->name, tfr_json_number(reading->node));
    }
    value->real = (double)value->whole;
    return check_range(reading, value->real);
}

static bool read_real(const struct reading *reading, struct tfr_field_value *value) {
    if (tfr_json_kind(reading->node) != TFR_JSON_NUMBER) {
        return wrong_type(reading, "a number");
    }
    value->real = tfr_json_number(reading->node);
    return check_range(reading, value->real);
}

static bool read_texts(const struct reading *reading) {
    const enum tfr_json_kind kind = tfr_json_kind(reading->node);
    bool all = kind == TFR_JSON_ARRAY || kind == TFR_JSON_STRING;
    for (const tfr_json *item = kind == TFR_JSON_ARRAY ? tfr_json_first(reading->node) : NULL; item != NULL;
         item = tfr_json_next(item)) {
        all &= tfr_json_kind(item) == TFR_JSON_STRING;
    }
    return all || wrong_type(reading, "a string or a list of strings");
}

static bool read_ids(const struct reading *reading) {
    bool all = tfr_json_kind(reading->node) == TFR_JSON_ARRAY;
    for (const tfr_json *item = all ? tfr_json_first(reading->node) : NULL; item != NULL; item = tfr_json_next(item)) {
        int64_t id;
        all &= tfr_json_int64(reading->doc, item, &id) && id >= 0;
    }
    return all || wrong_type(reading, "a list of token ids");
}

static bool read_map(const struct reading *reading) {
    if (tfr_json_kind(reading->node) != TFR_JSON_OBJECT) {
        return wrong_type(reading, "an object of token ids and numbers");
    }
    for (const tfr_json *item = tfr_json_first(reading->node); item != NULL; item = tfr_json_next(item)) {
        if (tfr_json_kind(item) != TFR_JSON_NUMBER) {
            return tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field->name,
                              "%s[\"%.20s\"] must be a number, this is %s", reading->field->name, tfr_json_key(item),
                              tfr_json_kind_name(tfr_json_kind(item)));
        }
        if (!check_range(reading, tfr_json_number(item))) {
            return false;
        }
    }
    return true;
}

/* Nothing that would change an answer: null, false, 0, "", [], {}; or the default. */
static bool read_fixed(const struct reading *reading) {
    const tfr_json *node = reading->node;
    const char *usual = reading->field->default_text;
    bool neutral = false;
    switch (tfr_json_kind(node)) {
    case TFR_JSON_BOOL:
        neutral = tfr_json_bool(node) == (usual != NULL && strcmp(usual, "true") == 0);
        break;
    case TFR_JSON_NUMBER:
        neutral = tfr_json_number(node) == (usual != NULL ? strtod(usual, NULL) : 0);
        break;
    case TFR_JSON_STRING:
        neutral = tfr_json_string(node)[0] == '\0';
        break;
    case TFR_JSON_ARRAY:
    case TFR_JSON_OBJECT:
        neutral = tfr_json_size(node) == 0;
        break;
    default:
        break;
    }
    return neutral || tfr_refuse(reading->refusal, TFR_ERROR_INVALID, reading->field->name,
                                 "%s is not served here (%s); leave it out", reading->field->name, reading->field->help);
}

static bool read_value(const struct reading *reading, struct tfr_field_value *value) {
    value->node = reading->node;
    value->given = true;
    switch (reading->field->type) {
    case TFR_FIELD_BOOL:
        value->yes = tfr_json_bool(reading->node);
        return tfr_json_kind(reading->node) == TFR_JSON_BOOL || wrong_type(reading, "true or false");
    case TFR_FIELD_INT:
        return read_int(reading, value);
    case TFR_FIELD_REAL:
        return read_real(reading, value);
    case TFR_FIELD_TEXT:
        return tfr_json_kind(reading->node) == TFR_JSON_STRING || wrong_type(reading, "a string");
    case TFR_FIELD_TEXTS:
        return read_texts(reading);
    case TFR_FIELD_IDS:
        return read_ids(reading);
    case TFR_FIELD_MAP:
        return read_map(reading);
    case TFR_FIELD_OBJECT:
        return tfr_json_kind(reading->node) == TFR_JSON_OBJECT || wrong_type(reading, "an object");
    case TFR_FIELD_FIXED:
        return read_fixed(reading);
    case TFR_FIELD_ANY:
        break;
    }
    return true;
}

static void set_default(const struct tfr_field *field, struct tfr_field_value *value) {
    *value = (struct tfr_field_value){0};
    if (field->default_text != NULL) {
        value->yes = strcmp(field->default_text, "true") == 0;
        value->whole = strtoll(field->default_text, NULL, 10);
        value->real = strtod(field->default_text, NULL);
    }
}

static bool take_unknown(const struct tfr_field *table, size_t n, const char *name, bool strict, char *unknown, size_t size,
                         struct tfr_refusal *refusal) {
    const char *names[128];
    size_t n_names = 0;
    if (!strict) {
        const size_t used = strlen(unknown);
        snprintf(unknown + used, size - used, "%s%.40s", used > 0 ? ", " : "", name);
        return true;
    }
    for (size_t i = 0; i < n && n_names < TFR_COUNT_OF(names); i++) {
        names[n_names++] = table[i].name;
    }
    const char *near = tfr_nearest_name(name, names, n_names);
    return tfr_refuse(refusal, TFR_ERROR_INVALID, name, "unknown field %.40s%s%s%s", name, near != NULL ? "; did you mean \"" : "",
                      near != NULL ? near : "", near != NULL ? "\"?" : "");
}

bool tfr_fields_read(const struct tfr_field *table, size_t n, const struct tfr_json_doc *doc, struct tfr_field_value *values,
                     bool strict, char *unknown, size_t unknown_size, struct tfr_refusal *refusal) {
    for (size_t i = 0; i < n; i++) {
        set_default(&table[i], &values[i]);
    }
    unknown[0] = '\0';
    for (const tfr_json *node = tfr_json_first(tfr_json_root(doc)); node != NULL; node = tfr_json_next(node)) {
        const struct tfr_field *field = find_field(table, n, tfr_json_key(node));
        if (field == NULL) {
            if (!take_unknown(table, n, tfr_json_key(node), strict, unknown, unknown_size, refusal)) {
                return false;
            }
            continue;
        }
        const struct reading reading = {.field = field, .doc = doc, .node = node, .refusal = refusal};
        if (tfr_json_kind(node) != TFR_JSON_NULL && !read_value(&reading, &values[field - table])) {
            return false;
        }
    }
    return true;
}

void tfr_fields_put_settings(const struct tfr_field *table, size_t n, const struct tfr_json_doc *doc,
                             const struct tfr_field_value *values, struct tfr_json_out *out) {
    for (size_t i = 0; i < n; i++) {
        if (table[i].setting == NULL) {
            continue;
        }
        if (values[i].given) {
            tfr_json_put_node(out, table[i].setting, doc, values[i].node);
        } else if (table[i].default_text != NULL) {
            tfr_json_put_value(out, table[i].setting, table[i].default_text);
        }
    }
}

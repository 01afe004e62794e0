/* fields.h - a JSON body read by a table of fields: types, ranges, null for the default, unknown ones. The table is also what the
 * OpenAPI document and the docs are written from. Thread rule: any thread, no state. */
#ifndef TFR_APP_HTTP_FIELDS_H
#define TFR_APP_HTTP_FIELDS_H

#include "app/http/errors.h"

enum tfr_field_type {
    TFR_FIELD_BOOL,
    TFR_FIELD_INT, /* 3.0 is 3 */
    TFR_FIELD_REAL,
    TFR_FIELD_TEXT,
    TFR_FIELD_TEXTS, /* a text or a list of texts */
    TFR_FIELD_IDS,   /* a list of token ids */
    TFR_FIELD_MAP,   /* an object of names and numbers */
    TFR_FIELD_OBJECT,
    TFR_FIELD_ANY,  /* who asks for it looks at it */
    TFR_FIELD_FIXED /* known and not served: its default, or nothing at all, is taken */
};

struct tfr_field {
    const char *name;
    enum tfr_field_type type;
    const char *default_text; /* JSON; NULL: none */
    double min, max;          /* of numbers, also in maps; equal: no limits */
    const char *setting;      /* of the sampling section, that it is; NULL: it is something else */
    const char *help;
};

/* Without a value and without a default only `given` counts. */
struct tfr_field_value {
    const tfr_json *node; /* NULL unless it is given */
    bool given;           /* there, and not null */
    bool yes;
    int64_t whole;
    double real;
};

/* Why a request is not served. */
struct tfr_refusal {
    enum tfr_error error;
    char param[64]; /* "": none */
    char text[768];
};
/* False, so that it can be returned. `param` may be NULL. */
bool tfr_refuse(struct tfr_refusal *refusal, enum tfr_error error, const char *param, const char *format, ...) TFR_PRINTF(4, 5);
/* The same with the text of the last failure of base/ or of the library. */
bool tfr_refuse_failed(struct tfr_refusal *refusal, enum tfr_error error, const char *param, const char *text);

/* The same where settings of the engine were refused: in words of the fields, and of the field that it is about. */
bool tfr_fields_refuse_settings(const struct tfr_field *table, size_t n, const char *text, struct tfr_refusal *refusal);

/* The body as an object, within the limits of a stranger's text. NULL after a refusal; tfr_json_close it. */
struct tfr_json_doc *tfr_fields_open(const void *body, size_t size, struct tfr_refusal *refusal);
/* values[n]. Unknown fields are refused if `strict`; otherwise their names are in `unknown`, separated by commas. */
bool tfr_fields_read(const struct tfr_field *table, size_t n, const struct tfr_json_doc *doc, struct tfr_field_value *values,
                     bool strict, char *unknown, size_t unknown_size, struct tfr_refusal *refusal);
/* The fields with a setting that are given or have a default, as members of an object for tfr_params_parse_json. */
void tfr_fields_put_settings(const struct tfr_field *table, size_t n, const struct tfr_json_doc *doc,
                             const struct tfr_field_value *values, struct tfr_json_out *out);

#endif

/* field_tables.h - the fields of the smaller routes by name: TFR_TOKENIZE_prompt is their place in tfr_tokenize_fields. */
#ifndef TFR_APP_HTTP_FIELD_TABLES_H
#define TFR_APP_HTTP_FIELD_TABLES_H

#include "app/http/fields.h"

enum tfr_tokenize_field {
#define TFR_FIELD(name, type, def, min, max, setting, help) TFR_TOKENIZE_##name,
#include "app/http/tokenize_fields.def"
#undef TFR_FIELD
    TFR_N_TOKENIZE_FIELDS
};
enum tfr_detokenize_field {
#define TFR_FIELD(name, type, def, min, max, setting, help) TFR_DETOKENIZE_##name,
#include "app/http/detokenize_fields.def"
#undef TFR_FIELD
    TFR_N_DETOKENIZE_FIELDS
};
enum tfr_embedding_field {
#define TFR_FIELD(name, type, def, min, max, setting, help) TFR_EMBEDDING_##name,
#include "app/http/embedding_fields.def"
#undef TFR_FIELD
    TFR_N_EMBEDDING_FIELDS
};
enum tfr_classify_field {
#define TFR_FIELD(name, type, def, min, max, setting, help) TFR_CLASSIFY_##name,
#include "app/http/classify_fields.def"
#undef TFR_FIELD
    TFR_N_CLASSIFY_FIELDS
};
enum tfr_chat_field {
#define TFR_FIELD(name, type, def, min, max, setting, help) TFR_CHAT_##name,
#include "app/http/chat_fields.def"
#undef TFR_FIELD
    TFR_N_CHAT_FIELDS
};

extern const struct tfr_field tfr_tokenize_fields[], tfr_detokenize_fields[], tfr_embedding_fields[], tfr_classify_fields[],
    tfr_chat_fields[];

/* The fields of a route that takes a body, by the name of its handler; NULL without any. */
const struct tfr_field *tfr_fields_of_route(const char *name, size_t *n);

#endif

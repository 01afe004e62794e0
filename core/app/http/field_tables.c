/* field_tables.c - see field_tables.h. */
#include "app/http/field_tables.h"

#include <string.h>

#include "app/http/ask.h"
#include "base/status.h"

#define TFR_FIELD(name, type, def, min, max, setting, help) {#name, TFR_FIELD_##type, def, min, max, setting, help},
const struct tfr_field tfr_tokenize_fields[] = {
#include "app/http/tokenize_fields.def"
};
const struct tfr_field tfr_detokenize_fields[] = {
#include "app/http/detokenize_fields.def"
};
const struct tfr_field tfr_embedding_fields[] = {
#include "app/http/embedding_fields.def"
};
const struct tfr_field tfr_classify_fields[] = {
#include "app/http/classify_fields.def"
};
const struct tfr_field tfr_chat_fields[] = {
#include "app/http/chat_fields.def"
};
#undef TFR_FIELD

const struct tfr_field *tfr_fields_of_route(const char *name, size_t *n) {
    const struct {
        const char *name;
        const struct tfr_field *fields;
        size_t n;
    } routes[] = {
        {"tokenize", tfr_tokenize_fields, TFR_N_TOKENIZE_FIELDS},
        {"detokenize", tfr_detokenize_fields, TFR_N_DETOKENIZE_FIELDS},
        {"embeddings", tfr_embedding_fields, TFR_N_EMBEDDING_FIELDS},
        {"classify", tfr_classify_fields, TFR_N_CLASSIFY_FIELDS},
        {"chat_completions", tfr_chat_fields, TFR_N_CHAT_FIELDS},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(routes); i++) {
        if (strcmp(routes[i].name, name) == 0) {
            *n = routes[i].n;
            return routes[i].fields;
        }
    }
    *n = 0;
    return strcmp(name, "completions") == 0 ? tfr_completion_fields(n) : NULL;
}

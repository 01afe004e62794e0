/* body.h - the body of a small request, read by a table of fields; and whether the model that it names is here. Thread rule:
 * network thread. */
#ifndef TFR_APP_HTTP_BODY_H
#define TFR_APP_HTTP_BODY_H

#include "app/http/fields.h"
#include "app/http/server.h"

enum { TFR_BODY_FIELDS = 24 }; /* at most, of a table */

struct tfr_body {
    struct tfr_json_doc *doc;
    struct tfr_field_value values[TFR_BODY_FIELDS];
};

/* Replies where the body is refused: false then, and nothing is to be closed. A field "model" must name this one, as
 * serve.strict_model says. */
bool tfr_body_read(struct tfr_body *body, struct tfr_call *call, const struct tfr_field *table, size_t n);
void tfr_body_close(struct tfr_body *body);

/* `name` NULL: this one. */
bool tfr_body_check_model(const struct tfr_server *server, const char *name, struct tfr_refusal *refusal);

#endif

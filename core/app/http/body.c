/* body.c - see body.h. */
#include "app/http/body.h"

#include <string.h>

#include "app/http/reply.h"
#include "base/log.h"

bool tfr_body_check_model(const struct tfr_server *server, const char *name, struct tfr_refusal *refusal) {
    if (name == NULL || tfr_server_has_model(server, name) || !tfr_settings_bool(server->settings, "serve.strict_model")) {
        return true;
    }
    return tfr_refuse(refusal, TFR_ERROR_MODEL_NOT_FOUND, "model", "there is no model %.200s here, but %.200s", name,
                      server->model);
}

static const char *model_of(const struct tfr_body *body, const struct tfr_field *table, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, "model") == 0 && body->values[i].given) {
            return tfr_json_string(body->values[i].node);
        }
    }
    return NULL;
}

bool tfr_body_read(struct tfr_body *body, struct tfr_call *call, const struct tfr_field *table, size_t n) {
    const struct tfr_server *server = call->server;
    struct tfr_refusal refusal;
    char unknown[512] = "";
    size_t size;
    const char *text = tfr_http_body(call->exchange, &size);
    body->doc = tfr_fields_open(text, size, &refusal);
    const bool good = body->doc != NULL &&
                      tfr_fields_read(table, n, body->doc, body->values, tfr_settings_bool(server->settings, "serve.strict_fields"),
                                      unknown, sizeof unknown, &refusal) &&
                      tfr_body_check_model(server, model_of(body, table, n), &refusal);
    if (!good) {
        tfr_body_close(body);
        tfr_reply_refusal(call->exchange, &refusal, NULL, 0);
    } else if (unknown[0] != '\0') {
        tfr_log(TFR_LOG_DEBUG, "serve", "%s: fields that are not known: %s", call->id, unknown);
    }
    return good;
}

void tfr_body_close(struct tfr_body *body) {
    if (body->doc != NULL) {
        tfr_json_close(body->doc);
    }
    body->doc = NULL;
}

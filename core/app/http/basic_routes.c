/* basic_routes.c - whether the server is well, and which model it has. */
#include <string.h>

#include "app/http/reply.h"
#include "app/http/route.h"

/* Something runs, and no step has ended for so long: the engine hangs. */
static const double longest_step_s = 30;

void tfr_route_health(struct tfr_server *server, struct tfr_exchange *x) {
    const int state = atomic_load(&server->state);
    struct tfr_serving serving = {0};
    if (state == TFR_SERVER_READY) {
        tfr_engine_serving(server->engine, &serving);
    }
    const bool hangs = serving.last_step_age_s > longest_step_s;
    const char *word = state == TFR_SERVER_LOADING ? "loading" : state == TFR_SERVER_DRAINING ? "draining" : hangs ? "stuck" : "ok";
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "status", word);
    if (hangs) {
        tfr_json_put_number(&out, "last_step_age_s", serving.last_step_age_s);
    }
    tfr_json_end(&out, '}');
    tfr_reply_json(x, state == TFR_SERVER_READY && !hangs ? 200 : 503, &out);
}

bool tfr_server_has_model(const struct tfr_server *server, const char *name) {
    char *const *aliases;
    const size_t n = tfr_settings_list(server->settings, "model.aliases", &aliases);
    bool has = strcmp(name, server->model) == 0;
    for (size_t i = 0; i < n; i++) {
        has |= strcmp(name, aliases[i]) == 0;
    }
    return has;
}

static void put_model(struct tfr_json_out *out, const struct tfr_server *server, const char *name) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "id", name);
    tfr_json_put_text(out, "object", "model");
    tfr_json_put_int(out, "created", server->created);
    tfr_json_put_text(out, "owned_by", "tfrun");
    tfr_json_put_int(out, "max_model_len", server->n_positions);
    tfr_json_end(out, '}');
}

void tfr_route_models(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_json_out out = {0};
    char *const *aliases;
    const size_t n = tfr_settings_list(server->settings, "model.aliases", &aliases);
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "object", "list");
    tfr_json_begin(&out, "data", '[');
    put_model(&out, server, server->model);
    for (size_t i = 0; i < n; i++) {
        put_model(&out, server, aliases[i]);
    }
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    tfr_reply_json(x, 200, &out);
}

static int hex_digit(char digit) {
    const char lower = (char)(digit | 0x20);
    return digit >= '0' && digit <= '9' ? digit - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* A part of a path with its percent signs resolved; what is too long is cut. */
static void copy_decoded(char *to, size_t size, const char *from) {
    size_t n = 0;
    while (*from != '\0' && n + 1 < size) {
        const int high = *from == '%' ? hex_digit(from[1]) : -1, low = high >= 0 ? hex_digit(from[2]) : -1;
        to[n++] = low >= 0 ? (char)(high * 16 + low) : *from;
        from += low >= 0 ? 3 : 1;
    }
    to[n] = '\0';
}

void tfr_route_model(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_json_out out = {0};
    char name[256];
    copy_decoded(name, sizeof name, tfr_route_rest(x));
    if (!tfr_server_has_model(server, name)) {
        tfr_reply_error(x, TFR_ERROR_MODEL_NOT_FOUND, "model", "there is no model %.200s here, but %.200s", name, server->model);
        return;
    }
    put_model(&out, server, name);
    tfr_reply_json(x, 200, &out);
}

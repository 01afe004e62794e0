/* openapi.c - GET /openapi.json: the routes and the fields of their bodies, from the tables that serve and check them. */
#include <stdio.h>
#include <string.h>

#include "app/http/field_tables.h"
#include "app/http/reply.h"
#include "app/http/route.h"

static void put_type(struct tfr_json_out *out, const char *type) {
    tfr_json_put_text(out, "type", type);
}

/* Null is as good as absent for every field. */
static void put_type_or_null(struct tfr_json_out *out, const char *type) {
    tfr_json_begin(out, "type", '[');
    tfr_json_put_text(out, NULL, type);
    tfr_json_put_text(out, NULL, "null");
    tfr_json_end(out, ']');
}

static void put_array(struct tfr_json_out *out, const char *type) {
    put_type_or_null(out, "array");
    tfr_json_begin(out, "items", '{');
    put_type(out, type);
    tfr_json_end(out, '}');
}

static void put_range(struct tfr_json_out *out, const struct tfr_field *field) {
    if (field->min < field->max) {
        tfr_json_put_number(out, "minimum", field->min);
        tfr_json_put_number(out, "maximum", field->max);
    }
}

static void put_texts(struct tfr_json_out *out) {
    tfr_json_begin(out, "anyOf", '[');
    tfr_json_begin(out, NULL, '{');
    put_type_or_null(out, "string");
    tfr_json_end(out, '}');
    tfr_json_begin(out, NULL, '{');
    put_array(out, "string");
    tfr_json_end(out, '}');
    tfr_json_end(out, ']');
}

static void put_map(struct tfr_json_out *out, const struct tfr_field *field) {
    put_type_or_null(out, "object");
    tfr_json_begin(out, "additionalProperties", '{');
    put_type(out, "number");
    put_range(out, field);
    tfr_json_end(out, '}');
}

static void put_kind(struct tfr_json_out *out, const struct tfr_field *field) {
    switch (field->type) {
    case TFR_FIELD_BOOL:
        put_type_or_null(out, "boolean");
        break;
    case TFR_FIELD_INT:
    case TFR_FIELD_REAL:
        put_type_or_null(out, field->type == TFR_FIELD_INT ? "integer" : "number");
        put_range(out, field);
        break;
    case TFR_FIELD_TEXT:
        put_type_or_null(out, "string");
        break;
    case TFR_FIELD_TEXTS:
        put_texts(out);
        break;
    case TFR_FIELD_IDS:
        put_array(out, "integer");
        break;
    case TFR_FIELD_MAP:
        put_map(out, field);
        break;
    case TFR_FIELD_OBJECT:
        put_type_or_null(out, "object");
        break;
    case TFR_FIELD_ANY: /* the description says what */
    case TFR_FIELD_FIXED:
        break;
    }
}

static void put_field(struct tfr_json_out *out, const struct tfr_field *field) {
    tfr_json_begin(out, field->name, '{');
    put_kind(out, field);
    if (field->default_text != NULL) {
        tfr_json_put_value(out, "default", field->default_text);
    }
    tfr_json_put_text(out, "description", field->help);
    if (field->type == TFR_FIELD_FIXED) {
        tfr_json_put_bool(out, "deprecated", true);
    }
    tfr_json_end(out, '}');
}

static bool has_field(const struct tfr_field *fields, size_t n, const char *name) {
    bool has = false;
    for (size_t i = 0; i < n; i++) {
        has |= strcmp(fields[i].name, name) == 0;
    }
    return has;
}

/* A chat has the fields of completions behind its own. */
static void put_properties(struct tfr_json_out *out, const char *name) {
    size_t n, n_more = 0;
    const struct tfr_field *fields = tfr_fields_of_route(name, &n);
    const struct tfr_field *more = fields == tfr_chat_fields ? tfr_fields_of_route("completions", &n_more) : NULL;
    tfr_json_begin(out, "properties", '{');
    for (size_t i = 0; i < n; i++) {
        put_field(out, &fields[i]);
    }
    for (size_t i = 0; i < n_more; i++) {
        if (!has_field(fields, n, more[i].name)) {
            put_field(out, &more[i]);
        }
    }
    tfr_json_end(out, '}');
}

static void put_body(struct tfr_json_out *out, const char *name) {
    tfr_json_begin(out, "requestBody", '{');
    tfr_json_put_bool(out, "required", true);
    tfr_json_begin(out, "content", '{');
    tfr_json_begin(out, "application/json", '{');
    tfr_json_begin(out, "schema", '{');
    put_type(out, "object");
    put_properties(out, name);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

struct reply {
    const char *route, *status, *type, *schema;
};

static const struct reply replies[] = {
#define TFR_REPLY(name, status, type, schema) {#name, status, type, schema},
#include "app/http/replies.def"
#undef TFR_REPLY
};
enum { N_REPLIES = sizeof replies / sizeof *replies };

/* A schema of the table, whose quotes are single ones. */
static void put_schema(struct tfr_json_out *out, const char *schema) {
    char text[2048];
    size_t n = 0;
    for (; schema[n] != '\0' && n + 1 < sizeof text; n++) {
        text[n] = schema[n] == '\'' ? '"' : schema[n];
    }
    text[n] = '\0';
    tfr_json_put_value(out, "schema", text);
}

static bool is_same_status(const struct reply *a, const struct reply *b) {
    return strcmp(a->route, b->route) == 0 && strcmp(a->status, b->status) == 0;
}

/* One status of a route, which may have bodies of several types. */
static void put_reply(struct tfr_json_out *out, size_t first) {
    const struct reply *reply = &replies[first];
    tfr_json_begin(out, reply->status, '{');
    tfr_json_put_text(out, "description", reply->status[0] == '2' ? "the answer" : "not now");
    if (reply->type != NULL) {
        tfr_json_begin(out, "content", '{');
        for (size_t i = first; i < N_REPLIES && is_same_status(&replies[i], reply); i++) {
            tfr_json_begin(out, replies[i].type, '{');
            put_schema(out, replies[i].schema);
            tfr_json_end(out, '}');
        }
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, '}');
}

static void put_responses(struct tfr_json_out *out, const char *route) {
    tfr_json_begin(out, "responses", '{');
    for (size_t i = 0; i < N_REPLIES; i++) {
        if (strcmp(replies[i].route, route) == 0 && (i == 0 || !is_same_status(&replies[i], &replies[i - 1]))) {
            put_reply(out, i);
        }
    }
    tfr_json_put_value(out, "default",
                       "{\"description\":\"an error\",\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
                       "\"#/components/schemas/Error\"}}}}");
    tfr_json_end(out, '}');
}

static void put_operation(struct tfr_json_out *out, const struct tfr_route *route) {
    size_t n;
    const bool is_get = strcmp(route->method, "GET") == 0;
    tfr_json_begin(out, is_get ? "get" : "post", '{');
    tfr_json_put_text(out, "summary", route->help);
    if (strchr(route->path, '*') != NULL) {
        tfr_json_begin(out, "parameters", '[');
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "name", "id");
        tfr_json_put_text(out, "in", "path");
        tfr_json_put_bool(out, "required", true);
        tfr_json_begin(out, "schema", '{');
        put_type(out, "string");
        tfr_json_end(out, '}');
        tfr_json_end(out, '}');
        tfr_json_end(out, ']');
    }
    if (tfr_fields_of_route(route->name, &n) != NULL) {
        put_body(out, route->name);
    }
    tfr_json_begin(out, "security", '[');
    if (route->access == TFR_ROUTE_KEYED) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_begin(out, "key", '[');
        tfr_json_end(out, ']');
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    put_responses(out, route->name);
    tfr_json_end(out, '}');
}

/* A star in a path is {id} there. */
static void put_paths(struct tfr_json_out *out) {
    size_t n;
    const struct tfr_route *routes = tfr_route_table(&n);
    tfr_json_begin(out, "paths", '{');
    for (size_t i = 0; i < n; i++) {
        const char *star = strchr(routes[i].path, '*');
        char path[128];
        snprintf(path, sizeof path, "%.*s%s", (int)(star != NULL ? star - routes[i].path : (long)strlen(routes[i].path)),
                 routes[i].path, star != NULL ? "{id}" : "");
        tfr_json_begin(out, path, '{');
        put_operation(out, &routes[i]);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, '}');
}

/* Bodies of errors: docs/serving.md has the table of their codes. */
static void put_components(struct tfr_json_out *out) {
    static const char error[] =
        "{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":\"object\",\"required\":[\"message\","
        "\"type\",\"param\",\"code\"],"
        "\"properties\":{\"message\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},\"param\":{"
        "\"type\":[\"string\",\"null\"]},"
        "\"code\":{\"type\":[\"string\",\"null\"]}}}}}";
    tfr_json_begin(out, "components", '{');
    tfr_json_begin(out, "schemas", '{');
    tfr_json_put_value(out, "Error", error);
    tfr_json_end(out, '}');
    tfr_json_begin(out, "securitySchemes", '{');
    tfr_json_put_value(out, "key", "{\"type\":\"http\",\"scheme\":\"bearer\"}");
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

void tfr_route_openapi(struct tfr_server *server, struct tfr_exchange *x) {
    struct tfr_json_out out = {0};
    (void)server;
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "openapi", "3.1.0");
    tfr_json_begin(&out, "info", '{');
    tfr_json_put_text(&out, "title", "tfrun serve");
    tfr_json_put_text(&out, "version", tfr_version());
    tfr_json_end(&out, '}');
    put_paths(&out);
    put_components(&out);
    tfr_json_end(&out, '}');
    tfr_reply_json(x, 200, &out);
}

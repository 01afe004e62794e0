/* manifest.c - a manifest as JSON, and back. See manifest.h. */
#include "study/manifest.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

enum fact_kind { TEXT, NUMBER, FLAG };
static const struct {
    const char *key;
    enum fact_kind kind;
} facts[] = {
#define TFR_FACT_ROW(name, key, kind) [TFR_FACT_##name] = {key, kind},
    TFR_EACH_FACT(TFR_FACT_ROW)
#undef TFR_FACT_ROW
};

static void put_list(struct tfr_json_out *out, const char *key, const struct tfr_said_list *list) {
    tfr_json_begin(out, key, '[');
    for (size_t i = 0; i < list->n; i++) {
        tfr_json_begin(out, NULL, '[');
        tfr_json_put_text(out, NULL, list->items[i].name);
        tfr_json_put_text(out, NULL, list->items[i].value);
        tfr_json_end(out, ']');
    }
    tfr_json_end(out, ']');
}

void tfr_manifest_put(struct tfr_json_out *out, const struct tfr_manifest *manifest) {
    tfr_json_begin(out, "manifest", '{');
    for (int i = 0; i < TFR_N_FACTS; i++) {
        if (facts[i].kind == TEXT) {
            tfr_json_put_text(out, facts[i].key, manifest->facts[i]);
        } else {
            tfr_json_put_value(out, facts[i].key, manifest->facts[i]);
        }
    }
    put_list(out, "overrides", &manifest->overrides);
    put_list(out, "environment", &manifest->environment);
    tfr_json_end(out, '}');
}

enum tfr_status tfr_document_refuse(const struct tfr_json_doc *doc, const tfr_json *node, const char *key, const char *wanted) {
    int line, column;
    tfr_json_place(doc, node, &line, &column);
    return tfr_raise(TFR_MODEL, "%s:%d:%d: %s must be %s; give a document of `tfrun bench --json`", tfr_json_name(doc), line,
                     column, key, wanted);
}

/* More than any command line says; each is looked for among all of another document. */
enum { MAX_SAID = 4096 };

/* [["name", "value"], ...] */
static enum tfr_status read_list(struct tfr_said_list *list, const struct tfr_json_doc *doc, const tfr_json *object,
                                 const char *key) {
    const tfr_json *node = tfr_json_member(object, key);
    if (node == NULL || tfr_json_kind(node) != TFR_JSON_ARRAY) {
        return tfr_document_refuse(doc, object, key, "a list of pairs");
    }
    if (tfr_json_size(node) > MAX_SAID) {
        return tfr_document_refuse(doc, node, key, "a list of at most 4096 pairs");
    }
    list->items = tfr_alloc(tfr_json_size(node) + 1, sizeof *list->items);
    if (list->items == NULL) {
        return TFR_RESOURCE;
    }
    for (const tfr_json *pair = tfr_json_first(node); pair != NULL; pair = tfr_json_next(pair)) {
        const char *name = tfr_json_string(tfr_json_first(pair));
        const char *value = name != NULL ? tfr_json_string(tfr_json_next(tfr_json_first(pair))) : NULL;
        if (value == NULL || tfr_json_size(pair) != 2 || !tfr_is_plain(name) || !tfr_is_plain(value)) {
            return tfr_document_refuse(doc, pair, key, "a list of pairs of strings without control characters");
        }
        struct tfr_said *said = &list->items[list->n++];
        said->name = tfr_strdup(name);
        said->value = tfr_strdup(value);
        if (said->name == NULL || said->value == NULL) {
            return TFR_RESOURCE;
        }
    }
    return TFR_OK;
}

static enum tfr_status read_fact(struct tfr_manifest *manifest, const struct tfr_json_doc *doc, const tfr_json *object, int fact) {
    const tfr_json *node = tfr_json_member(object, facts[fact].key);
    const enum tfr_json_kind wanted = facts[fact].kind == TEXT ? TFR_JSON_STRING : TFR_JSON_NUMBER;
    if (node == NULL && facts[fact].kind == FLAG) {
        manifest->facts[fact] = tfr_strdup("0");
        return manifest->facts[fact] != NULL ? TFR_OK : TFR_RESOURCE;
    }
    if (node == NULL || tfr_json_kind(node) != wanted) {
        return tfr_document_refuse(doc, object, facts[fact].key, tfr_json_kind_name(wanted));
    }
    if (wanted == TFR_JSON_STRING && !tfr_is_plain(tfr_json_string(node))) {
        return tfr_document_refuse(doc, object, facts[fact].key, "a string without control characters");
    }
    manifest->facts[fact] =
        wanted == TFR_JSON_STRING ? tfr_strdup(tfr_json_string(node)) : tfr_format("%.15g", tfr_json_number(node));
    return manifest->facts[fact] != NULL ? TFR_OK : TFR_RESOURCE;
}

enum tfr_status tfr_manifest_read(struct tfr_manifest *manifest, const struct tfr_json_doc *doc, const tfr_json *node) {
    for (int i = 0; i < TFR_N_FACTS; i++) {
        TFR_TRY(read_fact(manifest, doc, node, i));
    }
    TFR_TRY(read_list(&manifest->overrides, doc, node, "overrides"));
    return read_list(&manifest->environment, doc, node, "environment");
}

static void free_list(struct tfr_said_list *list) {
    for (size_t i = 0; list->items != NULL && i < list->n; i++) {
        tfr_free(list->items[i].name);
        tfr_free(list->items[i].value);
    }
    tfr_free(list->items);
}

void tfr_manifest_free(struct tfr_manifest *manifest) {
    for (int i = 0; i < TFR_N_FACTS; i++) {
        tfr_free(manifest->facts[i]);
    }
    free_list(&manifest->environment);
    free_list(&manifest->overrides);
}

bool tfr_manifest_is_simulated(const struct tfr_manifest *manifest) {
    const char *plugins = manifest->facts[TFR_FACT_PLUGINS], *clock = strstr(plugins, "clock ");
    return strstr(manifest->facts[TFR_FACT_MPI], "SMPI") != NULL || (clock != NULL && (clock == plugins || clock[-1] == ' '));
}

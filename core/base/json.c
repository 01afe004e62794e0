/* json.c - documents and nodes: our scanner checks the text, then cJSON builds the tree.
 *
 * A cJSON node does not know where it stands. Its member `valueint`, which cJSON itself calls deprecated and
 * nobody here reads, carries the offset of the value; one walk over the tree after parsing sets it.
 */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/arena.h"
#include "base/json_scan.h"
#include "base/status.h"
#include "base/textfile.h"

/* Bytes from mark to mark: a place costs a walk over so many, not over the text up to it. */
enum { MARK_STRIDE = 256 };

struct mark {
    int line, column;
};

struct tfr_json_doc {
    char *name;
    char *text; /* NUL-terminated */
    size_t size;
    struct mark *marks; /* of each MARK_STRIDE-th byte */
    cJSON *root;
};

static void *hook_alloc(size_t size) {
    return tfr_alloc(1, size);
}

/* cJSON's memory counts like ours. tfr_free is free(), so another user of cJSON in the process is not hurt.
 */
static void install_hooks(void) {
    cJSON_Hooks hooks = {.malloc_fn = hook_alloc, .free_fn = tfr_free};
    cJSON_InitHooks(&hooks);
}

/* cJSON gets a number in the place of each of Python's words: 0 for NaN, 1 and -1 for the infinities. */
static void replace_python_words(char *text, const struct tfr_json_places *places) {
    for (size_t i = 0; i < places->n; i++) {
        if (places->offset[i] >= 0) {
            continue;
        }
        char *word = text - (places->offset[i] + 1);
        const bool is_negative = word[0] == '-';
        const size_t length = word[is_negative] == 'N' ? 3 : 8;
        word[is_negative] = length == 3 ? '0' : '1';
        memset(word + is_negative + 1, ' ', length - 1);
    }
}

/* Both go through the document in the same order. Depth is bounded by the scanner. */
static void place_nodes(cJSON *node, const struct tfr_json_places *places, size_t *n) {
    for (; node != NULL; node = node->next) {
        node->valueint = *n < places->n ? places->offset[*n] : 0;
        if (node->valueint < 0) {
            node->valueint = -1 - node->valueint;
            node->valuedouble = node->valuedouble == 0 ? (double)NAN : node->valuedouble * (double)INFINITY;
        }
        ++*n;
        place_nodes(node->child, places, n);
    }
}

static enum tfr_status build_tree(struct tfr_json_doc *doc, const struct tfr_json_places *places, enum tfr_status status) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_hooks);
    /* Its own end must be in reach, so that cJSON can check that nothing follows. */
    const char *end = NULL;
    doc->root = cJSON_ParseWithLengthOpts(doc->text, doc->size + 1, &end, 1);
    if (doc->root == NULL) {
        /* The text is good JSON: what remains is memory, and then the allocator has raised. */
        int line, column;
        tfr_json_text_place(doc->text, end != NULL ? (size_t)(end - doc->text) : 0, &line, &column);
        return tfr_raise(TFR_RESOURCE, "%s:%d:%d: no memory for the JSON tree", doc->name, line, column);
    }
    size_t n = 0;
    place_nodes(doc->root, places, &n);
    if (n != places->n) {
        return tfr_raise(status, "%s: cJSON reads %zu values where the text has %zu", doc->name, n, places->n);
    }
    return TFR_OK;
}

static enum tfr_status set_marks(struct tfr_json_doc *doc) {
    doc->marks = tfr_alloc(doc->size / MARK_STRIDE + 1, sizeof(*doc->marks));
    if (doc->marks == NULL) {
        return TFR_RESOURCE;
    }
    doc->marks[0] = (struct mark){1, 1};
    for (size_t i = 1; i <= doc->size / MARK_STRIDE; i++) {
        doc->marks[i] = doc->marks[i - 1];
        tfr_json_walk_place(doc->text + (i - 1) * MARK_STRIDE, MARK_STRIDE, &doc->marks[i].line, &doc->marks[i].column);
    }
    return TFR_OK;
}

/* Takes over `text`, which is NUL-terminated. */
static enum tfr_status open_owned(struct tfr_json_doc **out, const char *name, char *text, size_t size,
                                  const struct tfr_json_places *kind, enum tfr_status status) {
    struct tfr_json_places places = *kind;
    enum tfr_status result = TFR_RESOURCE;
    struct tfr_json_doc *doc = tfr_alloc(1, sizeof(*doc));
    if (doc == NULL) {
        tfr_free(text);
        return result;
    }
    doc->text = text;
    doc->size = size;
    doc->name = tfr_strdup(name);
    if (doc->name != NULL) {
        result = tfr_json_scan_places(name, text, size, status, &places);
    }
    if (result == TFR_OK) {
        result = set_marks(doc);
    }
    if (result == TFR_OK) {
        replace_python_words(text, &places);
        result = build_tree(doc, &places, status);
    }
    tfr_free(places.offset);
    if (result != TFR_OK) {
        tfr_json_close(doc);
        return result;
    }
    *out = doc;
    return TFR_OK;
}

static enum tfr_status open_copy(struct tfr_json_doc **doc, const char *name, const char *text, size_t size,
                                 const struct tfr_json_places *kind, enum tfr_status status) {
    *doc = NULL;
    char *copy = size < SIZE_MAX ? tfr_alloc(size + 1, 1) : NULL;
    if (copy == NULL) {
        return TFR_RESOURCE;
    }
    if (size > 0) {
        memcpy(copy, text, size);
    }
    return open_owned(doc, name, copy, size, kind, status);
}

enum tfr_status tfr_json_open_limited(struct tfr_json_doc **doc, const char *name, const char *text, size_t size,
                                      enum tfr_status status, const struct tfr_json_limits *limits) {
    const struct tfr_json_places kind = {.limits = limits};
    return open_copy(doc, name, text, size, &kind, status);
}

enum tfr_status tfr_json_open_read(struct tfr_json_doc **doc, const char *path, const char *text, size_t size,
                                   enum tfr_status status) {
    const struct tfr_json_places kind = {.takes_python = true};
    return open_copy(doc, path, text, size, &kind, status);
}

enum tfr_status tfr_json_open(struct tfr_json_doc **doc, const char *name, const char *text, size_t size, enum tfr_status status) {
    return tfr_json_open_limited(doc, name, text, size, status, NULL);
}

enum tfr_status tfr_json_open_file(struct tfr_json_doc **doc, const char *path, enum tfr_status status) {
    *doc = NULL;
    char *text;
    size_t size;
    TFR_TRY(tfr_textfile_read(path, TFR_JSON_MAX_BYTES, status, &text, &size));
    const struct tfr_json_places kind = {.takes_python = true};
    return open_owned(doc, path, text, size, &kind, status);
}

void tfr_json_close(struct tfr_json_doc *doc) {
    if (doc == NULL) {
        return;
    }
    cJSON_Delete(doc->root);
    tfr_free(doc->marks);
    tfr_free(doc->text);
    tfr_free(doc->name);
    tfr_free(doc);
}

const tfr_json *tfr_json_root(const struct tfr_json_doc *doc) {
    return doc->root;
}

const char *tfr_json_name(const struct tfr_json_doc *doc) {
    return doc->name;
}

enum tfr_json_kind tfr_json_kind(const tfr_json *node) {
    switch (node != NULL ? node->type & 0xFF : cJSON_NULL) {
    case cJSON_False:
    case cJSON_True:
        return TFR_JSON_BOOL;
    case cJSON_Number:
        return isfinite(node->valuedouble) ? TFR_JSON_NUMBER : TFR_JSON_NOT_FINITE;
    case cJSON_String:
        return TFR_JSON_STRING;
    case cJSON_Array:
        return TFR_JSON_ARRAY;
    case cJSON_Object:
        return TFR_JSON_OBJECT;
    default:
        return TFR_JSON_NULL;
    }
}

const char *tfr_json_kind_name(enum tfr_json_kind kind) {
    static const char *const names[] = {
        [TFR_JSON_NULL] = "null",
        [TFR_JSON_BOOL] = "true or false",
        [TFR_JSON_NUMBER] = "a number",
        [TFR_JSON_STRING] = "a string",
        [TFR_JSON_ARRAY] = "an array",
        [TFR_JSON_OBJECT] = "an object",
        [TFR_JSON_NOT_FINITE] = "Infinity or NaN",
    };
    return (unsigned)kind < TFR_COUNT_OF(names) ? names[kind] : "nothing known";
}

const tfr_json *tfr_json_member(const tfr_json *object, const char *key) {
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const tfr_json *tfr_json_first(const tfr_json *node) {
    return node != NULL ? node->child : NULL;
}

const tfr_json *tfr_json_next(const tfr_json *node) {
    return node != NULL ? node->next : NULL;
}

const char *tfr_json_key(const tfr_json *node) {
    return node != NULL ? node->string : NULL;
}

size_t tfr_json_size(const tfr_json *node) {
    size_t n = 0;
    for (const tfr_json *child = tfr_json_first(node); child != NULL; child = child->next) {
        n++;
    }
    return n;
}

const char *tfr_json_string(const tfr_json *node) {
    return cJSON_GetStringValue(node);
}

bool tfr_json_bool(const tfr_json *node) {
    return cJSON_IsTrue(node);
}

/* NaN unless a number; as it is if it is not finite. */
double tfr_json_number(const tfr_json *node) {
    return cJSON_GetNumberValue(node);
}

const char *tfr_json_not_finite(const tfr_json *node) {
    const double value = tfr_json_number(node);
    return isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
}

bool tfr_json_int64(const struct tfr_json_doc *doc, const tfr_json *node, int64_t *out) {
    if (tfr_json_kind(node) != TFR_JSON_NUMBER) {
        return false;
    }
    const char *digit = doc->text + node->valueint;
    bool negative = *digit == '-';
    int64_t value = 0;
    for (digit += negative; *digit >= '0' && *digit <= '9'; digit++) {
        int step = *digit - '0';
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_add_overflow(value, (int64_t)(negative ? -step : step), &value)) {
            return false;
        }
    }
    if (*digit == '.' || *digit == 'e' || *digit == 'E') {
        return false;
    }
    *out = value;
    return true;
}

bool tfr_json_whole(const struct tfr_json_doc *doc, const tfr_json *node, int64_t *out) {
    if (tfr_json_int64(doc, node, out)) {
        return true;
    }
    const double value = tfr_json_kind(node) == TFR_JSON_NUMBER ? tfr_json_number(node) : 0.5;
    if (fabs(value) > 9e15 || value != floor(value)) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

void tfr_json_place(const struct tfr_json_doc *doc, const tfr_json *node, int *line, int *column) {
    const size_t offset = node != NULL ? (size_t)node->valueint : 0;
    const struct mark *mark = &doc->marks[offset / MARK_STRIDE];
    *line = mark->line;
    *column = mark->column;
    tfr_json_walk_place(doc->text + offset / MARK_STRIDE * MARK_STRIDE, offset % MARK_STRIDE, line, column);
}

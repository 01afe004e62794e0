/* json.h - strict JSON over cJSON: the only user of cJSON in the project.
 *
 * A scanner of our own (json_scan.c) checks the text first and refuses what cJSON lets pass: invalid UTF-8,
 * raw control characters, \u0000, lone surrogates, duplicate keys, numbers that are not JSON's or not
 * finite, trailing text, depth over 64. It also keeps the place of every member, so that a later
 * check can say file:line:column. Thread rule: a document is read-only after opening.
 */
#ifndef TFR_BASE_JSON_H
#define TFR_BASE_JSON_H

#include <tfrun/types.h>

#include "base/int128.h"

struct tfr_json_doc;           /* owns the text, the tree and the places */
typedef struct cJSON tfr_json; /* a node; borrowed from its document */

enum tfr_json_kind {
    TFR_JSON_NULL,
    TFR_JSON_BOOL,
    TFR_JSON_NUMBER,
    TFR_JSON_STRING,
    TFR_JSON_ARRAY,
    TFR_JSON_OBJECT,
    TFR_JSON_NOT_FINITE /* Infinity, -Infinity or NaN in a file: Python writes them, JSON has none */
};

/* A file may hold Python's Infinity and NaN, which are values of a kind that nobody asks for; a text may not.
 * `name` is for messages ("gpt2.json"). Text need not be NUL-terminated. Failure: `status` (TFR_CONFIG,
 * TFR_MODEL, ...) with "name:line:column: what". */
enum tfr_status tfr_json_open(struct tfr_json_doc **doc, const char *name, const char *text, size_t size, enum tfr_status status);
/* The same for a text of a stranger: deeper, with more values or with longer numbers than this it is refused. */
struct tfr_json_limits {
    int depth;               /* at most 64 */
    size_t values, n_digits; /* of the whole text; characters of a number, at most 63 */
    bool takes_nul;          /* \u0000 in strings, which end there for who reads them */
};
enum tfr_status tfr_json_open_limited(struct tfr_json_doc **doc, const char *name, const char *text, size_t size,
                                      enum tfr_status status, const struct tfr_json_limits *limits);
enum tfr_status tfr_json_open_file(struct tfr_json_doc **doc, const char *path, enum tfr_status status);
/* The same for a file that the caller has read (base/textfile.h) and keeps the text of. */
enum tfr_status tfr_json_open_read(struct tfr_json_doc **doc, const char *path, const char *text, size_t size,
                                   enum tfr_status status);
void tfr_json_close(struct tfr_json_doc *doc);

const tfr_json *tfr_json_root(const struct tfr_json_doc *doc);
const char *tfr_json_name(const struct tfr_json_doc *doc);

enum tfr_json_kind tfr_json_kind(const tfr_json *node);
const char *tfr_json_kind_name(enum tfr_json_kind kind); /* "an object" */
/* Member by exact (case-sensitive) key, NULL if absent or not an object. */
const tfr_json *tfr_json_member(const tfr_json *object, const char *key);
/* Children in order (members of an object, items of an array). */
const tfr_json *tfr_json_first(const tfr_json *node);
const tfr_json *tfr_json_next(const tfr_json *node);
const char *tfr_json_key(const tfr_json *node); /* key of a member, NULL in arrays */
size_t tfr_json_size(const tfr_json *node);

const char *tfr_json_string(const tfr_json *node); /* NULL unless a string */
bool tfr_json_bool(const tfr_json *node);
double tfr_json_number(const tfr_json *node);
const char *tfr_json_not_finite(const tfr_json *node); /* the word of a value of that kind: "-Infinity" */
/* Exact 64-bit integer taken from the text (cJSON's double loses bits): false if not an integer or out of
 * range. */
bool tfr_json_int64(const struct tfr_json_doc *doc, const tfr_json *node, int64_t *out);

/* The same, and 3.0 is 3 too: for values that others may write as a float. */
bool tfr_json_whole(const struct tfr_json_doc *doc, const tfr_json *node, int64_t *out);

/* Line and column (from 1) of the value of a node. */
void tfr_json_place(const struct tfr_json_doc *doc, const tfr_json *node, int *line, int *column);

/* Strict scanner on its own: TFR_OK or a raised text. Used on everything that is parsed; fuzz target. */
enum tfr_status tfr_json_scan(const char *name, const char *text, size_t size, enum tfr_status status);

/* Append-only writer with correct escaping. */
struct tfr_json_out {
    char *text; /* NUL-terminated once anything was written; free with tfr_free */
    size_t size, capacity;
    bool comma, failed;
};
void tfr_json_put_raw(struct tfr_json_out *out, const char *text);
void tfr_json_put_bytes(struct tfr_json_out *out, const char *bytes, size_t size); /* the same */
/* A key of any bytes; its value comes next, without a key of its own. */
void tfr_json_put_key(struct tfr_json_out *out, const char *key, size_t size);
void tfr_json_begin(struct tfr_json_out *out, const char *key, char bracket); /* '{' or '['; key NULL in arrays */
void tfr_json_end(struct tfr_json_out *out, char bracket);                    /* '}' or ']' */
void tfr_json_put_string(struct tfr_json_out *out, const char *key, const char *value, size_t size);
void tfr_json_put_text(struct tfr_json_out *out, const char *key, const char *value);
/* null where there is no text. */
void tfr_json_put_text_or_null(struct tfr_json_out *out, const char *key, const char *value);
/* A list of n texts. */
void tfr_json_put_texts(struct tfr_json_out *out, const char *key, char *const *values, size_t n);
void tfr_json_put_int(struct tfr_json_out *out, const char *key, int64_t value);
/* Not negative. Beyond 2^53 as a string of digits, since readers of JSON round numbers there. */
void tfr_json_put_int128(struct tfr_json_out *out, const char *key, tfr_int128 value);
void tfr_json_put_number(struct tfr_json_out *out, const char *key, double value);
void tfr_json_put_bool(struct tfr_json_out *out, const char *key, bool value);
/* A value as it was read, with all that is in it; what is not finite as a string. */
void tfr_json_put_node(struct tfr_json_out *out, const char *key, const struct tfr_json_doc *doc, const tfr_json *node);
/* JSON text of a whole value, as another writer made it. */
void tfr_json_put_value(struct tfr_json_out *out, const char *key, const char *json);
void tfr_json_put_null(struct tfr_json_out *out, const char *key);
/* The text, to be freed by who takes it; NULL and TFR_RESOURCE where memory was lacking on the way. */
enum tfr_status tfr_json_take(struct tfr_json_out *out, char **text);

#endif

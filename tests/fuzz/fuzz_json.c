/* fuzz_json.c - the scanner and cJSON must agree on every text.
 *
 * What the scanner accepts, cJSON parses into as many values as the scanner saw; what cJSON alone refuses,
 * the scanner refuses too. Places, kinds and exact integers are asked for at every node. What our writer makes of a
 * document or of any bytes must be accepted again.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "harness.h"

static void require(bool holds) {
    tfr_fuzz_require(holds, "scanner, reader and writer agree");
}

/* An integer that is asked for exactly is the double that cJSON read, as far as a double can tell. */
static void check_number(const struct tfr_json_doc *doc, const tfr_json *node) {
    int64_t value;
    double number = tfr_json_number(node);
    if (tfr_json_int64(doc, node, &value)) {
        require((double)value == number);
    }
}

/* What each kind says of itself. */
static void check_kind(const struct tfr_json_doc *doc, const tfr_json *node) {
    const enum tfr_json_kind kind = tfr_json_kind(node);
    int64_t whole;
    require(tfr_json_kind_name(kind)[0] != '\0' && (kind == TFR_JSON_STRING) == (tfr_json_string(node) != NULL));
    require(!tfr_json_whole(doc, node, &whole) || (double)whole == tfr_json_number(node));
    require(kind == TFR_JSON_BOOL || !tfr_json_bool(node));
    require(kind != TFR_JSON_NOT_FINITE || strlen(tfr_json_not_finite(node)) >= 3);
}

static void check_nodes(const struct tfr_json_doc *doc, const tfr_json *parent, const tfr_json *node) {
    size_t n = 0;
    for (; node != NULL; node = tfr_json_next(node), n++) {
        int line = 0, column = 0;
        tfr_json_place(doc, node, &line, &column);
        require(line >= 1 && column >= 1);
        check_kind(doc, node);
        if (tfr_json_kind(node) == TFR_JSON_NUMBER) {
            check_number(doc, node);
        }
        if (tfr_json_key(node) != NULL) {
            require(tfr_json_member(parent, tfr_json_key(node)) == node);
        }
        check_nodes(doc, node, tfr_json_first(node));
    }
    require(parent == NULL || tfr_json_size(parent) == n);
}

/* A document that is written and read again is written as the same text, whatever its parts are put by. */
static void check_copy(const struct tfr_json_doc *doc, const char *name) {
    struct tfr_json_out out = {0}, again = {0};
    struct tfr_json_doc *copy = NULL;
    char *first = NULL, *second = NULL;
    tfr_json_put_node(&out, NULL, doc, tfr_json_root(doc));
    require(strcmp(tfr_json_name(doc), name) == 0 && tfr_json_take(&out, &first) == TFR_OK);
    require(tfr_json_open(&copy, "copy", first, strlen(first), TFR_RUNTIME) == TFR_OK);
    tfr_json_put_node(&again, NULL, copy, tfr_json_root(copy));
    require(tfr_json_take(&again, &second) == TFR_OK && strcmp(first, second) == 0);
    tfr_json_close(copy);
    tfr_free(first);
    tfr_free(second);
}

/* A file as Python writes it, with Infinity and NaN; what is no such text in memory is one here at most for these. */
static void check_file(const uint8_t *data, size_t size, bool accepted) {
    struct tfr_json_doc *doc;
    const char *path = tfr_fuzz_write("python.json", data, size);
    const bool opened = tfr_fuzz_accepted(tfr_json_open_file(&doc, path, TFR_CONFIG));
    require(opened || !accepted);
    if (opened) {
        check_nodes(doc, NULL, tfr_json_root(doc));
        check_copy(doc, tfr_fuzz_path("python.json"));
        tfr_json_close(doc);
    }
}

/* Any bytes become a key and a string that the scanner takes; a NUL byte alone is refused, on purpose. The first eight are a
 * number. */
static void check_writer(const uint8_t *data, size_t size) {
    struct tfr_json_out out = {0};
    double number = 0;
    memcpy(&number, data, size < sizeof number ? size : sizeof number);
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_key(&out, (const char *)data, size);
    tfr_json_put_string(&out, NULL, (const char *)data, size);
    if (isfinite(number)) {
        tfr_json_put_number(&out, size != 1 || data[0] != 'n' ? "n" : "m", number);
    }
    tfr_json_put_int128(&out, "a long name", (tfr_int128)data[0] << data[size - 1] % 100);
    tfr_json_put_texts(&out, "another one", NULL, 0);
    tfr_json_put_text_or_null(&out, "the last one", data[0] > 64 ? "x" : NULL);
    tfr_json_end(&out, '}');
    enum tfr_status status = tfr_json_scan("writer", out.text, out.size, TFR_MODEL);
    require((status == TFR_OK) == (memchr(data, 0, size) == NULL));
    tfr_free(out.text);
}

int tfr_fuzz_json(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    bool accepted = tfr_json_scan("fuzz", text, size, TFR_CONFIG) == TFR_OK;
    struct tfr_json_doc *doc = NULL;
    bool opened = tfr_json_open(&doc, "fuzz", text, size, TFR_CONFIG) == TFR_OK;
    require(accepted == opened);
    if (opened) {
        check_nodes(doc, NULL, tfr_json_root(doc));
        check_copy(doc, "fuzz");
        tfr_json_close(doc);
    }
    check_file(data, size, accepted);
    cJSON *lax = cJSON_ParseWithLength(text, size);
    require(lax != NULL || !accepted);
    cJSON_Delete(lax);
    if (size > 0) {
        check_writer(data, size);
    }
    return 0;
}

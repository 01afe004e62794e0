/* fuzz_json.c - the scanner and cJSON must agree on every text.
 *
 * What the scanner accepts, cJSON parses into as many values as the scanner saw; what cJSON alone refuses,
 * the scanner refuses too. Places and exact integers are asked for at every node. A string written by our
 * writer must be accepted again.
 */
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

static void check_nodes(const struct tfr_json_doc *doc, const tfr_json *node) {
    for (; node != NULL; node = tfr_json_next(node)) {
        int line = 0, column = 0;
        tfr_json_place(doc, node, &line, &column);
        require(line >= 1 && column >= 1);
        if (tfr_json_kind(node) == TFR_JSON_NUMBER) {
            check_number(doc, node);
        }
        if (tfr_json_key(node) != NULL) {
            require(strlen(tfr_json_key(node)) < INT32_MAX);
        }
        check_nodes(doc, tfr_json_first(node));
    }
}

/* Any bytes become a string that the scanner takes; a NUL byte alone is refused, on purpose. */
static void check_writer(const uint8_t *data, size_t size) {
    struct tfr_json_out out = {0};
    tfr_json_put_string(&out, NULL, (const char *)data, size);
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
        check_nodes(doc, tfr_json_root(doc));
        tfr_json_close(doc);
    }
    cJSON *lax = cJSON_ParseWithLength(text, size);
    require(lax != NULL || !accepted);
    cJSON_Delete(lax);
    if (size > 0) {
        check_writer(data, size);
    }
    return 0;
}

/* json_scanner.h - the scanner's state, shared by json_scan.c and json_scalars.c; nobody else includes it. */
#ifndef TFR_BASE_JSON_SCANNER_H
#define TFR_BASE_JSON_SCANNER_H

#include <tfrun/types.h>

#include "base/json_keys.h"
#include "base/json_scan.h"
#include "base/status.h"

struct tfr_json_scanner {
    const char *name, *text;
    size_t size, at;
    enum tfr_status refusal; /* what a refused text is raised as */
    struct tfr_json_limits limits;
    int depth;
    size_t n_values;
    uint32_t n_objects;
    struct tfr_json_keys keys;
    struct tfr_json_places *places;
};

/* The byte at the scanner; -1 at the end. */
static inline int tfr_json_peek(const struct tfr_json_scanner *scan) {
    return scan->at < scan->size ? (uint8_t)scan->text[scan->at] : -1;
}

static inline bool tfr_json_is_digit(int byte) {
    return byte >= '0' && byte <= '9';
}

/* "name:line:column: what" as a failure. */
enum tfr_status tfr_json_refuse(const struct tfr_json_scanner *scan, size_t offset, const char *format, ...) TFR_PRINTF(3, 4);
/* "expected X, found Y" for the byte at the scanner. */
enum tfr_status tfr_json_refuse_found(const struct tfr_json_scanner *scan, const char *expected);

/* At the sign or first character of a number, or of Infinity and NaN. */
enum tfr_status tfr_json_scan_number(struct tfr_json_scanner *scan);
/* At the opening quote. */
enum tfr_status tfr_json_scan_string(struct tfr_json_scanner *scan);

#endif

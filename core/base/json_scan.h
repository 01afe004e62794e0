/* json_scan.h - what json.c needs from the scanner beyond tfr_json_scan: where each value stands. */
#ifndef TFR_BASE_JSON_SCAN_H
#define TFR_BASE_JSON_SCAN_H

#include "base/json.h"

/* Longest text that is scanned: offsets must fit an int, and a bigger JSON is surely a mistake. */
#define TFR_JSON_MAX_BYTES ((size_t)1 << 30)
#define TFR_JSON_MAX_DEPTH 64
/* cJSON copies a number into 64 bytes before it reads it. */
#define TFR_JSON_MAX_NUMBER 63

/* Offset of every value, in document order (an object before its members); -1 - offset of a word of Python's.
 */
struct tfr_json_places {
    int *offset;
    size_t n, capacity;
    bool takes_python;                    /* Infinity, -Infinity and NaN are values */
    const struct tfr_json_limits *limits; /* NULL: those of this file */
};

/* As tfr_json_scan; fills `places` unless it is NULL. The caller frees places->offset in any case. */
enum tfr_status tfr_json_scan_places(const char *name, const char *text, size_t size, enum tfr_status status,
                                     struct tfr_json_places *places);
/* Line and column, both from 1; a column is a character, not a byte. */
void tfr_json_text_place(const char *text, size_t offset, int *line, int *column);
/* Moves a place at `text` behind the next n bytes. */
void tfr_json_walk_place(const char *text, size_t n, int *line, int *column);

#endif

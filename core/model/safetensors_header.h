/* safetensors_header.h - the header of a safetensors file, checked, from bytes in memory.
 *
 * Trusts nothing: any bytes give either a table of ranges that fill the data part exactly, or a raised text.
 * Reads no data byte. Thread rule: one header, one thread.
 */
#ifndef TFR_MODEL_SAFETENSORS_HEADER_H
#define TFR_MODEL_SAFETENSORS_HEADER_H

#include <tfrun/types.h>

struct tfr_safetensors_entry {
    char *name;
    enum tfr_dtype dtype;
    int rank;
    int64_t dim[TFR_MAX_RANK];
    uint64_t begin, end; /* bytes, from the start of the file */
};

/* A member of __metadata__. */
struct tfr_safetensors_note {
    char *key, *value;
};

struct tfr_safetensors_header {
    struct tfr_safetensors_entry *entries; /* in the order of their data */
    size_t n;
    struct tfr_safetensors_note *notes;
    size_t n_notes;
    size_t data_offset;
};

/* `file` is the name for messages, `data` the whole file. On failure *header is empty. */
enum tfr_status tfr_safetensors_parse(struct tfr_safetensors_header *header, const char *file, const uint8_t *data, size_t size);
void tfr_safetensors_clear(struct tfr_safetensors_header *header);

#endif

/* safetensors_header.c - checks a safetensors header: length, JSON, dtypes, shapes, and that the ranges of
 * all tensors start at 0, touch exactly and end at the end of the file. */
#include "model/safetensors_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "base/tensor.h"

/* The cap of the reference reader: a header is text, no honest one comes near. */
#define MAX_HEADER_BYTES 100000000u
enum { LENGTH_BYTES = 8 };

static enum tfr_status read_length(const char *file, const uint8_t *data, size_t size, size_t *length) {
    if (size < LENGTH_BYTES) {
        return tfr_raise(TFR_MODEL, "%s: %zu bytes are too few for a safetensors file; fetch it again", file, size);
    }
    uint64_t value = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) {
        value = value << 8 | data[i];
    }
    if (value > MAX_HEADER_BYTES) {
        return tfr_raise(TFR_MODEL, "%s: a header of %llu bytes is over the limit of %u; this is not a safetensors file", file,
                         (unsigned long long)value, MAX_HEADER_BYTES);
    }
    if (value > size - LENGTH_BYTES) {
        return tfr_raise(TFR_MODEL,
                         "%s: the header needs %llu bytes but the file ends after %zu; it is truncated, "
                         "fetch it again",
                         file, (unsigned long long)value, size - LENGTH_BYTES);
    }
    *length = (size_t)value;
    return TFR_OK;
}

static enum tfr_status read_metadata(struct tfr_safetensors_header *header, const char *file, const tfr_json *object) {
    if (tfr_json_kind(object) == TFR_JSON_NULL) { /* the reference reader takes it for none */
        return TFR_OK;
    }
    if (tfr_json_kind(object) != TFR_JSON_OBJECT) {
        return tfr_raise(TFR_MODEL, "%s: __metadata__ must be an object of texts", file);
    }
    header->notes = tfr_alloc(tfr_json_size(object) + 1, sizeof(header->notes[0]));
    if (header->notes == NULL) {
        return TFR_RESOURCE;
    }
    for (const tfr_json *node = tfr_json_first(object); node != NULL; node = tfr_json_next(node)) {
        if (tfr_json_kind(node) != TFR_JSON_STRING) {
            return tfr_raise(TFR_MODEL, "%s: __metadata__.%s must be a text", file, tfr_json_key(node));
        }
        struct tfr_safetensors_note *note = &header->notes[header->n_notes++];
        note->key = tfr_strdup(tfr_json_key(node));
        note->value = tfr_strdup(tfr_json_string(node));
        if (note->key == NULL || note->value == NULL) {
            return TFR_RESOURCE;
        }
    }
    return TFR_OK;
}

static enum tfr_status read_dtype(struct tfr_safetensors_entry *entry, const char *file, const tfr_json *node) {
    const char *name = node == NULL ? NULL : tfr_json_string(node);
    if (name == NULL) {
        return tfr_raise(TFR_MODEL, "%s: tensor %s has no dtype", file, entry->name);
    }
    for (int i = 0; i < TFR_DTYPE_COUNT; i++) { /* not tfr_dtype_parse: "f32" is no name of this format */
        if (strcmp(name, tfr_dtype_file_name((enum tfr_dtype)i)) == 0) {
            entry->dtype = (enum tfr_dtype)i;
            return TFR_OK;
        }
    }
    return tfr_raise(TFR_MODEL, "%s: tensor %s has dtype %.32s, which tfrun does not know; save it as F32, F16 or BF16", file,
                     entry->name, name);
}

/* Shape and the bytes it takes. */
static enum tfr_status read_shape(struct tfr_safetensors_entry *entry, const char *file, const struct tfr_json_doc *doc,
                                  const tfr_json *node, size_t *bytes) {
    if (node == NULL || tfr_json_kind(node) != TFR_JSON_ARRAY) {
        return tfr_raise(TFR_MODEL, "%s: tensor %s has no shape", file, entry->name);
    }
    if (tfr_json_size(node) > TFR_MAX_RANK) {
        return tfr_raise(TFR_MODEL, "%s: tensor %s has %zu dimensions; the limit is %d", file, entry->name, tfr_json_size(node),
                         TFR_MAX_RANK);
    }
    bool is_empty = false;
    *bytes = tfr_dtype_size(entry->dtype);
    for (const tfr_json *item = tfr_json_first(node); item != NULL; item = tfr_json_next(item)) {
        int64_t dim;
        if (!tfr_json_int64(doc, item, &dim) || dim < 0) {
            return tfr_raise(TFR_MODEL, "%s: the shape of tensor %s must be whole numbers from 0", file, entry->name);
        }
        entry->dim[entry->rank++] = dim;
        is_empty = is_empty || dim == 0;
        if (dim > 0 && (!tfr_size_mul(*bytes, (size_t)dim, bytes) || *bytes > INT64_MAX)) {
            return tfr_raise(TFR_MODEL, "%s: the size of tensor %s overflows", file, entry->name);
        }
    }
    *bytes = is_empty ? 0 : *bytes;
    return TFR_OK;
}

static enum tfr_status read_range(struct tfr_safetensors_entry *entry, const char *file, const struct tfr_json_doc *doc,
                                  const tfr_json *node, size_t bytes) {
    int64_t begin, end;
    const bool is_pair = node != NULL && tfr_json_kind(node) == TFR_JSON_ARRAY && tfr_json_size(node) == 2;
    if (!is_pair || !tfr_json_int64(doc, tfr_json_first(node), &begin) ||
        !tfr_json_int64(doc, tfr_json_next(tfr_json_first(node)), &end) || begin < 0 || end < begin) {
        return tfr_raise(TFR_MODEL, "%s: data_offsets of tensor %s must be [begin, end] with 0 <= begin <= end", file, entry->name);
    }
    if ((uint64_t)(end - begin) != bytes) {
        char shape[96];
        return tfr_raise(TFR_MODEL, "%s: tensor %s of %s %s takes %zu bytes but its data_offsets span %lld", file, entry->name,
                         tfr_dtype_file_name(entry->dtype), tfr_shape_text(entry->rank, entry->dim, shape, sizeof(shape)), bytes,
                         (long long)(end - begin));
    }
    entry->begin = (uint64_t)begin;
    entry->end = (uint64_t)end;
    return TFR_OK;
}

static enum tfr_status read_entry(struct tfr_safetensors_entry *entry, const char *file, const struct tfr_json_doc *doc,
                                  const tfr_json *node) {
    entry->name = tfr_strdup(tfr_json_key(node));
    if (entry->name == NULL) {
        return TFR_RESOURCE;
    }
    if (tfr_json_kind(node) != TFR_JSON_OBJECT) {
        return tfr_raise(TFR_MODEL, "%s: tensor %s is not described by an object", file, entry->name);
    }
    for (const tfr_json *part = tfr_json_first(node); part != NULL; part = tfr_json_next(part)) {
        const char *key = tfr_json_key(part);
        if (strcmp(key, "dtype") != 0 && strcmp(key, "shape") != 0 && strcmp(key, "data_offsets") != 0) {
            return tfr_raise(TFR_MODEL, "%s: tensor %s has an unknown property \"%.64s\"", file, entry->name, key);
        }
    }
    size_t bytes;
    TFR_TRY(read_dtype(entry, file, tfr_json_member(node, "dtype")));
    TFR_TRY(read_shape(entry, file, doc, tfr_json_member(node, "shape"), &bytes));
    return read_range(entry, file, doc, tfr_json_member(node, "data_offsets"), bytes);
}

static enum tfr_status read_entries(struct tfr_safetensors_header *header, const char *file, const struct tfr_json_doc *doc) {
    const tfr_json *root = tfr_json_root(doc);
    header->entries = tfr_alloc(tfr_json_size(root) + 1, sizeof(header->entries[0]));
    if (header->entries == NULL) {
        return TFR_RESOURCE;
    }
    for (const tfr_json *node = tfr_json_first(root); node != NULL; node = tfr_json_next(node)) {
        if (strcmp(tfr_json_key(node), "__metadata__") == 0) {
            TFR_TRY(read_metadata(header, file, node));
        } else {
            header->n++; /* before reading, so that a failure frees this one too */
            TFR_TRY(read_entry(&header->entries[header->n - 1], file, doc, node));
        }
    }
    return TFR_OK;
}

static int by_range(const void *left, const void *right) {
    const struct tfr_safetensors_entry *a = left, *b = right;
    if (a->begin != b->begin) {
        return a->begin < b->begin ? -1 : 1;
    }
    return a->end < b->end ? -1 : a->end > b->end;
}

static enum tfr_status check_ranges(struct tfr_safetensors_header *header, const char *file, size_t data_size) {
    qsort(header->entries, header->n, sizeof(header->entries[0]), by_range);
    uint64_t expected = 0;
    for (size_t i = 0; i < header->n; i++) {
        struct tfr_safetensors_entry *entry = &header->entries[i];
        if (entry->begin > expected) {
            return tfr_raise(TFR_MODEL, "%s: %llu bytes before tensor %s belong to no tensor", file,
                             (unsigned long long)(entry->begin - expected), entry->name);
        }
        if (entry->begin < expected) {
            return tfr_raise(TFR_MODEL, "%s: the data of tensors %s and %s overlap", file, header->entries[i - 1].name,
                             entry->name);
        }
        if (entry->end > data_size) {
            return tfr_raise(TFR_MODEL,
                             "%s: tensor %s ends at byte %llu of the data but there are %zu; the file is "
                             "truncated, fetch it again",
                             file, entry->name, (unsigned long long)entry->end, data_size);
        }
        expected = entry->end;
        entry->begin += header->data_offset;
        entry->end += header->data_offset;
    }
    if (expected != data_size) {
        return tfr_raise(TFR_MODEL, "%s: %llu bytes after the last tensor belong to no tensor", file,
                         (unsigned long long)(data_size - expected));
    }
    return TFR_OK;
}

static enum tfr_status parse(struct tfr_safetensors_header *header, const char *file, const uint8_t *data, size_t size) {
    size_t length = 0;
    TFR_TRY(read_length(file, data, size, &length));
    const char *text = (const char *)data + LENGTH_BYTES;
    if (length == 0 || text[0] != '{') {
        return tfr_raise(TFR_MODEL, "%s: the header does not start with '{'; this is not a safetensors file", file);
    }
    struct tfr_json_doc *doc = NULL;
    TFR_TRY(tfr_json_open(&doc, file, text, length, TFR_MODEL));
    header->data_offset = LENGTH_BYTES + length;
    enum tfr_status status = read_entries(header, file, doc);
    if (status == TFR_OK) {
        status = check_ranges(header, file, size - header->data_offset);
    }
    tfr_json_close(doc);
    return status;
}

enum tfr_status tfr_safetensors_parse(struct tfr_safetensors_header *header, const char *file, const uint8_t *data, size_t size) {
    *header = (struct tfr_safetensors_header){0};
    const enum tfr_status status = parse(header, file, data, size);
    if (status != TFR_OK) {
        tfr_safetensors_clear(header);
    }
    return status;
}

void tfr_safetensors_clear(struct tfr_safetensors_header *header) {
    for (size_t i = 0; i < header->n; i++) {
        tfr_free(header->entries[i].name);
    }
    for (size_t i = 0; i < header->n_notes; i++) {
        tfr_free(header->notes[i].key);
        tfr_free(header->notes[i].value);
    }
    tfr_free(header->entries);
    tfr_free(header->notes);
    *header = (struct tfr_safetensors_header){0};
}

/* weights_write.c - writes a safetensors file in pieces; it appears complete or not at all. */
#include "model/weights.h"

#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"

/* Elements of one piece: 1 MiB of f32. */
enum { PIECE = 256 * 1024, HEADER_ALIGN = 8 };

struct content {
    const struct tfr_weight_note *notes;
    const struct tfr_weight_spec *specs;
    size_t n_notes, n;
    tfr_weight_fill_fn fill;
    void *user;
};

static int64_t count_of(const struct tfr_weight_spec *spec) {
    const struct tfr_tensor tensor = tfr_tensor_make(NULL, spec->dtype, spec->rank, spec->dim);
    return tfr_tensor_count(&tensor);
}

static void put_spec(struct tfr_json_out *json, const struct tfr_weight_spec *spec, uint64_t *offset) {
    tfr_json_begin(json, spec->name, '{');
    tfr_json_put_text(json, "dtype", tfr_dtype_file_name(spec->dtype));
    tfr_json_begin(json, "shape", '[');
    for (int i = 0; i < spec->rank; i++) {
        tfr_json_put_int(json, NULL, spec->dim[i]);
    }
    tfr_json_end(json, ']');
    tfr_json_begin(json, "data_offsets", '[');
    tfr_json_put_int(json, NULL, (int64_t)*offset);
    *offset += (uint64_t)count_of(spec) * tfr_dtype_size(spec->dtype);
    tfr_json_put_int(json, NULL, (int64_t)*offset);
    tfr_json_end(json, ']');
    tfr_json_end(json, '}');
}

/* transformers refuses a file whose metadata does not say which framework's layout it has. */
static void put_header(struct tfr_json_out *json, const struct content *content) {
    uint64_t offset = 0;
    tfr_json_begin(json, NULL, '{');
    tfr_json_begin(json, "__metadata__", '{');
    tfr_json_put_text(json, "format", "pt");
    for (size_t i = 0; i < content->n_notes; i++) {
        tfr_json_put_text(json, content->notes[i].key, content->notes[i].value);
    }
    tfr_json_end(json, '}');
    for (size_t i = 0; i < content->n; i++) {
        put_spec(json, &content->specs[i], &offset);
    }
    tfr_json_end(json, '}');
    while (!json->failed && json->size % HEADER_ALIGN != 0) {
        tfr_json_put_raw(json, " ");
    }
}

static enum tfr_status write_header(struct tfr_outfile *out, const struct content *content) {
    struct tfr_json_out json = {0};
    put_header(&json, content);
    enum tfr_status status = TFR_RESOURCE; /* raised by the allocation that failed */
    if (!json.failed) {
        uint8_t length[8];
        for (int i = 0; i < 8; i++) {
            length[i] = (uint8_t)((uint64_t)json.size >> (8 * i));
        }
        status = tfr_outfile_write(out, length, sizeof(length));
    }
    if (status == TFR_OK) {
        status = tfr_outfile_write(out, json.text, json.size);
    }
    tfr_free(json.text);
    return status;
}

static enum tfr_status write_tensor(struct tfr_outfile *out, const struct content *content, size_t tensor, void *buffer) {
    const int64_t count = count_of(&content->specs[tensor]);
    const size_t width = tfr_dtype_size(content->specs[tensor].dtype);
    for (int64_t first = 0; first < count; first += PIECE) {
        const int64_t n = count - first < PIECE ? count - first : PIECE;
        TFR_TRY(content->fill(content->user, tensor, first, n, buffer));
        TFR_TRY(tfr_outfile_write(out, buffer, (size_t)n * width));
    }
    return TFR_OK;
}

static enum tfr_status write_all(struct tfr_outfile *out, const struct content *content) {
    TFR_TRY(write_header(out, content));
    void *buffer = tfr_alloc(PIECE, sizeof(double));
    if (buffer == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < content->n && status == TFR_OK; i++) {
        status = write_tensor(out, content, i, buffer);
    }
    tfr_free(buffer);
    return status;
}

enum tfr_status tfr_weights_write_into(struct tfr_outfile *out, const struct tfr_weight_spec *specs, size_t n,
                                       tfr_weight_fill_fn fill, void *user) {
    const struct content content = {.specs = specs, .n = n, .fill = fill, .user = user};
    return write_all(out, &content);
}

static enum tfr_status write_file(const char *path, const struct content *content) {
    struct tfr_outfile out;
    TFR_TRY(tfr_outfile_open(&out, path));
    const enum tfr_status status = write_all(&out, content);
    if (status != TFR_OK) {
        tfr_outfile_abandon(&out);
        return status;
    }
    return tfr_outfile_commit(&out);
}

enum tfr_status tfr_weights_write(const char *path, const struct tfr_weight_spec *specs, size_t n, tfr_weight_fill_fn fill,
                                  void *user) {
    return tfr_weights_write_noted(path, NULL, 0, specs, n, fill, user);
}

enum tfr_status tfr_weights_write_noted(const char *path, const struct tfr_weight_note *notes, size_t n_notes,
                                        const struct tfr_weight_spec *specs, size_t n, tfr_weight_fill_fn fill, void *user) {
    const struct content content = {.notes = notes, .n_notes = n_notes, .specs = specs, .n = n, .fill = fill, .user = user};
    return write_file(path, &content);
}

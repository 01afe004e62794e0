/* torch_file.c - which of torch.save's layouts a file has. See torch_file.h. */
#include "model/torch_file.h"

#include <string.h>

#include "base/status.h"
#include "model/torch_parts.h"

static bool is_zip(const uint8_t *data, size_t size) {
    return size >= 4 && memcmp(data, "PK\003\004", 4) == 0;
}

/* A length at the front of safetensors may have these bytes too, but there a '{' follows it. */
static bool is_pickle(const uint8_t *data, size_t size) {
    return size > 8 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5 && data[8] != '{';
}

bool tfr_torch_is_file(const uint8_t *data, size_t size) {
    return is_zip(data, size) || is_pickle(data, size);
}

enum tfr_status tfr_torch_parse(struct tfr_torch_file *file, const char *name, const uint8_t *data, size_t size) {
    *file = (struct tfr_torch_file){0};
    const enum tfr_status status =
        is_zip(data, size) ? tfr_torch_zip(file, name, data, size) : tfr_torch_stream(file, name, data, size);
    if (status != TFR_OK) {
        tfr_torch_clear(file);
    }
    return status;
}

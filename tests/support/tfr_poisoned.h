/* tfr_poisoned.h - for tests of failures: a model whose logits are no numbers from some position on. */
#ifndef TFR_TEST_POISONED_H
#define TFR_TEST_POISONED_H

#include <math.h>

#include "tfr_files.h"
#include "tfr_requests.h"

/* A copy of "base" whose embedding of one position is NaN. */
static inline const char *poisoned_model(int position) {
    char data[1 << 20], config[4096];
    FILE *file = fopen(GOLDEN "base/model.safetensors", "rb");
    assert_non_null(file);
    const size_t n = fread(data, 1, sizeof data, file);
    fclose(file);
    uint64_t header;
    memcpy(&header, data, sizeof header);
    const char *entry = memmem(data, 8 + header, "transformer.wpe.weight", 22);
    assert_non_null(entry);
    const char *offsets = strstr(entry, "\"data_offsets\"");
    const size_t first = strtoull(strchr(offsets, '[') + 1, NULL, 10);
    for (size_t i = 0; i < 32; i++) {
        const float nan = NAN;
        memcpy(data + 8 + header + first + ((size_t)position * 32 + i) * sizeof nan, &nan, sizeof nan);
    }
    const char *folder = tfr_test_folder("poisoned");
    tfr_test_write("model.safetensors", data, n);
    file = fopen(GOLDEN "base/config.json", "rb");
    assert_non_null(file);
    const size_t size = fread(config, 1, sizeof config, file);
    fclose(file);
    tfr_test_write("config.json", config, size);
    return folder;
}

#endif

/* fuzz_safetensors.c - any bytes as a safetensors file. Whatever is accepted must describe
 * ranges inside the file that fill it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/tensor.h"
#include "harness.h"
#include "model/safetensors_header.h"

int tfr_fuzz_safetensors(const uint8_t *data, size_t size) {
    struct tfr_safetensors_header header;
    if (!tfr_fuzz_accepted(tfr_safetensors_parse(&header, "fuzz", data, size))) {
        return 0;
    }
    uint64_t expected = header.data_offset;
    for (size_t i = 0; i < header.n; i++) {
        const struct tfr_safetensors_entry *entry = &header.entries[i];
        const struct tfr_tensor tensor = tfr_tensor_make(NULL, entry->dtype, entry->rank, entry->dim);
        if (entry->begin != expected || entry->end > size || tfr_tensor_bytes(&tensor) != entry->end - entry->begin) {
            abort();
        }
        expected = entry->end;
    }
    if (expected != size) {
        abort();
    }
    tfr_safetensors_clear(&header);
    return 0;
}

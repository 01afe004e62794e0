/* fuzz_pickle.c - any bytes as a file of torch.save, in the layout that they look like, and as a bare pickle.
 * Whatever is accepted must describe tensors that can be read to their last byte.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/tensor.h"
#include "harness.h"
#include "model/torch_file.h"

static volatile uint8_t sink;

static void read_all(const struct tfr_torch_file *file) {
    for (size_t i = 0; i < file->n; i++) {
        const struct tfr_torch_entry *entry = &file->entries[i];
        const struct tfr_tensor tensor = tfr_tensor_make(NULL, entry->dtype, entry->rank, entry->dim);
        for (size_t at = 0; at < tfr_tensor_bytes(&tensor); at++) {
            sink ^= entry->data[at];
        }
    }
}

int tfr_fuzz_pickle(const uint8_t *data, size_t size) {
    struct tfr_torch_file file;
    (void)tfr_torch_is_file(data, size);
    if (tfr_fuzz_accepted(tfr_torch_parse(&file, "fuzz", data, size))) {
        read_all(&file);
        tfr_torch_clear(&file);
    }
    struct tfr_pickle pickle;
    if (tfr_fuzz_accepted(tfr_pickle_parse(&pickle, "fuzz", data, size))) {
        if (pickle.root >= pickle.n || pickle.end > size) {
            abort();
        }
        tfr_pickle_clear(&pickle);
    }
    return 0;
}

/* torch_file.h - tensors of a file that torch.save wrote: the zip archive of today or the stream of
 * before 1.6.
 *
 * The pickle in it is read as data (pickle.h); the numbers of a tensor stay where they lie in `data`, unless
 * its strides are not those of a dense tensor: then they are copied. Checked: types, shapes, no overflow,
 * every tensor inside its storage, every storage inside the file and of the size that the pickle says, no
 * name twice. Tensors may share a storage. Thread rule: one file, one thread.
 */
#ifndef TFR_MODEL_TORCH_FILE_H
#define TFR_MODEL_TORCH_FILE_H

#include "model/pickle.h"

struct tfr_torch_entry {
    char *name;
    enum tfr_dtype dtype;
    int rank;
    int64_t dim[TFR_MAX_RANK];
    const uint8_t *data; /* unaligned */
    void *copy;          /* owned; NULL: data lies in the file */
};

struct tfr_torch_file {
    struct tfr_torch_entry *entries; /* in the order of the state dict */
    size_t n;
};

/* By its first bytes: a zip archive, or a pickle that is no safetensors header. */
bool tfr_torch_is_file(const uint8_t *data, size_t size);
/* `name` is for messages, `data` the whole file, which must outlive the result. On failure *file is empty. */
enum tfr_status tfr_torch_parse(struct tfr_torch_file *file, const char *name, const uint8_t *data, size_t size);
void tfr_torch_clear(struct tfr_torch_file *file);

#endif

/* torch_zip_none.c - stands in for torch_zip.c in builds without libzip. */
#include "base/status.h"
#include "model/torch_parts.h"

enum tfr_status tfr_torch_zip(struct tfr_torch_file *file, const char *name, const uint8_t *data, size_t size) {
    return tfr_raise(TFR_UNSUPPORTED,
                     "%s: this is a zip archive of torch.save, and this tfrun was built without libzip; build it with "
                     "-DTFRUN_WITH_LIBZIP=ON, or convert the file with model.save_pretrained(DIR, "
                     "safe_serialization=True)",
                     name);
}

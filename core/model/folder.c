/* folder.c - what `tfrun init` and `tfrun quantize` share: a new model folder, in which the small files beside the weights are
 * written whole, and in place only when the weights are. */
#include "model/folder.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"

enum { MAX_COPY_BYTES = 256 << 20 };

enum tfr_status tfr_folder_refuse_existing(const char *directory) {
    static const char *const names[] = {"config.json", "model.safetensors", "model.safetensors.index.json"};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        char *path = tfr_path_join(directory, names[i]);
        if (path == NULL) {
            return TFR_RESOURCE;
        }
        const bool exists = tfr_path_exists(path);
        tfr_free(path);
        if (exists) {
            return tfr_raise(TFR_USAGE, "%s: already holds a model (%s); choose another folder or give --force", directory,
                             names[i]);
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_small_files_add(struct tfr_small_files *files, const char *path, struct tfr_outfile **out) {
    *out = &files->items[files->n];
    TFR_TRY(tfr_outfile_open(*out, path));
    files->n++;
    return TFR_OK;
}

enum tfr_status tfr_small_files_commit(struct tfr_small_files *files) {
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < files->n; i++) {
        if (status == TFR_OK) {
            status = tfr_outfile_commit(&files->items[i]);
        } else {
            tfr_outfile_abandon(&files->items[i]);
        }
    }
    files->n = 0;
    return status;
}

void tfr_small_files_abandon(struct tfr_small_files *files) {
    for (size_t i = 0; i < files->n; i++) {
        tfr_outfile_abandon(&files->items[i]);
    }
}

enum tfr_status tfr_small_files_copy(struct tfr_small_files *files, const char *from, const char *to) {
    char *data = NULL;
    size_t size;
    struct tfr_outfile *out;
    TFR_TRY(tfr_file_read(from, MAX_COPY_BYTES, &data, &size));
    enum tfr_status status = tfr_small_files_add(files, to, &out);
    if (status == TFR_OK) {
        status = tfr_outfile_write(out, data, size);
    }
    tfr_free(data);
    return status;
}

/* Every tokenizer file that is there; which of them are needed is the tokenizer's business. */
enum tfr_status tfr_small_files_tokenizer(const struct tfr_config *config, const char *directory, struct tfr_small_files *files) {
    static const char *const names[] = {
        "vocab.json", "merges.txt", "tokenizer.json", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"};
    const char *source = config->options.model_tokenizer;
    source = source != NULL ? source : config->directory;
    const bool is_file = !tfr_path_is_directory(source);
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < TFR_COUNT_OF(names) && status == TFR_OK; i++) {
        /* A tokenizer may be named as a file: then it is a tokenizer.json and stands alone. */
        const bool is_wanted = !is_file || strcmp(names[i], "tokenizer.json") == 0;
        char *from = is_file ? tfr_strdup(source) : tfr_path_join(source, names[i]);
        char *to = tfr_path_join(directory, names[i]);
        if (from == NULL || to == NULL) {
            status = TFR_RESOURCE;
        } else if (is_wanted && tfr_path_exists(from)) {
            status = tfr_small_files_copy(files, from, to);
        }
        tfr_free(from);
        tfr_free(to);
    }
    return status;
}

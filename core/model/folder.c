/* folder.c - what `tfrun init` and `tfrun quantize` share: a new model folder, in which the small files beside the weights are
 * written whole, and in place only when the weights are. */
#include "model/folder.h"

#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/status.h"

enum { MAX_COPY_BYTES = 256 << 20 };

static const char *const tokenizer_names[] = {
    "vocab.json", "merges.txt", "tokenizer.json", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"};

enum tfr_status tfr_folder_refuse(const char *directory, const char *name) {
    struct stat facts;
    char *path = tfr_path_join(directory, name);
    if (path == NULL) {
        return TFR_RESOURCE;
    }
    const bool is_there = lstat(path, &facts) == 0; /* a link to nothing too */
    tfr_free(path);
    return is_there ? tfr_raise(TFR_USAGE, "%s: already holds a model (%s); choose another folder or give --force", directory, name)
                    : TFR_OK;
}

enum tfr_status tfr_folder_find(const char *directory, const char *name, char **path) {
    *path = tfr_path_join(directory, name);
    if (*path == NULL) {
        return TFR_RESOURCE;
    }
    if (!tfr_path_exists(*path)) {
        tfr_free(*path);
        *path = NULL;
    }
    return TFR_OK;
}

/* The file of this name that the config's tokenizer has; NULL: none. A tokenizer may be named as a file: then it is a
 * tokenizer.json and stands alone. */
static enum tfr_status find_source(const struct tfr_config *config, const char *name, char **from) {
    const char *named = config->options.model_tokenizer, *source = named != NULL ? named : config->directory;
    if (tfr_path_is_directory(source)) {
        return tfr_folder_find(source, name, from);
    }
    const bool is_it = strcmp(name, "tokenizer.json") == 0 && tfr_path_exists(source);
    *from = is_it ? tfr_strdup(source) : NULL;
    return is_it && *from == NULL ? TFR_RESOURCE : TFR_OK;
}

enum tfr_status tfr_folder_refuse_existing(const struct tfr_config *config, const char *directory) {
    static const char *const names[] = {"config.json", "model.safetensors", "model.safetensors.index.json"};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        TFR_TRY(tfr_folder_refuse(directory, names[i]));
    }
    for (size_t i = 0; i < TFR_COUNT_OF(tokenizer_names); i++) {
        char *from;
        TFR_TRY(find_source(config, tokenizer_names[i], &from));
        const enum tfr_status status = from != NULL ? tfr_folder_refuse(directory, tokenizer_names[i]) : TFR_OK;
        tfr_free(from);
        TFR_TRY(status);
    }
    return TFR_OK;
}

enum tfr_status tfr_small_files_add(struct tfr_small_files *files, const char *path, struct tfr_outfile **out) {
    *out = &files->items[files->n];
    TFR_TRY(tfr_outfile_open_in_place(*out, path));
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
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < TFR_COUNT_OF(tokenizer_names) && status == TFR_OK; i++) {
        char *from = NULL, *to = tfr_path_join(directory, tokenizer_names[i]);
        status = to != NULL ? find_source(config, tokenizer_names[i], &from) : TFR_RESOURCE;
        if (from != NULL) {
            status = tfr_small_files_copy(files, from, to);
        }
        tfr_free(from);
        tfr_free(to);
    }
    return status;
}

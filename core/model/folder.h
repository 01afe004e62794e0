/* folder.h - a new model folder: the small files beside the weights appear when the weights do. For the files of core/model. */
#ifndef TFR_MODEL_FOLDER_H
#define TFR_MODEL_FOLDER_H

#include "base/mapfile.h"
#include "config/config.h"

enum { TFR_MAX_SMALL_FILES = 10 };

/* Zero to begin with. */
struct tfr_small_files {
    struct tfr_outfile items[TFR_MAX_SMALL_FILES];
    size_t n;
};

/* A folder that holds a model already, or a file that would be written for the config's tokenizer. */
enum tfr_status tfr_folder_refuse_existing(const struct tfr_config *config, const char *directory);
/* One more name of it. */
enum tfr_status tfr_folder_refuse(const char *directory, const char *name);
/* The path of what the folder has under this name; NULL where it has none. The caller frees it. */
enum tfr_status tfr_folder_find(const char *directory, const char *name, char **path);
/* One more file, to be written by the caller. A link that stands there is replaced: what it leads to is no part of the folder. */
enum tfr_status tfr_small_files_add(struct tfr_small_files *files, const char *path, struct tfr_outfile **out);
enum tfr_status tfr_small_files_copy(struct tfr_small_files *files, const char *from, const char *to);
/* Every tokenizer file that the config's tokenizer has. */
enum tfr_status tfr_small_files_tokenizer(const struct tfr_config *config, const char *directory, struct tfr_small_files *files);
/* All into their places, in order; after a failure no more. */
enum tfr_status tfr_small_files_commit(struct tfr_small_files *files);
/* Those that are not in place go; after a commit none. */
void tfr_small_files_abandon(struct tfr_small_files *files);

#endif

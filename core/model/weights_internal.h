/* weights_internal.h - the table of weights, for weights.c and weights_index.c. */
#ifndef TFR_MODEL_WEIGHTS_INTERNAL_H
#define TFR_MODEL_WEIGHTS_INTERNAL_H

#include "base/mapfile.h"
#include "model/safetensors_header.h"
#include "model/weights.h"

struct tfr_weights {
    struct tfr_mapfile *files; /* [n_files] */
    char **shard_names;        /* [n_files], as in the index; NULL for a single file */
    size_t n_files, file_capacity;
    struct tfr_weight *items;
    size_t n;
    void **copies; /* [n_copies] tensors that are no views of a file */
    size_t n_copies;
    char **absent; /* [n_absent] names of an index that are in no shard */
    size_t n_absent;
    struct tfr_safetensors_note *notes; /* of a single file */
    size_t n_notes;
    uint64_t seed;  /* of the hash */
    size_t *slots;  /* open addressing: index + 1 of an item, 0 empty */
    size_t n_slots; /* power of two */
};

/* `shard_name` is as in the index, NULL for a single file. The first bytes say which format it is. */
enum tfr_status tfr_weights_add_file(struct tfr_weights *weights, const char *path, const char *shard_name);
/* After the last file: the names become known. At most half full. */
enum tfr_status tfr_weights_build_slots(struct tfr_weights *weights);
enum tfr_status tfr_weights_open_index(struct tfr_weights *weights, const char *path);

#endif

/* weights.c - one or several files of safetensors or of torch.save as one table of named tensors over
 * read-only mappings.
 *
 * Opening reads headers only. Names are found by hash; the table keeps the order of the files and of the data
 * in them.
 */
#include "model/weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "base/textfile.h"
#include "model/safetensors_header.h"
#include "model/torch_file.h"
#include "model/weights_foreign.h"

enum { MAX_SHARDS = 4096 };

struct tfr_weights {
    struct tfr_mapfile *files; /* [n_files] */
    char **shard_names;        /* [n_files], as in the index; NULL for a single file */
    size_t n_files, file_capacity;
    struct tfr_weight *items;
    size_t n;
    void **copies; /* [n_copies] tensors that are no views of a file */
    size_t n_copies;
    struct tfr_safetensors_note *notes; /* of a single file */
    size_t n_notes;
    size_t *slots;  /* open addressing: index + 1 of an item, 0 empty */
    size_t n_slots; /* power of two */
};

/* FNV-1a. */
static uint64_t hash_name(const char *name) {
    uint64_t hash = 14695981039346656037u;
    for (; *name != '\0'; name++) {
        hash = (hash ^ (uint8_t)*name) * 1099511628211u;
    }
    return hash;
}

/* The slot of `name`, or the empty one where it belongs. */
static size_t *find_slot(const struct tfr_weights *weights, const char *name) {
    size_t i = (size_t)hash_name(name) & (weights->n_slots - 1);
    while (weights->slots[i] != 0 && strcmp(weights->items[weights->slots[i] - 1].name, name) != 0) {
        i = (i + 1) & (weights->n_slots - 1);
    }
    return &weights->slots[i];
}

/* At most half full. */
static enum tfr_status build_slots(struct tfr_weights *weights) {
    weights->n_slots = 16;
    while (weights->n_slots < 2 * weights->n) {
        weights->n_slots *= 2;
    }
    weights->slots = tfr_alloc(weights->n_slots, sizeof(weights->slots[0]));
    if (weights->slots == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < weights->n; i++) {
        size_t *slot = find_slot(weights, weights->items[i].name);
        if (*slot != 0) {
            return tfr_raise(TFR_MODEL, "%s: tensor %s is also in %s; a name may be in one shard only",
                             weights->items[i].file, weights->items[i].name, weights->items[*slot - 1].file);
        }
        *slot = i + 1;
    }
    return TFR_OK;
}

static enum tfr_status reserve_file(struct tfr_weights *weights) {
    if (weights->n_files < weights->file_capacity) {
        return TFR_OK;
    }
    const size_t capacity = weights->file_capacity == 0 ? 4 : 2 * weights->file_capacity;
    struct tfr_mapfile *files = tfr_realloc(weights->files, capacity, sizeof(*files));
    if (files == NULL) {
        return TFR_RESOURCE;
    }
    weights->files = files;
    char **names = tfr_realloc(weights->shard_names, capacity, sizeof(*names));
    if (names == NULL) {
        return TFR_RESOURCE;
    }
    weights->shard_names = names;
    weights->file_capacity = capacity;
    return TFR_OK;
}

/* Moves the entries of a header behind the items; the names change owner. */
static enum tfr_status take_entries(struct tfr_weights *weights, struct tfr_safetensors_header *header,
                                    const struct tfr_mapfile *file) {
    struct tfr_weight *items = tfr_realloc(weights->items, weights->n + header->n + 1, sizeof(*items));
    if (items == NULL) {
        return TFR_RESOURCE;
    }
    weights->items = items;
    for (size_t i = 0; i < header->n; i++) {
        struct tfr_safetensors_entry *entry = &header->entries[i];
        void *data = (void *)(uintptr_t)(file->data + entry->begin);
        items[weights->n++] =
            (struct tfr_weight){.name = entry->name,
                                .tensor = tfr_tensor_make(data, entry->dtype, entry->rank, entry->dim),
                                .file = file->path};
        entry->name = NULL;
    }
    return TFR_OK;
}

/* The same for a file of torch.save; what it copied changes owner too. */
static enum tfr_status take_torch(struct tfr_weights *weights, struct tfr_torch_file *torch,
                                  const char *path) {
    struct tfr_weight *items = tfr_realloc(weights->items, weights->n + torch->n + 1, sizeof(*items));
    if (items == NULL) {
        return TFR_RESOURCE;
    }
    weights->items = items;
    void **copies = tfr_realloc(weights->copies, weights->n_copies + torch->n + 1, sizeof(*copies));
    if (copies == NULL) {
        return TFR_RESOURCE;
    }
    weights->copies = copies;
    for (size_t i = 0; i < torch->n; i++) {
        struct tfr_torch_entry *entry = &torch->entries[i];
        void *data = (void *)(uintptr_t)entry->data;
        items[weights->n++] =
            (struct tfr_weight){.name = entry->name,
                                .tensor = tfr_tensor_make(data, entry->dtype, entry->rank, entry->dim),
                                .file = path};
        copies[weights->n_copies++] = entry->copy;
        entry->name = NULL;
        entry->copy = NULL;
    }
    return TFR_OK;
}

static enum tfr_status read_torch(struct tfr_weights *weights, const struct tfr_mapfile *file) {
    struct tfr_torch_file torch;
    TFR_TRY(tfr_torch_parse(&torch, file->path, file->data, file->size));
    const enum tfr_status status = take_torch(weights, &torch, file->path);
    tfr_torch_clear(&torch);
    return status;
}

static enum tfr_status read_safetensors(struct tfr_weights *weights, const struct tfr_mapfile *file,
                                        bool is_single) {
    struct tfr_safetensors_header header;
    TFR_TRY(tfr_safetensors_parse(&header, file->path, file->data, file->size));
    const enum tfr_status status = take_entries(weights, &header, file);
    if (is_single) {
        weights->notes = header.notes;
        weights->n_notes = header.n_notes;
        header.notes = NULL;
        header.n_notes = 0;
    }
    tfr_safetensors_clear(&header);
    return status;
}

/* `shard_name` is as in the index, NULL for a single file. The first bytes say which format it is. */
static enum tfr_status add_file(struct tfr_weights *weights, const char *path, const char *shard_name) {
    struct tfr_mapfile file;
    TFR_TRY(reserve_file(weights));
    TFR_TRY(tfr_mapfile_open(&file, path));
    weights->files[weights->n_files] = file;
    weights->shard_names[weights->n_files] = NULL;
    weights->n_files++;
    if (shard_name != NULL) {
        weights->shard_names[weights->n_files - 1] = tfr_strdup(shard_name);
        if (weights->shard_names[weights->n_files - 1] == NULL) {
            return TFR_RESOURCE;
        }
    }
    TFR_TRY(tfr_refuse_pointer(path, file.data, file.size, TFR_MODEL));
    if (tfr_torch_is_file(file.data, file.size)) {
        return read_torch(weights, &file);
    }
    TFR_TRY(tfr_weights_refuse_foreign(path, file.data, file.size));
    return read_safetensors(weights, &file, shard_name == NULL);
}

static bool has_shard(const struct tfr_weights *weights, const char *name) {
    for (size_t i = weights->n_files; i > 0; i--) { /* the last one is the likeliest */
        if (strcmp(weights->shard_names[i - 1], name) == 0) {
            return true;
        }
    }
    return false;
}

static enum tfr_status add_shard(struct tfr_weights *weights, const char *index_path, const char *directory,
                                 const char *name) {
    if (name[0] == '\0' || strchr(name, '/') != NULL || strstr(name, "..") != NULL) {
        return tfr_raise(TFR_MODEL, "%s: shard name \"%.200s\" is not a plain file name beside the index",
                         index_path, name);
    }
    if (has_shard(weights, name)) {
        return TFR_OK;
    }
    if (weights->n_files >= MAX_SHARDS) {
        return tfr_raise(TFR_MODEL, "%s: names more than %d shards", index_path, MAX_SHARDS);
    }
    char *path = tfr_path_join(directory, name);
    if (path == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status;
    if (tfr_path_exists(path)) {
        status = add_file(weights, path, name);
    } else {
        status = tfr_raise(TFR_RESOURCE, "%s: shard %s is not there; every file named in the index is needed",
                           index_path, path);
    }
    tfr_free(path);
    return status;
}

/* The shards named in the map, each once, in the order of the map. */
static enum tfr_status add_shards(struct tfr_weights *weights, const char *path, const tfr_json *map) {
    char *directory = tfr_path_directory(path);
    if (directory == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = TFR_OK;
    for (const tfr_json *node = tfr_json_first(map); node != NULL && status == TFR_OK;
         node = tfr_json_next(node)) {
        const char *shard = tfr_json_string(node);
        if (shard == NULL) {
            status = tfr_raise(TFR_MODEL, "%s: weight_map.%s must be a file name", path, tfr_json_key(node));
        } else {
            status = add_shard(weights, path, directory, shard);
        }
    }
    tfr_free(directory);
    return status;
}

/* Every name of the map is in the shard that the map says. */
static enum tfr_status check_map(const struct tfr_weights *weights, const char *path, const tfr_json *map) {
    for (const tfr_json *node = tfr_json_first(map); node != NULL; node = tfr_json_next(node)) {
        const struct tfr_weight *weight = tfr_weights_find(weights, tfr_json_key(node));
        const char *slash = weight == NULL ? NULL : strrchr(weight->file, '/');
        const char *file = weight == NULL ? "" : slash == NULL ? weight->file : slash + 1;
        if (strcmp(file, tfr_json_string(node)) != 0) {
            return tfr_raise(TFR_MODEL, "%s: tensor %s should be in %s but is %s%s", path, tfr_json_key(node),
                             tfr_json_string(node), weight == NULL ? "in no shard" : "in ", file);
        }
    }
    return TFR_OK;
}

static enum tfr_status check_total_size(const struct tfr_json_doc *doc, const char *path) {
    const tfr_json *metadata = tfr_json_member(tfr_json_root(doc), "metadata");
    const tfr_json *total = metadata == NULL ? NULL : tfr_json_member(metadata, "total_size");
    if (total != NULL && tfr_json_kind(total) != TFR_JSON_NUMBER) {
        return tfr_raise(TFR_MODEL, "%s: metadata.total_size is not a number", path);
    }
    return TFR_OK;
}

static enum tfr_status read_index(struct tfr_weights *weights, const char *path,
                                  const struct tfr_json_doc *doc) {
    const tfr_json *map = tfr_json_member(tfr_json_root(doc), "weight_map");
    if (map == NULL || tfr_json_kind(map) != TFR_JSON_OBJECT || tfr_json_size(map) == 0) {
        return tfr_raise(TFR_MODEL, "%s: has no weight_map; this is not the index of a sharded model", path);
    }
    TFR_TRY(check_total_size(doc, path));
    TFR_TRY(add_shards(weights, path, map));
    TFR_TRY(build_slots(weights));
    return check_map(weights, path, map);
}

static enum tfr_status open_index(struct tfr_weights *weights, const char *path) {
    struct tfr_json_doc *doc = NULL;
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_MODEL));
    const enum tfr_status status = read_index(weights, path, doc);
    tfr_json_close(doc);
    return status;
}

static bool ends_with(const char *text, const char *end) {
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static enum tfr_status open_any(struct tfr_weights *weights, const char *path) {
    if (tfr_path_is_directory(path)) {
        return tfr_raise(TFR_RESOURCE, "%s: is a folder; name the file of weights or its index", path);
    }
    if (ends_with(path, ".json")) {
        return open_index(weights, path);
    }
    TFR_TRY(add_file(weights, path, NULL));
    return build_slots(weights);
}

enum tfr_status tfr_weights_open(struct tfr_weights **weights, const char *path) {
    *weights = NULL;
    struct tfr_weights *opened = tfr_alloc(1, sizeof(*opened));
    if (opened == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = open_any(opened, path);
    if (status != TFR_OK) {
        tfr_weights_close(opened);
        return status;
    }
    *weights = opened;
    return TFR_OK;
}

void tfr_weights_close(struct tfr_weights *weights) {
    if (weights == NULL) {
        return;
    }
    for (size_t i = 0; i < weights->n; i++) {
        tfr_free((void *)(uintptr_t)weights->items[i].name);
    }
    for (size_t i = 0; i < weights->n_files; i++) {
        tfr_mapfile_close(&weights->files[i]);
        tfr_free(weights->shard_names[i]);
    }
    for (size_t i = 0; i < weights->n_notes; i++) {
        tfr_free(weights->notes[i].key);
        tfr_free(weights->notes[i].value);
    }
    for (size_t i = 0; i < weights->n_copies; i++) {
        tfr_free(weights->copies[i]);
    }
    tfr_free(weights->copies);
    tfr_free(weights->notes);
    tfr_free(weights->slots);
    tfr_free(weights->items);
    tfr_free(weights->shard_names);
    tfr_free(weights->files);
    tfr_free(weights);
}

const struct tfr_weight *tfr_weights_find(const struct tfr_weights *weights, const char *name) {
    const size_t slot = *find_slot(weights, name);
    return slot == 0 ? NULL : &weights->items[slot - 1];
}

const struct tfr_weight *tfr_weights_all(const struct tfr_weights *weights, size_t *n) {
    *n = weights->n;
    return weights->items;
}

const char *tfr_weights_file(const struct tfr_weights *weights, size_t i) {
    return i < weights->n_files ? weights->files[i].path : NULL;
}

const char *tfr_weights_note(const struct tfr_weights *weights, const char *key) {
    for (size_t i = 0; i < weights->n_notes; i++) {
        if (strcmp(weights->notes[i].key, key) == 0) {
            return weights->notes[i].value;
        }
    }
    return NULL;
}

void tfr_weights_drop(const struct tfr_weights *weights, const struct tfr_weight *weight) {
    const uintptr_t data = (uintptr_t)weight->tensor.data;
    for (size_t i = 0; i < weights->n_files; i++) {
        const uintptr_t start = (uintptr_t)weights->files[i].data;
        if (data >= start && data - start < weights->files[i].size) {
            tfr_mapfile_drop(&weights->files[i], data - start, tfr_tensor_bytes(&weight->tensor));
            return;
        }
    }
}

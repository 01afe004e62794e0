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
#include "base/hash.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "base/textfile.h"
#include "model/coarse_tensor.h"
#include "model/safetensors_header.h"
#include "model/torch_file.h"
#include "model/weights_foreign.h"
#include "model/weights_internal.h"

/* The slot of `name`, or the empty one where it belongs. */
static size_t *find_slot(const struct tfr_weights *weights, const char *name) {
    size_t i = (size_t)tfr_hash_name(weights->seed, name, strlen(name)) & (weights->n_slots - 1);
    while (weights->slots[i] != 0 && strcmp(weights->items[weights->slots[i] - 1].name, name) != 0) {
        i = (i + 1) & (weights->n_slots - 1);
    }
    return &weights->slots[i];
}

enum tfr_status tfr_weights_build_slots(struct tfr_weights *weights) {
    weights->seed = tfr_hash_seed();
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
            return tfr_raise(TFR_MODEL, "%s: tensor %s is also in %s; a name may be in one shard only", weights->items[i].file,
                             weights->items[i].name, weights->items[*slot - 1].file);
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
        items[weights->n++] = (struct tfr_weight){
            .name = entry->name, .tensor = tfr_tensor_make(data, entry->dtype, entry->rank, entry->dim), .file = file->path};
        entry->name = NULL;
    }
    return TFR_OK;
}

/* The same for a file of torch.save; what it copied changes owner too. */
static enum tfr_status take_torch(struct tfr_weights *weights, struct tfr_torch_file *torch, const char *path) {
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
        items[weights->n++] = (struct tfr_weight){
            .name = entry->name, .tensor = tfr_tensor_make(data, entry->dtype, entry->rank, entry->dim), .file = path};
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

static enum tfr_status read_safetensors(struct tfr_weights *weights, const struct tfr_mapfile *file, bool is_single) {
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

enum tfr_status tfr_weights_add_file(struct tfr_weights *weights, const char *path, const char *shard_name) {
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

static bool ends_with(const char *text, const char *end) {
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static enum tfr_status open_any(struct tfr_weights *weights, const char *path) {
    if (tfr_path_is_directory(path)) {
        return tfr_raise(TFR_RESOURCE, "%s: is a folder; name the file of weights or its index", path);
    }
    if (ends_with(path, ".json")) {
        return tfr_weights_open_index(weights, path);
    }
    TFR_TRY(tfr_weights_add_file(weights, path, NULL));
    return tfr_weights_build_slots(weights);
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
        tfr_free((void *)(uintptr_t)weights->items[i].coarse);
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
    for (size_t i = 0; i < weights->n_absent; i++) {
        tfr_free(weights->absent[i]);
    }
    tfr_free(weights->absent);
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

enum tfr_status tfr_weights_strip(struct tfr_weights *weights, const char *front) {
    const size_t length = strlen(front);
    for (size_t i = 0; i < weights->n; i++) {
        if (strncmp(weights->items[i].name, front, length) != 0 || weights->items[i].name[length] == '\0') {
            return tfr_raise(TFR_MODEL, "%s: tensor %.200s does not begin with \"%.64s\", which model.tensor_prefix takes off all",
                             weights->items[i].file, weights->items[i].name, front);
        }
    }
    for (size_t i = 0; i < weights->n; i++) {
        char *name = (char *)(uintptr_t)weights->items[i].name; /* our own copy */
        memmove(name, name + length, strlen(name) - length + 1);
    }
    tfr_free(weights->slots);
    weights->slots = NULL;
    return tfr_weights_build_slots(weights);
}

const char *tfr_weights_absent(const struct tfr_weights *weights, size_t i) {
    return i < weights->n_absent ? weights->absent[i] : NULL;
}

const char *tfr_weights_file(const struct tfr_weights *weights, size_t i) {
    return i < weights->n_files ? weights->files[i].path : NULL;
}

const struct tfr_file_facts *tfr_weights_facts(const struct tfr_weights *weights, size_t i) {
    return i < weights->n_files ? &weights->files[i].facts : NULL;
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
    const struct tfr_tensor *stored = weight->coarse != NULL ? &weight->coarse->parts.q : &weight->tensor;
    for (size_t i = 0; i < weights->n_files; i++) {
        const uintptr_t start = (uintptr_t)weights->files[i].data;
        if (data >= start && data - start < weights->files[i].size) {
            tfr_mapfile_drop(&weights->files[i], data - start, tfr_tensor_bytes(stored));
            return;
        }
    }
}

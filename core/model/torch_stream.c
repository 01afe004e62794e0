/* torch_stream.c - files of torch.save before release 1.6, and of _use_new_zipfile_serialization=False:
 * pickles one behind the other (a magic number, a version, the machine, the state dict, the keys of its
 * storages), then each storage as a count and its bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/torch_parts.h"

enum { COUNT_BYTES = 8, VERSION = 1001 };

struct storage {
    const char *key;
    size_t key_size;
    size_t bytes;
    enum tfr_dtype dtype;
    const uint8_t *data; /* NULL until its bytes are found */
};

struct stream {
    const char *name;
    const uint8_t *data;
    size_t size, at;
    struct tfr_pickle state, keys;
    struct storage *storages; /* in the order of their keys, none twice */
    size_t n;
};

static enum tfr_status next_pickle(struct stream *stream, struct tfr_pickle *pickle) {
    TFR_TRY(tfr_pickle_parse(pickle, stream->name, stream->data + stream->at, stream->size - stream->at));
    stream->at += pickle->end;
    return TFR_OK;
}

static bool is_magic(const struct tfr_pickle_value *root) {
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    return root->kind == TFR_PICKLE_LONG && root->as.text.size == sizeof magic - 1 &&
           memcmp(root->as.text.bytes, magic, sizeof magic - 1) == 0;
}

/* One pickle of the front, whose root must pass `check`. */
static enum tfr_status read_front(struct stream *stream, bool (*check)(const struct tfr_pickle *pickle), const char *what) {
    struct tfr_pickle pickle;
    TFR_TRY(next_pickle(stream, &pickle));
    const bool is_right = check(&pickle);
    tfr_pickle_clear(&pickle);
    return is_right ? TFR_OK : tfr_raise(TFR_UNSUPPORTED, "%s: %s", stream->name, what);
}

static bool has_magic(const struct tfr_pickle *pickle) {
    return is_magic(&pickle->values[pickle->root]);
}

static bool has_version(const struct tfr_pickle *pickle) {
    const struct tfr_pickle_value *root = &pickle->values[pickle->root];
    return root->kind == TFR_PICKLE_INT && root->as.integer == VERSION;
}

static bool is_little_endian(const struct tfr_pickle *pickle) {
    const struct tfr_pickle_value *order = tfr_pickle_member(pickle, &pickle->values[pickle->root], "little_endian");
    return order != NULL && order->kind == TFR_PICKLE_BOOL && order->as.integer != 0;
}

static int by_key(const void *left, const void *right) {
    const struct storage *a = left, *b = right;
    const size_t shorter = a->key_size < b->key_size ? a->key_size : b->key_size;
    const int order = shorter > 0 ? memcmp(a->key, b->key, shorter) : 0;
    return order != 0 ? order : a->key_size < b->key_size ? -1 : a->key_size > b->key_size;
}

/* Every storage that the state dict speaks of, once; it speaks of a shared one several times. */
static enum tfr_status list_storages(struct stream *stream) {
    const struct tfr_pickle *pickle = &stream->state;
    stream->storages = tfr_alloc((size_t)pickle->n + 1, sizeof *stream->storages);
    if (stream->storages == NULL) {
        return TFR_RESOURCE;
    }
    struct storage *all = stream->storages;
    size_t n = 0;
    for (uint32_t i = 0; i < pickle->n; i++) {
        const struct tfr_pickle_value *value = &pickle->values[i];
        if (value->kind == TFR_PICKLE_STORAGE) {
            const struct tfr_pickle_value *key = &pickle->values[value->as.storage.key];
            const enum tfr_dtype dtype = value->as.storage.dtype;
            all[n] = (struct storage){.key = key->as.text.bytes, .key_size = key->as.text.size, .dtype = dtype};
            if (!tfr_size_mul((size_t)value->as.storage.n, tfr_dtype_size(dtype), &all[n].bytes)) {
                return tfr_raise(TFR_MODEL, "%s: the size of a storage overflows", stream->name);
            }
            n++;
        }
    }
    qsort(all, n, sizeof *all, by_key);
    for (size_t i = 0; i < n; i++) {
        struct storage *last = stream->n > 0 ? &all[stream->n - 1] : NULL;
        if (last == NULL || by_key(last, &all[i]) != 0) {
            all[stream->n++] = all[i];
        } else if (last->bytes != all[i].bytes || last->dtype != all[i].dtype) {
            return tfr_raise(TFR_MODEL, "%s: a storage is described twice, differently", stream->name);
        }
    }
    return TFR_OK;
}

static struct storage *find_key(const struct stream *stream, const char *key, size_t size) {
    const struct storage wanted = {.key = key, .key_size = size};
    return bsearch(&wanted, stream->storages, stream->n, sizeof *stream->storages, by_key);
}

static enum tfr_status place_storage(struct stream *stream, const struct tfr_pickle_value *key) {
    struct storage *storage = key->kind == TFR_PICKLE_TEXT ? find_key(stream, key->as.text.bytes, key->as.text.size) : NULL;
    if (storage == NULL || storage->data != NULL) {
        return tfr_raise(TFR_MODEL, "%s: the list of storages names one twice or one that no tensor has", stream->name);
    }
    const size_t left = stream->size - stream->at;
    if (left < COUNT_BYTES || left - COUNT_BYTES < storage->bytes) {
        return tfr_raise(TFR_MODEL, "%s: the file ends within its storages; it is truncated, fetch it again", stream->name);
    }
    uint64_t count = 0;
    for (int i = COUNT_BYTES - 1; i >= 0; i--) {
        count = count << 8 | stream->data[stream->at + (size_t)i];
    }
    if (count != storage->bytes / tfr_dtype_size(storage->dtype)) {
        return tfr_raise(TFR_MODEL, "%s: a storage has %llu elements where its tensor says %zu; the file is damaged", stream->name,
                         (unsigned long long)count, storage->bytes / tfr_dtype_size(storage->dtype));
    }
    storage->data = stream->data + stream->at + COUNT_BYTES;
    stream->at += COUNT_BYTES + storage->bytes;
    return TFR_OK;
}

static enum tfr_status place_storages(struct stream *stream) {
    const struct tfr_pickle_value *list = &stream->keys.values[stream->keys.root];
    if (list->kind != TFR_PICKLE_LIST) {
        return tfr_raise(TFR_MODEL, "%s: has no list of storages; the file is damaged", stream->name);
    }
    TFR_TRY(list_storages(stream));
    for (uint32_t i = 0; i < list->as.items.n; i++) {
        TFR_TRY(place_storage(stream, &stream->keys.values[list->as.items.at[i]]));
    }
    if (stream->at != stream->size) {
        return tfr_raise(TFR_MODEL, "%s: %zu bytes after the last storage belong to no tensor", stream->name,
                         stream->size - stream->at);
    }
    return TFR_OK;
}

static enum tfr_status find(void *user, const char *key, size_t size, const uint8_t **data) {
    const struct stream *stream = user;
    const struct storage *storage = find_key(stream, key, strlen(key));
    if (storage == NULL || storage->data == NULL || storage->bytes != size) {
        return tfr_raise(TFR_MODEL, "%s: storage %s is not in the file", stream->name, key);
    }
    *data = storage->data;
    return TFR_OK;
}

static enum tfr_status read_stream(struct stream *stream, struct tfr_torch_file *file) {
    TFR_TRY(read_front(stream, has_magic,
                       "a pickle that torch.save did not write; save the weights with "
                       "torch.save(model.state_dict(), FILE) or as safetensors"));
    TFR_TRY(read_front(stream, has_version, "an unknown version of torch's old layout"));
    TFR_TRY(read_front(stream, is_little_endian, "written on a machine of another byte order; save it again on this kind"));
    TFR_TRY(next_pickle(stream, &stream->state));
    TFR_TRY(next_pickle(stream, &stream->keys));
    TFR_TRY(place_storages(stream));
    return tfr_torch_state(file, stream->name, &stream->state, stream->size, find, stream);
}

enum tfr_status tfr_torch_stream(struct tfr_torch_file *file, const char *name, const uint8_t *data, size_t size) {
    struct stream stream = {.name = name, .data = data, .size = size};
    const enum tfr_status status = read_stream(&stream, file);
    tfr_free(stream.storages);
    tfr_pickle_clear(&stream.keys);
    tfr_pickle_clear(&stream.state);
    return status;
}

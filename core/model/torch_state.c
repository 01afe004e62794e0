/* torch_state.c - a state dict of pickled tensors as entries that are checked like those of safetensors. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "base/utf8.h"
#include "model/torch_parts.h"

enum { MAX_KEY = 64, MAX_NAME = 512 };

struct state {
    struct tfr_torch_file *file;
    const char *name; /* of the file */
    const struct tfr_pickle *pickle;
    size_t copy_left;
    tfr_torch_find_fn find;
    void *user;
};

static const struct tfr_pickle_value *value_of(const struct state *state, uint32_t index) {
    return &state->pickle->values[index];
}

static int64_t integer_of(const struct state *state, uint32_t tuple, uint32_t i) {
    return value_of(state, value_of(state, tuple)->as.items.at[i])->as.integer;
}

static enum tfr_status read_name(const struct state *state, const struct tfr_pickle_value *key, char **name) {
    if (key->kind != TFR_PICKLE_TEXT || key->as.text.size > MAX_NAME ||
        !tfr_torch_is_plain(key->as.text.bytes, key->as.text.size)) {
        return tfr_raise(TFR_MODEL, "%s: a key of the state dict is no name of a tensor", state->name);
    }
    *name = tfr_strndup(key->as.text.bytes, key->as.text.size);
    return *name != NULL ? TFR_OK : TFR_RESOURCE;
}

/* Shape, elements, and the last element of the storage that it reaches, counted from its first. */
static enum tfr_status read_shape(const struct state *state, struct tfr_torch_entry *entry, const struct tfr_pickle_value *tensor,
                                  size_t *count, size_t *reach) {
    const uint32_t rank = value_of(state, tensor->as.tensor.sizes)->as.items.n;
    if (rank > TFR_MAX_RANK) {
        return tfr_raise(TFR_MODEL, "%s: tensor %s has %u dimensions; the limit is %d", state->name, entry->name, rank,
                         TFR_MAX_RANK);
    }
    *count = 1;
    *reach = 0;
    for (uint32_t i = 0; i < rank; i++) {
        const int64_t dim = integer_of(state, tensor->as.tensor.sizes, i);
        const int64_t stride = integer_of(state, tensor->as.tensor.strides, i);
        size_t step = 0;
        if (dim < 0 || stride < 0) {
            return tfr_raise(TFR_MODEL, "%s: shape and strides of tensor %s must be whole numbers from 0", state->name,
                             entry->name);
        }
        entry->dim[entry->rank++] = dim;
        if (!tfr_size_mul(*count, (size_t)dim, count) || *count > INT64_MAX / 16 ||
            (dim > 0 && !tfr_size_mul((size_t)stride, (size_t)dim - 1, &step)) || step > INT64_MAX / 16 ||
            *reach > INT64_MAX / 16 - step) {
            return tfr_raise(TFR_MODEL, "%s: the size of tensor %s overflows", state->name, entry->name);
        }
        *reach += step;
    }
    return TFR_OK;
}

static bool is_dense(const struct state *state, const struct tfr_torch_entry *entry, const struct tfr_pickle_value *tensor) {
    int64_t dense = 1;
    for (int i = entry->rank - 1; i >= 0; i--) {
        if (entry->dim[i] != 1 && integer_of(state, tensor->as.tensor.strides, (uint32_t)i) != dense) {
            return false;
        }
        dense *= entry->dim[i];
    }
    return true;
}

/* Element `at` of the dense order, as a distance in the storage. */
static size_t place_of(const struct tfr_torch_entry *entry, const int64_t *strides, size_t at) {
    size_t place = 0;
    for (int i = entry->rank - 1; i >= 0; i--) {
        place += at % (size_t)entry->dim[i] * (size_t)strides[i];
        at /= (size_t)entry->dim[i];
    }
    return place;
}

/* A transposed view, for example: its numbers in the order of a dense tensor. */
static enum tfr_status copy_view(struct state *state, struct tfr_torch_entry *entry, const struct tfr_pickle_value *tensor,
                                 size_t count) {
    const size_t width = tfr_dtype_size(entry->dtype);
    int64_t strides[TFR_MAX_RANK];
    for (int i = 0; i < entry->rank; i++) {
        strides[i] = integer_of(state, tensor->as.tensor.strides, (uint32_t)i);
    }
    if (count * width > state->copy_left) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: tensor %s is a view that repeats the numbers of its storage; save the model again after "
                         "tensor.contiguous()",
                         state->name, entry->name);
    }
    uint8_t *copy = tfr_alloc(count, width);
    if (copy == NULL) {
        return TFR_RESOURCE;
    }
    state->copy_left -= count * width;
    for (size_t i = 0; i < count; i++) {
        memcpy(copy + i * width, entry->data + place_of(entry, strides, i) * width, width);
    }
    entry->copy = copy;
    entry->data = copy;
    return TFR_OK;
}

/* The bytes of a storage, of the size that the pickle says. */
static enum tfr_status find_storage(struct state *state, const struct tfr_pickle_value *storage, const uint8_t **data) {
    const struct tfr_pickle_value *text = value_of(state, storage->as.storage.key);
    char key[MAX_KEY + 1];
    size_t bytes = 0;
    if (text->as.text.size > MAX_KEY || !tfr_torch_is_plain(text->as.text.bytes, text->as.text.size)) {
        return tfr_raise(TFR_MODEL, "%s: a storage has a key that torch.save does not write", state->name);
    }
    memcpy(key, text->as.text.bytes, text->as.text.size);
    key[text->as.text.size] = '\0';
    if (!tfr_size_mul((size_t)storage->as.storage.n, tfr_dtype_size(storage->as.storage.dtype), &bytes)) {
        return tfr_raise(TFR_MODEL, "%s: the size of storage %s overflows", state->name, key);
    }
    return state->find(state->user, key, bytes, data);
}

static enum tfr_status read_tensor(struct state *state, struct tfr_torch_entry *entry, const struct tfr_pickle_value *tensor) {
    const struct tfr_pickle_value *storage = value_of(state, tensor->as.tensor.storage);
    const int64_t offset = tensor->as.tensor.offset, n = storage->as.storage.n;
    size_t count = 0, reach = 0;
    entry->dtype = storage->as.storage.dtype;
    TFR_TRY(read_shape(state, entry, tensor, &count, &reach));
    TFR_TRY(find_storage(state, storage, &entry->data));
    if (offset < 0 || offset > n || (count > 0 && reach >= (size_t)(n - offset))) {
        return tfr_raise(TFR_MODEL, "%s: tensor %s reaches beyond the %lld elements of its storage; the file is damaged",
                         state->name, entry->name, (long long)n);
    }
    entry->data += (size_t)offset * tfr_dtype_size(entry->dtype);
    return count == 0 || is_dense(state, entry, tensor) ? TFR_OK : copy_view(state, entry, tensor, count);
}

/* What people save instead of a state dict. */
static enum tfr_status refuse_root(const struct state *state, const struct tfr_pickle_value *root) {
    static const char *const inner[] = {"state_dict", "model_state_dict", "model", "module"};
    for (size_t i = 0; i < TFR_COUNT_OF(inner); i++) {
        const struct tfr_pickle_value *member = tfr_pickle_member(state->pickle, root, inner[i]);
        if (member != NULL && member->kind == TFR_PICKLE_DICT) {
            return tfr_raise(TFR_UNSUPPORTED,
                             "%s: this is a training checkpoint with the weights under \"%s\"; save those alone: "
                             "torch.save(checkpoint[\"%s\"], FILE)",
                             state->name, inner[i], inner[i]);
        }
    }
    return TFR_OK;
}

static enum tfr_status read_entries(struct state *state, const struct tfr_pickle_value *root) {
    state->file->entries = tfr_alloc(root->as.items.n / 2 + 1, sizeof state->file->entries[0]);
    if (state->file->entries == NULL) {
        return TFR_RESOURCE;
    }
    for (uint32_t i = 0; i < root->as.items.n; i += 2) {
        struct tfr_torch_entry *entry = &state->file->entries[state->file->n];
        TFR_TRY(read_name(state, value_of(state, root->as.items.at[i]), &entry->name));
        state->file->n++; /* before the rest is read, so that a failure frees this one too */
        const struct tfr_pickle_value *value = value_of(state, root->as.items.at[i + 1]);
        if (value->kind != TFR_PICKLE_TENSOR) {
            return tfr_raise(TFR_MODEL, "%s: %s of the state dict is no tensor", state->name, entry->name);
        }
        TFR_TRY(read_tensor(state, entry, value));
    }
    return TFR_OK;
}

bool tfr_torch_is_plain(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        uint32_t code;
        const int n = tfr_utf8_take((const uint8_t *)text + at, size - at, &code);
        if (n <= 0 || code < 0x20 || code == 0x7f) {
            return false;
        }
        at += (size_t)n;
    }
    return size > 0;
}

enum tfr_status tfr_torch_state(struct tfr_torch_file *file, const char *name, const struct tfr_pickle *pickle, size_t copy_limit,
                                tfr_torch_find_fn find, void *user) {
    struct state state = {file, name, pickle, copy_limit, find, user};
    const struct tfr_pickle_value *root = &pickle->values[pickle->root];
    if (root->kind != TFR_PICKLE_DICT) {
        return tfr_raise(TFR_UNSUPPORTED, "%s: holds no state dict; save one: torch.save(model.state_dict(), FILE)", name);
    }
    TFR_TRY(refuse_root(&state, root));
    return read_entries(&state, root);
}

void tfr_torch_clear(struct tfr_torch_file *file) {
    for (size_t i = 0; i < file->n; i++) {
        tfr_free(file->entries[i].name);
        tfr_free(file->entries[i].copy);
    }
    tfr_free(file->entries);
    *file = (struct tfr_torch_file){0};
}

/* store_packs.c - the store's file of packed weights: what is mapped from it, and how it is made. See pack_file.h. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "plan/store_internal.h"

/* False where a name is too long for the table: such a weight is packed each time. */
static bool fill_names(struct tfr_pack_entry *entry, const char *name, const char *format) {
    const bool fits = strlen(name) < sizeof entry->name && strlen(format) < sizeof entry->format;
    if (fits) { /* the rest of the table's places stays zero: it is summed */
        memcpy(entry->name, name, strlen(name));
        memcpy(entry->format, format, strlen(format));
    }
    return fits;
}

static bool describe(struct tfr_pack_entry *entry, const struct tfr_weight_rows *rows, const struct tfr_slice *slice,
                     const char *format, int32_t dtype, size_t bytes) {
    *entry = (struct tfr_pack_entry){.first = rows->first, .n = rows->n, .dtype = dtype, .bytes = bytes};
    if (slice != NULL && slice->n_shards > 1) {
        const int32_t numbers[] = {slice->axis, slice->parts, slice->shard, slice->n_shards};
        memcpy(entry->slice, numbers, sizeof numbers);
    }
    return fill_names(entry, rows->weight->name, format);
}

static bool describe_exact(struct tfr_pack_entry *entry, const struct tfr_weight_rows *rows, enum tfr_dtype exact) {
    *entry = (struct tfr_pack_entry){.first = rows->first, .n = rows->n, .dtype = (int32_t)exact, .exact = 1};
    return fill_names(entry, rows->weight->name, "");
}

enum tfr_status tfr_store_use_packs(struct tfr_store *store, const char *path, const char *key, uint32_t mode) {
    store->packs_mode = mode;
    store->packs_path = tfr_strdup(path);
    store->packs_key = tfr_strdup(key);
    if (store->packs_path == NULL || store->packs_key == NULL) {
        return TFR_RESOURCE;
    }
    const uint64_t start_ns = tfr_clock_ns();
    TFR_TRY(tfr_pack_file_open(&store->packs, path, key, store->team));
    store->pack_ns += tfr_clock_ns() - start_ns;
    if (store->packs != NULL) {
        tfr_log(TFR_LOG_INFO, "plan", "packed weights come from %s", path);
    }
    return TFR_OK;
}

void tfr_store_close_packs(struct tfr_store *store) {
    tfr_pack_file_close(store->packs);
    tfr_free(store->packs_path);
    tfr_free(store->packs_key);
}

const void *tfr_store_mapped(struct tfr_store *store, const struct tfr_weight_rows *rows, const char *format, int32_t dtype,
                             size_t bytes) {
    struct tfr_pack_entry wanted;
    if (store->packs == NULL || !describe(&wanted, rows, rows->slice, format, dtype, bytes)) {
        return NULL;
    }
    const struct tfr_pack_entry *found = tfr_pack_file_find(store->packs, &wanted);
    return found != NULL ? tfr_pack_file_data(store->packs, found) : NULL;
}

bool tfr_store_known_exact(struct tfr_store *store, const struct tfr_weight_rows *rows, enum tfr_dtype *exact) {
    struct tfr_pack_entry wanted;
    const struct tfr_pack_entry *found = NULL;
    if (store->packs != NULL && describe_exact(&wanted, rows, TFR_DTYPE_F32)) {
        found = tfr_pack_file_find(store->packs, &wanted);
    }
    *exact = found != NULL ? (enum tfr_dtype)found->dtype : TFR_DTYPE_F32;
    return found != NULL;
}

/* What the new file is going to hold. */
struct listing {
    struct tfr_pack_entry *entries;
    const void **data;
    size_t n;
};

static void list_store(const struct tfr_store *store, struct listing *list) {
    for (size_t i = 0; i < store->n_items; i++) {
        const struct tfr_store_item *item = &store->items[i];
        if (describe(&list->entries[list->n], &item->rows, &item->slice, item->format, item->dtype, item->bytes)) {
            list->data[list->n++] = item->data;
        }
    }
    for (size_t i = 0; i < store->n_exact; i++) {
        const struct tfr_exact_rows *known = &store->exact[i];
        if (describe_exact(&list->entries[list->n], &known->rows, known->exact)) {
            list->data[list->n++] = NULL;
        }
    }
}

/* Of the file so far what was not wanted this time. */
static void list_rest(const struct tfr_store *store, struct listing *list) {
    size_t n;
    const struct tfr_pack_entry *old = tfr_pack_file_entries(store->packs, &n);
    for (size_t i = 0; i < n; i++) {
        bool is_there = false;
        for (size_t j = 0; j < list->n && !is_there; j++) {
            is_there = tfr_pack_entry_same(&list->entries[j], &old[i]);
        }
        if (!is_there) {
            list->entries[list->n] = old[i];
            list->data[list->n++] = tfr_pack_file_data(store->packs, &old[i]);
        }
    }
}

enum tfr_status tfr_store_save_packs(struct tfr_store *store) {
    size_t n;
    if (store->packs_path == NULL || !store->has_news) {
        return TFR_OK;
    }
    tfr_pack_file_entries(store->packs, &n);
    n += store->n_items + store->n_exact + 1;
    struct listing list = {.entries = tfr_alloc(n, sizeof *list.entries), .data = tfr_alloc(n, sizeof *list.data)};
    enum tfr_status status = list.entries != NULL && list.data != NULL ? TFR_OK : TFR_RESOURCE;
    if (status == TFR_OK) {
        list_store(store, &list);
        list_rest(store, &list);
        status = tfr_pack_file_write(store->packs_path, store->packs_key, store->packs_mode, list.entries, list.data, list.n,
                                     store->team);
    }
    store->has_news = status != TFR_OK;
    tfr_free(list.entries);
    tfr_free(list.data);
    return status;
}

void tfr_store_keep_packs(struct tfr_store *store) {
    if (tfr_store_save_packs(store) != TFR_OK) {
        tfr_log(TFR_LOG_WARN, "plan", "packed weights are not kept: %s", tfr_failure_text());
    }
}

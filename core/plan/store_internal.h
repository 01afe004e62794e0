/* store_internal.h - the store as store.c and store_packs.c see it. */
#ifndef TFR_PLAN_STORE_INTERNAL_H
#define TFR_PLAN_STORE_INTERNAL_H

#include "plan/pack_file.h"
#include "plan/store.h"

struct tfr_store_item {
    struct tfr_weight_rows rows; /* its slice may be gone: */
    struct tfr_slice slice;
    const char *format; /* the plugin's string, which lives as long as the process */
    int32_t dtype;
    size_t bytes; /* a format may have several sizes, one for each way of blocking */
    void *data;
    bool is_mapped; /* in the file of packed weights */
};

struct tfr_store {
    const struct tfr_weights *weights;
    struct tfr_team *team;
    enum tfr_hugepages hugepages;
    struct tfr_block *blocks;
    size_t n_blocks;
    struct tfr_bump bump; /* over the last block */
    struct tfr_store_item *items;
    size_t n_items;
    struct tfr_exact_rows {
        struct tfr_weight_rows rows;
        enum tfr_dtype exact;
    } * exact; /* what was scanned */
    size_t n_exact;
    size_t bytes;
    uint64_t pack_ns;
    struct tfr_pack_file *packs;  /* NULL: none */
    char *packs_path, *packs_key; /* NULL without runtime.pack_cache */
    uint32_t packs_mode;
    bool has_news; /* that file lacks something */
};

/* store_packs.c: the bytes of a weight in the file of packed weights, NULL where they are not there. */
const void *tfr_store_mapped(struct tfr_store *store, const struct tfr_weight_rows *rows, const char *format, int32_t dtype,
                             size_t bytes);
/* What that file knows of the values of a weight. */
bool tfr_store_known_exact(struct tfr_store *store, const struct tfr_weight_rows *rows, enum tfr_dtype *exact);
void tfr_store_close_packs(struct tfr_store *store);

#endif

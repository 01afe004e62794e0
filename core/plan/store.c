/* store.c - packed weights, once per (tensor, pack format, type), in big blocks of huge pages.
 *
 * A block is a bump allocator; pages are touched first by the thread that packs them, so blocks may be larger
 * than what is used. Nothing is freed before the store is closed.
 */
#include "plan/store_internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/coarse_tensor.h"
#include "model/model_coarse.h"
#include "plan/scan.h"
#include "plan/slice.h"

static const size_t least_block_bytes = (size_t)64 << 20;
static const size_t align_bytes = 64;
static const size_t round_bytes = (size_t)16 << 20;
static const size_t least_team_bytes = (size_t)1 << 20;

struct pack_job {
    const struct tfr_kernel *kernel;
    const struct tfr_problem *problem;
    int arg;
    const struct tfr_tensor *weight;
    const struct tfr_coarse *coarse; /* in the place of `weight` */
    void *packed;
    int round, n_rounds; /* each thread packs its share in so many pieces, one a round */
};

static void pack_part(void *arg, int tid, int nth) {
    const struct pack_job *job = arg;
    tid = tid * job->n_rounds + job->round;
    nth *= job->n_rounds;
    if (job->coarse != NULL) {
        job->kernel->pack_coarse(job->kernel, job->problem, job->arg, job->coarse, job->packed, tid, nth);
    } else {
        job->kernel->pack(job->kernel, job->problem, job->arg, job->weight, job->packed, tid, nth);
    }
}

static bool is_same(const struct tfr_weight_rows *a, const struct tfr_weight_rows *b) {
    return a->weight == b->weight && a->first == b->first && a->n == b->n;
}

static void *find(const struct tfr_store *store, const struct tfr_weight_rows *rows, const char *format, int32_t dtype,
                  size_t bytes) {
    for (size_t i = 0; i < store->n_items; i++) {
        const struct tfr_store_item *item = &store->items[i];
        if (is_same(&item->rows, rows) && item->dtype == dtype && item->bytes == bytes && strcmp(item->format, format) == 0) {
            return item->data;
        }
    }
    return NULL;
}

static enum tfr_status open_block(struct tfr_store *store, size_t bytes) {
    size_t size = bytes > least_block_bytes ? bytes : least_block_bytes;
    struct tfr_block *blocks = tfr_realloc(store->blocks, store->n_blocks + 1, sizeof(*blocks));
    if (blocks == NULL) {
        return TFR_RESOURCE;
    }
    store->blocks = blocks;
    struct tfr_block *block = &blocks[store->n_blocks];
    TFR_TRY(tfr_block_open(block, size, store->hugepages));
    store->n_blocks++;
    store->bump = (struct tfr_bump){.base = block->data, .size = size};
    return TFR_OK;
}

static enum tfr_status take(struct tfr_store *store, size_t bytes, void **data) {
    *data = store->n_blocks > 0 ? tfr_bump_take(&store->bump, bytes, align_bytes) : NULL;
    if (*data == NULL) {
        TFR_TRY(open_block(store, bytes));
        *data = tfr_bump_take(&store->bump, bytes, align_bytes);
    }
    store->bytes += bytes;
    return TFR_OK;
}

/* A new entry of the book: mapped where the file of packed weights has it, else with memory for `bytes`, which the caller fills. */
static enum tfr_status add(struct tfr_store *store, const struct tfr_weight_rows *rows, const char *format, int32_t dtype,
                           size_t bytes, struct tfr_store_item **item) {
    struct tfr_store_item *items = tfr_realloc(store->items, store->n_items + 1, sizeof(*items));
    if (items == NULL) {
        return TFR_RESOURCE;
    }
    store->items = items;
    void *data = (void *)(uintptr_t)tfr_store_mapped(store, rows, format, dtype, bytes);
    const bool is_mapped = data != NULL;
    if (is_mapped) {
        store->bytes += bytes;
    } else {
        TFR_TRY(take(store, bytes, &data));
    }
    *item = &items[store->n_items++];
    **item = (struct tfr_store_item){.rows = *rows,
                                     .slice = rows->slice != NULL ? *rows->slice : (struct tfr_slice){0},
                                     .format = format,
                                     .dtype = dtype,
                                     .bytes = bytes,
                                     .data = data,
                                     .is_mapped = is_mapped};
    return TFR_OK;
}

static struct tfr_tensor take_rows(const struct tfr_weight_rows *rows, struct tfr_tensor tensor) {
    if (rows->n > 0) {
        tensor.data = (uint8_t *)tensor.data + (size_t)rows->first * (tfr_tensor_bytes(&tensor) / (size_t)tensor.dim[0]);
        tensor.dim[0] = rows->n;
    }
    return tensor;
}

struct drop_job {
    const struct tfr_weights *weights;
    struct tfr_tensor tensor;
};

/* Each thread some rows: taking pages out of the table of pages takes as long as reading them. */
static void drop_part(void *arg, int tid, int nth) {
    const struct drop_job *job = arg;
    const int64_t n = job->tensor.dim[0], first = n * tid / nth, end = n * (tid + 1) / nth;
    if (end > first) {
        const struct tfr_weight_rows rows = {.first = first, .n = end - first};
        const struct tfr_weight part = {.tensor = take_rows(&rows, job->tensor)};
        tfr_weights_drop(job->weights, &part);
    }
}

static void drop(struct tfr_store *store, const struct tfr_weight_rows *rows) {
    struct drop_job job = {.weights = store->weights};
    if (store->weights == NULL) {
        return;
    }
    if (rows->weight->coarse != NULL) {
        tfr_weights_drop(store->weights, rows->weight);
        return;
    }
    job.tensor = tfr_weight_rows_tensor(rows);
    if (tfr_tensor_bytes(&job.tensor) < least_team_bytes) {
        drop_part(&job, 0, 1);
    } else {
        tfr_team_run(store->team, drop_part, &job);
    }
}

/* The part of a weight that is wanted, as numbers that a kernel reads: where the file has them, or in memory of its own, to be
 * freed. Coarse weights become f32, which is exact. */
struct source {
    struct tfr_tensor tensor;
    void *memory, *numbers;
};

static void close_source(struct source *source) {
    tfr_free(source->memory);
    tfr_free(source->numbers);
}

static enum tfr_status open_source(struct source *source, const struct tfr_weight_rows *rows) {
    const struct tfr_weight *weight = rows->weight;
    struct tfr_tensor whole = weight->tensor;
    *source = (struct source){0};
    if (weight->coarse != NULL) {
        float *numbers = source->numbers = tfr_alloc((size_t)tfr_tensor_count(&whole), sizeof *numbers);
        enum tfr_status status = numbers != NULL ? tfr_coarse_read(numbers, weight->coarse) : TFR_RESOURCE;
        if (status != TFR_OK) {
            close_source(source);
            return status;
        }
        whole = tfr_tensor_make(numbers, TFR_DTYPE_F32, whole.rank, whole.dim);
    }
    const struct tfr_tensor part = take_rows(rows, whole);
    const enum tfr_status status = tfr_slice_open(&source->tensor, &source->memory, &part, rows->slice);
    if (status != TFR_OK) {
        close_source(source);
    }
    return status;
}

/* Converts through f32 in pieces that stay in the cache. */
static void convert(void *to, enum tfr_dtype dtype, const struct tfr_tensor *from) {
    float piece[1024];
    const int64_t n = tfr_tensor_count(from);
    for (int64_t first = 0; first < n; first += (int64_t)TFR_COUNT_OF(piece)) {
        int64_t count = n - first < (int64_t)TFR_COUNT_OF(piece) ? n - first : (int64_t)TFR_COUNT_OF(piece);
        tfr_to_f32(piece, (const uint8_t *)from->data + (size_t)first * tfr_dtype_size(from->dtype), from->dtype, count);
        tfr_from_f32((uint8_t *)to + (size_t)first * tfr_dtype_size(dtype), piece, dtype, count);
    }
}

enum tfr_status tfr_store_open(struct tfr_store **store, const struct tfr_weights *weights, struct tfr_team *team,
                               enum tfr_hugepages hugepages) {
    *store = tfr_alloc(1, sizeof(**store));
    if (*store == NULL) {
        return TFR_RESOURCE;
    }
    **store = (struct tfr_store){.weights = weights, .team = team, .hugepages = hugepages};
    return TFR_OK;
}

void tfr_store_close(struct tfr_store *store) {
    if (store == NULL) {
        return;
    }
    tfr_store_keep_packs(store);
    for (size_t i = 0; i < store->n_blocks; i++) {
        tfr_block_close(&store->blocks[i]);
    }
    tfr_store_close_packs(store);
    tfr_free(store->exact);
    tfr_free(store->items);
    tfr_free(store->blocks);
    tfr_free(store);
}

size_t tfr_store_bytes(const struct tfr_store *store) {
    return store->bytes;
}

uint64_t tfr_store_pack_ns(const struct tfr_store *store) {
    return store->pack_ns;
}

struct tfr_weight_rows tfr_value_rows(const struct tfr_value *value) {
    return (struct tfr_weight_rows){value->weight, value->part_first, value->part_of > 0 ? value->dim[0] : 0, &value->slice};
}

struct tfr_tensor tfr_weight_rows_tensor(const struct tfr_weight_rows *rows) {
    return take_rows(rows, rows->weight->tensor);
}

/* A kernel that takes the whole numbers as they are. */
static bool takes_coarse(const struct tfr_kernel *kernel, const struct tfr_weight_rows *rows, int32_t dtype) {
    const bool is_whole = rows->slice == NULL || rows->slice->n_shards <= 1;
    return is_whole && rows->weight->coarse != NULL && rows->weight->coarse->parts.dtype == dtype &&
           TFR_HAS(tfr_kernel, kernel, pack_coarse) && kernel->pack_coarse != NULL;
}

static enum tfr_status pack_numbers(struct tfr_store *store, const struct tfr_weight_rows *rows, struct pack_job *job) {
    struct tfr_coarse part = rows->weight->coarse->parts;
    part.q = take_rows(rows, part.q);
    part.scale = take_rows(rows, part.scale);
    part.zero = part.zero.data != NULL ? take_rows(rows, part.zero) : part.zero;
    if (part.dtype == TFR_DTYPE_I8_CHANNEL && tfr_scan_has_lowest(&part.q, store->team)) {
        TFR_TRY(tfr_model_check_coarse(rows->weight)); /* says where */
    }
    job->coarse = &part;
    tfr_team_run(store->team, pack_part, job);
    job->coarse = NULL;
    return TFR_OK;
}

/* A stored [N,K] is read along its rows, so what a round has packed need not stay in memory for the next one. Of [K,N] every
 * round reads some of each row. */
static int count_rounds(const struct source *source, const struct pack_job *job) {
    const bool is_mapped = source->memory == NULL && source->numbers == NULL;
    const size_t bytes = is_mapped && job->problem->attrs.transposed != 0 ? tfr_tensor_bytes(&source->tensor) : 0;
    return (int)(bytes / round_bytes) + 1;
}

static enum tfr_status pack_floats(struct tfr_store *store, const struct tfr_weight_rows *rows, struct pack_job *job) {
    struct source source;
    TFR_TRY(open_source(&source, rows));
    job->weight = &source.tensor;
    job->n_rounds = count_rounds(&source, job);
    for (job->round = 0; job->round < job->n_rounds; job->round++) {
        tfr_team_run(store->team, pack_part, job);
        if (job->n_rounds > 1) {
            drop(store, rows);
        }
    }
    job->weight = NULL;
    close_source(&source);
    return TFR_OK;
}

/* Once an item is filled, or was not: what is in the book is whole. */
static enum tfr_status settle(struct tfr_store *store, const struct tfr_weight_rows *rows, const struct tfr_store_item *item,
                              enum tfr_status status) {
    if (status != TFR_OK) {
        store->n_items--; /* the last one */
    } else if (!item->is_mapped) {
        drop(store, rows);
        store->has_news = true;
    }
    return status;
}

enum tfr_status tfr_store_pack(struct tfr_store *store, const struct tfr_weight_rows *rows, const struct tfr_kernel *kernel,
                               const struct tfr_problem *problem, int arg, const struct tfr_pack_need *need, const void **packed) {
    const int32_t dtype = problem->arg[arg].dtype;
    void *data = find(store, rows, need->format, dtype, need->bytes);
    if (data == NULL) {
        const uint64_t start_ns = tfr_clock_ns();
        struct tfr_store_item *item;
        TFR_TRY(add(store, rows, need->format, dtype, need->bytes, &item));
        data = item->data;
        enum tfr_status status = TFR_OK;
        struct pack_job job = {.kernel = kernel, .problem = problem, .arg = arg, .packed = data, .n_rounds = 1};
        if (!item->is_mapped && takes_coarse(kernel, rows, dtype)) {
            status = pack_numbers(store, rows, &job);
        } else if (!item->is_mapped) {
            status = pack_floats(store, rows, &job);
        }
        TFR_TRY(settle(store, rows, item, status));
        store->pack_ns += tfr_clock_ns() - start_ns;
    }
    *packed = data;
    return TFR_OK;
}

/* What was read for this alone is not kept in memory: packing reads it again, from the system's cache. */
enum tfr_status tfr_store_exact(struct tfr_store *store, const struct tfr_weight_rows *rows, enum tfr_dtype *exact) {
    for (size_t i = 0; i < store->n_exact; i++) {
        if (is_same(&store->exact[i].rows, rows)) {
            *exact = store->exact[i].exact;
            return TFR_OK;
        }
    }
    struct tfr_exact_rows *known = tfr_realloc(store->exact, store->n_exact + 1, sizeof(*known));
    if (known == NULL) {
        return TFR_RESOURCE;
    }
    store->exact = known;
    const uint64_t start_ns = tfr_clock_ns();
    const struct tfr_tensor tensor = tfr_weight_rows_tensor(rows);
    if (!tfr_store_known_exact(store, rows, exact)) {
        *exact = tfr_scan_exact(&tensor, store->team);
    }
    if (tensor.dtype == TFR_DTYPE_F32) {
        drop(store, rows);
    }
    known[store->n_exact++] = (struct tfr_exact_rows){.rows = *rows, .exact = *exact};
    store->pack_ns += tfr_clock_ns() - start_ns;
    return TFR_OK;
}

enum tfr_status tfr_store_plain(struct tfr_store *store, const struct tfr_weight_rows *rows, enum tfr_dtype dtype,
                                const void **data) {
    static const char plain[] = "plain";
    const struct tfr_tensor tensor = tfr_weight_rows_tensor(rows);
    const int n_shards = rows->slice != NULL && rows->slice->n_shards > 1 ? rows->slice->n_shards : 1;
    const size_t bytes = (size_t)(tfr_tensor_count(&tensor) / n_shards) * tfr_dtype_size(dtype);
    void *copy = find(store, rows, plain, dtype, bytes);
    if (copy == NULL) {
        const uint64_t start_ns = tfr_clock_ns();
        struct tfr_store_item *item;
        struct source source;
        TFR_TRY(open_source(&source, rows));
        enum tfr_status status = add(store, rows, plain, dtype, bytes, &item);
        if (status == TFR_OK) {
            copy = item->data;
            if (!item->is_mapped) {
                convert(copy, dtype, &source.tensor);
            }
            status = settle(store, rows, item, TFR_OK);
        }
        close_source(&source);
        TFR_TRY(status);
        store->pack_ns += tfr_clock_ns() - start_ns;
    }
    *data = copy;
    return TFR_OK;
}

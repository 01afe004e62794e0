/* onednn_order.c - in which order does the installed library add? Asked by computing, since no document says.
 *
 * A small problem of pseudo-random numbers is multiplied by the library for a few row counts, and its bits
 * are compared with the plain loops of enum tfr_order_kind for several block lengths. The answer is kept for
 * the life of the process.
 */
#include "onednn/onednn.h"

#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <string.h>

#include "common/dtype.h"
#include "common/panel.h"

#define PROBE_COLUMNS 64
#define PROBE_ROWS    17
#define MAX_ANSWERS   64

struct probe {
    int dtype;
    int64_t k;
    float *x, *w; /* [PROBE_ROWS][k], [k][PROBE_COLUMNS]; bf16 values when dtype is bf16 */
    uint16_t *x_rounded;
    void *packed, *scratch;
    float *y;          /* [PROBE_ROWS][PROBE_COLUMNS] */
    bool lacks_memory; /* the answer would be wrong, not OWN */
};

static struct answer {
    int dtype;
    bool is_plain;
    int64_t k;
    struct tfr_order order;
} answers[MAX_ANSWERS];
static int n_answers;
static pthread_mutex_t answers_lock = PTHREAD_MUTEX_INITIALIZER;

/* Uniform in [-1, 1), the same on every machine. */
static float next_random(uint32_t *seed) {
    *seed = *seed * 1664525U + 1013904223U;
    return (float)(int32_t)(*seed >> 8) / 8388608.0f - 1.0f;
}

/* The sums that are compared, all on one walk over x and w, which are larger than the caches where k is large. */
enum { MOST_SUMS = 64 };
struct sums {
    int n, row[MOST_SUMS], column[MOST_SUMS];
    float block[MOST_SUMS], total[MOST_SUMS];
};

static void add_block_fma(const struct probe *p, struct sums *sums, int64_t k_begin, int64_t k_end) {
    for (int64_t k = k_begin; k < k_end; k++) {
        for (int i = 0; i < sums->n; i++) {
            sums->block[i] = fmaf(p->x[sums->row[i] * p->k + k], p->w[k * PROBE_COLUMNS + sums->column[i]], sums->block[i]);
        }
    }
}

/* As the instruction vdpbf16ps: products of bf16 are exact in f32, the upper one of a pair is added first. */
static void add_block_dp(const struct probe *p, struct sums *sums, int64_t k_begin, int64_t k_end) {
    for (int64_t k = k_begin; k < k_end; k += 2) {
        for (int i = 0; i < sums->n; i++) {
            const float *x = p->x + sums->row[i] * p->k, *w = p->w + sums->column[i];
            if (k + 1 < p->k) {
                sums->block[i] += x[k + 1] * w[(k + 1) * PROBE_COLUMNS];
            }
            sums->block[i] += x[k] * w[k * PROBE_COLUMNS];
        }
    }
}

static void add_blocks(const struct probe *p, int kind, int64_t k_block, struct sums *sums) {
    for (int64_t k = 0; k < p->k; k += k_block) {
        const int64_t end = p->k - k < k_block ? p->k : k + k_block;
        memset(sums->block, 0, sizeof sums->block);
        if (kind == TFR_ORDER_DP_BF16) {
            add_block_dp(p, sums, k, end);
        } else {
            add_block_fma(p, sums, k, end);
        }
        for (int i = 0; i < sums->n; i++) {
            sums->total[i] = k == 0 ? sums->block[i] : sums->total[i] + sums->block[i];
        }
    }
}

static bool is_order(const struct probe *p, int kind, int64_t k_block, int rows, int row_step, int column_step) {
    struct sums sums = {0};
    for (int row = 0; row < rows; row += row_step) {
        for (int column = 0; column < PROBE_COLUMNS; column += column_step) {
            sums.row[sums.n] = row;
            sums.column[sums.n++] = column;
        }
    }
    add_blocks(p, kind, k_block, &sums);
    for (int i = 0; i < sums.n; i++) {
        if (memcmp(&sums.total[i], p->y + sums.row[i] * PROBE_COLUMNS + sums.column[i], sizeof(float)) != 0) {
            return false;
        }
    }
    return true;
}

static bool execute(struct onednn_family *family, const struct probe *p) {
    const int found = onednn_bucket_for(family, family->key.rows_max);
    const struct onednn_bucket *bucket = &family->bucket[found < 0 ? 0 : found];
    dnnl_memory_t memory[4] = {NULL};
    void *data[4] = {p->dtype == TFR_DTYPE_BF16 ? (void *)p->x_rounded : (void *)p->x, p->packed, p->y, p->scratch};
    bool is_done = found >= 0 && compat_memory(&memory[0], onednn_engine(), &bucket->x) &&
                   compat_memory(&memory[1], onednn_engine(), &family->weight) &&
                   compat_memory(&memory[2], onednn_engine(), &bucket->y) &&
                   compat_scratch_memory(&memory[3], onednn_engine(), bucket->desc);
    for (int i = 0; i < 4 && is_done; i++) {
        is_done = dnnl_memory_set_data_handle(memory[i], data[i]) == dnnl_success;
    }
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, memory[0]}, {DNNL_ARG_WEIGHTS, memory[1]}, {DNNL_ARG_DST, memory[2]}, {DNNL_ARG_SCRATCHPAD, memory[3]}};
    is_done = is_done && dnnl_primitive_execute(bucket->primitive, onednn_stream(), 4, args) == dnnl_success &&
              dnnl_stream_wait(onednn_stream()) == dnnl_success;
    for (int i = 0; i < 4; i++) {
        if (memory[i] != NULL) {
            dnnl_memory_destroy(memory[i]);
        }
    }
    return is_done;
}

/* y of the first `rows` rows. */
static bool compute(struct probe *p, bool is_plain, int rows) {
    const struct onednn_key key = {.k = p->k,
                                   .n = PROBE_COLUMNS,
                                   .rows_max = rows,
                                   .dtype = p->dtype,
                                   .n_threads = omp_get_max_threads(),
                                   .is_plain = is_plain};
    char reason[128];
    struct onednn_family *family;
    const int32_t status = onednn_family_find(&key, &family, reason, sizeof reason);
    p->lacks_memory = status == TFR_RESOURCE;
    if (status != TFR_OK) {
        return false;
    }
    onednn_family_take(family);
    p->scratch = aligned_alloc(64, (family->scratch_bytes + 64) / 64 * 64);
    p->lacks_memory = p->scratch == NULL;
    const bool is_done = p->scratch != NULL && execute(family, p);
    free(p->scratch);
    p->scratch = NULL;
    onednn_family_leave(family);
    return is_done;
}

static void fill(struct probe *p, bool is_plain) {
    const bool is_bf16 = p->dtype == TFR_DTYPE_BF16;
    uint32_t seed = 12345;
    for (int64_t i = 0; i < PROBE_ROWS * p->k; i++) {
        const float value = next_random(&seed);
        p->x_rounded[i] = bf16_from_f32(value);
        p->x[i] = is_bf16 ? bf16_to_f32(p->x_rounded[i]) : value;
    }
    for (int64_t i = 0; i < p->k * PROBE_COLUMNS; i++) {
        const float value = next_random(&seed);
        p->w[i] = is_bf16 ? bf16_to_f32(bf16_from_f32(value)) : value;
    }
    const struct tfr_tensor view = {
        .data = p->w, .dtype = TFR_DTYPE_F32, .rank = 2, .dim = {p->k, PROBE_COLUMNS}, .stride = {PROBE_COLUMNS, 1}};
    if (!is_plain) {
        tfr_panel_pack(p->dtype, &view, false, p->packed, 0, 1);
    } else if (is_bf16) {
        tfr_panel_round(p->packed, p->w, p->k * PROBE_COLUMNS);
    } else {
        memcpy(p->packed, p->w, (size_t)p->k * PROBE_COLUMNS * sizeof(float));
    }
}

/* The order that explains `rows` rows of y; `guess` (k_block > 0) is tried alone. */
static struct tfr_order explain(const struct probe *p, int rows, int64_t guess) {
    static const int32_t lengths[] = {512, 1024, 384, 256, 768, 1536, 2048, 128, 64, 192, 320, 640, 4096};
    const int kind = p->dtype == TFR_DTYPE_BF16 ? TFR_ORDER_DP_BF16 : TFR_ORDER_FMA;
    const size_t count = sizeof lengths / sizeof lengths[0];
    for (size_t i = 0; i <= count; i++) {
        const int64_t k_block = guess > 0 ? guess : i < count ? lengths[i] : p->k;
        if (is_order(p, kind, k_block, 1, 1, 16) && is_order(p, kind, k_block, rows, 4, 7)) {
            return (struct tfr_order){.kind = kind, .k_block = (int32_t)k_block};
        }
        if (guess > 0) {
            break;
        }
    }
    return (struct tfr_order){.kind = TFR_ORDER_OWN};
}

static struct tfr_order probe_order(struct probe *p, bool is_plain) {
    static const int rows[] = {PROBE_ROWS, 1, 3};
    struct tfr_order order = {.kind = TFR_ORDER_OWN};
    fill(p, is_plain);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!compute(p, is_plain, rows[i])) {
            return (struct tfr_order){.kind = TFR_ORDER_OWN};
        }
        order = explain(p, rows[i], order.k_block);
        if (order.kind == TFR_ORDER_OWN) {
            return order;
        }
    }
    return order;
}

static bool find_order(int dtype, int64_t k, bool is_plain, struct tfr_order *order) {
    const size_t x_count = (size_t)(PROBE_ROWS * k), w_count = (size_t)(panel_padded_k(dtype, k) * PROBE_COLUMNS);
    struct probe p = {
        .dtype = dtype,
        .k = k,
        .x = aligned_alloc(64, (x_count * sizeof(float) + 63) / 64 * 64),
        .x_rounded = aligned_alloc(64, (x_count * sizeof(uint16_t) + 63) / 64 * 64),
        .w = aligned_alloc(64, w_count * sizeof(float)),
        .packed = aligned_alloc(64, w_count * sizeof(float)),
        .y = aligned_alloc(64, sizeof(float) * PROBE_ROWS * PROBE_COLUMNS),
    };
    p.lacks_memory = p.x == NULL || p.x_rounded == NULL || p.w == NULL || p.packed == NULL || p.y == NULL;
    if (!p.lacks_memory) {
        *order = probe_order(&p, is_plain);
    }
    free(p.x);
    free(p.x_rounded);
    free(p.w);
    free(p.packed);
    free(p.y);
    return !p.lacks_memory;
}

int32_t onednn_order(int dtype, int64_t k, bool is_plain, struct tfr_order *order, char *reason, size_t reason_size) {
    *order = (struct tfr_order){.kind = TFR_ORDER_OWN};
    if (dtype == TFR_DTYPE_BF16 && (compat_has_amx() || !compat_has_bf16())) {
        return TFR_OK; /* tiles add in an order of their own; code that widens first, of 3.2, in one that depends on the threads */
    }
    bool is_found = true;
    pthread_mutex_lock(&answers_lock);
    int i = 0;
    while (i < n_answers && (answers[i].dtype != dtype || answers[i].k != k || answers[i].is_plain != is_plain)) {
        i++;
    }
    if (i < n_answers) {
        *order = answers[i].order;
    } else {
        is_found = find_order(dtype, k, is_plain, order);
        if (is_found && n_answers < MAX_ANSWERS) {
            answers[n_answers++] = (struct answer){.dtype = dtype, .is_plain = is_plain, .k = k, .order = *order};
        }
    }
    pthread_mutex_unlock(&answers_lock);
    if (!is_found) {
        snprintf(reason, reason_size, "no memory to find out its order of additions");
    }
    return is_found ? TFR_OK : TFR_RESOURCE;
}

/* Measured on AMX: up to this K one row gives the same bits for any rows and threads; above, K is cut by both. */
static bool is_amx_in_one_block(const struct onednn_key *key) {
    return key->dtype == TFR_DTYPE_BF16 && !key->is_plain && compat_has_amx() && key->k <= 768;
}

int32_t onednn_own_order_holds(const struct onednn_family *family, char *reason, size_t reason_size) {
    struct onednn_key key = family->key;
    struct onednn_family *one_row;
    key.rows_max = 1;
    if (!is_amx_in_one_block(&key)) {
        snprintf(reason, reason_size, "this oneDNN adds in an unknown order: bits might depend on rows or threads");
        return TFR_UNSUPPORTED;
    }
    const int32_t status = onednn_family_find(&key, &one_row, reason, reason_size);
    if (status == TFR_OK && strcmp(one_row->implementation, family->implementation) != 0) {
        snprintf(reason, reason_size, "this oneDNN has other code for one row (%s): bits would depend on rows",
                 one_row->implementation);
        return TFR_UNSUPPORTED;
    }
    return status;
}

/* scan.c - see scan.h. Threads take pieces in turn, so that all stop soon after one found what is looked for. */
#include "plan/scan.h"

#include <stdatomic.h>
#include <string.h>

#include "base/exact.h"
#include "base/tensor.h"

enum { PIECE = 1 << 16 }; /* values */

struct scan {
    const struct tfr_tensor *tensor;
    enum tfr_dtype narrow;
    int64_t n;
    atomic_llong next;
    atomic_bool is_inexact;
};

static void scan_part(void *arg, int tid, int nth) {
    struct scan *scan = arg;
    (void)tid, (void)nth;
    while (!atomic_load_explicit(&scan->is_inexact, memory_order_relaxed)) {
        const int64_t first = atomic_fetch_add(&scan->next, PIECE);
        if (first >= scan->n) {
            return;
        }
        const int64_t n = scan->n - first < PIECE ? scan->n - first : PIECE;
        if (!tfr_is_exact(scan->narrow, (const uint8_t *)scan->tensor->data + (size_t)first * sizeof(float), n)) {
            atomic_store_explicit(&scan->is_inexact, true, memory_order_relaxed);
        }
    }
}

/* A few values are enough for most tensors that are not exact. */
static bool is_exact(const struct tfr_tensor *tensor, enum tfr_dtype narrow, struct tfr_team *team) {
    struct scan scan = {.tensor = tensor, .narrow = narrow, .n = tfr_tensor_count(tensor)};
    if (!tfr_is_exact(narrow, tensor->data, scan.n < 64 ? scan.n : 64)) {
        return false;
    }
    tfr_team_run(team, scan_part, &scan);
    return !atomic_load(&scan.is_inexact);
}

enum tfr_dtype tfr_scan_exact(const struct tfr_tensor *tensor, struct tfr_team *team) {
    static const enum tfr_dtype types[] = {TFR_DTYPE_BF16, TFR_DTYPE_F16};
    if (tensor->dtype != TFR_DTYPE_F32) {
        return tensor->dtype == TFR_DTYPE_BF16 || tensor->dtype == TFR_DTYPE_F16 ? tensor->dtype : TFR_DTYPE_F32;
    }
    for (int i = 0; i < 2 && tfr_tensor_is_dense(tensor); i++) {
        if (is_exact(tensor, types[i], team)) {
            return types[i];
        }
    }
    return TFR_DTYPE_F32;
}

struct search {
    const int8_t *numbers;
    int64_t n;
    atomic_llong next;
    atomic_bool is_found;
};

/* A cache line at a time. */
static bool has_lowest(const int8_t *numbers, int64_t n) {
    enum { LANES = 64 };
    typedef int8_t lanes __attribute__((vector_size(LANES)));
    lanes found = {0}, some, lowest;
    int64_t i = 0;
    memset(&lowest, INT8_MIN, sizeof lowest);
    for (; i + LANES <= n; i += LANES) {
        memcpy(&some, numbers + i, sizeof some);
        found |= (lanes)(some == lowest);
    }
    bool is_found = false;
    for (int lane = 0; lane < LANES; lane++) {
        is_found |= found[lane] != 0;
    }
    for (; i < n; i++) {
        is_found |= numbers[i] == INT8_MIN;
    }
    return is_found;
}

static void search_part(void *arg, int tid, int nth) {
    struct search *search = arg;
    (void)tid, (void)nth;
    while (!atomic_load_explicit(&search->is_found, memory_order_relaxed)) {
        const int64_t first = atomic_fetch_add(&search->next, PIECE);
        if (first >= search->n) {
            return;
        }
        if (has_lowest(search->numbers + first, search->n - first < PIECE ? search->n - first : PIECE)) {
            atomic_store_explicit(&search->is_found, true, memory_order_relaxed);
        }
    }
}

bool tfr_scan_has_lowest(const struct tfr_tensor *tensor, struct tfr_team *team) {
    struct search search = {.numbers = tensor->data, .n = tfr_tensor_count(tensor)};
    tfr_team_run(team, search_part, &search);
    return atomic_load(&search.is_found);
}

/* scan.c - see scan.h. Threads take pieces in turn, so that all stop soon after one found what is looked for. */
#include "plan/scan.h"

#include <stdatomic.h>
#include <string.h>

#include "base/exact.h"
#include "base/tensor.h"

enum { PIECE = 1 << 16 }; /* values */

/* A search for values of one kind; done once one is found. */
struct scan {
    bool (*has)(const struct scan *scan, int64_t first, int64_t n); /* one among these values */
    const struct tfr_tensor *tensor;
    enum tfr_dtype narrow; /* of has_inexact */
    int64_t n;
    atomic_llong next;
    atomic_bool is_found;
};

static void scan_part(void *arg, int tid, int nth) {
    struct scan *scan = arg;
    (void)tid, (void)nth;
    while (!atomic_load_explicit(&scan->is_found, memory_order_relaxed)) {
        const int64_t first = atomic_fetch_add(&scan->next, PIECE);
        if (first >= scan->n) {
            return;
        }
        if (scan->has(scan, first, scan->n - first < PIECE ? scan->n - first : PIECE)) {
            atomic_store_explicit(&scan->is_found, true, memory_order_relaxed);
        }
    }
}

static bool finds(struct scan *scan, struct tfr_team *team) {
    scan->n = tfr_tensor_count(scan->tensor);
    tfr_team_run(team, scan_part, scan);
    return atomic_load(&scan->is_found);
}

static bool has_inexact(const struct scan *scan, int64_t first, int64_t n) {
    return !tfr_is_exact(scan->narrow, (const float *)scan->tensor->data + first, n);
}

/* A few values are enough for most tensors that are not exact. */
static bool is_exact(const struct tfr_tensor *tensor, enum tfr_dtype narrow, struct tfr_team *team) {
    struct scan scan = {.has = has_inexact, .tensor = tensor, .narrow = narrow};
    const int64_t n = tfr_tensor_count(tensor);
    return tfr_is_exact(narrow, tensor->data, n < 64 ? n : 64) && !finds(&scan, team);
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

/* A cache line at a time. */
static bool has_lowest(const struct scan *scan, int64_t first, int64_t n) {
    const int8_t *numbers = (const int8_t *)scan->tensor->data + first;
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

bool tfr_scan_has_lowest(const struct tfr_tensor *tensor, struct tfr_team *team) {
    struct scan scan = {.has = has_lowest, .tensor = tensor};
    return finds(&scan, team);
}

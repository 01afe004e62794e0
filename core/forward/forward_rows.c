/* forward_rows.c - which rows of a request are computed, and in which order.
 *
 * Of each sequence the visible tokens come first, as one run over the cache; then the masked ones that still
 * see keys, as queries alone (unless options.ragged). forward_steps.c computes them.
 */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "forward/forward.h"

static bool is_visible(const struct tfr_forward_request *request, int64_t b, int64_t j) {
    return request->key_mask == NULL || request->key_mask[b * request->T + j] != 0;
}

static void add_row(struct tfr_row_plan *plan, int64_t b, int64_t t, int64_t past, bool query_only) {
    struct tfr_row_run *last = plan->n_runs > 0 ? &plan->runs[plan->n_runs - 1] : NULL;
    plan->rows[plan->n_rows] = (struct tfr_row){.b = (int32_t)b, .t = (int32_t)t};
    const bool continues = last != NULL && last->b == b && last->query_only == query_only && (!query_only || last->past == past);
    if (continues) {
        last->n++;
    } else {
        plan->runs[plan->n_runs++] =
            (struct tfr_row_run){.b = b, .n = 1, .past = past, .first = plan->n_rows, .query_only = query_only};
    }
    plan->n_rows++;
}

/* Kept keys of sequence b, cached ones first. */
static void keep_keys(struct tfr_row_plan *plan, const struct tfr_forward_request *request, int64_t b) {
    int32_t *of = plan->key_of + b * request->T;
    for (int64_t j = 0; j < request->T; j++) {
        if (is_visible(request, b, j)) {
            of[plan->n_keys[b]++] = (int32_t)j;
            plan->n_past[b] += j < request->P;
        }
    }
    for (int64_t j = 0; j < request->E; j++) {
        if (request->encoder_mask == NULL || request->encoder_mask[b * request->E + j]) {
            plan->cross_of[b * request->E + plan->n_cross[b]++] = (int32_t)j;
        }
    }
}

static void add_rows(struct tfr_row_plan *plan, const struct tfr_forward_request *request, int64_t b) {
    for (int64_t t = 0; t < request->S; t++) {
        if (is_visible(request, b, request->P + t)) {
            add_row(plan, b, t, plan->n_past[b], false);
        }
    }
    int64_t before = plan->n_past[b];
    for (int64_t t = 0; t < request->S && !request->options.ragged; t++) {
        const bool visible = is_visible(request, b, request->P + t);
        const int64_t seen = request->model->is_causal ? before : plan->n_keys[b];
        before += visible;
        if (!visible && seen > 0) {
            add_row(plan, b, t, seen, true);
        }
    }
}

enum tfr_status tfr_row_plan_open(struct tfr_row_plan *plan, const struct tfr_forward_request *request) {
    const size_t B = (size_t)request->B, rows = B * (size_t)request->S;
    *plan = (struct tfr_row_plan){
        .rows = tfr_alloc(rows, sizeof *plan->rows),
        .runs = tfr_alloc(rows, sizeof *plan->runs),
        .key_of = tfr_alloc(B * (size_t)request->T, sizeof(int32_t)),
        .n_keys = tfr_alloc(B, sizeof(int32_t)),
        .n_past = tfr_alloc(B, sizeof(int32_t)),
        .cross_of = tfr_alloc(B * (size_t)request->E + 1, sizeof(int32_t)),
        .n_cross = tfr_alloc(B, sizeof(int32_t)),
    };
    if (plan->rows == NULL || plan->runs == NULL || plan->key_of == NULL || plan->n_keys == NULL || plan->n_past == NULL ||
        plan->cross_of == NULL || plan->n_cross == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t b = 0; b < request->B; b++) {
        keep_keys(plan, request, b);
        add_rows(plan, request, b);
        const int64_t fresh = plan->n_keys[b] - plan->n_past[b];
        if (!request->model->is_causal && fresh > request->engine->max_rows) {
            return tfr_raise(TFR_USAGE,
                             "is_causal = false needs all %lld tokens of row %lld in one step, which takes %lld; raise "
                             "tfrun.runtime.max_rows",
                             (long long)fresh, (long long)b, (long long)request->engine->max_rows);
        }
    }
    return TFR_OK;
}

void tfr_row_plan_close(struct tfr_row_plan *plan) {
    tfr_free(plan->rows);
    tfr_free(plan->runs);
    tfr_free(plan->key_of);
    tfr_free(plan->n_keys);
    tfr_free(plan->n_past);
    tfr_free(plan->cross_of);
    tfr_free(plan->n_cross);
    *plan = (struct tfr_row_plan){0};
}

/* load_result.c - see load_result.h. */
#include "app/load/load_result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tfr_load_result *tfr_load_result_new(void) {
    return calloc(1, sizeof(struct tfr_load_result));
}

void tfr_load_result_free(struct tfr_load_result *result) {
    if (result != NULL) {
        free(result->output.points);
        free(result->prompt.points);
        free(result->ended.points);
        free(result->good.points);
        free(result);
    }
}

void tfr_load_result_add(struct tfr_load_result *result, struct tfr_load_series *series, uint64_t ns, int64_t value) {
    if (series->n == series->capacity) {
        const size_t capacity = series->capacity > 0 ? 2 * series->capacity : 1024;
        struct tfr_load_point *grown = realloc(series->points, capacity * sizeof *grown);
        if (grown == NULL) {
            result->has_no_memory = true;
            return;
        }
        series->points = grown;
        series->capacity = capacity;
    }
    series->points[series->n++] = (struct tfr_load_point){.ns = ns, .value = value};
}

static uint64_t between(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

static void count_failure(struct tfr_load_result *result, const struct tfr_load_request *request) {
    result->n_failed++;
    if (result->n_failed == 1) {
        snprintf(result->error, sizeof result->error, "%s", request->error);
    }
    for (int i = 0; i < TFR_LOAD_MOST_STATUS; i++) {
        if (result->failed[i].n == 0 || result->failed[i].status == request->status || i + 1 == TFR_LOAD_MOST_STATUS) {
            result->failed[i].status = result->failed[i].n == 0 ? request->status : result->failed[i].status;
            result->failed[i].n++;
            return;
        }
    }
}

/* Every limit that was given is kept; of the gaps 95 % keep theirs. */
static bool is_good(const struct tfr_load_request *request, const struct tfr_load_slo *slo, uint64_t tpot) {
    const int64_t gaps = request->n_events > 1 ? request->n_events - 1 : 0;
    return (slo->ttft == 0 || between(request->scheduled_ns, request->first_ns) <= slo->ttft) &&
           (slo->e2e == 0 || between(request->scheduled_ns, request->end_ns) <= slo->e2e) &&
           (slo->tpot == 0 || tpot <= slo->tpot) && (slo->itl == 0 || request->n_late * 20 <= gaps);
}

static void take_done(struct tfr_load_result *result, const struct tfr_load_request *request, const struct tfr_load_slo *slo) {
    const uint64_t spread = between(request->first_ns, request->last_ns);
    const uint64_t tpot = request->n_tokens > 1 ? spread / (uint64_t)(request->n_tokens - 1) : 0;
    const bool good = is_good(request, slo, tpot);
    tfr_load_result_add(result, &result->ended, request->end_ns, 1);
    if (good) {
        tfr_load_result_add(result, &result->good, request->end_ns, 1);
    }
    if (!request->counts) {
        return;
    }
    result->n_done++;
    result->n_good += good;
    result->n_short += request->is_short;
    tfr_histogram_add(&result->ttft, between(request->scheduled_ns, request->first_ns));
    tfr_histogram_add(&result->e2e, between(request->scheduled_ns, request->end_ns));
    if (tpot > 0) {
        tfr_histogram_add(&result->tpot, tpot);
    }
}

void tfr_load_result_take(struct tfr_load_result *result, const struct tfr_load_request *request, const struct tfr_load_slo *slo) {
    if (request->counts) {
        tfr_histogram_add(&result->late, between(request->scheduled_ns, request->sent_ns));
    }
    switch (request->outcome) {
    case TFR_LOAD_DONE:
        take_done(result, request, slo);
        break;
    case TFR_LOAD_REFUSED:
        if (request->counts) {
            result->n_refused++;
            tfr_histogram_add(&result->refusal, between(request->sent_ns, request->end_ns));
        }
        break;
    case TFR_LOAD_LEFT:
        result->n_left += request->counts;
        break;
    default: /* told wherever it was, also in the warm-up */
        count_failure(result, request);
        break;
    }
}

static int64_t sum(const struct tfr_load_series *series, uint64_t begin_ns, uint64_t end_ns) {
    int64_t total = 0;
    for (size_t i = 0; i < series->n; i++) {
        total += series->points[i].ns > begin_ns && series->points[i].ns <= end_ns ? series->points[i].value : 0;
    }
    return total;
}

void tfr_load_result_settle(struct tfr_load_result *result, uint64_t begin_ns, uint64_t end_ns, uint64_t last_ns) {
    if (end_ns <= begin_ns || sum(&result->ended, begin_ns, end_ns) == 0) {
        end_ns = last_ns;
    }
    result->window_s = (double)between(begin_ns, end_ns) / 1e9;
    if (result->window_s > 0) {
        result->requests_per_s = (double)sum(&result->ended, begin_ns, end_ns) / result->window_s;
        result->output_per_s = (double)sum(&result->output, begin_ns, end_ns) / result->window_s;
        result->prompt_per_s = (double)sum(&result->prompt, begin_ns, end_ns) / result->window_s;
        result->good_per_s = (double)sum(&result->good, begin_ns, end_ns) / result->window_s;
    }
}

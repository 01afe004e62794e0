/* bench_fold.c - benches of the same thing at different times become one: all their times, and an interval that holds all of
 * theirs.
 *
 * A machine is not the same in every minute, and where a process gets its memory differs from start to start. The rounds of one run
 * do not see that, so its interval says how well its own median is known, and nothing of the next run.
 */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "study/bench_document.h"

static bool same_lists(const struct tfr_said_list *x, const struct tfr_said_list *y) {
    bool same = x->n == y->n;
    for (size_t i = 0; i < x->n && same; i++) {
        same = strcmp(x->items[i].name, y->items[i].name) == 0 && strcmp(x->items[i].value, y->items[i].value) == 0;
    }
    return same;
}

static bool same_cases(const struct tfr_bench *x, const struct tfr_bench *y) {
    bool same = x->n_figures == y->n_figures;
    for (size_t i = 0; i < x->n_figures && same; i++) {
        const struct tfr_bench_case *a = &x->figures[i].what, *b = &y->figures[i].what;
        same = a->kind == b->kind && a->n == b->n && (x->figures[i].ranks == NULL) == (y->figures[i].ranks == NULL);
    }
    return same;
}

/* The same program did the same on as many ranks of the same machine. */
static bool are_alike(const struct tfr_bench *x, const struct tfr_bench *y) {
    static const enum tfr_fact facts[] = {TFR_FACT_VERSION, TFR_FACT_COMMIT, TFR_FACT_PLUGINS,     TFR_FACT_HOST,
                                          TFR_FACT_CROWDED, TFR_FACT_MPI,    TFR_FACT_LOCAL_RANKS, TFR_FACT_CONFIG_DIGEST};
    bool same = x->n_ranks == y->n_ranks && x->n_threads == y->n_threads && x->logits_digest == y->logits_digest &&
                strcmp(x->model, y->model) == 0 && strcmp(x->machine, y->machine) == 0 && same_cases(x, y);
    for (size_t i = 0; i < TFR_COUNT_OF(facts) && same; i++) {
        same = strcmp(x->manifest.facts[facts[i]], y->manifest.facts[facts[i]]) == 0;
    }
    return same && same_lists(&x->manifest.overrides, &y->manifest.overrides);
}

/* One document that was given twice. */
static bool is_copy(const struct tfr_bench *x, const struct tfr_bench *y) {
    bool same = are_alike(x, y) && strcmp(x->manifest.facts[TFR_FACT_MEASURED_AT], y->manifest.facts[TFR_FACT_MEASURED_AT]) == 0;
    for (size_t i = 0; i < x->n_figures && same; i++) {
        const struct tfr_bench_figure *a = &x->figures[i], *b = &y->figures[i];
        same = a->n_times == b->n_times && memcmp(a->times, b->times, b->n_times * sizeof *b->times) == 0;
    }
    return same;
}

/* What ranks did is the mean over the runs. */
static void add_ranks(struct tfr_bench_rank *to, const struct tfr_bench_rank *from, int n_ranks, int n_runs) {
    for (int i = 0; i < n_ranks; i++) {
        to[i].busy_s += (from[i].busy_s - to[i].busy_s) / n_runs;
        to[i].wait_s += (from[i].wait_s - to[i].wait_s) / n_runs;
        to[i].control_s += (from[i].control_s - to[i].control_s) / n_runs;
        to[i].bytes += (from[i].bytes - to[i].bytes) / n_runs;
        to[i].messages += (from[i].messages - to[i].messages) / n_runs;
    }
}

static enum tfr_status add_times(struct tfr_bench_figure *to, const struct tfr_bench_figure *from) {
    const struct tfr_spread before = to->spread;
    const size_t n = from->n_times;
    if (to->n_times + n > TFR_MOST_TIMES) {
        return tfr_raise(TFR_USAGE, "%zu times of one case in several runs; up to %d are possible: give fewer documents",
                         to->n_times + n, TFR_MOST_TIMES);
    }
    double *times = tfr_realloc(to->times, to->n_times + n, sizeof *times);
    if (times == NULL) {
        return TFR_RESOURCE;
    }
    memcpy(times + to->n_times, from->times, n * sizeof *times);
    to->times = times;
    to->n_times += n;
    to->spread = tfr_spread_of(times, to->n_times);
    to->spread.low = fmin(before.low, from->spread.low);
    to->spread.high = fmax(before.high, from->spread.high);
    to->waited_percent = fmax(to->waited_percent, from->waited_percent);
    return TFR_OK;
}

static enum tfr_status add(struct tfr_bench *to, const struct tfr_bench *from) {
    to->n_more_runs++;
    for (size_t i = 0; i < to->n_figures; i++) {
        TFR_TRY(add_times(&to->figures[i], &from->figures[i]));
        if (to->figures[i].ranks != NULL) {
            add_ranks(to->figures[i].ranks, from->figures[i].ranks, to->n_ranks, to->n_more_runs + 1);
        }
    }
    return TFR_OK;
}

/* As they were read, before anything is added to one. */
static void drop_copies(struct tfr_bench **benches, size_t *n) {
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        size_t first = 0;
        while (first < kept && !is_copy(benches[first], benches[i])) {
            first++;
        }
        if (first < kept) {
            tfr_bench_free(benches[i]);
        } else {
            benches[kept++] = benches[i];
        }
    }
    *n = kept;
}

enum tfr_status tfr_bench_fold(struct tfr_bench **benches, size_t *n) {
    size_t kept = 0;
    enum tfr_status status = TFR_OK;
    drop_copies(benches, n);
    for (size_t i = 0; i < *n; i++) {
        size_t first = 0;
        while (first < kept && !are_alike(benches[first], benches[i])) {
            first++;
        }
        if (first == kept || status != TFR_OK) {
            benches[kept++] = benches[i];
        } else {
            status = add(benches[first], benches[i]);
            tfr_bench_free(benches[i]);
        }
    }
    *n = kept;
    return status;
}

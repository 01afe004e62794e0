/* scaling.c - points, what each is compared with, and the arithmetic. See scaling.h. */
#include "study/scaling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/status.h"

static const char *const kind_names[] = {[TFR_SCALING_STRONG] = "strong", [TFR_SCALING_WEAK] = "weak"};

const char *tfr_scaling_kind_name(enum tfr_scaling_kind kind) {
    return kind_names[kind];
}

const char *tfr_scaling_source(const struct tfr_scaling_point *point) {
    return point->simulated ? "simulated" : "measured";
}

struct tfr_scaling_gain tfr_scaling_gain(const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    const struct tfr_scaling_point *base = point->base[kind];
    const struct tfr_spread *now = &point->figure->spread, *then = &base->figure->spread;
    struct tfr_scaling_gain gain = {.q = (double)point->cores / (double)base->cores};
    const double times = kind == TFR_SCALING_WEAK ? gain.q : 1;
    gain.speedup = times * then->median / now->median;
    gain.low = base != point ? times * then->low / now->high : 1;
    gain.high = base != point ? times * then->high / now->low : 1;
    gain.efficiency = gain.speedup / gain.q;
    gain.has_serial = gain.q > 1;
    if (gain.has_serial) {
        gain.serial_fraction =
            kind == TFR_SCALING_WEAK ? (gain.q - gain.speedup) / (gain.q - 1) : (1 / gain.speedup - 1 / gain.q) / (1 - 1 / gain.q);
    }
    return gain;
}

/* Of all ranks; 0 where the bench does not know. */
static double busy_s(const struct tfr_scaling_point *point, double *longest) {
    const struct tfr_bench_rank *ranks = point->figure->ranks;
    double sum = 0;
    *longest = 0;
    for (int rank = 0; ranks != NULL && rank < point->bench->n_ranks; rank++) {
        *longest = fmax(*longest, ranks[rank].busy_s);
        sum += ranks[rank].busy_s;
    }
    return sum;
}

bool tfr_scaling_shares(const struct tfr_scaling_point *point, double *balance, double *communication) {
    double longest;
    const double sum = busy_s(point, &longest);
    if (longest <= 0) {
        return false;
    }
    *balance = sum / point->bench->n_ranks / longest;
    *communication = longest / point->figure->spread.median;
    return true;
}

bool tfr_scaling_computation(const struct tfr_scaling_point *point, enum tfr_scaling_kind kind, double *computation) {
    const struct tfr_scaling_point *base = point->base[kind];
    double longest;
    const double now = busy_s(point, &longest) * point->bench->n_threads, then = busy_s(base, &longest) * base->bench->n_threads;
    const double times = kind == TFR_SCALING_WEAK ? (double)point->cores / (double)base->cores : 1;
    *computation = now > 0 ? times * then / now : 0;
    return *computation > 0;
}

/* Shards or replicas of which each has one rank. */
static bool is_all_ranks(const struct tfr_said *said, int n_ranks) {
    const bool may = strcmp(said->name, "parallel.tensor") == 0 || strcmp(said->name, "parallel.replicas") == 0;
    return may && n_ranks > 1 && strtol(said->value, NULL, 10) == n_ranks;
}

/* Options that are not a number of cores. */
static enum tfr_status settings_of(const struct tfr_bench *bench, char **text) {
    const struct tfr_said_list *overrides = &bench->manifest.overrides;
    FILE *out;
    size_t size;
    bool is_first = true;
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    for (size_t i = 0; i < overrides->n; i++) {
        const struct tfr_said *said = &overrides->items[i];
        if (strcmp(said->name, "runtime.threads") != 0) {
            const char *value = is_all_ranks(said, bench->n_ranks) ? "ranks" : said->value;
            fprintf(out, "%s%s=%s", is_first ? "" : " ", said->name, value);
            is_first = false;
        }
    }
    return tfr_memtext_close(out, text);
}

static int64_t compare_cases(const struct tfr_scaling_point *x, const struct tfr_scaling_point *y) {
    return x->figure->what.kind != y->figure->what.kind ? (int64_t)x->figure->what.kind - (int64_t)y->figure->what.kind
           : x->figure->what.n < y->figure->what.n      ? -1
                                                        : x->figure->what.n > y->figure->what.n;
}

static int by_case(const void *a, const void *b) {
    const struct tfr_scaling_point *x = a, *y = b;
    const int64_t cases = compare_cases(x, y);
    if (cases != 0) {
        return cases < 0 ? -1 : 1;
    }
    if (x->simulated != y->simulated) {
        return x->simulated - y->simulated;
    }
    const int settings = strcmp(x->settings, y->settings);
    if (settings != 0) {
        return settings;
    }
    return x->cores != y->cores ? (x->cores < y->cores ? -1 : 1) : x->bench->n_ranks - y->bench->n_ranks;
}

/* Whether two points are of the same thing on the same kind of machine. */
static bool are_alike(const struct tfr_scaling_point *x, const struct tfr_scaling_point *y) {
    return x->simulated == y->simulated && x->figure->what.kind == y->figure->what.kind &&
           strcmp(x->bench->model, y->bench->model) == 0 && strcmp(x->bench->machine, y->bench->machine) == 0;
}

/* Whether `other` has the work that `point` is compared with: the same, or its share of the sequences. */
static bool is_base(const struct tfr_scaling_point *point, const struct tfr_scaling_point *other, enum tfr_scaling_kind kind) {
    if (!are_alike(point, other) || other->cores > point->cores) {
        return false;
    }
    if (kind == TFR_SCALING_STRONG) {
        return other->figure->what.n == point->figure->what.n;
    }
    return point->figure->what.kind == TFR_BENCH_SEQUENCES &&
           other->figure->what.n * point->cores == point->figure->what.n * other->cores;
}

/* Of all that could be compared with a point, whatever the work. */
static int64_t fewest_cores(const struct tfr_scaling *scaling, const struct tfr_scaling_point *point) {
    int64_t fewest = point->cores;
    for (size_t i = 0; i < scaling->n; i++) {
        const struct tfr_scaling_point *other = &scaling->points[i];
        fewest = are_alike(point, other) && other->cores < fewest ? other->cores : fewest;
    }
    return fewest;
}

static const struct tfr_scaling_point *find_base(const struct tfr_scaling *scaling, const struct tfr_scaling_point *point,
                                                 enum tfr_scaling_kind kind) {
    const struct tfr_scaling_point *best = NULL;
    const int64_t most = kind == TFR_SCALING_WEAK ? fewest_cores(scaling, point) : point->cores;
    for (size_t i = 0; i < scaling->n; i++) {
        const struct tfr_scaling_point *other = &scaling->points[i];
        if (!is_base(point, other, kind) || other->cores > most) {
            continue;
        }
        const bool is_fewer = best == NULL || other->cores < best->cores;
        const bool is_nearer = best != NULL && other->cores == best->cores && strcmp(best->settings, point->settings) != 0 &&
                               strcmp(other->settings, point->settings) == 0;
        best = is_fewer || is_nearer ? other : best;
    }
    return best;
}

static enum tfr_status collect(struct tfr_scaling *scaling, const struct tfr_bench *const *benches, size_t n) {
    for (size_t b = 0; b < n; b++) {
        for (size_t i = 0; i < benches[b]->n_figures; i++) {
            struct tfr_scaling_point *point = &scaling->points[scaling->n++];
            *point = (struct tfr_scaling_point){.bench = benches[b],
                                                .figure = &benches[b]->figures[i],
                                                .simulated = tfr_manifest_is_simulated(&benches[b]->manifest),
                                                .crowded = strcmp(benches[b]->manifest.facts[TFR_FACT_CROWDED], "1") == 0,
                                                .cores = (int64_t)benches[b]->n_ranks * benches[b]->n_threads};
            TFR_TRY(settings_of(benches[b], &point->settings));
        }
    }
    qsort(scaling->points, scaling->n, sizeof *scaling->points, by_case);
    for (size_t i = 0; i < scaling->n; i++) {
        for (int kind = 0; kind < TFR_SCALING_KINDS; kind++) {
            scaling->points[i].base[kind] = find_base(scaling, &scaling->points[i], (enum tfr_scaling_kind)kind);
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_scaling_join(struct tfr_scaling **scaling, const struct tfr_bench *const *benches, size_t n) {
    size_t n_points = 0;
    for (size_t b = 0; b < n; b++) {
        n_points += benches[b]->n_figures;
    }
    *scaling = NULL;
    if (n_points == 0) {
        return tfr_raise(TFR_USAGE, "nothing to join: give documents of `tfrun bench --json` with cases in them");
    }
    struct tfr_scaling *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->points = tfr_alloc(n_points, sizeof *made->points);
    const enum tfr_status status = made->points != NULL ? collect(made, benches, n) : TFR_RESOURCE;
    if (status != TFR_OK) {
        tfr_scaling_free(made);
        return status;
    }
    *scaling = made;
    return TFR_OK;
}

void tfr_scaling_free(struct tfr_scaling *scaling) {
    for (size_t i = 0; scaling != NULL && i < scaling->n; i++) {
        tfr_free(scaling->points[i].settings);
    }
    if (scaling != NULL) {
        tfr_free(scaling->points);
    }
    tfr_free(scaling);
}

/* bench_compare.c - a bench beside an earlier one: what was recorded of it, the same case, the verdict, what else differs. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "config/config.h"
#include "study/bench_document.h"

struct tfr_bench_recorded tfr_bench_recorded(const struct tfr_bench *bench) {
    char *const *facts = bench->manifest.facts;
    return (struct tfr_bench_recorded){
        .config = facts[TFR_FACT_CONFIG],
        .cases = facts[TFR_FACT_CASES][0] != '\0' ? facts[TFR_FACT_CASES] : NULL,
        .n_overrides = bench->manifest.overrides.n,
        .repetitions = bench->repetitions,
        .n_ranks = bench->n_ranks,
    };
}

void tfr_bench_override(const struct tfr_bench *bench, size_t i, const char **key, const char **value) {
    *key = tfr_option_plain(bench->manifest.overrides.items[i].name);
    *value = bench->manifest.overrides.items[i].value;
}

bool tfr_bench_same_bits(const struct tfr_bench *bench, const struct tfr_bench *before) {
    return bench->logits_digest == before->logits_digest;
}

bool tfr_bench_differs(const struct tfr_bench *bench, const struct tfr_bench *before) {
    return tfr_bench_differences(bench, before, NULL, NULL) > 0;
}

const struct tfr_bench_figure *tfr_bench_find(const struct tfr_bench *bench, const struct tfr_bench_case *what) {
    for (size_t i = 0; i < bench->n_figures; i++) {
        if (bench->figures[i].what.kind == what->kind && bench->figures[i].what.n == what->n) {
            return &bench->figures[i];
        }
    }
    return NULL;
}

bool tfr_bench_is_disturbed(const struct tfr_bench *bench, const struct tfr_bench_figure *figure) {
    return figure->waited_percent >= TFR_BENCH_DISTURBED_PERCENT && strcmp(bench->manifest.facts[TFR_FACT_CROWDED], "1") != 0;
}

const char *tfr_bench_verdict(const struct tfr_bench *bench, const struct tfr_bench_figure *now, const struct tfr_bench *before,
                              const struct tfr_bench_figure *then) {
    if (tfr_bench_is_disturbed(bench, now) || tfr_bench_is_disturbed(before, then)) {
        return "doubtful";
    }
    return now->spread.median < then->spread.low ? "faster" : now->spread.median > then->spread.high ? "slower" : "inside";
}

/* "6 blocks of 256, 8 heads, vocabulary of 6000, f32, kv f32": the length of what comes before the types. */
static size_t shape_length(const char *model) {
    enum { TYPES = 2 };
    const char *end = model + strlen(model);
    for (int commas = 0; end > model && commas < TYPES; end--) {
        commas += end[-1] == ',';
    }
    return (size_t)(end - model);
}

static bool is_same_shape(const char *x, const char *y) {
    const size_t length = shape_length(x);
    return length == shape_length(y) && strncmp(x, y, length) == 0;
}

enum tfr_status tfr_bench_check_before(const struct tfr_bench *bench, const struct tfr_bench *before) {
    const char *config = before->manifest.facts[TFR_FACT_CONFIG];
    if (!is_same_shape(bench->model, before->model)) {
        return tfr_raise(TFR_USAGE,
                         "the document to compare with is of another model, %s (%s), and this one has %s: compare benches of one",
                         before->model, config, bench->model);
    }
    for (size_t i = 0; i < bench->n_figures; i++) {
        if (tfr_bench_find(before, &bench->figures[i].what) != NULL) {
            return TFR_OK;
        }
    }
    return tfr_raise(TFR_USAGE, "the document to compare with, of %s, has none of the cases that are measured here; --cases %s%s",
                     config, before->manifest.facts[TFR_FACT_CASES],
                     before->manifest.facts[TFR_FACT_CASES][0] != '\0' ? " are its own" : "left out takes the same");
}

struct telling {
    tfr_tell_difference *tell; /* may be NULL */
    void *user;
    int n;
};

static void tell(struct telling *telling, const char *what, const char *before, const char *now) {
    if (telling->tell != NULL) {
        telling->tell(telling->user, what, before, now);
    }
    telling->n++;
}

static void tell_texts(struct telling *telling, const char *what, const char *before, const char *now) {
    if (strcmp(before, now) != 0) {
        tell(telling, what, before, now);
    }
}

static void tell_numbers(struct telling *telling, const char *what, int before, int now) {
    char texts[2][16];
    snprintf(texts[0], sizeof texts[0], "%d", before);
    snprintf(texts[1], sizeof texts[1], "%d", now);
    tell_texts(telling, what, texts[0], texts[1]);
}

/* Both types of one shape: "f32, kv f32". */
static void tell_types(struct telling *telling, const struct tfr_bench *bench, const struct tfr_bench *before) {
    const char *now = bench->model + shape_length(bench->model), *then = before->model + shape_length(before->model);
    tell_texts(telling, "dtype", then + strspn(then, ", "), now + strspn(now, ", "));
}

static const char *last_said(const struct tfr_said_list *list, const char *name) {
    const char *value = NULL;
    for (size_t i = 0; i < list->n; i++) {
        value = strcmp(list->items[i].name, name) == 0 ? list->items[i].value : value;
    }
    return value;
}

/* Options of either command line; those that other lines tell of are left out. */
static void tell_options(struct telling *telling, const struct tfr_said_list *from, const struct tfr_said_list *other,
                         bool from_is_now) {
    static const char *const told[] = {"runtime.threads", "runtime.dtype", "runtime.kv_dtype"};
    static const char unsaid[] = "as the config says";
    for (size_t i = 0; i < from->n; i++) {
        const char *name = from->items[i].name, *mine = last_said(from, name), *theirs = last_said(other, name);
        bool is_told =
            from->items[i].value != mine || (from_is_now && theirs != NULL); /* of each the last; both: by the first call */
        for (size_t t = 0; t < TFR_COUNT_OF(told); t++) {
            is_told = is_told || strcmp(name, told[t]) == 0;
        }
        if (!is_told && (theirs == NULL || strcmp(mine, theirs) != 0)) {
            const char *there = theirs != NULL ? theirs : unsaid;
            tell(telling, name, from_is_now ? there : mine, from_is_now ? mine : there);
        }
    }
}

int tfr_bench_differences(const struct tfr_bench *bench, const struct tfr_bench *before, tfr_tell_difference *to_tell, void *user) {
    static const struct {
        enum tfr_fact fact;
        const char *word;
    } facts[] = {{TFR_FACT_HOST, "host"},
                 {TFR_FACT_CPUS, "cpus"},
                 {TFR_FACT_GOVERNOR, "governor"},
                 {TFR_FACT_BIND, "bind"},
                 {TFR_FACT_MPI, "MPI"},
                 {TFR_FACT_TRANSPORT, "transport"},
                 {TFR_FACT_VERSION, "version"},
                 {TFR_FACT_COMMIT, "commit"},
                 {TFR_FACT_PLUGINS, "plugins"},
                 {TFR_FACT_CONFIG, "config"},
                 {TFR_FACT_HUGEPAGES, "huge pages"}};
    struct telling telling = {to_tell, user, 0};
    tell_types(&telling, bench, before);
    tell_texts(&telling, "machine", before->machine, bench->machine);
    tell_numbers(&telling, "ranks", before->n_ranks, bench->n_ranks);
    tell_numbers(&telling, "threads", before->n_threads, bench->n_threads);
    for (size_t i = 0; i < TFR_COUNT_OF(facts); i++) {
        tell_texts(&telling, facts[i].word, before->manifest.facts[facts[i].fact], bench->manifest.facts[facts[i].fact]);
    }
    const struct tfr_said_list *then = &before->manifest.overrides, *now = &bench->manifest.overrides;
    tell_options(&telling, then, now, false);
    tell_options(&telling, now, then, true);
    if (telling.n == 0) { /* all of the above changes it too */
        tell_texts(&telling, "what the config says, by digest", before->manifest.facts[TFR_FACT_CONFIG_DIGEST],
                   bench->manifest.facts[TFR_FACT_CONFIG_DIGEST]);
    }
    return telling.n;
}

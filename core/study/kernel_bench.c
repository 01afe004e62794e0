/* kernel_bench.c - tfr_kernel_bench_run: a file of cases, one after the other. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "study/kernel_bench_case.h"

/* A part that no kernel has, and a case that no line has, would give an empty answer. */
static enum tfr_status check_kernel(const struct tfr_kernel_work *work) {
    const char *part = work->question->kernel;
    size_t n;
    const struct tfr_registry_entry *entries = tfr_registry_plugins(work->engine->registry, &n);
    for (size_t i = 0; i < n && part != NULL; i++) {
        for (int k = 0; k < entries[i].plugin->n_kernels; k++) {
            if (strstr(entries[i].plugin->kernels[k]->name, part) != NULL) {
                return TFR_OK;
            }
        }
    }
    return part == NULL ? TFR_OK
                        : tfr_raise(TFR_USAGE, "--kernel: no kernel here has \"%s\" in its name; `tfrun plugins` lists them", part);
}

/* Some names of cases between commas: those that have the word in them, or all where none has; and how many more there are. */
static void list_cases(const struct tfr_kernel_cases *cases, const char *word, char *text, size_t size) {
    enum { MOST_NAMED = 8 };
    size_t n = 0, length = 0;
    for (size_t i = 0; i < cases->n; i++) {
        n += strstr(cases->items[i].name, word) != NULL;
    }
    const char *part = n > 0 ? word : "";
    const size_t n_shown = n > 0 ? n : cases->n;
    for (size_t i = 0, shown = 0; i < cases->n && shown < MOST_NAMED; i++) {
        if (strstr(cases->items[i].name, part) != NULL) {
            length += (size_t)snprintf(text + length, size - length, "%s%s", shown++ > 0 ? ", " : "", cases->items[i].name);
        }
    }
    if (n_shown > MOST_NAMED) {
        snprintf(text + length, size - length, " and %zu more", n_shown - MOST_NAMED);
    }
}

static enum tfr_status refuse_case(const char *file, const char *only, const struct tfr_kernel_cases *cases) {
    char text[8 * (TFR_CASE_NAME + 2) + 32];
    const char **names = tfr_alloc(cases->n, sizeof *names);
    if (names == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < cases->n; i++) {
        names[i] = cases->items[i].name;
    }
    const char *nearest = tfr_nearest_name(only, names, cases->n);
    tfr_free(names);
    if (nearest != NULL) {
        return tfr_raise(TFR_USAGE, "--case: %s has no case \"%s\"; did you mean \"%s\"?", file, only, nearest);
    }
    list_cases(cases, only, text, sizeof text);
    return tfr_raise(TFR_USAGE, "--case: %s has no case \"%s\"; give one that it has: %s", file, only, text);
}

static enum tfr_status take_cases(struct tfr_kernel_work *work, const struct tfr_kernel_cases *cases) {
    const char *only = work->question->only;
    work->bench->results = tfr_alloc(cases->n, sizeof *work->bench->results);
    if (work->bench->results == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < cases->n; i++) {
        if (only == NULL || strcmp(only, cases->items[i].name) == 0) {
            struct tfr_kernel_case *of = &work->bench->results[work->bench->n_results++].of;
            *of = cases->items[i];
            of->max = of->has_max ? of->max : of->rows; /* room for more is what only a check of kernels wants */
        }
    }
    return work->bench->n_results > 0 ? TFR_OK : refuse_case(work->question->file, only, cases);
}

static enum tfr_status read_file(struct tfr_kernel_work *work) {
    struct tfr_kernel_cases cases;
    TFR_TRY(tfr_kernel_cases_read(&cases, work->question->file));
    const enum tfr_status status = take_cases(work, &cases);
    tfr_kernel_cases_free(&cases);
    return status;
}

/* Nothing was timed, so no table has the reasons. */
static enum tfr_status refuse_all(const struct tfr_kernel_work *work) {
    const struct tfr_kernel_bench *bench = work->bench;
    const char *part = work->question->kernel;
    char which[TFR_CASE_NAME + 64];
    for (size_t i = 0; i < bench->n_results; i++) {
        for (size_t k = 0; k < bench->results[i].n_figures; k++) {
            const struct tfr_kernel_figure *figure = &bench->results[i].figures[k];
            tfr_log(TFR_LOG_INFO, "bench", "case %s: %s is not timed: %s", bench->results[i].of.name, figure->kernel,
                    figure->refusal);
        }
    }
    snprintf(which, sizeof which, "case %s", bench->results[0].of.name);
    if (bench->n_results > 1) {
        snprintf(which, sizeof which, "any of its %zu cases, %s the first", bench->n_results, bench->results[0].of.name);
    }
    return part != NULL
               ? tfr_raise(TFR_UNSUPPORTED,
                           "%s: no kernel with \"%s\" in its name serves %s; leave --kernel out, or add -v for the reasons",
                           work->question->file, part, which)
               : tfr_raise(TFR_UNSUPPORTED,
                           "%s: no kernel serves %s; add -v for the reason of each, `tfrun plugins` lists all that are here",
                           work->question->file, which);
}

static enum tfr_status run_all(struct tfr_kernel_work *work) {
    struct tfr_kernel_bench *bench = work->bench;
    struct tfr_engine *engine = work->engine;
    size_t n_served = 0;
    TFR_TRY(read_file(work));
    TFR_TRY(check_kernel(work));
    bench->file = tfr_strdup(work->question->file);
    if (bench->file == NULL) {
        return TFR_RESOURCE;
    }
    if (!work->question->no_roofs) {
        TFR_TRY(tfr_roofs_measure(&work->roofs, engine->team, engine->machine, true, NULL, NULL));
        TFR_TRY(tfr_roofs_memory(engine->team, engine->machine, &work->roofs.memory_rate));
        bench->memory_rate = work->roofs.memory_rate;
        bench->has_roofs = true;
        tfr_kernel_peaks_take(work);
    }
    for (size_t i = 0; i < bench->n_results; i++) {
        if (work->question->say != NULL) {
            work->question->say(work->question->user, (int64_t)i, (int64_t)bench->n_results);
        }
        work->n_rates = 0;
        TFR_TRY(tfr_kernel_bench_case(work, &bench->results[i]));
        n_served += bench->results[i].n_served;
    }
    if (n_served == 0) {
        return refuse_all(work);
    }
    return tfr_manifest_of_kernels(&bench->manifest, engine, work->question);
}

enum tfr_status tfr_kernel_bench_run(struct tfr_kernel_bench **bench, struct tfr_engine *engine,
                                     const struct tfr_kernel_bench_question *question) {
    *bench = NULL;
    if (question->repetitions < 1 || question->repetitions > TFR_MOST_TIMES) {
        return tfr_raise(TFR_USAGE, "%lld repetitions; 1..%d are possible", (long long)question->repetitions, TFR_MOST_TIMES);
    }
    struct tfr_kernel_work *work = tfr_alloc(1, sizeof *work);
    struct tfr_kernel_bench *made = tfr_alloc(1, sizeof *made);
    enum tfr_status status = work != NULL && made != NULL ? TFR_OK : TFR_RESOURCE;
    if (status == TFR_OK) {
        *work = (struct tfr_kernel_work){.bench = made, .engine = engine, .question = question};
        made->repetitions = question->repetitions;
        made->n_threads = engine->threads.n_threads;
        snprintf(made->machine, sizeof made->machine, "%s", engine->machine->cpu_name);
        status = run_all(work);
    }
    tfr_free(work);
    if (status != TFR_OK) {
        tfr_kernel_bench_free(made);
        return status;
    }
    *bench = made;
    return TFR_OK;
}

void tfr_kernel_bench_free(struct tfr_kernel_bench *bench) {
    if (bench == NULL) {
        return;
    }
    for (size_t i = 0; i < bench->n_results; i++) {
        for (size_t k = 0; k < bench->results[i].n_figures; k++) {
            tfr_free(bench->results[i].figures[k].times);
        }
        tfr_free(bench->results[i].figures);
    }
    tfr_free(bench->results);
    tfr_free(bench->file);
    tfr_manifest_free(&bench->manifest);
    tfr_free(bench);
}

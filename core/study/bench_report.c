/* bench_report.c - a bench for people: a table, with one line for programs behind it for each case; Markdown; CSV. */
#include <tfrun/study.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "report/grid.h"
#include "study/bench_document.h"
#include "study/bench_gate.h"

static void put(struct tfr_grid *grid, const char *format, double value) {
    char text[48];
    snprintf(text, sizeof text, format, value);
    tfr_grid_put(grid, text);
}

/* Columns that are there where somebody knows their figures. */
struct shown {
    bool roof, predicted, before, waited;
};

static struct shown what_is_shown(const struct tfr_bench *bench, const struct tfr_bench *before, enum tfr_table_form form) {
    struct shown shown = {.before = before != NULL, .waited = form == TFR_TABLE_CSV}; /* a line above the other tables tells it */
    for (size_t i = 0; i < bench->n_figures; i++) {
        shown.roof = shown.roof || bench->figures[i].roof_s > 0;
        shown.predicted = shown.predicted || bench->figures[i].predicted_s > 0;
    }
    return shown;
}

static void put_heads(struct tfr_grid *grid, const char *const *heads, size_t n) {
    for (size_t i = 0; i < n; i++) {
        tfr_grid_put(grid, heads[i]);
    }
    grid->n_columns += (int)n;
}

static void put_head(struct tfr_grid *grid, const struct shown *shown) {
    static const char *const always[] = {"case",     "n",         "median ms", "q1 ms",   "q3 ms",
                                         "low95 ms", "high95 ms", "tokens/s",  "first ms"};
    static const char *const roof[] = {"roof ms", "% of roof"}, *const predicted[] = {"predicted ms"},
                             *const before[] = {"before ms", "ratio", "verdict"}, *const waited[] = {"waited %"};
    put_heads(grid, always, TFR_COUNT_OF(always));
    put_heads(grid, roof, shown->roof ? TFR_COUNT_OF(roof) : 0);
    put_heads(grid, predicted, shown->predicted ? TFR_COUNT_OF(predicted) : 0);
    put_heads(grid, before, shown->before ? TFR_COUNT_OF(before) : 0);
    put_heads(grid, waited, shown->waited ? TFR_COUNT_OF(waited) : 0);
}

static void put_before(struct tfr_grid *grid, const struct tfr_bench *bench, const struct tfr_bench_figure *figure,
                       const struct tfr_bench *before) {
    const struct tfr_bench_figure *old = tfr_bench_find(before, &figure->what);
    if (old == NULL) {
        tfr_grid_put(grid, "");
        tfr_grid_put(grid, "");
        tfr_grid_put(grid, "new");
        return;
    }
    put(grid, "%.4f", old->spread.median * 1e3);
    put(grid, "%.3f", figure->spread.median / old->spread.median);
    tfr_grid_put(grid, tfr_bench_verdict(bench, figure, before, old));
}

static void fill(struct tfr_grid *grid, const struct tfr_bench *bench, const struct tfr_bench *before, enum tfr_table_form form) {
    const struct shown shown = what_is_shown(bench, before, form);
    put_head(grid, &shown);
    for (size_t i = 0; i < bench->n_figures; i++) {
        const struct tfr_bench_figure *figure = &bench->figures[i];
        const struct tfr_spread *spread = &figure->spread;
        const double times[] = {spread->median, spread->q1, spread->q3, spread->low, spread->high};
        tfr_grid_put(grid, tfr_bench_kind_name(figure->what.kind));
        tfr_grid_put_count(grid, figure->what.n);
        for (size_t t = 0; t < TFR_COUNT_OF(times); t++) {
            put(grid, "%.4f", times[t] * 1e3);
        }
        put(grid, "%.1f", figure->tokens / spread->median);
        put(grid, "%.4f", figure->first_s * 1e3);
        if (shown.roof) {
            put(grid, "%.4f", figure->roof_s * 1e3);
            put(grid, "%.1f", 100 * figure->roof_s / spread->median);
        }
        if (shown.predicted) {
            put(grid, "%.4f", figure->predicted_s * 1e3);
        }
        if (before != NULL) {
            put_before(grid, bench, figure, before);
        }
        if (shown.waited && figure->waited_percent >= 0) {
            put(grid, "%.1f", figure->waited_percent);
        } else if (shown.waited) {
            tfr_grid_put(grid, "");
        }
    }
}

struct differences {
    FILE *out;
    int n;
};

static void print_difference(void *user, const char *what, const char *before, const char *now) {
    struct differences *differences = user;
    fprintf(differences->out, "%s%s %s -> %s", differences->n == 0 ? "" : "; ", what, before[0] != '\0' ? before : "none",
            now[0] != '\0' ? now : "none");
    differences->n++;
}

static void print_before(FILE *out, const struct tfr_bench *bench, const struct tfr_bench *before, const char *line) {
    const int n_runs = before->n_more_runs + 1;
    const bool is_same = tfr_bench_same_bits(bench, before);
    struct differences differences = {.out = out};
    fprintf(out, "%sbefore   %s on %s, %d run%s, %d rank%s, digest %016" PRIx64 ": %s\n%sdiffers  ", line,
            before->manifest.facts[TFR_FACT_MEASURED_AT], before->manifest.facts[TFR_FACT_HOST], n_runs, tfr_plural(n_runs),
            before->n_ranks, tfr_plural(before->n_ranks), before->logits_digest, is_same ? "the same bits" : "OTHER BITS", line);
    tfr_bench_differences(bench, before, print_difference, &differences);
    fputs(differences.n > 0 ? "\n" : "in nothing that was recorded\n", out);
}

/* Which cases are doubtful, on which side, and by how much. */
static void print_disturbed(FILE *out, const struct tfr_bench *bench, const struct tfr_bench *before, const char *line) {
    int n = 0;
    bool has_roof = false;
    for (size_t i = 0; i < bench->n_figures; i++) {
        const struct tfr_bench_figure *figure = &bench->figures[i];
        const struct tfr_bench_figure *old = before != NULL ? tfr_bench_find(before, &figure->what) : NULL;
        const bool is_now = tfr_bench_is_disturbed(bench, figure), was = old != NULL && tfr_bench_is_disturbed(before, old);
        if (!is_now && !was) {
            continue;
        }
        fprintf(out, "%s%s %s:%" PRId64, n == 0 ? line : "", n == 0 ? "waited   while others had the cores:" : ",",
                tfr_bench_kind_name(figure->what.kind), figure->what.n);
        n++;
        if (is_now) {
            has_roof = has_roof || figure->roof_s > 0;
            fprintf(out, before != NULL ? " %.1f %% of the time now" : " %.1f %% of the time", figure->waited_percent);
        }
        if (was) {
            fprintf(out, "%s %.1f %% of the time before", is_now ? " and" : "", old->waited_percent);
        }
    }
    if (n > 0) {
        fprintf(out, "; doubtful from %d %% on%s\n", TFR_BENCH_DISTURBED_PERCENT,
                has_roof ? ", and so is % of roof, even above 100: roofs were measured in between" : "");
    }
}

static void print_head(FILE *out, const struct tfr_bench *bench, const struct tfr_bench *before, const char *line) {
    int64_t most = 0;
    for (int rank = 0; rank < bench->n_ranks; rank++) {
        most = bench->peak_memory_bytes[rank] > most ? bench->peak_memory_bytes[rank] : most;
    }
    fprintf(out, "%smodel    %s\n%smachine  %s, %d rank%s of %d thread%s\n", line, bench->model, line, bench->machine,
            bench->n_ranks, tfr_plural(bench->n_ranks), bench->n_threads, tfr_plural(bench->n_threads));
    fprintf(out, "%sstart    opened in %.3f s, first token %.3f s later; peak memory %.0f MB%s; digest %016" PRIx64 "\n", line,
            bench->load_s, bench->first_token_s, (double)most / 1e6, bench->n_ranks > 1 ? " of the largest rank" : "",
            bench->logits_digest);
    fprintf(out,
            "%stimes    medians of %" PRId64 " rounds, their quartiles and 95 %% interval: a step, a prompt, a token of every "
            "sequence\n",
            line, bench->repetitions);
    if (bench->flop_rate > 0) {
        fprintf(out, "%sroofs    %.1f GFLOP/s of rank 0", line, bench->flop_rate / 1e9);
        fprintf(out, bench->memory_rate > 0 ? ", %.1f GB/s from memory between the rounds\n" : "; weights stay in its caches\n",
                bench->memory_rate / 1e9);
    }
    if (before != NULL) {
        print_before(out, bench, before, line);
    }
    print_disturbed(out, bench, before, line);
    fputc('\n', out);
}

/* Read by JUBE, ReFrame and scripts: keys are added, never changed. */
static void print_line(FILE *out, const struct tfr_bench *bench, const struct tfr_bench_figure *figure,
                       const struct tfr_bench *before) {
    const struct tfr_bench_figure *old = before != NULL ? tfr_bench_find(before, &figure->what) : NULL;
    const struct tfr_spread *spread = &figure->spread;
    fprintf(out, "tfrun-perf: case=%s n=%" PRId64 " ranks=%d threads=%d repetitions=%zu median_ms=%.6f q1_ms=%.6f q3_ms=%.6f ",
            tfr_bench_kind_name(figure->what.kind), figure->what.n, bench->n_ranks, bench->n_threads, figure->n_times,
            spread->median * 1e3, spread->q1 * 1e3, spread->q3 * 1e3);
    fprintf(out, "low95_ms=%.6f high95_ms=%.6f tokens_per_s=%.3f first_ms=%.6f digest=%016" PRIx64, spread->low * 1e3,
            spread->high * 1e3, figure->tokens / spread->median, figure->first_s * 1e3, bench->logits_digest);
    if (figure->roof_s > 0) {
        fprintf(out, " roof_ms=%.6f roof_share=%.6f", figure->roof_s * 1e3, figure->roof_s / spread->median);
    }
    if (figure->predicted_s > 0) {
        fprintf(out, " predicted_ms=%.6f", figure->predicted_s * 1e3);
    }
    if (old != NULL) {
        fprintf(out, " before_ms=%.6f ratio=%.6f verdict=%s", old->spread.median * 1e3, spread->median / old->spread.median,
                tfr_bench_verdict(bench, figure, before, old));
    }
    if (figure->waited_percent >= 0) {
        fprintf(out, " waited_percent=%.3f", figure->waited_percent);
    }
    if (old != NULL && old->waited_percent >= 0) {
        fprintf(out, " before_waited_percent=%.3f", old->waited_percent);
    }
    fputc('\n', out);
}

/* What each rank did in the time of a case. */
static void fill_ranks(struct tfr_grid *grid, const struct tfr_bench *bench) {
    static const char *const heads[] = {"case",      "n",          "rank",    "busy ms",      "% busy",
                                        "waited ms", "control ms", "kB sent", "messages sent"};
    put_heads(grid, heads, TFR_COUNT_OF(heads));
    for (size_t i = 0; i < bench->n_figures; i++) {
        const struct tfr_bench_figure *figure = &bench->figures[i];
        for (int rank = 0; rank < bench->n_ranks && figure->ranks != NULL; rank++) {
            const struct tfr_bench_rank *one = &figure->ranks[rank];
            tfr_grid_put(grid, tfr_bench_kind_name(figure->what.kind));
            tfr_grid_put_count(grid, figure->what.n);
            tfr_grid_put_count(grid, rank);
            put(grid, "%.4f", one->busy_s * 1e3);
            put(grid, "%.1f", 100 * one->busy_s / figure->spread.median);
            put(grid, "%.4f", one->wait_s * 1e3);
            put(grid, "%.4f", one->control_s * 1e3);
            put(grid, "%.2f", one->bytes / 1e3);
            put(grid, "%.2f", one->messages);
        }
    }
}

static enum tfr_status print_ranks(FILE *out, const struct tfr_bench *bench, enum tfr_grid_form form) {
    struct tfr_grid grid = {.is_left = 1};
    fputc('\n', out);
    fill_ranks(&grid, bench);
    const enum tfr_status status = tfr_grid_write(&grid, form, out);
    tfr_grid_close(&grid);
    return status;
}

static void fill_gate(struct tfr_grid *grid, const struct tfr_bench_held *held, size_t n) {
    static const char *const heads[] = {"case", "n", "figure", "is", "limit", "verdict"};
    put_heads(grid, heads, TFR_COUNT_OF(heads));
    for (size_t i = 0; i < n; i++) {
        tfr_grid_put(grid, tfr_bench_kind_name(held[i].what.kind));
        tfr_grid_put_count(grid, held[i].what.n);
        tfr_grid_put(grid, tfr_bench_limit_name(held[i].figure));
        put(grid, "%.3f", held[i].value);
        put(grid, tfr_bench_limit_is_least(held[i].figure) ? ">= %.2f" : "<= %.2f", held[i].limit);
        tfr_grid_put(grid, held[i].is_met ? "held" : held[i].is_doubtful ? "DOUBTFUL" : "MISSED");
    }
}

/* What was measured and has no limit: said, so that nobody takes it for held. */
static void fill_unlimited(struct tfr_grid *grid, const struct tfr_bench *bench) {
    for (size_t i = 0; i < bench->n_figures; i++) {
        const struct tfr_bench_case *what = &bench->figures[i].what;
        if (tfr_bench_has_limit(bench, what)) {
            continue;
        }
        tfr_grid_put(grid, tfr_bench_kind_name(what->kind));
        tfr_grid_put_count(grid, what->n);
        tfr_grid_put(grid, "");
        tfr_grid_put(grid, "");
        tfr_grid_put(grid, "");
        tfr_grid_put(grid, what->kind == TFR_BENCH_CLASS ? "no limit without --warmup" : "no limit");
    }
}

static enum tfr_status print_gate(FILE *out, const struct tfr_bench *bench, enum tfr_grid_form form) {
    struct tfr_bench_held held[TFR_MOST_HELD];
    struct tfr_grid grid = {.is_left = 1 | 1 << 2 | 1 << 5};
    fputc('\n', out);
    fill_gate(&grid, held, tfr_bench_hold(bench, held));
    fill_unlimited(&grid, bench);
    const enum tfr_status status = tfr_grid_write(&grid, form, out);
    tfr_grid_close(&grid);
    return status;
}

static enum tfr_status print(FILE *out, const struct tfr_bench *bench, const struct tfr_bench *before, enum tfr_table_form form) {
    static const enum tfr_grid_form forms[] = {
        [TFR_TABLE_TEXT] = TFR_GRID_TEXT, [TFR_TABLE_MD] = TFR_GRID_MARKDOWN, [TFR_TABLE_CSV] = TFR_GRID_CSV};
    struct tfr_grid grid = {.is_left = 1};
    if (form != TFR_TABLE_CSV) {
        print_head(out, bench, before, form == TFR_TABLE_MD ? "- " : "");
    }
    fill(&grid, bench, before, form);
    enum tfr_status status = tfr_grid_write(&grid, forms[form], out);
    tfr_grid_close(&grid);
    if (status == TFR_OK && bench->n_ranks > 1 && form != TFR_TABLE_CSV) {
        status = print_ranks(out, bench, forms[form]);
    }
    if (status == TFR_OK && bench->is_gated && form != TFR_TABLE_CSV) {
        status = print_gate(out, bench, forms[form]);
    }
    if (form == TFR_TABLE_TEXT) {
        fputc('\n', out);
    }
    for (size_t i = 0; form == TFR_TABLE_TEXT && i < bench->n_figures; i++) {
        print_line(out, bench, &bench->figures[i], before);
    }
    return status;
}

enum tfr_status tfr_report_bench(const struct tfr_bench *bench, const struct tfr_bench *before, enum tfr_table_form form,
                                 char **text) {
    FILE *out;
    size_t size;
    if (form == TFR_TABLE_JSON) {
        return tfr_bench_json(bench, before, text);
    }
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    return tfr_memtext_end(out, text, print(out, bench, before, form));
}

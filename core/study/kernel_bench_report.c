/* kernel_bench_report.c - what kernels took, for people: a table, with one line for programs behind it for each kernel of a case;
 * Markdown; CSV. */
#include <inttypes.h>
#include <stdio.h>

#include "base/memtext.h"
#include "base/plural.h"
#include "base/tensor.h"
#include "report/grid.h"
#include "study/bench_document.h"
#include "study/kernel_bench.h"

static void put(struct tfr_grid *grid, const char *format, double value) {
    char text[48];
    snprintf(text, sizeof text, format, value);
    tfr_grid_put(grid, text);
}

static void put_heads(struct tfr_grid *grid, const char *const *heads, size_t n) {
    for (size_t i = 0; i < n; i++) {
        tfr_grid_put(grid, heads[i]);
    }
    grid->n_columns += (int)n;
}

static void put_roof(struct tfr_grid *grid, const struct tfr_kernel_result *result, const struct tfr_kernel_figure *figure) {
    const double share = tfr_kernel_roof_share(result, figure);
    if (result->roof_s <= 0) {
        for (int i = 0; i < 4; i++) {
            tfr_grid_put(grid, "");
        }
        return;
    }
    put(grid, "%.2f", result->roof_s * 1e6);
    put(grid, "%.1f", 100 * share);
    tfr_grid_put(grid, result->is_compute_bound ? "compute" : "memory");
    tfr_grid_put(grid, share > TFR_KERNEL_DOUBTFUL_SHARE ? "doubtful" : "");
}

static void put_figure(struct tfr_grid *grid, const struct tfr_kernel_result *result, const struct tfr_kernel_figure *figure,
                       bool has_roof) {
    const struct tfr_spread *spread = &figure->spread;
    const double times[] = {spread->median, spread->q1, spread->q3, spread->low, spread->high};
    tfr_grid_put(grid, result->of.name);
    tfr_grid_put(grid, figure->kernel);
    tfr_grid_put_count(grid, figure->threads);
    for (size_t t = 0; t < TFR_COUNT_OF(times); t++) {
        put(grid, "%.2f", times[t] * 1e6);
    }
    put(grid, "%.2f", result->flops / spread->median / 1e9);
    put(grid, "%.2f", result->bytes / spread->median / 1e9);
    if (has_roof) {
        put_roof(grid, result, figure);
    }
}

static void fill(struct tfr_grid *grid, const struct tfr_kernel_bench *bench) {
    static const char *const heads[] = {"case",  "kernel",   "threads",   "median us", "q1 us",
                                        "q3 us", "low95 us", "high95 us", "GFLOP/s",   "GB/s"};
    static const char *const roof[] = {"roof us", "% of roof", "roof of", "mark"};
    const bool has_roof = bench->has_roofs;
    put_heads(grid, heads, TFR_COUNT_OF(heads));
    put_heads(grid, roof, has_roof ? TFR_COUNT_OF(roof) : 0);
    for (size_t i = 0; i < bench->n_results; i++) {
        const struct tfr_kernel_result *result = &bench->results[i];
        for (size_t k = 0; k < result->n_served; k++) {
            put_figure(grid, result, &result->figures[k], has_roof);
        }
        if (result->n_served == 0) {
            tfr_grid_put(grid, result->of.name);
            tfr_grid_put(grid, "none serves it");
            for (int c = 2; c < grid->n_columns; c++) {
                tfr_grid_put(grid, "");
            }
        }
    }
}

static enum tfr_status print_refusals(FILE *out, const struct tfr_kernel_bench *bench, enum tfr_grid_form form) {
    static const char *const heads[] = {"case", "not timed", "because"};
    struct tfr_grid grid = {.is_left = 1 | 1 << 1 | 1 << 2};
    fputc('\n', out);
    put_heads(&grid, heads, TFR_COUNT_OF(heads));
    for (size_t i = 0; i < bench->n_results; i++) {
        const struct tfr_kernel_result *result = &bench->results[i];
        for (size_t k = result->n_served; k < result->n_figures; k++) {
            tfr_grid_put(&grid, result->of.name);
            tfr_grid_put(&grid, result->figures[k].kernel);
            tfr_grid_put(&grid, result->figures[k].refusal);
        }
    }
    const enum tfr_status status = tfr_grid_write(&grid, form, out);
    tfr_grid_close(&grid);
    return status;
}

/* The case whose rounds others disturbed most. */
static void print_disturbed(FILE *out, const struct tfr_kernel_bench *bench, const char *line) {
    const struct tfr_kernel_result *worst = &bench->results[0];
    for (size_t i = 1; i < bench->n_results; i++) {
        worst = bench->results[i].waited_percent > worst->waited_percent ? &bench->results[i] : worst;
    }
    if (worst->waited_percent >= TFR_BENCH_DISTURBED_PERCENT) {
        fprintf(out, "%swaited   while others had the cores: up to %.1f %% of the time of a case (%s); doubtful from %d %% on\n",
                line, worst->waited_percent, worst->of.name, TFR_BENCH_DISTURBED_PERCENT);
    }
}

/* The peaks that cases are held against; of those that were not measured the reason why a case has no roof. */
static void print_roofs(FILE *out, const struct tfr_kernel_bench *bench, const char *line) {
    fprintf(out, "%sroofs    ", line);
    for (int i = 0; i < TFR_KERNEL_PEAKS; i++) {
        if (bench->peaks[i].is_used && bench->peaks[i].flop_rate > 0) {
            fprintf(out, "%.1f GFLOP/s in %s, ", bench->peaks[i].flop_rate / 1e9, tfr_kv_dtype_name(bench->peaks[i].dtype));
        }
    }
    fprintf(out, "%.1f GB/s from memory\n", bench->memory_rate / 1e9);
    for (int i = 0; i < TFR_KERNEL_PEAKS; i++) {
        if (bench->peaks[i].is_used && bench->peaks[i].flop_rate <= 0) {
            fprintf(out, "%sno roof  for products in %s: no loop measures the best instructions for them here\n", line,
                    tfr_kv_dtype_name(bench->peaks[i].dtype));
        }
    }
}

static void print_head(FILE *out, const struct tfr_kernel_bench *bench, const char *line) {
    fprintf(out, "%scases    %zu of %s\n%smachine  %s, %d thread%s\n", line, bench->n_results, bench->file, line, bench->machine,
            bench->n_threads, tfr_plural(bench->n_threads));
    fprintf(out,
            "%stimes    of one run, its data in the caches that hold them: medians of %" PRId64
            " rounds, their quartiles and 95 %% "
            "interval\n",
            line, bench->repetitions);
    if (bench->has_roofs) {
        print_roofs(out, bench, line);
    }
    print_disturbed(out, bench, line);
    fputc('\n', out);
}

/* Keys are added, never changed. */
static void print_line(FILE *out, const struct tfr_kernel_result *result, const struct tfr_kernel_figure *figure) {
    const struct tfr_spread *spread = &figure->spread;
    fprintf(out, "tfrun-perf: case=%s kernel=%s threads=%d repetitions=%zu median_us=%.4f q1_us=%.4f q3_us=%.4f ", result->of.name,
            figure->kernel, figure->threads, figure->n_times, spread->median * 1e6, spread->q1 * 1e6, spread->q3 * 1e6);
    fprintf(out, "low95_us=%.4f high95_us=%.4f gflops=%.4f gb_s=%.4f", spread->low * 1e6, spread->high * 1e6,
            result->flops / spread->median / 1e9, result->bytes / spread->median / 1e9);
    if (result->roof_s > 0) {
        const double share = tfr_kernel_roof_share(result, figure);
        fprintf(out, " roof_us=%.4f roof_share=%.6f doubtful=%d", result->roof_s * 1e6, share, share > TFR_KERNEL_DOUBTFUL_SHARE);
    }
    fputc('\n', out);
}

static enum tfr_status print(FILE *out, const struct tfr_kernel_bench *bench, enum tfr_table_form form, bool refusals) {
    static const enum tfr_grid_form forms[] = {
        [TFR_TABLE_TEXT] = TFR_GRID_TEXT, [TFR_TABLE_MD] = TFR_GRID_MARKDOWN, [TFR_TABLE_CSV] = TFR_GRID_CSV};
    struct tfr_grid grid = {.is_left = 1 | 1 << 1 | 1 << 12 | 1 << 13};
    if (form != TFR_TABLE_CSV) {
        print_head(out, bench, form == TFR_TABLE_MD ? "- " : "");
    }
    fill(&grid, bench);
    enum tfr_status status = tfr_grid_write(&grid, forms[form], out);
    tfr_grid_close(&grid);
    if (status == TFR_OK && refusals && form != TFR_TABLE_CSV) {
        status = print_refusals(out, bench, forms[form]);
    }
    for (size_t i = 0; form == TFR_TABLE_TEXT && i < bench->n_results; i++) {
        fputs(i == 0 ? "\n" : "", out);
        for (size_t k = 0; k < bench->results[i].n_served; k++) {
            print_line(out, &bench->results[i], &bench->results[i].figures[k]);
        }
    }
    return status;
}

enum tfr_status tfr_report_kernel_bench(const struct tfr_kernel_bench *bench, enum tfr_table_form form, bool refusals,
                                        char **text) {
    FILE *out;
    size_t size;
    if (form == TFR_TABLE_JSON) {
        return tfr_kernel_bench_json(bench, text);
    }
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    return tfr_memtext_end(out, text, print(out, bench, form, refusals));
}

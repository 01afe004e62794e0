/* bench_report.c - a bench for people: a table, with one line for programs behind it for each case; Markdown; CSV. */
#include <tfrun/study.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "report/grid.h"
#include "study/bench_document.h"

static void put(struct tfr_grid *grid, const char *format, double value) {
    char text[48];
    snprintf(text, sizeof text, format, value);
    tfr_grid_put(grid, text);
}

static void fill(struct tfr_grid *grid, const struct tfr_bench *bench) {
    static const char *const head[] = {"case", "n", "median ms", "q1 ms", "q3 ms", "low95 ms", "high95 ms", "tokens/s", "first ms"};
    for (size_t i = 0; i < TFR_COUNT_OF(head); i++) {
        tfr_grid_put(grid, head[i]);
    }
    grid->n_columns = TFR_COUNT_OF(head);
    for (size_t i = 0; i < bench->n_figures; i++) {
        const struct tfr_bench_figure *figure = &bench->figures[i];
        tfr_grid_put(grid, tfr_bench_kind_name(figure->what.kind));
        tfr_grid_put_count(grid, figure->what.n);
        put(grid, "%.4f", figure->spread.median * 1e3);
        put(grid, "%.4f", figure->spread.q1 * 1e3);
        put(grid, "%.4f", figure->spread.q3 * 1e3);
        put(grid, "%.4f", figure->spread.low * 1e3);
        put(grid, "%.4f", figure->spread.high * 1e3);
        put(grid, "%.1f", figure->tokens / figure->spread.median);
        put(grid, "%.4f", figure->first_s * 1e3);
    }
}

static void print_head(FILE *out, const struct tfr_bench *bench, const char *line) {
    int64_t most = 0;
    for (int rank = 0; rank < bench->n_ranks; rank++) {
        most = bench->peak_memory_bytes[rank] > most ? bench->peak_memory_bytes[rank] : most;
    }
    fprintf(out, "%smodel    %s\n%smachine  %s, %d rank%s, %d thread%s on rank 0\n", line, bench->model, line, bench->machine,
            bench->n_ranks, tfr_plural(bench->n_ranks), bench->n_threads, tfr_plural(bench->n_threads));
    fprintf(out, "%sstart    opened in %.3f s, first token %.3f s later; peak memory %.0f MB%s; digest %016" PRIx64 "\n", line,
            bench->load_s, bench->first_token_s, (double)most / 1e6, bench->n_ranks > 1 ? " of the largest rank" : "",
            bench->logits_digest);
    fprintf(out,
            "%stimes    medians of %" PRId64 " rounds, their quartiles and 95 %% interval: a step, a prompt, a token of every "
            "sequence\n\n",
            line, bench->repetitions);
}

/* Read by JUBE, ReFrame and scripts: keys are added, never changed. */
static void print_line(FILE *out, const struct tfr_bench *bench, const struct tfr_bench_figure *figure) {
    const struct tfr_spread *spread = &figure->spread;
    fprintf(out, "tfrun-perf: case=%s n=%" PRId64 " ranks=%d threads=%d repetitions=%zu median_ms=%.6f q1_ms=%.6f q3_ms=%.6f ",
            tfr_bench_kind_name(figure->what.kind), figure->what.n, bench->n_ranks, bench->n_threads, figure->n_times,
            spread->median * 1e3, spread->q1 * 1e3, spread->q3 * 1e3);
    fprintf(out, "low95_ms=%.6f high95_ms=%.6f tokens_per_s=%.3f first_ms=%.6f digest=%016" PRIx64 "\n", spread->low * 1e3,
            spread->high * 1e3, figure->tokens / spread->median, figure->first_s * 1e3, bench->logits_digest);
}

static enum tfr_status print(FILE *out, const struct tfr_bench *bench, enum tfr_table_form form) {
    static const enum tfr_grid_form forms[] = {
        [TFR_TABLE_TEXT] = TFR_GRID_TEXT, [TFR_TABLE_MD] = TFR_GRID_MARKDOWN, [TFR_TABLE_CSV] = TFR_GRID_CSV};
    struct tfr_grid grid = {.is_left = 1};
    if (form != TFR_TABLE_CSV) {
        print_head(out, bench, form == TFR_TABLE_MD ? "- " : "");
    }
    fill(&grid, bench);
    const enum tfr_status status = tfr_grid_write(&grid, forms[form], out);
    tfr_grid_close(&grid);
    if (form == TFR_TABLE_TEXT) {
        fputc('\n', out);
    }
    for (size_t i = 0; form == TFR_TABLE_TEXT && i < bench->n_figures; i++) {
        print_line(out, bench, &bench->figures[i]);
    }
    return status;
}

enum tfr_status tfr_report_bench(const struct tfr_bench *bench, enum tfr_table_form form, char **text) {
    FILE *out;
    size_t size;
    if (form == TFR_TABLE_JSON) {
        return tfr_bench_json(bench, text);
    }
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    const enum tfr_status status = print(out, bench, form), closed = tfr_memtext_close(out, text);
    if (status != TFR_OK && closed == TFR_OK) {
        tfr_free(*text);
        *text = NULL;
    }
    return status != TFR_OK ? status : closed;
}

/* scaling_report.c - joined benches as a table, Markdown, CSV or JSON ("schema": "tfrun-scaling-1"): one row for each comparison.
 */
#include <tfrun/study.h>

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/memtext.h"
#include "report/grid.h"
#include "study/scaling.h"

/* Of sequences that grow with the cores there is something to say only where there are fewer to compare with. */
static bool has_row(const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    const struct tfr_scaling_point *base = point->base[kind];
    return base != NULL && (kind == TFR_SCALING_STRONG || base->cores < point->cores);
}

struct place {
    int kind;
    size_t point;
};

/* The first row at or behind a place, which is moved there. */
static bool find_row(const struct tfr_scaling *scaling, struct place *at) {
    for (; at->kind < TFR_SCALING_KINDS; at->kind++, at->point = 0) {
        for (; at->point < scaling->n; at->point++) {
            if (has_row(&scaling->points[at->point], (enum tfr_scaling_kind)at->kind)) {
                return true;
            }
        }
    }
    return false;
}

static void put(struct tfr_grid *grid, const char *format, double value) {
    char text[48];
    snprintf(text, sizeof text, format, value);
    tfr_grid_put(grid, text);
}

static void put_if(struct tfr_grid *grid, bool is_known, double value) {
    if (is_known) {
        put(grid, "%.3f", value);
    } else {
        tfr_grid_put(grid, "");
    }
}

static void put_shares(struct tfr_grid *grid, const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    double balance = 0, communication = 0, computation = 0;
    const bool has_shares = tfr_scaling_shares(point, &balance, &communication);
    const bool has_computation = tfr_scaling_computation(point, kind, &computation);
    put_if(grid, has_shares, balance);
    put_if(grid, has_shares, communication);
    put_if(grid, has_computation, computation);
}

static void put_row(struct tfr_grid *grid, const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    const struct tfr_scaling_gain gain = tfr_scaling_gain(point, kind);
    tfr_grid_put(grid, tfr_scaling_kind_name(kind));
    tfr_grid_put(grid, tfr_bench_kind_name(point->figure->what.kind));
    tfr_grid_put(grid, tfr_scaling_source(point));
    tfr_grid_put(grid, point->settings);
    tfr_grid_put_count(grid, point->figure->what.n);
    tfr_grid_put_count(grid, point->bench->n_ranks);
    tfr_grid_put_count(grid, point->bench->n_threads);
    tfr_grid_put(grid, point->crowded ? "shared" : "own");
    tfr_grid_put_count(grid, point->bench->n_more_runs + 1);
    tfr_grid_put_count(grid, point->base[kind]->cores);
    put(grid, "%.4f", point->figure->spread.median * 1e3);
    put(grid, "%.1f", point->figure->tokens / point->figure->spread.median);
    put(grid, "%.3f", gain.speedup);
    put(grid, "%.3f", gain.low);
    put(grid, "%.3f", gain.high);
    put(grid, "%.3f", gain.efficiency);
    put_if(grid, gain.has_serial, gain.serial_fraction);
    put_shares(grid, point, kind);
}

static void fill(struct tfr_grid *grid, const struct tfr_scaling *scaling) {
    static const char *const heads[] = {"kind",       "case",     "source",   "settings",      "n",
                                        "ranks",      "threads",  "cores",    "runs",          "base",
                                        "median ms",  "tokens/s", "speed-up", "low",           "high",
                                        "efficiency", "serial",   "balance",  "communication", "computation"};
    grid->n_columns = TFR_COUNT_OF(heads);
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        tfr_grid_put(grid, heads[i]);
    }
    for (struct place at = {0}; find_row(scaling, &at); at.point++) {
        put_row(grid, &scaling->points[at.point], (enum tfr_scaling_kind)at.kind);
    }
}

static void put_point(struct tfr_json_out *out, const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    const struct tfr_scaling_gain gain = tfr_scaling_gain(point, kind);
    const struct tfr_spread *spread = &point->figure->spread;
    double balance, communication, computation;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "kind", tfr_scaling_kind_name(kind));
    tfr_json_put_text(out, "case", tfr_bench_kind_name(point->figure->what.kind));
    tfr_json_put_int(out, "n", point->figure->what.n);
    tfr_json_put_text(out, "source", tfr_scaling_source(point));
    tfr_json_put_text(out, "settings", point->settings);
    tfr_json_put_int(out, "ranks", point->bench->n_ranks);
    tfr_json_put_int(out, "threads", point->bench->n_threads);
    tfr_json_put_bool(out, "shares_cores", point->crowded);
    tfr_json_put_int(out, "runs", point->bench->n_more_runs + 1);
    tfr_json_put_int(out, "base_cores", point->base[kind]->cores);
    tfr_json_put_number(out, "median_ms", spread->median * 1e3);
    tfr_json_put_number(out, "low95_ms", spread->low * 1e3);
    tfr_json_put_number(out, "high95_ms", spread->high * 1e3);
    tfr_json_put_number(out, "tokens_per_s", point->figure->tokens / spread->median);
    tfr_json_put_number(out, "speedup", gain.speedup);
    tfr_json_put_number(out, "speedup_low", gain.low);
    tfr_json_put_number(out, "speedup_high", gain.high);
    tfr_json_put_number(out, "efficiency", gain.efficiency);
    if (gain.has_serial) {
        tfr_json_put_number(out, "serial_fraction", gain.serial_fraction);
    }
    if (tfr_scaling_shares(point, &balance, &communication)) {
        tfr_json_put_number(out, "load_balance", balance);
        tfr_json_put_number(out, "communication_efficiency", communication);
    }
    if (tfr_scaling_computation(point, kind, &computation)) {
        tfr_json_put_number(out, "computation_efficiency", computation);
    }
    tfr_json_end(out, '}');
}

static enum tfr_status write_json(const struct tfr_scaling *scaling, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-scaling-1");
    tfr_json_put_text(&out, "model", scaling->points[0].bench->model);
    tfr_json_begin(&out, "points", '[');
    for (struct place at = {0}; find_row(scaling, &at); at.point++) {
        put_point(&out, &scaling->points[at.point], (enum tfr_scaling_kind)at.kind);
    }
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

/* Whether a point before this one is of the same model and machine, told apart by what was measured on them. */
static bool was_told(const struct tfr_scaling *scaling, size_t i) {
    const struct tfr_bench *bench = scaling->points[i].bench, *other;
    for (size_t before = 0; before < i; before++) {
        other = scaling->points[before].bench;
        if (strcmp(other->model, bench->model) == 0 && strcmp(other->machine, bench->machine) == 0 &&
            strcmp(other->manifest.facts[TFR_FACT_HOST], bench->manifest.facts[TFR_FACT_HOST]) == 0) {
            return true;
        }
    }
    return false;
}

/* Model and machine of the points, and the day of the first of each: what a table alone would not tell. */
static void put_head(FILE *out, const struct tfr_scaling *scaling, const char *line_end) {
    for (size_t i = 0; i < scaling->n; i++) {
        const struct tfr_bench *bench = scaling->points[i].bench;
        char *const *facts = bench->manifest.facts;
        if (!was_told(scaling, i)) {
            fprintf(out, "%s; %s on %s (%s cores), %.10s, tfrun %s%s", bench->model, bench->machine, facts[TFR_FACT_HOST],
                    facts[TFR_FACT_CORES], facts[TFR_FACT_MEASURED_AT], facts[TFR_FACT_VERSION], line_end);
        }
    }
    fprintf(out, "\n");
}

enum tfr_status tfr_report_scaling(const struct tfr_scaling *scaling, enum tfr_table_form form, char **text) {
    static const enum tfr_grid_form forms[] = {
        [TFR_TABLE_TEXT] = TFR_GRID_TEXT, [TFR_TABLE_MD] = TFR_GRID_MARKDOWN, [TFR_TABLE_CSV] = TFR_GRID_CSV};
    struct tfr_grid grid = {.is_left = 0x8F}; /* words: kind, case, source, settings; cores */
    FILE *out;
    size_t size;
    if (form == TFR_TABLE_JSON) {
        return write_json(scaling, text);
    }
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    if (form != TFR_TABLE_CSV) {
        put_head(out, scaling, form == TFR_TABLE_MD ? "\n\n" : "\n");
    }
    fill(&grid, scaling);
    const enum tfr_status status = tfr_grid_write(&grid, forms[form], out);
    tfr_grid_close(&grid);
    return tfr_memtext_end(out, text, status);
}

/* scaling_report.c - joined benches as a table, Markdown, CSV or JSON ("schema": "tfrun-scaling-1"): one row for each comparison.
 */
#include <tfrun/study.h>

#include <stdio.h>

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

static void put(struct tfr_grid *grid, const char *format, double value) {
    char text[48];
    snprintf(text, sizeof text, format, value);
    tfr_grid_put(grid, text);
}

static void put_shares(struct tfr_grid *grid, const struct tfr_scaling_point *point) {
    double balance, communication;
    if (tfr_scaling_shares(point, &balance, &communication)) {
        put(grid, "%.3f", balance);
        put(grid, "%.3f", communication);
    } else {
        tfr_grid_put(grid, "");
        tfr_grid_put(grid, "");
    }
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
    tfr_grid_put_count(grid, point->base[kind]->cores);
    put(grid, "%.4f", point->figure->spread.median * 1e3);
    put(grid, "%.1f", point->figure->tokens / point->figure->spread.median);
    put(grid, "%.3f", gain.speedup);
    put(grid, "%.3f", gain.low);
    put(grid, "%.3f", gain.high);
    put(grid, "%.3f", gain.efficiency);
    if (gain.has_serial) {
        put(grid, "%.3f", gain.serial_fraction);
    } else {
        tfr_grid_put(grid, "");
    }
    put_shares(grid, point);
}

static void fill(struct tfr_grid *grid, const struct tfr_scaling *scaling) {
    static const char *const heads[] = {"kind",   "case",      "source",       "settings", "n",   "ranks", "threads",
                                        "base",   "median ms", "tokens/s",     "speed-up", "low", "high",  "efficiency",
                                        "serial", "balance",   "communication"};
    grid->n_columns = TFR_COUNT_OF(heads);
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        tfr_grid_put(grid, heads[i]);
    }
    for (int kind = 0; kind < TFR_SCALING_KINDS; kind++) {
        for (size_t i = 0; i < scaling->n; i++) {
            if (has_row(&scaling->points[i], (enum tfr_scaling_kind)kind)) {
                put_row(grid, &scaling->points[i], (enum tfr_scaling_kind)kind);
            }
        }
    }
}

static void put_point(struct tfr_json_out *out, const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    const struct tfr_scaling_gain gain = tfr_scaling_gain(point, kind);
    const struct tfr_spread *spread = &point->figure->spread;
    double balance, communication;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "kind", tfr_scaling_kind_name(kind));
    tfr_json_put_text(out, "case", tfr_bench_kind_name(point->figure->what.kind));
    tfr_json_put_int(out, "n", point->figure->what.n);
    tfr_json_put_text(out, "source", tfr_scaling_source(point));
    tfr_json_put_text(out, "settings", point->settings);
    tfr_json_put_int(out, "ranks", point->bench->n_ranks);
    tfr_json_put_int(out, "threads", point->bench->n_threads);
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
    tfr_json_end(out, '}');
}

static enum tfr_status write_json(const struct tfr_scaling *scaling, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-scaling-1");
    tfr_json_put_text(&out, "model", scaling->points[0].bench->model);
    tfr_json_begin(&out, "points", '[');
    for (int kind = 0; kind < TFR_SCALING_KINDS; kind++) {
        for (size_t i = 0; i < scaling->n; i++) {
            if (has_row(&scaling->points[i], (enum tfr_scaling_kind)kind)) {
                put_point(&out, &scaling->points[i], (enum tfr_scaling_kind)kind);
            }
        }
    }
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

enum tfr_status tfr_report_scaling(const struct tfr_scaling *scaling, enum tfr_table_form form, char **text) {
    static const enum tfr_grid_form forms[] = {
        [TFR_TABLE_TEXT] = TFR_GRID_TEXT, [TFR_TABLE_MD] = TFR_GRID_MARKDOWN, [TFR_TABLE_CSV] = TFR_GRID_CSV};
    struct tfr_grid grid = {.is_left = 15}; /* words: kind, case, source, settings */
    FILE *out;
    size_t size;
    if (form == TFR_TABLE_JSON) {
        return write_json(scaling, text);
    }
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    fill(&grid, scaling);
    const enum tfr_status status = tfr_grid_write(&grid, forms[form], out);
    tfr_grid_close(&grid);
    const enum tfr_status closed = tfr_memtext_close(out, text);
    if (status != TFR_OK && closed == TFR_OK) {
        tfr_free(*text);
        *text = NULL;
    }
    return status != TFR_OK ? status : closed;
}

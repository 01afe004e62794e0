/* cost_text.c - `tfrun cost` for people: numbers and formulas, as table, Markdown, CSV.
 */
#include <string.h>

#include <tfrun/tfrun.h>

#include "base/plural.h"
#include "base/status.h"
#include "base/tensor.h"
#include "report/cost_report.h"
#include "report/grid.h"

enum { FORMULA_TEXT = TFR_POLY_TEXT };

static void put_number(struct tfr_grid *grid, tfr_int128 value, bool is_here, char separator) {
    char text[TFR_INT128_TEXT];
    tfr_grid_put(grid, is_here ? tfr_int128_text(value, separator, text) : "");
}

static void put_name(struct tfr_grid *grid, const struct tfr_cost_row *row) {
    char name[160], copies[32] = "";
    const char *last = strrchr(row->name, '.'), *shown = row->depth > 0 && last != NULL ? last + 1 : row->name;
    if (row->copies > 1) {
        snprintf(copies, sizeof copies, " x %lld", (long long)row->copies);
    }
    const char *itself = strchr(row->name, ' ');
    snprintf(name, sizeof name, "%*s%s%s", 2 * row->depth, "",
             row->copies > 1        ? "h.N"
             : row->filter.is_exact ? itself + 1
                                    : shown,
             copies);
    tfr_grid_put(grid, name);
}

/* The only kernel of the reference of an op with the same name: that line says it all. */
static bool is_repeated(const struct tfr_cost_report *report, int i) {
    const struct tfr_cost_row *row = &report->rows[i];
    const bool is_only = i > 0 && row->depth == 1 && row[-1].depth == 0 && row[1].depth == 0;
    return report->query->level == TFR_COST_KERNEL && is_only && strcmp(row->name, row[-1].name) == 0;
}

static void put_side(struct tfr_grid *grid, const struct tfr_cost_row *row, enum tfr_account_side side, char separator) {
    const struct tfr_amount *amount = &row->side[side].amount;
    const bool is_here = row->side[side].n > 0 || row->is_total;
    put_number(grid, row->side[side].n, is_here, separator);
    put_number(grid, amount->flops, is_here, separator);
    if (side == TFR_REFERENCE) {
        put_number(grid, amount->visible_flops, is_here, separator);
    }
    put_number(grid, amount->read, is_here, separator);
    put_number(grid, amount->written, is_here, separator);
}

static enum tfr_status write_numbers(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream) {
    static const char *const heads[] = {"reference: n", "FLOPs", "of visible pairs", "bytes read",   "bytes written",
                                        "executed: n",  "FLOPs", "bytes read",       "bytes written"};
    const bool is_module = report->query->level == TFR_COST_MODULE;
    struct tfr_grid grid = {.n_columns = 10 + is_module, .is_left = is_module ? 3 : 1};
    tfr_grid_put(&grid, is_module ? "module" : "kernel");
    if (is_module) {
        tfr_grid_put(&grid, "class");
    }
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        tfr_grid_put(&grid, heads[i]);
    }
    tfr_grid_rule(&grid);
    for (int i = 0; i < report->n_rows; i++) {
        const struct tfr_cost_row *row = &report->rows[i];
        if (is_repeated(report, i)) {
            continue;
        }
        if (row->is_total) {
            tfr_grid_rule(&grid);
        }
        put_name(&grid, row);
        if (is_module) {
            tfr_grid_put(&grid, row->is_total ? "" : row->note);
        }
        put_side(&grid, row, TFR_REFERENCE, ',');
        put_side(&grid, row, TFR_EXECUTED, ',');
    }
    const enum tfr_status status = tfr_grid_write(&grid, form, stream);
    tfr_grid_close(&grid);
    return status;
}

static void write_formula(const struct tfr_cost_report *report, FILE *stream, enum tfr_grid_form form, const char *what,
                          const struct tfr_poly *poly) {
    char text[FORMULA_TEXT];
    tfr_cost_formula(report, poly, text, sizeof text);
    fprintf(stream, form == TFR_GRID_MARKDOWN ? "- %s: `%s`\n" : "  %-22s %s\n", what, text);
}

static enum tfr_status write_row_formulas(const struct tfr_cost_report *report, const struct tfr_cost_row *row,
                                          enum tfr_grid_form form, FILE *stream) {
    const bool is_markdown = form == TFR_GRID_MARKDOWN;
    for (int side = 0; side < TFR_ACCOUNT_SIDES; side++) {
        if (row->side[side].n == 0) {
            continue;
        }
        struct tfr_account_filter filter = row->filter;
        struct tfr_formula all;
        filter.side = (enum tfr_account_side)side;
        TFR_TRY(tfr_account_sum_poly(report->account, &filter, side == TFR_EXECUTED, &all));
        fprintf(stream, is_markdown ? "\n**%s%s%s, %s%s**\n\n" : "\n%s%s%s, %s%s\n", row->name, row->note != NULL ? ": " : "",
                row->note != NULL ? row->note : "", tfr_cost_side_name(filter.side),
                strstr(row->path, ".h.N") != NULL ? ", all blocks together" : "");
        write_formula(report, stream, form, "FLOPs", &all.flops);
        if (side == TFR_REFERENCE) {
            struct tfr_formula visible;
            TFR_TRY(tfr_account_sum_poly(report->account, &filter, true, &visible));
            if (!tfr_poly_equal(&visible.flops, &all.flops)) {
                write_formula(report, stream, form, "FLOPs of visible pairs", &visible.flops);
            }
        }
        write_formula(report, stream, form, "bytes read", &all.read);
        write_formula(report, stream, form, "bytes written", &all.written);
    }
    return TFR_OK;
}

static enum tfr_status write_formulas(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream) {
    char hold[TFR_COST_HOLD_TEXT];
    tfr_cost_formulas_hold(report, hold, sizeof hold);
    fprintf(stream, "\nformulas hold where %s\n", hold);
    for (int i = 0; i < report->n_rows; i++) {
        if (!is_repeated(report, i)) {
            TFR_TRY(write_row_formulas(report, &report->rows[i], form, stream));
        }
    }
    return TFR_OK;
}

/* Formulas of what each rank does, and of what it sends. */
static enum tfr_status write_rank_formulas(const struct tfr_cost_report *report, enum tfr_grid_form form, FILE *stream) {
    for (int i = 0; i < 2 * report->query->n_ranks; i++) {
        struct tfr_cost_row row;
        TFR_TRY(tfr_cost_rank_row(report, i / 2, i % 2 != 0, &row));
        TFR_TRY(write_row_formulas(report, &row, form, stream));
    }
    return TFR_OK;
}

static enum tfr_status write_csv(const struct tfr_cost_report *report, FILE *stream);

enum tfr_status tfr_cost_report_text(const struct tfr_cost_report *report, FILE *stream) {
    const struct tfr_cost_query *query = report->query;
    const enum tfr_grid_form form = query->format == TFR_COST_MARKDOWN ? TFR_GRID_MARKDOWN : TFR_GRID_TEXT;
    if (query->format == TFR_COST_CSV) {
        return write_csv(report, stream);
    }
    TFR_TRY(tfr_cost_report_head(report, form == TFR_GRID_MARKDOWN ? "  \n" : "\n", stream));
    if (query->form != TFR_COST_SYMBOLIC) {
        TFR_TRY(write_numbers(report, form, stream));
    }
    if (query->form != TFR_COST_SYMBOLIC && query->n_ranks > 1) {
        TFR_TRY(tfr_cost_report_ranks(report, form, stream));
    }
    if (query->form == TFR_COST_NUMERIC) {
        return TFR_OK;
    }
    TFR_TRY(write_formulas(report, form, stream));
    return query->n_ranks > 1 ? write_rank_formulas(report, form, stream) : TFR_OK;
}

static enum tfr_status put_csv_side(const struct tfr_cost_report *report, const struct tfr_cost_row *row,
                                    enum tfr_account_side side, struct tfr_grid *grid) {
    const struct tfr_amount *amount = &row->side[side].amount;
    const tfr_int128 numbers[] = {row->side[side].n, amount->flops, amount->visible_flops, amount->read, amount->written};
    tfr_grid_put(grid, row->name);
    tfr_grid_put_count(grid, row->depth);
    tfr_grid_put(grid, tfr_cost_side_name(side));
    for (size_t i = 0; i < TFR_COUNT_OF(numbers) && report->query->form != TFR_COST_SYMBOLIC; i++) {
        put_number(grid, numbers[i], true, '\0');
    }
    if (report->query->form == TFR_COST_NUMERIC) {
        return TFR_OK;
    }
    struct tfr_account_filter filter = row->filter;
    struct tfr_formula all, visible;
    filter.side = side;
    TFR_TRY(tfr_account_sum_poly(report->account, &filter, side == TFR_EXECUTED, &all));
    TFR_TRY(tfr_account_sum_poly(report->account, &filter, true, &visible));
    const struct tfr_poly *formulas[] = {&all.flops, &visible.flops, &all.read, &all.written};
    for (size_t i = 0; i < TFR_COUNT_OF(formulas); i++) {
        char text[FORMULA_TEXT];
        tfr_grid_put(grid, tfr_cost_formula(report, formulas[i], text, sizeof text));
    }
    return TFR_OK;
}

/* Behind the total: lines "rank 0", "rank 0 sends", executed. */
static enum tfr_status put_csv_ranks(const struct tfr_cost_report *report, struct tfr_grid *grid) {
    for (int i = 0; i < 2 * report->query->n_ranks && report->query->n_ranks > 1; i++) {
        struct tfr_cost_row row;
        TFR_TRY(tfr_cost_rank_row(report, i / 2, i % 2 != 0, &row));
        TFR_TRY(put_csv_side(report, &row, TFR_EXECUTED, grid));
    }
    return TFR_OK;
}

static enum tfr_status write_csv(const struct tfr_cost_report *report, FILE *stream) {
    static const char *const names[] = {"name", "depth", "side"},
                             *const numbers[] = {"n", "flops", "flops_visible", "bytes_read", "bytes_written"},
                             *const formulas[] = {"flops_formula", "flops_visible_formula", "bytes_read_formula",
                                                  "bytes_written_formula"};
    const enum tfr_cost_form form = report->query->form;
    struct tfr_grid grid = {.n_columns = 3 + (form != TFR_COST_SYMBOLIC ? 5 : 0) + (form != TFR_COST_NUMERIC ? 4 : 0)};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        tfr_grid_put(&grid, names[i]);
    }
    for (size_t i = 0; i < TFR_COUNT_OF(numbers) && form != TFR_COST_SYMBOLIC; i++) {
        tfr_grid_put(&grid, numbers[i]);
    }
    for (size_t i = 0; i < TFR_COUNT_OF(formulas) && form != TFR_COST_NUMERIC; i++) {
        tfr_grid_put(&grid, formulas[i]);
    }
    enum tfr_status status = TFR_OK;
    for (int i = 0; i < report->n_rows && status == TFR_OK; i++) {
        for (int side = 0; side < TFR_ACCOUNT_SIDES && status == TFR_OK; side++) {
            if (report->rows[i].side[side].n > 0 || report->rows[i].is_total) {
                status = put_csv_side(report, &report->rows[i], (enum tfr_account_side)side, &grid);
            }
        }
    }
    status = status == TFR_OK ? put_csv_ranks(report, &grid) : status;
    status = status == TFR_OK ? tfr_grid_write(&grid, TFR_GRID_CSV, stream) : status;
    tfr_grid_close(&grid);
    return status;
}

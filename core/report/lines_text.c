/* lines_text.c - `tfrun cost --level line` on a terminal and as CSV. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "report/grid.h"
#include "report/lines_view.h"

static void put_head(struct tfr_grid *grid, const char *const *names, int n) {
    for (int i = 0; i < n; i++) {
        tfr_grid_put(grid, names[i]);
    }
}

static void put_counts(struct tfr_grid *grid, const struct tfr_line_counts *counts, char separator) {
    char text[TFR_INT128_TEXT];
    for (int i = 0; i < TFR_LINES_AMOUNTS; i++) {
        tfr_grid_put(grid, tfr_int128_text(tfr_lines_count(counts, (enum tfr_lines_amount)i), separator, text));
    }
}

static void put_row(const struct tfr_lines_view *view, const struct tfr_lines_row *row, struct tfr_grid *grid) {
    char range[32];
    tfr_grid_put(grid, tfr_lines_range(row->row, range, sizeof range));
    tfr_grid_put(grid, tfr_lines_kind(row));
    if (view->numbers) {
        put_counts(grid, &row->counts, ',');
    }
    char operation[192];
    snprintf(operation, sizeof operation, "%s%s%s", row->row->step->operation, row->skipped != NULL ? "; skipped: " : "",
             row->skipped != NULL ? row->skipped : "");
    tfr_grid_put(grid, operation);
}

static enum tfr_status write_rows(const struct tfr_lines_view *view, FILE *stream) {
    static const char *const with[] = {"lines", "kind", "FLOPs", "bytes read", "bytes written", "operation"}, *const without[] = {
                                                                                                                  "lines", "kind",
                                                                                                                  "operation"};
    struct tfr_grid grid = {.n_columns = view->numbers ? 6 : 3, .is_left = view->numbers ? 0x23 : 7};
    put_head(&grid, view->numbers ? with : without, grid.n_columns);
    tfr_grid_rule(&grid);
    for (int i = 0; i < view->source.n_rows; i++) {
        put_row(view, &view->rows[i], &grid);
    }
    if (view->numbers) {
        tfr_grid_rule(&grid);
        put_head(&grid, (const char *const[]){"all", ""}, 2);
        put_counts(&grid, &view->counts, ',');
        tfr_grid_put(&grid, "");
    }
    const enum tfr_status status = tfr_grid_write(&grid, TFR_GRID_TEXT, stream);
    tfr_grid_close(&grid);
    return status;
}

/* The three amounts of a sum; one line where they are the same references. */
static enum tfr_status write_sum(const struct tfr_lines_view *view, const struct tfr_line_sum *sum, FILE *stream) {
    for (int i = 0; i < TFR_LINES_AMOUNTS; i++) {
        const enum tfr_lines_amount amount = (enum tfr_lines_amount)i;
        const bool is_one = sum->flops.n_terms + sum->read.n_terms + sum->written.n_terms == 0;
        char *text = tfr_lines_formula(view, sum, amount);
        if (text == NULL) {
            return TFR_RESOURCE;
        }
        fprintf(stream, "  %-14s %s\n", is_one ? "cost" : tfr_lines_amount_name(amount), text);
        tfr_free(text);
        if (is_one) {
            break;
        }
    }
    return TFR_OK;
}

static enum tfr_status write_formulas(const struct tfr_lines_view *view, FILE *stream) {
    for (int i = 0; i < view->source.n_rows; i++) {
        const struct tfr_lines_row *row = &view->rows[i];
        char range[32];
        if (!tfr_lines_is_free(&row->sum)) {
            fprintf(stream, "\n%s %s\n", tfr_lines_range(row->row, range, sizeof range), row->row->step->operation);
            TFR_TRY(write_sum(view, &row->sum, stream));
        }
    }
    fputs("\nall lines\n", stream);
    TFR_TRY(write_sum(view, &view->sum, stream));
    if (view->sum.n_refs > 0) {
        fputs("\nall lines, down to ops\n", stream);
        TFR_TRY(write_sum(view, &view->whole, stream));
    }
    char text[TFR_POLY_TEXT];
    if (view->has_causal) {
        fprintf(stream, "  %-14s %s\n", "of visible", tfr_cost_formula(view->report, &view->causal, text, sizeof text));
    }
    return TFR_OK;
}

static void write_heading(const struct tfr_lines_view *view, FILE *stream) {
    char release[64], file[160], place[96];
    fprintf(stream, "%s: %s, %s, %s\n", view->source.qualified, tfr_lines_release(view, release, sizeof release),
            tfr_lines_file(&view->source, file, sizeof file), tfr_lines_place(view, place, sizeof place));
    fprintf(stream, "path: inference, %s attention%s%s, logits of %s; tensors of %s\n",
            (view->path.bits & (uint32_t)TFR_ON(FUSED)) != 0 ? "fused" : "eager",
            (view->path.bits & (uint32_t)TFR_ON(PAST)) != 0 ? ", keys and values of earlier tokens given" : ", nothing cached yet",
            (view->path.bits & (uint32_t)TFR_ON(CROSS)) != 0 ? ", encoder states given" : "",
            view->path.only_last ? "the last position" : "all positions", tfr_lines_dtype(view));
    if (view->without_value != NULL) {
        fprintf(stream, "formulas alone: it is called in several places, so that %s has no one value\n", view->without_value);
    }
    if (view->numbers) {
        char text[TFR_INT128_TEXT];
        fputs("with", stream);
        for (int i = 0; i < tfr_lines_n_args(view); i++) {
            fprintf(stream, "%s %s %s", i > 0 ? "," : "", tfr_dim_name(view->info.arg[i]),
                    tfr_int128_text(view->value[view->info.arg[i]], ',', text));
        }
        fputc('\n', stream);
    }
    fputs("counted: + - * / max compare exp tanh erf log sqrt rsqrt are one FLOP, a multiply-add two, selecting none; bytes of "
          "what each "
          "kernel of PyTorch reads and writes, nothing fused\n\n",
          stream);
}

enum tfr_status tfr_lines_write_table(const struct tfr_lines_view *view, FILE *stream) {
    char text[TFR_INT128_TEXT];
    write_heading(view, stream);
    TFR_TRY(write_rows(view, stream));
    if (view->numbers && view->has_causal) {
        fprintf(stream, "\nFLOPs of visible pairs (query, key) alone: %s\n", tfr_int128_text(view->causal_flops, ',', text));
    }
    return view->formulas ? write_formulas(view, stream) : TFR_OK;
}

static enum tfr_status put_csv_formulas(const struct tfr_lines_view *view, const struct tfr_line_sum *sum, struct tfr_grid *grid) {
    for (int i = 0; i < TFR_LINES_AMOUNTS; i++) {
        char *text = tfr_lines_formula(view, sum, (enum tfr_lines_amount)i);
        if (text == NULL) {
            return TFR_RESOURCE;
        }
        tfr_grid_put(grid, text);
        tfr_free(text);
    }
    return TFR_OK;
}

static void put_csv_counts(const struct tfr_line_counts *counts, tfr_int128 causal_flops, struct tfr_grid *grid) {
    char text[TFR_INT128_TEXT];
    put_counts(grid, counts, '\0');
    tfr_grid_put(grid, tfr_int128_text(causal_flops, '\0', text));
}

static enum tfr_status put_csv_row(const struct tfr_lines_view *view, const struct tfr_lines_row *row, struct tfr_grid *grid) {
    char first[16], last[16];
    snprintf(first, sizeof first, "%d", row->row->first);
    snprintf(last, sizeof last, "%d", row->row->last);
    put_head(grid, (const char *const[]){first, last, tfr_lines_kind(row), row->row->step->operation}, 4);
    tfr_grid_put(grid, row->skipped != NULL ? row->skipped : "");
    if (view->numbers) {
        put_csv_counts(&row->counts, row->causal_flops, grid);
    }
    return view->formulas ? put_csv_formulas(view, &row->sum, grid) : TFR_OK;
}

static enum tfr_status put_csv_total(const struct tfr_lines_view *view, struct tfr_grid *grid) {
    put_head(grid, (const char *const[]){"", "", "total", "all lines", ""}, 5);
    if (view->numbers) {
        put_csv_counts(&view->counts, view->causal_flops, grid);
    }
    return view->formulas ? put_csv_formulas(view, &view->sum, grid) : TFR_OK;
}

enum tfr_status tfr_lines_write_csv(const struct tfr_lines_view *view, FILE *stream) {
    static const char *const names[] = {"first", "last", "kind", "operation", "skipped"},
                             *const numbers[] = {"flops", "bytes_read", "bytes_written", "flops_visible"},
                             *const formulas[] = {"flops_formula", "bytes_read_formula", "bytes_written_formula"};
    struct tfr_grid grid = {.n_columns = 5 + (view->numbers ? 4 : 0) + (view->formulas ? 3 : 0)};
    put_head(&grid, names, 5);
    put_head(&grid, numbers, view->numbers ? 4 : 0);
    put_head(&grid, formulas, view->formulas ? 3 : 0);
    enum tfr_status status = TFR_OK;
    for (int i = 0; i < view->source.n_rows && status == TFR_OK; i++) {
        status = put_csv_row(view, &view->rows[i], &grid);
    }
    status = status == TFR_OK ? put_csv_total(view, &grid) : status;
    status = status == TFR_OK ? tfr_grid_write(&grid, TFR_GRID_CSV, stream) : status;
    tfr_grid_close(&grid);
    return status;
}

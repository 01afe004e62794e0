/* lines_page.c - `tfrun cost --level line --format md`: a class as a page of the book docs/cost: where it stands, the path taken,
 * variables, every line, sums, kernels. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "report/lines_view.h"

static void write_number(tfr_int128 value, FILE *stream) {
    char text[TFR_INT128_TEXT];
    fputs(tfr_int128_text(value, ',', text), stream);
}

static enum tfr_status write_where(const struct tfr_lines_view *view, FILE *stream) {
    const char *page = tfr_line_page(view->cls, view->path.bits);
    char release[64], file[160], *own = tfr_lines_own_reference(view);
    if (own == NULL) {
        return TFR_RESOURCE;
    }
    fprintf(stream, "# %s: what its forward costs\n\n`%s`: %s.\n\n", page, view->source.qualified, view->info.what);
    fprintf(stream, "- **Stands in** `%s` of %s: %s in line %d, the lines that run in %d-%d\n",
            tfr_lines_file(&view->source, file, sizeof file), tfr_lines_release(view, release, sizeof release),
            tfr_lines_is_function(view) ? "a function" : "class", view->source.class_line, view->source.first, view->source.last);
    fprintf(stream, "- **Others refer to it** as `%s`\n- **Takes** %s\n", own, view->info.inputs);
    tfr_free(own);
    return TFR_OK;
}

/* Bits that a row of this class asks for, in words, each once. */
static void write_path(const struct tfr_lines_view *view, FILE *stream) {
    const uint32_t bits = tfr_line_bits(&view->path, view->cls);
    uint32_t asked = 0;
    for (int i = 0; i < view->source.n_rows; i++) {
        const tfr_line_when when = view->rows[i].row->step->when;
        asked |= (uint32_t)when | (uint32_t)(when >> 32);
    }
    fputs("\n## The path taken\n\nInference", stream);
    for (int bit = 0; bit < TFR_LINE_BIT_COUNT; bit++) {
        const bool is_idle = bit == TFR_LINE_BIT_CROSS_PAST && (bits & (uint32_t)TFR_ON(IS_CROSS)) == 0;
        if ((asked >> bit & 1) != 0 && !is_idle) {
            const char *reason = tfr_line_skip_reason((tfr_line_when)1 << bit, bits);
            fprintf(stream, "; %s", reason != NULL ? reason : tfr_line_condition((enum tfr_line_bit)bit));
        }
    }
    fprintf(stream, "%s; tensors of %s.\n", view->path.only_last ? "; logits of the last position alone" : "",
            tfr_lines_dtype(view));
}

/* Where a variable is read, `tensor` being what the line works on; tensors with heads have rows last but one. */
static void write_origin(const struct tfr_lines_view *view, enum tfr_dim dim, const char *tensor, int tensor_length, FILE *stream) {
    const char *origin = tfr_line_variable_origin(dim);
    const bool has_heads = tfr_line_is_arg(&view->info, TFR_DIM_KEY_LEN);
    if (strncmp(origin, "%s", 2) == 0) {
        fprintf(stream, "`%.*s%s`", tensor_length, tensor, dim == TFR_DIM_SEQ && has_heads ? ".shape[-2]" : origin + 2);
    } else {
        fprintf(stream, strchr(origin, ' ') != NULL ? "%s" : "`%s`", origin);
    }
}

static void write_variables(const struct tfr_lines_view *view, FILE *stream) {
    fprintf(stream, "\n## Variables\n\n| name |%s what it is | read from |\n|---|%s---|---|\n", view->numbers ? " value |" : "",
            view->numbers ? "---:|" : "");
    for (int i = 0; i < tfr_lines_n_args(view); i++) {
        const enum tfr_dim dim = view->info.arg[i];
        fprintf(stream, "| `%s` |", tfr_dim_name(dim));
        if (view->numbers) {
            fputc(' ', stream);
            write_number(view->value[dim], stream);
            fputs(" |", stream);
        }
        fprintf(stream, " %s | ", tfr_line_variable_meaning(dim));
        write_origin(view, dim, view->info.inputs, (int)strcspn(view->info.inputs, " ,"), stream);
        fputs(" |\n", stream);
    }
}

/* "[GPT2Model], [Linear]" of the references of a sum, each page once; who has the pages adds where they lie. */
static void write_links(const struct tfr_lines_view *view, const struct tfr_line_sum *sum, FILE *stream) {
    for (int i = 0; i < sum->n_refs; i++) {
        bool again = false;
        for (int k = 0; k < i; k++) {
            again = again || sum->ref[k].cls == sum->ref[i].cls;
        }
        if (!again) {
            fprintf(stream, "%s[%s]", i > 0 ? ", " : "", tfr_line_page(sum->ref[i].cls, view->path.bits));
        }
    }
}

static enum tfr_status write_amount(const struct tfr_lines_view *view, const struct tfr_line_sum *sum,
                                    const struct tfr_line_counts *counts, enum tfr_lines_amount amount, FILE *stream) {
    if (view->formulas) {
        char *text = tfr_lines_formula(view, sum, amount);
        if (text == NULL) {
            return TFR_RESOURCE;
        }
        fprintf(stream, "`%s`%s", text, view->numbers ? " = " : "");
        tfr_free(text);
    }
    if (view->numbers) {
        write_number(tfr_lines_count(counts, amount), stream);
    }
    return TFR_OK;
}

/* Costs that are one reference look the same three times; they are told once. */
static enum tfr_status write_costs(const struct tfr_lines_view *view, const struct tfr_lines_row *row, FILE *stream) {
    const struct tfr_line_sum *sum = &row->sum;
    const bool is_one = !view->numbers && sum->flops.n_terms + sum->read.n_terms + sum->written.n_terms == 0;
    for (int i = 0; i < (is_one ? 1 : TFR_LINES_AMOUNTS); i++) {
        const enum tfr_lines_amount amount = (enum tfr_lines_amount)i;
        fprintf(stream, "- %s: ", is_one ? "FLOPs, bytes read and bytes written" : tfr_lines_amount_name(amount));
        TFR_TRY(write_amount(view, sum, &row->counts, amount, stream));
        fputc('\n', stream);
    }
    return TFR_OK;
}

static bool uses(const struct tfr_line_sum *sum, enum tfr_dim dim) {
    bool found = tfr_poly_has(&sum->flops, dim) || tfr_poly_has(&sum->read, dim) || tfr_poly_has(&sum->written, dim);
    for (int i = 0; i < sum->n_refs && !found; i++) {
        struct tfr_poly poly;
        for (int k = 0; k < TFR_LINE_MAX_ARGS && !found && sum->ref[i].arg[k][0] != '\0'; k++) {
            found = tfr_poly_parse(&poly, sum->ref[i].arg[k]) == TFR_OK && tfr_poly_has(&poly, dim);
        }
        found = found || (tfr_poly_parse(&poly, sum->ref[i].count) == TFR_OK && tfr_poly_has(&poly, dim));
    }
    return found;
}

/* Where the sizes of a line come from: its tensor's shape, the config. */
static void write_justification(const struct tfr_lines_view *view, const struct tfr_lines_row *row, FILE *stream) {
    const char *before = "- sizes: ";
    for (int i = 0; i < view->info.n_args; i++) {
        const enum tfr_dim dim = view->info.arg[i];
        const char *named = row->row->step->tensor, *tensor = named[0] != '\0' ? named : "input_ids";
        if (!uses(&row->sum, dim)) {
            continue;
        }
        fprintf(stream, "%s`%s` from ", before, tfr_dim_name(dim));
        write_origin(view, dim, tensor, (int)strlen(tensor), stream);
        before = ", ";
    }
    fputs(before[0] == ',' ? "\n" : "", stream);
}

static enum tfr_status write_row(const struct tfr_lines_view *view, const struct tfr_lines_row *row, FILE *stream) {
    const struct tfr_line_step *step = row->row->step;
    const bool is_free = tfr_lines_is_free(&row->sum);
    char range[32];
    fprintf(stream, "\n### %s %s: %s\n\n*%s*. %s", row->row->first == row->row->last ? "Line" : "Lines",
            tfr_lines_range(row->row, range, sizeof range), step->operation, step->composite ? "composite" : "basic",
            step->analysis);
    if (row->skipped != NULL) {
        fprintf(stream, " **Skipped**: %s.", row->skipped);
    }
    if (is_free) {
        fputs(" FLOPs 0, bytes read 0, written 0.\n", stream);
        return TFR_OK;
    }
    if (row->sum.n_refs > 0) {
        fputs(" See ", stream);
        write_links(view, &row->sum, stream);
        fputc('.', stream);
    }
    fputs("\n\n", stream);
    TFR_TRY(write_costs(view, row, stream));
    write_justification(view, row, stream);
    return TFR_OK;
}

static enum tfr_status write_sum(const struct tfr_lines_view *view, const char *title, const struct tfr_line_sum *sum,
                                 FILE *stream) {
    fprintf(stream, "\n%s:\n\n", title);
    for (int i = 0; i < TFR_LINES_AMOUNTS; i++) {
        fprintf(stream, "- %s: ", tfr_lines_amount_name((enum tfr_lines_amount)i));
        TFR_TRY(write_amount(view, sum, &view->counts, (enum tfr_lines_amount)i, stream));
        fputc('\n', stream);
    }
    return TFR_OK;
}

static enum tfr_status write_sums(const struct tfr_lines_view *view, FILE *stream) {
    char text[TFR_POLY_TEXT];
    fputs("\n## All lines\n", stream);
    if (view->sum.n_refs > 0 && view->formulas) {
        TFR_TRY(write_sum(view, "As they stand", &view->sum, stream));
    }
    TFR_TRY(write_sum(view, "Every reference looked into, down to ops", &view->whole, stream));
    if (!view->has_causal) {
        return TFR_OK;
    }
    fputs("- FLOPs of visible pairs alone: ", stream);
    if (view->formulas) {
        fprintf(stream, "`%s`%s", tfr_cost_formula(view->report, &view->causal, text, sizeof text), view->numbers ? " = " : "");
    }
    if (view->numbers) {
        write_number(view->causal_flops, stream);
    }
    fputc('\n', stream);
    return TFR_OK;
}

/* The closing list: what computes, and how many lines do not. */
static void write_kernels(const struct tfr_lines_view *view, FILE *stream) {
    int n = 0, n_free = 0, n_skipped = 0;
    char range[32];
    fputs("\n## Kernels\n\n", stream);
    for (int i = 0; i < view->source.n_rows; i++) {
        const struct tfr_lines_row *row = &view->rows[i];
        n_skipped += row->skipped != NULL;
        n_free += row->skipped == NULL && tfr_lines_is_free(&row->sum);
        if (tfr_lines_is_free(&row->sum)) {
            continue;
        }
        fprintf(stream, "%d. %s, %s %s: %s", ++n, tfr_lines_kind(row), row->row->first == row->row->last ? "line" : "lines",
                tfr_lines_range(row->row, range, sizeof range), row->row->step->operation);
        if (row->sum.n_refs > 0) {
            fputs(", ", stream);
            write_links(view, &row->sum, stream);
        }
        fputc('\n', stream);
    }
    fprintf(stream, "\n%sRows without cost: %d; skipped: %d.\n", n == 0 ? "None. " : "", n_free, n_skipped);
}

enum tfr_status tfr_lines_write_page(const struct tfr_lines_view *view, FILE *stream) {
    TFR_TRY(write_where(view, stream));
    write_path(view, stream);
    write_variables(view, stream);
    fputs("\n## Line by line\n", stream);
    for (int i = 0; i < view->source.n_rows; i++) {
        TFR_TRY(write_row(view, &view->rows[i], stream));
    }
    TFR_TRY(write_sums(view, stream));
    write_kernels(view, stream);
    return TFR_OK;
}

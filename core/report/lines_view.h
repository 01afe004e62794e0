/* lines_view.h - what the files of `tfrun cost --level line` share: one class line by line, with its sums. */
#ifndef TFR_REPORT_LINES_VIEW_H
#define TFR_REPORT_LINES_VIEW_H

#include <stdio.h>

#include "base/json.h"
#include "cost/line_sum.h"
#include "report/cost_report.h"

/* What is told of a line: in this order everywhere. */
enum tfr_lines_amount { TFR_LINES_FLOPS, TFR_LINES_READ, TFR_LINES_WRITTEN, TFR_LINES_AMOUNTS };

struct tfr_lines_row {
    const struct tfr_line_row *row;
    const char *skipped;     /* why, or NULL */
    struct tfr_line_sum sum; /* with as many levels looked into as were asked for */
    struct tfr_line_counts counts;
    tfr_int128 causal_flops;
};

struct tfr_lines_view {
    const struct tfr_cost_report *report;
    struct tfr_line_path path;
    enum tfr_line_class cls;
    struct tfr_line_class_info info;
    struct tfr_line_source source;
    struct tfr_lines_row *rows;     /* [source.n_rows] */
    struct tfr_line_sum sum, whole; /* of all rows: expanded as asked; all the way down */
    struct tfr_poly causal;         /* FLOPs all the way down where a query meets the keys before it alone */
    bool has_causal;                /* they differ */
    bool numbers, formulas;         /* which are shown */
    const char *without_value;      /* argument that has no one value, so that there are no numbers; or NULL */
    tfr_int128 value[TFR_DIM_COUNT];
    struct tfr_line_counts counts;
    tfr_int128 causal_flops;
};

/* lines_view.c. Failure: TFR_USAGE where the question does not fit lines. */
enum tfr_status tfr_lines_open(struct tfr_lines_view *view, const struct tfr_cost_report *report);
void tfr_lines_close(struct tfr_lines_view *view);
const char *tfr_lines_amount_name(enum tfr_lines_amount amount); /* "FLOPs" */
tfr_int128 tfr_lines_count(const struct tfr_line_counts *counts, enum tfr_lines_amount amount);
const struct tfr_poly *tfr_lines_poly(const struct tfr_line_sum *sum, enum tfr_lines_amount amount);
bool tfr_lines_is_free(const struct tfr_line_sum *sum); /* costs nothing */
/* "12 batch_size + ${...}(...)", "0". free() it; NULL after raising. */
char *tfr_lines_formula(const struct tfr_lines_view *view, const struct tfr_line_sum *sum, enum tfr_lines_amount amount);
const char *tfr_lines_kind(const struct tfr_lines_row *row); /* "basic", "composite" */
/* "src/transformers/models/gpt2/modeling_gpt2.py". Returns `text`. */
const char *tfr_lines_file(const struct tfr_line_source *source, char *text, size_t size);
/* "transformers 5.24.0", or PyTorch's release. Returns `text`. */
const char *tfr_lines_release(const struct tfr_lines_view *view, char *text, size_t size);
/* "class in line 76, forward in 146-228", "function in lines 55-73". Returns `text`. */
const char *tfr_lines_place(const struct tfr_lines_view *view, char *text, size_t size);
bool tfr_lines_is_function(const struct tfr_lines_view *view);
const char *tfr_lines_dtype(const struct tfr_lines_view *view); /* of all tensors: "f32" */
/* Arguments of the class on this path: without encoder_len where there is no encoder. */
int tfr_lines_n_args(const struct tfr_lines_view *view);
/* "683-694", "695". Returns `text`. */
const char *tfr_lines_range(const struct tfr_line_row *row, char *text, size_t size);
/* "${...GPT2Model}(batch_size, ...)" of the class itself. free() it; NULL after raising. */
char *tfr_lines_own_reference(const struct tfr_lines_view *view);

/* lines_text.c, lines_page.c, lines_json.c: the forms. */
enum tfr_status tfr_lines_write_table(const struct tfr_lines_view *view, FILE *stream);
enum tfr_status tfr_lines_write_csv(const struct tfr_lines_view *view, FILE *stream);
enum tfr_status tfr_lines_write_page(const struct tfr_lines_view *view, FILE *stream);
enum tfr_status tfr_lines_write_json(const struct tfr_lines_view *view, char **text);

#endif

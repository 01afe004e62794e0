/* grid.h - a table of texts: aligned for a terminal, as Markdown, or as CSV. Thread rule: one thread. */
#ifndef TFR_REPORT_GRID_H
#define TFR_REPORT_GRID_H

#include <stdio.h>

#include <tfrun/types.h>

enum tfr_grid_form { TFR_GRID_TEXT, TFR_GRID_MARKDOWN, TFR_GRID_CSV };

/* Begin zeroed but for `n_columns`. Cells come one after the other, row by row; the first row is the head. */
struct tfr_grid {
    int n_columns;
    uint64_t is_left; /* bits of columns that are aligned to the left */
    char **cells;
    size_t n_cells, capacity;
    size_t rules[8]; /* rows before which a line is drawn, on a terminal */
    int n_rules;
    bool failed;
};

void tfr_grid_put(struct tfr_grid *grid, const char *text); /* copied */
void tfr_grid_put_count(struct tfr_grid *grid, int64_t count);
void tfr_grid_rule(struct tfr_grid *grid);
/* Fails where memory was short. */
enum tfr_status tfr_grid_write(const struct tfr_grid *grid, enum tfr_grid_form form, FILE *stream);
void tfr_grid_close(struct tfr_grid *grid);

#endif

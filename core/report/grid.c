/* grid.c - lays out a table of texts: see grid.h. */
#include "report/grid.h"

#include <string.h>

#include "base/arena.h"
#include "base/int128.h"
#include "base/status.h"

void tfr_grid_put(struct tfr_grid *grid, const char *text) {
    if (grid->n_cells == grid->capacity) {
        const size_t wanted = grid->capacity > 0 ? 2 * grid->capacity : 256;
        char **grown = tfr_realloc(grid->cells, wanted, sizeof *grown);
        if (grown == NULL) {
            grid->failed = true;
            return;
        }
        grid->cells = grown;
        grid->capacity = wanted;
    }
    char *copy = tfr_strdup(text);
    grid->failed |= copy == NULL;
    grid->cells[grid->n_cells++] = copy;
}

void tfr_grid_put_count(struct tfr_grid *grid, int64_t count) {
    char text[TFR_INT128_TEXT];
    tfr_grid_put(grid, tfr_int128_text(count, ',', text));
}

void tfr_grid_rule(struct tfr_grid *grid) {
    if (grid->n_rules < (int)TFR_COUNT_OF(grid->rules)) {
        grid->rules[grid->n_rules++] = grid->n_cells / (size_t)grid->n_columns;
    }
}

static size_t n_rows(const struct tfr_grid *grid) {
    return grid->n_cells / (size_t)grid->n_columns;
}

static const char *cell(const struct tfr_grid *grid, size_t row, int column) {
    return grid->cells[row * (size_t)grid->n_columns + (size_t)column];
}

static int width_of(const struct tfr_grid *grid, int column) {
    size_t width = 0;
    for (size_t r = 0; r < n_rows(grid); r++) {
        const size_t length = strlen(cell(grid, r, column));
        width = length > width ? length : width;
    }
    return (int)width;
}

static bool is_left(const struct tfr_grid *grid, int column) {
    return (grid->is_left >> column & 1) != 0;
}

static void write_rule(const struct tfr_grid *grid, FILE *stream) {
    for (int c = 0; c < grid->n_columns; c++) {
        for (int i = width_of(grid, c) + (c > 0 ? 2 : 0); i > 0; i--) {
            fputc('-', stream);
        }
    }
    fputc('\n', stream);
}

/* Columns up to the last one that says something, so that no line ends in blanks. */
static void write_row(const struct tfr_grid *grid, size_t row, FILE *stream) {
    int last = grid->n_columns - 1;
    while (last > 0 && cell(grid, row, last)[0] == '\0') {
        last--;
    }
    for (int c = 0; c <= last; c++) {
        const int width = c == last && is_left(grid, c) ? 0 : width_of(grid, c);
        fprintf(stream, is_left(grid, c) ? "%s%-*s" : "%s%*s", c > 0 ? "  " : "", width, cell(grid, row, c));
    }
    fputc('\n', stream);
}

static void write_text(const struct tfr_grid *grid, FILE *stream) {
    for (size_t r = 0; r < n_rows(grid); r++) {
        for (int i = 0; i < grid->n_rules; i++) {
            if (grid->rules[i] == r) {
                write_rule(grid, stream);
            }
        }
        write_row(grid, r, stream);
    }
}

/* Blanks at the beginning would be lost: they are what shows the depth. */
static void write_markdown_cell(const char *text, FILE *stream) {
    fputs("| ", stream);
    for (; *text == ' '; text++) {
        fputs("&nbsp;", stream);
    }
    fprintf(stream, "%s ", text);
}

static void write_markdown(const struct tfr_grid *grid, FILE *stream) {
    for (size_t r = 0; r < n_rows(grid); r++) {
        for (int c = 0; c < grid->n_columns; c++) {
            write_markdown_cell(cell(grid, r, c), stream);
        }
        fputs("|\n", stream);
        for (int c = 0; c < grid->n_columns && r == 0; c++) {
            fputs(is_left(grid, c) ? "|---" : "|---:", stream);
        }
        fputs(r == 0 ? "|\n" : "", stream);
    }
}

/* RFC 4180: quoted where a comma, a quote or a line end is inside. */
static void write_csv_cell(const char *text, FILE *stream) {
    const bool is_quoted = strpbrk(text, ",\"\n") != NULL;
    fputs(is_quoted ? "\"" : "", stream);
    for (; *text != '\0'; text++) {
        fputs(*text == '"' ? "\"" : "", stream);
        fputc(*text, stream);
    }
    fputs(is_quoted ? "\"" : "", stream);
}

static void write_csv(const struct tfr_grid *grid, FILE *stream) {
    for (size_t r = 0; r < n_rows(grid); r++) {
        for (int c = 0; c < grid->n_columns; c++) {
            fputs(c > 0 ? "," : "", stream);
            write_csv_cell(cell(grid, r, c), stream);
        }
        fputc('\n', stream);
    }
}

enum tfr_status tfr_grid_write(const struct tfr_grid *grid, enum tfr_grid_form form, FILE *stream) {
    static void (*const writers[])(const struct tfr_grid *, FILE *) = {
        [TFR_GRID_TEXT] = write_text, [TFR_GRID_MARKDOWN] = write_markdown, [TFR_GRID_CSV] = write_csv};
    if (grid->failed) {
        return tfr_raise(TFR_RESOURCE, "no memory for a table");
    }
    writers[form](grid, stream);
    return TFR_OK;
}

void tfr_grid_close(struct tfr_grid *grid) {
    for (size_t i = 0; i < grid->n_cells; i++) {
        tfr_free(grid->cells[i]);
    }
    tfr_free(grid->cells);
}

/* picture_svg.c - the DOT text laid out by graphviz's dot, with a style for dark screens. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/program.h"
#include "picture/picture_style.h"

/* Where the boxes came to stand. */
struct place {
    double left, right, top, bottom;
};

/* Grows `place` by the points of "M412,-33C412,-33 ..." or "8,-4 20,-4". */
static void measure(const char *points, struct place *place) {
    for (;;) {
        points += strcspn(points, "-.0123456789\"");
        char *end;
        const double x = strtod(points, &end);
        if (*points == '"' || end == points || *end != ',') {
            return;
        }
        const double y = strtod(end + 1, &end);
        place->left = x < place->left ? x : place->left;
        place->right = x > place->right ? x : place->right;
        place->top = y < place->top ? y : place->top;
        place->bottom = y > place->bottom ? y : place->bottom;
        points = end;
    }
}

/* The box of the node that a line is about, by its first shape; `node` is kept from line to line, -1 when it has its place. */
static void find_place(const char *line, int *node, int n_nodes, struct place *places) {
    const char *shape = strstr(line, " d=\""), *points = shape != NULL ? shape + 4 : strstr(line, " points=\"");
    if (sscanf(line, "<g id=\"n%d\" class=\"node\">", node) == 1 || *node < 0 || *node >= n_nodes || points == NULL) {
        return;
    }
    places[*node] = (struct place){.left = 1e9, .right = -1e9, .top = 1e9, .bottom = -1e9};
    measure(points + (shape == NULL ? 9 : 0), &places[*node]);
    *node = -1;
}

/* A curve that leaves and arrives level, from the side of one box to that of the other. */
static void put_message(const struct tfr_picture_edge *edge, const struct place *from, const struct place *to, FILE *out) {
    enum { BEND = 55, HEAD = 9 };
    const double way = from->right < to->left ? 1 : -1, x0 = way > 0 ? from->right : from->left,
                 x1 = (way > 0 ? to->left : to->right) - way * HEAD, y0 = (from->top + from->bottom) / 2,
                 y1 = (to->top + to->bottom) / 2;
    const char *color = tfr_color(edge->critical ? TFR_COLOR_HOT : TFR_COLOR_MESSAGE_LINE);
    fprintf(out,
            "<path class=\"message\" fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" d=\"M%.1f,%.1fC%.1f,%.1f %.1f,%.1f "
            "%.1f,%.1f\"/>\n",
            color, edge->critical ? "2.5" : "2", x0, y0, x0 + way * BEND, y0, x1 - way * BEND, y1, x1, y1);
    fprintf(out, "<polygon fill=\"%s\" points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f\"/>\n", color, x1 + way * HEAD, y1, x1, y1 - 4.5, x1,
            y1 + 4.5);
}

static void put_messages(const struct tfr_picture *picture, const struct place *places, FILE *out) {
    for (int e = 0; e < picture->n_edges; e++) {
        const struct tfr_picture_edge *edge = &picture->edges[e];
        if (edge->arrow == TFR_PICTURE_MESSAGE) {
            put_message(edge, &places[edge->from], &places[edge->to], out);
        }
    }
}

/* Copies what it writes: the style behind the opening tag, messages before the end of the group that holds all boxes. */
static void copy_svg(const struct tfr_picture *picture, struct place *places, FILE *from, FILE *to) {
    char line[4096], held[4096] = "";
    bool in_tag = false, is_styled = false;
    int node = -1;
    while (fgets(line, sizeof line, from) != NULL) {
        find_place(line, &node, picture->n_nodes, places);
        if (strncmp(line, "</svg>", 6) == 0) {
            put_messages(picture, places, to);
        }
        fputs(held, to);
        held[0] = '\0';
        if (strcmp(line, "</g>\n") == 0) {
            snprintf(held, sizeof held, "%s", line);
        } else {
            fputs(line, to);
        }
        in_tag |= strncmp(line, "<svg", 4) == 0;
        if (in_tag && !is_styled && strchr(line, '>') != NULL) {
            tfr_picture_put_style(to);
            is_styled = true;
        }
    }
    fputs(held, to);
}

static enum tfr_status read_svg(const struct tfr_picture *picture, FILE *from, char **svg) {
    FILE *out;
    size_t size;
    struct place *places = tfr_alloc((size_t)picture->n_nodes + 1, sizeof *places);
    enum tfr_status status = places != NULL ? tfr_memtext_open(&out, svg, &size) : TFR_RESOURCE;
    if (status == TFR_OK) {
        copy_svg(picture, places, from, out);
        status = tfr_memtext_close(out, svg);
    }
    tfr_free(places);
    return status;
}

static enum tfr_status lay_out(const char *dot, char **drawing, size_t *size) {
    static const char *const arguments[] = {"dot", "-Tsvg", NULL};
    static const struct tfr_program program = {
        .arguments = arguments,
        .missing =
            "an SVG is laid out by the program dot, which is not on PATH; install the package graphviz, or use --format dot, txt "
            "or json",
        .failed = "the program dot failed, its message is above; --format dot gives what it was to draw",
        .limit_s = TFR_PROGRAM_LIMIT_S};
    return tfr_program_run(&program, dot, drawing, size);
}

enum tfr_status tfr_picture_svg(const struct tfr_picture *picture, char **text) {
    char *dot, *drawing;
    size_t size;
    *text = NULL;
    TFR_TRY(tfr_picture_dot(picture, false, &dot));
    enum tfr_status status = lay_out(dot, &drawing, &size);
    tfr_free(dot);
    TFR_TRY(status);
    FILE *from = fmemopen(drawing, size, "r");
    status = from != NULL ? read_svg(picture, from, text) : tfr_raise(TFR_RESOURCE, "no memory for a stream");
    if (from != NULL) {
        fclose(from);
    }
    tfr_free(drawing);
    return status;
}

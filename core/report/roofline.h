/* roofline.h - the roofline picture: its geometry, labels that keep out of each other's way, colours in light and dark.
 * Private to report. Thread rule: no state. */
#ifndef TFR_REPORT_ROOFLINE_H
#define TFR_REPORT_ROOFLINE_H

#include <stdio.h>

#include "report/report_profile.h"

/* Pixels of the picture and of the frame in it; the ranges of its axes. */
enum {
    ROOFLINE_WIDTH = 1000,
    ROOFLINE_HEIGHT = 660,
    ROOFLINE_LEFT = 72,
    ROOFLINE_RIGHT = 976,
    ROOFLINE_TOP = 62,
    ROOFLINE_BOTTOM = 590
};
struct roofline_axes {
    double x_low, x_high, y_low, y_high; /* FLOPs a byte, FLOPs a second */
};
double tfr_roofline_x(const struct roofline_axes *axes, double intensity); /* pixel, from the left */
double tfr_roofline_y(const struct roofline_axes *axes, double rate);      /* pixel, from the top */

/* Rectangles that are taken. */
enum { ROOFLINE_BOXES = 1024 };
struct roofline_boxes {
    struct roofline_box {
        double left, top, right, bottom;
    } box[ROOFLINE_BOXES];
    int n;
};
void tfr_roofline_take(struct roofline_boxes *boxes, double left, double top, double right, double bottom);
/* A free place near the dot at (x, y) for a text: where it begins (or ends, with align -1; 0 its middle) and its middle line.
 * It is taken. */
struct roofline_place {
    double x, y;
    int align;
};
struct roofline_place tfr_roofline_place(struct roofline_boxes *boxes, double x, double y, const char *text);

/* Colours by what they are for. */
enum roofline_color { ROOFLINE_PAPER, ROOFLINE_INK, ROOFLINE_GRID, ROOFLINE_ROOF, ROOFLINE_PREFILL, ROOFLINE_DECODE };
const char *tfr_roofline_color(enum roofline_color color); /* "#rrggbb", as on light paper */
/* Copies the drawing of gnuplot with a style that changes the colours on a dark screen. */
void tfr_roofline_put_styled(const char *drawing, const char *title, FILE *out);

#endif

/* picture_lanes.h - a panel as rows for a terminal: one box a row, what is still needed as lines beside it. Thread rule: no state.
 */
#ifndef TFR_PICTURE_PICTURE_LANES_H
#define TFR_PICTURE_PICTURE_LANES_H

#include "picture/picture.h"

enum { TFR_LANES_MOST = 24, TFR_LANES_TEXT = 8 * TFR_LANES_MOST };

struct tfr_picture_row {
    int node;                     /* -1: the head of a fold */
    int fold;                     /* -1 outside */
    char drawing[TFR_LANES_TEXT]; /* bracket of the fold, lines, the box: UTF-8 */
    char after[TFR_LANES_TEXT];   /* the same where nothing happens below it */
    int width;                    /* columns of drawing */
};

/* *rows is freed with tfr_free. */
enum tfr_status tfr_picture_rows(const struct tfr_picture *picture, int panel, struct tfr_picture_row **rows, int *n);

#endif

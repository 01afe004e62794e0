/* picture_style.h - the colours of a picture, each as it is on white and on black. Thread rule: no state. */
#ifndef TFR_PICTURE_PICTURE_STYLE_H
#define TFR_PICTURE_PICTURE_STYLE_H

#include "picture/picture.h"

/* EACH(NAME, light, dark): no light colour twice, since a style finds them by it. */
#define TFR_PICTURE_COLORS(EACH)                                                                                                   \
    EACH(PAGE, "#ffffff", "#0d1117")                                                                                               \
    EACH(TEXT, "#1f2328", "#e6edf3")                                                                                               \
    EACH(FAINT, "#59636e", "#9198a1")                                                                                              \
    EACH(LINE, "#818b98", "#7d8590")                                                                                               \
    EACH(FOLD, "#f6f8fa", "#151b23")                                                                                               \
    EACH(FOLD_LINE, "#d1d9e0", "#3d444d")                                                                                          \
    EACH(HOT, "#cf222e", "#ff7b72")                                                                                                \
    EACH(TABLE, "#f3e8fd", "#2b1d45")                                                                                              \
    EACH(TABLE_LINE, "#8250df", "#a371f7")                                                                                         \
    EACH(NORM, "#d9f3f0", "#0e2f31")                                                                                               \
    EACH(NORM_LINE, "#1b7c83", "#39c5cf")                                                                                          \
    EACH(LINEAR, "#ddeeff", "#0c2744")                                                                                             \
    EACH(LINEAR_LINE, "#0969da", "#58a6ff")                                                                                        \
    EACH(ATTENTION, "#fff0dd", "#3a2313")                                                                                          \
    EACH(ATTENTION_LINE, "#bc4c00", "#f0883e")                                                                                     \
    EACH(POINTWISE, "#e2f6e4", "#12301a")                                                                                          \
    EACH(POINTWISE_LINE, "#1a7f37", "#3fb950")                                                                                     \
    EACH(ROWS, "#eceff2", "#262c36")                                                                                               \
    EACH(ROWS_LINE, "#57606a", "#8b949e")                                                                                          \
    EACH(MESSAGE, "#ffe7f0", "#3d1628")                                                                                            \
    EACH(MESSAGE_LINE, "#bf3989", "#f778ba")                                                                                       \
    EACH(HEAT_0, "#fffaeb", "#1f1c14")                                                                                             \
    EACH(HEAT_1, "#fff0c2", "#3a2f13")                                                                                             \
    EACH(HEAT_2, "#ffe08a", "#5c4413")                                                                                             \
    EACH(HEAT_3, "#ffc35c", "#805313")                                                                                             \
    EACH(HEAT_4, "#ff9d4d", "#a85a10")                                                                                             \
    EACH(HEAT_5, "#f97e55", "#c4501b")

enum tfr_picture_color {
#define TFR_COLOR_ENUM(NAME, light, dark) TFR_COLOR_##NAME,
    TFR_PICTURE_COLORS(TFR_COLOR_ENUM)
#undef TFR_COLOR_ENUM
        TFR_COLOR_COUNT
};

/* On white: what DOT is written with. */
const char *tfr_color(enum tfr_picture_color color);
/* Kinds of ops that share a colour: the fill; the next colour is that of the line. */
struct tfr_picture_family {
    const char *name;
    enum tfr_picture_color fill;
};
const struct tfr_picture_family *tfr_picture_families(int *n);
enum tfr_picture_color tfr_picture_op_color(enum tfr_op op);
/* By share of time, in six steps. */
enum tfr_picture_color tfr_picture_heat(double share);
/* A style element that gives an SVG of those colours the dark ones where the reader's screen is dark. */
void tfr_picture_put_style(FILE *out);

#endif

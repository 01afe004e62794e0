/* picture_style.c - see picture_style.h. */
#include "picture/picture_style.h"

#include "base/status.h"

static const struct {
    const char *light, *dark;
} colors[TFR_COLOR_COUNT] = {
#define TFR_COLOR_ROW(NAME, light, dark) {light, dark},
    TFR_PICTURE_COLORS(TFR_COLOR_ROW)
#undef TFR_COLOR_ROW
};

const char *tfr_color(enum tfr_picture_color color) {
    return colors[color].light;
}

static const struct tfr_picture_family families[] = {
    {"embedding", TFR_COLOR_TABLE},     {"norm", TFR_COLOR_NORM},           {"linear", TFR_COLOR_LINEAR},
    {"attention", TFR_COLOR_ATTENTION}, {"pointwise", TFR_COLOR_POINTWISE}, {"rows", TFR_COLOR_ROWS},
    {"message", TFR_COLOR_MESSAGE},
};

const struct tfr_picture_family *tfr_picture_families(int *n) {
    *n = TFR_COUNT_OF(families);
    return families;
}

enum tfr_picture_color tfr_picture_op_color(enum tfr_op op) {
    switch (op) {
    case TFR_OP_EMBED:
    case TFR_OP_LOOKUP_ADD:
        return TFR_COLOR_TABLE;
    case TFR_OP_LAYER_NORM:
        return TFR_COLOR_NORM;
    case TFR_OP_LINEAR:
    case TFR_OP_FUSED:
        return TFR_COLOR_LINEAR;
    case TFR_OP_KV_APPEND:
    case TFR_OP_ATTENTION:
        return TFR_COLOR_ATTENTION;
    case TFR_OP_ACTIVATION:
    case TFR_OP_ADD:
    case TFR_OP_SUM_BLOCKS:
        return TFR_COLOR_POINTWISE;
    case TFR_OP_SEND_HIDDEN:
    case TFR_OP_RECV_HIDDEN:
        return TFR_COLOR_MESSAGE;
    default:
        return TFR_COLOR_ROWS;
    }
}

enum tfr_picture_color tfr_picture_heat(double share) {
    static const double from[] = {0.01, 0.03, 0.08, 0.15, 0.25};
    int step = 0;
    while (step < (int)TFR_COUNT_OF(from) && share >= from[step]) {
        step++;
    }
    return (enum tfr_picture_color)(TFR_COLOR_HEAT_0 + step);
}

void tfr_picture_put_style(FILE *out) {
    fputs("<style>\n"
          "text { font-family: -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif }\n"
          "@media (prefers-color-scheme: dark) {\n",
          out);
    for (int c = 0; c < TFR_COLOR_COUNT; c++) {
        fprintf(out, "[fill='%s'] { fill: %s } [stroke='%s'] { stroke: %s }\n", colors[c].light, colors[c].dark, colors[c].light,
                colors[c].dark);
    }
    fputs("}\n</style>\n", out);
}

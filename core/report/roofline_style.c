/* roofline_style.c - colours of the roofline picture. gnuplot writes them into each shape as rgb(...); rules that select shapes by
 * just that attribute change them on a dark screen. */
#include <stdlib.h>
#include <string.h>

#include "report/roofline.h"

static const struct {
    const char *light, *dark;
} colors[] = {
    [ROOFLINE_PAPER] = {"#ffffff", "#15181d"},   [ROOFLINE_INK] = {"#1f2328", "#e6e8eb"},
    [ROOFLINE_GRID] = {"#e4e7eb", "#2c323a"},    [ROOFLINE_ROOF] = {"#59636e", "#9aa5b1"},
    [ROOFLINE_PREFILL] = {"#0b5cad", "#6db3ff"}, [ROOFLINE_DECODE] = {"#b9480b", "#ffa05f"},
};

const char *tfr_roofline_color(enum roofline_color color) {
    return colors[color].light;
}

/* gnuplot writes a colour in three ways. */
static void put_rule(FILE *out, const char *attribute, const char *light, const char *dark) {
    const long rgb = strtol(light + 1, NULL, 16);
    const int red = (int)(rgb >> 16), green = (int)(rgb >> 8 & 255), blue = (int)(rgb & 255);
    fprintf(out, "  [%s=\"rgb(%3d, %3d, %3d)\"], [%s=\"rgb(%d,%d,%d)\"], [%s=\"%s\"] {%s: %s}\n", attribute, red, green, blue,
            attribute, red, green, blue, attribute, light, attribute, dark);
}

static void put_style(FILE *out) {
    static const char *const attributes[] = {"stroke", "fill", "color"};
    fprintf(out, "<style>\n text {font-family: system-ui, sans-serif}\n @media (prefers-color-scheme: dark) {\n");
    for (size_t i = 0; i < sizeof colors / sizeof colors[0]; i++) {
        for (size_t a = 0; a < sizeof attributes / sizeof attributes[0]; a++) {
            put_rule(out, attributes[a], colors[i].light, colors[i].dark);
        }
    }
    fprintf(out, " }\n</style>\n");
}

void tfr_roofline_put_styled(const char *drawing, const char *title, FILE *out) {
    const char *svg = strstr(drawing, "<svg"), *end = svg != NULL ? strchr(svg, '>') : NULL;
    const char *old = end != NULL ? strstr(end, "<title>") : NULL, *behind = old != NULL ? strstr(old, "</title>") : NULL;
    if (behind == NULL) {
        fputs(drawing, out);
        return;
    }
    fprintf(out, "%.*s\n<title>%s</title>\n", (int)(end + 1 - drawing), drawing, title);
    put_style(out);
    fputs(behind + strlen("</title>"), out);
}

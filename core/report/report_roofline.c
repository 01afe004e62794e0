/* report_roofline.c - a profile as a roofline picture: roofs by type, slopes of the cache levels and of memory, a dot for each
 * kernel in prefill and in decode, all labelled where they are. */
#include <tfrun/profile.h>

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/status.h"
#include "base/tensor.h"
#include "report/gnuplot.h"
#include "report/roofline.h"

struct dot {
    double intensity, rate;
    enum tfr_phase phase;
    char name[64];
};

struct picture {
    const struct tfr_profile *profile;
    const struct tfr_roofs *roofs;
    struct dot *dots;
    int n_dots;
    struct roofline_axes axes;
    struct roofline_boxes boxes;
    FILE *out;
};

/* "linear bf16 onednn" of "linear.bf16.onednn.auto". */
static void short_name(const char *kernel, char *name, size_t size) {
    const char *last = strrchr(kernel, '.');
    snprintf(name, size, "%.*s", last != NULL ? (int)(last - kernel) : (int)strlen(kernel), kernel);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '.' || *at == '_' || (unsigned char)*at < ' ' ? ' ' : *at;
    }
}

/* Kernels that compute nothing have no place on this paper. */
static enum tfr_status find_dots(struct picture *picture, enum tfr_phase phase) {
    struct tfr_profile_group *groups;
    size_t n;
    TFR_TRY(tfr_profile_groups(picture->profile, phase, TFR_BY_KERNEL, &groups, &n));
    struct dot *grown = tfr_realloc(picture->dots, (size_t)picture->n_dots + n + 1, sizeof *grown);
    if (grown == NULL) {
        tfr_free(groups);
        return TFR_RESOURCE;
    }
    picture->dots = grown;
    for (size_t i = 0; i < n; i++) {
        if (groups[i].flops > 0 && groups[i].bytes > 0 && groups[i].ns > 0) {
            struct dot *dot = &picture->dots[picture->n_dots++];
            *dot = (struct dot){
                .intensity = groups[i].flops / groups[i].bytes, .rate = groups[i].flops / groups[i].ns * 1e9, .phase = phase};
            short_name(groups[i].name, dot->name, sizeof dot->name);
        }
    }
    tfr_free(groups);
    return TFR_OK;
}

static double highest_peak(const struct tfr_roofs *roofs) {
    double peak = 0;
    for (int i = 0; i < roofs->n_flops; i++) {
        peak = fmax(peak, roofs->flops[i].all_cores);
    }
    return peak;
}

static double lowest_bandwidth(const struct tfr_roofs *roofs) {
    double least = INFINITY;
    for (int i = 0; i < roofs->n_bandwidths; i++) {
        least = fmin(least, roofs->bandwidth[i].all_cores);
    }
    return least;
}

/* All dots, the ridge of memory, and some air. */
static void set_axes(struct picture *picture) {
    const double peak = highest_peak(picture->roofs);
    struct roofline_axes *axes = &picture->axes;
    *axes = (struct roofline_axes){
        .x_low = 0.1, .x_high = peak / lowest_bandwidth(picture->roofs), .y_low = peak / 100, .y_high = peak};
    for (int i = 0; i < picture->n_dots; i++) {
        axes->x_low = fmin(axes->x_low, picture->dots[i].intensity);
        axes->x_high = fmax(axes->x_high, picture->dots[i].intensity);
        axes->y_low = fmin(axes->y_low, picture->dots[i].rate);
        axes->y_high = fmax(axes->y_high, picture->dots[i].rate);
    }
    axes->x_low /= 1.6;
    axes->x_high *= 4;
    axes->y_low /= 1.6;
    axes->y_high *= 1.8;
}

static void put_start(struct picture *picture) {
    const struct roofline_axes *axes = &picture->axes;
    const char *ink = tfr_roofline_color(ROOFLINE_INK), *grid = tfr_roofline_color(ROOFLINE_GRID);
    FILE *out = picture->out;
    fprintf(out, "set terminal svg size %d,%d dynamic noenhanced font 'sans-serif,13' background '%s'\n", ROOFLINE_WIDTH,
            ROOFLINE_HEIGHT, tfr_roofline_color(ROOFLINE_PAPER));
    fprintf(out, "set lmargin at screen %f\nset rmargin at screen %f\nset tmargin at screen %f\nset bmargin at screen %f\n",
            ROOFLINE_LEFT / (double)ROOFLINE_WIDTH, ROOFLINE_RIGHT / (double)ROOFLINE_WIDTH,
            1 - ROOFLINE_TOP / (double)ROOFLINE_HEIGHT, 1 - ROOFLINE_BOTTOM / (double)ROOFLINE_HEIGHT);
    fprintf(out, "set logscale xy\nset xrange [%g:%g]\nset yrange [%g:%g]\nset format '%%g'\n", axes->x_low, axes->x_high,
            axes->y_low / 1e9, axes->y_high / 1e9);
    fprintf(out, "set border 3 lc rgb '%s'\nset tics nomirror textcolor rgb '%s'\nset grid lc rgb '%s' lt 1 lw 1\n", ink, ink,
            grid);
    fprintf(out, "set xlabel 'FLOPs for each byte' textcolor rgb '%s'\nset ylabel 'GFLOP/s' textcolor rgb '%s'\n", ink, ink);
}

/* A plugin may name its kernel as it likes: a quote is doubled, as gnuplot wants it inside of quotes. */
static void put_text(FILE *out, const char *text, const char *where, double x, double y, const char *align, double angle,
                     enum roofline_color color) {
    fputs("set label '", out);
    for (const char *at = text; *at != '\0'; at++) {
        fputs(*at == '\'' ? "''" : (char[]){*at, '\0'}, out);
    }
    fprintf(out, "' at %s %g,%s %g %s rotate by %.1f front textcolor rgb '%s'\n", where, x, where, y, align, angle,
            tfr_roofline_color(color));
}

/* A text at pixels. */
static void put_label(FILE *out, const char *text, double x, double y, const char *align, double angle, enum roofline_color color) {
    put_text(out, text, "screen", x / ROOFLINE_WIDTH, 1 - y / ROOFLINE_HEIGHT, align, angle, color);
}

static void put_line(FILE *out, double x0, double y0, double x1, double y1) {
    fprintf(out, "set arrow from first %g,%g to first %g,%g nohead lw 1.6 lc rgb '%s'\n", x0, y0 / 1e9, x1, y1 / 1e9,
            tfr_roofline_color(ROOFLINE_ROOF));
}

/* Only the best unit of each type. */
static bool is_drawn(const struct tfr_roofs *roofs, int index) {
    for (int i = 0; i < roofs->n_flops; i++) {
        const double rate = roofs->flops[i].all_cores, own = roofs->flops[index].all_cores;
        if (i != index && roofs->flops[i].dtype == roofs->flops[index].dtype && (rate > own || (rate == own && i > index))) {
            return false;
        }
    }
    return true;
}

static void put_peaks(struct picture *picture, double steepest) {
    const struct tfr_roofs *roofs = picture->roofs;
    for (int i = 0; i < roofs->n_flops; i++) {
        const struct tfr_flop_roof *roof = &roofs->flops[i];
        char text[80];
        if (!is_drawn(roofs, i)) {
            continue;
        }
        const double y = tfr_roofline_y(&picture->axes, roof->all_cores);
        put_line(picture->out, roof->all_cores / steepest, roof->all_cores, picture->axes.x_high, roof->all_cores);
        snprintf(text, sizeof text, "%s %s %.0f GFLOP/s", tfr_dtype_name((enum tfr_dtype)roof->dtype),
                 roof->isa != 0 ? tfr_isa_name(roof->isa) : "", roof->all_cores / 1e9);
        put_label(picture->out, text, ROOFLINE_RIGHT - 4, y - 9, "right", 0, ROOFLINE_INK);
        tfr_roofline_take(&picture->boxes, ROOFLINE_RIGHT - 8.0 * (double)strlen(text), y - 18, ROOFLINE_RIGHT, y + 3);
    }
}

/* Along the line, a little above it, and where the line is inside the frame. */
static void put_slope(struct picture *picture, const char *name, double bandwidth, double peak) {
    const struct roofline_axes *axes = &picture->axes;
    const double start = fmax(axes->x_low, axes->y_low / bandwidth), x0 = tfr_roofline_x(axes, start),
                 y0 = tfr_roofline_y(axes, start * bandwidth), x1 = tfr_roofline_x(axes, peak / bandwidth),
                 y1 = tfr_roofline_y(axes, peak), angle = atan2(y0 - y1, x1 - x0);
    char text[80];
    put_line(picture->out, start, start * bandwidth, peak / bandwidth, peak);
    snprintf(text, sizeof text, "%s %.0f GB/s", name, bandwidth / 1e9);
    const double along = 26, off = 10, length = hypot(x1 - x0, y0 - y1);
    for (double d = 0; d < length; d += 6) {
        tfr_roofline_take(&picture->boxes, x0 + d * cos(angle) - 2, y0 - d * sin(angle) - 2, x0 + d * cos(angle) + 2,
                          y0 - d * sin(angle) + 2);
    }
    put_label(picture->out, text, x0 + along * cos(angle) - off * sin(angle), y0 - along * sin(angle) - off * cos(angle), "left",
              angle * 180 / M_PI, ROOFLINE_INK);
    for (double d = along; d < along + 8.0 * (double)strlen(text); d += 12) {
        const double x = x0 + d * cos(angle) - off * sin(angle), y = y0 - d * sin(angle) - off * cos(angle);
        tfr_roofline_take(&picture->boxes, x - 6, y - 8, x + 8, y + 8);
    }
}

/* What half fills a level is found there. Levels that differ little from the one above are left out. */
static double put_slopes(struct picture *picture) {
    const struct tfr_roofs *roofs = picture->roofs;
    const double threads = roofs->n_threads, peak = highest_peak(roofs);
    const struct {
        const char *name;
        double set;
    } levels[] = {{"L1", (double)roofs->l1d_bytes * threads / 2},
                  {"L2", (double)roofs->l2_bytes * threads / 2},
                  {"L3", (double)roofs->l3_bytes / 2},
                  {"memory", 1e18}};
    double steepest = 0, above = INFINITY;
    for (size_t i = 0; i < TFR_COUNT_OF(levels); i++) {
        const double bandwidth = tfr_roof_bandwidth(roofs, roofs->n_threads, levels[i].set);
        const bool is_known = levels[i].set > 0 && (roofs->n_bandwidths > 1 || i + 1 == TFR_COUNT_OF(levels)); /* nominal: memory */
        if (is_known && bandwidth < 0.8 * above) {
            put_slope(picture, levels[i].name, bandwidth, peak);
            steepest = fmax(steepest, bandwidth);
            above = bandwidth;
        }
    }
    return steepest;
}

static enum roofline_color color_of(enum tfr_phase phase) {
    return phase == TFR_PHASE_PREFILL ? ROOFLINE_PREFILL : ROOFLINE_DECODE;
}

static void put_dots(struct picture *picture) {
    static const char *const aligns[] = {"right", "center", "left"};
    for (int i = 0; i < picture->n_dots; i++) {
        const double x = tfr_roofline_x(&picture->axes, picture->dots[i].intensity),
                     y = tfr_roofline_y(&picture->axes, picture->dots[i].rate);
        tfr_roofline_take(&picture->boxes, x - 6, y - 6, x + 6, y + 6);
    }
    for (int i = 0; i < picture->n_dots; i++) {
        const struct dot *dot = &picture->dots[i];
        const double x = tfr_roofline_x(&picture->axes, dot->intensity), y = tfr_roofline_y(&picture->axes, dot->rate);
        const struct roofline_place place = tfr_roofline_place(&picture->boxes, x, y, dot->name);
        put_label(picture->out, dot->name, place.x, place.y, aligns[place.align + 1], 0, color_of(dot->phase));
    }
}

/* The two lines on top: what the dots are. */
static void put_legend(struct picture *picture) {
    put_label(picture->out, picture->profile->model, ROOFLINE_LEFT, 18, "left", 0, ROOFLINE_INK);
    double x = ROOFLINE_LEFT;
    for (int phase = 0; phase < TFR_PHASE_COUNT; phase++) {
        const struct tfr_profile_phase *of = &picture->profile->phase[phase];
        char text[120];
        if (!of->is_there) {
            continue;
        }
        if (phase == TFR_PHASE_PREFILL) {
            snprintf(text, sizeof text, "prefill of %lld rows", (long long)of->first.rows);
        } else {
            snprintf(text, sizeof text, "decode of %lld row%s behind %lld positions", (long long)of->first.rows,
                     of->first.rows == 1 ? "" : "s", (long long)of->first.past);
        }
        fprintf(picture->out, "set label '' at screen %g,screen %g point pt %d ps 0.9 lc rgb '%s'\n", (x + 6) / ROOFLINE_WIDTH,
                1 - 40.0 / ROOFLINE_HEIGHT, phase == TFR_PHASE_PREFILL ? 7 : 9,
                tfr_roofline_color(color_of((enum tfr_phase)phase)));
        put_label(picture->out, text, x + 18, 40, "left", 0, color_of((enum tfr_phase)phase));
        x += 50 + 7.5 * (double)strlen(text);
    }
}

static void put_data(struct picture *picture) {
    FILE *out = picture->out;
    fprintf(out, "set key off\nplot ");
    for (int phase = 0; phase < TFR_PHASE_COUNT; phase++) {
        fprintf(out, "%s'-' with points pt %d ps 0.9 lc rgb '%s'", phase > 0 ? ", " : "", phase == TFR_PHASE_PREFILL ? 7 : 9,
                tfr_roofline_color(color_of((enum tfr_phase)phase)));
    }
    fprintf(out, "\n");
    for (int phase = 0; phase < TFR_PHASE_COUNT; phase++) {
        for (int i = 0; i < picture->n_dots; i++) {
            if (picture->dots[i].phase == (enum tfr_phase)phase) {
                fprintf(out, "%g %g\n", picture->dots[i].intensity, picture->dots[i].rate / 1e9);
            }
        }
        fprintf(out, picture->profile->phase[phase].is_there ? "e\n" : "NaN NaN\ne\n");
    }
}

static enum tfr_status make_script(struct picture *picture, char **script) {
    size_t size;
    for (int phase = 0; phase < TFR_PHASE_COUNT; phase++) {
        if (picture->profile->phase[phase].is_there) {
            TFR_TRY(find_dots(picture, (enum tfr_phase)phase));
        }
    }
    set_axes(picture);
    TFR_TRY(tfr_memtext_open(&picture->out, script, &size));
    put_start(picture);
    put_peaks(picture, put_slopes(picture));
    put_dots(picture);
    put_legend(picture);
    put_data(picture);
    return tfr_memtext_close(picture->out, script);
}

enum tfr_status tfr_roofline_check(void) {
    return tfr_gnuplot_check();
}

enum tfr_status tfr_report_roofline(const struct tfr_profile *profile, char **svg) {
    struct picture picture = {.profile = profile, .roofs = &profile->calibration.roofs};
    char *script, *drawing = NULL;
    size_t size;
    FILE *out;
    *svg = NULL;
    enum tfr_status status = make_script(&picture, &script);
    tfr_free(picture.dots);
    TFR_TRY(status);
    status = tfr_gnuplot(script, &drawing);
    tfr_free(script);
    TFR_TRY(status);
    status = tfr_memtext_open(&out, svg, &size);
    if (status == TFR_OK) {
        tfr_roofline_put_styled(drawing, "Roofline of tfrun", out);
        status = tfr_memtext_close(out, svg);
    }
    tfr_free(drawing);
    return status;
}

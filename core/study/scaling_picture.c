/* scaling_picture.c - what more cores bring as pictures: a script for gnuplot for each kind and case, with the numbers in it. */
#include <tfrun/study.h>

#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "base/status.h"
#include "report/gnuplot.h"
#include "study/scaling.h"

enum { MOST_LINES = 8 };

/* Colours that are told apart on light and dark paper, and by those who see fewer colours. */
static const char *const colors[MOST_LINES] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                               "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b"};

/* Points of one line: of the same source, settings and threads; the same work, or as much for each core. */
static bool same_line(const struct tfr_scaling_point *x, const struct tfr_scaling_point *y, enum tfr_scaling_kind kind) {
    const struct tfr_scaling_point *x_base = x->base[kind], *y_base = y->base[kind];
    return x_base != NULL && y_base != NULL && x_base->figure->what.kind == y_base->figure->what.kind &&
           x_base->figure->what.n == y_base->figure->what.n && x->simulated == y->simulated &&
           x->bench->n_threads == y->bench->n_threads && strcmp(x->settings, y->settings) == 0;
}

static bool is_first_of_line(const struct tfr_scaling_point *points, size_t i, enum tfr_scaling_kind kind) {
    for (size_t other = 0; other < i; other++) {
        if (same_line(&points[other], &points[i], kind)) {
            return false;
        }
    }
    return points[i].base[kind] != NULL;
}

/* A line with nothing but what others are compared with is none. */
static bool compares(const struct tfr_scaling_point *points, size_t n, size_t first, enum tfr_scaling_kind kind) {
    for (size_t i = first; i < n; i++) {
        if (same_line(&points[first], &points[i], kind) && points[i].base[kind]->cores < points[i].cores) {
            return true;
        }
    }
    return false;
}

/* A text between single quotes of gnuplot, on one line: whatever stands behind its end would be a command. */
static void put_quoted(FILE *out, const char *text) {
    fputc('\'', out);
    for (const char *at = text; *at != '\0'; at++) {
        const bool is_plain = (unsigned char)*at >= 0x20 && *at != 0x7F;
        fputs(*at == '\'' ? "''" : is_plain ? (char[2]){*at, '\0'} : "?", out);
    }
    fputc('\'', out);
}

static void put_line_data(FILE *out, const struct tfr_scaling_point *points, size_t n, size_t first, enum tfr_scaling_kind kind,
                          int line) {
    fprintf(out, "$line%d << end\n", line);
    for (size_t i = first; i < n; i++) {
        if (same_line(&points[first], &points[i], kind)) {
            const struct tfr_scaling_gain gain = tfr_scaling_gain(&points[i], kind);
            fprintf(out, "%lld %.6f %.6f %.6f\n", (long long)points[i].cores, gain.speedup, gain.low, gain.high);
        }
    }
    fprintf(out, "end\n");
}

static void put_title(FILE *out, const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    const struct tfr_scaling_point *base = point->base[kind];
    char *from = kind == TFR_SCALING_WEAK ? tfr_format(", from %lld on", (long long)base->figure->what.n) : tfr_strdup("");
    char *title = tfr_format("%s, %d thread%s a rank%s%s%s", tfr_scaling_source(point), point->bench->n_threads,
                             tfr_plural(point->bench->n_threads), from != NULL ? from : "", point->settings[0] != '\0' ? ", " : "",
                             point->settings);
    put_quoted(out, title != NULL ? title : "");
    tfr_free(title);
    tfr_free(from);
}

static void put_frame(FILE *out, const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    const struct tfr_bench_case *what = &point->figure->what;
    char *of = kind == TFR_SCALING_WEAK ? tfr_strdup("sequences for each core")
                                        : tfr_format("%s %lld", tfr_bench_kind_name(what->kind), (long long)what->n);
    char *title = tfr_format("%s scaling, %s: %s", tfr_scaling_kind_name(kind), of != NULL ? of : "", point->bench->model);
    fprintf(out, "set terminal svg size 760,560 dynamic noenhanced font 'sans-serif,13' background '#ffffff'\n");
    fprintf(out, "set title ");
    put_quoted(out, title != NULL ? title : "");
    fprintf(out, "\nset xlabel 'cores: ranks times threads'\nset ylabel 'speed-up, with an interval of 95 %%'\n");
    fprintf(out,
            "set logscale xy 2\nset grid\nset key below left Left reverse width -20\nset offsets graph 0.05, graph 0.05, 0, 0\n");
    fprintf(out, "plot x / %.15g title 'ideal' with lines dashtype 2 linecolor '#7f7f7f'", (double)point->base[kind]->cores);
    tfr_free(title);
    tfr_free(of);
}

static void put_script(FILE *out, const struct tfr_scaling_point *points, size_t n, enum tfr_scaling_kind kind) {
    size_t firsts[MOST_LINES];
    int n_lines = 0;
    for (size_t i = 0; i < n && n_lines < MOST_LINES; i++) {
        if (is_first_of_line(points, i, kind) && compares(points, n, i, kind)) {
            put_line_data(out, points, n, i, kind, n_lines);
            firsts[n_lines++] = i;
        }
    }
    put_frame(out, &points[firsts[0]], kind);
    for (int line = 0; line < n_lines; line++) {
        const struct tfr_scaling_point *point = &points[firsts[line]];
        fprintf(out, ", \\\n  $line%d using 1:2:3:4 title ", line);
        put_title(out, point, kind);
        fprintf(out, " with yerrorlines linewidth 1.5 linecolor '%s' pointtype %d%s", colors[line], point->simulated ? 6 : 7,
                point->simulated ? " dashtype 4" : "");
    }
    fputc('\n', out);
}

static enum tfr_status make(struct tfr_scaling_picture *picture, const struct tfr_scaling_point *points, size_t n,
                            enum tfr_scaling_kind kind) {
    const struct tfr_bench_case *what = &points[0].figure->what;
    FILE *out;
    size_t size;
    TFR_TRY(tfr_memtext_open(&out, &picture->script, &size));
    put_script(out, points, n, kind);
    TFR_TRY(tfr_memtext_close(out, &picture->script));
    picture->name = kind == TFR_SCALING_WEAK ? tfr_strdup("weak-sequences")
                                             : tfr_format("strong-%s-%lld", tfr_bench_kind_name(what->kind), (long long)what->n);
    return picture->name != NULL ? TFR_OK : TFR_RESOURCE;
}

/* Somebody is compared with fewer cores. */
static bool shows_something(const struct tfr_scaling_point *points, size_t n, enum tfr_scaling_kind kind) {
    for (size_t i = 0; i < n; i++) {
        if (points[i].base[kind] != NULL && points[i].base[kind]->cores < points[i].cores) {
            return true;
        }
    }
    return false;
}

static enum tfr_status add(struct tfr_scaling_picture *pictures, size_t *n, const struct tfr_scaling_point *points, size_t n_points,
                           enum tfr_scaling_kind kind) {
    return shows_something(points, n_points, kind) ? make(&pictures[(*n)++], points, n_points, kind) : TFR_OK;
}

/* Of each case a strong one; of all together a weak one. */
static enum tfr_status make_all(const struct tfr_scaling *scaling, struct tfr_scaling_picture *pictures, size_t *n) {
    for (size_t first = 0, alike; first < scaling->n; first += alike) {
        const struct tfr_bench_case *what = &scaling->points[first].figure->what, *other;
        for (alike = 1; first + alike < scaling->n; alike++) {
            other = &scaling->points[first + alike].figure->what;
            if (other->kind != what->kind || other->n != what->n) {
                break;
            }
        }
        TFR_TRY(add(pictures, n, scaling->points + first, alike, TFR_SCALING_STRONG));
    }
    return add(pictures, n, scaling->points, scaling->n, TFR_SCALING_WEAK);
}

enum tfr_status tfr_scaling_pictures(const struct tfr_scaling *scaling, struct tfr_scaling_picture **pictures, size_t *n) {
    *n = 0;
    *pictures = tfr_alloc(scaling->n + 1, sizeof **pictures);
    const enum tfr_status status = *pictures != NULL ? make_all(scaling, *pictures, n) : TFR_RESOURCE;
    if (status != TFR_OK) {
        tfr_scaling_pictures_free(*pictures, *n);
        *pictures = NULL;
    }
    return status;
}

void tfr_scaling_pictures_free(struct tfr_scaling_picture *pictures, size_t n) {
    for (size_t i = 0; pictures != NULL && i < n; i++) {
        tfr_free(pictures[i].name);
        tfr_free(pictures[i].script);
    }
    tfr_free(pictures);
}

enum tfr_status tfr_scaling_draw(const struct tfr_scaling_picture *picture, char **svg) {
    return tfr_gnuplot(picture->script, svg);
}

/* scaling_picture.c - what more cores bring as pictures: a script for gnuplot for each kind and case, with the numbers in it.
 *
 * Of strong scaling a picture shows one case, of weak scaling one number of sequences for each core. A line is a layout; it begins
 * at what it is compared with. */
#include <tfrun/study.h>

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "base/status.h"
#include "report/gnuplot.h"
#include "study/scaling.h"

enum { N_COLORS = 8, MOST_LINES = 2 * N_COLORS, MOST_TICS = 16 };

/* What one picture shows: points that are compared with the same work. */
struct view {
    const struct tfr_scaling *scaling;
    enum tfr_scaling_kind kind;
    const struct tfr_scaling_point *first;
    size_t lines[MOST_LINES]; /* the first point of each */
    int n_lines;
    bool has_more; /* lines than it shows */
};

/* Colours that are told apart on light and dark paper, and by those who see fewer colours. */
static const char *const colors[N_COLORS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                             "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b"};

/* Whether the point is one of those that the picture is about; what they are compared with is none. */
static bool is_shown(const struct view *view, const struct tfr_scaling_point *point) {
    const struct tfr_scaling_point *base = point->base[view->kind], *first = view->first;
    if (base == NULL || base->cores == point->cores || point->figure->what.kind != first->figure->what.kind) {
        return false;
    }
    return view->kind == TFR_SCALING_WEAK ? base->figure->what.n == first->base[view->kind]->figure->what.n
                                          : point->figure->what.n == first->figure->what.n;
}

/* Points of one line: of the same source, settings and threads, compared with one point. */
static bool same_line(const struct tfr_scaling_point *x, const struct tfr_scaling_point *y, enum tfr_scaling_kind kind) {
    return x->base[kind] == y->base[kind] && x->simulated == y->simulated && x->bench->n_threads == y->bench->n_threads &&
           strcmp(x->settings, y->settings) == 0;
}

static void find_lines(struct view *view) {
    const struct tfr_scaling_point *points = view->scaling->points;
    for (size_t i = 0; i < view->scaling->n; i++) {
        bool is_new = is_shown(view, &points[i]);
        for (int line = 0; line < view->n_lines && is_new; line++) {
            is_new = !same_line(&points[view->lines[line]], &points[i], view->kind);
        }
        if (is_new && view->n_lines < MOST_LINES) {
            view->lines[view->n_lines++] = i;
        } else if (is_new) {
            view->has_more = true;
        }
    }
}

/* How many characters at the end of the settings all lines have in common, in whole options: those are told once. */
static size_t common_end(const struct view *view) {
    const char *first = view->scaling->points[view->lines[0]].settings;
    size_t common = strlen(first);
    for (int line = 1; line < view->n_lines; line++) {
        const char *other = view->scaling->points[view->lines[line]].settings;
        size_t n = 0, whole = 0;
        const size_t length = strlen(first), other_length = strlen(other);
        while (n < common && n < other_length && first[length - n - 1] == other[other_length - n - 1]) {
            n++;
            const bool begins = n == length || first[length - n - 1] == ' ';
            whole = begins && (n == other_length || other[other_length - n - 1] == ' ') ? n : whole;
        }
        common = whole;
    }
    return common;
}

/* A text between single quotes of gnuplot, on one line: whatever stands behind its end would be a command. */
static void put_within(FILE *out, const char *text, size_t size) {
    for (const char *at = text; at < text + size; at++) {
        const bool is_plain = (unsigned char)*at >= 0x20 && *at != 0x7F;
        fputs(*at == '\'' ? "''" : is_plain ? (char[2]){*at, '\0'} : "?", out);
    }
}

static void put_quoted(FILE *out, const char *text) {
    fputc('\'', out);
    put_within(out, text, strlen(text));
    fputc('\'', out);
}

static void put_point(FILE *out, const struct tfr_scaling_point *point, enum tfr_scaling_kind kind) {
    const struct tfr_scaling_gain gain = tfr_scaling_gain(point, kind);
    fprintf(out, "%lld %.6f %.6f %.6f\n", (long long)point->cores, gain.speedup, gain.low, gain.high);
}

static void put_line_data(FILE *out, const struct view *view, int line) {
    const struct tfr_scaling_point *first = &view->scaling->points[view->lines[line]];
    fprintf(out, "$line%d << end\n%lld 1 1 1\n", line, (long long)first->base[view->kind]->cores);
    for (size_t i = 0; i < view->scaling->n; i++) {
        const struct tfr_scaling_point *point = &view->scaling->points[i];
        if (is_shown(view, point) && same_line(first, point, view->kind)) {
            put_point(out, point, view->kind);
        }
    }
    fprintf(out, "end\n");
}

static void put_title(FILE *out, const struct tfr_scaling_point *point, size_t told) {
    const char *source = tfr_scaling_source(point);
    size_t length = strlen(point->settings) - told;
    length -= length > 0 && told > 0; /* the blank before what is told */
    fputc('\'', out);
    put_within(out, source, strlen(source));
    fputs(length > 0 ? ", " : "", out);
    put_within(out, point->settings, length);
    fprintf(out, ", %d thread%s a rank'", point->bench->n_threads, tfr_plural(point->bench->n_threads));
}

static void put_subject(FILE *out, const struct view *view) {
    const struct tfr_bench_case *what = &view->first->figure->what;
    const struct tfr_scaling_point *base = view->first->base[view->kind];
    const long long n = (long long)what->n;
    const double each = (double)base->figure->what.n / (double)base->cores;
    if (view->kind == TFR_SCALING_WEAK) {
        fprintf(out, "%.3g sequence%s for each core", each, each > 1 ? "s" : "");
    } else if (what->kind == TFR_BENCH_DECODE) {
        fprintf(out, "a token behind %lld cached positions", n);
    } else if (what->kind == TFR_BENCH_PREFILL) {
        fprintf(out, "a prompt of %lld tokens", n);
    } else if (what->kind == TFR_BENCH_MIXED) {
        fprintf(out, "a step with %lld rows of a prompt beside decodes", n);
    } else if (what->kind == TFR_BENCH_CLASS) {
        fprintf(out, "%lld rows in a step", n);
    } else if (what->kind == TFR_BENCH_STEPS) {
        fprintf(out, "a step of %lld sequence%s", n, tfr_plural(n));
    } else {
        fprintf(out, "%lld sequence%s side by side", n, tfr_plural(n));
    }
}

static void put_heading(FILE *out, const struct view *view, size_t told) {
    const struct tfr_bench *bench = view->first->bench;
    const char *settings = view->scaling->points[view->lines[0]].settings;
    fprintf(out, "set title '%s scaling: ", view->kind == TFR_SCALING_WEAK ? "Weak" : "Strong");
    put_subject(out, view);
    fprintf(out, "' . \"\\n\" . '");
    put_within(out, bench->model, strlen(bench->model));
    fputs("; ", out);
    put_within(out, bench->machine, strlen(bench->machine));
    fputc('\'', out);
    if (told > 0) {
        fprintf(out, " . \"\\n\" . ");
        put_quoted(out, settings + strlen(settings) - told);
    }
    fprintf(out, "%s\n", view->has_more ? " . \"\\nThere are more layouts than these lines: give fewer documents\"" : "");
}

/* A tic for each number of cores that there is, but for many. */
static void put_tics(FILE *out, const struct view *view) {
    int64_t tics[MOST_TICS] = {view->first->base[view->kind]->cores};
    int n = 1;
    for (size_t i = 0; i < view->scaling->n; i++) {
        const struct tfr_scaling_point *point = &view->scaling->points[i];
        bool is_new = is_shown(view, point);
        for (int tic = 0; tic < n && is_new; tic++) {
            is_new = tics[tic] != point->cores;
        }
        if (is_new && n == MOST_TICS) {
            return;
        }
        if (is_new) {
            tics[n++] = point->cores;
        }
    }
    for (int tic = 0; tic < n; tic++) {
        fprintf(out, "%s%lld", tic == 0 ? "set xtics (" : ", ", (long long)tics[tic]);
    }
    fprintf(out, ")\n");
}

/* Where measured points leave the cores that they have alone. */
static void put_border(FILE *out, const struct view *view) {
    double most_own = 0, least_shared = HUGE_VAL;
    for (size_t i = 0; i < view->scaling->n; i++) {
        const struct tfr_scaling_point *point = &view->scaling->points[i];
        if (is_shown(view, point) && !point->simulated) {
            most_own = fmax(most_own, (double)(point->crowded ? point->base[view->kind]->cores : point->cores));
            least_shared = fmin(least_shared, point->crowded ? (double)point->cores : HUGE_VAL);
        }
    }
    if (most_own < least_shared && least_shared < HUGE_VAL) {
        const double at = sqrt(most_own * least_shared);
        fprintf(out, "set arrow from %.6g, graph 0 to %.6g, graph 1 nohead dashtype 3 linecolor '#7f7f7f'\n", at, at);
        fprintf(out, "set label 'more threads than cores' at %.6g, graph 0.03 offset 0.5, 0 textcolor '#5f5f5f'\n", at);
    }
}

/* Room for all bars, and for the lines of efficiency. */
static void put_ranges(FILE *out, const struct view *view) {
    double cores = 1, low = 0.5, high = 1;
    const double base = (double)view->first->base[view->kind]->cores;
    for (size_t i = 0; i < view->scaling->n; i++) {
        const struct tfr_scaling_point *point = &view->scaling->points[i];
        if (is_shown(view, point)) {
            const struct tfr_scaling_gain gain = tfr_scaling_gain(point, view->kind);
            cores = fmax(cores, gain.q);
            low = fmin(low, gain.low);
            high = fmax(high, fmax(gain.high, gain.q));
        }
    }
    fprintf(out, "set xrange [%.6g:%.6g]\nset yrange [%.6g:%.6g]\n", base * 0.9, base * cores * 1.1, low * 0.9, high * 1.1);
}

static void put_frame(FILE *out, const struct view *view, size_t told) {
    const double base = (double)view->first->base[view->kind]->cores;
    fprintf(out, "set terminal svg size 760,600 dynamic noenhanced font 'sans-serif,13' background '#ffffff'\n");
    put_heading(out, view, told);
    fprintf(out,
            "set xlabel 'cores asked for: ranks times threads'\nset ylabel 'speed-up over %.15g core%s, bars: interval of 95 %%'\n",
            base, base > 1 ? "s" : "");
    fprintf(out, "set logscale xy 2\nset grid\nset bars 0.7\nset key below left Left reverse width -20 maxcols 1\n");
    put_ranges(out, view);
    fprintf(out, "set ytics (0.03125, 0.0625, 0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, "
                 "512, 1024)\n");
    put_tics(out, view);
    put_border(out, view);
    fprintf(out, "plot x / %.15g title 'ideal' with lines dashtype 2 linecolor '#5f5f5f'", base);
    fprintf(out, ", \\\n  x / %.15g / 2 title 'efficiency 50 %%' with lines dashtype 3 linecolor '#9f9f9f'", base);
}

/* Lines stand a little beside each other, so that their bars can be told apart. */
static void put_script(FILE *out, struct view *view) {
    find_lines(view);
    const size_t told = common_end(view);
    for (int line = 0; line < view->n_lines; line++) {
        put_line_data(out, view, line);
    }
    put_frame(out, view, told);
    for (int line = 0; line < view->n_lines; line++) {
        const struct tfr_scaling_point *point = &view->scaling->points[view->lines[line]];
        fprintf(out, ", \\\n  $line%d using ($1 * %.3f):2:3:4 title ", line, 1 + 0.012 * (line - 0.5 * (view->n_lines - 1)));
        put_title(out, point, told);
        fprintf(out, " with yerrorlines linewidth 1.5 linecolor '%s' pointtype %d pointsize 0.8%s", colors[line % N_COLORS],
                (point->simulated ? 6 : 7) - (line < N_COLORS ? 0 : 2), point->simulated ? " dashtype 4" : "");
    }
    fputc('\n', out);
}

static enum tfr_status make(struct tfr_scaling_picture *picture, struct view *view) {
    const struct tfr_bench_case *what = &view->first->figure->what;
    FILE *out;
    size_t size;
    TFR_TRY(tfr_memtext_open(&out, &picture->script, &size));
    put_script(out, view);
    TFR_TRY(tfr_memtext_close(out, &picture->script));
    const int64_t n = view->kind == TFR_SCALING_WEAK ? view->first->base[view->kind]->figure->what.n : what->n;
    picture->name = tfr_format("%s-%s-%lld", tfr_scaling_kind_name(view->kind), tfr_bench_kind_name(what->kind), (long long)n);
    return picture->name != NULL ? TFR_OK : TFR_RESOURCE;
}

/* One for each first point that no earlier view shows. */
static enum tfr_status make_all(const struct tfr_scaling *scaling, struct tfr_scaling_picture *pictures, size_t *n) {
    for (int kind = 0; kind < TFR_SCALING_KINDS; kind++) {
        for (size_t i = 0; i < scaling->n; i++) {
            struct view view = {.scaling = scaling, .kind = (enum tfr_scaling_kind)kind, .first = &scaling->points[i]};
            bool is_new = view.first->base[kind] != NULL && is_shown(&view, view.first);
            for (size_t before = 0; before < i && is_new; before++) {
                is_new = !is_shown(&view, &scaling->points[before]);
            }
            if (is_new) {
                TFR_TRY(make(&pictures[(*n)++], &view));
            }
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_scaling_pictures(const struct tfr_scaling *scaling, struct tfr_scaling_picture **pictures, size_t *n) {
    *n = 0;
    *pictures = tfr_alloc(TFR_SCALING_KINDS * scaling->n + 1, sizeof **pictures);
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

/* link.c - see link.h. */
#include "predict/link.h"

#include <math.h>
#include <stdio.h>

/* Least squares of (alpha + bytes * beta - ns) / ns: with u = 1 / ns and v = bytes / ns, alpha u + beta v is to be 1. */
struct tfr_link tfr_link_fit(const struct tfr_link_point *points, size_t n) {
    double uu = 0, uv = 0, vv = 0, u1 = 0, v1 = 0;
    for (size_t i = 0; i < n; i++) {
        const double u = 1 / points[i].ns, v = points[i].bytes / points[i].ns;
        uu += u * u;
        uv += u * v;
        vv += v * v;
        u1 += u;
        v1 += v;
    }
    const double determinant = uu * vv - uv * uv;
    struct tfr_link link = {.alpha_ns = (u1 * vv - v1 * uv) / determinant, .byte_ns = (v1 * uu - u1 * uv) / determinant};
    if (!(link.byte_ns > 0)) {
        link = (struct tfr_link){.alpha_ns = u1 / uu};
    } else if (!(link.alpha_ns >= 0)) {
        link = (struct tfr_link){.byte_ns = v1 / vv};
    }
    return link;
}

/* A way takes half an interval in the mean until it is looked for, or a whole one every second time where both ends look in turn:
 * to and fro, every way costs one interval. */
static double ways_of(const struct tfr_link_point *point) {
    return point->computing_ns <= 0 ? 1 : 2 * (point->computing_ns - point->ns) / TFR_LOOK_NS;
}

struct tfr_link tfr_link_fit_ways(const struct tfr_link_point *points, size_t n) {
    enum { LEAST = 2 };          /* points of a line */
    const double several = 1.75; /* ways of a message that is told first are two at least; of one that is not, one */
    const double hidden = 0.25;  /* of a way, behind others */
    size_t n_small = 0;          /* up to here: two in a row are no chance */
    while (n_small + 1 < n && !(ways_of(&points[n_small]) > several && ways_of(&points[n_small + 1]) > several)) {
        n_small++;
    }
    if (n_small < LEAST || n_small + 1 >= n) {
        return tfr_link_fit(points, n);
    }
    struct tfr_link link = tfr_link_fit(points, n_small);
    const struct tfr_link large = tfr_link_fit(points + n_small, n - n_small);
    link.large = (struct tfr_large_messages){
        .above_bytes = points[n_small - 1].bytes,
        .alpha_ns = large.alpha_ns,
        .byte_ns = large.byte_ns,
        .ways = fmin(ceil(fmin(ways_of(&points[n_small]), ways_of(&points[n_small + 1])) - hidden), TFR_MOST_WAYS)};
    return link;
}

double tfr_link_late_ns(const struct tfr_link *link, double ranks) {
    return ranks < 2 ? 0 : link->late_ns + link->later_ns * (log2(ranks) - 1);
}

void tfr_link_fit_late(struct tfr_link *link, const struct tfr_late_point *points, size_t n) {
    double sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = log2(points[i].ranks) - 1, y = fmax(points[i].ns, 0);
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    const double spread = (double)n * sxx - sx * sx, slope = spread > 0 ? ((double)n * sxy - sx * sy) / spread : 0;
    link->later_ns = fmax(slope, 0);
    link->late_ns = n > 0 ? fmax((sy - link->later_ns * sx) / (double)n, 0) : 0;
}

static double gb_s(double byte_ns) {
    return byte_ns > 0 ? 1 / byte_ns : INFINITY;
}

void tfr_link_describe(const struct tfr_link *link, char *text, size_t size) {
    char large[128] = "", late[128] = "";
    if (link->large.above_bytes > 0) {
        snprintf(large, sizeof large, "; above %.3g KiB in %.0f ways, %.3g us and %.3g GB/s", link->large.above_bytes / 1024,
                 link->large.ways, link->large.alpha_ns / 1e3, gb_s(link->large.byte_ns));
    }
    if (link->late_ns + link->later_ns > 0) {
        snprintf(late, sizeof late, "; two ranks that compute are %.3g us late, and %.3g us more with each doubling",
                 link->late_ns / 1e3, link->later_ns / 1e3);
    }
    snprintf(text, size, "%.3g us and %.3g GB/s%s%s", link->alpha_ns / 1e3, gb_s(link->byte_ns), large, late);
}

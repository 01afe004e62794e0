/* link.c - see link.h. */
#include "predict/link.h"

#include <math.h>

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

/* predict.c - see predict.h. */
#include "predict/predict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static double between(double x, double x0, double x1, double y0, double y1) {
    const double share = x1 > x0 ? (x - x0) / (x1 - x0) : 0;
    return y0 + (y1 - y0) * fmax(0, fmin(1, share));
}

/* A team of another size than the measured one reaches a share of what all cores did, and not less than one core. */
static double of_threads(const struct tfr_roofs *roofs, int threads, double one_core, double all_cores) {
    if (threads <= 1 || roofs->n_threads <= 1) {
        return one_core;
    }
    return between(threads, 1, roofs->n_threads, one_core, all_cores);
}

double tfr_roof_bandwidth(const struct tfr_roofs *roofs, int threads, double set) {
    int i = 0;
    if (roofs->n_bandwidths == 0) {
        return 0;
    }
    while (i + 1 < roofs->n_bandwidths && (double)roofs->bandwidth[i + 1].bytes <= set) {
        i++;
    }
    const struct tfr_bandwidth *low = &roofs->bandwidth[i], *high = &roofs->bandwidth[i + 1 < roofs->n_bandwidths ? i + 1 : i];
    const double at = log(fmax(set, 1)), from = log((double)low->bytes), to = log((double)high->bytes);
    return between(at, from, to, of_threads(roofs, threads, low->one_core, low->all_cores),
                   of_threads(roofs, threads, high->one_core, high->all_cores));
}

/* The units that a kernel names; of one that takes what there is, the best. A narrow type without units of its own is widened. */
double tfr_roof_flops(const struct tfr_roofs *roofs, int threads, enum tfr_dtype dtype, uint32_t isa) {
    double best = 0, named = 0;
    for (int i = 0; i < roofs->n_flops; i++) {
        const struct tfr_flop_roof *roof = &roofs->flops[i];
        if (roof->dtype != (int32_t)dtype) {
            continue;
        }
        const double rate = of_threads(roofs, threads, roof->one_core, roof->all_cores);
        best = fmax(best, rate);
        named = (roof->isa & isa) != 0 ? fmax(named, rate) : named;
    }
    const bool has_none = best == 0 || (dtype == TFR_DTYPE_I8 && isa != 0 && named == 0);
    if (dtype != TFR_DTYPE_F32 && has_none) {
        return tfr_roof_flops(roofs, threads, TFR_DTYPE_F32, isa);
    }
    return named > 0 ? named : best;
}

double tfr_roof_ns(const struct tfr_roofs *roofs, const struct tfr_task_facts *facts, enum tfr_bound *bound) {
    const double peak = tfr_roof_flops(roofs, facts->threads, (enum tfr_dtype)facts->dtype, facts->isa);
    const double near = tfr_roof_bandwidth(roofs, facts->threads, facts->near_set);
    const double far = tfr_roof_bandwidth(roofs, facts->threads, facts->far_set);
    const double compute_ns = peak > 0 ? facts->flops / peak * 1e9 : 0;
    const double memory_ns = (near > 0 ? facts->near_bytes / near * 1e9 : 0) + (far > 0 ? facts->far_bytes / far * 1e9 : 0);
    *bound = compute_ns > memory_ns ? TFR_BOUND_COMPUTE : TFR_BOUND_MEMORY;
    return fmax(compute_ns, memory_ns);
}

static double efficiency_of(const struct tfr_calibration_point *point) {
    return point->ns > 0 && point->roof_ns > 0 ? point->roof_ns / point->ns : 1;
}

/* Of the points of one class and number of rows, points[0, n): between the two contexts that stand around this one. */
static double at_context(const struct tfr_calibration_point *points, size_t n, int64_t context) {
    size_t i = 0;
    while (i + 1 < n && points[i + 1].context <= context) {
        i++;
    }
    const struct tfr_calibration_point *low = &points[i], *high = &points[i + 1 < n ? i + 1 : i];
    return between(log1p((double)context), log1p((double)low->context), log1p((double)high->context), efficiency_of(low),
                   efficiency_of(high));
}

static size_t same_rows(const struct tfr_calibration_point *points, size_t n) {
    size_t alike = 1;
    while (alike < n && points[alike].rows == points[0].rows && points[alike].class_rows == points[0].class_rows) {
        alike++;
    }
    return alike;
}

/* Points of one class, by rows: the last group with at most these rows, and the one behind it. */
static double at_rows(const struct tfr_calibration_point *points, size_t n, int64_t rows, int64_t context) {
    const struct tfr_calibration_point *low = points, *end = points + n;
    size_t n_low = same_rows(low, n);
    while (low + n_low < end && low[n_low].rows <= rows) {
        low += n_low;
        n_low = same_rows(low, (size_t)(end - low));
    }
    const struct tfr_calibration_point *high = low + n_low < end ? low + n_low : low;
    const size_t n_high = same_rows(high, (size_t)(end - high));
    return between(log((double)rows), log((double)low->rows), log((double)high->rows), at_context(low, n_low, context),
                   at_context(high, n_high, context));
}

/* Of the class that was asked for, or the least one above it, or the largest. */
static int64_t nearest_class(const struct tfr_calibration_kernel *kernel, int64_t class_rows) {
    int64_t above = 0, largest = 0;
    for (size_t i = 0; i < kernel->n_points; i++) {
        const int64_t rows = kernel->points[i].class_rows;
        if (rows >= class_rows && (above == 0 || rows < above)) {
            above = rows;
        }
        largest = rows > largest ? rows : largest;
    }
    return above > 0 ? above : largest;
}

double tfr_efficiency_at(const struct tfr_calibration_kernel *kernel, int64_t class_rows, int64_t rows, int64_t context) {
    const int64_t found = nearest_class(kernel, class_rows);
    size_t first = 0, n = 0;
    if (kernel->n_points == 0 || rows < 1) {
        return 1;
    }
    while (kernel->points[first].class_rows != found) {
        first++;
    }
    while (first + n < kernel->n_points && kernel->points[first + n].class_rows == found) {
        n++;
    }
    return at_rows(kernel->points + first, n, rows, context);
}

/* How unlike two shapes are: their numbers in turn, as ratios. */
static double distance(const char *a, const char *b) {
    double sum = strcmp(a, b) == 0 ? 0 : 1e-3;
    for (;;) {
        a += strcspn(a, "0123456789");
        b += strcspn(b, "0123456789");
        if (*a == '\0' || *b == '\0') {
            return sum + (*a != *b);
        }
        char *end_a, *end_b;
        sum += fabs(log(fmax(1, strtod(a, &end_a)) / fmax(1, strtod(b, &end_b))));
        a = end_a;
        b = end_b;
    }
}

/* The kernel at this shape; else at the nearest one, of as many threads if there is any. */
static const struct tfr_calibration_kernel *find_alike(const struct tfr_calibration *calibration,
                                                       const struct tfr_task_facts *facts, enum tfr_prediction_base *base) {
    const struct tfr_calibration_kernel *best = NULL;
    double least = INFINITY;
    for (size_t i = 0; i < calibration->n_kernels; i++) {
        const struct tfr_calibration_kernel *known = &calibration->kernels[i];
        if (strcmp(known->kernel, facts->kernel) != 0) {
            continue;
        }
        const double away = distance(known->shape, facts->shape) + (known->threads != facts->threads ? 100 : 0);
        if (away < least) {
            least = away;
            best = known;
        }
    }
    *base = best == NULL ? TFR_BASED_ON_ROOF : least == 0 ? TFR_BASED_ON_SHAPE : TFR_BASED_ON_KERNEL;
    return best;
}

void tfr_predict_task(const struct tfr_calibration *calibration, const struct tfr_task_facts *facts,
                      struct tfr_task_prediction *prediction) {
    const struct tfr_calibration_kernel *alike = find_alike(calibration, facts, &prediction->base);
    prediction->roof_ns = tfr_roof_ns(&calibration->roofs, facts, &prediction->bound);
    prediction->efficiency = 1;
    if (alike != NULL) {
        prediction->efficiency = tfr_efficiency_at(alike, facts->class_rows, facts->rows_each, facts->context);
    }
    prediction->ns = prediction->roof_ns / prediction->efficiency;
}

double tfr_between_roof_ns(const struct tfr_roofs *roofs) {
    enum { LEAST_NS = 100 }; /* where one thread meets nobody */
    return fmax(roofs->barrier_ns, LEAST_NS);
}

double tfr_predict_between(const struct tfr_calibration *calibration, int64_t class_rows, int64_t rows, int n_tasks) {
    const struct tfr_calibration_kernel *known =
        tfr_calibration_find(calibration, TFR_BETWEEN_TASKS, "", calibration->conditions.threads);
    const double efficiency = known != NULL ? tfr_efficiency_at(known, class_rows, rows, 0) : 1;
    return n_tasks * tfr_between_roof_ns(&calibration->roofs) / efficiency;
}

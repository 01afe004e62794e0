/* load_report.h - what all runs of one `tfrun load` measured, as a table, as JSON and as a picture. */
#ifndef TFR_APP_LOAD_LOAD_REPORT_H
#define TFR_APP_LOAD_LOAD_REPORT_H

#include <stdio.h>

#include "app/load/load_run.h"

struct tfr_load_report {
    const char *target, *what, *model; /* URL or CONFIG; what it says of itself */
    bool is_inside;
    struct tfr_load_workload workload;
    struct tfr_load_slo slo;
    struct tfr_load_result **results;
    size_t n_results;
    double capacity; /* requests/s of the closed loop that a sweep begins with; 0: none */
};

/* What the first column has: "closed", "poisson", ... */
const char *tfr_load_kind_name(enum tfr_load_kind kind);

/* Each is TFR_RESOURCE where it has no memory of its own; what `out` could not take, `out` knows. */
enum tfr_status tfr_load_report_text(const struct tfr_load_report *report, FILE *out);
enum tfr_status tfr_load_report_json(const struct tfr_load_report *report, FILE *out);
/* Latencies and tokens over clients or rate, on light and dark ground. */
enum tfr_status tfr_load_report_picture(const struct tfr_load_report *report, FILE *out);

#endif

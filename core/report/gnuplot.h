/* gnuplot.h - runs the program gnuplot on a script. Private to report. Thread rule: one thread. */
#ifndef TFR_REPORT_GNUPLOT_H
#define TFR_REPORT_GNUPLOT_H

#include <tfrun/types.h>

/* What the script writes to its standard output; free with tfr_free. Failure: TFR_RESOURCE, with the package, where there is no
 * gnuplot on PATH. */
enum tfr_status tfr_gnuplot(const char *script, char **drawing);

/* Whether it would be found: before the work. */
enum tfr_status tfr_gnuplot_check(void);

#endif

/* gnuplot.c - see gnuplot.h. */
#include "report/gnuplot.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/program.h"
#include "base/status.h"

static const char missing[] =
    "the picture is drawn by the program gnuplot, which is not on PATH; install the package gnuplot-nox, or "
    "leave out --svg";

enum tfr_status tfr_gnuplot(const char *script, char **drawing) {
    static const char *const arguments[] = {"gnuplot", "--default-settings", "-", NULL}; /* not the user's ~/.gnuplot */
    static const struct tfr_program program = {.arguments = arguments,
                                               .missing = missing,
                                               .failed = "gnuplot failed; its message is above",
                                               .limit_s = TFR_PROGRAM_LIMIT_S};
    size_t size;
    return tfr_program_run(&program, script, drawing, &size);
}

/* In a folder of PATH. */
enum tfr_status tfr_gnuplot_check(void) {
    const char *path = getenv("PATH"), *end;
    for (const char *at = path; at != NULL; at = *end == ':' ? end + 1 : NULL) {
        end = at + strcspn(at, ":");
        char file[PATH_MAX]; /* on the stack: no memory must not look like no program */
        const int length = snprintf(file, sizeof file, "%.*s/gnuplot", end > at ? (int)(end - at) : 1, end > at ? at : ".");
        if (length > 0 && length < (int)sizeof file && access(file, X_OK) == 0) {
            return TFR_OK;
        }
    }
    return path != NULL ? tfr_raise(TFR_RESOURCE, "%s", missing) : TFR_OK; /* without PATH the system has one of its own */
}

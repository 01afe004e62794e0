/* program.h - another program, looked for on PATH and run without a shell, on a text.
 *
 * It starts as from a terminal: no signal is blocked, and SIGPIPE ends it. What it takes too long for is killed. Thread rule: any
 * thread. */
#ifndef TFR_BASE_PROGRAM_H
#define TFR_BASE_PROGRAM_H

#include <stddef.h>

#include <tfrun/types.h>

enum { TFR_PROGRAM_LIMIT_S = 60 };

struct tfr_program {
    const char *const *arguments; /* its name and the rest, up to NULL */
    const char *missing;          /* the sentence where it is not there */
    const char *failed;           /* and where it ends with anything but 0 */
    double limit_s;
};

/* What it writes to its standard output, with '\0' behind it; free with tfr_free. TFR_RESOURCE where it can't be started,
 * TFR_RUNTIME where it fails, writes nothing or takes too long. */
enum tfr_status tfr_program_run(const struct tfr_program *program, const char *input, char **output, size_t *size);

/* Kills those that run, of all threads, and lets none run any more: for the end of the process. */
void tfr_programs_end(void);

#endif

/* usage.h - how the probes say how they are called: one text each, on stdout when asked (exit 0), on stderr behind a mistake (exit
 * 2). */
#ifndef TFR_BENCH_USAGE_H
#define TFR_BENCH_USAGE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints text and ends the program where the first word is --help or -h. */
static inline void bench_help(int argc, char **argv, const char *text) {
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(text, stdout);
        exit(0);
    }
}

/* Prints text as an error; the exit code for main to return. */
static inline int bench_misuse(const char *text) {
    fputs(text, stderr);
    return 2;
}

#endif

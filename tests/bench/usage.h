/* usage.h - how the probes say how they are called: one text each, on stdout when asked (exit 0), on stderr behind a mistake (exit
 * 2). */
#ifndef TFR_BENCH_USAGE_H
#define TFR_BENCH_USAGE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_MOST_THREADS = 1024 };

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

/* The words behind the program's name, at least and at most so many; ends the program with text where they are others. */
static inline void bench_words(int argc, int least, int most, const char *text) {
    if (argc - 1 < least || argc - 1 > most) {
        exit(bench_misuse(text));
    }
}

/* Word i as a whole number of a range, or what is usual where it is not given; ends the program with text where it is none. */
static inline int64_t bench_number(int argc, char **argv, int i, int64_t usual, int64_t least, int64_t most, const char *text) {
    char *end;
    if (i >= argc) {
        return usual;
    }
    errno = 0;
    const long long number = strtoll(argv[i], &end, 10);
    if (errno != 0 || end == argv[i] || *end != '\0' || number < least || number > most) {
        fprintf(stderr, "%s: \"%s\" is not a whole number in %lld..%lld\n", argv[0], argv[i], (long long)least, (long long)most);
        exit(bench_misuse(text));
    }
    return number;
}

#endif

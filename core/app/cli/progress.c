/* progress.c - see progress.h. */
#include "app/cli/progress.h"

#include <stdio.h>
#include <unistd.h>

static const uint64_t terminal_period_ns = 200000000, file_period_ns = 10000000000;

void tfr_progress_line_open(struct tfr_progress_line *line, bool quiet) {
    *line = (struct tfr_progress_line){.quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
}

static void print_time(double seconds) {
    const long left = (long)(seconds + 0.5);
    if (left >= 3600) {
        fprintf(stderr, " | %ld h %02ld min left", left / 3600, left / 60 % 60);
    } else if (left >= 60) {
        fprintf(stderr, " | %ld min %02ld s left", left / 60, left % 60);
    } else {
        fprintf(stderr, " | %ld s left", left);
    }
}

void tfr_progress_line_update(struct tfr_progress_line *line, const struct tfr_progress *progress) {
    const uint64_t period_ns = line->terminal ? terminal_period_ns : file_period_ns;
    if (line->quiet || progress->done == 0 || progress->elapsed_ns - line->last_ns < period_ns) {
        return;
    }
    line->last_ns = progress->elapsed_ns;
    line->shown = line->terminal;
    const double rate = (double)progress->done * 1e9 / (double)progress->elapsed_ns;
    fprintf(stderr, "%stfrun: %s %zu/%zu %s | %.*f/s", line->terminal ? "\r\033[K" : "", progress->what, progress->done,
            progress->total, progress->unit, rate < 10 ? 2 : 0, rate);
    if (progress->value_name != NULL) {
        fprintf(stderr, " | %s %.4f +- %.4f", progress->value_name, progress->value, progress->error);
    }
    print_time((double)(progress->total - progress->done) / rate);
    fputs(line->terminal ? "" : "\n", stderr);
    fflush(stderr);
}

void tfr_progress_line_close(struct tfr_progress_line *line) {
    if (line->shown) {
        fputs("\r\033[K", stderr);
        line->shown = false;
    }
}

/* progress.h - how far long work is, on stderr: one line that is rewritten on a terminal, else a line each
 * ten seconds. Thread rule: main thread. */
#ifndef TFR_APP_PROGRESS_H
#define TFR_APP_PROGRESS_H

#include <tfrun/tfrun.h>

struct tfr_progress_line {
    bool quiet, terminal;
    bool shown; /* an unfinished line stands on the terminal */
    uint64_t last_ns;
};

void tfr_progress_line_open(struct tfr_progress_line *line, bool quiet);
/* Called as often as you like; prints when it is time. */
void tfr_progress_line_update(struct tfr_progress_line *line, const struct tfr_progress *progress);
/* Wipes the line, so that results and messages begin at the margin. */
void tfr_progress_line_close(struct tfr_progress_line *line);

#endif

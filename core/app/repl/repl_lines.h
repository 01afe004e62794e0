/* repl_lines.h - where the lines of `tfrun repl` come from: a terminal, edited and with a history, or anything else, as they are.
 */
#ifndef TFR_APP_REPL_REPL_LINES_H
#define TFR_APP_REPL_REPL_LINES_H

#include <tfrun/types.h>

/* Lines of a terminal, by libedit (repl_edit.c), or none at all (repl_edit_none.c): then NULL, after a word about it. */
struct tfr_repl_edit;
struct tfr_repl_edit *tfr_repl_edit_open(const char *prompt);
void tfr_repl_edit_close(struct tfr_repl_edit *edit);
char *tfr_repl_edit_next(struct tfr_repl_edit *edit);

struct tfr_repl_lines {
    struct tfr_repl_edit *edit;
    const char *prompt; /* of plain lines; NULL: none is shown */
    char *line;
    size_t room;
    int error; /* of the system, where the end is none but a plain line that could not be read */
};

void tfr_repl_lines_open(struct tfr_repl_lines *lines, bool is_interactive);
void tfr_repl_lines_close(struct tfr_repl_lines *lines);
/* The next line, without its end, valid until the next call and for writing; "" for a plain one that Ctrl-C gave up (*was_stopped);
 * NULL at the end. */
char *tfr_repl_lines_next(struct tfr_repl_lines *lines, bool *was_stopped);

#endif

/* repl_edit_none.c - a build without libedit: lines are taken as the terminal gives them. */
#include <stdio.h>

#include "app/repl/repl_lines.h"

struct tfr_repl_edit *tfr_repl_edit_open(const char *prompt) {
    (void)prompt;
    fprintf(stderr, "tfrun: this build has no line editing; install libedit-dev and build again for it\n");
    return NULL;
}

void tfr_repl_edit_close(struct tfr_repl_edit *edit) {
    (void)edit;
}

char *tfr_repl_edit_next(struct tfr_repl_edit *edit) {
    (void)edit;
    return NULL;
}

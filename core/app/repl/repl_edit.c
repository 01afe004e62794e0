/* repl_edit.c - lines by libedit, with a history under the user's state folder ($XDG_STATE_HOME/tfrun/repl_history). */
#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/repl/repl_lines.h"

enum { MOST_LINES = 1000 };

struct tfr_repl_edit {
    EditLine *lines;
    History *history;
    const char *prompt;
    char file[PATH_MAX];
    char *line;
};

static char *prompt_of(EditLine *lines) {
    void *user;
    el_get(lines, EL_CLIENTDATA, &user);
    const struct tfr_repl_edit *edit = user;
    return (char *)edit->prompt;
}

/* The folder is made if it isn't there; without a home there is no file. */
static void find_file(char *file, size_t size) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    const bool has_state = state != NULL && state[0] == '/';
    int n = 0;
    if (has_state) {
        n = snprintf(file, size, "%s/tfrun/repl_history", state);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(file, size, "%s/.local/state/tfrun/repl_history", home);
    }
    if (n <= 0 || (size_t)n >= size) {
        file[0] = '\0';
        return;
    }
    for (char *at = strchr(file + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        const bool there = mkdir(file, 0700) == 0 || errno == EEXIST;
        *at = '/';
        if (!there) {
            file[0] = '\0';
            return;
        }
    }
}

static void open_history(struct tfr_repl_edit *edit) {
    HistEvent event;
    find_file(edit->file, sizeof edit->file);
    edit->history = history_init();
    if (edit->history == NULL) {
        return;
    }
    history(edit->history, &event, H_SETSIZE, MOST_LINES);
    history(edit->history, &event, H_SETUNIQUE, 1);
    if (edit->file[0] != '\0') {
        history(edit->history, &event, H_LOAD, edit->file);
    }
    el_set(edit->lines, EL_HIST, history, edit->history);
}

struct tfr_repl_edit *tfr_repl_edit_open(const char *prompt) {
    struct tfr_repl_edit *edit = calloc(1, sizeof *edit);
    if (edit == NULL) {
        return NULL;
    }
    edit->prompt = prompt;
    edit->lines = el_init("tfrun", stdin, stderr, stderr); /* stdout is for text */
    if (edit->lines == NULL) {
        free(edit);
        return NULL;
    }
    el_set(edit->lines, EL_CLIENTDATA, edit);
    el_set(edit->lines, EL_PROMPT, prompt_of);
    el_set(edit->lines, EL_EDITOR, "emacs");
    open_history(edit);
    el_source(edit->lines, NULL);                       /* the user's ~/.editrc */
    el_set(edit->lines, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C gives the line up, not the program */
    el_set(edit->lines, EL_BIND, "^C", "em-kill-line", NULL);
    return edit;
}

void tfr_repl_edit_close(struct tfr_repl_edit *edit) {
    HistEvent event;
    if (edit == NULL) {
        return;
    }
    if (edit->history != NULL && edit->file[0] != '\0') {
        history(edit->history, &event, H_SAVE, edit->file);
    }
    if (edit->history != NULL) {
        history_end(edit->history);
    }
    el_end(edit->lines);
    free(edit->line);
    free(edit);
}

char *tfr_repl_edit_next(struct tfr_repl_edit *edit) {
    HistEvent event;
    int size;
    const char *line = el_gets(edit->lines, &size);
    free(edit->line);
    edit->line = line != NULL && size > 0 ? strdup(line) : NULL;
    if (edit->line != NULL && edit->line[0] != '\0' && edit->line[0] != '\n' && edit->history != NULL) {
        history(edit->history, &event, H_ENTER, edit->line);
    }
    return edit->line;
}

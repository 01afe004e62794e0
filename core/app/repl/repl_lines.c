/* repl_lines.c - see repl_lines.h. The prompt goes to stderr: stdout is for text. */
#include "app/repl/repl_lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tfr_repl_lines_open(struct tfr_repl_lines *lines, bool is_interactive) {
    static const char prompt[] = "> ";
    *lines = (struct tfr_repl_lines){.prompt = is_interactive ? prompt : NULL};
    lines->edit = is_interactive ? tfr_repl_edit_open(prompt) : NULL;
}

void tfr_repl_lines_close(struct tfr_repl_lines *lines) {
    tfr_repl_edit_close(lines->edit);
    free(lines->line);
}

static char *plain_line(struct tfr_repl_lines *lines, bool *was_stopped) {
    static char nothing[1];
    if (lines->prompt != NULL) {
        fputs(lines->prompt, stderr);
        fflush(stderr);
    }
    errno = 0;
    const ssize_t size = getline(&lines->line, &lines->room, stdin);
    if (size < 0 && errno == EINTR) {
        clearerr(stdin);
        fputc('\n', stderr);
        *was_stopped = true;
        return nothing;
    }
    lines->error = size < 0 && feof(stdin) == 0 ? errno : 0;
    return size < 0 ? NULL : lines->line;
}

char *tfr_repl_lines_next(struct tfr_repl_lines *lines, bool *was_stopped) {
    *was_stopped = false;
    char *line = lines->edit != NULL ? tfr_repl_edit_next(lines->edit) : plain_line(lines, was_stopped);
    if (line != NULL) {
        line[strcspn(line, "\n")] = '\0';
    } else if (lines->prompt != NULL) {
        fputc('\n', stderr);
    }
    return line;
}

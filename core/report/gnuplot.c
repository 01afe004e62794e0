/* gnuplot.c - see gnuplot.h. Script and drawing are files without names, so that neither program waits for the other. */
#include "report/gnuplot.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/status.h"

extern char **environ;

static enum tfr_status no_gnuplot(void) {
    return tfr_raise(TFR_RESOURCE, "the picture is drawn by the program gnuplot, which is not on PATH; install the package "
                                   "gnuplot-nox, or leave out --svg");
}

static enum tfr_status start(FILE *script, FILE *drawing, pid_t *child) {
    char program[] = "gnuplot", plain[] = "--default-settings", from[] = "-"; /* not the user's ~/.gnuplot */
    char *const arguments[] = {program, plain, from, NULL};
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(&actions, fileno(script), STDIN_FILENO);
        error = error == 0 ? posix_spawn_file_actions_adddup2(&actions, fileno(drawing), STDOUT_FILENO) : error;
        error = error == 0 ? posix_spawnp(child, program, &actions, NULL, arguments, environ) : error;
        posix_spawn_file_actions_destroy(&actions);
    }
    if (error == ENOENT) {
        return no_gnuplot();
    }
    return error == 0 ? TFR_OK : tfr_raise(TFR_RESOURCE, "the program gnuplot can't be started: %s", strerror(error));
}

static enum tfr_status await(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return tfr_raise(TFR_RUNTIME, "the program gnuplot: %s", strerror(errno));
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return no_gnuplot();
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? TFR_OK : tfr_raise(TFR_RUNTIME, "gnuplot failed; its message is above");
}

static enum tfr_status read_all(FILE *file, char **text) {
    const long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (size <= 0) {
        return tfr_raise(TFR_RUNTIME, "gnuplot drew nothing");
    }
    *text = tfr_alloc((size_t)size + 1, 1);
    if (*text == NULL) {
        return TFR_RESOURCE;
    }
    rewind(file);
    if (fread(*text, 1, (size_t)size, file) != (size_t)size) {
        tfr_free(*text);
        *text = NULL;
        return tfr_raise(TFR_RESOURCE, "the drawing of gnuplot can't be read back");
    }
    return TFR_OK;
}

static enum tfr_status draw(const char *text, FILE *script, FILE *drawing, char **result) {
    pid_t child;
    if (fputs(text, script) < 0 || fflush(script) != 0 || lseek(fileno(script), 0, SEEK_SET) != 0) {
        return tfr_raise(TFR_RESOURCE, "the script for gnuplot can't be written: %s", strerror(errno));
    }
    TFR_TRY(start(script, drawing, &child));
    TFR_TRY(await(child));
    return read_all(drawing, result);
}

enum tfr_status tfr_gnuplot(const char *text, char **result) {
    *result = NULL;
    FILE *script = tmpfile(), *drawing = script != NULL ? tmpfile() : NULL;
    const enum tfr_status status = drawing != NULL ? draw(text, script, drawing, result)
                                                   : tfr_raise(TFR_RESOURCE, "no temporary file for gnuplot: %s", strerror(errno));
    if (script != NULL) {
        fclose(script);
    }
    if (drawing != NULL) {
        fclose(drawing);
    }
    return status;
}

/* In a folder of PATH. */
enum tfr_status tfr_gnuplot_check(void) {
    const char *path = getenv("PATH"), *end;
    for (const char *at = path; at != NULL; at = *end == ':' ? end + 1 : NULL) {
        end = at + strcspn(at, ":");
        char *file = end > at ? tfr_format("%.*s/gnuplot", (int)(end - at), at) : tfr_strdup("./gnuplot");
        if (file == NULL) {
            return TFR_RESOURCE;
        }
        const bool is_there = access(file, X_OK) == 0;
        tfr_free(file);
        if (is_there) {
            return TFR_OK;
        }
    }
    return path != NULL ? no_gnuplot() : TFR_OK; /* without PATH the system has one of its own */
}

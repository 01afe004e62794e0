/* program.c - see program.h. Input and output are files without names, so that neither side waits for the other, and nothing waits
 * for what a program that was killed left running. */
#include "base/program.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"

extern char **environ;

static atomic_bool ended; /* tfr_programs_end */

void tfr_programs_end(void) {
    atomic_store(&ended, true);
}

/* The signals of a program are not those of this one: a server ignores SIGPIPE and blocks SIGTERM. */
static int set_signals(posix_spawnattr_t *attributes) {
    sigset_t none, pipes;
    sigemptyset(&none);
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    error = error == 0 ? posix_spawnattr_setsigdefault(attributes, &pipes) : error;
    return error == 0 ? posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) : error;
}

static int spawn(const struct tfr_program *program, posix_spawn_file_actions_t *actions, pid_t *child) {
    posix_spawnattr_t attributes;
    int error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        return error;
    }
    error = set_signals(&attributes);
    if (error == 0) {
        error =
            posix_spawnp(child, program->arguments[0], actions, &attributes, (char *const *)(uintptr_t)program->arguments, environ);
    }
    posix_spawnattr_destroy(&attributes);
    return error;
}

static enum tfr_status start(const struct tfr_program *program, FILE *in, FILE *out, pid_t *child) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(&actions, fileno(in), STDIN_FILENO);
        error = error == 0 ? posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO) : error;
        error = error == 0 ? spawn(program, &actions, child) : error;
        posix_spawn_file_actions_destroy(&actions);
    }
    if (error == ENOENT) {
        return tfr_raise(TFR_RESOURCE, "%s", program->missing);
    }
    if (error == EACCES) { /* also where it is nowhere, and one folder of PATH can't be looked into */
        return tfr_raise(TFR_RESOURCE, "%s; or see that it, and each folder of PATH, may be used: %s", program->missing,
                         strerror(error));
    }
    return error == 0 ? TFR_OK
                      : tfr_raise(TFR_RESOURCE, "the program %s can't be started: %s", program->arguments[0], strerror(error));
}

static enum tfr_status judge(const struct tfr_program *program, int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return tfr_raise(TFR_RESOURCE, "%s", program->missing);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? TFR_OK : tfr_raise(TFR_RUNTIME, "%s", program->failed);
}

/* Its end, or the end of its time. */
static enum tfr_status await(const struct tfr_program *program, pid_t child) {
    static const struct timespec nap = {.tv_nsec = 2000000};
    const uint64_t until_ns = tfr_clock_ns() + (uint64_t)(program->limit_s * 1e9);
    for (;;) {
        int status = 0;
        const pid_t found = waitpid(child, &status, WNOHANG);
        if (found == child) {
            return judge(program, status);
        }
        if (found < 0 && errno != EINTR) {
            return tfr_raise(TFR_RUNTIME, "the program %s: %s", program->arguments[0], strerror(errno));
        }
        if (atomic_load(&ended) || tfr_clock_ns() >= until_ns) {
            break;
        }
        nanosleep(&nap, NULL);
    }
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    if (atomic_load(&ended)) {
        return tfr_raise(TFR_RUNTIME, "the program %s was ended", program->arguments[0]);
    }
    return tfr_raise(TFR_RUNTIME, "the program %s took longer than %g s and was ended", program->arguments[0], program->limit_s);
}

static enum tfr_status read_all(const struct tfr_program *program, FILE *file, char **text, size_t *size) {
    const long length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (length <= 0) {
        return tfr_raise(TFR_RUNTIME, "the program %s wrote nothing", program->arguments[0]);
    }
    *size = (size_t)length;
    *text = tfr_alloc(*size + 1, 1);
    if (*text == NULL) {
        return TFR_RESOURCE;
    }
    rewind(file);
    if (fread(*text, 1, *size, file) != *size) {
        tfr_free(*text);
        *text = NULL;
        return tfr_raise(TFR_RESOURCE, "what the program %s wrote can't be read back", program->arguments[0]);
    }
    (*text)[*size] = '\0';
    return TFR_OK;
}

static enum tfr_status run(const struct tfr_program *program, const char *input, FILE *in, FILE *out, char **output, size_t *size) {
    pid_t child;
    if (fputs(input, in) < 0 || fflush(in) != 0 || lseek(fileno(in), 0, SEEK_SET) != 0) {
        return tfr_raise(TFR_RESOURCE, "the input of the program %s can't be written: %s", program->arguments[0], strerror(errno));
    }
    TFR_TRY(start(program, in, out, &child));
    TFR_TRY(await(program, child));
    return read_all(program, out, output, size);
}

enum tfr_status tfr_program_run(const struct tfr_program *program, const char *input, char **output, size_t *size) {
    *output = NULL;
    FILE *in = tmpfile(), *out = in != NULL ? tmpfile() : NULL;
    const enum tfr_status status =
        out != NULL ? run(program, input, in, out, output, size)
                    : tfr_raise(TFR_RESOURCE, "no temporary file for the program %s: %s", program->arguments[0], strerror(errno));
    if (in != NULL) {
        fclose(in);
    }
    if (out != NULL) {
        fclose(out);
    }
    return status;
}

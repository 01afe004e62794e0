/* outfile.c - a file that appears complete or not at all.
 *
 * The bytes go to a temporary beside the target and are renamed over it by commit. A target that exists and
 * is no regular file (a pipe, /dev/null) is written directly: renaming over a device would destroy it.
 */
#include "base/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/status.h"

/* Paths of the temporaries that exist, for a signal handler: fixed places, each set and taken back in one store. A file beyond
 * them is written as well, only a signal would leave its temporary. */
enum { MAX_TEMPORARIES = 64 };
static _Atomic(const char *) temporaries[MAX_TEMPORARIES];

static void remember(const char *path) {
    for (size_t i = 0; i < MAX_TEMPORARIES; i++) {
        const char *none = NULL;
        if (atomic_compare_exchange_strong(&temporaries[i], &none, path)) {
            return;
        }
    }
}

static void forget(const char *path) {
    for (size_t i = 0; i < MAX_TEMPORARIES && path != NULL; i++) {
        const char *same = path;
        if (atomic_compare_exchange_strong(&temporaries[i], &same, NULL)) {
            return;
        }
    }
}

void tfr_abandon_files(void) {
    for (size_t i = 0; i < MAX_TEMPORARIES; i++) {
        const char *path = atomic_load(&temporaries[i]);
        if (path != NULL) {
            unlink(path);
        }
    }
}

static enum tfr_status raise_write(const struct tfr_outfile *out, int error) {
    return tfr_raise(TFR_RESOURCE, "%s: cannot write: %s", out->path, strerror(error));
}

/* The file that `path` stands for: behind links, so that a link survives the rename. */
static char *resolve(const char *path) {
    char *real = realpath(path, NULL);
    char *copy = tfr_strdup(real != NULL ? real : path);
    free(real);
    return copy;
}

/* Created with open and not with mkstemp, because open applies the umask to the final mode. */
static enum tfr_status open_temporary(struct tfr_outfile *out, int *fd) {
    static atomic_uint serial;
    for (int attempt = 0; attempt < 100; attempt++) {
        unsigned number = atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed);
        tfr_free(out->temporary);
        out->temporary = tfr_format("%s.tmp-%ld-%u", out->path, (long)getpid(), number);
        if (out->temporary == NULL) {
            return TFR_RESOURCE;
        }
        remember(out->temporary); /* before it is there, so that no signal comes between */
        *fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0) {
            return TFR_OK;
        }
        const int failure = errno;
        forget(out->temporary);
        errno = failure;
        if (errno != EEXIST) {
            break;
        }
    }
    int error = errno;
    tfr_free(out->temporary); /* not ours: abandon must not remove it */
    out->temporary = NULL;
    return raise_write(out, error);
}

static enum tfr_status open_target(struct tfr_outfile *out, int *fd) {
    struct stat facts;
    if (stat(out->path, &facts) != 0 || S_ISREG(facts.st_mode)) {
        return open_temporary(out, fd);
    }
    if (S_ISDIR(facts.st_mode)) {
        return tfr_raise(TFR_RESOURCE, "%s: is a directory, not a file", out->path);
    }
    *fd = open(out->path, O_WRONLY | O_CLOEXEC);
    return *fd >= 0 ? TFR_OK : raise_write(out, errno);
}

enum tfr_status tfr_outfile_open(struct tfr_outfile *out, const char *path) {
    *out = (struct tfr_outfile){0};
    out->path = resolve(path);
    if (out->path == NULL) {
        return TFR_RESOURCE;
    }
    int fd = -1;
    enum tfr_status status = open_target(out, &fd);
    if (status == TFR_OK) {
        out->stream = fdopen(fd, "wb");
        if (out->stream == NULL) {
            status = raise_write(out, errno);
            close(fd);
        }
    }
    if (status != TFR_OK) {
        tfr_outfile_abandon(out);
    }
    return status;
}

enum tfr_status tfr_outfile_write(struct tfr_outfile *out, const void *data, size_t size) {
    if (size > 0 && fwrite(data, 1, size, out->stream) != size) {
        return raise_write(out, errno);
    }
    return TFR_OK;
}

/* Flushes, syncs and closes; 0 or the first error. */
static int finish_stream(struct tfr_outfile *out) {
    FILE *stream = out->stream;
    out->stream = NULL;
    int error = fflush(stream) != 0 ? errno : 0;
    if (error == 0 && out->temporary != NULL && fsync(fileno(stream)) != 0) {
        error = errno;
    }
    if (fclose(stream) != 0 && error == 0) {
        error = errno;
    }
    return error;
}

enum tfr_status tfr_outfile_commit(struct tfr_outfile *out) {
    int error = finish_stream(out);
    if (error == 0 && out->temporary != NULL && rename(out->temporary, out->path) != 0) {
        error = errno;
    }
    enum tfr_status status = error == 0 ? TFR_OK : raise_write(out, error);
    if (error == 0) {
        forget(out->temporary);
        tfr_free(out->temporary); /* it is the target now */
        out->temporary = NULL;
    }
    tfr_outfile_abandon(out);
    return status;
}

void tfr_outfile_abandon(struct tfr_outfile *out) {
    if (out == NULL) {
        return;
    }
    if (out->stream != NULL) {
        fclose(out->stream);
    }
    if (out->temporary != NULL) {
        unlink(out->temporary);
    }
    forget(out->temporary);
    tfr_free(out->temporary);
    tfr_free(out->path);
    *out = (struct tfr_outfile){0};
}

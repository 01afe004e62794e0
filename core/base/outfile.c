/* outfile.c - a file that appears complete or not at all.
 *
 * The bytes go to a file without a name, of which nothing is left whatever ends the process; commit names it as a temporary beside
 * the target and renames that. Where the file system has no such files, the temporary is there from the start. A target that exists
 * and is no regular file (a pipe, /dev/null) is written directly: renaming over a device would destroy it.
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

/* The file that `path` stands for: behind links, so that a link survives the rename. Of what is not there the path. */
static enum tfr_status resolve(const char *path, char **resolved) {
    char *real = realpath(path, NULL);
    const int error = real == NULL ? errno : 0;
    if (error == ENOMEM) {
        return tfr_raise(TFR_RESOURCE, "%s: cannot write: %s", path, strerror(error));
    }
    *resolved = tfr_strdup(real != NULL ? real : path);
    free(real);
    return *resolved != NULL ? TFR_OK : TFR_RESOURCE;
}

/* A path beside the target, noted before it is there, so that no signal comes between. False for lack of memory. */
static bool name_temporary(struct tfr_outfile *out) {
    static atomic_uint serial;
    const unsigned number = atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed);
    out->temporary = tfr_format("%s.tmp-%ld-%u", out->path, (long)getpid(), number);
    if (out->temporary != NULL) {
        remember(out->temporary);
    }
    return out->temporary != NULL;
}

/* Calls `create` with new names until one is free: what stands there is not ours, and is not removed for us. 0, or the error. */
static int create_temporary(struct tfr_outfile *out, int (*create)(const char *path, int *fd), int *fd) {
    int error = EEXIST;
    for (int attempt = 0; attempt < 100 && error == EEXIST; attempt++) {
        if (!name_temporary(out)) {
            return ENOMEM;
        }
        error = create(out->temporary, fd);
        if (error != 0) {
            forget(out->temporary);
            tfr_free(out->temporary);
            out->temporary = NULL;
        }
    }
    return error;
}

/* With open and not with mkstemp, because open applies the umask to the final mode. */
static int create_with(const char *path, mode_t mode, int *fd) {
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    return *fd >= 0 ? 0 : errno;
}

static int create_file(const char *path, int *fd) {
    return create_with(path, 0666, fd);
}

/* Nobody else may have it open before it gets the mode of the file that it replaces. */
static int create_private_file(const char *path, int *fd) {
    return create_with(path, 0600, fd);
}

static int create_link(const char *path, int *fd) {
    char nameless[40];
    snprintf(nameless, sizeof nameless, "/proc/self/fd/%d", *fd);
    return linkat(AT_FDCWD, nameless, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/* -1 where there is no such thing: not every file system has it, and names are given by way of /proc. */
static int open_nameless(const char *path) {
    char *folder = tfr_path_directory(path);
    const bool can_name = access("/proc/self/fd", X_OK) == 0;
    const int fd = folder != NULL && can_name ? open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666) : -1;
    tfr_free(folder);
    return fd;
}

/* Readers and writers stay those of the file that is replaced; without its group there are none of a group. Where a file system has
 * no modes the file is what it makes of it. */
static void take_mode(int fd, const struct stat *replaced) {
    struct stat made;
    mode_t mode = replaced->st_mode & 0777;
    if (fstat(fd, &made) != 0 || (made.st_gid != replaced->st_gid && fchown(fd, (uid_t)-1, replaced->st_gid) != 0)) {
        mode &= ~(mode_t)S_IRWXG;
    }
    (void)!fchmod(fd, mode);
}

/* `replaced`: the file of this user that is there already; NULL: none. */
static enum tfr_status open_temporary(struct tfr_outfile *out, bool is_named, const struct stat *replaced, int *fd) {
    *fd = is_named ? -1 : open_nameless(out->path);
    out->is_nameless = *fd >= 0;
    const int error = out->is_nameless ? 0 : create_temporary(out, replaced != NULL ? create_private_file : create_file, fd);
    if (error == 0 && replaced != NULL) {
        take_mode(*fd, replaced);
    }
    return error == 0 ? TFR_OK : raise_write(out, error);
}

/* How a target is written. */
enum way {
    BY_LINK,  /* what a link stands for, and a device or a pipe too */
    NAMED,    /* so too, with a temporary that has a name */
    IN_PLACE, /* the name itself */
};

static enum tfr_status open_target(struct tfr_outfile *out, enum way way, int *fd) {
    struct stat facts;
    const int error = (way == IN_PLACE ? lstat(out->path, &facts) : stat(out->path, &facts)) == 0 ? 0 : errno;
    const bool is_link = error == 0 && S_ISLNK(facts.st_mode);
    if (error != 0 && error != ENOENT) { /* a device must not be taken for nothing there, and be renamed over */
        return raise_write(out, error);
    }
    if (error != 0 || is_link || S_ISREG(facts.st_mode)) {
        const bool is_own =
            error == 0 && way != IN_PLACE && facts.st_uid == geteuid(); /* another user's is not asked for its mode */
        return open_temporary(out, way == NAMED, is_own ? &facts : NULL, fd);
    }
    if (S_ISDIR(facts.st_mode)) {
        return tfr_raise(TFR_RESOURCE, "%s: is a directory, not a file", out->path);
    }
    if (way == IN_PLACE) {
        return tfr_raise(TFR_RESOURCE, "%s: is not a regular file", out->path);
    }
    *fd = open(out->path, O_WRONLY | O_CLOEXEC);
    return *fd >= 0 ? TFR_OK : raise_write(out, errno);
}

static enum tfr_status open_out(struct tfr_outfile *out, const char *path, enum way way) {
    *out = (struct tfr_outfile){0};
    if (way == IN_PLACE) {
        out->path = tfr_strdup(path);
    } else {
        TFR_TRY(resolve(path, &out->path));
    }
    if (out->path == NULL) {
        return TFR_RESOURCE;
    }
    int fd = -1;
    enum tfr_status status = open_target(out, way, &fd);
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

enum tfr_status tfr_outfile_open(struct tfr_outfile *out, const char *path) {
    return open_out(out, path, BY_LINK);
}

enum tfr_status tfr_outfile_open_named(struct tfr_outfile *out, const char *path) {
    return open_out(out, path, NAMED);
}

enum tfr_status tfr_outfile_open_in_place(struct tfr_outfile *out, const char *path) {
    return open_out(out, path, IN_PLACE);
}

enum tfr_status tfr_outfile_write(struct tfr_outfile *out, const void *data, size_t size) {
    if (size > 0 && fwrite(data, 1, size, out->stream) != size) {
        return raise_write(out, errno);
    }
    return TFR_OK;
}

/* Flushes, syncs, gives a name and closes; 0 or the first error. */
static int finish_stream(struct tfr_outfile *out) {
    FILE *stream = out->stream;
    int fd = fileno(stream);
    out->stream = NULL;
    int error = fflush(stream) != 0 ? errno : 0;
    error = error == 0 && ferror(stream) != 0 ? EIO : error; /* a write before, whose bytes stdio has dropped */
    if (error == 0 && (out->is_nameless || out->temporary != NULL) && fsync(fd) != 0) {
        error = errno;
    }
    if (error == 0 && out->is_nameless) {
        error = create_temporary(out, create_link, &fd);
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

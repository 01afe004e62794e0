/* mapfile.c - a regular file mapped read-only, and small files read whole.
 *
 * An empty file maps to an empty, non-NULL piece of memory, because the kernel maps no zero bytes.
 */
#include "base/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/status.h"

static const uint8_t nothing[1];

/* Opens a regular file; anything else is refused by name. O_NONBLOCK keeps a FIFO from waiting for a writer.
 */
static enum tfr_status open_regular(const char *path, int *out_fd, struct stat *facts) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return tfr_raise(TFR_RESOURCE, "%s: cannot open: %s", path, strerror(errno));
    }
    enum tfr_status status = TFR_OK;
    if (fstat(fd, facts) != 0) {
        status = tfr_raise(TFR_RESOURCE, "%s: cannot be examined: %s", path, strerror(errno));
    } else if (S_ISDIR(facts->st_mode)) {
        status = tfr_raise(TFR_RESOURCE, "%s: is a directory, not a file", path);
    } else if (!S_ISREG(facts->st_mode)) {
        status = tfr_raise(TFR_RESOURCE, "%s: is not a regular file", path);
    }
    if (status != TFR_OK) {
        close(fd);
        return status;
    }
    *out_fd = fd;
    return TFR_OK;
}

static enum tfr_status map_bytes(struct tfr_mapfile *file, int fd, size_t size) {
    if (size == 0) {
        file->data = nothing;
        return TFR_OK;
    }
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        return tfr_raise(TFR_RESOURCE, "%s: cannot map %zu bytes: %s", file->path, size, strerror(errno));
    }
    file->data = data;
    file->size = size;
    return TFR_OK;
}

static struct tfr_file_facts facts_of(const struct stat *stat) {
    return (struct tfr_file_facts){.bytes = stat->st_size,
                                   .inode = (int64_t)stat->st_ino,
                                   .written_s = stat->st_mtim.tv_sec,
                                   .written_ns = stat->st_mtim.tv_nsec,
                                   .changed_s = stat->st_ctim.tv_sec,
                                   .changed_ns = stat->st_ctim.tv_nsec,
                                   .owner = stat->st_uid,
                                   .mode = stat->st_mode};
}

bool tfr_file_facts(const char *path, struct tfr_file_facts *facts) {
    struct stat found;
    const bool is_known = stat(path, &found) == 0;
    *facts = is_known ? facts_of(&found) : (struct tfr_file_facts){0};
    return is_known;
}

enum tfr_status tfr_mapfile_open(struct tfr_mapfile *file, const char *path) {
    *file = (struct tfr_mapfile){0};
    int fd;
    struct stat found;
    TFR_TRY(open_regular(path, &fd, &found));
    file->facts = facts_of(&found);
    file->path = tfr_strdup(path);
    enum tfr_status status = file->path != NULL ? map_bytes(file, fd, (size_t)found.st_size) : TFR_RESOURCE;
    close(fd);
    if (status != TFR_OK) {
        tfr_mapfile_close(file);
    }
    return status;
}

void tfr_mapfile_close(struct tfr_mapfile *file) {
    if (file->size > 0) {
        munmap((void *)(uintptr_t)file->data, file->size);
    }
    tfr_free(file->path);
    *file = (struct tfr_mapfile){0};
}

void tfr_mapfile_drop(const struct tfr_mapfile *file, size_t offset, size_t size) {
    if (offset >= file->size || size == 0) {
        return;
    }
    size_t left = file->size - offset;
    size_t end = offset + (size < left ? size : left);
    /* Whole pages, outward: a neighbour that is dropped too is read again from the page cache. */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t start = offset / page * page;
    madvise((void *)(uintptr_t)(file->data + start), end - start, MADV_DONTNEED);
}

/* Reads until the end, not until the size that was reported: files under /proc and /sys report 0. */
static enum tfr_status read_all(int fd, const char *path, size_t limit, char **text, size_t *used, size_t capacity) {
    for (;;) {
        if (*used + 1 >= capacity) {
            capacity = 2 * capacity;
            char *grown = tfr_realloc(*text, capacity, 1);
            if (grown == NULL) {
                return TFR_RESOURCE;
            }
            *text = grown;
        }
        ssize_t n = read(fd, *text + *used, capacity - *used - 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return tfr_raise(TFR_RESOURCE, "%s: cannot read: %s", path, strerror(errno));
        }
        if (n == 0) {
            (*text)[*used] = '\0';
            return TFR_OK;
        }
        *used += (size_t)n;
        if (*used > limit) {
            return tfr_raise(TFR_RESOURCE, "%s: is larger than the limit of %zu bytes", path, limit);
        }
    }
}

enum tfr_status tfr_file_read(const char *path, size_t limit, char **text, size_t *size) {
    *text = NULL;
    *size = 0;
    int fd;
    struct stat found;
    TFR_TRY(open_regular(path, &fd, &found));
    const size_t expected = (size_t)found.st_size;
    enum tfr_status status = TFR_RESOURCE;
    if (expected > limit) {
        tfr_raise(status, "%s: %zu bytes are more than the limit of %zu", path, expected, limit);
        goto out;
    }
    /* Two to spare: one for the NUL, one so that the end is seen without growing. */
    size_t capacity = expected + 2 > 256 ? expected + 2 : 256;
    *text = tfr_alloc(capacity, 1);
    if (*text != NULL) {
        status = read_all(fd, path, limit, text, size, capacity);
    }
out:
    close(fd);
    if (status != TFR_OK) {
        tfr_free(*text);
        *text = NULL;
        *size = 0;
    }
    return status;
}

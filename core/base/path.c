/* path.c - the few questions about paths that the stages ask; no normalising, no globbing. */
#include "base/mapfile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/status.h"

bool tfr_path_is_directory(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

static bool look(const char *path, int *error) {
    *error = access(path, F_OK) == 0 ? 0 : errno;
    return *error != ENOENT && *error != ENOTDIR && *error != ENAMETOOLONG;
}

bool tfr_path_exists(const char *path) {
    int error;
    return look(path, &error);
}

bool tfr_path_put(char *path, const char *directory, const char *name) {
    const int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX;
}

bool tfr_path_look(const char *directory, const char *name, int *error) {
    char path[PATH_MAX];
    *error = ENAMETOOLONG;
    return tfr_path_put(path, directory, name) && look(path, error);
}

bool tfr_path_holds(const char *directory, const char *name) {
    int error;
    return tfr_path_look(directory, name, &error);
}

char *tfr_path_join(const char *directory, const char *name) {
    if (name[0] == '/' || directory[0] == '\0' || strcmp(directory, ".") == 0) {
        return tfr_strdup(name);
    }
    const char *slash = directory[strlen(directory) - 1] == '/' ? "" : "/";
    return tfr_format("%s%s%s", directory, slash, name);
}

char *tfr_path_directory(const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    while (end > 0 && path[end - 1] != '/') {
        end--;
    }
    if (end == 0) {
        return tfr_strdup(".");
    }
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    return tfr_strndup(path, end);
}

bool tfr_path_is_plain(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && (S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode));
}

bool tfr_path_is_same(const char *a, const char *b) {
    struct stat facts_a, facts_b;
    return stat(a, &facts_a) == 0 && stat(b, &facts_b) == 0 && facts_a.st_dev == facts_b.st_dev && facts_a.st_ino == facts_b.st_ino;
}

/* Moves the last name of `path` to the front of `rest`, with a slash before it; false where there is no such name. */
static bool move_name(char *path, char *rest) {
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    const size_t length = strlen(name), had = strlen(rest);
    size_t end = (size_t)(name - path);
    if (length == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || length + had + 2 > PATH_MAX) {
        return false;
    }
    memmove(rest + length + 1, rest, had + 1);
    memcpy(rest + 1, name, length);
    rest[0] = '/';
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    snprintf(path + end, 2, "%s", end == 0 ? "." : "");
    return true;
}

/* Where `path` really is, links followed. What is not there yet is where its folder is; false where that can't be said: a link to
 * nothing, or ".." behind a folder that is not there. Without memory of its own, as the lack of that must not look like another
 * place. */
static bool real_path(const char *path, char real[PATH_MAX]) {
    char at[PATH_MAX], rest[PATH_MAX] = "";
    struct stat facts;
    if ((size_t)snprintf(at, sizeof at, "%s", path) >= sizeof at) {
        return false;
    }
    while (realpath(at, real) == NULL) {
        if (errno != ENOENT || lstat(at, &facts) == 0 || !move_name(at, rest)) {
            return false;
        }
    }
    const size_t length = strcmp(real, "/") == 0 && rest[0] != '\0' ? 0 : strlen(real);
    return (size_t)snprintf(real + length, PATH_MAX - length, "%s", rest) < PATH_MAX - length;
}

bool tfr_path_is_within(const char *path, const char *folder) {
    char inner[PATH_MAX], outer[PATH_MAX];
    if (!real_path(path, inner) || realpath(folder, outer) == NULL) {
        return false;
    }
    const size_t length = strcmp(outer, "/") == 0 ? 0 : strlen(outer);
    return strncmp(inner, outer, length) == 0 && (inner[length] == '/' || inner[length] == '\0');
}

enum tfr_status tfr_path_make_folders(const char *directory) {
    char *path = tfr_strdup(directory);
    if (path == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = TFR_OK;
    for (char *at = path + 1; status == TFR_OK && at[-1] != '\0'; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        const char kept = *at;
        *at = '\0';
        const int error = mkdir(path, 0777) == 0 ? 0 : errno; /* before the question that comes next, which fails otherwise */
        if (error != 0 && !tfr_path_is_directory(path)) {
            status = tfr_raise(TFR_RESOURCE, "%s: cannot make this folder: %s", path, strerror(error));
        }
        *at = kept;
        if (kept == '\0') {
            break;
        }
    }
    tfr_free(path);
    return status;
}

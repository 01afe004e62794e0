/* path.c - the few questions about paths that the stages ask; no normalising, no globbing. */
#include "base/mapfile.h"

#include <errno.h>
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

bool tfr_path_look(const char *path, int *error) {
    *error = access(path, F_OK) == 0 ? 0 : errno;
    return *error != ENOENT && *error != ENOTDIR && *error != ENAMETOOLONG;
}

bool tfr_path_exists(const char *path) {
    int error;
    return tfr_path_look(path, &error);
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

/* Where `path` really is, links followed. What is not there yet is where its folder is; NULL where that can't
 * be said: a link to nothing, or ".." behind a folder that is not there. Free with tfr_free. */
static char *real_path(const char *path) {
    char *found = realpath(path, NULL);
    const int error = errno;
    char *real = found != NULL ? tfr_strdup(found) : NULL;
    free(found);
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    struct stat facts;
    const bool has_name = name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    if (found != NULL || error != ENOENT || !has_name || lstat(path, &facts) == 0) {
        return real;
    }
    char *folder = tfr_path_directory(path);
    char *real_folder = folder != NULL ? real_path(folder) : NULL;
    real = real_folder != NULL ? tfr_path_join(real_folder, name) : NULL;
    tfr_free(real_folder);
    tfr_free(folder);
    return real;
}

bool tfr_path_is_within(const char *path, const char *folder) {
    char *inner = real_path(path), *outer = realpath(folder, NULL);
    bool within = false;
    if (inner != NULL && outer != NULL) {
        const size_t length = strcmp(outer, "/") == 0 ? 0 : strlen(outer);
        within = strncmp(inner, outer, length) == 0 && (inner[length] == '/' || inner[length] == '\0');
    }
    tfr_free(inner);
    free(outer);
    return within;
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

/* path.c - the few questions about paths that the stages ask; no normalising, no globbing. */
#include "base/mapfile.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"

bool tfr_path_is_directory(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

bool tfr_path_exists(const char *path) {
    return access(path, F_OK) == 0;
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

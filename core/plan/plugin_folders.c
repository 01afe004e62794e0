/* plugin_folders.c - where plugins are looked for: beside the library, beside the program, where it was installed; then where
 * the user's TFRUN_PLUGIN_PATH says.
 */
#include "plan/registry.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#include <unistd.h>

#include "base/arena.h"
#include "base/status.h"

static const char path_variable[] = "TFRUN_PLUGIN_PATH";

struct folders {
    char **item;
    size_t n, capacity;
    bool failed;
};

static void add(struct folders *folders, char *folder) {
    if (folder == NULL || folders->n == folders->capacity) {
        folders->failed = true;
        tfr_free(folder);
        return;
    }
    folders->item[folders->n++] = folder;
}

/* `file` without its last part; false where it has none. */
static bool cut_name(char *file) {
    char *slash = strrchr(file, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    return slash != NULL;
}

/* The folder of the object that this code is in: libtfrun.so, or a program it is linked into. That program's name is only
 * what it was called by, so without a '/' it says nothing. */
static bool library_folder(char folder[PATH_MAX]) {
    static const char here;
    Dl_info info;
    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL || strchr(info.dli_fname, '/') == NULL) {
        return false;
    }
    if (realpath(info.dli_fname, folder) == NULL) { /* no reason to look for no plugins */
        snprintf(folder, PATH_MAX, "%s", info.dli_fname);
    }
    return cut_name(folder);
}

/* The folder of the running program; without /proc as the system was asked to start it. */
static bool program_folder(char folder[PATH_MAX]) {
    const ssize_t size = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (size > 0) {
        folder[size] = '\0';
        return cut_name(folder);
    }
#if defined(__linux__)
    const char *name = (const char *)getauxval(AT_EXECFN);
    return name != NULL && realpath(name, folder) != NULL && cut_name(folder);
#else
    return false;
#endif
}

static void add_bundled(struct folders *folders) {
    char folder[PATH_MAX];
    if (library_folder(folder)) {
        add(folders, tfr_format("%s/tfrun/plugins", folder));
    }
    if (program_folder(folder)) {
        add(folders, tfr_format("%s/../lib/tfrun/plugins", folder)); /* the build folder */
        if (strcmp(TFRUN_LIBDIR, "lib") != 0) {
            /* an installed copy, wherever it was moved to */
            add(folders, tfr_format("%s/../%s/tfrun/plugins", folder, TFRUN_LIBDIR));
        }
    }
    add(folders, tfr_strdup(TFRUN_PLUGIN_FOLDER));
}

static void add_given(struct folders *folders, const char *variable) {
    char *given = tfr_strdup(variable);
    folders->failed = folders->failed || given == NULL;
    char *rest = given;
    for (char *word; given != NULL && (word = strtok_r(rest, ":", &rest)) != NULL;) {
        add(folders, tfr_strdup(word));
    }
    tfr_free(given);
}

char **tfr_registry_folders(size_t *n_bundled) {
    const char *variable = getenv(path_variable);
    variable = variable != NULL ? variable : "";
    /* Ours, one per two bytes of the variable at most, and NULL. */
    struct folders folders = {.capacity = strlen(variable) / 2 + 5};
    folders.item = tfr_alloc(folders.capacity + 1, sizeof(*folders.item));
    if (folders.item == NULL) {
        return NULL;
    }
    add_bundled(&folders);
    *n_bundled = folders.n;
    add_given(&folders, variable);
    if (folders.failed) {
        tfr_registry_free_folders(folders.item);
        return NULL;
    }
    return folders.item;
}

void tfr_registry_free_folders(char **folders) {
    for (char **folder = folders; folder != NULL && *folder != NULL; folder++) {
        tfr_free(*folder);
    }
    tfr_free(folders);
}

/* fuzz_replay.c - runs a target once on each of some inputs, with any compiler: fuzz_replay TARGET FILE|FOLDER... Files of a folder
 * in the order of their names, and last what is empty. Ends as the first input does that breaks a law. fuzz_replay --list: targets.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness.h"

typedef int (*target_fn)(const uint8_t *data, size_t size);

static const struct target {
    const char *name;
    target_fn run;
} targets[] = {
#define TFR_FUZZ(name, what, sources) {#name, tfr_fuzz_##name},
#include "targets.def"
#undef TFR_FUZZ
};
enum { N_TARGETS = sizeof targets / sizeof targets[0] };

static size_t n_run;

static void fail(const char *what, const char *name) {
    fprintf(stderr, "fuzz_replay: %s %s\n", what, name);
    exit(2);
}

/* In memory that ends where the input does. */
static void run_file(const struct target *target, const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat facts;
    if (file == NULL || stat(path, &facts) != 0) {
        fail("cannot read", path);
    }
    const size_t size = (size_t)facts.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        fail("cannot read", path);
    }
    fclose(file);
    if (getenv("TFR_FUZZ_VERBOSE") != NULL) {
        fprintf(stderr, "%s\n", path);
    }
    target->run(data, size);
    free(data);
    n_run++;
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static void run_all(const struct target *target, const char *path) {
    struct dirent **entries = NULL;
    struct stat facts;
    if (stat(path, &facts) != 0) {
        fail("there is no", path);
    }
    if (!S_ISDIR(facts.st_mode)) {
        run_file(target, path);
        return;
    }
    const int n = scandir(path, &entries, is_visible, alphasort);
    for (int i = 0; i < n; i++) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        run_file(target, inner);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv) {
    const struct target *target = NULL;
    for (int i = 0; i < N_TARGETS; i++) {
        if (argc == 2 && strcmp(argv[1], "--list") == 0) {
            printf("%s\n", targets[i].name);
        } else if (argc > 2 && strcmp(targets[i].name, argv[1]) == 0) {
            target = &targets[i];
        }
    }
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        return EXIT_SUCCESS;
    }
    if (target == NULL) {
        fail("usage: fuzz_replay TARGET FILE|FOLDER...; fuzz_replay --list names the targets, and there is no",
             argc > 1 ? argv[1] : "");
    }
    tfr_fuzz_start();
    for (int i = 2; i < argc; i++) {
        char *path = realpath(argv[i], NULL); /* a target may change the folder */
        if (path == NULL) {
            fail("there is no", argv[i]);
        }
        run_all(target, path);
        free(path);
    }
    uint8_t *nothing = malloc(1);
    target->run(nothing, 0);
    free(nothing);
    printf("%s: %zu inputs\n", target->name, n_run + 1);
    return EXIT_SUCCESS;
}

/* tfr_files.h - a folder of its own for each test process, and small files in it. The folder is emptied when it
 * is asked for and removed when the process ends: cases of one file run side by side. */
#ifndef TFR_FILES_H
#define TFR_FILES_H

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tfr_test.h"

/* The same storage for all: one test case runs at a time. */
static char tfr_test_folder_[512];

static inline void tfr_test_remove_folder(void) {
    char command[600];
    snprintf(command, sizeof(command), "rm -rf '%s'", tfr_test_folder_);
    if (system(command) != 0) {
        perror(tfr_test_folder_);
    }
}

static inline const char *tfr_test_folder(const char *name) {
    char command[1200];
    if (tfr_test_folder_[0] == '\0') {
        atexit(tfr_test_remove_folder);
    }
    snprintf(tfr_test_folder_, sizeof(tfr_test_folder_), "%s/test-files/%s-%d", TFR_BINARY_DIR, name, (int)getpid());
    snprintf(command, sizeof(command), "rm -rf '%s' && mkdir -p '%s'", tfr_test_folder_, tfr_test_folder_);
    assert_int_equal(system(command), 0);
    return tfr_test_folder_;
}

/* "folder/name"; four results may be in use at once. */
static inline const char *tfr_test_path(const char *name) {
    static char paths[4][768];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", tfr_test_folder_, name);
    return path;
}

static inline const char *tfr_test_write(const char *name, const void *data, size_t size) {
    const char *path = tfr_test_path(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline const char *tfr_test_write_text(const char *name, const char *text) {
    return tfr_test_write(name, text, strlen(text));
}

#endif

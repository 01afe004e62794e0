/* fake_tree.h - a made-up /proc and /sys in a temporary folder, for readers that take a root. */
#ifndef TFR_FAKE_TREE_H
#define TFR_FAKE_TREE_H

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fake_tree {
    char root[PATH_MAX];
};

static inline void fake_tree_open(struct fake_tree *tree) {
    const char *base = getenv("TMPDIR");
    snprintf(tree->root, sizeof tree->root, "%s/tfr-tree-XXXXXX", base != NULL ? base : P_tmpdir);
    if (mkdtemp(tree->root) == NULL) {
        abort();
    }
}

/* Writes root + path and makes its folders. */
static inline void fake_tree_write(const struct fake_tree *tree, const char *path, const char *text) {
    char full[2 * PATH_MAX];
    snprintf(full, sizeof full, "%s%s", tree->root, path);
    for (char *at = full + strlen(tree->root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(full, 0700);
        *at = '/';
    }
    FILE *file = fopen(full, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        abort();
    }
}

static inline int fake_tree_remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info, (void)type, (void)where;
    return remove(path);
}

static inline void fake_tree_close(struct fake_tree *tree) {
    nftw(tree->root, fake_tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif

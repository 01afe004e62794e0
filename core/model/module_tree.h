/* module_tree.h - the modules of a model as PyTorch nests them: names, classes, attributes, parameters of each.
 *
 * Built from module_tree.def (what there is), model_tensors.def (shapes) and the config (numbers). All blocks of a model are
 * alike, so one stands for all: its `copies` say how many. Thread rule: no state.
 */
#ifndef TFR_MODEL_MODULE_TREE_H
#define TFR_MODEL_MODULE_TREE_H

#include <stdio.h>

#include "model/model.h"

struct tfr_module {
    int depth;        /* 0: the model itself */
    const char *name; /* in its parent; "" for the model and for the block */
    char class_name[40], attributes[96];
    bool is_leaf;
    int64_t copies;     /* n_layer for the block, 1 for all others */
    int64_t parameters; /* of a leaf its own; else of all below, one copy, a matrix that two modules share counted once */
    bool is_shared;     /* a leaf whose matrix another module has too */
};

enum { TFR_MAX_MODULES = 48 };
struct tfr_module_tree {
    struct tfr_module items[TFR_MAX_MODULES]; /* each one before those below it */
    int n;
};

/* PyTorch prints a LayerNorm's bias since 2.12. */
struct tfr_module_form {
    bool norm_shows_bias;
};

/* Fails where the reference would not make the model: a dropout that is no number in 0..1. */
enum tfr_status tfr_module_tree_build(struct tfr_module_tree *tree, const struct tfr_config *config,
                                      const struct tfr_module_form *form);
/* As Python's print(model), with a line end. */
void tfr_module_tree_print(const struct tfr_module_tree *tree, FILE *stream);

/* module_table.c: the sums of torchinfo's table. A matrix that two modules share counts twice in `total`. */
int64_t tfr_module_tree_total(const struct tfr_module_tree *tree);
/* torchinfo's table down to `depth`, with a line end. */
void tfr_module_tree_table(const struct tfr_module_tree *tree, int depth, FILE *stream);

#endif

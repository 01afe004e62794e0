/* module_table.c - the table of torchinfo: a row for every module, numbered within its depth, with its parameters. */
#include "model/module_tree.h"

#include <string.h>

#include "base/grouped.h"

enum { LEAST_WIDTH = 40, STEP = 5, COUNT_WIDTH = 25, MAX_DEPTH = 8 };

/* One walk over all modules, each copy of the block on its own. */
struct walk {
    const struct tfr_module_tree *tree;
    int64_t index[MAX_DEPTH]; /* modules so far at each depth */
    int width, depth;
    FILE *stream; /* NULL: only measure */
};

/* "GPT2Block: 3-12" */
static int title_of(struct walk *walk, const struct tfr_module *module, char *text, size_t size) {
    const int64_t index = ++walk->index[module->depth];
    return module->depth == 0 ? snprintf(text, size, "%s", module->class_name)
                              : snprintf(text, size, "%s: %d-%lld", module->class_name, module->depth, (long long)index);
}

static void put_row(struct walk *walk, const struct tfr_module *module, const char *title, int length) {
    char number[TFR_GROUPED_SIZE] = "--";
    const int depth = module->depth, indent = depth == 0 ? 0 : STEP * (depth - 1) + 2;
    if (module->parameters > 0 && (module->is_leaf || depth == walk->depth)) {
        tfr_grouped(module->parameters, number);
    }
    for (int i = 1; i < depth; i++) {
        fputs("│    ", walk->stream);
    }
    fputs(depth == 0 ? "" : depth == 1 ? "├─" : "└─", walk->stream);
    fprintf(walk->stream, "%s%*s%s\n", title, walk->width - indent - length + 1, "", number);
}

static void visit(struct walk *walk, const struct tfr_module *module) {
    char title[80];
    const int length = title_of(walk, module, title, sizeof title);
    if (walk->stream == NULL) {
        const int needed = length + STEP * module->depth + 1;
        walk->width = needed > walk->width ? needed : walk->width;
    } else if (module->depth <= walk->depth) {
        put_row(walk, module, title, length);
    }
}

static void visit_all(struct walk *walk) {
    const struct tfr_module_tree *tree = walk->tree;
    memset(walk->index, 0, sizeof walk->index);
    for (int i = 0; i < tree->n;) {
        int end = i + 1;
        while (tree->items[i].copies > 1 && end < tree->n && tree->items[end].depth > tree->items[i].depth) {
            end++;
        }
        for (int64_t copy = 0; copy < tree->items[i].copies; copy++) {
            for (int j = i; j < end; j++) {
                visit(walk, &tree->items[j]);
            }
        }
        i = end;
    }
}

int64_t tfr_module_tree_total(const struct tfr_module_tree *tree) {
    int64_t total = tree->items[0].parameters;
    for (int i = 0; i < tree->n; i++) {
        total += tree->items[i].is_shared ? tree->items[i].parameters : 0;
    }
    return total;
}

static void put_line(const struct walk *walk) {
    for (int i = 0; i < walk->width + COUNT_WIDTH; i++) {
        fputc('=', walk->stream);
    }
    fputc('\n', walk->stream);
}

void tfr_module_tree_table(const struct tfr_module_tree *tree, int depth, FILE *stream) {
    struct walk walk = {.tree = tree, .depth = depth};
    char total[TFR_GROUPED_SIZE];
    visit_all(&walk);
    walk.width = walk.width < LEAST_WIDTH ? LEAST_WIDTH : (walk.width + STEP - 1) / STEP * STEP;
    walk.stream = stream;
    put_line(&walk);
    fprintf(stream, "%-*s Param #\n", walk.width, "Layer (type:depth-idx)");
    put_line(&walk);
    visit_all(&walk);
    put_line(&walk);
    tfr_grouped(tfr_module_tree_total(tree), total);
    fprintf(stream, "Total params: %s\nTrainable params: %s\nNon-trainable params: 0\n", total, total);
    put_line(&walk);
}

/* module_tree.c - a config becomes a tree of modules, and the tree the text that PyTorch prints. */
#include "model/module_tree.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum kind { CONTAINER, BLOCK, EMBEDDING, LAYER_NORM, CONV1D, LINEAR, DROPOUT, MAYBE_DROPOUT, ACTIVATION, SUMMARY_ACTIVATION };

/* Bits of `when`: one for each head, then these. */
enum { CROSS = 1 << 8, ALWAYS = 1 << 9 };

struct row {
    int depth;
    const char *name;
    enum kind kind;
    const char *class_name;
    enum tfr_param param; /* TFR_PARAM_COUNT: none */
    size_t number;        /* offset in struct tfr_shown */
    int when;
};

static const struct row rows[] = {
#define NONE                                                    TFR_PARAM_COUNT, 0
#define PARAM(name)                                             TFR_PARAM_##name, 0
#define NUMBER(name)                                            TFR_PARAM_COUNT, offsetof(struct tfr_shown, name)
#define HEAD(name)                                              1 << TFR_HEAD_##name
#define TFR_MODULE(depth, name, kind, class_name, detail, when) {depth, name, kind, class_name, detail, when},
#include "model/module_tree.def"
#undef TFR_MODULE
#undef HEAD
#undef NUMBER
#undef PARAM
#undef NONE
};

static const struct {
    const char *name, *text;
} activations[] = {
#define ACTIVATION_ENTRY(enum_name, config_name, module, ...) {config_name, module},
    TFR_ACTIVATION_LIST(ACTIVATION_ENTRY)
#undef ACTIVATION_ENTRY
};

enum { NUMBER_SIZE = 32 };

/* As Python's repr shows a float in 0..1: the fewest digits that mean this number. 0.1, 1e-05, 1.0. */
static const char *show_real(double value, char text[NUMBER_SIZE]) {
    enum { MOST_DIGITS = 17, SMALLEST = -4 };
    char shortest[NUMBER_SIZE], digits[MOST_DIGITS + 1] = "";
    int precision = 0, n = 0;
    do {
        snprintf(shortest, sizeof shortest, "%.*e", precision, value);
    } while (strtod(shortest, NULL) != value && ++precision < MOST_DIGITS);
    const char *at = shortest;
    for (; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9') { /* the point is the locale's */
            digits[n++] = *at;
        }
    }
    const int exponent = atoi(at + 1);
    if (exponent < SMALLEST) {
        snprintf(text, NUMBER_SIZE, "%c%s%se%+03d", digits[0], n > 1 ? "." : "", digits + 1, exponent);
    } else if (exponent < 0) {
        snprintf(text, NUMBER_SIZE, "0.%.*s%s", -1 - exponent, "000", digits);
    } else {
        snprintf(text, NUMBER_SIZE, "%s.0", digits); /* 0 and 1 */
    }
    return text;
}

static const char *show(const struct tfr_shown_number *number, char text[NUMBER_SIZE]) {
    if (number->kind == TFR_SHOWN_WHOLE) {
        snprintf(text, NUMBER_SIZE, "%lld", (long long)number->value);
        return text;
    }
    return show_real(number->value, text);
}

static int64_t count(const struct tfr_hparams *hparams, enum tfr_param param, int64_t dim[2]) {
    dim[0] = dim[1] = 1;
    const int rank = tfr_model_param_shape(hparams, param, dim);
    return rank == 2 ? dim[0] * dim[1] : dim[0];
}

/* Of the linears without a bias the next line of the table is another module's weight. */
static bool has_bias(enum tfr_param weight) {
    return weight != TFR_PARAM_WTE && weight != TFR_PARAM_WPE && weight != TFR_PARAM_LM_HEAD && weight != TFR_PARAM_SCORE;
}

static void set_parameters(struct tfr_module *module, const struct tfr_hparams *hparams, const struct row *row,
                           const struct tfr_shown *shown, const struct tfr_module_form *form) {
    int64_t dim[2], bias[2];
    char number[NUMBER_SIZE], *text = module->attributes;
    const size_t size = sizeof module->attributes;
    module->parameters = count(hparams, row->param, dim);
    module->is_shared = row->param == TFR_PARAM_LM_HEAD && hparams->tie_word_embeddings;
    if (has_bias(row->param)) {
        module->parameters += count(hparams, row->param + 1, bias);
    }
    if (row->kind == EMBEDDING) {
        snprintf(text, size, "%lld, %lld", (long long)dim[0], (long long)dim[1]);
    } else if (row->kind == LAYER_NORM) {
        snprintf(text, size, "(%lld,), eps=%s, elementwise_affine=True%s", (long long)dim[0],
                 show(&shown->layer_norm_epsilon, number), form->norm_shows_bias ? ", bias=True" : "");
    } else if (row->kind == CONV1D) {
        snprintf(text, size, "nf=%lld, nx=%lld", (long long)dim[1], (long long)dim[0]);
    } else {
        snprintf(text, size, "in_features=%lld, out_features=%lld, bias=%s", (long long)dim[1], (long long)dim[0],
                 has_bias(row->param) ? "True" : "False");
    }
}

static void set_identity(struct tfr_module *module) {
    snprintf(module->class_name, sizeof module->class_name, "Identity");
}

/* "LeakyReLU(negative_slope=0.01)" in its two parts; no name: an Identity. */
static void set_activation(struct tfr_module *module, const char *name) {
    set_identity(module);
    for (size_t i = 0; i < TFR_COUNT_OF(activations) && name != NULL; i++) {
        if (strcmp(activations[i].name, name) == 0) {
            const char *text = activations[i].text, *bracket = strchr(text, '(');
            snprintf(module->class_name, sizeof module->class_name, "%.*s", (int)(bracket - text), text);
            snprintf(module->attributes, sizeof module->attributes, "%.*s", (int)strlen(bracket) - 2, bracket + 1);
        }
    }
}

static enum tfr_status set_dropout(struct tfr_module *module, const struct tfr_config *config, const struct row *row) {
    const struct tfr_shown_number *p = (const void *)((const char *)&config->shown + row->number);
    char number[NUMBER_SIZE];
    if (p->kind == TFR_SHOWN_WRONG) {
        return tfr_raise(TFR_CONFIG, "%s: %s is no number, and %s makes a Dropout of it; write one in 0..1", config->path, p->field,
                         tfr_head_class(config->model.head));
    }
    if (row->kind == MAYBE_DROPOUT && (p->kind == TFR_SHOWN_NONE || p->value <= 0)) {
        set_identity(module);
        return TFR_OK;
    }
    if (p->value < 0 || p->value > 1) {
        return tfr_raise(TFR_CONFIG, "%s: %s = %.15g is outside 0..1, and %s makes a Dropout of it; write a number in 0..1",
                         config->path, p->field, p->value, tfr_head_class(config->model.head));
    }
    snprintf(module->attributes, sizeof module->attributes, "p=%s, inplace=False", show(p, number));
    return TFR_OK;
}

static enum tfr_status set_module(struct tfr_module *module, const struct tfr_config *config, const struct row *row,
                                  const struct tfr_module_form *form) {
    const struct tfr_hparams *hparams = &config->model;
    module->name = row->name;
    module->copies = row->kind == BLOCK ? hparams->n_layer : 1;
    module->is_leaf = row->kind != CONTAINER && row->kind != BLOCK;
    snprintf(module->class_name, sizeof module->class_name, "%s", row->class_name);
    if (row->kind == ACTIVATION || row->kind == SUMMARY_ACTIVATION) {
        set_activation(module, row->kind == ACTIVATION ? hparams->activation_name : hparams->summary_activation_name);
    } else if (row->kind == DROPOUT || row->kind == MAYBE_DROPOUT) {
        return set_dropout(module, config, row);
    } else if (row->param != TFR_PARAM_COUNT && tfr_model_has_param(hparams, row->param)) {
        set_parameters(module, hparams, row, &config->shown, form);
    } else if (row->param != TFR_PARAM_COUNT) {
        set_identity(module); /* a summary without projection */
    }
    return TFR_OK;
}

static bool is_there(const struct row *row, const struct tfr_hparams *hparams) {
    return row->when == ALWAYS || (row->when == CROSS && hparams->add_cross_attention) || (row->when & 1 << hparams->head) != 0;
}

/* Each container gets what stands below it, from the last one up. */
static void add_up(struct tfr_module_tree *tree) {
    for (int i = tree->n - 1; i >= 0; i--) {
        struct tfr_module *module = &tree->items[i];
        for (int j = i + 1; j < tree->n && tree->items[j].depth > module->depth; j++) {
            const struct tfr_module *below = &tree->items[j];
            if (below->depth == module->depth + 1) {
                module->parameters += below->is_shared ? 0 : below->copies * below->parameters;
            }
        }
    }
}

enum tfr_status tfr_module_tree_build(struct tfr_module_tree *tree, const struct tfr_config *config,
                                      const struct tfr_module_form *form) {
    const int head = config->model.head, under = head == TFR_HEAD_NONE ? 0 : 1;
    *tree = (struct tfr_module_tree){0};
    if (under > 0) {
        struct tfr_module *model = &tree->items[tree->n++];
        *model = (struct tfr_module){.name = "", .copies = 1};
        snprintf(model->class_name, sizeof model->class_name, "%s", tfr_head_class(head));
    }
    for (size_t i = 0; i < TFR_COUNT_OF(rows); i++) {
        if (is_there(&rows[i], &config->model)) {
            struct tfr_module *module = &tree->items[tree->n++];
            module->depth = rows[i].depth + under;
            TFR_TRY(set_module(module, config, &rows[i], form));
        }
    }
    add_up(tree);
    return TFR_OK;
}

/* "(wte): ", "(0-11): 12 x ", or nothing for the model itself. */
static void print_name(const struct tfr_module *module, FILE *stream) {
    if (module->depth == 0) {
        return;
    }
    fprintf(stream, "%*s", 2 * module->depth, "");
    if (module->name[0] != '\0') {
        fprintf(stream, "(%s): ", module->name);
    } else if (module->copies > 1) {
        fprintf(stream, "(0-%lld): %lld x ", (long long)module->copies - 1, (long long)module->copies);
    } else {
        fprintf(stream, "(0): ");
    }
}

void tfr_module_tree_print(const struct tfr_module_tree *tree, FILE *stream) {
    for (int i = 0; i < tree->n; i++) {
        const struct tfr_module *module = &tree->items[i];
        const int next = i + 1 < tree->n ? tree->items[i + 1].depth : 0;
        print_name(module, stream);
        fprintf(stream, "%s(%s%s\n", module->class_name, module->attributes, module->is_leaf ? ")" : "");
        for (int depth = module->depth - 1; depth >= next; depth--) {
            fprintf(stream, "%*s)\n", 2 * depth, "");
        }
    }
}

/* lines.c - look-ups in the tables of the line by line analysis. */
#include "cost/lines.h"

#include <stdlib.h>
#include <string.h>

enum step {
#define TFR_STEP(NAME, KIND, when, operation, analysis, tensor, cost) STEP_##NAME,
#include "cost/line_steps.def"
#undef TFR_STEP
    N_STEPS
};

static const struct tfr_line_step steps[N_STEPS] = {
#define BASIC                                                         false
#define COMPOSITE                                                     true
#define TFR_STEP(NAME, KIND, when, operation, analysis, tensor, cost) {operation, analysis, tensor, cost, KIND, when},
#include "cost/line_steps.def"
#undef TFR_STEP
};

/* A release's table as it is written: one entry for each line of the file. */
enum entry_kind { ENTRY_RELEASE, ENTRY_CLASS, ENTRY_ROW, ENTRY_ACTIVATION, ENTRY_END };
struct entry {
    enum entry_kind kind;
    int cls_or_step;
    const char *name, *module, *qualified;
    int class_line, first, last, first_row;
};

#define TFR_LINE_RELEASE(name) {ENTRY_RELEASE, 0, name, NULL, NULL, 0, 0, 0, 0},
#define TFR_LINE_TORCH(name)   TFR_LINE_RELEASE(name)
#define TFR_LINES_OF(CLASS, module, name, class_line, first, last)                                                                 \
    {ENTRY_CLASS, TFR_LINE_##CLASS, NULL, module, module "." name, class_line, first, last, 0},
#define TFR_LINES(first, last, STEP) {ENTRY_ROW, STEP_##STEP, NULL, NULL, NULL, 0, first, last, 0},
#define TFR_LINES_ACT(function, module, name, class_line, forward, first, last)                                                    \
    {ENTRY_ACTIVATION, 0, function, module, module "." name, class_line, forward, last, first},

struct tfr_line_release {
    const struct entry *entry; /* the first names the release, ENTRY_END is the last */
};

#include "line_releases.inc" /* made by CMake: an array for each lines_*.def, and `releases`, oldest first */

static const struct entry torch[] = {
#include "cost/lines_torch.def"
    {ENTRY_END, 0, NULL, NULL, NULL, 0, 0, 0, 0},
};

static const struct {
    const char *name, *holds, *off_reason, *on_reason;
} paths[TFR_LINE_BIT_COUNT] = {
#define TFR_LINE_PATH(NAME, holds, off_reason, on_reason) {#NAME, holds, off_reason, on_reason},
#include "cost/line_paths.def"
#undef TFR_LINE_PATH
};

static const struct {
    const char *origin, *meaning;
} variables[TFR_DIM_COUNT] = {
#define TFR_LINE_VARIABLE(DIM, origin, meaning) [TFR_DIM_##DIM] = {origin, meaning},
#include "cost/line_variables.def"
#undef TFR_LINE_VARIABLE
};

int tfr_line_n_releases(void) {
    return (int)(sizeof(releases) / sizeof(releases[0]));
}

const struct tfr_line_release *tfr_line_release(int index) {
    return &releases[index];
}

const char *tfr_line_release_name(const struct tfr_line_release *release) {
    return release->entry->name;
}

const char *tfr_line_torch_name(void) {
    return torch->name;
}

const struct tfr_line_release *tfr_line_find_release(const char *name) {
    for (int i = 0; i < tfr_line_n_releases(); i++) {
        if (strcmp(tfr_line_release_name(&releases[i]), name) == 0) {
            return &releases[i];
        }
    }
    return NULL;
}

static void place(struct tfr_line_source *source, const struct entry *at) {
    *source = (struct tfr_line_source){at->module, at->qualified, at->class_line, at->first, at->last, 0, {{0}}};
}

static void add_row(struct tfr_line_source *source, int first, int last, int step) {
    source->row[source->n_rows++] = (struct tfr_line_row){first, last, &steps[step]};
}

static bool find_class(const struct entry *at, enum tfr_line_class cls, struct tfr_line_source *source) {
    while (at->kind != ENTRY_END && (at->kind != ENTRY_CLASS || at->cls_or_step != (int)cls)) {
        at++;
    }
    if (at->kind == ENTRY_END) {
        return false;
    }
    place(source, at);
    for (at++; at->kind == ENTRY_ROW; at++) {
        add_row(source, at->first, at->last, at->cls_or_step);
    }
    return true;
}

static bool find_activation(const struct entry *at, const char *name, struct tfr_line_source *source) {
    for (; at->kind != ENTRY_END; at++) {
        if (at->kind == ENTRY_ACTIVATION && strcmp(at->name, name) == 0) {
            place(source, at);
            add_row(source, at->first_row, at->last, STEP_F_ACTIVATION);
            return true;
        }
    }
    return false;
}

bool tfr_line_source(const struct tfr_line_release *release, enum tfr_line_class cls, const char *activation_function,
                     struct tfr_line_source *source) {
    const enum tfr_line_class lines = tfr_line_class_info(cls).lines;
    if (lines == TFR_LINE_ACTIVATION) {
        return find_activation(release->entry, activation_function, source);
    }
    return find_class(release->entry, lines, source) || find_class(torch, lines, source);
}

const char *tfr_line_condition(enum tfr_line_bit bit) {
    return paths[bit].holds;
}

const char *tfr_line_skip_reason(tfr_line_when when, uint32_t bits) {
    const uint32_t missing = (uint32_t)when & ~bits, excess = (uint32_t)(when >> 32) & bits;
    for (int bit = 0; bit < TFR_LINE_BIT_COUNT; bit++) {
        if ((missing >> bit & 1) != 0) {
            return paths[bit].off_reason;
        }
        if ((excess >> bit & 1) != 0) {
            return paths[bit].on_reason;
        }
    }
    return NULL;
}

bool tfr_line_bit_named(const char *name, size_t size, enum tfr_line_bit *bit) {
    for (int i = 0; i < TFR_LINE_BIT_COUNT; i++) {
        if (tfr_line_is_name(name, size, paths[i].name)) {
            *bit = (enum tfr_line_bit)i;
            return true;
        }
    }
    return false;
}

const char *tfr_line_variable_origin(enum tfr_dim dim) {
    return variables[dim].origin;
}

const char *tfr_line_variable_meaning(enum tfr_dim dim) {
    return variables[dim].meaning;
}

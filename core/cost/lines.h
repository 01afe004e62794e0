/* lines.h - the forward of each class line by line, as data: which lines of which release of transformers do what, and when.
 *
 * Tables: line_classes.def (classes), line_steps.def (what lines do and cost), line_paths.def (what decides which lines run),
 * line_variables.def, and for each release lines_*.def (which lines). Thread rule: constant.
 */
#ifndef TFR_COST_LINES_H
#define TFR_COST_LINES_H

#include <tfrun/types.h>

#include "graph/poly.h"

enum tfr_line_class {
#define TFR_LINE_CLASS(NAME, SOURCE, page, arguments, variant, sets, what, inputs) TFR_LINE_##NAME,
#include "cost/line_classes.def"
#undef TFR_LINE_CLASS
    TFR_LINE_CLASS_COUNT
};

enum tfr_line_bit {
#define TFR_LINE_PATH(NAME, holds, off_reason, on_reason) TFR_LINE_BIT_##NAME,
#include "cost/line_paths.def"
#undef TFR_LINE_PATH
    TFR_LINE_BIT_COUNT
};

/* A condition: bits that must hold below, bits that must not hold above. */
typedef uint64_t tfr_line_when;
#define TFR_ALWAYS    ((tfr_line_when)0)
#define TFR_ON(NAME)  ((tfr_line_when)1 << TFR_LINE_BIT_##NAME)
#define TFR_OFF(NAME) ((tfr_line_when)1 << (32 + TFR_LINE_BIT_##NAME))

#define TFR_LINE_MAX_ARGS 12

struct tfr_line_class_info {
    enum tfr_line_class lines; /* the class whose lines these are: variants share them */
    const char *page;          /* "GPT2LMHeadModel", "Linear-bias" */
    const char *variant;       /* "bias=True", behind the arguments of a reference, or "" */
    const char *what;
    const char *inputs; /* "input_ids [batch_size, seq_len]; ..." */
    uint32_t sets;      /* bits that hold inside */
    int n_args;
    enum tfr_dim arg[TFR_LINE_MAX_ARGS];
    bool last_is_optional; /* the last argument is there with cross-attention alone */
};
struct tfr_line_class_info tfr_line_class_info(enum tfr_line_class cls);
uint32_t tfr_line_class_sets(enum tfr_line_class cls);
/* The name of a class's page where these bits hold: "GPT2Block-cross" with encoder states. */
const char *tfr_line_page(enum tfr_line_class cls, uint32_t bits);
/* The bits, and the class, that such a name stands for; 0 where it stands for none. */
uint32_t tfr_line_page_bits(const char *name, enum tfr_line_class *cls);
bool tfr_line_is_arg(const struct tfr_line_class_info *info, enum tfr_dim dim);

struct tfr_line_step {
    const char *operation, *analysis, *tensor, *cost;
    bool composite;
    tfr_line_when when;
};

struct tfr_line_row {
    int first, last;
    const struct tfr_line_step *step;
};

/* Where a class stands, and its rows. */
struct tfr_line_source {
    const char *module;          /* "transformers.models.gpt2.modeling_gpt2" */
    const char *qualified;       /* "transformers.models.gpt2.modeling_gpt2.GPT2Model" */
    int class_line, first, last; /* of the class; of its forward */
    int n_rows;
    struct tfr_line_row row[64];
};

struct tfr_line_release;
int tfr_line_n_releases(void);
const struct tfr_line_release *tfr_line_release(int index);             /* oldest first */
const struct tfr_line_release *tfr_line_find_release(const char *name); /* NULL: none of that name */
const char *tfr_line_release_name(const struct tfr_line_release *release);
const char *tfr_line_torch_name(void); /* the release of PyTorch that all of them call */
/* False: the release has no such class. `activation_function` tells which class ACTIVATION is. */
bool tfr_line_source(const struct tfr_line_release *release, enum tfr_line_class cls, const char *activation_function,
                     struct tfr_line_source *source);

const char *tfr_line_condition(enum tfr_line_bit bit);               /* "use_cache = True" */
const char *tfr_line_skip_reason(tfr_line_when when, uint32_t bits); /* NULL: the lines run */
/* Names in the tables: `size` characters at `name`. */
bool tfr_line_is_name(const char *name, size_t size, const char *known);
bool tfr_line_dim_named(const char *name, size_t size, enum tfr_dim *dim);
bool tfr_line_bit_named(const char *name, size_t size, enum tfr_line_bit *bit);
/* Where the value of a variable is read, with "%s" for a tensor, and what it is; NULL where the dim is no variable of the analysis.
 */
const char *tfr_line_variable_origin(enum tfr_dim dim);
const char *tfr_line_variable_meaning(enum tfr_dim dim);

#endif

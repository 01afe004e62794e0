/* op.c - the op table as data: ops.def parsed once, and the cost of a problem by its formulas.
 *
 * A formula that does not parse is a mistake in ops.def, not of the user: it is logged at the first use and
 * costs 0; test_op proves that there is none.
 */
#include "graph/op.h"

#include <string.h>
#include <threads.h>

#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"

static const struct {
    const char *name, *arguments, *flops, *bytes_read, *bytes_written, *text;
    int n_in, n_out;
} sources[] = {
#define TFR_OP(NAME, op_name, in, out, args, f, r, w, what)                                                                        \
    {.name = (op_name),                                                                                                            \
     .arguments = (args),                                                                                                          \
     .flops = (f),                                                                                                                 \
     .bytes_read = (r),                                                                                                            \
     .bytes_written = (w),                                                                                                         \
     .text = (what),                                                                                                               \
     .n_in = (in),                                                                                                                 \
     .n_out = (out)},
#include <tfrun/ops.def>
};

static struct tfr_op_info table[TFR_OP_COUNT];
static once_flag table_once = ONCE_FLAG_INIT;

static void parse_cost(const char *op, struct tfr_poly *poly, const char *text) {
    if (tfr_poly_parse(poly, text) != TFR_OK) {
        tfr_log(TFR_LOG_ERROR, "graph", "ops.def: %s: %s", op, tfr_failure_text());
        *poly = (struct tfr_poly){0};
    }
}

/* "x cache* bias? -> y": words around the arrow, '?' after an optional one, '*' and '+' after state read or appended to. */
static void parse_arguments(struct tfr_op_info *info, const char *text) {
    int n = 0;
    while (*text != '\0' && n < TFR_MAX_ARGS) {
        size_t length = strcspn(text, " ");
        if (length > 0 && strncmp(text, "->", length) != 0) {
            struct tfr_op_argument *argument = &info->argument[n++];
            const char mark = text[length - 1];
            argument->optional = mark == '?';
            argument->access = mark == '*' ? TFR_ARG_READ : mark == '+' ? TFR_ARG_APPEND : 0;
            size_t size = length - (argument->optional || argument->access != 0);
            size = size < sizeof(argument->name) ? size : sizeof(argument->name) - 1;
            memcpy(argument->name, text, size);
        }
        text += length + (text[length] == ' ');
    }
    if (n != info->n_in + info->n_out) {
        tfr_log(TFR_LOG_ERROR, "graph", "ops.def: %s names %d arguments, has %d", info->name, n, info->n_in + info->n_out);
    }
}

static void build_table(void) {
    for (int op = 0; op < TFR_OP_COUNT; op++) {
        struct tfr_op_info *info = &table[op];
        info->name = sources[op].name;
        info->text = sources[op].text;
        info->n_in = sources[op].n_in;
        info->n_out = sources[op].n_out;
        parse_arguments(info, sources[op].arguments);
        parse_cost(info->name, &info->flops, sources[op].flops);
        parse_cost(info->name, &info->bytes_read, sources[op].bytes_read);
        parse_cost(info->name, &info->bytes_written, sources[op].bytes_written);
    }
}

static const struct tfr_reference_info reference_sources[] = {
#define TFR_REFERENCE_OP(NAME, op_name, of, f, r, w, what) {.name = (op_name), .parts_of = (of), .text = (what)},
#include <tfrun/ops.def>
};
static const struct {
    const char *flops, *bytes_read, *bytes_written;
} reference_costs[] = {
#define TFR_REFERENCE_OP(NAME, op_name, of, f, r, w, what) {f, r, w},
#include <tfrun/ops.def>
};
static struct tfr_reference_info references[TFR_REFERENCE_OP_COUNT];
static once_flag references_once = ONCE_FLAG_INIT;

static void build_references(void) {
    for (int op = 0; op < TFR_REFERENCE_OP_COUNT; op++) {
        struct tfr_reference_info *info = &references[op];
        *info = reference_sources[op];
        parse_cost(info->name, &info->flops, reference_costs[op].flops);
        parse_cost(info->name, &info->bytes_read, reference_costs[op].bytes_read);
        parse_cost(info->name, &info->bytes_written, reference_costs[op].bytes_written);
    }
}

static const struct tfr_activation_class activation_classes[] = {
#define CLASS_ENTRY(NAME, config_name, print, passes, reads) {config_name, TFR_ACT_##NAME, passes, reads},
    TFR_ACTIVATION_LIST(CLASS_ENTRY)
#undef CLASS_ENTRY
};

static const struct {
    const char *name;
    double flops;
} activations[TFR_ACT_COUNT] = {
#define TFR_ACTIVATION(NAME, name, flops, formula) {name, flops},
#include <tfrun/activations.def>
};

static bool has_arg(const struct tfr_problem *problem, int arg) {
    return arg < problem->n_args && (problem->arg[arg].flags & TFR_ARG_ABSENT) == 0;
}

static void bind_linear(const struct tfr_problem *problem, double value[TFR_DIM_COUNT]) {
    const int64_t *weight = problem->arg[1].dim;
    bool transposed = problem->attrs.transposed != 0;
    value[TFR_DIM_K] = (double)weight[transposed ? 1 : 0];
    value[TFR_DIM_N] = (double)weight[transposed ? 0 : 1];
    value[TFR_DIM_EW] = tfr_dtype_cost((enum tfr_dtype)problem->arg[1].dtype, weight[transposed ? 1 : 0]);
    value[TFR_DIM_BIAS] = has_arg(problem, 2);
    value[TFR_DIM_RESIDUAL] = has_arg(problem, 3);
}

static void bind_sum_blocks(const struct tfr_problem *problem, double value[TFR_DIM_COUNT]) {
    value[TFR_DIM_N] = (double)problem->arg[4].dim[1];
    value[TFR_DIM_K] = (double)problem->arg[0].dim[1] + (has_arg(problem, 1) ? value[TFR_DIM_N] : 0);
    value[TFR_DIM_BIAS] = has_arg(problem, 2);
    value[TFR_DIM_RESIDUAL] = has_arg(problem, 3);
}

/* Of a cache: an int8 vector has a scale. */
static double kv_element_bytes(const struct tfr_problem *problem) {
    const enum tfr_dtype dtype = (enum tfr_dtype)problem->arg[1].dtype;
    return tfr_dtype_cost(dtype == TFR_DTYPE_I8 ? TFR_DTYPE_I8_CHANNEL : dtype, problem->attrs.head_dim);
}

const struct tfr_op_info *tfr_op_info(enum tfr_op op) {
    call_once(&table_once, build_table);
    return &table[op];
}

const struct tfr_reference_info *tfr_reference_info(enum tfr_reference_op op) {
    call_once(&references_once, build_references);
    return &references[op];
}

bool tfr_reference_is_part(enum tfr_reference_op part, enum tfr_op op) {
    const char *name = sources[op].name;
    const size_t length = strlen(name);
    for (const char *at = reference_sources[part].parts_of; *at != '\0'; at += at[0] == ' ') {
        const size_t word = strcspn(at, " ");
        if (word == length && strncmp(at, name, length) == 0) {
            return true;
        }
        at += word;
    }
    return false;
}

const struct tfr_activation_class *tfr_activation_class(const char *config_name) {
    for (size_t i = 0; i < TFR_COUNT_OF(activation_classes); i++) {
        if (strcmp(activation_classes[i].config_name, config_name) == 0) {
            return &activation_classes[i];
        }
    }
    return NULL;
}

int tfr_node_n_in(const struct tfr_node *node) {
    return node->op == TFR_OP_FUSED ? node->n_args - 1 : tfr_op_info(node->op)->n_in;
}

int tfr_node_output(const struct tfr_node *node) {
    const int n_in = tfr_node_n_in(node);
    return n_in < node->n_args ? node->arg[n_in] : -1;
}

uint32_t tfr_node_access(const struct tfr_node *node, int arg) {
    if (node->op != TFR_OP_FUSED) {
        return tfr_op_info(node->op)->argument[arg].access;
    }
    for (int p = 0; p < node->n_parts; p++) {
        for (int a = 0; a < node->part[p].n_args; a++) {
            if (node->part[p].arg[a] == arg) {
                return tfr_op_info((enum tfr_op)node->part[p].op)->argument[a].access;
            }
        }
    }
    return 0;
}

enum tfr_op tfr_op_find(const char *name) {
    int op = 0;
    while (op < TFR_OP_COUNT && strcmp(sources[op].name, name) != 0) {
        op++;
    }
    return (enum tfr_op)op;
}

double tfr_activation_flops(enum tfr_activation activation) {
    return (unsigned)activation < TFR_ACT_COUNT ? activations[activation].flops : 0;
}

const char *tfr_activation_name(enum tfr_activation activation) {
    return (unsigned)activation < TFR_ACT_COUNT ? activations[activation].name : "?";
}

struct tfr_op_facts tfr_op_facts_make(double rows, double sequences, double past) {
    double n_seqs = sequences < 1 ? 1 : sequences > rows ? rows : sequences;
    double new_rows = n_seqs > 0 ? rows / n_seqs : 0;
    return (struct tfr_op_facts){
        .rows = rows,
        .pairs = n_seqs * (new_rows * past + new_rows * (new_rows + 1) / 2),
        .keys = n_seqs * (past + new_rows),
    };
}

struct tfr_op_facts tfr_op_facts_cross(double rows, double sequences, double encoder) {
    const double n_seqs = sequences < 1 ? 1 : sequences > rows ? rows : sequences;
    return (struct tfr_op_facts){.rows = rows, .pairs = rows * encoder, .keys = n_seqs * encoder};
}

void tfr_op_bind(const struct tfr_problem *problem, const struct tfr_op_facts *facts, double value[TFR_DIM_COUNT]) {
    memset(value, 0, TFR_DIM_COUNT * sizeof(*value));
    value[TFR_DIM_M] = facts->rows;
    value[TFR_DIM_A] = facts->pairs;
    value[TFR_DIM_X] = facts->keys;
    value[TFR_DIM_EA] = sizeof(float);
    value[TFR_DIM_EK] = sizeof(float);
    value[TFR_DIM_EW] = sizeof(float);
    value[TFR_DIM_H] = problem->attrs.n_heads;
    value[TFR_DIM_ACT] = tfr_activation_flops(problem->attrs.activation);
    double width = problem->n_args > 0 ? (double)problem->arg[0].dim[1] : 0;
    value[TFR_DIM_C] = width;
    value[TFR_DIM_N] = width;
    if (problem->op == TFR_OP_LINEAR) {
        bind_linear(problem, value);
    } else if (problem->op == TFR_OP_SUM_BLOCKS) {
        bind_sum_blocks(problem, value);
    } else if (problem->op == TFR_OP_EMBED) {
        value[TFR_DIM_C] = (double)problem->arg[2].dim[1];
        value[TFR_DIM_EW] = (double)(tfr_dtype_size(problem->arg[2].dtype) + tfr_dtype_size(problem->arg[3].dtype)) / 2;
    } else if (problem->op == TFR_OP_LOOKUP_ADD) {
        value[TFR_DIM_EW] = (double)tfr_dtype_size(problem->arg[2].dtype);
    } else if (problem->op == TFR_OP_KV_APPEND || problem->op == TFR_OP_ATTENTION) {
        value[TFR_DIM_C] = (double)problem->attrs.n_heads * problem->attrs.head_dim;
        value[TFR_DIM_EK] = kv_element_bytes(problem);
    }
}

struct tfr_problem tfr_problem_part(const struct tfr_problem *problem, int part) {
    const struct tfr_part *at = tfr_part_at(problem, part);
    struct tfr_problem one = *problem;
    one.op = at->op;
    one.n_args = at->n_args;
    one.attrs = at->attrs;
    one.n_parts = 0;
    one.parts = NULL;
    for (int a = 0; a < at->n_args; a++) {
        const bool is_handed_on = a == 0 && part > 0, is_output = a == at->n_args - 1;
        one.arg[a] = at->arg[a] >= 0 ? problem->arg[at->arg[a]]
                     : is_handed_on  ? tfr_part_at(problem, part - 1)->out
                     : is_output     ? at->out
                                     : (struct tfr_arg_desc){.dtype = TFR_DTYPE_F32, .flags = TFR_ARG_ABSENT};
    }
    return one;
}

/* The parts one after the other, but for what is handed on inside, which nobody writes or reads. */
static void fused_cost(const struct tfr_problem *problem, const struct tfr_op_facts *facts, struct tfr_cost *cost) {
    cost->flops = cost->bytes_read = cost->bytes_written = 0;
    for (int p = 0; p < problem->n_parts; p++) {
        const struct tfr_problem part = tfr_problem_part(problem, p);
        struct tfr_cost one;
        tfr_op_cost(&part, facts, &one);
        const double width = (double)tfr_part_at(problem, p)->out.dim[1];
        const double inside = p + 1 < problem->n_parts ? facts->rows * width * sizeof(float) : 0;
        cost->flops += one.flops;
        cost->bytes_read += one.bytes_read - inside;
        cost->bytes_written += one.bytes_written - inside;
    }
}

void tfr_op_cost(const struct tfr_problem *problem, const struct tfr_op_facts *facts, struct tfr_cost *cost) {
    const struct tfr_op_info *info = tfr_op_info(problem->op);
    double value[TFR_DIM_COUNT];
    if (problem->op == TFR_OP_FUSED) {
        fused_cost(problem, facts, cost);
        return;
    }
    tfr_op_bind(problem, facts, value);
    cost->flops = tfr_poly_eval(&info->flops, value);
    cost->bytes_read = tfr_poly_eval(&info->bytes_read, value);
    cost->bytes_written = tfr_poly_eval(&info->bytes_written, value);
    if (problem->op == TFR_OP_LINEAR && problem->attrs.n_blocks > 0) {
        cost->bytes_written *= problem->attrs.n_blocks; /* block sums that stay apart */
    }
}

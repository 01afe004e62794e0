/* op.h - facts about each op of ops.def: arguments, shape rule, least cost.
 *
 * The only reader of the cost formulas: plan, cost and profile ask here. The table is parsed once, at first
 * use. Thread rule: any thread.
 */
#ifndef TFR_GRAPH_OP_H
#define TFR_GRAPH_OP_H

#include <tfrun/plugin.h>

#include "graph/graph.h"
#include "graph/poly.h"

/* A row of best_rows: its largest number and the column of that; columns that a float can count. */
enum { TFR_BEST_WIDTH = 2, TFR_BEST_COLUMNS = 1 << 24 };

/* What PyTorch runs for an op when nothing is fused (ops.def). */
enum tfr_reference_op {
#define TFR_REFERENCE_OP(NAME, name, parts_of, flops, read, written, text) TFR_REFERENCE_##NAME,
#include <tfrun/ops.def>
    TFR_REFERENCE_OP_COUNT
};

struct tfr_op_argument {
    char name[16];
    bool optional;
    uint32_t access; /* TFR_ARG_READ or TFR_ARG_APPEND: state; 0: a value */
};

struct tfr_op_info {
    const char *name, *text;
    int n_in, n_out;
    struct tfr_op_argument argument[TFR_MAX_ARGS]; /* inputs, then outputs */
    struct tfr_poly flops, bytes_read, bytes_written;
};

struct tfr_reference_info {
    const char *name, *text;
    const char *parts_of; /* names of ops, apart by blanks */
    struct tfr_poly flops, bytes_read, bytes_written;
};

const struct tfr_op_info *tfr_op_info(enum tfr_op op);
const struct tfr_reference_info *tfr_reference_info(enum tfr_reference_op op);
bool tfr_reference_is_part(enum tfr_reference_op part, enum tfr_op op);
/* Of a node: how many of its arguments are inputs, and its output value (-1 none). A fused node has the inputs of its parts. */
int tfr_node_n_in(const struct tfr_node *node);
int tfr_node_output(const struct tfr_node *node);
/* TFR_ARG_READ, TFR_ARG_APPEND or 0: what the node does to its argument. */
uint32_t tfr_node_access(const struct tfr_node *node, int arg);
/* The op of a name ("linear"), or TFR_OP_COUNT. */
enum tfr_op tfr_op_find(const char *name);

/* What a shape rule finds out about the output of a node. */
struct tfr_shape {
    enum tfr_dtype dtype;
    enum tfr_rows_var rows;
    int rank;
    int64_t dim[TFR_MAX_RANK];
};
/* Checks the inputs of a node and gives its output shape (rank 0 when it has no output). For recv_hidden,
 * whose output follows from no input, *shape comes in filled. */
enum tfr_status tfr_op_shape(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape);

/* FLOPs of an activation per element, counted as in ops.def; erf and log count as one each. */
double tfr_activation_flops(enum tfr_activation activation);
const char *tfr_activation_name(enum tfr_activation activation); /* "gelu_tanh" */

/* What Hugging Face makes of an activation_function. */
struct tfr_activation_class {
    const char *config_name; /* "gelu_new" */
    enum tfr_activation activation;
    int passes, reads; /* elements written and read per element, run one elementwise kernel after the other */
};
const struct tfr_activation_class *tfr_activation_class(const char *config_name); /* NULL: unknown */

/* What a cost depends on besides the problem: rows in one run, visible pairs and keys read (attention). */
struct tfr_op_facts {
    double rows, pairs, keys;
};
/* `rows` new rows spread over `sequences`, each with `past` cached positions. */
struct tfr_op_facts tfr_op_facts_make(double rows, double sequences, double past);
/* Of an attention to an encoder: every row sees all `encoder` rows of its sequence. */
struct tfr_op_facts tfr_op_facts_cross(double rows, double sequences, double encoder);
/* Values of the names in the op's formulas for this problem. */
void tfr_op_bind(const struct tfr_problem *problem, const struct tfr_op_facts *facts, double value[TFR_DIM_COUNT]);
/* One part of a pattern as a problem of its own. */
struct tfr_problem tfr_problem_part(const struct tfr_problem *problem, int part);
/* Fills flops, bytes_read and bytes_written with the least cost; the rest is left as it is. */
void tfr_op_cost(const struct tfr_problem *problem, const struct tfr_op_facts *facts, struct tfr_cost *cost);

#endif

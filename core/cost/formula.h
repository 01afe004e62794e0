/* formula.h - what a node of the graph costs, as polynomials.
 *
 * In the letters of a step (T R A X B U W, and Q S of the reference) and the long names of the model (graph/poly.h): widths are
 * names, types and flags are numbers. Thread rule: no state.
 */
#ifndef TFR_COST_FORMULA_H
#define TFR_COST_FORMULA_H

#include "graph/graph.h"
#include "graph/op.h"

struct tfr_formula {
    struct tfr_poly flops, read, written;
};

/* What stands behind the names: types in memory. */
struct tfr_formula_types {
    int64_t activation, weight; /* bytes per element */
};

/* A message that carries logits, or a share of them, not hidden states. */
bool tfr_is_logits_message(const struct tfr_graph *graph, const struct tfr_node *node, const struct tfr_hparams *hparams);
/* What the executed graph must do: FLOPs, and bytes of distinct elements in one run of the kernel for each step. */
enum tfr_status tfr_formula_executed(struct tfr_formula *formula, const struct tfr_graph *graph, const struct tfr_node *node,
                                     const struct tfr_hparams *hparams);

/* The kernels that PyTorch runs for a node of the graph that was not fused. */
struct tfr_reference_part {
    enum tfr_reference_op op;
    const char *module; /* name of the node's parameter's module, where it is not the node's own: "wte" */
    enum tfr_dim rows;  /* what M stands for: T, R or Q */
};
enum { TFR_MAX_REFERENCE_PARTS = 12 };
/* What decides whether PyTorch copies: keys and values where some come from a cache, the heads' results where they lie apart. */
struct tfr_reference_case {
    bool has_past;   /* cache_len > 0 */
    bool heads_part; /* seq_len > 1, and more than one head: else they lie side by side already */
};
int tfr_reference_parts(const struct tfr_node *node, const struct tfr_hparams *hparams, const struct tfr_reference_case *of,
                        struct tfr_reference_part parts[TFR_MAX_REFERENCE_PARTS]);
enum tfr_status tfr_formula_reference(struct tfr_formula *formula, const struct tfr_graph *graph, const struct tfr_node *node,
                                      const struct tfr_hparams *hparams, const struct tfr_reference_part *part,
                                      const struct tfr_formula_types *types);

/* Kernels that reorder_and_upcast_attn runs in f32 whatever the model's type: from the scores to the softmax. */
bool tfr_reference_is_upcast(enum tfr_reference_op op);

/* The mean of each sequence's rows, which is no node: T rows of B sequences. */
enum tfr_status tfr_formula_mean(struct tfr_formula *formula, int64_t activation_bytes);

/* Rows and columns of a parameter as the table of parameters has them, in long names. */
enum tfr_status tfr_param_shape_poly(const struct tfr_hparams *hparams, enum tfr_param param, struct tfr_poly *rows,
                                     struct tfr_poly *columns);

#endif

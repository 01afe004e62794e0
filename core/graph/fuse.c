/* fuse.c - graph rewrites: an op that follows a linear moves into it.
 *
 * A rule looks at one node, changes the graph in place and names the node that became superfluous. The driver
 * applies all rules until none applies. A fused linear stands where its consumer stood, because the
 * consumer's other operand may be made after the linear; it writes the consumer's output and keeps the
 * linear's name.
 */
#include "graph/graph.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"

enum { X, WEIGHT, BIAS, RESIDUAL, OUTPUT }; /* arguments of linear */

/* The node that makes `value`, if it is a linear that only this use needs and that can move; else -1. `uses`: of each value. */
static int movable_linear(const struct tfr_graph *graph, const int *uses, int value) {
    int producer = graph->values[value].producer;
    if (producer < 0 || graph->nodes[producer].op != TFR_OP_LINEAR || graph->values[value].kind != TFR_VALUE_ACT ||
        uses[value] != 1) {
        return -1;
    }
    return producer;
}

/* Puts `linear` in the place of node `at`, whose output it makes from now on. */
static void replace(struct tfr_graph *graph, int at, const struct tfr_node *linear, int output) {
    graph->nodes[at] = *linear;
    graph->nodes[at].arg[OUTPUT] = output;
}

/* act(linear(x)) -> linear{act}(x) */
static int fuse_activation(struct tfr_graph *graph, const int *uses, int at) {
    const struct tfr_node *node = &graph->nodes[at];
    if (node->op != TFR_OP_ACTIVATION) {
        return -1;
    }
    int source = movable_linear(graph, uses, node->arg[0]);
    if (source < 0 || graph->nodes[source].attrs.activation != TFR_ACT_NONE || graph->nodes[source].arg[RESIDUAL] >= 0) {
        return -1;
    }
    struct tfr_node fused = graph->nodes[source];
    fused.attrs.activation = node->attrs.activation;
    replace(graph, at, &fused, node->arg[1]);
    return source;
}

/* add(r, linear(x)) or add(linear(x), r) -> linear(x){residual r} */
static int fuse_residual(struct tfr_graph *graph, const int *uses, int at) {
    const struct tfr_node *node = &graph->nodes[at];
    if (node->op != TFR_OP_ADD) {
        return -1;
    }
    for (int side = 1; side >= 0; side--) {
        int source = movable_linear(graph, uses, node->arg[side]);
        if (source < 0 || graph->nodes[source].arg[RESIDUAL] >= 0) {
            continue;
        }
        struct tfr_node fused = graph->nodes[source];
        fused.arg[RESIDUAL] = node->arg[1 - side];
        replace(graph, at, &fused, node->arg[2]);
        return source;
    }
    return -1;
}

static int (*const rules[])(struct tfr_graph *graph, const int *uses, int at) = {fuse_activation, fuse_residual};

/* One pass over all nodes and rules; true if anything changed. */
static bool pass(struct tfr_graph *graph, int *uses, bool *dead) {
    bool changed = false;
    tfr_count_all_uses(graph, uses);
    for (int i = 0; i < graph->n_nodes; i++) {
        for (size_t r = 0; r < TFR_COUNT_OF(rules) && !dead[i]; r++) {
            int superfluous = rules[r](graph, uses, i);
            if (superfluous >= 0) {
                dead[superfluous] = true;
                changed = true;
            }
        }
    }
    return changed;
}

enum tfr_status tfr_fuse(struct tfr_graph *graph) {
    bool *dead = tfr_alloc((size_t)graph->n_nodes, sizeof(*dead));
    int *uses = tfr_alloc((size_t)graph->n_values, sizeof(*uses));
    enum tfr_status status = dead == NULL || uses == NULL ? TFR_RESOURCE : TFR_OK;
    while (status == TFR_OK && pass(graph, uses, dead)) {
        status = tfr_graph_remove(graph, dead);
        memset(dead, 0, (size_t)graph->n_nodes * sizeof(*dead));
    }
    tfr_free(dead);
    tfr_free(uses);
    return status == TFR_OK ? tfr_graph_check(graph) : status;
}

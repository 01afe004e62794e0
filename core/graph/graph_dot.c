/* graph_dot.c - a graph as a picture in the DOT language: one box per node, one arrow per value, dashed for
 * state.
 *
 * Weights are named inside the boxes, not drawn.
 */
#include "graph/graph.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "base/tensor.h"
#include "graph/op.h"

static void put_node(struct tfr_json_out *out, const struct tfr_graph *graph, int index) {
    const struct tfr_node *node = &graph->nodes[index];
    const struct tfr_op_info *info = tfr_op_info(node->op);
    char line[320], shape[96] = "";
    if (tfr_node_output(node) >= 0) {
        const struct tfr_value *value = &graph->values[tfr_node_output(node)];
        tfr_shape_text(value->rank, value->dim, shape, sizeof(shape));
    }
    bool fused = node->op == TFR_OP_LINEAR && node->attrs.activation != TFR_ACT_NONE;
    bool residual = node->op == TFR_OP_LINEAR && node->arg[3] >= 0;
    snprintf(line, sizeof(line), "  n%d [label=\"%s\\n%s%s%s%s %s\"];\n", index, node->name, info->name, fused ? " + " : "",
             fused ? tfr_activation_name(node->attrs.activation) : "", residual ? " + residual" : "", shape);
    tfr_json_put_raw(out, line);
}

static void put_edges(struct tfr_json_out *out, const struct tfr_graph *graph, int index) {
    const struct tfr_node *node = &graph->nodes[index];
    char line[200];
    for (int a = 0; a < tfr_node_n_in(node); a++) {
        const struct tfr_value *value = node->arg[a] >= 0 ? &graph->values[node->arg[a]] : NULL;
        if (value != NULL && value->producer >= 0) {
            snprintf(line, sizeof(line), "  n%d -> n%d;\n", value->producer, index);
            tfr_json_put_raw(out, line);
        } else if (value != NULL && value->kind == TFR_VALUE_IO) {
            snprintf(line, sizeof(line), "  \"%s\" [shape=ellipse]; \"%s\" -> n%d;\n", value->name, value->name, index);
            tfr_json_put_raw(out, line);
        }
    }
    int list[TFR_MAX_PREDECESSORS];
    const int n = tfr_node_state_predecessors(graph, index, list);
    for (int i = 0; i < n; i++) {
        snprintf(line, sizeof(line), "  n%d -> n%d [style=dashed];\n", list[i], index);
        tfr_json_put_raw(out, line);
    }
}

char *tfr_graph_dot(const struct tfr_graph *graph) {
    struct tfr_json_out out = {0}; /* used as a growing text */
    tfr_json_put_raw(&out, "digraph step {\n  node [shape=box];\n");
    for (int i = 0; i < graph->n_nodes; i++) {
        put_node(&out, graph, i);
        put_edges(&out, graph, i);
    }
    tfr_json_put_raw(&out, "}\n");
    if (out.failed) {
        tfr_free(out.text);
        return NULL;
    }
    return out.text;
}

/* graph.c - the containers of a graph, and the check that every stage after it relies on.
 */
#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "graph/op.h"

/* Room for one more item. */
static enum tfr_status grow(void **items, int n, int *capacity, size_t size) {
    if (n < *capacity) {
        return TFR_OK;
    }
    int wider = *capacity > 0 ? 2 * *capacity : 64;
    void *moved = tfr_realloc(*items, (size_t)wider, size);
    if (moved == NULL) {
        return TFR_RESOURCE;
    }
    *items = moved;
    *capacity = wider;
    return TFR_OK;
}

static struct tfr_shape shape_of(const struct tfr_value *value) {
    struct tfr_shape shape = {.dtype = value->dtype, .rows = value->rows, .rank = value->rank};
    memcpy(shape.dim, value->dim, sizeof(shape.dim));
    return shape;
}

static bool same_shape(const struct tfr_shape *a, const struct tfr_shape *b) {
    return a->dtype == b->dtype && a->rows == b->rows && a->rank == b->rank &&
           memcmp(a->dim, b->dim, (size_t)a->rank * sizeof(a->dim[0])) == 0;
}

static enum tfr_status check_inputs(const struct tfr_graph *graph, int index) {
    const struct tfr_node *node = &graph->nodes[index];
    for (int i = 0; i < tfr_node_n_in(node); i++) {
        int id = node->arg[i];
        if (id < -1 || id >= graph->n_values) {
            return tfr_raise(TFR_MODEL, "node %s: argument %d is value %d of %d", node->name, i, id, graph->n_values);
        }
        if (id >= 0 && graph->values[id].producer >= index) {
            return tfr_raise(TFR_MODEL, "node %s: %s is used before it is made", node->name, graph->values[id].name);
        }
        if (id >= 0 && graph->values[id].kind == TFR_VALUE_ACT && graph->values[id].producer < 0) {
            return tfr_raise(TFR_MODEL, "node %s: nothing makes %s", node->name, graph->values[id].name);
        }
    }
    return TFR_OK;
}

static enum tfr_status check_output(const struct tfr_graph *graph, int index) {
    const struct tfr_node *node = &graph->nodes[index];
    int output = tfr_node_output(node);
    struct tfr_shape shape = {0}, expected;
    if (output >= 0 && output < graph->n_values) {
        shape = shape_of(&graph->values[output]);
    } else if (tfr_op_info(node->op)->n_out > 0) {
        return tfr_raise(TFR_MODEL, "node %s has no output value", node->name);
    }
    expected = shape;
    TFR_TRY(tfr_op_shape(graph, node, &expected));
    if (output < 0) {
        return TFR_OK;
    }
    if (graph->values[output].producer != index) {
        return tfr_raise(TFR_MODEL, "value %s has two producers or the wrong one", graph->values[output].name);
    }
    if (!same_shape(&shape, &expected)) {
        char has[96], needs[96];
        return tfr_raise(TFR_MODEL, "node %s: output is %s, its inputs give %s", node->name,
                         tfr_shape_text(shape.rank, shape.dim, has, sizeof(has)),
                         tfr_shape_text(expected.rank, expected.dim, needs, sizeof(needs)));
    }
    return TFR_OK;
}

/* Moves the living nodes together; new_index[old] is -1 for dead ones. */
static void compact_nodes(struct tfr_graph *graph, const bool *dead, int *new_index) {
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        new_index[i] = dead[i] ? -1 : n;
        if (!dead[i]) {
            graph->nodes[n++] = graph->nodes[i];
        }
    }
    graph->n_nodes = n;
}

static void compact_values(struct tfr_graph *graph, const int *new_node, int *new_index) {
    for (int v = 0; v < graph->n_values; v++) {
        new_index[v] = -1;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        for (int a = 0; a < graph->nodes[i].n_args; a++) {
            if (graph->nodes[i].arg[a] >= 0) {
                new_index[graph->nodes[i].arg[a]] = 0;
            }
        }
    }
    int n = 0;
    for (int v = 0; v < graph->n_values; v++) {
        if (new_index[v] < 0) {
            continue;
        }
        new_index[v] = n;
        graph->values[n] = graph->values[v];
        if (graph->values[n].producer >= 0) {
            graph->values[n].producer = new_node[graph->values[n].producer];
        }
        n++;
    }
    graph->n_values = n;
    for (int i = 0; i < graph->n_nodes; i++) {
        for (int a = 0; a < graph->nodes[i].n_args; a++) {
            int *arg = &graph->nodes[i].arg[a];
            *arg = *arg >= 0 ? new_index[*arg] : -1;
        }
    }
}

enum tfr_status tfr_graph_create(struct tfr_graph **graph, int64_t rows_max, int64_t logits_max) {
    *graph = tfr_alloc(1, sizeof(**graph));
    if (*graph == NULL) {
        return TFR_RESOURCE;
    }
    (*graph)->rows_max = rows_max;
    (*graph)->logits_max = logits_max;
    return TFR_OK;
}

enum tfr_status tfr_graph_add_value(struct tfr_graph *graph, const struct tfr_value *value, int *id) {
    void *items = graph->values;
    enum tfr_status status = grow(&items, graph->n_values, &graph->value_capacity, sizeof(*value));
    graph->values = items;
    TFR_TRY(status);
    *id = graph->n_values++;
    graph->values[*id] = *value;
    graph->values[*id].producer = -1;
    return TFR_OK;
}

enum tfr_status tfr_graph_add_node(struct tfr_graph *graph, const struct tfr_node *node, const struct tfr_value *given,
                                   int *output) {
    void *items = graph->nodes;
    enum tfr_status status = grow(&items, graph->n_nodes, &graph->node_capacity, sizeof(*node));
    graph->nodes = items;
    TFR_TRY(status);
    const struct tfr_op_info *info = tfr_op_info(node->op);
    struct tfr_node added = *node;
    added.n_args = info->n_in + info->n_out;
    struct tfr_shape shape = {0};
    if (given != NULL) {
        shape = shape_of(given);
    }
    TFR_TRY(tfr_op_shape(graph, &added, &shape));
    *output = -1;
    if (info->n_out > 0) {
        struct tfr_value value = {.kind = TFR_VALUE_ACT};
        if (given != NULL) {
            value = *given;
        }
        snprintf(value.name, sizeof(value.name), "%s", node->name);
        value.dtype = shape.dtype;
        value.rows = shape.rows;
        value.rank = shape.rank;
        memcpy(value.dim, shape.dim, sizeof(value.dim));
        TFR_TRY(tfr_graph_add_value(graph, &value, output));
        graph->values[*output].producer = graph->n_nodes;
        added.arg[info->n_in] = *output;
        added.rows = shape.rows;
    } else {
        added.rows = graph->values[node->arg[0]].rows;
    }
    graph->nodes[graph->n_nodes++] = added;
    return TFR_OK;
}

enum tfr_status tfr_graph_remove(struct tfr_graph *graph, const bool *dead) {
    int *new_node = tfr_alloc((size_t)graph->n_nodes, sizeof(*new_node));
    int *new_value = tfr_alloc((size_t)graph->n_values, sizeof(*new_value));
    enum tfr_status status = new_node != NULL && new_value != NULL ? TFR_OK : TFR_RESOURCE;
    if (status == TFR_OK) {
        compact_nodes(graph, dead, new_node);
        compact_values(graph, new_node, new_value);
    }
    tfr_free(new_node);
    tfr_free(new_value);
    return status;
}

enum tfr_status tfr_graph_check(const struct tfr_graph *graph) {
    for (int i = 0; i < graph->n_nodes; i++) {
        TFR_TRY(check_inputs(graph, i));
        TFR_TRY(check_output(graph, i));
    }
    for (int v = 0; v < graph->n_values; v++) {
        const struct tfr_value *value = &graph->values[v];
        if (value->producer >= graph->n_nodes || (value->producer >= 0 && tfr_node_output(&graph->nodes[value->producer]) != v)) {
            return tfr_raise(TFR_MODEL, "value %s names a producer that does not make it", value->name);
        }
    }
    return TFR_OK;
}

void tfr_graph_free(struct tfr_graph *graph) {
    if (graph != NULL) {
        tfr_free(graph->values);
        tfr_free(graph->nodes);
        tfr_free(graph);
    }
}

/* edges.c - who must run before whom: follows from the arguments alone, values and state alike. */
#include "graph/graph.h"

#include <string.h>

#include "graph/op.h"

int tfr_count_uses(const struct tfr_graph *graph, int value) {
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct tfr_node *node = &graph->nodes[i];
        for (int a = 0; a < node->n_args; a++) {
            n += node->arg[a] == value && graph->values[value].producer != i;
        }
    }
    return n;
}

void tfr_count_all_uses(const struct tfr_graph *graph, int *uses) {
    memset(uses, 0, (size_t)graph->n_values * sizeof(*uses));
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct tfr_node *node = &graph->nodes[i];
        for (int a = 0; a < node->n_args; a++) {
            if (node->arg[a] >= 0 && graph->values[node->arg[a]].producer != i) {
                uses[node->arg[a]]++;
            }
        }
    }
}

/* What `node` does to the state `value`. */
static uint32_t access_to(const struct tfr_node *node, int value) {
    uint32_t access = 0;
    for (int a = 0; a < tfr_node_n_in(node); a++) {
        access |= node->arg[a] == value ? tfr_node_access(node, a) : 0;
    }
    return access;
}

static int add_once(int *list, int n, int node) {
    for (int i = 0; i < n; i++) {
        if (list[i] == node) {
            return n;
        }
    }
    if (n < TFR_MAX_PREDECESSORS) {
        list[n] = node;
    }
    return n + 1;
}

/* A reader waits for the last node that appended before it; who appends waits for that one and for all readers since. */
static int wait_for_state(const struct tfr_graph *graph, int node, int value, int *list, int n) {
    const bool appends = access_to(&graph->nodes[node], value) & TFR_ARG_APPEND;
    for (int i = node - 1; i >= 0; i--) {
        const uint32_t access = access_to(&graph->nodes[i], value);
        if ((access & TFR_ARG_APPEND) || (access != 0 && appends)) {
            n = add_once(list, n, i);
        }
        if (access & TFR_ARG_APPEND) {
            break;
        }
    }
    return n;
}

int tfr_node_state_predecessors(const struct tfr_graph *graph, int node, int list[TFR_MAX_PREDECESSORS]) {
    const struct tfr_node *at = &graph->nodes[node];
    int n = 0;
    for (int a = 0; a < tfr_node_n_in(at); a++) {
        if (at->arg[a] >= 0 && graph->values[at->arg[a]].kind == TFR_VALUE_STATE) {
            n = wait_for_state(graph, node, at->arg[a], list, n);
        }
    }
    return n;
}

int tfr_node_predecessors(const struct tfr_graph *graph, int node, int list[TFR_MAX_PREDECESSORS]) {
    const struct tfr_node *at = &graph->nodes[node];
    int n = 0;
    for (int a = 0; a < tfr_node_n_in(at); a++) {
        const struct tfr_value *value = at->arg[a] >= 0 ? &graph->values[at->arg[a]] : NULL;
        if (value != NULL && value->kind == TFR_VALUE_STATE) {
            n = wait_for_state(graph, node, at->arg[a], list, n);
        } else if (value != NULL && value->producer >= 0) {
            n = add_once(list, n, value->producer);
        }
    }
    return n;
}

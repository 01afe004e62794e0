/* edges.c - who must run before whom: follows from the arguments alone, values and state alike. One walk over the nodes, which
 * remembers of each state who touched it last. */
#include "graph/edges.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"
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

/* A reader of a state, in the list of those since the last append, the newest first. */
struct reader {
    int node, before; /* index of the one before it, -1 */
};

struct walk {
    const struct tfr_graph *graph;
    struct tfr_edges *edges;
    bool state_only;
    struct reader *readers;
    int n_readers;
    int *newest; /* [n_values] reader of the state since its last append, -1 */
    int *append; /* [n_values] node that appended last, -1 */
    int *seen;   /* [n_nodes] the last node that this one was found to be a predecessor of, -1 */
    int n, room;
};

static enum tfr_status add_once(struct walk *walk, int node, int from) {
    if (walk->seen[from] == node) {
        return TFR_OK;
    }
    walk->seen[from] = node;
    if (walk->n == walk->room) {
        const int room = 2 * walk->room;
        int *grown = tfr_realloc(walk->edges->from, (size_t)room, sizeof(*grown));
        if (grown == NULL) {
            return TFR_RESOURCE;
        }
        walk->edges->from = grown;
        walk->room = room;
    }
    walk->edges->from[walk->n++] = from;
    return TFR_OK;
}

/* A reader waits for the last node that appended before it; who appends waits for that one and for all readers since. */
static enum tfr_status wait_for_state(struct walk *walk, int node, int value) {
    const bool appends = access_to(&walk->graph->nodes[node], value) & TFR_ARG_APPEND;
    for (int r = appends ? walk->newest[value] : -1; r >= 0; r = walk->readers[r].before) {
        TFR_TRY(add_once(walk, node, walk->readers[r].node));
    }
    return walk->append[value] >= 0 ? add_once(walk, node, walk->append[value]) : TFR_OK;
}

static enum tfr_status add_edges(struct walk *walk, int node) {
    const struct tfr_node *at = &walk->graph->nodes[node];
    for (int a = 0; a < tfr_node_n_in(at); a++) {
        const struct tfr_value *value = at->arg[a] >= 0 ? &walk->graph->values[at->arg[a]] : NULL;
        if (value != NULL && value->kind == TFR_VALUE_STATE) {
            TFR_TRY(wait_for_state(walk, node, at->arg[a]));
        } else if (value != NULL && value->producer >= 0 && !walk->state_only) {
            TFR_TRY(add_once(walk, node, value->producer));
        }
    }
    return TFR_OK;
}

/* Who comes later waits for this node; for what was before an append nobody does. */
static void remember(struct walk *walk, int node) {
    const struct tfr_node *at = &walk->graph->nodes[node];
    for (int a = 0; a < tfr_node_n_in(at); a++) {
        const int value = at->arg[a];
        const bool is_state = value >= 0 && walk->graph->values[value].kind == TFR_VALUE_STATE;
        const uint32_t access = is_state ? access_to(at, value) : 0;
        if (access & TFR_ARG_APPEND) {
            walk->append[value] = node;
            walk->newest[value] = -1;
        } else if (access != 0) {
            walk->readers[walk->n_readers] = (struct reader){.node = node, .before = walk->newest[value]};
            walk->newest[value] = walk->n_readers++;
        }
    }
}

static enum tfr_status walk_nodes(struct walk *walk) {
    for (int i = 0; i < walk->graph->n_nodes; i++) {
        walk->edges->first[i] = walk->n;
        TFR_TRY(add_edges(walk, i));
        remember(walk, i);
    }
    walk->edges->first[walk->graph->n_nodes] = walk->n;
    return TFR_OK;
}

static int count_state_args(const struct tfr_graph *graph) {
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        for (int a = 0; a < tfr_node_n_in(&graph->nodes[i]); a++) {
            const int value = graph->nodes[i].arg[a];
            n += value >= 0 && graph->values[value].kind == TFR_VALUE_STATE;
        }
    }
    return n;
}

static enum tfr_status open_edges(struct tfr_edges *edges, const struct tfr_graph *graph, bool state_only) {
    const size_t n_nodes = (size_t)graph->n_nodes, n_values = (size_t)graph->n_values;
    struct walk walk = {.graph = graph, .edges = edges, .state_only = state_only, .room = graph->n_nodes + 1};
    walk.readers = tfr_alloc((size_t)count_state_args(graph) + 1, sizeof(*walk.readers));
    walk.newest = tfr_alloc(n_values + 1, sizeof(*walk.newest));
    walk.append = tfr_alloc(n_values + 1, sizeof(*walk.append));
    walk.seen = tfr_alloc(n_nodes + 1, sizeof(*walk.seen));
    edges->first = tfr_alloc(n_nodes + 1, sizeof(*edges->first));
    edges->from = tfr_alloc((size_t)walk.room, sizeof(*edges->from));
    enum tfr_status status = TFR_RESOURCE;
    if (walk.readers != NULL && walk.newest != NULL && walk.append != NULL && walk.seen != NULL && edges->first != NULL &&
        edges->from != NULL) {
        memset(walk.newest, -1, n_values * sizeof(*walk.newest));
        memset(walk.append, -1, n_values * sizeof(*walk.append));
        memset(walk.seen, -1, n_nodes * sizeof(*walk.seen));
        status = walk_nodes(&walk);
    }
    tfr_free(walk.readers);
    tfr_free(walk.newest);
    tfr_free(walk.append);
    tfr_free(walk.seen);
    return status;
}

enum tfr_status tfr_edges_open(struct tfr_edges *edges, const struct tfr_graph *graph) {
    *edges = (struct tfr_edges){0};
    return open_edges(edges, graph, false);
}

enum tfr_status tfr_state_edges_open(struct tfr_edges *edges, const struct tfr_graph *graph) {
    *edges = (struct tfr_edges){0};
    return open_edges(edges, graph, true);
}

void tfr_edges_close(struct tfr_edges *edges) {
    tfr_free(edges->first);
    tfr_free(edges->from);
    *edges = (struct tfr_edges){0};
}

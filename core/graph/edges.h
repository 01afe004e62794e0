/* edges.h - who must run before whom, for all nodes of a graph at once: by values and by state. Thread rule: made on one thread,
 * read-only afterwards. */
#ifndef TFR_GRAPH_EDGES_H
#define TFR_GRAPH_EDGES_H

#include "graph/graph.h"

/* Direct predecessors of node i, without repeats, are from[first[i] .. first[i + 1]). */
struct tfr_edges {
    int *first, *from;
};

/* To be closed also where it fails. */
enum tfr_status tfr_edges_open(struct tfr_edges *edges, const struct tfr_graph *graph);
/* Those by state alone. */
enum tfr_status tfr_state_edges_open(struct tfr_edges *edges, const struct tfr_graph *graph);
void tfr_edges_close(struct tfr_edges *edges);

static inline int tfr_edges_n(const struct tfr_edges *edges, int node) {
    return edges->first[node + 1] - edges->first[node];
}
static inline const int *tfr_edges_of(const struct tfr_edges *edges, int node) {
    return edges->from + edges->first[node];
}

#endif

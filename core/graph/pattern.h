/* pattern.h - chains of nodes that one kernel may claim (TFR_OP_FUSED). Thread rule: no state. */
#ifndef TFR_GRAPH_PATTERN_H
#define TFR_GRAPH_PATTERN_H

#include "graph/graph.h"

struct tfr_match {
    int node[TFR_MAX_PARTS];
    int n;
};

/* True if the nodes from `first` on are this pattern: each hands its output to the next alone, as its first argument. */
bool tfr_match(const struct tfr_graph *graph, int first, const int32_t *pattern, int n_pattern, struct tfr_match *match);
/* The node that would stand for them. */
struct tfr_node tfr_fused_node(const struct tfr_graph *graph, const struct tfr_match *match);
/* Puts it there and marks the others dead, for tfr_graph_remove. */
void tfr_put_fused(struct tfr_graph *graph, const struct tfr_match *match, bool *dead);

#endif

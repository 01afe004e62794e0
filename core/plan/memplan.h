/* memplan.h - where each activation of a step lies: lifetimes on the DAG become offsets in one arena.
 *
 * Two values may share bytes only if every reader of the one is an ancestor of the producer of the other: so
 * the offsets are right for every order in which the scheduler may run the DAG, and for asynchronous nodes
 * too (a receive has no ancestors, so nothing is put in its buffer's place before it; a send has no
 * descendants, so its rows are never overwritten). Thread rule: no state.
 */
#ifndef TFR_PLAN_MEMPLAN_H
#define TFR_PLAN_MEMPLAN_H

#include "graph/graph.h"

#define TFR_ARENA_ALIGN 64
#define TFR_NO_OFFSET   SIZE_MAX

struct tfr_memplan {
    size_t *offset; /* [n_values] TFR_NO_OFFSET where not in the arena */
    size_t bytes;
};

/* in_place[n_nodes]: the node's kernel can write its output over its residual (linear) or first input
 * (others). */
enum tfr_status tfr_memplan_build(struct tfr_memplan *plan, const struct tfr_graph *graph, const bool *in_place);
void tfr_memplan_free(struct tfr_memplan *plan);

#endif

/* problem.h - from a node of the graph to the question that kernels are asked. Thread rule: no state. */
#ifndef TFR_PLAN_PROBLEM_H
#define TFR_PLAN_PROBLEM_H

#include <tfrun/plugin.h>

#include "graph/graph.h"

struct tfr_problem tfr_problem_make(const struct tfr_graph *graph, const struct tfr_node *node, int n_threads, bool deterministic);
/* The same problem with another number of rows and threads. */
struct tfr_problem tfr_problem_resize(const struct tfr_problem *problem, int64_t rows, int n_threads);
/* A linear on f32 weights, all of which `narrow` holds exactly, as one on weights of that type; and back, where it is one. */
struct tfr_problem tfr_problem_half(const struct tfr_problem *problem, enum tfr_dtype narrow);
struct tfr_problem tfr_problem_whole(const struct tfr_problem *problem);
/* True if kernels must answer both alike: all but the layer, peer and tag. */
bool tfr_problem_same(const struct tfr_problem *a, const struct tfr_problem *b);
/* The type that the static filter looks at: of the weight (linear, first linear of a pattern) or table (embed), else f32. */
enum tfr_dtype tfr_problem_dtype(const struct tfr_problem *problem);
/* Inputs of a linear. */
int64_t tfr_problem_k(const struct tfr_problem *problem);
int64_t tfr_problem_n(const struct tfr_problem *problem);

#endif

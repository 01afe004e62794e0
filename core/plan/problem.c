/* problem.c - from a node of the graph to the question that kernels are asked.
 */
#include "plan/problem.h"

#include <string.h>

#include "graph/op.h"

static struct tfr_arg_desc describe(const struct tfr_graph *graph, int id, uint32_t access) {
    if (id < 0) {
        return (struct tfr_arg_desc){.dtype = TFR_DTYPE_F32, .flags = TFR_ARG_ABSENT};
    }
    const struct tfr_value *value = &graph->values[id];
    struct tfr_arg_desc desc = {.dtype = value->dtype, .rank = value->rank, .flags = access};
    memcpy(desc.dim, value->dim, sizeof(desc.dim));
    if (value->kind == TFR_VALUE_WEIGHT) {
        desc.flags |= TFR_ARG_CONST;
    }
    if (value->rows != TFR_ROWS_NONE) {
        desc.flags |= TFR_ARG_VAR_ROWS;
    }
    return desc;
}

static bool same_arg(const struct tfr_arg_desc *a, const struct tfr_arg_desc *b) {
    return a->dtype == b->dtype && a->rank == b->rank && a->flags == b->flags && memcmp(a->dim, b->dim, sizeof(a->dim)) == 0;
}

static bool same_attrs(const struct tfr_attrs *a, const struct tfr_attrs *b) {
    return a->epsilon == b->epsilon && a->scale == b->scale && a->activation == b->activation && a->transposed == b->transposed &&
           a->n_heads == b->n_heads && a->head_dim == b->head_dim && a->causal == b->causal && a->peer == b->peer &&
           a->tag == b->tag && a->cross == b->cross && a->has_mask == b->has_mask && a->has_head_mask == b->has_head_mask &&
           a->wants_weights == b->wants_weights && a->attention == b->attention && a->k_block == b->k_block &&
           a->n_blocks == b->n_blocks && a->whole_k == b->whole_k && a->whole_n == b->whole_n && a->x_dtype == b->x_dtype;
}

static bool same_parts(const struct tfr_problem *a, const struct tfr_problem *b) {
    if (a->n_parts != b->n_parts) {
        return false;
    }
    for (int p = 0; p < a->n_parts; p++) {
        const struct tfr_part *x = tfr_part_at(a, p), *y = tfr_part_at(b, p);
        if (x->op != y->op || x->n_args != y->n_args || !same_attrs(&x->attrs, &y->attrs)) {
            return false;
        }
    }
    return true;
}

struct tfr_problem tfr_problem_make(const struct tfr_graph *graph, const struct tfr_node *node, int n_threads, bool deterministic) {
    struct tfr_problem problem = {
        .struct_size = sizeof(problem),
        .op = node->op,
        .n_args = node->n_args,
        .n_threads = n_threads,
        .attrs = node->attrs,
        .rows_min = 1,
        .rows_max = node->rows == TFR_ROWS_LOGITS ? graph->logits_max : graph->rows_max,
        .deterministic = deterministic,
        .n_parts = node->op == TFR_OP_FUSED ? node->n_parts : 0,
        .part_stride = sizeof(struct tfr_part),
        .parts = node->part,
    };
    problem.attrs.struct_size = sizeof(problem.attrs);
    for (int a = 0; a < node->n_args; a++) {
        problem.arg[a] = describe(graph, node->arg[a], a < tfr_node_n_in(node) ? tfr_node_access(node, a) : 0);
    }
    return problem;
}

struct tfr_problem tfr_problem_resize(const struct tfr_problem *problem, int64_t rows, int n_threads) {
    struct tfr_problem resized = *problem;
    resized.rows_max = rows;
    resized.n_threads = n_threads;
    for (int a = 0; a < resized.n_args; a++) {
        if (resized.arg[a].flags & TFR_ARG_VAR_ROWS) {
            resized.arg[a].dim[0] = rows;
        }
    }
    return resized;
}

struct tfr_problem tfr_problem_half(const struct tfr_problem *problem, enum tfr_dtype narrow) {
    struct tfr_problem half = *problem;
    half.arg[1].dtype = narrow;
    half.arg[1].flags |= TFR_ARG_EXACT;
    return half;
}

struct tfr_problem tfr_problem_whole(const struct tfr_problem *problem) {
    struct tfr_problem whole = *problem;
    if ((whole.arg[1].flags & TFR_ARG_EXACT) != 0) {
        whole.arg[1].dtype = TFR_DTYPE_F32;
        whole.arg[1].flags &= ~(uint32_t)TFR_ARG_EXACT;
    }
    return whole;
}

bool tfr_problem_same(const struct tfr_problem *a, const struct tfr_problem *b) {
    if (a->op != b->op || a->n_args != b->n_args || a->n_threads != b->n_threads || a->rows_min != b->rows_min ||
        a->rows_max != b->rows_max || a->deterministic != b->deterministic || a->order.kind != b->order.kind ||
        a->order.k_block != b->order.k_block || !same_attrs(&a->attrs, &b->attrs) || !same_parts(a, b)) {
        return false;
    }
    for (int i = 0; i < a->n_args; i++) {
        if (!same_arg(&a->arg[i], &b->arg[i])) {
            return false;
        }
    }
    return true;
}

enum tfr_dtype tfr_problem_dtype(const struct tfr_problem *problem) {
    for (int p = 0; p < problem->n_parts; p++) {
        const struct tfr_part *part = tfr_part_at(problem, p);
        if (part->op == TFR_OP_LINEAR) {
            return (enum tfr_dtype)problem->arg[part->arg[1]].dtype;
        }
    }
    switch (problem->op) {
    case TFR_OP_LINEAR:
        return (enum tfr_dtype)problem->arg[1].dtype;
    case TFR_OP_EMBED:
    case TFR_OP_LOOKUP_ADD:
        return (enum tfr_dtype)problem->arg[2].dtype;
    default:
        return TFR_DTYPE_F32;
    }
}

int64_t tfr_problem_k(const struct tfr_problem *problem) {
    return problem->arg[1].dim[problem->attrs.transposed ? 1 : 0];
}

int64_t tfr_problem_n(const struct tfr_problem *problem) {
    return problem->arg[1].dim[problem->attrs.transposed ? 0 : 1];
}

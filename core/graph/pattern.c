/* pattern.c - a chain of nodes as one: where a kernel's pattern fits, and the fused node that takes its place.
 *
 * Nothing is decided here: plan/fusion.c asks the kernels. A fused node stands where the last of its nodes stood, since their
 * other arguments may be made in between; nobody else reads what they hand on, so nobody misses it.
 */
#include "graph/pattern.h"

#include <stdio.h>
#include <string.h>

#include "graph/op.h"

/* The one node that reads the output of `node`, and reads it as its first argument alone; -1 if it is not like that. */
static int only_reader(const struct tfr_graph *graph, int node) {
    const int value = tfr_node_output(&graph->nodes[node]);
    if (value < 0 || graph->values[value].kind != TFR_VALUE_ACT || tfr_count_uses(graph, value) != 1) {
        return -1;
    }
    for (int i = node + 1; i < graph->n_nodes; i++) {
        if (graph->nodes[i].n_args > 0 && graph->nodes[i].arg[0] == value && tfr_node_output(&graph->nodes[i]) != value) {
            return i;
        }
    }
    return -1;
}

/* A node that touches state, or is a pattern already, stays alone: moving it could change what it finds there. */
static bool can_move(const struct tfr_node *node) {
    for (int a = 0; a < tfr_node_n_in(node); a++) {
        if (tfr_node_access(node, a) != 0) {
            return false;
        }
    }
    return node->op != TFR_OP_FUSED && node->op != TFR_OP_SEND_HIDDEN && node->op != TFR_OP_RECV_HIDDEN;
}

bool tfr_match(const struct tfr_graph *graph, int first, const int32_t *pattern, int n_pattern, struct tfr_match *match) {
    *match = (struct tfr_match){.n = n_pattern};
    if (n_pattern < 2 || n_pattern > TFR_MAX_PARTS) {
        return false;
    }
    int at = first, n_args = 1;
    for (int i = 0; i < n_pattern; i++) {
        at = i > 0 ? only_reader(graph, at) : first;
        if (at < 0 || (int32_t)graph->nodes[at].op != pattern[i] || !can_move(&graph->nodes[at])) {
            return false;
        }
        match->node[i] = at;
        n_args += tfr_node_n_in(&graph->nodes[at]) - (i > 0);
    }
    return n_args <= TFR_MAX_ARGS;
}

static struct tfr_arg_desc describe_output(const struct tfr_graph *graph, const struct tfr_node *node) {
    const struct tfr_value *value = &graph->values[tfr_node_output(node)];
    struct tfr_arg_desc desc = {.dtype = value->dtype, .rank = value->rank, .flags = TFR_ARG_VAR_ROWS};
    memcpy(desc.dim, value->dim, sizeof(desc.dim));
    return desc;
}

/* "h.0.ln_1" and "h.0.attn.c_attn": "h.0.ln_1+attn.c_attn". */
static void join_names(struct tfr_node *fused, const struct tfr_node *next) {
    const char *name = next->name;
    size_t same = 0;
    for (size_t i = 0; name[i] != '\0' && name[i] == fused->name[i]; i++) {
        same = name[i] == '.' ? i + 1 : same;
    }
    const size_t used = strlen(fused->name);
    snprintf(fused->name + used, sizeof(fused->name) - used, "+%s", fused->layer >= 0 ? name + same : name);
}

struct tfr_node tfr_fused_node(const struct tfr_graph *graph, const struct tfr_match *match) {
    struct tfr_node fused = graph->nodes[match->node[0]];
    fused.op = TFR_OP_FUSED;
    fused.n_args = 0;
    fused.n_parts = match->n;
    for (int p = 0; p < match->n; p++) {
        const struct tfr_node *node = &graph->nodes[match->node[p]];
        struct tfr_part *part = &fused.part[p];
        const int n_in = tfr_node_n_in(node);
        *part =
            (struct tfr_part){.op = node->op, .n_args = node->n_args, .attrs = node->attrs, .out = describe_output(graph, node)};
        part->attrs.struct_size = sizeof(part->attrs);
        for (int a = 0; a < node->n_args; a++) {
            const bool is_inside = (a == 0 && p > 0) || (a == n_in && p + 1 < match->n);
            part->arg[a] = is_inside ? -1 : fused.n_args;
            if (!is_inside) {
                fused.arg[fused.n_args++] = node->arg[a];
            }
        }
        if (p > 0) {
            join_names(&fused, node);
        }
    }
    fused.rows = graph->nodes[match->node[match->n - 1]].rows;
    return fused;
}

void tfr_put_fused(struct tfr_graph *graph, const struct tfr_match *match, bool *dead) {
    const int last = match->node[match->n - 1];
    graph->nodes[last] = tfr_fused_node(graph, match);
    for (int p = 0; p + 1 < match->n; p++) {
        dead[match->node[p]] = true;
    }
}

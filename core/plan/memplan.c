/* memplan.c - lifetimes on the DAG to offsets: in-place marks, then the largest buffers first, each at the
 * lowest free place.
 */
#include "plan/memplan.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "graph/op.h"

/* One buffer holds one value, or a chain of values each written over the one before. */
struct buffer {
    size_t bytes, offset;
    int producer;    /* of the first value: nothing touches the buffer before it */
    uint64_t *users; /* bit set of nodes: the producers and readers of all its values */
    int index;
};

struct planner {
    const struct tfr_graph *graph;
    const bool *in_place;
    size_t words;        /* of a bit set of nodes */
    uint64_t *ancestors; /* [n_nodes][words] */
    uint64_t *user_bits; /* [n_values][words] storage of buffers */
    int *buffer_of;      /* [n_values] -1 none */
    struct buffer *buffers;
    int n_buffers;
};

static void set_bit(uint64_t *bits, int i) {
    bits[i / 64] |= 1ULL << (i % 64);
}

static bool has_bit(const uint64_t *bits, int i) {
    return bits[i / 64] >> (i % 64) & 1;
}

static bool is_subset(const uint64_t *part, const uint64_t *whole, size_t words) {
    for (size_t w = 0; w < words; w++) {
        if (part[w] & ~whole[w]) {
            return false;
        }
    }
    return true;
}

static uint64_t *ancestors_of(const struct planner *p, int node) {
    return p->ancestors + (size_t)node * p->words;
}

static bool in_arena(const struct tfr_value *value) {
    return value->kind == TFR_VALUE_ACT && value->producer >= 0;
}

static size_t bytes_of(const struct tfr_value *value) {
    size_t bytes = tfr_dtype_size(value->dtype);
    for (int d = 0; d < value->rank; d++) {
        bytes *= (size_t)value->dim[d];
    }
    return tfr_align_up(bytes, TFR_ARENA_ALIGN);
}

static void find_ancestors(struct planner *p) {
    for (int i = 0; i < p->graph->n_nodes; i++) {
        int list[TFR_MAX_PREDECESSORS];
        int n = tfr_node_predecessors(p->graph, i, list);
        for (int j = 0; j < n; j++) {
            set_bit(ancestors_of(p, i), list[j]);
            for (size_t w = 0; w < p->words; w++) {
                ancestors_of(p, i)[w] |= ancestors_of(p, list[j])[w];
            }
        }
    }
}

/* The input that a kernel with the in-place flag may write over, -1 for none. */
static int overwritable_input(const struct tfr_node *node) {
    int arg = node->op == TFR_OP_LINEAR ? 3 : 0;
    if (node->op == TFR_OP_FUSED || arg >= tfr_node_n_in(node) || node->arg[arg] < 0) {
        return -1;
    }
    for (int a = 0; a < tfr_node_n_in(node); a++) {
        if (a != arg && node->arg[a] == node->arg[arg]) {
            return -1; /* also read as another argument, in another order */
        }
    }
    return node->arg[arg];
}

/* True if `node` may write its output over `input`: every other reader has finished before, and the sizes
 * fit. */
static bool can_overwrite(const struct planner *p, int node, int input, int output) {
    const struct tfr_graph *graph = p->graph;
    if (!in_arena(&graph->values[input]) || !in_arena(&graph->values[output]) ||
        bytes_of(&graph->values[input]) != bytes_of(&graph->values[output])) {
        return false;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        for (int a = 0; a < tfr_node_n_in(&graph->nodes[i]); a++) {
            if (graph->nodes[i].arg[a] == input && i != node && !has_bit(ancestors_of(p, node), i)) {
                return false;
            }
        }
    }
    return true;
}

static void open_buffer(struct planner *p, int value) {
    int index = p->n_buffers++;
    p->buffer_of[value] = index;
    p->buffers[index] = (struct buffer){
        .bytes = bytes_of(&p->graph->values[value]),
        .producer = p->graph->values[value].producer,
        .users = p->user_bits + (size_t)index * p->words,
        .index = index,
    };
}

/* Gives every output a buffer: the one it overwrites, or its own. */
static void assign_buffers(struct planner *p) {
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const struct tfr_node *node = &p->graph->nodes[i];
        for (int a = 0; a < tfr_node_n_in(node); a++) {
            if (node->arg[a] >= 0 && p->buffer_of[node->arg[a]] >= 0) {
                set_bit(p->buffers[p->buffer_of[node->arg[a]]].users, i);
            }
        }
        int output = tfr_node_output(node);
        if (output < 0 || !in_arena(&p->graph->values[output])) {
            continue;
        }
        int input = p->in_place[i] ? overwritable_input(node) : -1;
        if (input >= 0 && can_overwrite(p, i, input, output)) {
            p->buffer_of[output] = p->buffer_of[input];
        } else {
            open_buffer(p, output);
        }
        set_bit(p->buffers[p->buffer_of[output]].users, i);
    }
}

/* True if one of the two is always done with before the other begins. */
static bool are_apart(const struct planner *p, const struct buffer *a, const struct buffer *b) {
    return is_subset(a->users, ancestors_of(p, b->producer), p->words) ||
           is_subset(b->users, ancestors_of(p, a->producer), p->words);
}

static int compare_size(const void *left, const void *right) {
    const struct buffer *a = *(const struct buffer *const *)left, *b = *(const struct buffer *const *)right;
    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    return a->index - b->index;
}

/* The lowest offset where `buffer` touches none of the placed ones that it could meet. Each try either fits
 * or moves up past one of them, and never back, so the search ends. */
static size_t lowest_offset(const struct planner *p, struct buffer *const *placed, int n, const struct buffer *buffer) {
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n; i++) {
            const struct buffer *other = placed[i];
            bool overlap = offset < other->offset + other->bytes && other->offset < offset + buffer->bytes;
            if (overlap && !are_apart(p, buffer, other)) {
                offset = other->offset + other->bytes;
                moved = true;
            }
        }
    }
    return offset;
}

static size_t place_buffers(const struct planner *p, struct buffer **order) {
    size_t bytes = 0;
    for (int i = 0; i < p->n_buffers; i++) {
        order[i] = &p->buffers[i];
    }
    if (p->n_buffers > 0) {
        qsort(order, (size_t)p->n_buffers, sizeof(struct buffer *), compare_size);
    }
    for (int i = 0; i < p->n_buffers; i++) {
        order[i]->offset = lowest_offset(p, order, i, order[i]);
        size_t end = order[i]->offset + order[i]->bytes;
        bytes = end > bytes ? end : bytes;
    }
    return bytes;
}

static enum tfr_status run_planner(struct planner *p, struct tfr_memplan *plan) {
    const size_t n_nodes = (size_t)p->graph->n_nodes, n_values = (size_t)p->graph->n_values;
    p->words = n_nodes / 64 + 1;
    p->ancestors = tfr_alloc(n_nodes * p->words, sizeof(*p->ancestors));
    p->user_bits = tfr_alloc(n_values * p->words, sizeof(*p->user_bits));
    p->buffer_of = tfr_alloc(n_values, sizeof(*p->buffer_of));
    p->buffers = tfr_alloc(n_values, sizeof(*p->buffers));
    struct buffer **order = tfr_alloc(n_values, sizeof(struct buffer *));
    plan->offset = tfr_alloc(n_values, sizeof(*plan->offset));
    enum tfr_status status = TFR_RESOURCE;
    if (p->ancestors != NULL && p->user_bits != NULL && p->buffer_of != NULL && p->buffers != NULL && order != NULL &&
        plan->offset != NULL) {
        memset(p->buffer_of, -1, n_values * sizeof(*p->buffer_of));
        find_ancestors(p);
        assign_buffers(p);
        plan->bytes = place_buffers(p, order);
        for (size_t v = 0; v < n_values; v++) {
            plan->offset[v] = p->buffer_of[v] >= 0 ? p->buffers[p->buffer_of[v]].offset : TFR_NO_OFFSET;
        }
        status = TFR_OK;
    }
    tfr_free(order);
    return status;
}

enum tfr_status tfr_memplan_build(struct tfr_memplan *plan, const struct tfr_graph *graph, const bool *in_place) {
    *plan = (struct tfr_memplan){0};
    struct planner planner = {.graph = graph, .in_place = in_place};
    enum tfr_status status = run_planner(&planner, plan);
    tfr_free(planner.ancestors);
    tfr_free(planner.user_bits);
    tfr_free(planner.buffer_of);
    tfr_free(planner.buffers);
    if (status != TFR_OK) {
        tfr_memplan_free(plan);
    }
    return status;
}

void tfr_memplan_free(struct tfr_memplan *plan) {
    tfr_free(plan->offset);
    *plan = (struct tfr_memplan){0};
}

/* memplan.c - lifetimes on the DAG to offsets: in-place marks, then the largest buffers first, each at the
 * lowest free place.
 */
#include "plan/memplan.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "graph/edges.h"
#include "graph/op.h"

/* One buffer holds one value, or a chain of values each written over the one before. */
struct buffer {
    size_t bytes, offset;
    int producer; /* of the first value: nothing touches the buffer before it */
    int last,
        users; /* the last node that touches it; in planner.uses, the newest first: the producers and readers of all its values */
    int index;
    bool is_placed;
};

struct use {
    int node, before; /* index of the use before it, -1 */
};

struct planner {
    const struct tfr_graph *graph;
    const bool *in_place;
    size_t words;        /* of a bit set of nodes */
    uint64_t *ancestors; /* [n_nodes][words] */
    int *all_before;     /* [n_nodes + 1] every node below this one is an ancestor; later nodes have no less than this */
    int *readers_of;     /* [n_values] in uses: the nodes that read it, -1 */
    struct use *uses;
    int n_uses;
    int *buffer_of; /* [n_values] -1 none */
    struct buffer *buffers;
    struct buffer **lasting; /* those in use for more than MOST_NODES */
    struct buffer **met;     /* where one is placed: those placed before that are in use at the same time */
    int n_buffers, n_lasting;
};

/* Most buffers are done with within a block. */
enum { MOST_NODES = 16 };

static void set_bit(uint64_t *bits, int i) {
    bits[i / 64] |= 1ULL << (i % 64);
}

static bool has_bit(const uint64_t *bits, int i) {
    return bits[i / 64] >> (i % 64) & 1;
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

static int count_first(const uint64_t *bits, int most) {
    int n = 0;
    while (n + 64 <= most && bits[n / 64] == UINT64_MAX) {
        n += 64;
    }
    while (n < most && has_bit(bits, n)) {
        n++;
    }
    return n;
}

static void find_ancestors(struct planner *p, const struct tfr_edges *edges) {
    for (int i = 0; i < p->graph->n_nodes; i++) {
        uint64_t *own = ancestors_of(p, i);
        for (int j = 0; j < tfr_edges_n(edges, i); j++) {
            const int from = tfr_edges_of(edges, i)[j];
            const uint64_t *more = ancestors_of(p, from);
            set_bit(own, from);
            for (size_t w = 0; w <= (size_t)from / 64; w++) {
                own[w] |= more[w];
            }
        }
    }
    p->all_before[p->graph->n_nodes] = p->graph->n_nodes;
    for (int i = p->graph->n_nodes - 1; i >= 0; i--) {
        const int own = count_first(ancestors_of(p, i), i), later = p->all_before[i + 1];
        p->all_before[i] = own < later ? own : later;
    }
}

static void add_use(struct planner *p, int *list, int node) {
    if (*list < 0 || p->uses[*list].node != node) {
        p->uses[p->n_uses] = (struct use){.node = node, .before = *list};
        *list = p->n_uses++;
    }
}

static void find_readers(struct planner *p) {
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const struct tfr_node *node = &p->graph->nodes[i];
        for (int a = 0; a < tfr_node_n_in(node); a++) {
            if (node->arg[a] >= 0) {
                add_use(p, &p->readers_of[node->arg[a]], i);
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
    for (int u = p->readers_of[input]; u >= 0; u = p->uses[u].before) {
        if (p->uses[u].node != node && !has_bit(ancestors_of(p, node), p->uses[u].node)) {
            return false;
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
        .users = -1,
        .index = index,
    };
}

static void touch_buffer(struct planner *p, int value, int node) {
    struct buffer *buffer = &p->buffers[p->buffer_of[value]];
    add_use(p, &buffer->users, node);
    buffer->last = node;
}

/* Gives every output a buffer: the one it overwrites, or its own. */
static void assign_buffers(struct planner *p) {
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const struct tfr_node *node = &p->graph->nodes[i];
        for (int a = 0; a < tfr_node_n_in(node); a++) {
            if (node->arg[a] >= 0 && p->buffer_of[node->arg[a]] >= 0) {
                touch_buffer(p, node->arg[a], i);
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
        touch_buffer(p, output, i);
    }
}

/* True if every node that touches the buffer is an ancestor of `node`. */
static bool is_done_before(const struct planner *p, const struct buffer *buffer, int node) {
    if (buffer->last < p->all_before[node]) {
        return true;
    }
    for (int u = buffer->users; u >= 0; u = p->uses[u].before) {
        if (!has_bit(ancestors_of(p, node), p->uses[u].node)) {
            return false;
        }
    }
    return true;
}

/* True if one of the two is always done with before the other begins. */
static bool are_apart(const struct planner *p, const struct buffer *a, const struct buffer *b) {
    return is_done_before(p, a, b->producer) || is_done_before(p, b, a->producer);
}

static int compare_size(const void *left, const void *right) {
    const struct buffer *a = *(const struct buffer *const *)left, *b = *(const struct buffer *const *)right;
    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    return a->index - b->index;
}

/* The first buffer whose producer is not below `node`; they are in the order of their producers. */
static int first_from(const struct planner *p, int node) {
    int low = 0, high = p->n_buffers;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        low = p->buffers[middle].producer < node ? middle + 1 : low;
        high = p->buffers[middle].producer < node ? high : middle;
    }
    return low;
}

static void meet(struct planner *p, struct buffer *buffer, struct buffer *other, int *n) {
    if (other->is_placed && !are_apart(p, buffer, other)) {
        p->met[(*n)++] = other;
    }
}

/* Placed buffers that this one could meet: of the lasting ones any; of the others no one that is made so early that it is done
 * with, or so late that this one is. */
static int find_met(struct planner *p, struct buffer *buffer) {
    int n = 0;
    for (int i = 0; i < p->n_lasting; i++) {
        meet(p, buffer, p->lasting[i], &n);
    }
    for (int i = first_from(p, p->all_before[buffer->producer] - MOST_NODES); i < p->n_buffers; i++) {
        struct buffer *other = &p->buffers[i];
        if (p->all_before[other->producer] > buffer->last) {
            break;
        }
        if (other->last - other->producer <= MOST_NODES) {
            meet(p, buffer, other, &n);
        }
    }
    return n;
}

/* The lowest offset where `buffer` touches none of the placed ones that it could meet. Each try either fits
 * or moves up past one of them, and never back, so the search ends. */
static size_t lowest_offset(struct planner *p, struct buffer *buffer) {
    const int n = find_met(p, buffer);
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n; i++) {
            const struct buffer *other = p->met[i];
            if (offset < other->offset + other->bytes && other->offset < offset + buffer->bytes) {
                offset = other->offset + other->bytes;
                moved = true;
            }
        }
    }
    return offset;
}

static size_t place_buffers(struct planner *p, struct buffer **order) {
    size_t bytes = 0;
    for (int i = 0; i < p->n_buffers; i++) {
        order[i] = &p->buffers[i];
        if (order[i]->last - order[i]->producer > MOST_NODES) {
            p->lasting[p->n_lasting++] = order[i];
        }
    }
    if (p->n_buffers > 0) {
        qsort(order, (size_t)p->n_buffers, sizeof(struct buffer *), compare_size);
    }
    for (int i = 0; i < p->n_buffers; i++) {
        order[i]->offset = lowest_offset(p, order[i]);
        order[i]->is_placed = true;
        size_t end = order[i]->offset + order[i]->bytes;
        bytes = end > bytes ? end : bytes;
    }
    return bytes;
}

static size_t count_args(const struct tfr_graph *graph) {
    size_t n = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        n += (size_t)graph->nodes[i].n_args;
    }
    return n;
}

static enum tfr_status make_room(struct planner *p, struct tfr_memplan *plan) {
    const size_t n_nodes = (size_t)p->graph->n_nodes, n_values = (size_t)p->graph->n_values;
    p->words = n_nodes / 64 + 1;
    p->ancestors = tfr_alloc(n_nodes * p->words, sizeof(*p->ancestors));
    p->all_before = tfr_alloc(n_nodes + 1, sizeof(*p->all_before));
    p->readers_of = tfr_alloc(n_values, sizeof(*p->readers_of));
    p->uses = tfr_alloc(2 * count_args(p->graph), sizeof(*p->uses));
    p->buffer_of = tfr_alloc(n_values, sizeof(*p->buffer_of));
    p->buffers = tfr_alloc(n_values, sizeof(*p->buffers));
    p->lasting = tfr_alloc(n_values, sizeof(struct buffer *));
    p->met = tfr_alloc(n_values, sizeof(struct buffer *));
    plan->offset = tfr_alloc(n_values, sizeof(*plan->offset));
    const bool complete = p->ancestors != NULL && p->all_before != NULL && p->readers_of != NULL && p->uses != NULL &&
                          p->buffer_of != NULL && p->buffers != NULL && p->lasting != NULL && p->met != NULL &&
                          plan->offset != NULL;
    return complete ? TFR_OK : TFR_RESOURCE;
}

static enum tfr_status run_planner(struct planner *p, struct tfr_memplan *plan) {
    const size_t n_values = (size_t)p->graph->n_values;
    struct tfr_edges edges = {0};
    TFR_TRY(make_room(p, plan));
    struct buffer **order = tfr_alloc(n_values, sizeof(struct buffer *));
    const enum tfr_status status = order != NULL ? tfr_edges_open(&edges, p->graph) : TFR_RESOURCE;
    if (status == TFR_OK) {
        memset(p->buffer_of, -1, n_values * sizeof(*p->buffer_of));
        memset(p->readers_of, -1, n_values * sizeof(*p->readers_of));
        find_ancestors(p, &edges);
        find_readers(p);
        assign_buffers(p);
        plan->bytes = place_buffers(p, order);
        for (size_t v = 0; v < n_values; v++) {
            plan->offset[v] = p->buffer_of[v] >= 0 ? p->buffers[p->buffer_of[v]].offset : TFR_NO_OFFSET;
        }
    }
    tfr_edges_close(&edges);
    tfr_free(order);
    return status;
}

enum tfr_status tfr_memplan_build(struct tfr_memplan *plan, const struct tfr_graph *graph, const bool *in_place) {
    *plan = (struct tfr_memplan){0};
    struct planner planner = {.graph = graph, .in_place = in_place};
    enum tfr_status status = run_planner(&planner, plan);
    tfr_free(planner.ancestors);
    tfr_free(planner.all_before);
    tfr_free(planner.readers_of);
    tfr_free(planner.uses);
    tfr_free(planner.buffer_of);
    tfr_free(planner.buffers);
    tfr_free(planner.lasting);
    tfr_free(planner.met);
    if (status != TFR_OK) {
        tfr_memplan_free(plan);
    }
    return status;
}

void tfr_memplan_free(struct tfr_memplan *plan) {
    tfr_free(plan->offset);
    *plan = (struct tfr_memplan){0};
}

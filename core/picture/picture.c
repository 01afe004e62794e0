/* picture.c - boxes and arrows of a graph, panel by panel; messages between panels; sums. */
#include "picture/picture.h"

#include <string.h>

#include "base/arena.h"
#include "base/plural.h"
#include "base/status.h"
#include "base/tensor.h"
#include "graph/edges.h"
#include "graph/op.h"

void tfr_picture_free(struct tfr_picture *picture) {
    tfr_free(picture->nodes);
    tfr_free(picture->edges);
    tfr_free(picture->folds);
    tfr_free(picture->panels);
    *picture = (struct tfr_picture){0};
}

static void *copy_items(const void *items, int n, size_t size) {
    void *copied = tfr_alloc((size_t)n + 1, size);
    if (copied != NULL && n > 0) {
        memcpy(copied, items, (size_t)n * size);
    }
    return copied;
}

enum tfr_status tfr_picture_copy(const struct tfr_picture *from, struct tfr_picture *copy) {
    *copy = *from;
    copy->nodes = copy_items(from->nodes, from->n_nodes, sizeof *from->nodes);
    copy->edges = copy_items(from->edges, from->n_edges, sizeof *from->edges);
    copy->folds = copy_items(from->folds, from->n_folds, sizeof *from->folds);
    copy->panels = copy_items(from->panels, from->n_panels, sizeof *from->panels);
    copy->node_room = from->n_nodes + 1;
    copy->edge_room = from->n_edges + 1;
    copy->fold_room = from->n_folds + 1;
    copy->panel_room = from->n_panels + 1;
    const bool has_room = copy->nodes != NULL && copy->edges != NULL && copy->folds != NULL && copy->panels != NULL;
    return has_room ? TFR_OK : TFR_RESOURCE;
}

void *tfr_picture_more(void **items, int *n, int *room, size_t size) {
    enum { FIRST_ROOM = 64 };
    if (*n == *room) {
        const int more = *room == 0 ? FIRST_ROOM : 2 * *room;
        void *grown = tfr_realloc(*items, (size_t)more, size);
        if (grown == NULL) {
            return NULL;
        }
        *items = grown;
        *room = more;
    }
    void *item = (char *)*items + (size_t)(*n)++ * size;
    memset(item, 0, size);
    return item;
}

static struct tfr_picture_node *more_node(struct tfr_picture *picture, enum tfr_picture_kind kind) {
    struct tfr_picture_node *node =
        tfr_picture_more((void **)&picture->nodes, &picture->n_nodes, &picture->node_room, sizeof *picture->nodes);
    if (node != NULL) {
        *node = (struct tfr_picture_node){
            .kind = kind, .panel = picture->n_panels - 1, .fold = -1, .layer = -1, .times = 1, .peer = -1, .first_edge = -1};
    }
    return node;
}

/* Edges of one node follow one another. */
static enum tfr_status add_edge(struct tfr_picture *picture, int from, int to, enum tfr_picture_arrow arrow) {
    struct tfr_picture_edge *edge =
        tfr_picture_more((void **)&picture->edges, &picture->n_edges, &picture->edge_room, sizeof *picture->edges);
    if (edge == NULL) {
        return TFR_RESOURCE;
    }
    *edge = (struct tfr_picture_edge){.from = from, .to = to, .arrow = arrow};
    struct tfr_picture_node *node = &picture->nodes[to];
    node->first_edge = node->n_edges == 0 ? picture->n_edges - 1 : node->first_edge;
    node->n_edges++;
    return TFR_OK;
}

/* What a panel is made from. */
struct source {
    struct tfr_picture *picture;
    const struct tfr_graph *graph;
    const struct tfr_plan *plan;
    int *of_node;  /* [graph nodes] their boxes */
    int *of_value; /* [graph values] boxes of inputs, -1 */
    struct tfr_edges states;
    struct tfr_picture_costs costs;
};

static void name_op(const struct source *from, const struct tfr_node *node, struct tfr_picture_node *box) {
    const bool is_linear = node->op == TFR_OP_LINEAR, is_fused = node->op == TFR_OP_FUSED;
    size_t n = is_fused ? 0 : (size_t)snprintf(box->what, sizeof box->what, "%s", tfr_op_info(node->op)->name);
    for (int p = 0; is_fused && p < node->n_parts && n < sizeof box->what; p++) {
        n += (size_t)snprintf(box->what + n, sizeof box->what - n, "%s%s", p > 0 ? " + " : "",
                              tfr_op_info((enum tfr_op)node->part[p].op)->name);
    }
    if (node->op == TFR_OP_ACTIVATION) {
        snprintf(box->what, sizeof box->what, "%s", tfr_activation_name(node->attrs.activation));
    } else if (is_linear && node->attrs.activation != TFR_ACT_NONE && n < sizeof box->what) {
        n += (size_t)snprintf(box->what + n, sizeof box->what - n, " + %s", tfr_activation_name(node->attrs.activation));
    }
    if (is_linear && node->arg[3] >= 0 && n < sizeof box->what) {
        snprintf(box->what + n, sizeof box->what - n, " + add");
    }
    for (int a = 0; a < tfr_node_n_in(node); a++) {
        const struct tfr_value *value = node->arg[a] >= 0 ? &from->graph->values[node->arg[a]] : NULL;
        if (value != NULL && value->kind == TFR_VALUE_WEIGHT && value->rank == 2 && box->weight[0] == '\0') {
            tfr_shape_text(value->rank, value->dim, box->weight, sizeof box->weight);
        }
    }
}

static enum tfr_status add_input(struct source *from, int value) {
    struct tfr_picture_node *box = more_node(from->picture, TFR_PICTURE_INPUT);
    const struct tfr_value *given = &from->graph->values[value];
    if (box == NULL) {
        return TFR_RESOURCE;
    }
    from->of_value[value] = from->picture->n_nodes - 1;
    snprintf(box->name, sizeof box->name, "%s", given->name);
    snprintf(box->value, sizeof box->value, "%s", given->name);
    snprintf(box->what, sizeof box->what, "input");
    tfr_shape_text(given->rank, given->dim, box->shape, sizeof box->shape);
    return TFR_OK;
}

/* Inputs stand before the first node that reads them. */
static enum tfr_status add_inputs(struct source *from, const struct tfr_node *node) {
    for (int a = 0; a < tfr_node_n_in(node); a++) {
        const struct tfr_value *value = node->arg[a] >= 0 ? &from->graph->values[node->arg[a]] : NULL;
        if (value != NULL && value->kind == TFR_VALUE_IO && value->producer < 0 && from->of_value[node->arg[a]] < 0) {
            TFR_TRY(add_input(from, node->arg[a]));
        }
    }
    return TFR_OK;
}

static enum tfr_status add_edges(struct source *from, int index) {
    const struct tfr_node *node = &from->graph->nodes[index];
    for (int a = 0; a < tfr_node_n_in(node); a++) {
        const struct tfr_value *value = node->arg[a] >= 0 ? &from->graph->values[node->arg[a]] : NULL;
        const int box = value == NULL ? -1 : value->producer >= 0 ? from->of_node[value->producer] : from->of_value[node->arg[a]];
        if (box >= 0) {
            TFR_TRY(add_edge(from->picture, box, from->of_node[index], TFR_PICTURE_VALUE));
        }
    }
    for (int i = 0; i < tfr_edges_n(&from->states, index); i++) {
        TFR_TRY(
            add_edge(from->picture, from->of_node[tfr_edges_of(&from->states, index)[i]], from->of_node[index], TFR_PICTURE_STATE));
    }
    return TFR_OK;
}

static enum tfr_status add_output(struct source *from, const struct tfr_value *value) {
    const int maker = from->picture->n_nodes - 1;
    struct tfr_picture_node *box = more_node(from->picture, TFR_PICTURE_OUTPUT);
    if (box == NULL) {
        return TFR_RESOURCE;
    }
    snprintf(box->name, sizeof box->name, "%s", value->io == TFR_IO_LOGITS ? "logits" : "hidden_states");
    if (value->io == TFR_IO_HIDDEN) {
        snprintf(box->name, sizeof box->name, "hidden_states.%d", value->io_index);
    }
    snprintf(box->what, sizeof box->what, "output");
    tfr_shape_text(value->rank, value->dim, box->shape, sizeof box->shape);
    return add_edge(from->picture, maker, maker + 1, TFR_PICTURE_VALUE);
}

static enum tfr_status add_op(struct source *from, int index) {
    const struct tfr_node *node = &from->graph->nodes[index];
    const int output = tfr_node_output(node);
    const struct tfr_value *value = output >= 0 ? &from->graph->values[output] : NULL;
    TFR_TRY(add_inputs(from, node));
    struct tfr_picture_node *box = more_node(from->picture, TFR_PICTURE_OP);
    if (box == NULL) {
        return TFR_RESOURCE;
    }
    from->of_node[index] = from->picture->n_nodes - 1;
    box->op = node->op;
    box->layer = node->layer;
    snprintf(box->name, sizeof box->name, "%s", node->name);
    if (node->op == TFR_OP_SEND_HIDDEN || node->op == TFR_OP_RECV_HIDDEN) {
        box->peer = node->attrs.peer;
        box->tag = node->attrs.tag;
    }
    if (value != NULL) {
        snprintf(box->value, sizeof box->value, "%s", value->name);
        tfr_shape_text(value->rank, value->dim, box->shape, sizeof box->shape);
    }
    name_op(from, node, box);
    TFR_TRY(tfr_picture_cost(from->picture, &from->costs, from->graph, node, box));
    if (from->plan != NULL) {
        box->kernel = from->plan->tasks[index].kernel->name;
        box->predicted_ns = from->plan->tasks[index].predicted_ns;
    }
    TFR_TRY(add_edges(from, index));
    return value != NULL && value->kind == TFR_VALUE_IO ? add_output(from, value) : TFR_OK;
}

static enum tfr_status add_all(struct source *from) {
    const int first = from->picture->n_nodes;
    for (int v = 0; v < from->graph->n_values; v++) {
        from->of_value[v] = -1;
    }
    for (int i = 0; i < from->graph->n_nodes; i++) {
        TFR_TRY(add_op(from, i));
    }
    struct tfr_picture_panel *panel = &from->picture->panels[from->picture->n_panels - 1];
    panel->first_node = first;
    panel->n_nodes = from->picture->n_nodes - first;
    return TFR_OK;
}

enum tfr_status tfr_picture_add(struct tfr_picture *picture, const struct tfr_graph *graph, const struct tfr_plan *plan, int rank) {
    struct tfr_picture_panel *panel =
        tfr_picture_more((void **)&picture->panels, &picture->n_panels, &picture->panel_room, sizeof *picture->panels);
    if (panel == NULL) {
        return TFR_RESOURCE;
    }
    panel->stage = plan != NULL ? TFR_PICTURE_FUSED : TFR_PICTURE_BUILT;
    panel->rank = rank;
    panel->predicted_ns = plan != NULL ? plan->predicted_ns : 0;
    struct source from = {.picture = picture,
                          .graph = graph,
                          .plan = plan,
                          .of_node = tfr_alloc((size_t)graph->n_nodes + 1, sizeof(int)),
                          .of_value = tfr_alloc((size_t)graph->n_values + 1, sizeof(int))};
    const bool has_room = from.of_node != NULL && from.of_value != NULL;
    enum tfr_status status = has_room ? tfr_state_edges_open(&from.states, graph) : TFR_RESOURCE;
    status = status == TFR_OK ? add_all(&from) : status;
    tfr_edges_close(&from.states);
    tfr_free(from.of_node);
    tfr_free(from.of_value);
    return status;
}

/* The send on rank `peer` of the same stage that this recv takes from; -1 if there is none. */
static int find_send(const struct tfr_picture *picture, const struct tfr_picture_node *recv) {
    const struct tfr_picture_panel *panel = &picture->panels[recv->panel];
    for (int i = 0; i < picture->n_nodes; i++) {
        const struct tfr_picture_node *node = &picture->nodes[i];
        const struct tfr_picture_panel *other = &picture->panels[node->panel];
        if (node->op == TFR_OP_SEND_HIDDEN && node->kind == TFR_PICTURE_OP && node->tag == recv->tag && node->peer == panel->rank &&
            other->rank == recv->peer && other->stage == panel->stage) {
            return i;
        }
    }
    return -1;
}

enum tfr_status tfr_picture_join(struct tfr_picture *picture) {
    for (int i = 0; i < picture->n_nodes; i++) {
        const struct tfr_picture_node *node = &picture->nodes[i];
        if (node->kind == TFR_PICTURE_OP && node->op == TFR_OP_RECV_HIDDEN) {
            const int send = find_send(picture, node);
            TFR_TRY(send >= 0 ? add_edge(picture, send, i, TFR_PICTURE_MESSAGE)
                              : tfr_raise(TFR_RUNTIME, "%s on rank %d has no send on rank %d", node->name,
                                          picture->panels[node->panel].rank, node->peer));
        }
    }
    return TFR_OK;
}

struct tfr_picture_totals tfr_picture_totals(const struct tfr_picture *picture, int panel) {
    struct tfr_picture_totals totals = {0};
    for (int i = 0; i < picture->n_nodes; i++) {
        const struct tfr_picture_node *node = &picture->nodes[i];
        if (node->panel == panel && node->kind == TFR_PICTURE_OP) {
            totals.flops += node->times * node->flops;
            totals.bytes_read += node->times * node->bytes_read;
            totals.bytes_written += node->times * node->bytes_written;
            totals.predicted_ns += node->times * node->predicted_ns;
            totals.measured_ns += node->peer < 0 ? node->measured_ns : 0; /* messages are under way while tasks run */
            totals.n_ops += node->times;
        }
    }
    return totals;
}

bool tfr_picture_is_empty(const struct tfr_picture *picture, int panel) {
    return picture->panels[panel].n_nodes == 0;
}

const char *tfr_picture_stage_name(enum tfr_picture_stage stage) {
    return stage == TFR_PICTURE_BUILT ? "as built" : "fused";
}

const char *tfr_picture_left_out(const struct tfr_picture *picture) {
    return picture->hparams->head == TFR_HEAD_DOUBLE ? "multiple_choice_head" : NULL;
}

void tfr_picture_put_step(const struct tfr_picture *picture, FILE *out) {
    const struct tfr_picture_step *step = &picture->step;
    fprintf(out, "%lld row%s", (long long)step->rows, tfr_plural(step->rows));
    if (step->sequences > 1) {
        fprintf(out, " of %lld sequences", (long long)step->sequences);
    }
    fprintf(out, ", %lld cached position%s", (long long)step->context, tfr_plural(step->context));
    if (step->encoder > 0) {
        fprintf(out, ", %lld encoder row%s", (long long)step->encoder, tfr_plural(step->encoder));
    }
    fprintf(out, ", logits of %lld row%s", (long long)step->logits, tfr_plural(step->logits));
    if (step->n_ranks > 1) {
        fprintf(out, ", %d ranks", step->n_ranks);
    }
    if (tfr_picture_left_out(picture) != NULL) {
        fprintf(out, ", without %s (a step of its own)", tfr_picture_left_out(picture));
    }
}

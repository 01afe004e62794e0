/* picture_path.c - the critical path: boxes one after the other whose predicted times add up to most, over all ranks. */
#include "base/arena.h"
#include "picture/picture.h"

/* The longest way that ends with each box. */
struct ends {
    double *ns;
    int *through; /* the edge it came by, -1 */
};

/* One pass over all edges; true if a way grew. A message to a panel that stands before takes another pass, so there may be many:
 * blocks that go back and forth between ranks, shards that send to each other. */
static bool relax(const struct tfr_picture *picture, const struct ends *ends) {
    bool grew = false;
    for (int i = 0; i < picture->n_nodes; i++) {
        const struct tfr_picture_node *node = &picture->nodes[i];
        for (int e = node->first_edge; e >= 0 && e < node->first_edge + node->n_edges; e++) {
            const double ns = ends->ns[picture->edges[e].from] + node->predicted_ns;
            if (ns > ends->ns[i]) {
                ends->ns[i] = ns;
                ends->through[i] = e;
                grew = true;
            }
        }
    }
    return grew;
}

static void mark(struct tfr_picture *picture, const struct ends *ends) {
    int last = 0;
    for (int i = 0; i < picture->n_nodes; i++) {
        last = ends->ns[i] > ends->ns[last] ? i : last;
    }
    picture->has_path = true;
    picture->path_ns = ends->ns[last];
    for (int i = last; i >= 0;) {
        const int edge = ends->through[i];
        picture->nodes[i].critical = true;
        if (edge >= 0) {
            picture->edges[edge].critical = true;
        }
        i = edge >= 0 ? picture->edges[edge].from : -1;
    }
}

enum tfr_status tfr_picture_mark_path(struct tfr_picture *picture) {
    const struct ends ends = {.ns = tfr_alloc((size_t)picture->n_nodes + 1, sizeof(double)),
                              .through = tfr_alloc((size_t)picture->n_nodes + 1, sizeof(int))};
    const bool has_room = ends.ns != NULL && ends.through != NULL;
    for (int i = 0; has_room && i < picture->n_nodes; i++) {
        ends.ns[i] = picture->nodes[i].predicted_ns;
        ends.through[i] = -1;
    }
    int passes = has_room ? picture->n_nodes : 0; /* no way has more edges */
    while (passes > 0 && relax(picture, &ends)) {
        passes--;
    }
    if (has_room && picture->n_nodes > 0) {
        mark(picture, &ends);
    }
    tfr_free(ends.ns);
    tfr_free(ends.through);
    return has_room ? TFR_OK : TFR_RESOURCE;
}

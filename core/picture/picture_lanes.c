/* picture_lanes.c - which line each value runs in, and the signs of a row. See picture_lanes.h.
 *
 * A lane holds the box whose output somebody below still needs. A box takes the lane of the first input that nobody needs after it,
 * else a free one; lanes of its other last inputs end in it.
 */
#include "picture/picture_lanes.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"

struct lanes {
    const struct tfr_picture *picture;
    int panel;
    int *uses;                /* [nodes] how many edges still wait for each box */
    int held[TFR_LANES_MOST]; /* box, -1 */
    int n;                    /* lanes in use, free ones among them */
    /* Of the row that is drawn: */
    bool is_input[TFR_LANES_MOST], ends[TFR_LANES_MOST];
    int target;
};

static bool is_drawn(const struct lanes *lanes, const struct tfr_picture_edge *edge) {
    return edge->arrow != TFR_PICTURE_AGAIN && lanes->picture->nodes[edge->from].panel == lanes->panel &&
           lanes->picture->nodes[edge->to].panel == lanes->panel;
}

static void take_inputs(struct lanes *lanes, int node) {
    const struct tfr_picture_node *box = &lanes->picture->nodes[node];
    memset(lanes->is_input, 0, sizeof lanes->is_input);
    memset(lanes->ends, 0, sizeof lanes->ends);
    for (int e = box->first_edge; e >= 0 && e < box->first_edge + box->n_edges; e++) {
        const struct tfr_picture_edge *edge = &lanes->picture->edges[e];
        for (int l = 0; l < lanes->n && is_drawn(lanes, edge); l++) {
            if (lanes->held[l] == edge->from) {
                lanes->is_input[l] = true;
                lanes->ends[l] = --lanes->uses[edge->from] == 0;
            }
        }
    }
}

static enum tfr_status choose_lane(struct lanes *lanes) {
    lanes->target = -1;
    for (int l = lanes->n - 1; l >= 0; l--) {
        lanes->target = lanes->ends[l] ? l : lanes->target;
    }
    for (int l = lanes->n - 1; l >= 0 && lanes->target < 0; l--) {
        lanes->target = lanes->held[l] < 0 ? l : lanes->target;
    }
    if (lanes->target >= 0) {
        return TFR_OK;
    }
    if (lanes->n == TFR_LANES_MOST) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "the graph is wider than the %d lines of a drawing in text; use --format dot, svg or json",
                         TFR_LANES_MOST);
    }
    lanes->target = lanes->n++;
    lanes->held[lanes->target] = -1;
    return TFR_OK;
}

static const char *box_sign(const struct tfr_picture_node *box) {
    return box->kind != TFR_PICTURE_OP ? "○" : box->critical ? "◆" : "●";
}

/* The sign of lane l in the row, where it lies in [first, last] or beyond. */
static const char *lane_sign(const struct lanes *lanes, const struct tfr_picture_node *box, int l, int first, int last) {
    if (l == lanes->target) {
        return box_sign(box);
    }
    if (!lanes->is_input[l]) {
        return lanes->held[l] >= 0 ? "│" : l > first && l < last ? "─" : " ";
    }
    if (lanes->ends[l]) {
        return l == last ? "╯" : "┴";
    }
    return l == first ? "├" : l == last ? "┤" : "┼";
}

static void draw(const struct lanes *lanes, const struct tfr_picture_node *box, char *text, size_t size) {
    int first = lanes->target, last = lanes->target;
    size_t n = 0;
    for (int l = 0; l < lanes->n; l++) {
        first = lanes->is_input[l] && l < first ? l : first;
        last = lanes->is_input[l] && l > last ? l : last;
    }
    text[0] = '\0';
    for (int l = 0; l < lanes->n && n < size; l++) {
        n +=
            (size_t)snprintf(text + n, size - n, "%s%s", lane_sign(lanes, box, l, first, last), l >= first && l < last ? "─" : " ");
    }
}

static void draw_idle(const struct lanes *lanes, char *text, size_t size) {
    size_t n = 0;
    text[0] = '\0';
    for (int l = 0; l < lanes->n && n < size; l++) {
        n += (size_t)snprintf(text + n, size - n, "%s ", lanes->held[l] >= 0 ? "│" : " ");
    }
}

static void let_go(struct lanes *lanes, int node) {
    for (int l = 0; l < lanes->n; l++) {
        lanes->held[l] = lanes->ends[l] ? -1 : lanes->held[l];
    }
    lanes->held[lanes->target] = lanes->uses[node] > 0 ? node : -1;
    while (lanes->n > 0 && lanes->held[lanes->n - 1] < 0) {
        lanes->n--;
    }
}

/* `bracket` before what was drawn, as wide as two columns. */
static void put_row(struct tfr_picture_row *row, const char *bracket, const char *drawing, int n_lanes) {
    snprintf(row->drawing, sizeof row->drawing, "%s%s", bracket, drawing);
    row->width = 2 + 2 * n_lanes;
}

static void put_after(const struct lanes *lanes, struct tfr_picture_row *row, bool is_in_fold) {
    char idle[TFR_LANES_TEXT - 8];
    draw_idle(lanes, idle, sizeof idle);
    snprintf(row->after, sizeof row->after, "%s%s", is_in_fold ? "│ " : "  ", idle);
}

static void put_fold_head(const struct lanes *lanes, struct tfr_picture_row *row, int fold) {
    char idle[TFR_LANES_TEXT - 8];
    *row = (struct tfr_picture_row){.node = -1, .fold = fold};
    draw_idle(lanes, idle, sizeof idle);
    put_row(row, "╭ ", idle, lanes->n);
    put_after(lanes, row, true);
}

static enum tfr_status put_node(struct lanes *lanes, int node, struct tfr_picture_row *row) {
    const struct tfr_picture *picture = lanes->picture;
    const struct tfr_picture_panel *panel = &picture->panels[lanes->panel];
    const struct tfr_picture_node *box = &picture->nodes[node];
    char drawing[TFR_LANES_TEXT - 8];
    const bool is_last = node + 1 == panel->first_node + panel->n_nodes || picture->nodes[node + 1].fold != box->fold;
    *row = (struct tfr_picture_row){.node = node, .fold = box->fold};
    take_inputs(lanes, node);
    TFR_TRY(choose_lane(lanes));
    draw(lanes, box, drawing, sizeof drawing);
    put_row(row, box->fold < 0 ? "  " : is_last ? "╰ " : "│ ", drawing, lanes->n);
    let_go(lanes, node);
    put_after(lanes, row, box->fold >= 0 && !is_last);
    return TFR_OK;
}

static void count_uses(struct lanes *lanes) {
    for (int e = 0; e < lanes->picture->n_edges; e++) {
        const struct tfr_picture_edge *edge = &lanes->picture->edges[e];
        lanes->uses[edge->from] += is_drawn(lanes, edge);
    }
}

static enum tfr_status put_all(struct lanes *lanes, struct tfr_picture_row *rows, int *n) {
    const struct tfr_picture_panel *panel = &lanes->picture->panels[lanes->panel];
    int fold = -1;
    count_uses(lanes);
    for (int i = panel->first_node; i < panel->first_node + panel->n_nodes; i++) {
        const int own = lanes->picture->nodes[i].fold;
        if (own >= 0 && own != fold) {
            put_fold_head(lanes, &rows[(*n)++], own);
        }
        fold = own;
        TFR_TRY(put_node(lanes, i, &rows[(*n)++]));
    }
    return TFR_OK;
}

enum tfr_status tfr_picture_rows(const struct tfr_picture *picture, int panel, struct tfr_picture_row **rows, int *n) {
    struct lanes lanes = {.picture = picture, .panel = panel, .uses = tfr_alloc((size_t)picture->n_nodes + 1, sizeof(int))};
    *n = 0;
    *rows = tfr_alloc((size_t)(picture->panels[panel].n_nodes + picture->n_folds) + 1, sizeof **rows);
    enum tfr_status status = lanes.uses != NULL && *rows != NULL ? put_all(&lanes, *rows, n) : TFR_RESOURCE;
    tfr_free(lanes.uses);
    if (status != TFR_OK) {
        tfr_free(*rows);
        *rows = NULL;
    }
    return status;
}

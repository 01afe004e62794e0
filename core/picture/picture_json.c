/* picture_json.c - a picture for programs: panels with folds, nodes and edges, costs of one node and how often it stands. */
#include "base/json.h"

#include <string.h>

#include "base/arena.h"
#include "graph/op.h"
#include "picture/picture.h"

static const char *const stages[] = {"built", "fused"};

static void put_step(struct tfr_json_out *out, const struct tfr_picture *picture) {
    const struct tfr_picture_step *step = &picture->step;
    tfr_json_put_text(out, "config", step->path);
    tfr_json_put_int(out, "rows", step->rows);
    tfr_json_put_int(out, "logit_rows", step->logits);
    tfr_json_put_int(out, "sequences", step->sequences);
    tfr_json_put_int(out, "context", step->context);
    tfr_json_put_int(out, "encoder_rows", step->encoder);
    tfr_json_put_int(out, "ranks", step->n_ranks);
    tfr_json_put_int(out, "threads", step->n_threads);
    if (picture->panels[picture->n_panels - 1].stage == TFR_PICTURE_FUSED) {
        tfr_json_put_text(out, "predicted_from", "nominal peaks");
    }
    if (tfr_picture_left_out(picture) != NULL) {
        tfr_json_put_text(out, "left_out", tfr_picture_left_out(picture));
    }
    if (picture->has_path) {
        tfr_json_put_number(out, "critical_path_us", picture->path_ns / 1e3);
    }
}

static void put_costs(struct tfr_json_out *out, const struct tfr_picture *picture, const struct tfr_picture_node *node) {
    tfr_json_put_int128(out, "flops", node->flops);
    tfr_json_put_int128(out, "bytes_read", node->bytes_read);
    tfr_json_put_int128(out, "bytes_written", node->bytes_written);
    if (node->kernel != NULL) {
        tfr_json_put_text(out, "kernel", node->kernel);
        tfr_json_put_number(out, "predicted_us", node->predicted_ns / 1e3);
    }
    if (picture->has_path) {
        tfr_json_put_bool(out, "critical", node->critical);
    }
    if (picture->panels[node->panel].n_steps > 0) {
        tfr_json_put_number(out, "measured_us", node->measured_ns / 1e3);
        tfr_json_put_number(out, "share", node->share);
    }
}

static void put_node(struct tfr_json_out *out, const struct tfr_picture *picture, int index) {
    static const char *const kinds[] = {"op", "input", "output"};
    const struct tfr_picture_node *node = &picture->nodes[index];
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "id", index);
    tfr_json_put_text(out, "name", node->name);
    tfr_json_put_text(out, "kind", kinds[node->kind]);
    if (node->shape[0] != '\0') {
        tfr_json_put_value(out, "shape", node->shape);
    }
    if (node->kind == TFR_PICTURE_OP) {
        tfr_json_put_text(out, "op", tfr_op_info(node->op)->name);
        tfr_json_put_text(out, "what", node->what);
        if (node->weight[0] != '\0') {
            tfr_json_put_value(out, "weight", node->weight);
        }
        tfr_json_put_int(out, "times", node->times);
        if (node->peer >= 0) {
            tfr_json_put_int(out, "peer", node->peer);
            tfr_json_put_int(out, "tag", node->tag);
        }
        put_costs(out, picture, node);
    }
    if (node->fold >= 0) {
        tfr_json_put_int(out, "fold", node->fold);
    } else if (node->layer >= 0) {
        tfr_json_put_int(out, "layer", node->layer);
    }
    tfr_json_end(out, '}');
}

static void put_edge(struct tfr_json_out *out, const struct tfr_picture *picture, const struct tfr_picture_edge *edge) {
    static const char *const kinds[] = {"value", "state", "message", "again"};
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "from", edge->from);
    tfr_json_put_int(out, "to", edge->to);
    tfr_json_put_text(out, "kind", kinds[edge->arrow]);
    if (picture->has_path) {
        tfr_json_put_bool(out, "critical", edge->critical);
    }
    tfr_json_end(out, '}');
}

static void put_totals(struct tfr_json_out *out, const struct tfr_picture *picture, int index) {
    const struct tfr_picture_totals totals = tfr_picture_totals(picture, index);
    tfr_json_begin(out, "totals", '{');
    tfr_json_put_int(out, "ops", totals.n_ops);
    tfr_json_put_int128(out, "flops", totals.flops);
    tfr_json_put_int128(out, "bytes_read", totals.bytes_read);
    tfr_json_put_int128(out, "bytes_written", totals.bytes_written);
    if (picture->panels[index].stage == TFR_PICTURE_FUSED) {
        tfr_json_put_number(out, "predicted_us", totals.predicted_ns / 1e3);
    }
    if (picture->panels[index].n_steps > 0) {
        tfr_json_put_int(out, "measured_steps", picture->panels[index].n_steps);
        tfr_json_put_number(out, "measured_us", totals.measured_ns / 1e3);
    }
    tfr_json_end(out, '}');
}

static void put_panel(struct tfr_json_out *out, const struct tfr_picture *picture, int index) {
    const struct tfr_picture_panel *panel = &picture->panels[index];
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "stage", stages[panel->stage]);
    tfr_json_put_int(out, "rank", panel->rank);
    tfr_json_begin(out, "nodes", '[');
    for (int i = panel->first_node; i < panel->first_node + panel->n_nodes; i++) {
        put_node(out, picture, i);
    }
    tfr_json_end(out, ']');
    put_totals(out, picture, index);
    tfr_json_end(out, '}');
}

static void put_fold(struct tfr_json_out *out, const struct tfr_picture *picture, int index) {
    const struct tfr_picture_fold *fold = &picture->folds[index];
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "id", index);
    tfr_json_put_text(out, "stage", stages[picture->panels[fold->panel].stage]);
    tfr_json_put_int(out, "rank", picture->panels[fold->panel].rank);
    tfr_json_put_int(out, "first_block", fold->first);
    tfr_json_put_int(out, "last_block", fold->last);
    tfr_json_put_int(out, "times", fold->last - fold->first + 1);
    tfr_json_end(out, '}');
}

enum tfr_status tfr_picture_json(const struct tfr_picture *picture, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-graph-1");
    put_step(&out, picture);
    tfr_json_begin(&out, "panels", '[');
    for (int p = 0; p < picture->n_panels; p++) {
        put_panel(&out, picture, p);
    }
    tfr_json_end(&out, ']');
    tfr_json_begin(&out, "folds", '[');
    for (int f = 0; f < picture->n_folds; f++) {
        put_fold(&out, picture, f);
    }
    tfr_json_end(&out, ']');
    tfr_json_begin(&out, "edges", '[');
    for (int e = 0; e < picture->n_edges; e++) {
        put_edge(&out, picture, &picture->edges[e]);
    }
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

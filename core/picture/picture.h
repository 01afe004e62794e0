/* picture.h - a step as something to look at: the boxes and arrows of every rank, before and after fusion, with what each box
 * costs and took; then as text, JSON, DOT or SVG.
 *
 * Built in order: picture.c takes graphs and plans panel by panel and joins the messages between them, picture_path.c marks the
 * longest path, picture_trace.c adds what a trace measured, picture_fold.c draws equal blocks once; the writers only read.
 * Nodes stand in an order that respects the edges of their panel. Thread rule: one thread.
 */
#ifndef TFR_PICTURE_PICTURE_H
#define TFR_PICTURE_PICTURE_H

#include <stdio.h>

#include "base/int128.h"
#include "graph/poly.h"
#include "plan/plan.h"

enum tfr_picture_kind { TFR_PICTURE_OP, TFR_PICTURE_INPUT, TFR_PICTURE_OUTPUT };

struct tfr_picture_node {
    enum tfr_picture_kind kind;
    enum tfr_op op;
    int panel, fold; /* fold: -1 where it stands for itself */
    int64_t layer;   /* -1 outside blocks; of a fold that of its first block */
    int times;       /* how many nodes it stands for; costs are those of one */
    int peer, tag;   /* of send and recv; peer -1 for all others */
    int first_edge;  /* its incoming edges; their number */
    int n_edges;
    bool critical;
    char name[64];  /* "h.0.ln_1", of a fold "h.*.ln_1" */
    char value[64]; /* what it makes, by name; "" if nothing */
    char what[96];  /* "linear + gelu_tanh + add" */
    char shape[48], weight[48];
    const char *kernel;                          /* NULL as built */
    tfr_int128 flops, bytes_read, bytes_written; /* exact */
    double predicted_ns;
    bool is_measured;          /* it ran; perhaps for less than the clock tells */
    double measured_ns, share; /* of all that it stands for, a step; share of the rank's time in tasks, of messages 0 */
};

enum tfr_picture_arrow {
    TFR_PICTURE_VALUE,
    TFR_PICTURE_STATE,   /* through a cache: who appends before who reads */
    TFR_PICTURE_MESSAGE, /* from rank to rank */
    TFR_PICTURE_AGAIN    /* inside a fold, from a block to the next */
};
struct tfr_picture_edge {
    int from, to;
    enum tfr_picture_arrow arrow;
    bool critical;
};

struct tfr_picture_fold {
    int panel;
    int64_t first, last; /* blocks */
};

enum tfr_picture_stage { TFR_PICTURE_BUILT, TFR_PICTURE_FUSED };
struct tfr_picture_panel {
    enum tfr_picture_stage stage;
    int rank;
    int first_node, n_nodes;
    int n_steps; /* of the trace, that were measured */
    double predicted_ns;
};

/* What the step is: for the head of every writer. */
struct tfr_picture_step {
    const char *path, *config; /* of the config; its short name, for people. Borrowed */
    int64_t rows, logits, sequences, context, encoder;
    int n_ranks, n_threads;
};

struct tfr_picture {
    struct tfr_picture_step step;
    const struct tfr_hparams *hparams; /* borrowed */
    tfr_int128 letter[TFR_DIM_COUNT];  /* of the formulas */
    struct tfr_picture_node *nodes;
    struct tfr_picture_edge *edges;
    struct tfr_picture_fold *folds;
    struct tfr_picture_panel *panels;
    int n_nodes, n_edges, n_folds, n_panels;
    int node_room, edge_room, fold_room, panel_room;
    bool has_path, has_measured;
    double path_ns;
};

/* picture_cost.c. Of a zeroed picture whose step is set: the letters of the formulas get their values. */
enum tfr_status tfr_picture_open(struct tfr_picture *picture, const struct tfr_hparams *hparams);
void tfr_picture_free(struct tfr_picture *picture);
/* Another one that can be changed by itself; to be freed also where it fails. What `from` borrows is borrowed by both. */
enum tfr_status tfr_picture_copy(const struct tfr_picture *from, struct tfr_picture *copy);
/* picture_cost.c. FLOPs and bytes of a node; those of the other blocks' equal nodes are remembered while one graph is added. */
enum { TFR_PICTURE_COSTS = 32 };
struct tfr_picture_costs {
    struct tfr_picture_cost {
        struct tfr_problem problem;
        enum tfr_rows_var rows;
        tfr_int128 flops, bytes_read, bytes_written;
    } known[TFR_PICTURE_COSTS];
    int n;
};
enum tfr_status tfr_picture_cost(const struct tfr_picture *picture, struct tfr_picture_costs *costs, const struct tfr_graph *graph,
                                 const struct tfr_node *node, struct tfr_picture_node *box);
/* A panel: the graph of one rank. `plan` adds kernels and predicted times; NULL as built. */
enum tfr_status tfr_picture_add(struct tfr_picture *picture, const struct tfr_graph *graph, const struct tfr_plan *plan, int rank);
/* Edges from every send to its recv, within a stage. Once, after the last panel. */
enum tfr_status tfr_picture_join(struct tfr_picture *picture);
/* Marks the path whose predicted times add up to most, over all ranks of the fused stage. */
enum tfr_status tfr_picture_mark_path(struct tfr_picture *picture);
/* What the steps of `rows` rows in a file of --trace took, a step and node; refused where it has none. */
enum tfr_status tfr_picture_measure(struct tfr_picture *picture, const char *path);
/* The same from times of a step that somebody else measured, means of `n_steps`; `source` names them in errors. */
struct tfr_picture_time {
    const char *name; /* of the node */
    int rank;
    double ns;
};
enum tfr_status tfr_picture_take_times(struct tfr_picture *picture, const struct tfr_picture_time *times, size_t n, int n_steps,
                                       const char *source);
/* Runs of blocks that are equal become one that is drawn once. */
enum tfr_status tfr_picture_fold(struct tfr_picture *picture);

struct tfr_picture_totals {
    tfr_int128 flops, bytes_read, bytes_written;
    double predicted_ns, measured_ns;
    int n_ops; /* nodes that are ops, folded ones as often as they stand for */
};
struct tfr_picture_totals tfr_picture_totals(const struct tfr_picture *picture, int panel);
bool tfr_picture_is_empty(const struct tfr_picture *picture, int panel);
/* A head of the model that runs as a step of its own, after this one; NULL: none. */
const char *tfr_picture_left_out(const struct tfr_picture *picture);
/* "1 row, 128 cached positions, logits of 1 row" */
void tfr_picture_put_step(const struct tfr_picture *picture, FILE *out);
const char *tfr_picture_stage_name(enum tfr_picture_stage stage);

/* Room for one more item of an array of a picture, zeroed; NULL after raising. */
void *tfr_picture_more(void **items, int *n, int *room, size_t size);

/* The writers. */
enum tfr_status tfr_picture_text(const struct tfr_picture *picture, char **text);
enum tfr_status tfr_picture_json(const struct tfr_picture *picture, char **text);
/* Without the messages dot lays the ranks out in their order; an SVG draws them itself. */
enum tfr_status tfr_picture_dot(const struct tfr_picture *picture, bool has_messages, char **text);
/* Through graphviz's dot, which is looked for when it is needed. */
enum tfr_status tfr_picture_svg(const struct tfr_picture *picture, char **text);

#endif

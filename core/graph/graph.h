/* graph.h - stage 3: values and nodes of one step of one rank.
 *
 * A graph is built by gpt2_build.c, rewritten by fuse.c and then read by plan; it knows no kernel and no memory.
 * Nodes stand in an order that respects their edges. Thread rule: built on one thread, read-only afterwards.
 */
#ifndef TFR_GRAPH_GRAPH_H
#define TFR_GRAPH_GRAPH_H

#include <tfrun/plugin.h>

#include "graph/placement.h"
#include "model/model.h"

enum tfr_value_kind {
    TFR_VALUE_ACT,    /* produced and consumed inside the step */
    TFR_VALUE_WEIGHT, /* constant; `weight` is the tensor, NULL when planned without a checkpoint */
    TFR_VALUE_IO,     /* given or taken by the caller of the step: enum tfr_io */
    TFR_VALUE_STATE   /* a kv cache: outlives the step; who appends runs before who reads, in the order of the nodes */
};
enum tfr_io {
    TFR_IO_IDS,
    TFR_IO_POSITIONS,
    TFR_IO_ROWS,
    TFR_IO_LOGITS,
    TFR_IO_TOKEN_TYPES,
    TFR_IO_EMBEDS, /* f32 rows [T, C] that come from outside: inputs_embeds, encoder states, pooled rows */
    TFR_IO_HIDDEN, /* item io_index of hidden_states, [T, C] */
    TFR_IO_COUNT
};

/* What dim[0] of a value counts. */
enum tfr_rows_var { TFR_ROWS_NONE, TFR_ROWS_TOKENS, TFR_ROWS_LOGITS };

/* The part of a weight that a rank holds: `parts` equal pieces side by side along `axis`, of each the shard-th of n_shards. */
struct tfr_slice {
    int axis, parts, shard, n_shards; /* n_shards 0: the whole */
};

struct tfr_value {
    char name[64]; /* "h.3.attn.c_attn", "transformer.wte.weight" */
    enum tfr_value_kind kind;
    enum tfr_io io;
    int io_index;
    enum tfr_rows_var rows;
    enum tfr_dtype dtype;  /* weights: the type to pack in */
    enum tfr_dtype stored; /* weights: the type that their values have; F32 where it is not known */
    int rank;
    int64_t dim[TFR_MAX_RANK]; /* dim[0] is the maximum where rows != NONE */
    const struct tfr_weight *weight;
    int64_t part_first, part_of; /* a share of a weight: dim[0] of its part_of rows, from part_first on; part_of 0: all.
                                  * Of TFR_IO_LOGITS part_first alone: columns before it, of other ranks' shares */
    struct tfr_slice slice;      /* of the weight; the dimensions are those of the part */
    int producer;                /* node, -1 for weights and IO inputs */
};

enum { TFR_MAX_PARTS = 4 };
struct tfr_node {
    char name[64];
    enum tfr_op op;
    int arg[TFR_MAX_ARGS]; /* value ids in the order of ops.def, -1 where absent */
    int n_args;
    struct tfr_attrs attrs;
    enum tfr_rows_var rows;
    int64_t layer;                       /* global block index, -1 outside blocks */
    struct tfr_part part[TFR_MAX_PARTS]; /* TFR_OP_FUSED */
    int n_parts;
    const struct tfr_kernel *declined; /* claimed a pattern that begins here and did not get it */
    const char *declined_plugin;       /* its plugin; borrowed */
    char declined_reason[96];
};

struct tfr_graph {
    struct tfr_value *values;
    struct tfr_node *nodes;
    int n_values, n_nodes, value_capacity, node_capacity;
    int64_t rows_max, logits_max;
};

/* Building and rewriting. A value is copied in; its producer is set by the node. */
enum tfr_status tfr_graph_create(struct tfr_graph **graph, int64_t rows_max, int64_t logits_max);
enum tfr_status tfr_graph_add_value(struct tfr_graph *graph, const struct tfr_value *value, int *id);
/* Copies `node` with its inputs; makes the output value by the op's shape rule, called like the node. `given`: kind,
 * io and (recv_hidden) shape of the output, NULL for an ordinary one. *output is -1 for ops without output. */
enum tfr_status tfr_graph_add_node(struct tfr_graph *graph, const struct tfr_node *node, const struct tfr_value *given,
                                   int *output);
/* How many arguments of nodes are this value, its producer's output aside. */
int tfr_count_uses(const struct tfr_graph *graph, int value);
/* The same of every value at once. */
void tfr_count_all_uses(const struct tfr_graph *graph, int *uses);
/* Removes the nodes marked true and every value that nothing uses; ids change. */
enum tfr_status tfr_graph_remove(struct tfr_graph *graph, const bool *dead);

/* What a step is, beside its shape. All zero: token ids to logits of the language model. Plain integers: part of what a plan
 * is found by, and sent to other ranks as bytes. */
enum tfr_gpt2_part {
    TFR_PART_MODEL,
    TFR_PART_ENCODER, /* encoder states to the cross caches of all blocks: the caches stand at `kv` of the batch */
    TFR_PART_SUMMARY  /* pooled rows to mc_logits, on rank 0 */
};
struct tfr_gpt2_features {
    int32_t part, head;                           /* enum tfr_gpt2_part, enum tfr_head (DOUBLE is the language model's head here) */
    int32_t embeds, token_types;                  /* inputs_embeds instead of ids; token_type_ids are given */
    int32_t hidden_states, last_hidden;           /* outputs: all L + 1 items; the last alone */
    int32_t cross;                                /* blocks attend to the encoder too */
    int32_t weights, mask, cross_mask, head_mask; /* of attention: attrs of the same names */
    int32_t attention;                            /* enum tfr_attention_choice */
    int32_t best;    /* of a split head: the best token of each share of a row (op best_rows) in place of its logits */
    int32_t replica; /* whose ranks compute; rank 0 gets what they made in any case */
};

/* Which part of the model, in which shape class. */
struct tfr_gpt2_spec {
    const struct tfr_hparams *hparams;
    const struct tfr_model *model;        /* tensors; NULL: a graph without data */
    const struct tfr_table_types *tables; /* of a graph without data; NULL: as dtype */
    const struct tfr_placement *placement;
    int rank;
    int64_t rows_max, logits_max;        /* token rows and logit rows of the step */
    enum tfr_dtype dtype;                /* of packed weights: f32, bf16, or coarse */
    enum tfr_dtype x_dtype;              /* attrs.x_dtype of linears */
    const struct tfr_string_list *finer; /* linears that have 8 bits where dtype has 4 (runtime.int4_finer) */
    enum tfr_dtype kv_dtype;             /* of the kv caches: f32, bf16, f16 or i8 */
    struct tfr_gpt2_features features;
    bool sums_by_head; /* projections add in one block of K for each head; a must where the placement has more than one shard */
};
enum tfr_status tfr_gpt2_build(struct tfr_graph **graph, const struct tfr_gpt2_spec *spec);
/* Tags of messages between nodes: 0 .. TFR_GRAPH_TAGS - 1. */
enum { TFR_GRAPH_TAGS = 10000 };
/* linear + activation, linear + add: each rule one function. */
enum tfr_status tfr_fuse(struct tfr_graph *graph);
enum tfr_status tfr_graph_check(const struct tfr_graph *graph); /* shapes by the op table, order, single producer */
void tfr_graph_free(struct tfr_graph *graph);

#endif

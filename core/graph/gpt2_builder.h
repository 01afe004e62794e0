/* gpt2_builder.h - the builder that gpt2_build.c and gpt2_nodes.c share; nobody else includes it. */
#ifndef TFR_GRAPH_GPT2_BUILDER_H
#define TFR_GRAPH_GPT2_BUILDER_H

#include "graph/graph.h"

struct tfr_gpt2_builder {
    struct tfr_graph *graph;
    const struct tfr_gpt2_spec *spec;
    const struct tfr_hparams *hparams;
    int64_t block;   /* being built; -1 outside blocks */
    int local_block; /* its index among the blocks of this rank */
    enum tfr_status status;
};

/* Value id of a failed call; only ever handed to calls that do nothing. */
enum { TFR_GPT2_NOTHING = -1 };

/* A node without arguments, named for the block that is being built. */
struct tfr_node tfr_gpt2_node(const struct tfr_gpt2_builder *b, enum tfr_op op, const char *name);
/* Its output; `given` is what is known of that beforehand, or NULL. */
int tfr_gpt2_add_node(struct tfr_gpt2_builder *b, const struct tfr_node *node, const struct tfr_value *given);
int tfr_gpt2_add_value(struct tfr_gpt2_builder *b, const struct tfr_value *value);
/* A table that is read where the file is mapped, so in the type it is stored in; F64 has to be copied anyway. */
int tfr_gpt2_table(struct tfr_gpt2_builder *b, enum tfr_param which);
int tfr_gpt2_io_input(struct tfr_gpt2_builder *b, enum tfr_io io, const char *name, enum tfr_rows_var rows);
/* Rows of activations that come from outside the step. */
int tfr_gpt2_rows_input(struct tfr_gpt2_builder *b, const char *name);
/* `weight` names the first of a pair; its bias follows in enum tfr_param. */
int tfr_gpt2_layer_norm(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_param weight, const struct tfr_value *given);
int tfr_gpt2_linear(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_param weight);
/* The node of a linear, not added yet. */
struct tfr_node tfr_gpt2_linear_node(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_param weight);
/* A torch Linear: its weight is [outputs, inputs]; `bias` may be TFR_PARAM_COUNT for none. */
int tfr_gpt2_head_linear(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_param weight, enum tfr_param bias,
                         const struct tfr_value *given);
int tfr_gpt2_activation(struct tfr_gpt2_builder *b, const char *name, int x);
int tfr_gpt2_add(struct tfr_gpt2_builder *b, const char *name, int residual, int y);
int tfr_gpt2_gather_rows(struct tfr_gpt2_builder *b, int x);
/* The same for a share of lm_head: n columns from `first` on. */
int tfr_gpt2_head_share(struct tfr_gpt2_builder *b, int x, int64_t first, int64_t n, const struct tfr_value *given);
/* The hidden states go from rank `from`, where they are value x, to rank `to`; gives their value there. */
int tfr_gpt2_hop(struct tfr_gpt2_builder *b, int x, int from, int to, int64_t tag, enum tfr_rows_var rows);
/* The same for any rows; `given` is what they are where they arrive. */
int tfr_gpt2_pass(struct tfr_gpt2_builder *b, int x, int from, int to, int64_t tag, const struct tfr_value *given);

/* gpt2_shards.c: ranks that share the blocks of a stage, 1 and 0 for a stage of one rank. */
int tfr_gpt2_n_shards(const struct tfr_gpt2_builder *b);
int tfr_gpt2_shard(const struct tfr_gpt2_builder *b);
/* Of the replica that the step is for: its rank there, and whether this rank is of it and has the block. */
int tfr_gpt2_rank_at(const struct tfr_gpt2_builder *b, int stage, int shard);
bool tfr_gpt2_has_block(const struct tfr_gpt2_builder *b, int64_t block);
bool tfr_gpt2_shards_have_tags(int64_t n_layer);
void tfr_gpt2_slice(const struct tfr_gpt2_builder *b, enum tfr_param which, struct tfr_value *value);
/* residual + x W + bias for the projection NAME.c_proj behind attention or MLP, over all shards. */
int tfr_gpt2_project(struct tfr_gpt2_builder *b, const char *name, int residual, int x, enum tfr_param weight);
/* Rows of stage `from` (-1: of the first rank alone) go to `stage`, to all of its shards. */
int tfr_gpt2_enter(struct tfr_gpt2_builder *b, int x, int from, int stage, int64_t tag);

#endif

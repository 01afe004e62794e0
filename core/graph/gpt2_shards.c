/* gpt2_shards.c - a block over the ranks of a stage: each holds some heads and their part of the MLP, all hold the rows.
 *
 * c_attn, c_fc and the like lose columns, c_proj loses rows. Its block sums (one for each head, struct tfr_gpt2_spec.sums_by_head)
 * are added in the order of the heads, whoever holds them: few rows go to all ranks at once, and each adds all; of many rows the
 * running total goes from rank to rank, and the last one tells the others what came out. The bits are the same.
 */
#include "graph/gpt2_builder.h"

#include <stdio.h>

/* Up to here a message costs more than what is in it. */
enum { FEW_ROWS = 16, FIRST_TAG = 5000, TAGS_OF_BLOCK = 3 };

int tfr_gpt2_n_shards(const struct tfr_gpt2_builder *b) {
    return b->spec->placement->tensor;
}

int tfr_gpt2_shard(const struct tfr_gpt2_builder *b) {
    return tfr_placement_shard_of(b->spec->placement, b->spec->rank);
}

int tfr_gpt2_rank_at(const struct tfr_gpt2_builder *b, int stage, int shard) {
    return tfr_placement_rank(b->spec->placement, b->spec->features.replica, stage, shard);
}

bool tfr_gpt2_has_block(const struct tfr_gpt2_builder *b, int64_t block) {
    return tfr_placement_replica_of(b->spec->placement, b->spec->rank) == b->spec->features.replica &&
           tfr_placement_has_block(b->spec->placement, b->spec->rank, block);
}

bool tfr_gpt2_shards_have_tags(int64_t n_layer) {
    return FIRST_TAG + TAGS_OF_BLOCK * n_layer <= TFR_GRAPH_TAGS;
}

/* Which part of a parameter is here: `parts` pieces side by side along `axis`, of each the share of this rank's heads. */
void tfr_gpt2_slice(const struct tfr_gpt2_builder *b, enum tfr_param which, struct tfr_value *value) {
    static const struct {
        enum tfr_param param;
        int8_t axis, parts;
    } sliced[] = {
        {TFR_PARAM_C_ATTN_WEIGHT, 1, 3},     {TFR_PARAM_C_ATTN_BIAS, 0, 3},       {TFR_PARAM_ATTN_PROJ_WEIGHT, 0, 1},
        {TFR_PARAM_C_FC_WEIGHT, 1, 1},       {TFR_PARAM_C_FC_BIAS, 0, 1},         {TFR_PARAM_MLP_PROJ_WEIGHT, 0, 1},
        {TFR_PARAM_CROSS_ATTN_WEIGHT, 1, 2}, {TFR_PARAM_CROSS_ATTN_BIAS, 0, 2},   {TFR_PARAM_Q_ATTN_WEIGHT, 1, 1},
        {TFR_PARAM_Q_ATTN_BIAS, 0, 1},       {TFR_PARAM_CROSS_PROJ_WEIGHT, 0, 1},
    };
    const int n = tfr_gpt2_n_shards(b);
    for (size_t i = 0; i < sizeof(sliced) / sizeof(sliced[0]) && n > 1; i++) {
        if (sliced[i].param == which) {
            value->slice =
                (struct tfr_slice){.axis = sliced[i].axis, .parts = sliced[i].parts, .shard = tfr_gpt2_shard(b), .n_shards = n};
            value->dim[value->slice.axis] /= n;
        }
    }
}

/* A projection under way: y = residual + x W + bias, W cut by rows. */
struct projection {
    struct tfr_gpt2_builder *b;
    const char *name; /* "attn" */
    int residual, bias;
    int tag, me, n;
    int n_blocks; /* of each rank */
};

static const char *named(const struct projection *p, const char *what, int shard, char *text, size_t size) {
    if (shard >= 0) {
        snprintf(text, size, "%s.%s.%d", p->name, what, shard);
    } else {
        snprintf(text, size, "%s.%s", p->name, what);
    }
    return text;
}

static int rank_of(const struct projection *p, int shard) {
    return p->b->spec->rank - p->me + shard;
}

static void send(const struct projection *p, int x, int to) {
    char name[48];
    struct tfr_node node = tfr_gpt2_node(p->b, TFR_OP_SEND_HIDDEN, named(p, "send", to, name, sizeof(name)));
    node.arg[0] = x;
    node.attrs.peer = rank_of(p, to);
    node.attrs.tag = p->tag;
    tfr_gpt2_add_node(p->b, &node, NULL);
}

static int receive(const struct projection *p, int from, int64_t n_blocks) {
    char name[48];
    struct tfr_node node = tfr_gpt2_node(p->b, TFR_OP_RECV_HIDDEN, named(p, "recv", from, name, sizeof(name)));
    node.attrs.peer = rank_of(p, from);
    node.attrs.tag = p->tag;
    struct tfr_value given = {.kind = TFR_VALUE_ACT, .rows = TFR_ROWS_TOKENS, .dtype = TFR_DTYPE_F32, .rank = 2};
    given.dim[0] = p->b->spec->rows_max;
    given.dim[1] = n_blocks * p->b->hparams->n_embd;
    return tfr_gpt2_add_node(p->b, &node, &given);
}

/* The total with the blocks of one rank; with those of the last one come bias and residual. */
static int add_blocks(const struct projection *p, int shard, int total, int parts) {
    char name[48];
    const bool is_last = shard == p->n - 1;
    struct tfr_node node = tfr_gpt2_node(p->b, TFR_OP_SUM_BLOCKS, named(p, "sum", shard, name, sizeof(name)));
    node.arg[0] = parts;
    node.arg[1] = total;
    node.arg[2] = is_last ? p->bias : -1;
    node.arg[3] = is_last ? p->residual : -1;
    node.attrs.n_blocks = p->n_blocks;
    return tfr_gpt2_add_node(p->b, &node, NULL);
}

/* Everyone's sums go to everyone: one message, however many ranks. */
static int add_at_once(const struct projection *p, int own) {
    for (int t = 0; t < p->n; t++) {
        if (t != p->me) {
            send(p, own, t);
        }
    }
    int total = p->me == 0 ? own : receive(p, 0, 1);
    for (int t = 1; t < p->n; t++) {
        total = add_blocks(p, t, total, t == p->me ? own : receive(p, t, p->n_blocks));
    }
    return total;
}

/* The total goes from rank to rank: the fewest bytes. */
static int add_in_turn(const struct projection *p, int own) {
    const int last = p->n - 1;
    const int total = p->me == 0 ? own : add_blocks(p, p->me, receive(p, p->me - 1, 1), own);
    if (p->me < last) {
        send(p, total, p->me + 1);
        return receive(p, last, 1);
    }
    for (int t = 0; t < last; t++) {
        send(p, total, t);
    }
    return total;
}

/* Inputs of a projection that each head gives. */
static int32_t head_inputs(const struct tfr_gpt2_builder *b, enum tfr_param weight) {
    int64_t dim[TFR_MAX_RANK];
    tfr_model_param_shape(b->hparams, weight, dim);
    return (int32_t)(dim[0] / b->hparams->n_head);
}

int tfr_gpt2_project(struct tfr_gpt2_builder *b, const char *name, int residual, int x, enum tfr_param weight) {
    static const int8_t turn[TFR_PARAM_COUNT] = {[TFR_PARAM_CROSS_PROJ_WEIGHT] = 1, [TFR_PARAM_MLP_PROJ_WEIGHT] = 2};
    struct projection p = {.b = b, .name = name, .residual = residual, .me = tfr_gpt2_shard(b), .n = tfr_gpt2_n_shards(b)};
    char text[48];
    p.n_blocks = (int)b->hparams->n_head / p.n;
    p.tag = FIRST_TAG + TAGS_OF_BLOCK * (int)b->block + turn[weight];
    struct tfr_node node = tfr_gpt2_linear_node(b, named(&p, "c_proj", -1, text, sizeof(text)), x, weight);
    p.bias = node.arg[2];
    if (b->spec->sums_by_head) {
        node.attrs.k_block = head_inputs(b, weight);
    }
    if (p.n == 1) {
        const int y = tfr_gpt2_add_node(b, &node, NULL);
        return tfr_gpt2_add(b, named(&p, "add", -1, text, sizeof(text)), residual, y);
    }
    node.arg[2] = -1;
    node.attrs.n_blocks = p.me > 0 ? p.n_blocks : 0; /* the first rank's sums are the total so far */
    const int own = tfr_gpt2_add_node(b, &node, NULL);
    return b->spec->rows_max <= FEW_ROWS ? add_at_once(&p, own) : add_in_turn(&p, own);
}

int tfr_gpt2_enter(struct tfr_gpt2_builder *b, int x, int from, int stage, int64_t tag) {
    const int me = tfr_gpt2_shard(b);
    if (from >= 0) {
        return tfr_gpt2_hop(b, x, tfr_gpt2_rank_at(b, from, me), tfr_gpt2_rank_at(b, stage, me), tag, TFR_ROWS_TOKENS);
    }
    const int first = tfr_gpt2_rank_at(b, 0, 0);
    int entered = b->spec->rank == first ? x : TFR_GPT2_NOTHING;
    for (int t = 0; t < b->spec->placement->tensor; t++) {
        const int to = tfr_gpt2_rank_at(b, stage, t);
        const int y = tfr_gpt2_hop(b, x, first, to, tag, TFR_ROWS_TOKENS);
        entered = b->spec->rank == to && to != first ? y : entered;
    }
    return entered;
}

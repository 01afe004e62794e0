/* gpt2_build.c - GPT-2 as a graph: reads like the model, from the embeddings down to the logits.
 *
 * Builds what one rank owns. Where the owner changes, `hop` puts a send on the one side and a recv on the
 * other; their tags are the block index for hops into a block, n_layer for the hop to ln_f, n_layer + 1 for
 * the way back to lm_head. The first failure sticks in the builder and every later call does nothing, so that
 * the model's text stays free of checks.
 */
#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "graph/op.h"

struct builder {
    struct tfr_graph *graph;
    const struct tfr_gpt2_spec *spec;
    const struct tfr_hparams *hparams;
    int64_t block;   /* being built; -1 outside blocks */
    int local_block; /* its index among the blocks of this rank */
    enum tfr_status status;
};

/* Value id of a failed call; only ever handed to calls that do nothing. */
enum { NOTHING = -1 };

static struct tfr_node node_make(const struct builder *b, enum tfr_op op, const char *name) {
    struct tfr_node node = {.op = op, .layer = b->block, .arg = {-1, -1, -1, -1, -1, -1}};
    if (b->block >= 0) {
        snprintf(node.name, sizeof(node.name), "h.%lld.%s", (long long)b->block, name);
    } else {
        snprintf(node.name, sizeof(node.name), "%s", name);
    }
    return node;
}

static int add_node(struct builder *b, const struct tfr_node *node, const struct tfr_value *given) {
    int output = NOTHING;
    if (b->status == TFR_OK) {
        b->status = tfr_graph_add_node(b->graph, node, given, &output);
    }
    return output;
}

static int add_value(struct builder *b, const struct tfr_value *value) {
    int id = NOTHING;
    if (b->status == TFR_OK) {
        b->status = tfr_graph_add_value(b->graph, value, &id);
    }
    return id;
}

/* A parameter that kernels want as `dtype`. */
static int param(struct builder *b, enum tfr_param which, enum tfr_dtype dtype) {
    struct tfr_value value = {.kind = TFR_VALUE_WEIGHT, .dtype = dtype};
    value.rank = tfr_model_param_shape(b->hparams, which, value.dim);
    tfr_model_param_name(which, b->block, value.name, sizeof(value.name));
    if (b->spec->model != NULL) {
        value.weight = tfr_model_param(b->spec->model, which, b->block);
    }
    return add_value(b, &value);
}

/* A table that is read where the file is mapped, so in the type it is stored in; F64 has to be copied anyway.
 */
static int table(struct builder *b, enum tfr_param which) {
    const struct tfr_weight *weight =
        b->spec->model != NULL ? tfr_model_param(b->spec->model, which, 0) : NULL;
    enum tfr_dtype dtype = weight != NULL ? weight->tensor.dtype : b->spec->dtype;
    return param(b, which, dtype == TFR_DTYPE_F64 ? TFR_DTYPE_F32 : dtype);
}

static int io_input(struct builder *b, enum tfr_io io, const char *name, enum tfr_rows_var rows) {
    struct tfr_value value = {
        .kind = TFR_VALUE_IO, .io = io, .rows = rows, .dtype = TFR_DTYPE_I32, .rank = 1};
    value.dim[0] = rows == TFR_ROWS_TOKENS ? b->spec->rows_max : b->spec->logits_max;
    snprintf(value.name, sizeof(value.name), "%s", name);
    return add_value(b, &value);
}

/* Rows of activations that come from outside the step. */
static int rows_input(struct builder *b, const char *name) {
    struct tfr_value value = {
        .kind = TFR_VALUE_IO, .io = TFR_IO_EMBEDS, .rows = TFR_ROWS_TOKENS, .dtype = TFR_DTYPE_F32, .rank = 2};
    value.dim[0] = b->spec->rows_max;
    value.dim[1] = b->hparams->n_embd;
    snprintf(value.name, sizeof(value.name), "%s", name);
    return add_value(b, &value);
}

/* Hands the rows of x to the caller as item `index` of hidden_states. */
static void show(struct builder *b, int x, int64_t index) {
    char name[48];
    snprintf(name, sizeof(name), "hidden_states.%lld", (long long)index);
    struct tfr_node node = node_make(b, TFR_OP_COPY, name);
    const struct tfr_value given = {.kind = TFR_VALUE_IO, .io = TFR_IO_HIDDEN, .io_index = (int)index};
    node.arg[0] = x;
    add_node(b, &node, &given);
}

static int lookup_add(struct builder *b, const char *name, int x, enum tfr_io ids, const char *ids_name,
                      enum tfr_param which) {
    struct tfr_node node = node_make(b, TFR_OP_LOOKUP_ADD, name);
    node.arg[0] = x;
    node.arg[1] = io_input(b, ids, ids_name, TFR_ROWS_TOKENS);
    node.arg[2] = table(b, which);
    return add_node(b, &node, NULL);
}

static int embed_tokens(struct builder *b) {
    struct tfr_node node = node_make(b, TFR_OP_EMBED, "embed");
    node.arg[0] = io_input(b, TFR_IO_IDS, "ids", TFR_ROWS_TOKENS);
    node.arg[1] = io_input(b, TFR_IO_POSITIONS, "positions", TFR_ROWS_TOKENS);
    node.arg[2] = table(b, TFR_PARAM_WTE);
    node.arg[3] = table(b, TFR_PARAM_WPE);
    return add_node(b, &node, NULL);
}

static int embed(struct builder *b) {
    const struct tfr_gpt2_features *features = &b->spec->features;
    int x = features->embeds ? lookup_add(b, "embed_positions", rows_input(b, "inputs_embeds"), TFR_IO_POSITIONS,
                                          "positions", TFR_PARAM_WPE)
                             : embed_tokens(b);
    if (features->token_types) {
        x = lookup_add(b, "embed_token_types", x, TFR_IO_TOKEN_TYPES, "token_types", TFR_PARAM_WTE);
    }
    if (features->hidden_states) {
        show(b, x, 0);
    }
    return x;
}

/* `weight` names the first of a pair; its bias follows in enum tfr_param. */
static int layer_norm(struct builder *b, const char *name, int x, enum tfr_param weight, const struct tfr_value *given) {
    struct tfr_node node = node_make(b, TFR_OP_LAYER_NORM, name);
    node.arg[0] = x;
    node.arg[1] = param(b, weight, TFR_DTYPE_F32);
    node.arg[2] = param(b, weight + 1, TFR_DTYPE_F32);
    node.attrs.epsilon = (float)b->hparams->layer_norm_epsilon;
    return add_node(b, &node, given);
}

static int linear(struct builder *b, const char *name, int x, enum tfr_param weight) {
    struct tfr_node node = node_make(b, TFR_OP_LINEAR, name);
    node.arg[0] = x;
    node.arg[1] = param(b, weight, b->spec->dtype);
    node.arg[2] = param(b, weight + 1, TFR_DTYPE_F32);
    return add_node(b, &node, NULL);
}

static int activation(struct builder *b, const char *name, int x) {
    struct tfr_node node = node_make(b, TFR_OP_ACTIVATION, name);
    node.arg[0] = x;
    node.attrs.activation = b->hparams->activation;
    return add_node(b, &node, NULL);
}

static int add(struct builder *b, const char *name, int residual, int y) {
    struct tfr_node node = node_make(b, TFR_OP_ADD, name);
    node.arg[0] = residual;
    node.arg[1] = y;
    return add_node(b, &node, NULL);
}

static double attention_scale(const struct builder *b) {
    double scale = 1;
    if (b->hparams->scale_attn_weights) {
        scale /= sqrt((double)(b->hparams->n_embd / b->hparams->n_head));
    }
    if (b->hparams->scale_attn_by_inverse_layer_idx) {
        scale /= (double)(b->block + 1);
    }
    return scale;
}

/* Attributes of an attention, self or cross. */
static void set_attention(const struct builder *b, struct tfr_attrs *attrs, bool is_cross) {
    const struct tfr_gpt2_features *features = &b->spec->features;
    attrs->n_heads = (int32_t)b->hparams->n_head;
    attrs->head_dim = (int32_t)(b->hparams->n_embd / b->hparams->n_head);
    attrs->layer = b->local_block;
    attrs->scale = (float)attention_scale(b);
    attrs->causal = !is_cross && b->hparams->is_causal;
    attrs->cross = is_cross;
    attrs->has_mask = is_cross ? features->cross_mask : features->mask;
    attrs->has_head_mask = features->head_mask;
    attrs->wants_weights = features->weights;
    attrs->attention = features->attention;
}

/* The keys and values of this block, of the tokens or of the encoder. */
static int cache(struct builder *b, bool is_cross) {
    struct tfr_value value = {.kind = TFR_VALUE_STATE, .dtype = b->spec->kv_dtype, .rank = 2};
    value.dim[0] = b->hparams->n_head;
    value.dim[1] = b->hparams->n_embd / b->hparams->n_head;
    snprintf(value.name, sizeof(value.name), "h.%lld.%scache", (long long)b->block, is_cross ? "cross_" : "");
    return add_value(b, &value);
}

static void kv_append(struct builder *b, const char *name, int kv, int to, bool is_cross) {
    struct tfr_node append = node_make(b, TFR_OP_KV_APPEND, name);
    append.arg[0] = kv;
    append.arg[1] = to;
    append.attrs.n_heads = (int32_t)b->hparams->n_head;
    append.attrs.head_dim = (int32_t)(b->hparams->n_embd / b->hparams->n_head);
    append.attrs.layer = b->local_block;
    append.attrs.cross = is_cross;
    add_node(b, &append, NULL);
}

/* New keys and values go to the cache first; the attention then reads all of them from there. */
static int self_attention(struct builder *b, int qkv) {
    const int kept = cache(b, false);
    kv_append(b, "attn.kv_append", qkv, kept, false);
    struct tfr_node attention = node_make(b, TFR_OP_ATTENTION, "attn");
    attention.arg[0] = qkv;
    attention.arg[1] = kept;
    set_attention(b, &attention.attrs, false);
    return add_node(b, &attention, NULL);
}

/* Only with encoder states: their keys and values lie in the cross cache since TFR_PART_ENCODER ran. */
static int cross_attention(struct builder *b, int x) {
    int a = layer_norm(b, "ln_cross_attn", x, TFR_PARAM_LN_CROSS_WEIGHT, NULL);
    struct tfr_node attention = node_make(b, TFR_OP_ATTENTION, "crossattention");
    attention.arg[0] = linear(b, "crossattention.q_attn", a, TFR_PARAM_Q_ATTN_WEIGHT);
    attention.arg[1] = cache(b, true);
    set_attention(b, &attention.attrs, true);
    int o = add_node(b, &attention, NULL);
    return add(b, "crossattention.add", x, linear(b, "crossattention.c_proj", o, TFR_PARAM_CROSS_PROJ_WEIGHT));
}

static int block(struct builder *b, int x) {
    int a = layer_norm(b, "ln_1", x, TFR_PARAM_LN_1_WEIGHT, NULL);
    int qkv = linear(b, "attn.c_attn", a, TFR_PARAM_C_ATTN_WEIGHT);
    int o = self_attention(b, qkv);
    x = add(b, "attn.add", x, linear(b, "attn.c_proj", o, TFR_PARAM_ATTN_PROJ_WEIGHT));

    if (b->spec->features.cross) {
        x = cross_attention(b, x);
    }
    int m = layer_norm(b, "ln_2", x, TFR_PARAM_LN_2_WEIGHT, NULL);
    m = activation(b, "mlp.act", linear(b, "mlp.c_fc", m, TFR_PARAM_C_FC_WEIGHT));
    return add(b, "mlp.add", x, linear(b, "mlp.c_proj", m, TFR_PARAM_MLP_PROJ_WEIGHT));
}

static int gather_rows(struct builder *b, int x) {
    struct tfr_node node = node_make(b, TFR_OP_GATHER_ROWS, "gather_rows");
    node.arg[0] = x;
    node.arg[1] = io_input(b, TFR_IO_ROWS, "rows", TFR_ROWS_LOGITS);
    return add_node(b, &node, NULL);
}

/* A torch Linear: its weight is [outputs, inputs]; `bias` may be TFR_PARAM_COUNT for none. */
static int head_linear(struct builder *b, const char *name, int x, enum tfr_param weight, enum tfr_param bias,
                       const struct tfr_value *given) {
    struct tfr_node node = node_make(b, TFR_OP_LINEAR, name);
    node.arg[0] = x;
    node.arg[1] = param(b, weight, b->spec->dtype);
    node.arg[2] = bias != TFR_PARAM_COUNT ? param(b, bias, TFR_DTYPE_F32) : -1;
    node.attrs.transposed = 1;
    return add_node(b, &node, given);
}

static const struct tfr_value logits_value = {.kind = TFR_VALUE_IO, .io = TFR_IO_LOGITS};

static void head(struct builder *b, int x) {
    static const struct {
        const char *name;
        enum tfr_param weight, bias;
    } heads[] = {
        [TFR_HEAD_LM] = {"lm_head", TFR_PARAM_LM_HEAD, TFR_PARAM_COUNT},
        [TFR_HEAD_DOUBLE] = {"lm_head", TFR_PARAM_LM_HEAD, TFR_PARAM_COUNT},
        [TFR_HEAD_SEQUENCE] = {"score", TFR_PARAM_SCORE, TFR_PARAM_COUNT},
        [TFR_HEAD_TOKEN] = {"classifier", TFR_PARAM_CLASSIFIER_WEIGHT, TFR_PARAM_CLASSIFIER_BIAS},
        [TFR_HEAD_QA] = {"qa_outputs", TFR_PARAM_QA_WEIGHT, TFR_PARAM_QA_BIAS},
    };
    const int which = b->spec->features.head;
    head_linear(b, heads[which].name, x, heads[which].weight, heads[which].bias, &logits_value);
}

/* The second head of GPT2DoubleHeadsModel, on rows that were pooled before. */
static void summary(struct builder *b) {
    const bool is_activated = b->hparams->summary_activation != TFR_ACT_NONE;
    int x = rows_input(b, "pooled");
    if (b->hparams->summary_use_proj) {
        x = head_linear(b, "multiple_choice_head.summary", x, TFR_PARAM_SUMMARY_WEIGHT, TFR_PARAM_SUMMARY_BIAS,
                        is_activated ? NULL : &logits_value);
    }
    if (is_activated) {
        struct tfr_node node = node_make(b, TFR_OP_ACTIVATION, "multiple_choice_head.activation");
        node.arg[0] = x;
        node.attrs.activation = b->hparams->summary_activation;
        add_node(b, &node, &logits_value);
    }
}

/* Keys and values of the encoder's states for every block of this rank. */
static void encoder(struct builder *b) {
    int states = rows_input(b, "encoder_hidden_states");
    for (int64_t i = 0; i < b->hparams->n_layer; i++) {
        if (b->spec->owner[i] != b->spec->rank) {
            continue;
        }
        b->block = i;
        kv_append(b, "crossattention.kv_append", linear(b, "crossattention.c_attn", states, TFR_PARAM_CROSS_ATTN_WEIGHT),
                  cache(b, true), true);
        b->block = -1;
        b->local_block++;
    }
}

/* The hidden states go from rank `from`, where they are value x, to rank `to`; gives their value there. */
static int hop(struct builder *b, int x, int from, int to, int64_t tag, enum tfr_rows_var rows) {
    if (from == to || (b->spec->rank != from && b->spec->rank != to)) {
        return x;
    }
    bool sends = b->spec->rank == from;
    char name[64];
    snprintf(name, sizeof(name), sends ? "send.%lld" : "recv.%lld", (long long)tag);
    struct tfr_node node = node_make(b, sends ? TFR_OP_SEND_HIDDEN : TFR_OP_RECV_HIDDEN, name);
    node.attrs.peer = sends ? to : from;
    node.attrs.tag = (int32_t)tag;
    if (sends) {
        node.arg[0] = x;
        return add_node(b, &node, NULL);
    }
    struct tfr_value given = {.kind = TFR_VALUE_ACT, .rows = rows, .dtype = TFR_DTYPE_F32, .rank = 2};
    given.dim[0] = rows == TFR_ROWS_TOKENS ? b->spec->rows_max : b->spec->logits_max;
    given.dim[1] = b->hparams->n_embd;
    return add_node(b, &node, &given);
}

/* Of the rows whose logits are wanted, or of all where the caller wants to see them: a row's bits are the same. */
static int final_norm(struct builder *b, int x) {
    const struct tfr_gpt2_features *features = &b->spec->features;
    if (!features->hidden_states && !features->last_hidden && features->head != TFR_HEAD_NONE) {
        return layer_norm(b, "ln_f", gather_rows(b, x), TFR_PARAM_LN_F_WEIGHT, NULL);
    }
    const struct tfr_value all = {
        .kind = TFR_VALUE_IO, .io = TFR_IO_HIDDEN, .io_index = (int)b->hparams->n_layer};
    x = layer_norm(b, "ln_f", x, TFR_PARAM_LN_F_WEIGHT, &all);
    return features->head != TFR_HEAD_NONE ? gather_rows(b, x) : x;
}

static void model(struct builder *b) {
    const struct tfr_gpt2_spec *spec = b->spec;
    const int64_t n_layer = b->hparams->n_layer;
    int at = 0; /* rank that holds the hidden states */
    int x = spec->rank == 0 ? embed(b) : NOTHING;
    for (int64_t i = 0; i < n_layer; i++) {
        x = hop(b, x, at, spec->owner[i], i, TFR_ROWS_TOKENS);
        at = spec->owner[i];
        if (at == spec->rank) {
            b->block = i;
            x = block(b, x);
            b->block = -1;
            b->local_block++;
            if (spec->features.hidden_states && i + 1 < n_layer) {
                show(b, x, i + 1);
            }
        }
    }
    x = hop(b, x, at, spec->ln_f_rank, n_layer, TFR_ROWS_TOKENS);
    if (spec->rank == spec->ln_f_rank) {
        x = final_norm(b, x);
    }
    if (spec->features.head == TFR_HEAD_NONE) {
        return;
    }
    x = hop(b, x, spec->ln_f_rank, 0, n_layer + 1, TFR_ROWS_LOGITS);
    if (spec->rank == 0) {
        head(b, x);
    }
}

static enum tfr_status check_spec(const struct tfr_gpt2_spec *spec) {
    if (spec->rows_max < 1 || spec->logits_max < 1) {
        return tfr_raise(TFR_USAGE, "a step needs room for rows: rows_max = %lld, logits_max = %lld",
                         (long long)spec->rows_max, (long long)spec->logits_max);
    }
    for (int64_t i = 0; i < spec->hparams->n_layer; i++) {
        if (spec->owner[i] < 0 || spec->owner[i] >= spec->n_ranks) {
            return tfr_raise(TFR_USAGE, "block %lld is given to rank %d of %d", (long long)i, spec->owner[i],
                             spec->n_ranks);
        }
    }
    if (spec->ln_f_rank < 0 || spec->ln_f_rank >= spec->n_ranks) {
        return tfr_raise(TFR_USAGE, "ln_f is given to rank %d of %d", spec->ln_f_rank, spec->n_ranks);
    }
    return TFR_OK;
}

enum tfr_status tfr_gpt2_build(struct tfr_graph **graph, const struct tfr_gpt2_spec *spec) {
    *graph = NULL;
    TFR_TRY(check_spec(spec));
    struct builder b = {.spec = spec, .hparams = spec->hparams, .block = -1};
    TFR_TRY(tfr_graph_create(&b.graph, spec->rows_max, spec->logits_max));
    if (spec->features.part == TFR_PART_ENCODER) {
        encoder(&b);
    } else if (spec->features.part == TFR_PART_SUMMARY && spec->rank == 0) {
        summary(&b);
    } else if (spec->features.part == TFR_PART_MODEL) {
        model(&b);
    }
    if (b.status == TFR_OK) {
        b.status = tfr_graph_check(b.graph);
    }
    if (b.status != TFR_OK) {
        tfr_graph_free(b.graph);
        return b.status;
    }
    *graph = b.graph;
    return TFR_OK;
}

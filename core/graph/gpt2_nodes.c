/* gpt2_nodes.c - one call for each kind of node and value that GPT-2's graph is made of.
 *
 * The first failure sticks in the builder and every later call does nothing.
 */
#include "graph/gpt2_builder.h"

#include <stdio.h>

#include <tfrun/quant.h>

#include "graph/op.h"

struct tfr_node tfr_gpt2_node(const struct tfr_gpt2_builder *b, enum tfr_op op, const char *name) {
    struct tfr_node node = {.op = op, .layer = b->block, .arg = {-1, -1, -1, -1, -1, -1}};
    if (b->block >= 0) {
        snprintf(node.name, sizeof(node.name), "h.%lld.%s", (long long)b->block, name);
    } else {
        snprintf(node.name, sizeof(node.name), "%s", name);
    }
    return node;
}

int tfr_gpt2_add_node(struct tfr_gpt2_builder *b, const struct tfr_node *node, const struct tfr_value *given) {
    int output = TFR_GPT2_NOTHING;
    if (b->status == TFR_OK) {
        b->status = tfr_graph_add_node(b->graph, node, given, &output);
    }
    return output;
}

int tfr_gpt2_add_value(struct tfr_gpt2_builder *b, const struct tfr_value *value) {
    int id = TFR_GPT2_NOTHING;
    if (b->status == TFR_OK) {
        b->status = tfr_graph_add_value(b->graph, value, &id);
    }
    return id;
}

/* Of a weight that is not here. */
static enum tfr_dtype known_type(const struct tfr_gpt2_builder *b, enum tfr_param which) {
    const uint8_t *exact = b->spec->tables != NULL ? b->spec->tables->exact : NULL;
    const int64_t layer = which < TFR_PARAM_PER_BLOCK ? b->block : 0;
    return exact != NULL ? (enum tfr_dtype)exact[layer * TFR_PARAM_COUNT + (int64_t)which] : TFR_DTYPE_F32;
}

/* A parameter that kernels want as `dtype`. */
static struct tfr_value param_value(const struct tfr_gpt2_builder *b, enum tfr_param which, enum tfr_dtype dtype) {
    struct tfr_value value = {.kind = TFR_VALUE_WEIGHT, .dtype = dtype};
    value.rank = tfr_model_param_shape(b->hparams, which, value.dim);
    tfr_model_param_name(which, b->block, value.name, sizeof(value.name));
    if (b->spec->model != NULL) {
        value.weight = tfr_model_param(b->spec->model, which, b->block);
    }
    value.stored = value.weight != NULL ? value.weight->tensor.dtype : known_type(b, which);
    tfr_gpt2_slice(b, which, &value);
    return value;
}

static int param(struct tfr_gpt2_builder *b, enum tfr_param which, enum tfr_dtype dtype) {
    const struct tfr_value value = param_value(b, which, dtype);
    return tfr_gpt2_add_value(b, &value);
}

/* Type that a linear's weight is packed in. What is stored coarse is not rounded again: it keeps its type under any coarse dtype.
 */
static enum tfr_dtype linear_dtype(const struct tfr_gpt2_builder *b, enum tfr_param which) {
    const enum tfr_dtype dtype = b->spec->dtype;
    if (tfr_quant_group(dtype) == 0) {
        return dtype;
    }
    const struct tfr_weight *weight = b->spec->model != NULL ? tfr_model_param(b->spec->model, which, b->block) : NULL;
    if (weight != NULL && weight->coarse != NULL) {
        return weight->tensor.dtype;
    }
    return tfr_model_linear_dtype(b->spec->finer, which, b->block, dtype);
}

int tfr_gpt2_table(struct tfr_gpt2_builder *b, enum tfr_param which) {
    const struct tfr_weight *weight = b->spec->model != NULL ? tfr_model_param(b->spec->model, which, 0) : NULL;
    const struct tfr_table_types *tables = b->spec->tables;
    const enum tfr_dtype floats = b->spec->dtype == TFR_DTYPE_BF16 ? TFR_DTYPE_BF16 : TFR_DTYPE_F32; /* a coarse type has no rows */
    const enum tfr_dtype without = tables == NULL ? floats : which == TFR_PARAM_WPE ? tables->wpe : tables->wte;
    const enum tfr_dtype dtype = weight != NULL ? weight->tensor.dtype : without;
    return param(b, which, dtype == TFR_DTYPE_F64 ? TFR_DTYPE_F32 : dtype);
}

int tfr_gpt2_io_input(struct tfr_gpt2_builder *b, enum tfr_io io, const char *name, enum tfr_rows_var rows) {
    struct tfr_value value = {.kind = TFR_VALUE_IO, .io = io, .rows = rows, .dtype = TFR_DTYPE_I32, .rank = 1};
    value.dim[0] = rows == TFR_ROWS_TOKENS ? b->spec->rows_max : b->spec->logits_max;
    snprintf(value.name, sizeof(value.name), "%s", name);
    return tfr_gpt2_add_value(b, &value);
}

int tfr_gpt2_rows_input(struct tfr_gpt2_builder *b, const char *name) {
    struct tfr_value value = {
        .kind = TFR_VALUE_IO, .io = TFR_IO_EMBEDS, .rows = TFR_ROWS_TOKENS, .dtype = TFR_DTYPE_F32, .rank = 2};
    value.dim[0] = b->spec->rows_max;
    value.dim[1] = b->hparams->n_embd;
    snprintf(value.name, sizeof(value.name), "%s", name);
    return tfr_gpt2_add_value(b, &value);
}

int tfr_gpt2_layer_norm(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_param weight, const struct tfr_value *given) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_LAYER_NORM, name);
    node.arg[0] = x;
    node.arg[1] = param(b, weight, TFR_DTYPE_F32);
    node.arg[2] = param(b, weight + 1, TFR_DTYPE_F32);
    node.attrs.epsilon = (float)b->hparams->layer_norm_epsilon;
    return tfr_gpt2_add_node(b, &node, given);
}

struct tfr_node tfr_gpt2_linear_node(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_param weight) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_LINEAR, name);
    node.arg[0] = x;
    node.arg[1] = param(b, weight, linear_dtype(b, weight));
    node.arg[2] = param(b, weight + 1, TFR_DTYPE_F32);
    node.attrs.x_dtype = b->spec->x_dtype;
    if (tfr_gpt2_n_shards(b) > 1) {
        int64_t dim[TFR_MAX_RANK];
        tfr_model_param_shape(b->hparams, weight, dim);
        node.attrs.whole_k = (int32_t)dim[0];
        node.attrs.whole_n = (int32_t)dim[1];
    }
    return node;
}

int tfr_gpt2_linear(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_param weight) {
    const struct tfr_node node = tfr_gpt2_linear_node(b, name, x, weight);
    return tfr_gpt2_add_node(b, &node, NULL);
}

int tfr_gpt2_activation(struct tfr_gpt2_builder *b, const char *name, int x) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_ACTIVATION, name);
    node.arg[0] = x;
    node.attrs.activation = b->hparams->activation;
    return tfr_gpt2_add_node(b, &node, NULL);
}

int tfr_gpt2_add(struct tfr_gpt2_builder *b, const char *name, int residual, int y) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_ADD, name);
    node.arg[0] = residual;
    node.arg[1] = y;
    return tfr_gpt2_add_node(b, &node, NULL);
}

int tfr_gpt2_gather_rows(struct tfr_gpt2_builder *b, int x) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_GATHER_ROWS, "gather_rows");
    node.arg[0] = x;
    node.arg[1] = tfr_gpt2_io_input(b, TFR_IO_ROWS, "rows", TFR_ROWS_LOGITS);
    return tfr_gpt2_add_node(b, &node, NULL);
}

int tfr_gpt2_head_linear(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_param weight, enum tfr_param bias,
                         const struct tfr_value *given) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_LINEAR, name);
    node.arg[0] = x;
    node.arg[1] = param(b, weight, linear_dtype(b, weight));
    node.arg[2] = bias != TFR_PARAM_COUNT ? param(b, bias, TFR_DTYPE_F32) : -1;
    node.attrs.transposed = 1;
    node.attrs.x_dtype = b->spec->x_dtype;
    return tfr_gpt2_add_node(b, &node, given);
}

int tfr_gpt2_head_share(struct tfr_gpt2_builder *b, int x, int64_t first, int64_t n, const struct tfr_value *given) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_LINEAR, "lm_head");
    struct tfr_value weight = param_value(b, TFR_PARAM_LM_HEAD, linear_dtype(b, TFR_PARAM_LM_HEAD));
    if (n < weight.dim[0]) {
        weight.part_first = first;
        weight.part_of = weight.dim[0];
        node.attrs.whole_n = (int32_t)weight.dim[0];
        weight.dim[0] = n;
    }
    node.arg[0] = x;
    node.arg[1] = tfr_gpt2_add_value(b, &weight);
    node.attrs.transposed = 1;
    node.attrs.x_dtype = b->spec->x_dtype;
    return tfr_gpt2_add_node(b, &node, given);
}

int tfr_gpt2_pass(struct tfr_gpt2_builder *b, int x, int from, int to, int64_t tag, const struct tfr_value *given) {
    if (from == to || (b->spec->rank != from && b->spec->rank != to)) {
        return x;
    }
    bool sends = b->spec->rank == from;
    char name[32];
    snprintf(name, sizeof(name), sends ? "send.%lld" : "recv.%lld", (long long)tag);
    struct tfr_node node = tfr_gpt2_node(b, sends ? TFR_OP_SEND_HIDDEN : TFR_OP_RECV_HIDDEN, name);
    node.attrs.peer = sends ? to : from;
    node.attrs.tag = (int32_t)tag;
    node.arg[0] = sends ? x : node.arg[0];
    return tfr_gpt2_add_node(b, &node, sends ? NULL : given);
}

int tfr_gpt2_hop(struct tfr_gpt2_builder *b, int x, int from, int to, int64_t tag, enum tfr_rows_var rows) {
    struct tfr_value given = {.kind = TFR_VALUE_ACT, .rows = rows, .dtype = TFR_DTYPE_F32, .rank = 2};
    given.dim[0] = rows == TFR_ROWS_TOKENS ? b->spec->rows_max : b->spec->logits_max;
    given.dim[1] = b->hparams->n_embd;
    return tfr_gpt2_pass(b, x, from, to, tag, &given);
}

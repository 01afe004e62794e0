/* op_shape.c - the shape rule of every op: one small function that checks a node's inputs and gives its
 * output.
 *
 * A rule sees values only; presence of required arguments is checked before it is called.
 */
#include "graph/op.h"

#include <string.h>

#include "base/status.h"
#include "base/tensor.h"

static const struct tfr_value *input(const struct tfr_graph *graph, const struct tfr_node *node, int arg) {
    return arg < node->n_args && node->arg[arg] >= 0 ? &graph->values[node->arg[arg]] : NULL;
}

/* "node h.0.ln_1: weight is f32 [768], needs ..." */
static enum tfr_status refuse(const struct tfr_node *node, int arg, const struct tfr_value *value, const char *needs) {
    char shape[96];
    return tfr_raise(TFR_MODEL, "node %s: %s is %s %s, %s needs %s", node->name, tfr_op_info(node->op)->argument[arg].name,
                     tfr_dtype_name(value->dtype), tfr_shape_text(value->rank, value->dim, shape, sizeof(shape)),
                     tfr_op_info(node->op)->name, needs);
}

/* A matrix of activations: f32 [rows, width]. */
static enum tfr_status check_rows(const struct tfr_graph *graph, const struct tfr_node *node, int arg) {
    const struct tfr_value *value = input(graph, node, arg);
    if (value->dtype != TFR_DTYPE_F32 || value->rank != 2 || value->rows == TFR_ROWS_NONE || value->dim[0] < 1 ||
        value->dim[1] < 1) {
        return refuse(node, arg, value, "f32 [rows, width]");
    }
    return TFR_OK;
}

static enum tfr_status check_vector(const struct tfr_graph *graph, const struct tfr_node *node, int arg, int64_t n) {
    const struct tfr_value *value = input(graph, node, arg);
    if (value->rank != 1 || value->dim[0] != n || value->rows != TFR_ROWS_NONE) {
        return refuse(node, arg, value, "a vector as long as the rows are wide");
    }
    return TFR_OK;
}

/* i32 indices, one per row. */
static enum tfr_status check_indices(const struct tfr_graph *graph, const struct tfr_node *node, int arg) {
    const struct tfr_value *value = input(graph, node, arg);
    if (value->dtype != TFR_DTYPE_I32 || value->rank != 1 || value->rows == TFR_ROWS_NONE) {
        return refuse(node, arg, value, "one i32 per row");
    }
    return TFR_OK;
}

/* The same rows and width as argument `like`. */
static enum tfr_status check_like(const struct tfr_graph *graph, const struct tfr_node *node, int arg,
                                  const struct tfr_shape *like) {
    const struct tfr_value *value = input(graph, node, arg);
    TFR_TRY(check_rows(graph, node, arg));
    if (value->rows != like->rows || value->dim[0] != like->dim[0] || value->dim[1] != like->dim[1]) {
        return refuse(node, arg, value, "the shape of its output");
    }
    return TFR_OK;
}

static struct tfr_shape rows_shape(const struct tfr_value *rows, int64_t width) {
    return (struct tfr_shape){.dtype = TFR_DTYPE_F32, .rows = rows->rows, .rank = 2, .dim = {rows->dim[0], width}};
}

static enum tfr_status shape_embed(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(check_indices(graph, node, 0));
    TFR_TRY(check_indices(graph, node, 1));
    const struct tfr_value *ids = input(graph, node, 0), *positions = input(graph, node, 1);
    const struct tfr_value *wte = input(graph, node, 2), *wpe = input(graph, node, 3);
    if (positions->rows != ids->rows || positions->dim[0] != ids->dim[0]) {
        return refuse(node, 1, positions, "as many as ids");
    }
    if (wte->rank != 2) {
        return refuse(node, 2, wte, "[vocab_size, n_embd]");
    }
    if (wpe->rank != 2 || wpe->dim[1] != wte->dim[1]) {
        return refuse(node, 3, wpe, "[n_positions, n_embd] as wide as wte");
    }
    *shape = rows_shape(ids, wte->dim[1]);
    return TFR_OK;
}

static enum tfr_status shape_layer_norm(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(check_rows(graph, node, 0));
    const struct tfr_value *x = input(graph, node, 0);
    TFR_TRY(check_vector(graph, node, 1, x->dim[1]));
    TFR_TRY(check_vector(graph, node, 2, x->dim[1]));
    *shape = rows_shape(x, x->dim[1]);
    return TFR_OK;
}

/* A linear whose block sums stay apart: *shape comes in as if they were added. */
static enum tfr_status shape_apart(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    const struct tfr_value *x = input(graph, node, 0);
    if (input(graph, node, 2) != NULL || input(graph, node, 3) != NULL || node->attrs.activation != TFR_ACT_NONE) {
        return tfr_raise(TFR_MODEL, "node %s: block sums that stay apart take no bias, activation or residual", node->name);
    }
    if ((int64_t)node->attrs.k_block * node->attrs.n_blocks != x->dim[1]) {
        return refuse(node, 0, x, "k_block n_blocks columns");
    }
    shape->dim[1] *= node->attrs.n_blocks;
    return TFR_OK;
}

static enum tfr_status shape_sum_blocks(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(check_rows(graph, node, 0));
    const struct tfr_value *parts = input(graph, node, 0);
    if (node->attrs.n_blocks < 1 || parts->dim[1] % node->attrs.n_blocks != 0) {
        return refuse(node, 0, parts, "[rows, n_blocks width]");
    }
    *shape = rows_shape(parts, parts->dim[1] / node->attrs.n_blocks);
    if (input(graph, node, 1) != NULL) {
        TFR_TRY(check_like(graph, node, 1, shape));
    }
    if (input(graph, node, 2) != NULL) {
        TFR_TRY(check_vector(graph, node, 2, shape->dim[1]));
    }
    return input(graph, node, 3) != NULL ? check_like(graph, node, 3, shape) : TFR_OK;
}

/* Columns are told as floats, which count no further. */
static enum tfr_status shape_best_rows(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(check_rows(graph, node, 0));
    const struct tfr_value *x = input(graph, node, 0);
    *shape = rows_shape(x, TFR_BEST_WIDTH);
    return x->dim[1] <= TFR_BEST_COLUMNS ? TFR_OK : refuse(node, 0, x, "at most 2^24 columns");
}

static enum tfr_status shape_linear(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(check_rows(graph, node, 0));
    const struct tfr_value *x = input(graph, node, 0), *weight = input(graph, node, 1);
    int k = node->attrs.transposed ? 1 : 0;
    if (weight->rank != 2 || weight->dim[k] != x->dim[1]) {
        return refuse(node, 1, weight, "a matrix with as many inputs as x is wide");
    }
    int64_t n = weight->dim[1 - k];
    *shape = rows_shape(x, n);
    if (node->attrs.n_blocks > 0) {
        return shape_apart(graph, node, shape);
    }
    if (input(graph, node, 2) != NULL) {
        TFR_TRY(check_vector(graph, node, 2, n));
    }
    return input(graph, node, 3) != NULL ? check_like(graph, node, 3, shape) : TFR_OK;
}

/* q, k and v side by side; of an encoder k and v (2 parts), of a query for it q alone (1). */
static enum tfr_status check_qkv(const struct tfr_graph *graph, const struct tfr_node *node, int parts) {
    TFR_TRY(check_rows(graph, node, 0));
    const struct tfr_value *qkv = input(graph, node, 0);
    const int64_t width = (int64_t)node->attrs.n_heads * node->attrs.head_dim;
    if (node->attrs.n_heads < 1 || qkv->dim[1] != parts * width) {
        return refuse(node, 0, qkv,
                      parts == 3   ? "[rows, 3 n_heads head_dim]"
                      : parts == 2 ? "[rows, 2 n_heads head_dim]"
                                   : "[rows, n_heads head_dim]");
    }
    return TFR_OK;
}

/* The cache that keys and values of these heads go to. */
static enum tfr_status check_cache(const struct tfr_graph *graph, const struct tfr_node *node) {
    const struct tfr_value *cache = input(graph, node, 1);
    if (cache->kind != TFR_VALUE_STATE || cache->rank != 2 || cache->dim[0] != node->attrs.n_heads ||
        cache->dim[1] != node->attrs.head_dim) {
        return refuse(node, 1, cache, "state [n_heads, head_dim]");
    }
    return TFR_OK;
}

static enum tfr_status shape_kv_append(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    *shape = (struct tfr_shape){0};
    TFR_TRY(check_qkv(graph, node, node->attrs.cross ? 2 : 3));
    return check_cache(graph, node);
}

static enum tfr_status shape_attention(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(check_qkv(graph, node, node->attrs.cross ? 1 : 3));
    TFR_TRY(check_cache(graph, node));
    *shape = rows_shape(input(graph, node, 0), (int64_t)node->attrs.n_heads * node->attrs.head_dim);
    return TFR_OK;
}

static enum tfr_status shape_activation(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(check_rows(graph, node, 0));
    const struct tfr_value *x = input(graph, node, 0);
    *shape = rows_shape(x, x->dim[1]);
    return TFR_OK;
}

static enum tfr_status shape_lookup_add(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(shape_activation(graph, node, shape));
    TFR_TRY(check_indices(graph, node, 1));
    const struct tfr_value *table = input(graph, node, 2);
    if (table->rank != 2 || table->dim[1] != shape->dim[1]) {
        return refuse(node, 2, table, "a table as wide as the rows");
    }
    return TFR_OK;
}

static enum tfr_status shape_add(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(shape_activation(graph, node, shape));
    return check_like(graph, node, 1, shape);
}

static enum tfr_status shape_gather_rows(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    TFR_TRY(check_rows(graph, node, 0));
    TFR_TRY(check_indices(graph, node, 1));
    *shape = rows_shape(input(graph, node, 1), input(graph, node, 0)->dim[1]);
    return TFR_OK;
}

static enum tfr_status shape_send(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    *shape = (struct tfr_shape){0};
    return check_rows(graph, node, 0);
}

static enum tfr_status shape_recv(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    if (shape->rank != 2 || shape->rows == TFR_ROWS_NONE || shape->dtype != TFR_DTYPE_F32) {
        return tfr_raise(TFR_MODEL, "node %s: recv_hidden needs its output given as f32 [rows, width]", node->name);
    }
    return TFR_OK;
}

/* The shapes of the parts were checked before they were put together. */
static enum tfr_status shape_fused(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    (void)graph;
    const struct tfr_arg_desc *out = &node->part[node->n_parts - 1].out;
    *shape = (struct tfr_shape){.dtype = (enum tfr_dtype)out->dtype, .rows = node->rows, .rank = out->rank};
    memcpy(shape->dim, out->dim, sizeof shape->dim);
    return TFR_OK;
}

typedef enum tfr_status (*shape_fn)(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape);
static const shape_fn rules[TFR_OP_COUNT] = {
    [TFR_OP_EMBED] = shape_embed,
    [TFR_OP_LAYER_NORM] = shape_layer_norm,
    [TFR_OP_LINEAR] = shape_linear,
    [TFR_OP_KV_APPEND] = shape_kv_append,
    [TFR_OP_ATTENTION] = shape_attention,
    [TFR_OP_ACTIVATION] = shape_activation,
    [TFR_OP_ADD] = shape_add,
    [TFR_OP_GATHER_ROWS] = shape_gather_rows,
    [TFR_OP_SEND_HIDDEN] = shape_send,
    [TFR_OP_RECV_HIDDEN] = shape_recv,
    [TFR_OP_LOOKUP_ADD] = shape_lookup_add,
    [TFR_OP_COPY] = shape_activation,
    [TFR_OP_FUSED] = shape_fused,
    [TFR_OP_SUM_BLOCKS] = shape_sum_blocks,
    [TFR_OP_BEST_ROWS] = shape_best_rows,
};

enum tfr_status tfr_op_shape(const struct tfr_graph *graph, const struct tfr_node *node, struct tfr_shape *shape) {
    const struct tfr_op_info *info = tfr_op_info(node->op);
    for (int i = 0; i < info->n_in; i++) {
        if (input(graph, node, i) == NULL && !info->argument[i].optional) {
            return tfr_raise(TFR_MODEL, "node %s: %s lacks its argument %s", node->name, info->name, info->argument[i].name);
        }
    }
    return rules[node->op](graph, node, shape);
}

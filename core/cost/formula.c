/* formula.c - the formulas of ops.def for one node: letters of the op become names of the model.
 */
#include "cost/formula.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/tensor.h"
#include "model/model_tensors.h"

/* What the letters of an op stand for in one node. */
struct binding {
    struct tfr_poly dim[TFR_DIM_COUNT];
    bool is_set[TFR_DIM_COUNT];
};

static void bind(struct binding *binding, enum tfr_dim dim, const struct tfr_poly *to) {
    binding->dim[dim] = *to;
    binding->is_set[dim] = true;
}

static void bind_number(struct binding *binding, enum tfr_dim dim, int64_t over, int64_t under) {
    struct tfr_poly number = tfr_poly_number(1);
    (void)tfr_poly_scale(&number, over, under); /* small */
    bind(binding, dim, &number);
}

static void bind_name(struct binding *binding, enum tfr_dim dim, enum tfr_dim name) {
    const struct tfr_poly poly = tfr_poly_dim(name);
    bind(binding, dim, &poly);
}

/* "3 * C" of the table of parameters. */
static enum tfr_status parse_size(const struct tfr_hparams *hparams, const char *text, struct tfr_poly *poly) {
    const bool is_summary = strcmp(text, "Y") == 0;
    char plain[32];
    size_t n = 0;
    for (const char *at = is_summary ? hparams->summary_proj_to_labels ? "K" : "C" : text; *at != '\0' && n + 1 < sizeof plain;
         at++) {
        if (*at != '*') {
            plain[n++] = *at;
        }
    }
    plain[n] = '\0';
    TFR_TRY(tfr_poly_parse(poly, plain));
    static const struct {
        enum tfr_dim letter, name;
    } names[] = {
        {TFR_DIM_C, TFR_DIM_HIDDEN}, {TFR_DIM_F, TFR_DIM_INTERMEDIATE}, {TFR_DIM_V, TFR_DIM_VOCAB}, {TFR_DIM_K, TFR_DIM_LABELS}};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        const struct tfr_poly name = tfr_poly_dim(names[i].name);
        TFR_TRY(tfr_poly_substitute(poly, names[i].letter, &name));
    }
    return TFR_OK;
}

enum tfr_status tfr_param_shape_poly(const struct tfr_hparams *hparams, enum tfr_param param, struct tfr_poly *rows,
                                     struct tfr_poly *columns) {
    static const struct {
        const char *rows, *columns;
    } sizes[TFR_PARAM_COUNT] = {
#define TFR_PARAM(enum_name, name, rank, rows_, columns_, init) [TFR_PARAM_##enum_name] = {#rows_, #columns_},
#include "model/model_tensors.def"
#undef TFR_PARAM
    };
    TFR_TRY(parse_size(hparams, sizes[param].rows, rows));
    return parse_size(hparams, sizes[param].columns, columns);
}

/* Inputs and outputs of a linear, or of the part of it that a rank holds. */
static enum tfr_status linear_shape(const struct tfr_graph *graph, const struct tfr_node *node, const struct tfr_hparams *hparams,
                                    struct tfr_poly *inputs, struct tfr_poly *outputs) {
    const struct tfr_parsed_name parsed = tfr_model_parse_name(graph->values[node->arg[1]].name);
    if (parsed.kind != TFR_NAME_PARAM) {
        return tfr_raise(TFR_MODEL, "node %s: %s is no parameter of the model", node->name, graph->values[node->arg[1]].name);
    }
    const struct tfr_value *weight = &graph->values[node->arg[1]];
    if (!node->attrs.transposed) {
        TFR_TRY(tfr_param_shape_poly(hparams, parsed.param, inputs, outputs));
        return weight->slice.n_shards > 1 ? tfr_poly_scale(weight->slice.axis == 0 ? inputs : outputs, 1, weight->slice.n_shards)
                                          : TFR_OK;
    }
    TFR_TRY(tfr_param_shape_poly(hparams, parsed.param, outputs, inputs));
    return weight->part_of > 0 ? tfr_poly_scale(outputs, weight->dim[0], weight->part_of) : TFR_OK;
}

bool tfr_is_logits_message(const struct tfr_graph *graph, const struct tfr_node *node, const struct tfr_hparams *hparams) {
    return node->rows == TFR_ROWS_LOGITS && (node->op == TFR_OP_SEND_HIDDEN || node->op == TFR_OP_RECV_HIDDEN) &&
           graph->values[node->arg[0]].dim[1] != hparams->n_embd;
}

/* Columns of an activation: those of the linear that made it, else the width of the hidden states. */
static enum tfr_status width_of(const struct tfr_graph *graph, int value, const struct tfr_hparams *hparams,
                                struct tfr_poly *width) {
    int producer = graph->values[value].producer;
    while (producer >= 0 && graph->nodes[producer].op == TFR_OP_ACTIVATION) {
        producer = graph->values[graph->nodes[producer].arg[0]].producer;
    }
    if (producer >= 0 && graph->nodes[producer].op == TFR_OP_LINEAR) {
        struct tfr_poly inputs;
        return linear_shape(graph, &graph->nodes[producer], hparams, &inputs, width);
    }
    *width = tfr_poly_dim(TFR_DIM_HIDDEN);
    return TFR_OK;
}

/* Columns of what a node reads, of which the model's width, or its vocabulary, is another number. */
static enum tfr_status bind_columns(struct binding *binding, enum tfr_dim letter, enum tfr_dim name, int64_t columns, int64_t of) {
    struct tfr_poly width = tfr_poly_dim(name);
    TFR_TRY(tfr_poly_scale(&width, columns, of));
    bind(binding, letter, &width);
    return TFR_OK;
}

/* Of a message: hidden states, block sums of a shard, several of these side by side, or logits, which may be a share of them. */
static enum tfr_status bind_message(struct binding *binding, const struct tfr_graph *graph, const struct tfr_node *node,
                                    const struct tfr_hparams *hparams) {
    const bool is_logits = tfr_is_logits_message(graph, node, hparams);
    return bind_columns(binding, TFR_DIM_C, is_logits ? TFR_DIM_VOCAB : TFR_DIM_HIDDEN, graph->values[node->arg[0]].dim[1],
                        is_logits ? hparams->vocab_size : hparams->n_embd);
}

static bool has_arg(const struct tfr_node *node, int arg) {
    return arg < node->n_args && node->arg[arg] >= 0;
}

static void bind_bias_and_residual(struct binding *binding, const struct tfr_node *node) {
    bind_number(binding, TFR_DIM_BIAS, has_arg(node, 2), 1);
    bind_number(binding, TFR_DIM_RESIDUAL, has_arg(node, 3), 1);
}

/* Blocks of sums: those of the shard, and the total so far. */
static enum tfr_status bind_sum_blocks(struct binding *binding, const struct tfr_node *node) {
    bind_name(binding, TFR_DIM_N, TFR_DIM_HIDDEN);
    bind_bias_and_residual(binding, node);
    return bind_columns(binding, TFR_DIM_K, TFR_DIM_HIDDEN, node->attrs.n_blocks + has_arg(node, 1), 1);
}

/* Widths and flags: what does not depend on who runs the node. */
static enum tfr_status bind_shape(struct binding *binding, const struct tfr_graph *graph, const struct tfr_node *node,
                                  const struct tfr_hparams *hparams) {
    bind_name(binding, TFR_DIM_C, TFR_DIM_HIDDEN);
    bind_name(binding, TFR_DIM_H, TFR_DIM_HEADS);
    bind_number(binding, TFR_DIM_ACT, (int64_t)tfr_activation_flops(node->attrs.activation), 1);
    if (node->op == TFR_OP_LINEAR) {
        struct tfr_poly inputs, outputs;
        TFR_TRY(linear_shape(graph, node, hparams, &inputs, &outputs));
        bind(binding, TFR_DIM_K, &inputs);
        bind(binding, TFR_DIM_N, &outputs);
        bind_bias_and_residual(binding, node);
    } else if (node->op == TFR_OP_SEND_HIDDEN || node->op == TFR_OP_RECV_HIDDEN) {
        return bind_message(binding, graph, node, hparams);
    } else if (node->op == TFR_OP_KV_APPEND || node->op == TFR_OP_ATTENTION) { /* of the heads that are here */
        TFR_TRY(bind_columns(binding, TFR_DIM_C, TFR_DIM_HIDDEN, node->attrs.n_heads, hparams->n_head));
        return bind_columns(binding, TFR_DIM_H, TFR_DIM_HEADS, node->attrs.n_heads, hparams->n_head);
    } else if (node->op == TFR_OP_SUM_BLOCKS) {
        return bind_sum_blocks(binding, node);
    } else if (node->op == TFR_OP_ACTIVATION || node->op == TFR_OP_ADD) {
        struct tfr_poly width;
        TFR_TRY(width_of(graph, node->arg[0], hparams, &width));
        bind(binding, TFR_DIM_N, &width);
    }
    return TFR_OK;
}

/* Pairs and keys: of cross-attention every row sees all positions of the encoder. */
static enum tfr_status bind_cross(struct binding *binding) {
    const struct tfr_poly encoder = tfr_poly_dim(TFR_DIM_ENCODER), rows = tfr_poly_dim(TFR_DIM_T), pieces = tfr_poly_dim(TFR_DIM_B);
    struct tfr_poly product;
    TFR_TRY(tfr_poly_mul(&product, &rows, &encoder));
    bind(binding, TFR_DIM_A, &product);
    TFR_TRY(tfr_poly_mul(&product, &pieces, &encoder));
    bind(binding, TFR_DIM_X, &product);
    bind(binding, TFR_DIM_S, &encoder);
    return TFR_OK;
}

/* What belongs to no row is read once in every step that has rows: those terms get a factor `runs`. */
static enum tfr_status once_a_run(struct tfr_poly *poly, enum tfr_dim runs) {
    static const enum tfr_dim of_rows[] = {TFR_DIM_T, TFR_DIM_R, TFR_DIM_A, TFR_DIM_X, TFR_DIM_B, TFR_DIM_Q, TFR_DIM_S};
    const struct tfr_poly factor = tfr_poly_dim(runs);
    struct tfr_poly result = {0};
    for (int i = 0; i < poly->n_terms; i++) {
        struct tfr_poly term = {.n_terms = 1, .term[0] = poly->term[i]};
        bool is_of_rows = false;
        for (size_t d = 0; d < TFR_COUNT_OF(of_rows); d++) {
            is_of_rows |= term.term[0].power[of_rows[d]] > 0;
        }
        if (!is_of_rows) {
            TFR_TRY(tfr_poly_mul(&term, &term, &factor));
        }
        TFR_TRY(tfr_poly_add(&result, &result, &term));
    }
    *poly = result;
    return TFR_OK;
}

static enum tfr_status apply(struct tfr_poly *result, const struct tfr_poly *formula, const struct binding *binding,
                             enum tfr_dim runs) {
    *result = *formula;
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        if (binding->is_set[d] && tfr_poly_has(result, d)) {
            TFR_TRY(tfr_poly_substitute(result, d, &binding->dim[d]));
        }
    }
    return once_a_run(result, runs);
}

static enum tfr_status apply_all(struct tfr_formula *formula, const struct tfr_poly *flops, const struct tfr_poly *read,
                                 const struct tfr_poly *written, const struct binding *binding, enum tfr_dim runs) {
    TFR_TRY(apply(&formula->flops, flops, binding, runs));
    TFR_TRY(apply(&formula->read, read, binding, runs));
    return apply(&formula->written, written, binding, runs);
}

/* Bytes of a weight's element as tfrun reads it: a table in its own type, a matrix in the one it was packed in; scales of a coarse
 * type make it a fraction. */
static void bind_weight(struct binding *binding, const struct tfr_graph *graph, const struct tfr_node *node) {
    const int arg = node->op == TFR_OP_LINEAR ? 1 : node->op == TFR_OP_EMBED || node->op == TFR_OP_LOOKUP_ADD ? 2 : -1;
    if (arg < 0) {
        bind_number(binding, TFR_DIM_EW, sizeof(float), 1);
        return;
    }
    const struct tfr_value *weight = &graph->values[node->arg[arg]];
    const int64_t k = weight->dim[node->op == TFR_OP_LINEAR && node->attrs.transposed ? 1 : 0];
    int64_t bytes, elements;
    if (node->op == TFR_OP_EMBED) { /* a row of each table: the mean of the two */
        const enum tfr_dtype positions = graph->values[node->arg[3]].dtype;
        bind_number(binding, TFR_DIM_EW, (int64_t)(tfr_dtype_size(weight->dtype) + tfr_dtype_size(positions)), 2);
        return;
    }
    tfr_dtype_fraction(weight->dtype, k, &bytes, &elements);
    bind_number(binding, TFR_DIM_EW, bytes, elements);
}

static enum tfr_status executed_op(struct tfr_formula *formula, const struct tfr_graph *graph, const struct tfr_node *node,
                                   const struct tfr_hparams *hparams) {
    const struct tfr_op_info *info = tfr_op_info(node->op);
    struct binding binding = {0};
    struct tfr_poly written = info->bytes_written;
    if (node->op == TFR_OP_LINEAR && node->attrs.n_blocks > 0) { /* block sums that stay apart */
        TFR_TRY(tfr_poly_scale(&written, node->attrs.n_blocks, 1));
    }
    TFR_TRY(bind_shape(&binding, graph, node, hparams));
    bind_name(&binding, TFR_DIM_M, node->rows == TFR_ROWS_LOGITS ? TFR_DIM_R : TFR_DIM_T);
    bind_number(&binding, TFR_DIM_EA, sizeof(float), 1);
    bind_weight(&binding, graph, node);
    if (node->op == TFR_OP_KV_APPEND || node->op == TFR_OP_ATTENTION) {
        const enum tfr_dtype kv = graph->values[node->arg[1]].dtype;
        const int64_t head_dim = node->attrs.head_dim, size = (int64_t)tfr_dtype_size(kv);
        const bool is_int8 = kv == TFR_DTYPE_I8; /* a scale for each vector */
        bind_number(&binding, TFR_DIM_EK, is_int8 ? head_dim + (int64_t)sizeof(float) : size, is_int8 ? head_dim : 1);
    }
    if (node->op == TFR_OP_ATTENTION && node->attrs.cross) {
        TFR_TRY(bind_cross(&binding));
    }
    return apply_all(formula, &info->flops, &info->bytes_read, &written, &binding,
                     node->rows == TFR_ROWS_LOGITS ? TFR_DIM_W : TFR_DIM_U);
}

enum tfr_status tfr_formula_executed(struct tfr_formula *formula, const struct tfr_graph *graph, const struct tfr_node *node,
                                     const struct tfr_hparams *hparams) {
    if (node->op == TFR_OP_FUSED) {
        return tfr_raise(TFR_UNSUPPORTED, "node %s: costs are those of the graph before kernels claim patterns", node->name);
    }
    return executed_op(formula, graph, node, hparams);
}

static void put(struct tfr_reference_part *parts, int *n, enum tfr_reference_op op, enum tfr_dim rows, const char *module) {
    parts[(*n)++] = (struct tfr_reference_part){.op = op, .rows = rows, .module = module};
}

bool tfr_reference_is_upcast(enum tfr_reference_op op) {
    switch (op) {
    case TFR_REFERENCE_MATMUL_QK:
    case TFR_REFERENCE_SCALE:
    case TFR_REFERENCE_SCALE_LAYER:
    case TFR_REFERENCE_CAUSAL_MASK:
    case TFR_REFERENCE_MASK_ADD:
    case TFR_REFERENCE_MASK_HIDE:
    case TFR_REFERENCE_SOFTMAX:
        return true;
    default:
        return false;
    }
}

static int attention_parts(const struct tfr_node *node, const struct tfr_hparams *hparams, bool heads_part,
                           struct tfr_reference_part *parts) {
    int n = 0;
    put(parts, &n, TFR_REFERENCE_SPLIT_HEADS, TFR_DIM_T, NULL);
    put(parts, &n, TFR_REFERENCE_MATMUL_QK, TFR_DIM_T, NULL);
    /* Upcast, all scales are the one factor of the product, which is there without any. */
    if (hparams->scale_attn_weights || hparams->reorder_and_upcast_attn) {
        put(parts, &n, TFR_REFERENCE_SCALE, TFR_DIM_T, NULL);
    }
    if (hparams->scale_attn_by_inverse_layer_idx && !hparams->reorder_and_upcast_attn) {
        put(parts, &n, TFR_REFERENCE_SCALE_LAYER, TFR_DIM_T, NULL);
    }
    if (node->attrs.causal) {
        put(parts, &n, TFR_REFERENCE_CAUSAL_MASK, TFR_DIM_T, NULL);
    }
    put(parts, &n, TFR_REFERENCE_SOFTMAX, TFR_DIM_T, NULL);
    put(parts, &n, TFR_REFERENCE_MATMUL_PV, TFR_DIM_T, NULL);
    if (heads_part) {
        put(parts, &n, TFR_REFERENCE_MERGE_HEADS, TFR_DIM_T, NULL);
    }
    return n;
}

int tfr_reference_parts(const struct tfr_node *node, const struct tfr_hparams *hparams, const struct tfr_reference_case *of,
                        struct tfr_reference_part parts[TFR_MAX_REFERENCE_PARTS]) {
    /* PyTorch slices behind ln_f, so that the norm is of all rows. */
    const bool is_head = node->rows == TFR_ROWS_LOGITS && node->op != TFR_OP_LAYER_NORM;
    const enum tfr_dim rows = is_head ? TFR_DIM_R : TFR_DIM_T;
    int n = 0;
    switch (node->op) {
    case TFR_OP_EMBED:
        put(parts, &n, TFR_REFERENCE_EMBEDDING, TFR_DIM_T, "wte");
        put(parts, &n, TFR_REFERENCE_EMBEDDING, TFR_DIM_Q, "wpe");
        put(parts, &n, TFR_REFERENCE_ADD_POSITIONS, TFR_DIM_T, "");
        break;
    case TFR_OP_LOOKUP_ADD:
        put(parts, &n, TFR_REFERENCE_EMBEDDING, TFR_DIM_T, "wte");
        put(parts, &n, TFR_REFERENCE_ADD, TFR_DIM_T, "");
        break;
    case TFR_OP_LAYER_NORM:
        put(parts, &n, TFR_REFERENCE_LAYER_NORM, rows, NULL);
        break;
    case TFR_OP_LINEAR:
        put(parts, &n, TFR_REFERENCE_LINEAR, rows, NULL);
        if (node->attrs.activation != TFR_ACT_NONE) {
            put(parts, &n, TFR_REFERENCE_ACTIVATION, rows, NULL);
        }
        break;
    case TFR_OP_KV_APPEND:
        if (of->has_past && !node->attrs.cross) {
            put(parts, &n, TFR_REFERENCE_CAT_CACHE, TFR_DIM_T, NULL);
        }
        break;
    case TFR_OP_ATTENTION:
        return attention_parts(node, hparams, of->heads_part, parts);
    case TFR_OP_ACTIVATION:
        put(parts, &n, TFR_REFERENCE_ACTIVATION, rows, NULL);
        break;
    case TFR_OP_ADD:
        put(parts, &n, TFR_REFERENCE_ADD, rows, NULL);
        break;
    case TFR_OP_GATHER_ROWS:
        put(parts, &n, TFR_REFERENCE_SLICE, rows, NULL);
        break;
    default:
        break;
    }
    return n;
}

enum tfr_status tfr_formula_reference(struct tfr_formula *formula, const struct tfr_graph *graph, const struct tfr_node *node,
                                      const struct tfr_hparams *hparams, const struct tfr_reference_part *part,
                                      const struct tfr_formula_types *types) {
    const struct tfr_reference_info *info = tfr_reference_info(part->op);
    const struct tfr_activation_class *activation = tfr_activation_class(hparams->activation_name);
    const bool is_model_activation = activation != NULL && node->op == TFR_OP_ACTIVATION;
    struct binding binding = {0};
    TFR_TRY(bind_shape(&binding, graph, node, hparams));
    if (node->op != TFR_OP_LINEAR && node->op != TFR_OP_ACTIVATION) {
        bind_name(&binding, TFR_DIM_N, TFR_DIM_HIDDEN);
    }
    bind_name(&binding, TFR_DIM_M, part->rows);
    bind_number(&binding, TFR_DIM_EA, types->activation, 1);
    bind_number(&binding, TFR_DIM_EW, types->weight, 1);
    bind_number(&binding, TFR_DIM_PASSES, is_model_activation ? activation->passes : 1, 1);
    bind_number(&binding, TFR_DIM_READS, is_model_activation ? activation->reads : 1, 1);
    if (node->op == TFR_OP_ATTENTION && node->attrs.cross) {
        TFR_TRY(bind_cross(&binding));
    }
    return apply_all(formula, &info->flops, &info->bytes_read, &info->bytes_written, &binding,
                     part->rows == TFR_DIM_R ? TFR_DIM_W : TFR_DIM_U);
}

enum tfr_status tfr_formula_mean(struct tfr_formula *formula, int64_t activation_bytes) {
    const struct tfr_reference_info *info = tfr_reference_info(TFR_REFERENCE_MEAN);
    struct binding binding = {0};
    bind_name(&binding, TFR_DIM_C, TFR_DIM_HIDDEN);
    bind_name(&binding, TFR_DIM_M, TFR_DIM_T);
    bind_number(&binding, TFR_DIM_EA, activation_bytes, 1);
    return apply_all(formula, &info->flops, &info->bytes_read, &info->bytes_written, &binding, TFR_DIM_U);
}

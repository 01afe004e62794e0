/* gpt2_build.c - GPT-2 as a graph: reads like the model, from the embeddings down to the logits.
 *
 * Builds what one rank owns. Where the owner changes, tfr_gpt2_hop puts a send on the one side and a recv on the other; their
 * tags are the block index for hops into a block, n_layer for the hop to ln_f, n_layer + 1 for the way to lm_head, n_layer + 2 for
 * logits to rank 0. The first failure sticks in the builder and every later call does nothing, so that the model's text stays free
 * of checks.
 */
#include "graph/gpt2_builder.h"

#include <math.h>
#include <stdio.h>

#include "base/status.h"
#include "graph/op.h"

/* Hands the rows of x to the caller as item `index` of hidden_states. */
static void show(struct tfr_gpt2_builder *b, int x, int64_t index) {
    char name[48];
    snprintf(name, sizeof(name), "hidden_states.%lld", (long long)index);
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_COPY, name);
    const struct tfr_value given = {.kind = TFR_VALUE_IO, .io = TFR_IO_HIDDEN, .io_index = (int)index};
    node.arg[0] = x;
    tfr_gpt2_add_node(b, &node, &given);
}

static int lookup_add(struct tfr_gpt2_builder *b, const char *name, int x, enum tfr_io ids, const char *ids_name,
                      enum tfr_param which) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_LOOKUP_ADD, name);
    node.arg[0] = x;
    node.arg[1] = tfr_gpt2_io_input(b, ids, ids_name, TFR_ROWS_TOKENS);
    node.arg[2] = tfr_gpt2_table(b, which);
    return tfr_gpt2_add_node(b, &node, NULL);
}

static int embed_tokens(struct tfr_gpt2_builder *b) {
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_EMBED, "embed");
    node.arg[0] = tfr_gpt2_io_input(b, TFR_IO_IDS, "ids", TFR_ROWS_TOKENS);
    node.arg[1] = tfr_gpt2_io_input(b, TFR_IO_POSITIONS, "positions", TFR_ROWS_TOKENS);
    node.arg[2] = tfr_gpt2_table(b, TFR_PARAM_WTE);
    node.arg[3] = tfr_gpt2_table(b, TFR_PARAM_WPE);
    return tfr_gpt2_add_node(b, &node, NULL);
}

static int embed(struct tfr_gpt2_builder *b) {
    const struct tfr_gpt2_features *features = &b->spec->features;
    int x = features->embeds ? lookup_add(b, "embed_positions", tfr_gpt2_rows_input(b, "inputs_embeds"), TFR_IO_POSITIONS,
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

static double attention_scale(const struct tfr_gpt2_builder *b) {
    double scale = 1;
    if (b->hparams->scale_attn_weights) {
        const int64_t width = b->hparams->n_embd / b->hparams->n_head; /* whole, as configs are checked */
        scale /= sqrt((double)width);
    }
    if (b->hparams->scale_attn_by_inverse_layer_idx) {
        scale /= (double)(b->block + 1);
    }
    return scale;
}

/* Heads of this rank. */
static int64_t n_heads(const struct tfr_gpt2_builder *b) {
    return b->hparams->n_head / tfr_gpt2_n_shards(b);
}

/* Attributes of an attention, self or cross. */
static void set_attention(const struct tfr_gpt2_builder *b, struct tfr_attrs *attrs, bool is_cross) {
    const struct tfr_gpt2_features *features = &b->spec->features;
    attrs->n_heads = (int32_t)n_heads(b);
    attrs->head_dim = (int32_t)(b->hparams->n_embd / b->hparams->n_head);
    attrs->layer = b->local_block;
    attrs->scale = (float)attention_scale(b);
    attrs->causal = !is_cross && b->hparams->is_causal;
    attrs->cross = is_cross;
    attrs->has_mask = is_cross ? features->cross_mask : features->mask;
    attrs->has_head_mask = features->head_mask;
    attrs->wants_weights = features->weights;
    attrs->attention = features->attention;
    attrs->x_dtype = b->spec->dtype != TFR_DTYPE_F32 && b->spec->kv_dtype == TFR_DTYPE_BF16 ? TFR_DTYPE_BF16 : TFR_DTYPE_F32;
}

/* The keys and values of this block, of the tokens or of the encoder. */
static int cache(struct tfr_gpt2_builder *b, bool is_cross) {
    struct tfr_value value = {.kind = TFR_VALUE_STATE, .dtype = b->spec->kv_dtype, .rank = 2};
    value.dim[0] = n_heads(b);
    value.dim[1] = b->hparams->n_embd / b->hparams->n_head;
    snprintf(value.name, sizeof(value.name), "h.%lld.%scache", (long long)b->block, is_cross ? "cross_" : "");
    return tfr_gpt2_add_value(b, &value);
}

static void kv_append(struct tfr_gpt2_builder *b, const char *name, int kv, int to, bool is_cross) {
    struct tfr_node append = tfr_gpt2_node(b, TFR_OP_KV_APPEND, name);
    append.arg[0] = kv;
    append.arg[1] = to;
    append.attrs.n_heads = (int32_t)n_heads(b);
    append.attrs.head_dim = (int32_t)(b->hparams->n_embd / b->hparams->n_head);
    append.attrs.layer = b->local_block;
    append.attrs.cross = is_cross;
    tfr_gpt2_add_node(b, &append, NULL);
}

/* New keys and values go to the cache first; the attention then reads all of them from there. */
static int self_attention(struct tfr_gpt2_builder *b, int qkv) {
    const int kept = cache(b, false);
    kv_append(b, "attn.kv_append", qkv, kept, false);
    struct tfr_node attention = tfr_gpt2_node(b, TFR_OP_ATTENTION, "attn");
    attention.arg[0] = qkv;
    attention.arg[1] = kept;
    set_attention(b, &attention.attrs, false);
    return tfr_gpt2_add_node(b, &attention, NULL);
}

/* Only with encoder states: their keys and values lie in the cross cache since TFR_PART_ENCODER ran. */
static int cross_attention(struct tfr_gpt2_builder *b, int x) {
    int a = tfr_gpt2_layer_norm(b, "ln_cross_attn", x, TFR_PARAM_LN_CROSS_WEIGHT, NULL);
    struct tfr_node attention = tfr_gpt2_node(b, TFR_OP_ATTENTION, "crossattention");
    attention.arg[0] = tfr_gpt2_linear(b, "crossattention.q_attn", a, TFR_PARAM_Q_ATTN_WEIGHT);
    attention.arg[1] = cache(b, true);
    set_attention(b, &attention.attrs, true);
    int o = tfr_gpt2_add_node(b, &attention, NULL);
    return tfr_gpt2_project(b, "crossattention", x, o, TFR_PARAM_CROSS_PROJ_WEIGHT);
}

static int block(struct tfr_gpt2_builder *b, int x) {
    int a = tfr_gpt2_layer_norm(b, "ln_1", x, TFR_PARAM_LN_1_WEIGHT, NULL);
    int qkv = tfr_gpt2_linear(b, "attn.c_attn", a, TFR_PARAM_C_ATTN_WEIGHT);
    int o = self_attention(b, qkv);
    x = tfr_gpt2_project(b, "attn", x, o, TFR_PARAM_ATTN_PROJ_WEIGHT);

    if (b->spec->features.cross) {
        x = cross_attention(b, x);
    }
    int m = tfr_gpt2_layer_norm(b, "ln_2", x, TFR_PARAM_LN_2_WEIGHT, NULL);
    m = tfr_gpt2_activation(b, "mlp.act", tfr_gpt2_linear(b, "mlp.c_fc", m, TFR_PARAM_C_FC_WEIGHT));
    return tfr_gpt2_project(b, "mlp", x, m, TFR_PARAM_MLP_PROJ_WEIGHT);
}

static const struct tfr_value logits_value = {.kind = TFR_VALUE_IO, .io = TFR_IO_LOGITS};

/* The heads that have no vocabulary: a few columns, always on rank 0. */
static void head(struct tfr_gpt2_builder *b, int x) {
    static const struct {
        const char *name;
        enum tfr_param weight, bias;
    } heads[] = {
        [TFR_HEAD_SEQUENCE] = {"score", TFR_PARAM_SCORE, TFR_PARAM_COUNT},
        [TFR_HEAD_TOKEN] = {"classifier", TFR_PARAM_CLASSIFIER_WEIGHT, TFR_PARAM_CLASSIFIER_BIAS},
        [TFR_HEAD_QA] = {"qa_outputs", TFR_PARAM_QA_WEIGHT, TFR_PARAM_QA_BIAS},
    };
    const int which = b->spec->features.head;
    tfr_gpt2_head_linear(b, heads[which].name, x, heads[which].weight, heads[which].bias, &logits_value);
}

/* Logits of this rank's rows of lm_head, or the best of them. */
static int head_share(struct tfr_gpt2_builder *b, int x, int64_t first, int64_t n, const struct tfr_value *given) {
    if (!b->spec->features.best) {
        return tfr_gpt2_head_share(b, x, first, n, given);
    }
    struct tfr_node node = tfr_gpt2_node(b, TFR_OP_BEST_ROWS, "best");
    node.arg[0] = tfr_gpt2_head_share(b, x, first, n, NULL);
    return tfr_gpt2_add_node(b, &node, given);
}

/* Each rank that has rows of lm_head gets the rows of ln_f, and rank 0 the logits: first the rows to all, so that no rank waits for
 * another's product. */
static void lm_head(struct tfr_gpt2_builder *b, int x, int last) {
    const struct tfr_gpt2_spec *spec = b->spec;
    const int64_t n_layer = b->hparams->n_layer;
    const int begin = tfr_gpt2_rank_at(b, 0, 0), end = begin + tfr_placement_n_shares(spec->placement);
    int64_t first, n;
    int here = x;
    for (int rank = begin; rank < end; rank++) {
        tfr_placement_vocabulary(spec->placement, rank, b->hparams->vocab_size, &first, &n);
        const int there = n > 0 ? tfr_gpt2_hop(b, x, last, rank, n_layer + 1, TFR_ROWS_LOGITS) : x;
        here = rank == spec->rank ? there : here;
    }
    for (int rank = begin; rank < end; rank++) {
        tfr_placement_vocabulary(spec->placement, rank, b->hparams->vocab_size, &first, &n);
        struct tfr_value logits = logits_value;
        logits.part_first = first;
        logits.rows = TFR_ROWS_LOGITS, logits.dtype = TFR_DTYPE_F32, logits.rank = 2;
        logits.dim[0] = spec->logits_max, logits.dim[1] = n;
        if (spec->features.best) {
            logits.part_first = (int64_t)(rank - begin) * TFR_BEST_WIDTH, logits.dim[1] = TFR_BEST_WIDTH;
        }
        int made = TFR_GPT2_NOTHING;
        if (n > 0 && rank == spec->rank) {
            made = head_share(b, here, first, n, rank == 0 ? &logits : NULL);
        }
        if (n > 0) {
            tfr_gpt2_pass(b, made, rank, 0, n_layer + 2, &logits);
        }
    }
}

/* The second head of GPT2DoubleHeadsModel, on rows that were pooled before. */
static void summary(struct tfr_gpt2_builder *b) {
    const bool is_activated = b->hparams->summary_activation != TFR_ACT_NONE;
    int x = tfr_gpt2_rows_input(b, "pooled");
    if (b->hparams->summary_use_proj) {
        x = tfr_gpt2_head_linear(b, "multiple_choice_head.summary", x, TFR_PARAM_SUMMARY_WEIGHT, TFR_PARAM_SUMMARY_BIAS,
                                 is_activated ? NULL : &logits_value);
    }
    if (is_activated) {
        struct tfr_node node = tfr_gpt2_node(b, TFR_OP_ACTIVATION, "multiple_choice_head.activation");
        node.arg[0] = x;
        node.attrs.activation = b->hparams->summary_activation;
        tfr_gpt2_add_node(b, &node, &logits_value);
    }
}

/* Keys and values of the encoder's states for every block of this rank. */
static void encoder(struct tfr_gpt2_builder *b) {
    int states = tfr_gpt2_rows_input(b, "encoder_hidden_states");
    for (int64_t i = 0; i < b->hparams->n_layer; i++) {
        if (!tfr_gpt2_has_block(b, i)) {
            continue;
        }
        b->block = i;
        kv_append(b, "crossattention.kv_append", tfr_gpt2_linear(b, "crossattention.c_attn", states, TFR_PARAM_CROSS_ATTN_WEIGHT),
                  cache(b, true), true);
        b->block = -1;
        b->local_block++;
    }
}

/* Of the rows whose logits are wanted, or of all where the caller wants to see them: a row's bits are the same. */
static int final_norm(struct tfr_gpt2_builder *b, int x) {
    const struct tfr_gpt2_features *features = &b->spec->features;
    if (!features->hidden_states && !features->last_hidden && features->head != TFR_HEAD_NONE) {
        return tfr_gpt2_layer_norm(b, "ln_f", tfr_gpt2_gather_rows(b, x), TFR_PARAM_LN_F_WEIGHT, NULL);
    }
    const struct tfr_value all = {.kind = TFR_VALUE_IO, .io = TFR_IO_HIDDEN, .io_index = (int)b->hparams->n_layer};
    x = tfr_gpt2_layer_norm(b, "ln_f", x, TFR_PARAM_LN_F_WEIGHT, &all);
    return features->head != TFR_HEAD_NONE ? tfr_gpt2_gather_rows(b, x) : x;
}

static void model(struct tfr_gpt2_builder *b) {
    const struct tfr_gpt2_spec *spec = b->spec;
    const int64_t n_layer = b->hparams->n_layer;
    const int first = tfr_gpt2_rank_at(b, 0, 0), last = tfr_gpt2_rank_at(b, spec->placement->last_stage, 0);
    int at = -1; /* stage that holds the hidden states; -1: the first rank alone, which embeds */
    int x = spec->rank == first ? embed(b) : TFR_GPT2_NOTHING;
    for (int64_t i = 0; i < n_layer; i++) {
        const int stage = tfr_placement_stage_of_block(spec->placement, i);
        x = stage != at ? tfr_gpt2_enter(b, x, at, stage, i) : x;
        at = stage;
        if (tfr_gpt2_has_block(b, i)) {
            b->block = i;
            x = block(b, x);
            b->block = -1;
            b->local_block++;
            if (spec->features.hidden_states && i + 1 < n_layer && tfr_gpt2_shard(b) == 0) {
                show(b, x, i + 1);
            }
        }
    }
    x = tfr_gpt2_hop(b, x, at >= 0 ? tfr_gpt2_rank_at(b, at, 0) : first, last, n_layer, TFR_ROWS_TOKENS);
    if (spec->rank == last) {
        x = final_norm(b, x);
    }
    if (tfr_head_has_vocabulary((int)spec->features.head)) {
        lm_head(b, x, last);
    } else if (spec->features.head != TFR_HEAD_NONE) {
        x = tfr_gpt2_hop(b, x, last, 0, n_layer + 1, TFR_ROWS_LOGITS);
        if (spec->rank == 0) {
            head(b, x);
        }
    }
}

static enum tfr_status check_spec(const struct tfr_gpt2_spec *spec) {
    if (spec->rows_max < 1 || spec->logits_max < 1) {
        return tfr_raise(TFR_USAGE, "a step needs room for rows: rows_max = %lld, logits_max = %lld", (long long)spec->rows_max,
                         (long long)spec->logits_max);
    }
    const int n_shards = spec->placement->tensor;
    if (spec->features.replica < 0 || spec->features.replica >= spec->placement->replicas) {
        return tfr_raise(TFR_USAGE, "a step for replica %d of %d", spec->features.replica, spec->placement->replicas);
    }
    if (n_shards > 1 && spec->features.weights) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "weights of attention (output_attentions) are not collected from the shards of parallel.tensor "
                         "= %d; run without --tensor",
                         n_shards);
    }
    if (n_shards > 1 && !tfr_gpt2_shards_have_tags(spec->hparams->n_layer)) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "a model of %lld blocks has more messages between the shards of parallel.tensor = %d than "
                         "there are tags; run without --tensor",
                         (long long)spec->hparams->n_layer, n_shards);
    }
    return tfr_placement_check(spec->placement, spec->hparams->n_layer);
}

enum tfr_status tfr_gpt2_build(struct tfr_graph **graph, const struct tfr_gpt2_spec *spec) {
    *graph = NULL;
    TFR_TRY(check_spec(spec));
    struct tfr_gpt2_builder b = {.spec = spec, .hparams = spec->hparams, .block = -1};
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

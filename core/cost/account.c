/* account.c - walks the graphs of a question and makes the items: see account.h.
 */
#include "cost/account.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"

/* The graph that is walked, and what its nodes are to be taken for. */
struct walk {
    struct tfr_account *account;
    const struct tfr_graph *graph;
    enum tfr_account_side side;
    enum tfr_gpt2_part part;
    int rank;
};

static bool is_message(enum tfr_op op) {
    return op == TFR_OP_SEND_HIDDEN || op == TFR_OP_RECV_HIDDEN;
}

/* "h.3.attn.c_attn" -> "attn.c_attn". */
static const char *below_block(const struct tfr_node *node) {
    const char *name = node->name;
    if (node->layer >= 0) {
        name = strchr(name + 2, '.');
        return name != NULL ? name + 1 : node->name;
    }
    return name;
}

/* Messages are named for what they are, not for where they go. */
static void name_node(const struct walk *walk, const struct tfr_node *node, char *text, size_t size) {
    if (tfr_is_logits_message(walk->graph, node, walk->account->question.hparams)) {
        snprintf(text, size, "%s_logits", tfr_op_info(node->op)->name);
    } else if (is_message(node->op)) {
        snprintf(text, size, "%s%s", tfr_op_info(node->op)->name, node->rows == TFR_ROWS_LOGITS ? "_back" : "");
    } else {
        snprintf(text, size, "%s", below_block(node));
    }
}

/* What tells a share of lm_head, and the message of its logits, from those of other ranks; 0 for all else. */
static int64_t share_columns(const struct walk *walk, const struct tfr_node *node) {
    const struct tfr_value *values = walk->graph->values;
    if (tfr_is_logits_message(walk->graph, node, walk->account->question.hparams)) {
        return values[node->arg[0]].dim[1];
    }
    return node->op == TFR_OP_LINEAR && values[node->arg[1]].part_of > 0 ? values[node->arg[1]].dim[0] : 0;
}

/* The module that a node belongs to: an addition is its block's, an append its attention's. */
static void name_module(struct tfr_account_kind *kind, const struct tfr_node *node) {
    static const char *const heads[] = {"lm_head",    "score", "classifier", "qa_outputs", "multiple_choice_head.summary",
                                        "gather_rows"};
    snprintf(kind->module, sizeof kind->module, "%s", kind->name);
    kind->in_block = node->layer >= 0;
    kind->in_transformer = true;
    for (size_t i = 0; i < TFR_COUNT_OF(heads); i++) {
        kind->in_transformer &= strcmp(kind->name, heads[i]) != 0;
    }
    if (node->op == TFR_OP_KV_APPEND) {
        *strchr(kind->module, '.') = '\0';
    } else if (node->op == TFR_OP_ADD || node->op == TFR_OP_EMBED || node->op == TFR_OP_LOOKUP_ADD || node->op == TFR_OP_COPY ||
               node->op == TFR_OP_GATHER_ROWS || is_message(node->op)) {
        kind->module[0] = '\0';
    }
}

static void *grow(void *list, int n, int *capacity, size_t size) {
    if (n < *capacity) {
        return list;
    }
    const int wanted = *capacity > 0 ? 2 * *capacity : 32;
    void *grown = tfr_realloc(list, (size_t)wanted, size);
    *capacity = grown != NULL ? wanted : *capacity;
    return grown;
}

static enum tfr_status add_item(struct tfr_account *account, int kind, int64_t layer, int rank) {
    struct tfr_account_item *items = grow(account->items, account->n_items, &account->item_capacity, sizeof *items);
    if (items == NULL) {
        return TFR_RESOURCE;
    }
    account->items = items;
    items[account->n_items++] = (struct tfr_account_item){.kind = kind, .layer = layer, .rank = rank};
    return TFR_OK;
}

/* A kind made before for another block or rank; -1. */
static int find_kind(const struct tfr_account *account, const struct tfr_account_kind *like) {
    for (int i = 0; i < account->n_kinds; i++) {
        const struct tfr_account_kind *kind = &account->kinds[i];
        if (kind->side == like->side && kind->part == like->part && kind->reference == like->reference &&
            kind->in_block == like->in_block && kind->columns == like->columns && kind->weight == like->weight &&
            strcmp(kind->name, like->name) == 0 && strcmp(kind->module, like->module) == 0) {
            return i;
        }
    }
    return -1;
}

static enum tfr_status add_kind(struct tfr_account *account, const struct tfr_account_kind *kind) {
    struct tfr_account_kind *kinds = grow(account->kinds, account->n_kinds, &account->kind_capacity, sizeof *kinds);
    if (kinds == NULL) {
        return TFR_RESOURCE;
    }
    account->kinds = kinds;
    kinds[account->n_kinds] = *kind;
    return tfr_account_count(account, &kinds[account->n_kinds++]);
}

enum tfr_dtype tfr_account_reference_dtype(const struct tfr_account_question *question) {
    return question->dtype == TFR_DTYPE_BF16 ? TFR_DTYPE_BF16 : TFR_DTYPE_F32;
}

static enum tfr_status add_node_part(const struct walk *walk, const struct tfr_node *node, const struct tfr_reference_part *part) {
    struct tfr_account *account = walk->account;
    const struct tfr_account_question *question = &account->question;
    struct tfr_account_kind kind = {
        .side = walk->side, .part = walk->part, .op = node->op, .reference = part != NULL ? (int)part->op : -1};
    name_node(walk, node, kind.name, sizeof kind.name);
    name_module(&kind, node);
    kind.columns = share_columns(walk, node);
    if (part == NULL && node->op == TFR_OP_LINEAR) {
        kind.weight = walk->graph->values[node->arg[1]].dtype;
    }
    if (part != NULL && part->module != NULL) {
        snprintf(kind.module, sizeof kind.module, "%s", part->module);
    }
    int at = find_kind(account, &kind);
    if (at < 0) {
        const int64_t element = (int64_t)tfr_dtype_size(tfr_account_reference_dtype(question));
        const bool in_f32 = part != NULL && question->hparams->reorder_and_upcast_attn && tfr_reference_is_upcast(part->op);
        const struct tfr_formula_types types = {.activation = in_f32 ? 4 : element, .weight = element};
        TFR_TRY(part != NULL ? tfr_formula_reference(&kind.formula, walk->graph, node, question->hparams, part, &types)
                             : tfr_formula_executed(&kind.formula, walk->graph, node, question->hparams));
        at = account->n_kinds;
        TFR_TRY(add_kind(account, &kind));
    }
    return add_item(account, at, node->layer, walk->rank);
}

struct tfr_reference_case tfr_account_case(const struct tfr_account_question *question) {
    struct tfr_reference_case of = {.has_past = question->has_past};
    for (size_t i = 0; i < question->n_sequences; i++) {
        of.has_past |= question->sequences[i].past > 0;
        of.heads_part |= question->sequences[i].rows > 1 && question->hparams->n_head > 1;
    }
    return of;
}

static enum tfr_status add_node(const struct walk *walk, const struct tfr_node *node) {
    if (walk->side == TFR_EXECUTED) {
        return add_node_part(walk, node, NULL);
    }
    struct tfr_reference_part parts[TFR_MAX_REFERENCE_PARTS];
    const struct tfr_account_question *question = &walk->account->question;
    const struct tfr_reference_case of = tfr_account_case(question);
    const int n = tfr_reference_parts(node, question->hparams, &of, parts);
    for (int i = 0; i < n; i++) {
        TFR_TRY(add_node_part(walk, node, &parts[i]));
    }
    return TFR_OK;
}

static int64_t clamp(tfr_int128 value, int64_t most) {
    return value < 1 ? 1 : value > most ? most : (int64_t)value;
}

static enum tfr_status build(const struct walk *walk, struct tfr_graph **graph) {
    const struct tfr_account_question *question = &walk->account->question;
    const bool is_split = walk->side == TFR_EXECUTED && question->placement != NULL;
    const struct tfr_gpt2_spec spec = {
        .hparams = question->hparams,
        .tables = &question->tables,
        .placement = is_split ? question->placement : &tfr_placement_alone,
        .rank = walk->rank,
        .rows_max = clamp(walk->account->step[TFR_DIM_T], question->max_rows),
        .logits_max = clamp(walk->account->step[TFR_DIM_R], question->max_rows),
        .dtype = question->dtype,
        .finer = question->finer,
        .kv_dtype = question->kv_dtype,
        .features = {.part = (int32_t)walk->part, .head = question->hparams->head, .cross = question->encoder_len > 0},
    };
    enum tfr_status status = tfr_gpt2_build(graph, &spec);
    if (status == TFR_OK && walk->side == TFR_EXECUTED) {
        status = tfr_fuse(*graph);
    }
    return status;
}

static enum tfr_status walk_graph(struct tfr_account *account, enum tfr_account_side side, enum tfr_gpt2_part part, int rank) {
    struct walk walk = {.account = account, .side = side, .part = part, .rank = rank};
    struct tfr_graph *graph = NULL;
    enum tfr_status status = build(&walk, &graph);
    walk.graph = graph;
    for (int i = 0; status == TFR_OK && i < graph->n_nodes; i++) {
        status = add_node(&walk, &graph->nodes[i]);
    }
    tfr_graph_free(graph);
    return status;
}

/* summary_type mean: no node of the graph; what calls the step computes it from the last hidden states. */
static enum tfr_status add_mean(struct tfr_account *account, enum tfr_account_side side, int rank) {
    const bool is_f32 = side == TFR_EXECUTED || tfr_account_reference_dtype(&account->question) == TFR_DTYPE_F32;
    struct tfr_account_kind kind = {
        .side = side, .part = TFR_PART_SUMMARY, .op = TFR_OP_COUNT, .reference = TFR_REFERENCE_MEAN, .name = "mean"};
    snprintf(kind.module, sizeof kind.module, "multiple_choice_head");
    TFR_TRY(tfr_formula_mean(&kind.formula, is_f32 ? 4 : 2));
    TFR_TRY(add_kind(account, &kind));
    return add_item(account, account->n_kinds - 1, -1, rank);
}

static enum tfr_status walk_summary(struct tfr_account *account, enum tfr_account_side side, int rank) {
    if (account->question.hparams->summary_type == TFR_SUMMARY_MEAN) {
        TFR_TRY(add_mean(account, side, rank));
    }
    return walk_graph(account, side, TFR_PART_SUMMARY, rank);
}

static enum tfr_status walk_side(struct tfr_account *account, enum tfr_account_side side, int rank) {
    const struct tfr_account_question *question = &account->question;
    if (question->encoder_len > 0 && (side == TFR_REFERENCE || question->runs_encoder)) {
        TFR_TRY(walk_graph(account, side, TFR_PART_ENCODER, rank));
    }
    TFR_TRY(walk_graph(account, side, TFR_PART_MODEL, rank));
    if (question->hparams->head == TFR_HEAD_DOUBLE && question->logits[side] != TFR_LOGITS_NONE && rank == 0) {
        TFR_TRY(walk_summary(account, side, rank));
    }
    return TFR_OK;
}

static enum tfr_status fill(struct tfr_account *account) {
    const struct tfr_account_question *question = &account->question;
    const struct tfr_batch_question batch = {.sequences = question->sequences,
                                             .n = question->n_sequences,
                                             .logits = question->logits[TFR_EXECUTED],
                                             .is_causal = question->hparams->is_causal,
                                             .max_rows = question->max_rows};
    tfr_bind_model(question->hparams, question->encoder_len, account->step);
    TFR_TRY(tfr_batch_in_steps(&batch, account->step));
    TFR_TRY(walk_side(account, TFR_REFERENCE, 0));
    for (int rank = 0; rank < tfr_account_n_ranks(question); rank++) {
        TFR_TRY(walk_side(account, TFR_EXECUTED, rank));
    }
    return TFR_OK;
}

int tfr_account_n_ranks(const struct tfr_account_question *question) {
    return question->placement != NULL ? question->placement->n_ranks : 1;
}

enum tfr_status tfr_account_open(struct tfr_account **account, const struct tfr_account_question *question) {
    struct tfr_account *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->question = *question;
    const enum tfr_status status = fill(made);
    if (status != TFR_OK) {
        tfr_account_close(made);
        made = NULL;
    }
    *account = made;
    return status;
}

void tfr_account_close(struct tfr_account *account) {
    if (account != NULL) {
        tfr_free(account->kinds);
        tfr_free(account->items);
        tfr_free(account);
    }
}

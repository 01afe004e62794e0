/* test_graph.c - what each rank builds: the model's nodes once over all ranks, and hops that meet their
 * counterparts. */
#include "graph/graph.h"

#include <math.h>
#include <stdio.h>

#include "tfr_test.h"

#include "base/arena.h"
#include "base/status.h"
#include "graph/edges.h"
#include "graph/op.h"
#include "tfr_gpt2.h"

#define MAX_RANKS 8

static struct tfr_graph *build_rank(const struct tfr_hparams *hparams, const struct tfr_placement *placement, int rank) {
    struct tfr_graph *graph;
    const struct tfr_gpt2_spec spec = {
        .hparams = hparams, .placement = placement, .rank = rank, .rows_max = 5, .logits_max = 3, .dtype = TFR_DTYPE_F32};
    assert_ok(tfr_gpt2_build(&graph, &spec));
    assert_ok(tfr_graph_check(graph));
    return graph;
}

static int count_op(const struct tfr_graph *graph, enum tfr_op op) {
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        n += graph->nodes[i].op == op;
    }
    return n;
}

static const struct tfr_node *find_node(const struct tfr_graph *graph, const char *name) {
    for (int i = 0; i < graph->n_nodes; i++) {
        if (strcmp(graph->nodes[i].name, name) == 0) {
            return &graph->nodes[i];
        }
    }
    return NULL;
}

/* The counterpart of a send or receive on its peer's graph. */
static bool has_counterpart(const struct tfr_graph *peer, const struct tfr_node *node, int rank) {
    enum tfr_op wanted = node->op == TFR_OP_SEND_HIDDEN ? TFR_OP_RECV_HIDDEN : TFR_OP_SEND_HIDDEN;
    int n = 0;
    for (int i = 0; i < peer->n_nodes; i++) {
        const struct tfr_node *other = &peer->nodes[i];
        n += other->op == wanted && other->attrs.peer == rank && other->attrs.tag == node->attrs.tag && other->rows == node->rows;
    }
    return n == 1;
}

static void check_map(int *owner, int64_t n_layer, int n_ranks, int ln_f, int expected_hops) {
    const struct tfr_hparams hparams = gpt2_tiny(n_layer);
    const struct tfr_placement placement = gpt2_chain(owner, n_layer, n_ranks, ln_f);
    struct tfr_graph *graph[MAX_RANKS];
    int n_sends = 0, n_recvs = 0, n_attention = 0, n_embed = 0, n_gather = 0;
    for (int r = 0; r < n_ranks; r++) {
        graph[r] = build_rank(&hparams, &placement, r);
        n_sends += count_op(graph[r], TFR_OP_SEND_HIDDEN);
        n_recvs += count_op(graph[r], TFR_OP_RECV_HIDDEN);
        n_attention += count_op(graph[r], TFR_OP_ATTENTION);
        n_embed += count_op(graph[r], TFR_OP_EMBED);
        n_gather += count_op(graph[r], TFR_OP_GATHER_ROWS);
    }
    assert_int_equal(n_sends, expected_hops);
    assert_int_equal(n_recvs, expected_hops);
    assert_int_equal(n_attention, n_layer);
    assert_int_equal(n_embed, 1);
    assert_int_equal(n_gather, 1);
    for (int r = 0; r < n_ranks; r++) {
        for (int i = 0; i < graph[r]->n_nodes; i++) {
            const struct tfr_node *node = &graph[r]->nodes[i];
            if (node->op == TFR_OP_SEND_HIDDEN || node->op == TFR_OP_RECV_HIDDEN) {
                assert_true(has_counterpart(graph[node->attrs.peer], node, r));
            }
        }
    }
    for (int r = 0; r < n_ranks; r++) {
        tfr_graph_free(graph[r]);
    }
}

TFR_TEST(one_rank_has_no_hops) {
    TFR_UNUSED_STATE;
    check_map((int[]){0, 0, 0, 0, 0}, 5, 1, 0, 0);
}

TFR_TEST(two_ranks_hop_there_and_back) {
    TFR_UNUSED_STATE;
    check_map((int[]){0, 0, 0, 1, 1}, 5, 2, 1, 2);
}

TFR_TEST(four_ranks_in_a_chain) {
    TFR_UNUSED_STATE;
    check_map((int[]){0, 0, 1, 2, 3}, 5, 4, 3, 4);
}

TFR_TEST(more_ranks_than_blocks) {
    TFR_UNUSED_STATE;
    check_map((int[]){0, 1, 2, 3, 4}, 5, 7, 4, 5);
}

TFR_TEST(interleaved_owners) {
    TFR_UNUSED_STATE;
    check_map((int[]){1, 0, 1, 0, 2, 1}, 6, 3, 2, 8); /* 0>1 1>0 0>1 1>0 0>2 2>1, to ln_f 1>2, back 2>0 */
}

TFR_TEST(first_rank_without_blocks) {
    TFR_UNUSED_STATE;
    check_map((int[]){1, 1, 2}, 3, 3, 2, 3);
}

TFR_TEST(ln_f_away_from_the_last_block) {
    TFR_UNUSED_STATE;
    check_map((int[]){0, 1, 0}, 3, 3, 2, 4);
}

TFR_TEST(rank_that_owns_nothing_has_an_empty_graph) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(2);
    const struct tfr_placement placement = gpt2_chain((int[]){0, 1}, 2, 3, 1);
    struct tfr_graph *graph = build_rank(&hparams, &placement, 2);
    assert_int_equal(graph->n_nodes, 0);
    assert_int_equal(graph->n_values, 0);
    tfr_graph_free(graph);
}

TFR_TEST(nodes_are_named_and_numbered_as_in_the_model) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(4);
    const struct tfr_placement placement = gpt2_chain((int[]){1, 0, 1, 0}, 4, 2, 0);
    struct tfr_graph *graph = build_rank(&hparams, &placement, 1);
    const struct tfr_node *node = find_node(graph, "h.2.attn");
    assert_non_null(node);
    assert_int_equal(node->layer, 2);
    assert_int_equal(node->attrs.layer, 1); /* the second block of this rank */
    struct tfr_edges edges;
    assert_ok(tfr_state_edges_open(&edges, graph));
    assert_int_equal(tfr_edges_n(&edges, (int)(node - graph->nodes)), 1);
    assert_int_equal(graph->nodes[*tfr_edges_of(&edges, (int)(node - graph->nodes))].op, TFR_OP_KV_APPEND);
    tfr_edges_close(&edges);
    assert_null(find_node(graph, "h.1.attn.c_attn"));
    tfr_graph_free(graph);
}

TFR_TEST(weights_carry_their_names_and_types) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(1);
    struct tfr_graph *graph;
    assert_ok(gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_BF16));
    const struct tfr_node *node = find_node(graph, "h.0.attn.c_attn");
    assert_string_equal(graph->values[node->arg[1]].name, "transformer.h.0.attn.c_attn.weight");
    assert_int_equal(graph->values[node->arg[1]].dtype, TFR_DTYPE_BF16);
    assert_int_equal(graph->values[node->arg[2]].dtype, TFR_DTYPE_F32);
    node = find_node(graph, "lm_head");
    assert_int_equal(node->attrs.transposed, 1);
    assert_int_equal(node->arg[2], -1);
    assert_int_equal(graph->values[node->arg[4]].kind, TFR_VALUE_IO);
    assert_int_equal(graph->values[node->arg[4]].io, TFR_IO_LOGITS);
    assert_int_equal(graph->values[node->arg[4]].dim[1], 101);
    tfr_graph_free(graph);
}

static double scale_of(struct tfr_hparams hparams, const char *name) {
    struct tfr_graph *graph;
    assert_ok(gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_F32));
    double scale = find_node(graph, name)->attrs.scale;
    tfr_graph_free(graph);
    return scale;
}

TFR_TEST(attention_scale_obeys_both_flags) {
    TFR_UNUSED_STATE;
    struct tfr_hparams hparams = gpt2_tiny(3);
    assert_true(fabs(scale_of(hparams, "h.2.attn") - 1 / sqrt(8)) < 1e-7);
    hparams.scale_attn_by_inverse_layer_idx = true;
    assert_true(fabs(scale_of(hparams, "h.2.attn") - 1 / sqrt(8) / 3) < 1e-7);
    hparams.scale_attn_weights = false;
    assert_true(fabs(scale_of(hparams, "h.2.attn") - 1.0 / 3) < 1e-7);
}

/* The logits that a graph gives to the caller, and the messages that carry logits: columns of each in the order of nodes. */
static void check_head(enum tfr_head_place head, int rank, const char *expected) {
    struct tfr_hparams hparams = gpt2_tiny(3);
    hparams.vocab_size = 200; /* panels 0..63, 64..127, 128..191, 192..199 */
    struct tfr_placement placement = gpt2_chain((int[]){0, 1, 2}, 3, 3, 2);
    placement.head = head;
    struct tfr_graph *graph = build_rank(&hparams, &placement, rank);
    char text[200] = "";
    size_t used = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct tfr_node *node = &graph->nodes[i];
        const struct tfr_value *value = node->n_args > 0 ? &graph->values[node->arg[node->n_args - 1]] : NULL;
        const bool is_send = node->op == TFR_OP_SEND_HIDDEN, is_recv = node->op == TFR_OP_RECV_HIDDEN;
        if (node->layer < 0 && node->rows == TFR_ROWS_LOGITS && (is_send || is_recv || node->op == TFR_OP_LINEAR)) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s%d:%d+%d%s", used > 0 ? " " : "",
                                     is_send   ? ">"
                                     : is_recv ? "<"
                                               : "=",
                                     is_send || is_recv ? node->attrs.peer : rank, (int)value->part_first, (int)value->dim[1],
                                     value->kind == TFR_VALUE_IO ? "!" : "");
        }
    }
    assert_string_equal(text, expected);
    tfr_graph_free(graph);
}

TFR_TEST(head_stands_where_it_is_placed) {
    TFR_UNUSED_STATE;
    check_head(TFR_PLACE_FIRST, 0, "<2:0+24 =0:0+200!");
    check_head(TFR_PLACE_FIRST, 1, "");
    check_head(TFR_PLACE_FIRST, 2, ">0:0+24");
    check_head(TFR_PLACE_LAST, 0, "<2:0+200!");
    check_head(TFR_PLACE_LAST, 1, "");
    check_head(TFR_PLACE_LAST, 2, "=2:0+200 >0:0+200");
    check_head(TFR_PLACE_SPLIT, 0, "<2:0+24 =0:0+64! <1:64+64! <2:128+72!");
    check_head(TFR_PLACE_SPLIT, 1, "<2:0+24 =1:0+64 >0:0+64");
    check_head(TFR_PLACE_SPLIT, 2, ">0:0+24 >1:0+24 =2:0+72 >0:0+72");
}

TFR_TEST(wrong_owner_is_refused) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(2);
    struct tfr_graph *graph;
    struct tfr_placement placement = gpt2_chain((int[]){0, 2}, 2, 2, 1);
    struct tfr_gpt2_spec spec = {.hparams = &hparams, .placement = &placement, .rows_max = 1, .logits_max = 1};
    assert_refused(tfr_gpt2_build(&graph, &spec), TFR_USAGE, "block 1 is given to stage 2 of 2");
    placement = gpt2_chain((int[]){0, 1}, 2, 2, 2);
    assert_refused(tfr_gpt2_build(&graph, &spec), TFR_USAGE, "ln_f is given to stage 2 of 2");
    placement = gpt2_chain((int[]){0, 1}, 2, 2, 1);
    placement.replicas = 2;
    assert_refused(tfr_gpt2_build(&graph, &spec), TFR_USAGE, "2 replicas of 2 stages of 1 ranks are not 2 ranks");
    spec.rows_max = 0;
    assert_refused(tfr_gpt2_build(&graph, &spec), TFR_USAGE, "rows_max = 0");
    assert_null(graph);
}

TFR_TEST(check_finds_a_broken_graph) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(1);
    struct tfr_graph *graph;
    assert_ok(gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_F32));
    struct tfr_node *norm = &graph->nodes[1];
    int x = norm->arg[0];
    norm->arg[0] = norm->arg[3];
    assert_refused(tfr_graph_check(graph), TFR_MODEL, "used before it is made");
    norm->arg[0] = -1;
    assert_refused(tfr_graph_check(graph), TFR_MODEL, "lacks its argument x");
    norm->arg[0] = x;
    graph->values[norm->arg[3]].dim[1]++;
    assert_refused(tfr_graph_check(graph), TFR_MODEL, "its inputs give");
    graph->values[norm->arg[3]].dim[1]--;
    graph->values[norm->arg[3]].producer = 0;
    assert_refused(tfr_graph_check(graph), TFR_MODEL, "producer");
    tfr_graph_free(graph);
}

TFR_TEST(wrong_shapes_are_refused_by_name) {
    TFR_UNUSED_STATE;
    struct tfr_graph *graph;
    assert_ok(tfr_graph_create(&graph, 4, 1));
    struct tfr_value x = {.kind = TFR_VALUE_IO, .rows = TFR_ROWS_TOKENS, .rank = 2, .dim = {4, 8}};
    struct tfr_value weight = {.kind = TFR_VALUE_WEIGHT, .dtype = TFR_DTYPE_BF16, .rank = 2, .dim = {7, 16}};
    struct tfr_node node = {.name = "h.0.mlp.c_fc", .op = TFR_OP_LINEAR, .arg = {0, 0, -1, -1, -1, -1}};
    int output;
    assert_ok(tfr_graph_add_value(graph, &x, &node.arg[0]));
    assert_ok(tfr_graph_add_value(graph, &weight, &node.arg[1]));
    assert_refused(tfr_graph_add_node(graph, &node, NULL, &output), TFR_MODEL, "node h.0.mlp.c_fc: weight is bf16 [7, 16]");
    tfr_graph_free(graph);
}

TFR_TEST(failed_allocation_frees_the_graph) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(12);
    for (uint64_t n = 1; n < 8; n++) {
        struct tfr_graph *graph = NULL;
        tfr_alloc_fail_after(n);
        enum tfr_status status = gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_F32);
        tfr_alloc_fail_after(0);
        assert_true(status == TFR_RESOURCE ? graph == NULL : status == TFR_OK);
        tfr_graph_free(graph);
    }
}

TFR_TEST_MAIN(TFR_CASE(one_rank_has_no_hops), TFR_CASE(two_ranks_hop_there_and_back), TFR_CASE(four_ranks_in_a_chain),
              TFR_CASE(more_ranks_than_blocks), TFR_CASE(interleaved_owners), TFR_CASE(first_rank_without_blocks),
              TFR_CASE(ln_f_away_from_the_last_block), TFR_CASE(rank_that_owns_nothing_has_an_empty_graph),
              TFR_CASE(nodes_are_named_and_numbered_as_in_the_model), TFR_CASE(weights_carry_their_names_and_types),
              TFR_CASE(attention_scale_obeys_both_flags), TFR_CASE(head_stands_where_it_is_placed),
              TFR_CASE(wrong_owner_is_refused), TFR_CASE(check_finds_a_broken_graph), TFR_CASE(wrong_shapes_are_refused_by_name),
              TFR_CASE(failed_allocation_frees_the_graph))

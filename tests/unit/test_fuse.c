/* test_fuse.c - what moves into a linear, and what must not. */
#include "graph/graph.h"

#include "tfr_test.h"

#include "base/arena.h"
#include "base/status.h"
#include "graph/edges.h"
#include "graph/op.h"
#include "graph/pattern.h"
#include "tfr_gpt2.h"

static int add_value(struct tfr_graph *graph, enum tfr_value_kind kind, enum tfr_rows_var rows, int64_t a, int64_t b) {
    struct tfr_value value = {.kind = kind, .rows = rows, .rank = 2, .dim = {a, b}};
    int id;
    assert_ok(tfr_graph_add_value(graph, &value, &id));
    return id;
}

static int add_op(struct tfr_graph *graph, enum tfr_op op, const char *name, int a, int b) {
    struct tfr_node node = {.op = op, .arg = {a, b, -1, -1, -1, -1}, .layer = -1};
    strcpy(node.name, name);
    node.attrs.activation = op == TFR_OP_ACTIVATION ? TFR_ACT_RELU : TFR_ACT_NONE;
    int output;
    assert_ok(tfr_graph_add_node(graph, &node, NULL, &output));
    return output;
}

/* x [4, 8] and a square weight. */
static struct tfr_graph *start(int *x, int *weight) {
    struct tfr_graph *graph;
    assert_ok(tfr_graph_create(&graph, 4, 1));
    *x = add_value(graph, TFR_VALUE_IO, TFR_ROWS_TOKENS, 4, 8);
    *weight = add_value(graph, TFR_VALUE_WEIGHT, TFR_ROWS_NONE, 8, 8);
    return graph;
}

static int count_op(const struct tfr_graph *graph, enum tfr_op op) {
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        n += graph->nodes[i].op == op;
    }
    return n;
}

TFR_TEST(a_block_becomes_eight_nodes) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(2);
    struct tfr_graph *graph;
    assert_ok(gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_F32));
    assert_ok(tfr_fuse(graph));
    assert_int_equal(count_op(graph, TFR_OP_ADD), 0);
    assert_int_equal(count_op(graph, TFR_OP_ACTIVATION), 0);
    assert_int_equal(count_op(graph, TFR_OP_LINEAR), 2 * 4 + 1);
    assert_int_equal(graph->n_nodes, 1 + 2 * 8 + 3);
    struct tfr_edges states;
    assert_ok(tfr_state_edges_open(&states, graph));
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct tfr_node *node = &graph->nodes[i];
        assert_int_equal(tfr_edges_n(&states, i), node->op == TFR_OP_ATTENTION);
        if (node->op == TFR_OP_ATTENTION) {
            const int from = *tfr_edges_of(&states, i);
            assert_int_equal(graph->nodes[from].op, TFR_OP_KV_APPEND);
            assert_int_equal(graph->nodes[from].layer, node->layer);
        }
        if (strcmp(node->name, "h.1.mlp.c_fc") == 0) {
            assert_int_equal(node->attrs.activation, TFR_ACT_RELU);
        }
        if (strcmp(node->name, "h.1.mlp.c_proj") == 0) {
            assert_string_equal(graph->values[node->arg[3]].name, "h.1.attn.add");
        }
    }
    tfr_edges_close(&states);
    tfr_graph_free(graph);
}

TFR_TEST(fusing_twice_changes_nothing) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(2);
    struct tfr_graph *graph;
    assert_ok(gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_F32));
    assert_ok(tfr_fuse(graph));
    int n_nodes = graph->n_nodes, n_values = graph->n_values;
    assert_ok(tfr_fuse(graph));
    assert_int_equal(graph->n_nodes, n_nodes);
    assert_int_equal(graph->n_values, n_values);
    tfr_graph_free(graph);
}

TFR_TEST(linear_with_two_readers_stays) {
    TFR_UNUSED_STATE;
    int x, weight;
    struct tfr_graph *graph = start(&x, &weight);
    int y = add_op(graph, TFR_OP_LINEAR, "linear", x, weight);
    add_op(graph, TFR_OP_ACTIVATION, "act", y, -1);
    add_op(graph, TFR_OP_ADD, "add", x, y);
    assert_ok(tfr_fuse(graph));
    assert_int_equal(graph->n_nodes, 3);
    tfr_graph_free(graph);
}

TFR_TEST(linear_added_to_itself_stays) {
    TFR_UNUSED_STATE;
    int x, weight;
    struct tfr_graph *graph = start(&x, &weight);
    int y = add_op(graph, TFR_OP_LINEAR, "linear", x, weight);
    add_op(graph, TFR_OP_ADD, "add", y, y);
    assert_ok(tfr_fuse(graph));
    assert_int_equal(graph->n_nodes, 2);
    tfr_graph_free(graph);
}

TFR_TEST(activation_after_a_residual_stays) {
    TFR_UNUSED_STATE;
    int x, weight;
    struct tfr_graph *graph = start(&x, &weight);
    int y = add_op(graph, TFR_OP_LINEAR, "linear", x, weight);
    int sum = add_op(graph, TFR_OP_ADD, "add", y, x); /* the linear may be either operand */
    add_op(graph, TFR_OP_ACTIVATION, "act", sum, -1);
    assert_ok(tfr_fuse(graph));
    assert_int_equal(graph->n_nodes, 2);
    assert_int_equal(graph->nodes[0].arg[3], x);
    assert_int_equal(graph->nodes[1].op, TFR_OP_ACTIVATION);
    tfr_graph_free(graph);
}

TFR_TEST(activation_then_add_go_into_one_linear) {
    TFR_UNUSED_STATE;
    int x, weight;
    struct tfr_graph *graph = start(&x, &weight);
    int y = add_op(graph, TFR_OP_LINEAR, "linear", x, weight);
    y = add_op(graph, TFR_OP_ACTIVATION, "act", y, -1);
    add_op(graph, TFR_OP_ADD, "add", x, y);
    assert_ok(tfr_fuse(graph));
    assert_int_equal(graph->n_nodes, 1);
    assert_int_equal(graph->nodes[0].attrs.activation, TFR_ACT_RELU);
    assert_int_equal(graph->nodes[0].arg[3], x);
    assert_string_equal(graph->nodes[0].name, "linear");
    tfr_graph_free(graph);
}

TFR_TEST(residual_made_after_the_linear_is_still_ready) {
    TFR_UNUSED_STATE;
    int x, weight;
    struct tfr_graph *graph = start(&x, &weight);
    int y = add_op(graph, TFR_OP_LINEAR, "linear", x, weight);
    int late = add_op(graph, TFR_OP_ACTIVATION, "late", x, -1);
    add_op(graph, TFR_OP_ADD, "add", y, late);
    assert_ok(tfr_fuse(graph)); /* ends with tfr_graph_check, which knows the order */
    assert_int_equal(graph->n_nodes, 2);
    assert_int_equal(graph->nodes[1].op, TFR_OP_LINEAR);
    tfr_graph_free(graph);
}

static const int32_t norm_linear[] = {TFR_OP_LAYER_NORM, TFR_OP_LINEAR};

static int find_first(const struct tfr_graph *graph, const int32_t *pattern, int n, struct tfr_match *match) {
    for (int i = 0; i < graph->n_nodes; i++) {
        if (tfr_match(graph, i, pattern, n, match)) {
            return i;
        }
    }
    return -1;
}

TFR_TEST(a_pattern_becomes_one_node_with_the_arguments_of_its_parts) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(2);
    struct tfr_graph *graph;
    struct tfr_match match;
    bool dead[64] = {false};
    assert_ok(gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_F32));
    assert_ok(tfr_fuse(graph));
    const int n_nodes = graph->n_nodes, first = find_first(graph, norm_linear, 2, &match);
    assert_string_equal(graph->nodes[first].name, "h.0.ln_1");
    const struct tfr_node norm = graph->nodes[match.node[0]], linear = graph->nodes[match.node[1]];
    tfr_put_fused(graph, &match, dead);
    const struct tfr_node *fused = &graph->nodes[match.node[1]];
    assert_string_equal(fused->name, "h.0.ln_1+attn.c_attn");
    assert_int_equal(fused->n_args, 3 + 3 + 1);
    assert_int_equal(fused->part[0].arg[3], -1); /* handed on */
    assert_int_equal(fused->part[1].arg[0], -1);
    assert_int_equal(fused->part[0].out.dim[1], 24);
    assert_int_equal(fused->arg[fused->part[0].arg[0]], norm.arg[0]);
    for (int a = 1; a < 5; a++) {
        assert_int_equal(fused->arg[fused->part[1].arg[a]], linear.arg[a]);
    }
    assert_int_equal(tfr_node_output(fused), linear.arg[4]);
    assert_ok(tfr_graph_remove(graph, dead));
    assert_ok(tfr_graph_check(graph));
    assert_int_equal(graph->n_nodes, n_nodes - 1);
    tfr_graph_free(graph);
}

TFR_TEST(a_pattern_needs_a_chain_that_nobody_else_reads) {
    TFR_UNUSED_STATE;
    static const int32_t linear_act[] = {TFR_OP_LINEAR, TFR_OP_ACTIVATION}, append[] = {TFR_OP_LINEAR, TFR_OP_KV_APPEND},
                         one[] = {TFR_OP_LINEAR};
    int x, weight;
    struct tfr_match match;
    struct tfr_graph *graph = start(&x, &weight);
    const int y = add_op(graph, TFR_OP_LINEAR, "linear", x, weight);
    add_op(graph, TFR_OP_ACTIVATION, "act", y, -1);
    assert_true(tfr_match(graph, 0, linear_act, 2, &match));
    assert_false(tfr_match(graph, 0, one, 1, &match));
    add_op(graph, TFR_OP_ACTIVATION, "act", y, -1); /* a second reader */
    assert_false(tfr_match(graph, 0, linear_act, 2, &match));
    tfr_graph_free(graph);
    const struct tfr_hparams hparams = gpt2_tiny(1);
    assert_ok(gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_F32));
    assert_int_equal(find_first(graph, append, 2, &match), -1); /* what touches state stays where it is */
    tfr_graph_free(graph);
}

TFR_TEST(who_appends_waits_for_readers_and_who_reads_for_the_last_append) {
    TFR_UNUSED_STATE;
    struct tfr_graph *graph;
    assert_ok(tfr_graph_create(&graph, 4, 1));
    const int qkv = add_value(graph, TFR_VALUE_IO, TFR_ROWS_TOKENS, 4, 24),
              cache = add_value(graph, TFR_VALUE_STATE, TFR_ROWS_NONE, 2, 4);
    static const enum tfr_op ops[] = {TFR_OP_KV_APPEND, TFR_OP_ATTENTION, TFR_OP_ATTENTION, TFR_OP_KV_APPEND, TFR_OP_ATTENTION};
    struct tfr_edges edges;
    int output;
    for (size_t i = 0; i < TFR_COUNT_OF(ops); i++) {
        struct tfr_node node = {.op = ops[i], .arg = {qkv, cache}, .attrs = {.n_heads = 2, .head_dim = 4}, .layer = -1};
        assert_ok(tfr_graph_add_node(graph, &node, NULL, &output));
    }
    assert_ok(tfr_edges_open(&edges, graph));
    static const int n[] = {0, 1, 1, 3, 1}, from[] = {0, 0, 2, 1, 0, 3}; /* the fourth: both readers, and the append before them */
    for (int i = 0; i < graph->n_nodes; i++) {
        assert_int_equal(tfr_edges_n(&edges, i), n[i]);
    }
    assert_memory_equal(edges.from, from, sizeof(from));
    tfr_edges_close(&edges);
    tfr_graph_free(graph);
}

TFR_TEST_MAIN(TFR_CASE(a_block_becomes_eight_nodes), TFR_CASE(fusing_twice_changes_nothing),
              TFR_CASE(linear_with_two_readers_stays), TFR_CASE(linear_added_to_itself_stays),
              TFR_CASE(activation_after_a_residual_stays), TFR_CASE(activation_then_add_go_into_one_linear),
              TFR_CASE(residual_made_after_the_linear_is_still_ready),
              TFR_CASE(a_pattern_becomes_one_node_with_the_arguments_of_its_parts),
              TFR_CASE(a_pattern_needs_a_chain_that_nobody_else_reads),
              TFR_CASE(who_appends_waits_for_readers_and_who_reads_for_the_last_append))

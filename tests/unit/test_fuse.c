/* test_fuse.c - what moves into a linear, and what must not. */
#include "graph/graph.h"

#include "tfr_test.h"

#include "base/status.h"
#include "tfr_gpt2.h"

static int add_value(struct tfr_graph *graph, enum tfr_value_kind kind, enum tfr_rows_var rows, int64_t a,
                     int64_t b) {
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
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct tfr_node *node = &graph->nodes[i];
        if (node->op == TFR_OP_ATTENTION) {
            int list[TFR_MAX_PREDECESSORS];
            assert_int_equal(tfr_node_state_predecessors(graph, i, list), 1);
            assert_int_equal(graph->nodes[list[0]].op, TFR_OP_KV_APPEND);
            assert_int_equal(graph->nodes[list[0]].layer, node->layer);
        }
        if (strcmp(node->name, "h.1.mlp.c_fc") == 0) {
            assert_int_equal(node->attrs.activation, TFR_ACT_RELU);
        }
        if (strcmp(node->name, "h.1.mlp.c_proj") == 0) {
            assert_string_equal(graph->values[node->arg[3]].name, "h.1.attn.add");
        }
    }
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

TFR_TEST_MAIN(TFR_CASE(a_block_becomes_eight_nodes), TFR_CASE(fusing_twice_changes_nothing),
              TFR_CASE(linear_with_two_readers_stays), TFR_CASE(linear_added_to_itself_stays),
              TFR_CASE(activation_after_a_residual_stays), TFR_CASE(activation_then_add_go_into_one_linear),
              TFR_CASE(residual_made_after_the_linear_is_still_ready))

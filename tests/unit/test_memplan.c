/* test_memplan.c - no live bytes are overwritten, in whatever order a scheduler may start and finish the
 * nodes.
 *
 * The check shares nothing with memplan.c: it runs random DAGs in random order with several nodes in flight,
 * marks the arena's cells with the value they hold, and looks whether a value is still whole when it is read.
 */
#include "plan/memplan.h"

#include "tfr_test.h"

#include "base/arena.h"
#include "base/status.h"
#include "graph/edges.h"
#include "graph/op.h"
#include "tfr_gpt2.h"

static uint64_t random_state = 1;

static int random_below(int n) {
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int)((random_state >> 33) % (uint64_t)n);
}

static void random_value(struct tfr_graph *graph, int producer) {
    struct tfr_value *value = &graph->values[graph->n_values++];
    *value = (struct tfr_value){.kind = TFR_VALUE_ACT, .rows = TFR_ROWS_TOKENS, .rank = 2, .producer = producer};
    value->dim[0] = 4;
    value->dim[1] = 16 * (1 + random_below(2));
}

enum { CACHE }; /* value 0: state that random nodes append to and read */

/* A random earlier value, mostly a recent one. */
static int random_input(const struct tfr_graph *graph) {
    const int n = graph->n_values - 1; /* but the cache */
    int reach = n < 6 || random_below(5) == 0 ? n : 6;
    return graph->n_values - 1 - random_below(reach);
}

static struct tfr_graph *random_graph(int n_nodes) {
    struct tfr_graph *graph;
    assert_ok(tfr_graph_create(&graph, 4, 1));
    graph->nodes = tfr_alloc((size_t)n_nodes, sizeof(*graph->nodes));
    graph->values = tfr_alloc((size_t)n_nodes + 1, sizeof(*graph->values));
    graph->values[CACHE] = (struct tfr_value){.kind = TFR_VALUE_STATE, .rank = 2, .producer = -1};
    graph->n_values = 1;
    for (int i = 0; i < n_nodes; i++) {
        static const enum tfr_op ops[] = {TFR_OP_ADD,         TFR_OP_ACTIVATION,  TFR_OP_ACTIVATION,
                                          TFR_OP_SEND_HIDDEN, TFR_OP_RECV_HIDDEN, TFR_OP_LINEAR,
                                          TFR_OP_LINEAR,      TFR_OP_KV_APPEND,   TFR_OP_ATTENTION};
        enum tfr_op op = graph->n_values == 1 ? TFR_OP_RECV_HIDDEN : ops[random_below(9)];
        struct tfr_node *node = &graph->nodes[i];
        *node = (struct tfr_node){
            .op = op,
            .arg = {-1, -1, -1, -1, -1, -1},
        };
        const struct tfr_op_info *info = tfr_op_info(op);
        node->n_args = info->n_in + info->n_out;
        for (int a = 0; a < info->n_in; a++) {
            node->arg[a] = info->argument[a].access != 0               ? CACHE
                           : op == TFR_OP_LINEAR && (a == 1 || a == 2) ? -1
                                                                       : random_input(graph);
        }
        if (info->n_out > 0) {
            node->arg[info->n_in] = graph->n_values;
            random_value(graph, i);
        }
        graph->n_nodes++;
    }
    return graph;
}

/* The arena in cells of 64 bytes, each with the value that it holds, -1 none. */
struct run {
    const struct tfr_graph *graph;
    const struct tfr_memplan *plan;
    const struct tfr_edges *edges;
    int cell[4096];
    enum { WAITING, STARTED, FINISHED } state[256];
    int n_broken;
};

static void cells_of(const struct run *run, int value, size_t *first, size_t *end) {
    const struct tfr_value *v = &run->graph->values[value];
    *first = run->plan->offset[value] / 64;
    *end = *first + (size_t)(v->dim[0] * v->dim[1] * 4 + 63) / 64;
}

static void check_whole(struct run *run, int value) {
    size_t first, end;
    cells_of(run, value, &first, &end);
    for (size_t c = first; c < end; c++) {
        run->n_broken += run->cell[c] != value;
    }
}

static bool same_place(const struct run *run, int a, int b) {
    return run->plan->offset[a] == run->plan->offset[b];
}

static void start_node(struct run *run, int index) {
    const struct tfr_node *node = &run->graph->nodes[index];
    for (int a = 0; a < tfr_op_info(node->op)->n_in; a++) {
        if (node->arg[a] >= 0 && tfr_node_access(node, a) == 0) {
            check_whole(run, node->arg[a]);
        }
    }
    if (tfr_node_output(node) >= 0) {
        size_t first, end;
        cells_of(run, tfr_node_output(node), &first, &end);
        for (size_t c = first; c < end; c++) {
            run->cell[c] = tfr_node_output(node);
        }
    }
    run->state[index] = STARTED;
}

/* Inputs must be whole to the end, but for one that the output was written over. */
static void finish_node(struct run *run, int index) {
    const struct tfr_node *node = &run->graph->nodes[index];
    int output = tfr_node_output(node);
    for (int a = 0; a < tfr_op_info(node->op)->n_in; a++) {
        if (node->arg[a] >= 0 && tfr_node_access(node, a) == 0 && (output < 0 || !same_place(run, node->arg[a], output))) {
            check_whole(run, node->arg[a]);
        }
    }
    if (output >= 0) {
        check_whole(run, output);
    }
    run->state[index] = FINISHED;
}

static bool is_ready(const struct run *run, int index) {
    for (int i = 0; i < tfr_edges_n(run->edges, index); i++) {
        if (run->state[tfr_edges_of(run->edges, index)[i]] != FINISHED) {
            return false;
        }
    }
    return run->state[index] == WAITING;
}

static int run_in_random_order(const struct tfr_graph *graph, const struct tfr_memplan *plan) {
    struct tfr_edges edges;
    assert_ok(tfr_edges_open(&edges, graph));
    struct run run = {.graph = graph, .plan = plan, .edges = &edges};
    assert_true(plan->bytes <= sizeof(run.cell) / sizeof(run.cell[0]) * 64);
    memset(run.cell, -1, sizeof(run.cell));
    for (int n_finished = 0; n_finished < graph->n_nodes;) {
        int i = random_below(graph->n_nodes);
        if (is_ready(&run, i)) {
            start_node(&run, i);
        } else if (run.state[i] == STARTED) {
            finish_node(&run, i);
            n_finished++;
        }
    }
    tfr_edges_close(&edges);
    return run.n_broken;
}

static void check_random_graphs(bool in_place_allowed) {
    for (int g = 0; g < 200; g++) {
        int n_nodes = 2 + random_below(60);
        struct tfr_graph *graph = random_graph(n_nodes);
        bool in_place[64];
        for (int i = 0; i < n_nodes; i++) {
            in_place[i] = in_place_allowed && random_below(4) != 0;
        }
        struct tfr_memplan plan;
        assert_ok(tfr_memplan_build(&plan, graph, in_place));
        for (int r = 0; r < 20; r++) {
            assert_int_equal(run_in_random_order(graph, &plan), 0);
        }
        tfr_memplan_free(&plan);
        tfr_graph_free(graph);
    }
}

TFR_TEST(random_dags_never_lose_a_value) {
    TFR_UNUSED_STATE;
    check_random_graphs(false);
}

TFR_TEST(random_dags_in_place_never_lose_a_value) {
    TFR_UNUSED_STATE;
    check_random_graphs(true);
}

TFR_TEST(the_check_finds_a_wrong_plan) {
    TFR_UNUSED_STATE;
    int n_broken = 0;
    for (int g = 0; g < 20; g++) {
        struct tfr_graph *graph = random_graph(40);
        struct tfr_memplan plan;
        bool in_place[64] = {false};
        assert_ok(tfr_memplan_build(&plan, graph, in_place));
        for (int v = 0; v < graph->n_values; v++) {
            plan.offset[v] = 0;
        }
        n_broken += run_in_random_order(graph, &plan);
        tfr_memplan_free(&plan);
        tfr_graph_free(graph);
    }
    assert_true(n_broken > 0);
}

static size_t arena_of(const struct tfr_hparams *hparams, bool in_place_allowed) {
    struct tfr_graph *graph;
    assert_ok(gpt2_graph(&graph, hparams, 5, 1, TFR_DTYPE_F32));
    assert_ok(tfr_fuse(graph));
    bool in_place[512];
    for (int i = 0; i < graph->n_nodes; i++) {
        in_place[i] = in_place_allowed;
    }
    struct tfr_memplan plan;
    assert_ok(tfr_memplan_build(&plan, graph, in_place));
    for (int v = 0; v < graph->n_values; v++) {
        bool placed = plan.offset[v] != TFR_NO_OFFSET;
        assert_int_equal(placed, graph->values[v].kind == TFR_VALUE_ACT);
        assert_true(!placed || plan.offset[v] % TFR_ARENA_ALIGN == 0);
    }
    size_t bytes = plan.bytes;
    tfr_memplan_free(&plan);
    tfr_graph_free(graph);
    return bytes;
}

TFR_TEST(arena_of_gpt2_does_not_grow_with_depth) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams two = gpt2_tiny(2), twelve = gpt2_tiny(12);
    assert_int_equal(arena_of(&two, true), arena_of(&twelve, true));
    assert_int_equal(arena_of(&two, false), arena_of(&twelve, false));
    assert_true(arena_of(&two, true) <= arena_of(&two, false));
}

TFR_TEST(residual_stream_stays_in_one_place) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(3);
    struct tfr_graph *graph;
    assert_ok(gpt2_graph(&graph, &hparams, 5, 1, TFR_DTYPE_F32));
    assert_ok(tfr_fuse(graph));
    bool in_place[64];
    memset(in_place, true, sizeof(in_place));
    struct tfr_memplan plan;
    assert_ok(tfr_memplan_build(&plan, graph, in_place));
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct tfr_node *node = &graph->nodes[i];
        if (node->op == TFR_OP_LINEAR && node->arg[3] >= 0) {
            assert_int_equal(plan.offset[node->arg[3]], plan.offset[node->arg[4]]);
        }
        if (node->op == TFR_OP_LAYER_NORM && node->layer >= 0) { /* x is needed again as the residual */
            assert_true(plan.offset[node->arg[0]] != plan.offset[node->arg[3]]);
        }
    }
    tfr_memplan_free(&plan);
    tfr_graph_free(graph);
}

TFR_TEST(residual_that_is_also_the_input_is_not_overwritten) {
    TFR_UNUSED_STATE;
    struct tfr_graph *graph;
    assert_ok(tfr_graph_create(&graph, 4, 1));
    struct tfr_value given = {.kind = TFR_VALUE_ACT, .rows = TFR_ROWS_TOKENS, .rank = 2, .dim = {4, 8}};
    struct tfr_value weight = {.kind = TFR_VALUE_WEIGHT, .rank = 2, .dim = {8, 8}};
    struct tfr_node recv = {.op = TFR_OP_RECV_HIDDEN, .arg = {-1, -1, -1, -1, -1, -1}};
    struct tfr_node linear = {.op = TFR_OP_LINEAR, .arg = {-1, -1, -1, -1, -1, -1}};
    int x, y;
    assert_ok(tfr_graph_add_node(graph, &recv, &given, &x));
    assert_ok(tfr_graph_add_value(graph, &weight, &linear.arg[1]));
    linear.arg[0] = linear.arg[3] = x;
    assert_ok(tfr_graph_add_node(graph, &linear, NULL, &y));
    struct tfr_memplan plan;
    assert_ok(tfr_memplan_build(&plan, graph, (const bool[]){true, true}));
    assert_true(plan.offset[x] != plan.offset[y]);
    tfr_memplan_free(&plan);
    tfr_graph_free(graph);
}

TFR_TEST(empty_graph_needs_no_memory) {
    TFR_UNUSED_STATE;
    struct tfr_graph *graph;
    assert_ok(tfr_graph_create(&graph, 4, 1));
    struct tfr_memplan plan;
    assert_ok(tfr_memplan_build(&plan, graph, NULL));
    assert_int_equal(plan.bytes, 0);
    tfr_memplan_free(&plan);
    tfr_graph_free(graph);
}

TFR_TEST_MAIN(TFR_CASE(random_dags_never_lose_a_value), TFR_CASE(random_dags_in_place_never_lose_a_value),
              TFR_CASE(the_check_finds_a_wrong_plan), TFR_CASE(arena_of_gpt2_does_not_grow_with_depth),
              TFR_CASE(residual_stream_stays_in_one_place), TFR_CASE(residual_that_is_also_the_input_is_not_overwritten),
              TFR_CASE(empty_graph_needs_no_memory))

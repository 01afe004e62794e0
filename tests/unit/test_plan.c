/* test_plan.c - plans of whole graphs with the kernels of the tree: costs, memory, packing, edges,
 * explanation. */
#include "tfr_plans.h"

#include <math.h>

#include "base/arena.h"
#include "base/tensor.h"
#include "graph/op.h"

static int32_t init_fails(const struct tfr_kernel *self, const struct tfr_problem *problem, void *state, char *reason,
                          size_t size) {
    (void)self;
    (void)problem, (void)state;
    snprintf(reason, size, "no luck");
    return TFR_RUNTIME;
}
static const struct tfr_kernel failing_kernels[] = {
    {.struct_size = sizeof(struct tfr_kernel),
     .name = "gather_rows.f32.failing.plain",
     .op = TFR_OP_GATHER_ROWS,
     .dtypes = F32,
     .run = run_nothing,
     .prepare = prepare_state,
     .init = init_fails,
     .release = release_state},
};
static const struct tfr_kernel *const failing_pointers[] = {&failing_kernels[0]};
static const struct tfr_plugin failing = {.struct_size = sizeof(failing),
                                          .abi_major = TFR_PLUGIN_ABI_MAJOR,
                                          .name = "failing",
                                          .n_kernels = 1,
                                          .kernels = failing_pointers};

static double sum_flops(const struct tfr_plan *plan, enum tfr_op op, bool in_blocks) {
    double sum = 0;
    for (int i = 0; i < plan->n_tasks; i++) {
        if (plan->tasks[i].problem.op == (int32_t)op && (plan->tasks[i].layer >= 0) == in_blocks) {
            sum += plan->tasks[i].cost.flops;
        }
    }
    return sum;
}

TFR_TEST(gpt2_costs_what_the_formulas_say) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_124m();
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_plan *plan = dry_plan(registry, &hparams, 1024, 1, TFR_DTYPE_F32, false, NULL);
    const double s = 1024, c = 768, l = 12;
    double linear = sum_flops(plan, TFR_OP_LINEAR, true);
    assert_true(linear == l * (24 * s * c * c + 9 * s * c)); /* 3C + C + 4C + C biases */
    assert_true(fabs(linear - 174e9) < 1e9);
    double attention = sum_flops(plan, TFR_OP_ATTENTION, true);
    assert_true(attention == l * (4 * c + 6 * 12) * s * (s + 1) / 2);
    assert_true(fabs(attention - 19.8e9) < 0.3e9);
    assert_true(sum_flops(plan, TFR_OP_LINEAR, false) == 2 * c * 50257);
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

TFR_TEST(fusing_keeps_the_flops) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_124m();
    struct tfr_registry *registry = open_registry(NULL);
    double flops[2], bytes[2];
    for (int fused = 0; fused < 2; fused++) {
        struct tfr_plan *plan = dry_plan(registry, &hparams, 64, 1, TFR_DTYPE_F32, fused, NULL);
        flops[fused] = bytes[fused] = 0;
        for (int i = 0; i < plan->n_tasks; i++) {
            flops[fused] += plan->tasks[i].cost.flops;
            bytes[fused] += plan->tasks[i].cost.bytes_read + plan->tasks[i].cost.bytes_written;
        }
        tfr_plan_free(plan);
    }
    assert_true(flops[0] == flops[1]);
    assert_true(bytes[0] > bytes[1]);
    tfr_registry_close(registry);
}

TFR_TEST(decode_reads_the_weights_once) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_124m();
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_plan *plan = dry_plan(registry, &hparams, 1, 1, TFR_DTYPE_BF16, true, NULL);
    double bytes = 0;
    for (int i = 0; i < plan->n_tasks; i++) {
        bytes += plan->tasks[i].cost.bytes_read;
    }
    assert_true(bytes > 0.5 * (340e6 + 154e6) &&
                bytes < 0.5 * (340e6 + 154e6) * 1.02); /* half: bf16; 340 MB of blocks, 154 MB of head in f32 */
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

TFR_TEST(edges_and_priorities_fit_together) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(3);
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_plan *plan = dry_plan(registry, &hparams, 8, 2, TFR_DTYPE_F32, true, NULL);
    int n_incoming[64] = {0};
    for (int i = 0; i < plan->n_tasks; i++) {
        for (int s = 0; s < plan->tasks[i].n_successors; s++) {
            int to = plan->tasks[i].successors[s];
            assert_true(to > i);
            assert_true(plan->tasks[i].priority_ns >= plan->tasks[to].priority_ns + plan->tasks[i].predicted_ns);
            n_incoming[to]++;
        }
    }
    for (int i = 0; i < plan->n_tasks; i++) {
        assert_int_equal(n_incoming[i], plan->tasks[i].n_predecessors);
        assert_true(i == 0 || plan->tasks[i].n_predecessors > 0);
    }
    assert_true(plan->tasks[0].priority_ns <= plan->predicted_ns * (1 + 1e-9));
    assert_int_equal(plan->n_appends, 3);
    for (int i = 0; i < 3; i++) { /* one of each block, in their order */
        assert_int_equal(plan->tasks[plan->appends[i]].problem.op, TFR_OP_KV_APPEND);
        assert_int_equal(plan->tasks[plan->appends[i]].layer, i);
    }
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

TFR_TEST(classes_keep_one_order_per_shape) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_124m();
    static const int64_t classes[] = {512, 64, 8, 1};
    for (int dtype = TFR_DTYPE_F32; dtype <= TFR_DTYPE_BF16; dtype++) {
        struct tfr_registry *registry = open_registry(NULL);
        struct tfr_order_book orders = {0};
        struct tfr_plan *plan[4];
        for (size_t c = 0; c < TFR_COUNT_OF(classes); c++) {
            plan[c] = dry_plan(registry, &hparams, classes[c], 1, dtype, true, &orders);
        }
        for (size_t c = 1; c < TFR_COUNT_OF(classes); c++) {
            for (int i = 0; i < plan[0]->n_tasks; i++) {
                const struct tfr_task *a = &plan[0]->tasks[i], *b = &plan[c]->tasks[i];
                bool own = a->needs.order.kind == TFR_ORDER_OWN || a->problem.op != TFR_OP_LINEAR;
                assert_int_equal(a->needs.order.kind, b->needs.order.kind);
                assert_true(!own || a->kernel == b->kernel);
                assert_true(own || a->needs.order.k_block == b->needs.order.k_block);
            }
        }
        assert_int_equal(orders.n, 5);
        for (size_t c = 0; c < TFR_COUNT_OF(classes); c++) {
            tfr_plan_free(plan[c]);
        }
        tfr_registry_close(registry);
    }
}

/* With one row only linears and attention are worth a barrier; many rows are; and a team of one has none. */
TFR_TEST(cheap_tasks_of_one_row_run_on_the_master) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_124m();
    struct tfr_registry *registry = open_registry(NULL);
    int n_alone = 0;
    for (int64_t rows = 1; rows <= 512; rows *= 512) {
        struct tfr_plan *plan = dry_plan(registry, &hparams, rows, 1, TFR_DTYPE_F32, true, NULL);
        for (int i = 0; i < plan->n_tasks; i++) {
            const struct tfr_task *task = &plan->tasks[i];
            const bool is_heavy = task->problem.op == TFR_OP_LINEAR || task->problem.op == TFR_OP_ATTENTION;
            const bool is_team = task->kernel->run_class == TFR_RUN_TEAM;
            assert_true(task->alone == (is_team && !is_heavy && task->problem.rows_max == 1));
            assert_int_equal(task->problem.n_threads, task->alone ? 1 : 2);
            assert_true(!task->alone || (task->kernel->flags & TFR_KERNEL_SAME_BITS_ANY_TEAM) != 0);
            n_alone += task->alone;
        }
        tfr_plan_free(plan);
    }
    assert_true(n_alone > 2 * 12); /* two norms in each block */
    tfr_registry_close(registry);
}

TFR_TEST(explanation_fits_and_names_everything) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_124m();
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_order_book orders = {0};
    struct tfr_plan *plan = dry_plan(registry, &hparams, 512, 1, TFR_DTYPE_F32, true, &orders);
    char *text = tfr_plan_explain(plan, true);
    assert_non_null(text);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        if (strcspn(line, "\n") > 120) {
            fail_msg("line of %zu columns: %.150s", strcspn(line, "\n"), line);
        }
    }
    for (int i = 0; i < plan->n_tasks; i++) {
        assert_non_null(strstr(text, plan->tasks[i].name));
    }
    assert_non_null(strstr(text, "linear.f32.ref.plain"));
    assert_non_null(strstr(text, "total"));
    assert_non_null(strstr(text, "does not serve f32 weights"));
    tfr_free(text);
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

TFR_TEST(json_explanation_is_json) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(1);
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_plan *plan = dry_plan(registry, &hparams, 8, 1, TFR_DTYPE_F32, true, NULL);
    struct tfr_json_out out = {0};
    tfr_plan_explain_json(plan, &out);
    assert_false(out.failed);
    struct tfr_json_doc *doc;
    assert_ok(tfr_json_open(&doc, "plan", out.text, out.size, TFR_RUNTIME));
    const tfr_json *tasks = tfr_json_member(tfr_json_root(doc), "tasks");
    assert_int_equal(tfr_json_size(tasks), plan->n_tasks);
    assert_non_null(tfr_json_string(tfr_json_member(tfr_json_first(tasks), "kernel")));
    tfr_json_close(doc);
    tfr_free(out.text);
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

/* Tensors in memory in place of a checkpoint. */
struct fake_weights {
    struct tfr_weight weight[128];
    float *data;
};

static void give_weights(struct fake_weights *fake, struct tfr_graph *graph) {
    int64_t most = 1;
    for (int v = 0; v < graph->n_values; v++) {
        int64_t n = graph->values[v].dim[0] * (graph->values[v].rank > 1 ? graph->values[v].dim[1] : 1);
        most = graph->values[v].kind == TFR_VALUE_WEIGHT && n > most ? n : most;
    }
    fake->data = tfr_alloc((size_t)most + 1, sizeof(float));
    for (int64_t i = 0; i < most; i++) {
        fake->data[i] = (float)i;
    }
    for (int v = 0; v < graph->n_values; v++) {
        struct tfr_value *value = &graph->values[v];
        if (value->kind == TFR_VALUE_WEIGHT) {
            fake->weight[v] = (struct tfr_weight){.name = value->name, .file = "memory"};
            fake->weight[v].tensor = (struct tfr_tensor){.data = fake->data,
                                                         .dtype = TFR_DTYPE_F32,
                                                         .rank = value->rank,
                                                         .dim = {value->dim[0], value->dim[1]},
                                                         .stride = {value->rank > 1 ? value->dim[1] : 1, 1}};
            value->weight = &fake->weight[v];
        }
    }
}

static struct tfr_plan *full_plan(const struct tfr_registry *registry, struct tfr_graph *graph, struct tfr_store *store,
                                  struct tfr_team *team, enum tfr_status expected) {
    struct tfr_plan *plan;
    struct tfr_order_book orders = {0};
    const struct tfr_plan_request request = {.graph = graph,
                                             .registry = registry,
                                             .machine = &machine,
                                             .store = store,
                                             .team = team,
                                             .n_threads = 2,
                                             .deterministic = true,
                                             .orders = &orders};
    assert_int_equal(tfr_plan_build(&plan, &request), expected);
    return plan;
}

TFR_TEST(classes_share_packed_weights) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(2);
    struct tfr_registry *registry = open_registry("gemv,ref");
    struct tfr_team *team;
    struct tfr_store *store;
    assert_ok(tfr_team_open(&team, 2, NULL, true));
    assert_ok(tfr_store_open(&store, NULL, team, TFR_HUGEPAGES_OFF));
    struct tfr_graph *graph[2];
    struct fake_weights fake;
    assert_ok(gpt2_graph(&graph[0], &hparams, 32, 1, TFR_DTYPE_F32));
    assert_ok(gpt2_graph(&graph[1], &hparams, 1, 1, TFR_DTYPE_F32));
    give_weights(&fake, graph[0]);
    for (int v = 0; v < graph[1]->n_values; v++) {
        graph[1]->values[v].weight = graph[0]->values[v].weight;
    }
    struct tfr_plan *many = full_plan(registry, graph[0], store, team, TFR_OK);
    size_t bytes = tfr_store_bytes(store);
    struct tfr_plan *one = full_plan(registry, graph[1], store, team, TFR_OK);
    assert_true(bytes > 0);
    assert_int_equal(tfr_store_bytes(store), bytes);
    for (int i = 0; i < one->n_tasks; i++) {
        for (int a = 0; a < one->tasks[i].n_args; a++) {
            const struct tfr_task_arg *arg = &one->tasks[i].arg[a];
            assert_ptr_equal(arg->data, many->tasks[i].arg[a].data);
            assert_true(arg->place != TFR_PLACE_CONST || arg->data != NULL);
            if (one->tasks[i].problem.op == TFR_OP_LAYER_NORM && arg->place == TFR_PLACE_CONST) {
                assert_int_equal((uintptr_t)arg->data % 64, 0);
                assert_true(((const float *)arg->data)[5] == 5.0F);
            }
        }
    }
    assert_ptr_equal(one->tasks[0].arg[2].data, fake.data); /* the embedding table stays where it is */
    tfr_plan_free(one);
    tfr_plan_free(many);
    tfr_store_close(store);
    tfr_team_close(team);
    tfr_free(fake.data);
    tfr_registry_close(registry);
}

/* Stored bytes of a constant argument, 0 of others. */
static size_t stored_bytes(const struct tfr_plan *plan, int arg) {
    const struct tfr_task *task = &plan->tasks[arg / TFR_MAX_ARGS];
    const int a = arg % TFR_MAX_ARGS;
    if (a >= task->n_args || task->arg[a].place != TFR_PLACE_CONST || task->problem.op == TFR_OP_EMBED) {
        return 0;
    }
    return tfr_tensor_bytes(&plan->graph->values[plan->graph->nodes[arg / TFR_MAX_ARGS].arg[a]].weight->tensor);
}

/* A store gives out memory in the order of packing. */
TFR_TEST(large_weights_are_packed_first) {
    TFR_UNUSED_STATE;
    const struct tfr_hparams hparams = gpt2_tiny(2);
    struct tfr_registry *registry = open_registry("gemv,ref");
    struct tfr_team *team;
    struct tfr_store *store;
    struct tfr_graph *graph;
    struct fake_weights fake;
    assert_ok(tfr_team_open(&team, 2, NULL, true));
    assert_ok(tfr_store_open(&store, NULL, team, TFR_HUGEPAGES_OFF));
    assert_ok(gpt2_graph(&graph, &hparams, 1, 1, TFR_DTYPE_F32));
    give_weights(&fake, graph);
    struct tfr_plan *plan = full_plan(registry, graph, store, team, TFR_OK);
    const int n = plan->n_tasks * TFR_MAX_ARGS;
    int n_pairs = 0;
    for (int i = 0; i < n * n; i++) {
        const size_t left = stored_bytes(plan, i / n), right = stored_bytes(plan, i % n);
        if (left > right && right > 0) {
            assert_true(plan->tasks[i / n / TFR_MAX_ARGS].arg[i / n % TFR_MAX_ARGS].data <
                        plan->tasks[i % n / TFR_MAX_ARGS].arg[i % n % TFR_MAX_ARGS].data);
            n_pairs++;
        }
    }
    assert_true(n_pairs > 100);
    tfr_plan_free(plan);
    tfr_store_close(store);
    tfr_team_close(team);
    tfr_free(fake.data);
    tfr_registry_close(registry);
}

/* The graph of a rank in the middle: two hops, no embeddings, no head. */
static struct tfr_graph *middle_rank(void) {
    const struct tfr_hparams hparams = gpt2_tiny(3);
    const struct tfr_placement placement = gpt2_chain((int[]){0, 1, 2}, 3, 3, 2);
    const struct tfr_gpt2_spec spec = {
        .hparams = &hparams, .placement = &placement, .rank = 1, .rows_max = 4, .logits_max = 1, .dtype = TFR_DTYPE_F32};
    struct tfr_graph *graph;
    assert_ok(tfr_gpt2_build(&graph, &spec));
    return graph;
}

TFR_TEST(states_are_made_and_released_once) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry("ref");
    struct tfr_team *team;
    struct tfr_store *store;
    assert_ok(tfr_team_open(&team, 1, NULL, true));
    assert_ok(tfr_store_open(&store, NULL, team, TFR_HUGEPAGES_OFF));
    struct fake_weights fake;
    struct tfr_graph *graph = middle_rank();
    give_weights(&fake, graph);
    n_inits = n_releases = 0;
    struct tfr_plan *plan = full_plan(registry, graph, store, team, TFR_OK);
    assert_int_equal(n_inits, 2);
    tfr_plan_free(plan);
    assert_int_equal(n_releases, 2);
    tfr_store_close(store);
    tfr_team_close(team);
    tfr_free(fake.data);
    tfr_registry_close(registry);
}

TFR_TEST(failing_init_frees_everything) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry("-gather_rows.f32.pointwise"); /* then the failing one is the fastest */
    assert_ok(tfr_registry_add(registry, &failing, ""));
    struct tfr_team *team;
    struct tfr_store *store;
    assert_ok(tfr_team_open(&team, 1, NULL, true));
    assert_ok(tfr_store_open(&store, NULL, team, TFR_HUGEPAGES_OFF));
    const struct tfr_hparams hparams = gpt2_tiny(1);
    struct tfr_graph *graph;
    struct fake_weights fake;
    assert_ok(gpt2_graph(&graph, &hparams, 4, 1, TFR_DTYPE_F32));
    give_weights(&fake, graph);
    n_releases = 0;
    assert_null(full_plan(registry, graph, store, team, TFR_RUNTIME));
    assert_non_null(strstr(tfr_failure_text(), "gather_rows.f32.failing.plain cannot be set up: no luck"));
    assert_int_equal(n_releases, 0);
    tfr_store_close(store);
    tfr_team_close(team);
    tfr_free(fake.data);
    tfr_registry_close(registry);
}

TFR_TEST(graph_without_data_can_only_be_planned_dry) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry("ref");
    struct tfr_store *store;
    assert_ok(tfr_store_open(&store, NULL, NULL, TFR_HUGEPAGES_OFF));
    assert_null(full_plan(registry, middle_rank(), store, NULL, TFR_RUNTIME));
    assert_non_null(strstr(tfr_failure_text(), "h.1.ln_1: transformer.h.1.ln_1.weight has no data"));
    tfr_store_close(store);
    tfr_registry_close(registry);
}

TFR_TEST(empty_rank_has_an_empty_plan) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_graph *graph;
    assert_ok(tfr_graph_create(&graph, 4, 1));
    struct tfr_plan *plan = full_plan(registry, graph, NULL, NULL, TFR_OK);
    assert_int_equal(plan->n_tasks, 0);
    assert_int_equal(plan->arena_bytes, 0);
    char *text = tfr_plan_explain(plan, true);
    assert_non_null(strstr(text, "total"));
    tfr_free(text);
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

TFR_TEST(missing_kernel_names_the_node) {
    TFR_UNUSED_STATE;
    const struct tfr_registry_request nothing = {0};
    struct tfr_registry *registry;
    assert_ok(tfr_registry_open(&registry, &nothing));
    assert_null(full_plan(registry, middle_rank(), NULL, NULL, TFR_UNSUPPORTED));
    assert_non_null(strstr(tfr_failure_text(), "recv.1: no kernel serves recv_hidden"));
    tfr_registry_close(registry);
}

TFR_TEST(failed_allocation_at_any_point_leaks_nothing) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry(NULL);
    for (uint64_t n = 1; n < 200; n++) {
        struct tfr_graph *graph = middle_rank();
        struct tfr_plan *plan;
        struct tfr_order_book orders = {0};
        const struct tfr_plan_request request = {
            .graph = graph, .registry = registry, .machine = &machine, .n_threads = 2, .deterministic = true, .orders = &orders};
        tfr_alloc_fail_after(n);
        enum tfr_status status = tfr_plan_build(&plan, &request);
        tfr_alloc_fail_after(0);
        assert_true(status == TFR_OK || (status == TFR_RESOURCE && plan == NULL));
        tfr_plan_free(plan);
    }
    tfr_registry_close(registry);
}

TFR_TEST_MAIN(TFR_CASE(gpt2_costs_what_the_formulas_say), TFR_CASE(fusing_keeps_the_flops), TFR_CASE(decode_reads_the_weights_once),
              TFR_CASE(edges_and_priorities_fit_together), TFR_CASE(classes_keep_one_order_per_shape),
              TFR_CASE(cheap_tasks_of_one_row_run_on_the_master), TFR_CASE(explanation_fits_and_names_everything),
              TFR_CASE(json_explanation_is_json), TFR_CASE(classes_share_packed_weights), TFR_CASE(large_weights_are_packed_first),
              TFR_CASE(states_are_made_and_released_once), TFR_CASE(failing_init_frees_everything),
              TFR_CASE(graph_without_data_can_only_be_planned_dry), TFR_CASE(empty_rank_has_an_empty_plan),
              TFR_CASE(missing_kernel_names_the_node), TFR_CASE(failed_allocation_at_any_point_leaks_nothing))

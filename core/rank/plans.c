/* plans.c - one plan per shape class (rows, logit rows), made when first needed, over one store of packed weights.
 *
 * All ranks ask for the same class at the same time, so building is a collective act: they agree on success before running it.
 */
#include "rank/rank.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "rank/stage_costs.h"

/* Waste by padding is at most a half below 16 and a third above. */
static const int64_t buckets[] = {1,   2,   4,   8,    16,   32,   48,   64,   96,   128,   192,   256,
                                  384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384, 32768, 65536};

int64_t tfr_bucket(int64_t rows, int64_t max_rows) {
    for (size_t i = 0; i < TFR_COUNT_OF(buckets); i++) {
        if (buckets[i] >= rows) {
            return buckets[i] < max_rows ? buckets[i] : max_rows;
        }
    }
    return max_rows;
}

enum tfr_status tfr_open_registry(struct tfr_registry **registry, const struct tfr_config *config,
                                  const struct tfr_machine *machine) {
    size_t n_bundled;
    if (config->options.runtime_dtype == TFR_PACK_INT4 && !config->quantization.given) {
        TFR_TRY(tfr_model_check_finer(config));
    }
    TFR_TRY(tfr_check_isa(config, machine->isa));
    char **folders = tfr_registry_folders(&n_bundled);
    if (folders == NULL) {
        return TFR_RESOURCE;
    }
    const struct tfr_options *options = &config->options;
    const struct tfr_registry_request request = {
        .isa = machine->isa & tfr_isa_limit(options->runtime_isa),
        .n_cores = machine->n_cores,
        .l1d_bytes = machine->l1d_bytes,
        .l2_bytes = machine->l2_bytes,
        .l3_bytes = machine->l3_bytes,
        .folders = (const char *const *)folders,
        .n_bundled = n_bundled,
        .paths = options->plugins.items,
        .n_paths = options->plugins.n,
        .list = options->runtime_kernels,
    };
    enum tfr_status status = tfr_registry_open(registry, &request);
    tfr_registry_free_folders(folders);
    return tfr_config_blame(config, "runtime.kernels", status);
}

struct tfr_gpt2_features tfr_engine_features(const struct tfr_engine *engine) {
    return (struct tfr_gpt2_features){.attention = engine->config->options.runtime_attn};
}

enum tfr_status tfr_step_graph(const struct tfr_planner *planner, int64_t rows, int64_t logits, struct tfr_graph **graph) {
    const struct tfr_config *config = planner->config;
    const struct tfr_gpt2_spec spec = {
        .hparams = &config->model,
        .model = planner->model,
        .tables = planner->tables,
        .placement = planner->placement,
        .rank = planner->rank,
        .rows_max = rows,
        .logits_max = logits,
        .dtype = tfr_packed_dtype(config),
        .x_dtype = tfr_x_dtype(config),
        .finer = &config->options.runtime_int4_finer,
        .kv_dtype = tfr_kv_dtype(config),
        .features = planner->features,
        .sums_by_head = tfr_sums_by_head(&config->options),
    };
    return tfr_gpt2_build(graph, &spec);
}

enum tfr_status tfr_plan_step(const struct tfr_planner *planner, int64_t rows, int64_t logits, struct tfr_plan **plan) {
    const struct tfr_config *config = planner->config;
    struct tfr_plan_request request = {
        .registry = planner->registry,
        .machine = planner->machine,
        .store = planner->store,
        .team = planner->team,
        .n_threads = planner->n_threads,
        .deterministic = config->options.runtime_deterministic,
        .lossless = tfr_is_lossless(config),
        .by_parts = tfr_sums_by_head(&config->options),
        .orders = planner->orders,
        .encoder = (double)planner->encoder,
        .context = planner->context >= 0 ? (double)planner->context : (double)config->model.n_positions / 8,
        .sequences = planner->sequences > 0                      ? (double)planner->sequences
                     : rows <= config->options.runtime_max_batch ? (double)rows
                                                                 : 1,
    };
    TFR_TRY(tfr_step_graph(planner, rows, logits, &request.graph));
    enum tfr_status status = tfr_fuse(request.graph);
    if (status != TFR_OK) {
        tfr_graph_free(request.graph);
        return status;
    }
    return tfr_plan_build(plan, &request);
}

static enum tfr_status build(struct tfr_engine *engine, int64_t rows, int64_t logits, const struct tfr_gpt2_features *features,
                             bool dry, struct tfr_plan **plan) {
    const struct tfr_planner planner = {
        .config = engine->config,
        .model = dry ? NULL : engine->model,
        .machine = engine->machine,
        .registry = engine->registry,
        .store = dry ? NULL : engine->store,
        .team = dry ? NULL : engine->team,
        .orders = &engine->orders,
        .placement = &engine->placement,
        .rank = tfr_engine_rank(engine),
        .n_threads = engine->threads.n_threads,
        .context = -1,
        .features = *features,
    };
    return tfr_plan_step(&planner, rows, logits, plan);
}

enum tfr_status tfr_engine_fix_orders(struct tfr_engine *engine) {
    if (!engine->config->options.runtime_deterministic) {
        return TFR_OK;
    }
    struct tfr_plan *plan = NULL;
    struct tfr_gpt2_features features = tfr_engine_features(engine);
    features.replica = tfr_placement_replica_of(&engine->placement, tfr_engine_rank(engine));
    TFR_TRY(build(engine, engine->max_rows, engine->max_rows, &features, true, &plan));
    tfr_plan_free(plan);
    return TFR_OK;
}

void tfr_engine_choose_chunk(struct tfr_engine *engine) {
    const struct tfr_placement *placement = &engine->placement;
    if (tfr_engine_rank(engine) == 0 && tfr_placement_n_shares(placement) > 1) {
        engine->chunk_rows =
            tfr_layout_piece(engine->config, placement->stages, placement->tensor, tfr_comm_local_size(engine->comm));
        tfr_log(TFR_LOG_INFO, "rank", "prompts pass the ranks in pieces of %lld rows", (long long)engine->chunk_rows);
    }
}

static struct tfr_shape_plan *find(struct tfr_engine *engine, int64_t rows, int64_t logits,
                                   const struct tfr_gpt2_features *features) {
    for (int i = 0; i < engine->n_plans; i++) {
        struct tfr_shape_plan *kept = &engine->plans[i];
        if (kept->rows == rows && kept->logits == logits && memcmp(&kept->features, features, sizeof *features) == 0) {
            return kept;
        }
    }
    return NULL;
}

bool tfr_engine_has_plan(struct tfr_engine *engine, int64_t rows, int64_t logits, const struct tfr_gpt2_features *features) {
    return find(engine, tfr_bucket(rows, engine->max_rows), tfr_bucket(logits > 0 ? logits : 1, engine->max_rows), features) !=
           NULL;
}

int tfr_plans_oldest(const struct tfr_shape_plan *plans, int n) {
    int oldest = 0;
    for (int i = 1; i < n; i++) {
        oldest = plans[i].used < plans[oldest].used ? i : oldest;
    }
    return oldest;
}

/* A place for one more. Full only when a caller asks for ever new shapes: then the plan goes that rank 0, which takes part in all
 * steps, has not used for longest. */
static enum tfr_status make_space(struct tfr_engine *engine, struct tfr_shape_plan **space) {
    if (engine->n_plans < engine->max_plans) {
        *space = &engine->plans[engine->n_plans++];
        return TFR_OK;
    }
    int oldest = tfr_plans_oldest(engine->plans, engine->n_plans);
    TFR_TRY(tfr_comm_bcast(engine->comm, &oldest, sizeof oldest));
    *space = &engine->plans[oldest];
    tfr_plan_free((*space)->plan);
    return TFR_OK;
}

/* Says why attention is not fused, once per plan; of a warm-up, as `tell`. */
static void explain_attention(const struct tfr_engine *engine, const struct tfr_plan *plan) {
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_task *task = &plan->tasks[i];
        if (task->problem.op != TFR_OP_ATTENTION || (task->kernel->flags & TFR_KERNEL_FUSED_ATTENTION) != 0) {
            continue;
        }
        for (int c = 0; c < task->n_candidates; c++) {
            const struct tfr_candidate *candidate = &task->candidates[c];
            const bool is_fused = (candidate->kernel->flags & TFR_KERNEL_FUSED_ATTENTION) != 0;
            if (is_fused && candidate->refusal[0] != '\0') {
                tfr_log(engine->is_warming ? TFR_LOG_DEBUG : TFR_LOG_INFO, "plan", "%s runs %s: the fused kernel %s", task->name,
                        task->kernel->name, candidate->refusal);
                return;
            }
        }
        return;
    }
}

/* Says once how the f32 weights lie that 16 bits could hold: the plans after the first pack them alike. */
static void explain_halves(const struct tfr_engine *engine, const struct tfr_plan *plan) {
    int n_exact = 0, n_others = 0;
    const char *other = "";
    if (engine->n_plans > 0 || !tfr_is_lossless(engine->config)) {
        return;
    }
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_task *task = &plan->tasks[i];
        const bool is_exact = task->problem.op == TFR_OP_LINEAR && (task->problem.arg[1].flags & TFR_ARG_EXACT) != 0;
        const bool is_other = task->problem.op == TFR_OP_LINEAR && task->problem.arg[1].dtype == TFR_DTYPE_F32;
        n_exact += is_exact;
        other = is_other && n_others++ == 0 ? task->name : other;
    }
    if (n_exact > 0 && n_others == 0) {
        tfr_log(TFR_LOG_INFO, "plan", "all weights of linears hold f32 values that 16 bits hold exactly, and are packed so");
    } else if (n_others > 0) {
        tfr_log(TFR_LOG_INFO, "plan",
                "%d of %d weights of linears are packed in 16 bits, which hold their f32 values exactly; %s%s in 32", n_exact,
                n_exact + n_others, other, n_others > 1 ? " and others" : "");
    }
}

/* What a step waited for. Of a warm-up, of which one line tells at its end, only for who wants to know more. */
static void tell(const struct tfr_engine *engine, int64_t rows, int64_t logits, const struct tfr_plan *made, uint64_t ns,
                 uint64_t packing_ns) {
    tfr_log(
        engine->is_warming ? TFR_LOG_DEBUG : TFR_LOG_INFO, "plan",
        "%lld rows, %lld logit rows: %d tasks, %.2f MB of activations, predicted %.3f ms; made in %.2f ms beside %.2f of packing",
        (long long)rows, (long long)logits, made->n_tasks, (double)made->arena_bytes / 1e6, made->predicted_ns / 1e6,
        (double)(ns > packing_ns ? ns - packing_ns : 0) / 1e6, (double)packing_ns / 1e6);
}

enum tfr_status tfr_engine_plan(struct tfr_engine *engine, int64_t rows, int64_t logits, const struct tfr_gpt2_features *features,
                                const struct tfr_plan **plan) {
    rows = tfr_bucket(rows, engine->max_rows);
    logits = tfr_bucket(logits > 0 ? logits : 1, engine->max_rows);
    struct tfr_shape_plan *kept = find(engine, rows, logits, features);
    if (kept != NULL) {
        kept->used = ++engine->n_plan_uses;
        *plan = kept->plan;
        return TFR_OK;
    }
    struct tfr_plan *made = NULL;
    TFR_TRY(tfr_steps_settle(engine, -1)); /* building takes its time, and may give up a plan that runs */
    const uint64_t start_ns = tfr_clock_ns(), packed_ns = tfr_store_pack_ns(engine->store);
    enum tfr_status status = tfr_comm_agree(engine->comm, build(engine, rows, logits, features, false, &made));
    if (status != TFR_OK) {
        tfr_plan_free(made);
        return status;
    }
    const struct tfr_engine *asked = engine->lender != NULL ? engine->lender : engine; /* an assistant is as warm as its engine */
    if (asked->config->options.runtime_warmup) {
        tfr_plan_warm(made);
    }
    tell(engine, rows, logits, made, tfr_clock_ns() - start_ns, tfr_store_pack_ns(engine->store) - packed_ns);
    explain_halves(engine, made);
    struct tfr_shape_plan *space;
    TFR_TRY(make_space(engine, &space));
    *space =
        (struct tfr_shape_plan){.rows = rows, .logits = logits, .features = *features, .plan = made, .used = ++engine->n_plan_uses};
    engine->n_plans_made++;
    explain_attention(engine, made);
    *plan = made;
    return TFR_OK;
}

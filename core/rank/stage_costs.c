/* stage_costs.c - see stage_costs.h. */
#include "rank/stage_costs.h"

#include "base/arena.h"
#include "base/status.h"

enum { COMMON_PROMPT = 512, COMMON_PIECE = 64, SHARDS_PIECE = 256 };

int64_t tfr_common_prompt(const struct tfr_config *config) {
    const int64_t positions = config->model.n_positions;
    return positions / 2 < COMMON_PROMPT ? (positions + 1) / 2 : COMMON_PROMPT;
}

static int64_t piece_of(const struct tfr_config *config, int64_t rows) {
    const int64_t most = config->options.runtime_max_rows;
    return tfr_config_is_default(config, "runtime.max_rows") && rows < most ? rows : most;
}

int64_t tfr_common_piece(const struct tfr_config *config) {
    return piece_of(config, COMMON_PIECE);
}

int64_t tfr_layout_piece(const struct tfr_config *config, int stages, int tensor, int ranks_per_node) {
    const bool is_near = stages == 1 && tensor > 1 && ranks_per_node % tensor == 0;
    return piece_of(config, is_near ? SHARDS_PIECE : COMMON_PIECE);
}

static void add_task(struct tfr_stage_costs *costs, const struct tfr_task *task, double weight, double head_weight) {
    if (task->layer >= 0) {
        costs->block[task->layer] += weight * task->predicted_ns;
        return;
    }
    switch ((enum tfr_op)task->problem.op) {
    case TFR_OP_LAYER_NORM:
    case TFR_OP_GATHER_ROWS:
        costs->last += weight * task->predicted_ns;
        break;
    case TFR_OP_LINEAR:
        costs->head += head_weight * task->predicted_ns;
        break;
    default:
        costs->first += weight * task->predicted_ns;
    }
}

enum tfr_status tfr_stage_costs_add(struct tfr_stage_costs *costs, const struct tfr_planner *planner, int64_t rows, int64_t logits,
                                    double weight, double head_weight) {
    struct tfr_plan *plan = NULL;
    TFR_TRY(tfr_plan_step(planner, rows, logits, &plan));
    for (int i = 0; i < plan->n_tasks; i++) {
        add_task(costs, &plan->tasks[i], weight, head_weight);
    }
    tfr_plan_free(plan);
    return TFR_OK;
}

static enum tfr_status add_all(struct tfr_stage_costs *costs, const struct tfr_config *config, const struct tfr_machine *machine,
                               const struct tfr_registry *registry) {
    const struct tfr_planner planner = {.config = config,
                                        .machine = machine,
                                        .registry = registry,
                                        .placement = &tfr_placement_alone,
                                        .n_threads = 1,
                                        .context = -1};
    const int split = (int)config->options.parallel_split;
    const int64_t piece = tfr_common_piece(config);
    const int64_t n_pieces = (tfr_common_prompt(config) + piece - 1) / piece;
    const double n_decodes = split == TFR_SPLIT_PREFILL ? 0
                             : split == TFR_SPLIT_MIXED ? (double)config->options.sampling_max_tokens
                                                        : 1;
    if (n_decodes > 0) {
        TFR_TRY(tfr_stage_costs_add(costs, &planner, 1, 1, n_decodes, n_decodes));
    }
    return split == TFR_SPLIT_PREFILL || split == TFR_SPLIT_MIXED
               ? tfr_stage_costs_add(costs, &planner, piece, 1, (double)n_pieces, 1)
               : TFR_OK;
}

enum tfr_status tfr_stage_costs_open(struct tfr_stage_costs *costs, const struct tfr_config *config,
                                     const struct tfr_machine *machine, const struct tfr_registry *registry) {
    *costs = (struct tfr_stage_costs){.block = tfr_alloc((size_t)config->model.n_layer, sizeof *costs->block)};
    if (costs->block == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = add_all(costs, config, machine, registry);
    if (status != TFR_OK) {
        tfr_stage_costs_close(costs);
    }
    return status;
}

void tfr_stage_costs_close(struct tfr_stage_costs *costs) {
    tfr_free(costs->block);
    costs->block = NULL;
}

/* owners.c - which rank owns which block: the user's device_map, Hugging Face's rule, or the balance of predicted times. */
#include "rank/rank.h"

#include "base/arena.h"
#include "base/plural.h"
#include "base/status.h"
#include "mpi/partition.h"

struct stage_costs {
    double *block; /* [n_layer] */
    double first, last, head;
};

/* Predicted time of one decoded token on one rank, by block; embeddings weigh on rank 0. */
static void split_costs(const struct tfr_plan *plan, struct stage_costs *costs) {
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_task *task = &plan->tasks[i];
        if (task->layer >= 0) {
            costs->block[task->layer] += task->predicted_ns;
        } else if (task->problem.op == TFR_OP_LAYER_NORM || task->problem.op == TFR_OP_GATHER_ROWS) {
            costs->last += task->predicted_ns;
        } else if (task->problem.op == TFR_OP_LINEAR) {
            costs->head += task->predicted_ns;
        } else {
            costs->first += task->predicted_ns;
        }
    }
}

/* A split head weighs on all alike. */
static void place_head_cost(enum tfr_head_place head, struct stage_costs *costs) {
    costs->first += head == TFR_PLACE_FIRST ? costs->head : 0;
    costs->last += head == TFR_PLACE_LAST ? costs->head : 0;
}

static enum tfr_status predict(const struct tfr_config *config, const struct tfr_machine *machine,
                               const struct tfr_registry *registry, struct stage_costs *costs) {
    const struct tfr_planner planner = {.config = config,
                                        .machine = machine,
                                        .registry = registry,
                                        .placement = &tfr_placement_alone,
                                        .n_threads = 1,
                                        .context = -1};
    struct tfr_plan *plan = NULL;
    TFR_TRY(tfr_plan_step(&planner, 1, 1, &plan));
    split_costs(plan, costs);
    tfr_plan_free(plan);
    return TFR_OK;
}

static enum tfr_status split_balanced(const struct tfr_config *config, const struct tfr_machine *machine,
                                      const struct tfr_registry *registry, int n_ranks, int *owner) {
    const int64_t n_layer = config->model.n_layer;
    struct stage_costs costs = {.block = tfr_alloc((size_t)n_layer, sizeof(double))};
    if (costs.block == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = predict(config, machine, registry, &costs);
    if (status == TFR_OK) {
        place_head_cost((enum tfr_head_place)config->options.parallel_head, &costs);
        status = tfr_partition_balanced(costs.block, n_layer, costs.first, costs.last, n_ranks, owner);
    }
    tfr_free(costs.block);
    return status;
}

static enum tfr_status take_map(const struct tfr_config *config, int n_ranks, int *owner) {
    const struct tfr_device_map *map = &config->device_map;
    bool names_first = false;
    for (int64_t i = 0; i < map->n_blocks; i++) {
        owner[i] = map->rank_of_block[i];
        names_first |= owner[i] == 0;
        if (owner[i] >= n_ranks) {
            return tfr_raise(TFR_CONFIG,
                             "%s: tfrun.parallel.device_map gives block %lld to device %d, but there are %d ranks; start at "
                             "least %d (mpirun -n %d) or change the map",
                             config->path, (long long)i, owner[i], n_ranks, owner[i] + 1, owner[i] + 1);
        }
    }
    if (!names_first) {
        return tfr_raise(TFR_CONFIG,
                         "%s: tfrun.parallel.device_map has no device 0, which holds the embeddings and lm_head; "
                         "number the devices from 0",
                         config->path);
    }
    return TFR_OK;
}

/* ln_f stands on the last device that has blocks, as Hugging Face's parallelize puts it. */
static int last_owner(const int *owner, int64_t n_layer) {
    int last = 0;
    for (int64_t i = 0; i < n_layer; i++) {
        last = owner[i] > last ? owner[i] : last;
    }
    return last;
}

_Static_assert((int)TFR_PLACE_FIRST == (int)TFR_HEAD_AT_FIRST && (int)TFR_PLACE_LAST == (int)TFR_HEAD_AT_LAST &&
                   (int)TFR_PLACE_SPLIT == (int)TFR_HEAD_AT_SPLIT,
               "placements are named alike");

/* Stages of `tensor` ranks each. */
static enum tfr_status count_stages(const struct tfr_config *config, int n_ranks, struct tfr_placement *placement) {
    const int tensor = (int)config->options.parallel_tensor;
    if (n_ranks % tensor != 0) {
        return tfr_raise(
            TFR_USAGE,
            "%s: tfrun.parallel.tensor = %d ranks share a stage, and %d rank%s are no whole stages; start %d or a multiple "
            "(mpirun -n %d), or take another --tensor",
            config->path, tensor, n_ranks, tfr_plural(n_ranks), tensor, tensor);
    }
    placement->tensor = tensor;
    placement->stages = n_ranks / tensor;
    return TFR_OK;
}

enum tfr_status tfr_engine_place(const struct tfr_config *config, const struct tfr_machine *machine,
                                 const struct tfr_registry *registry, int n_ranks, struct tfr_placement *placement) {
    const int64_t n_layer = config->model.n_layer;
    TFR_TRY(tfr_placement_open(placement, n_layer, n_ranks));
    TFR_TRY(count_stages(config, n_ranks, placement));
    int *stage = placement->stage_of_block;
    if (config->device_map.n_blocks > 0) {
        TFR_TRY(take_map(config, placement->stages, stage));
    } else if (placement->stages > 1 && config->options.parallel_split == TFR_SPLIT_BALANCED) {
        TFR_TRY(split_balanced(config, machine, registry, placement->stages, stage));
    } else {
        tfr_partition_hf(n_layer, placement->stages, stage);
    }
    placement->head = (enum tfr_head_place)config->options.parallel_head;
    placement->last_stage = last_owner(stage, n_layer);
    return TFR_OK;
}

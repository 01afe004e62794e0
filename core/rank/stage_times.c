/* stage_times.c - what a step of generation takes in all stages together, and in the one that takes longest, as predicted. */
#include "base/arena.h"
#include "base/status.h"
#include "rank/stage_costs.h"

/* Of the head, embeddings and ln_f: those have a place, and of a split head each stage has a share. */
static double beside_blocks(const struct tfr_placement *placement, const struct tfr_stage_costs *costs, int stage) {
    const int head = placement->head == TFR_PLACE_LAST ? placement->last_stage : 0;
    const double share = placement->head == TFR_PLACE_SPLIT ? costs->head / placement->stages : stage == head ? costs->head : 0;
    return share + (stage == 0 ? costs->first : 0) + (stage == placement->last_stage ? costs->last : 0);
}

static double stage_ns(const struct tfr_placement *placement, const struct tfr_stage_costs *costs, int stage) {
    double ns = beside_blocks(placement, costs, stage);
    for (int64_t block = 0; block < placement->n_blocks; block++) {
        ns += tfr_placement_stage_of_block(placement, block) == stage ? costs->block[block] : 0;
    }
    return ns;
}

enum tfr_status tfr_engine_stage_times(const struct tfr_engine *engine, int64_t rows, double *all_ns, double *most_ns) {
    const struct tfr_planner planner = {.config = engine->config,
                                        .machine = engine->machine,
                                        .registry = engine->registry,
                                        .placement = &tfr_placement_alone,
                                        .n_threads = engine->threads.n_threads,
                                        .context = -1,
                                        .features = tfr_engine_features(engine)};
    struct tfr_stage_costs costs = {.block = tfr_alloc((size_t)engine->config->model.n_layer, sizeof *costs.block)};
    const enum tfr_status status = costs.block != NULL ? tfr_stage_costs_add(&costs, &planner, rows, rows, 1, 1) : TFR_RESOURCE;
    *all_ns = *most_ns = 0;
    for (int stage = 0; status == TFR_OK && stage < engine->placement.stages; stage++) {
        const double ns = stage_ns(&engine->placement, &costs, stage);
        *all_ns += ns;
        *most_ns = ns > *most_ns ? ns : *most_ns;
    }
    tfr_stage_costs_close(&costs);
    return status;
}

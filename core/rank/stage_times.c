/* stage_times.c - what a step of generation takes in all stages together, and in the one that takes longest, as predicted. */
#include "base/arena.h"
#include "base/status.h"
#include "rank/rank.h"

/* Embeddings are looked up on the first stage; of a split head each stage has a share. */
static void add(const struct tfr_placement *placement, const struct tfr_task *task, double *ns) {
    const bool is_head = task->layer < 0 && task->problem.op == TFR_OP_LINEAR;
    if (is_head && placement->head == TFR_PLACE_SPLIT) {
        for (int stage = 0; stage < placement->stages; stage++) {
            ns[stage] += task->predicted_ns / placement->stages;
        }
    } else if (task->layer >= 0) {
        ns[tfr_placement_stage_of_block(placement, task->layer)] += task->predicted_ns;
    } else {
        ns[is_head && placement->head == TFR_PLACE_LAST ? placement->last_stage : 0] += task->predicted_ns;
    }
}

enum tfr_status tfr_engine_stage_times(const struct tfr_engine *engine, int64_t rows, double *all_ns, double *most_ns) {
    const struct tfr_planner planner = {.config = engine->config,
                                        .machine = engine->machine,
                                        .registry = engine->registry,
                                        .placement = &tfr_placement_alone,
                                        .n_threads = engine->threads.n_threads,
                                        .context = -1,
                                        .features = tfr_engine_features(engine)};
    double *ns = tfr_alloc((size_t)engine->placement.stages, sizeof *ns);
    struct tfr_plan *plan = NULL;
    const enum tfr_status status = ns != NULL ? tfr_plan_step(&planner, rows, rows, &plan) : TFR_RESOURCE;
    *all_ns = *most_ns = 0;
    for (int i = 0; status == TFR_OK && i < plan->n_tasks; i++) {
        add(&engine->placement, &plan->tasks[i], ns);
    }
    for (int stage = 0; status == TFR_OK && stage < engine->placement.stages; stage++) {
        *all_ns += ns[stage];
        *most_ns = ns[stage] > *most_ns ? ns[stage] : *most_ns;
    }
    tfr_plan_free(plan);
    tfr_free(ns);
    return status;
}

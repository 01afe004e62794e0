/* layout_facts.c - see layout_facts.h. */
#include "report/layout_facts.h"

#include <limits.h>

#include "base/arena.h"
#include "base/status.h"
#include "report/layouts.h"

/* Links as calibrate --net found them, else what shared memory and 10 GbE usually take. */
static void take_links(struct tfr_layout_facts *facts, int ranks_per_node) {
    const struct tfr_measured_links *links = &facts->calibration.links;
    struct tfr_cluster *cluster = &facts->cluster.cluster;
    facts->cluster = tfr_cluster_of_one_node();
    cluster->net = (struct tfr_link){.alpha_ns = 25e3, .byte_ns = 0.8};
    cluster->shm = links->shm_pairs > 0 ? links->shm : cluster->shm;
    cluster->net = links->net_pairs > 0 ? links->net : cluster->net;
    if (links->asleep) { /* which these ranks do not */
        cluster->net.late_ns = cluster->net.later_ns = cluster->shm.late_ns = cluster->shm.later_ns = 0;
    }
    cluster->ranks_per_node = ranks_per_node;
    cluster->nodes = INT_MAX / ranks_per_node;
}

enum tfr_status tfr_layout_facts_open(struct tfr_layout_facts *facts, const struct tfr_config *config,
                                      const struct tfr_machine *machine, const struct tfr_registry *registry,
                                      const struct tfr_thread_choice *threads, int ranks_per_node) {
    char path[256];
    bool has_node;
    /* no member of it is changed, nor closed here */
    *facts = (struct tfr_layout_facts){.dry = {.config = (struct tfr_config *)config,
                                               .machine = (struct tfr_machine *)machine,
                                               .registry = (struct tfr_registry *)registry,
                                               .threads = *threads,
                                               .placement = tfr_placement_alone}};
    struct tfr_dry *dry = &facts->dry;
    TFR_TRY(tfr_model_table_types(config, tfr_table_dtype(config), &dry->tables));
    if (tfr_is_lossless(config)) {
        TFR_TRY(tfr_model_exact_types(config, false, &dry->exact));
        dry->tables.exact = dry->exact;
    }
    TFR_TRY(tfr_dry_find_calibration(dry, threads->n_threads, &facts->calibration, &facts->is_measured, path, sizeof path));
    if (!facts->is_measured) {
        tfr_calibration_nominal(&facts->calibration, machine, threads->n_threads);
    }
    TFR_TRY(tfr_dry_find_calibration(dry, machine->n_cores, &facts->node, &has_node, path, sizeof path));
    take_links(facts, ranks_per_node);
    facts->model = tfr_layout_model_of(config);
    const struct tfr_planner planner = tfr_dry_planner(dry); /* of one rank */
    return tfr_piece_times_open(&facts->pieces, &planner, &facts->calibration,
                                facts->node.roofs.n_threads > 0 ? &facts->node.roofs : NULL);
}

void tfr_layout_facts_close(struct tfr_layout_facts *facts) {
    tfr_piece_times_close(&facts->pieces);
    tfr_free(facts->dry.exact);
    tfr_calibration_free(&facts->calibration);
    tfr_calibration_free(&facts->node);
}

struct tfr_layout_question tfr_layout_facts_ask(const struct tfr_layout_facts *facts, const struct tfr_layout *layout,
                                                const struct tfr_layout_load *load) {
    return (struct tfr_layout_question){.layout = layout,
                                        .cluster = &facts->cluster.cluster,
                                        .model = &facts->model,
                                        .load = load,
                                        .ns = tfr_piece_times_ns,
                                        .user = &facts->pieces};
}

struct tfr_layout tfr_layout_of_engine(const struct tfr_engine *engine, int *blocks) {
    const struct tfr_placement *placement = &engine->placement;
    for (int64_t block = 0; block < placement->n_blocks; block++) {
        blocks[tfr_placement_stage_of_block(placement, block)]++;
    }
    return (struct tfr_layout){.replicas = placement->replicas,
                               .stages = placement->stages,
                               .tensor = placement->tensor,
                               .head = placement->head,
                               .blocks = blocks,
                               .groups = (int)engine->config->options.parallel_microbatches};
}

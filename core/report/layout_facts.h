/* layout_facts.h - what predictions of layouts rest on in a process that runs: times of pieces by a calibration that holds here,
 * else by nominal peaks, and links. Thread rule: one thread. */
#ifndef TFR_REPORT_LAYOUT_FACTS_H
#define TFR_REPORT_LAYOUT_FACTS_H

#include "predict/cluster_file.h"
#include "rank/piece_times.h"
#include "report/dry.h"

struct tfr_layout_facts {
    struct tfr_dry dry; /* borrows config, machine and registry */
    struct tfr_cluster_facts cluster;
    struct tfr_calibration calibration, node;
    bool is_measured;
    struct tfr_piece_times pieces;
    struct tfr_layout_model model;
};
/* To be closed also where it fails. What it is given lives longer. */
enum tfr_status tfr_layout_facts_open(struct tfr_layout_facts *facts, const struct tfr_config *config,
                                      const struct tfr_machine *machine, const struct tfr_registry *registry,
                                      const struct tfr_thread_choice *threads, int ranks_per_node);
void tfr_layout_facts_close(struct tfr_layout_facts *facts);
struct tfr_layout_question tfr_layout_facts_ask(const struct tfr_layout_facts *facts, const struct tfr_layout *layout,
                                                const struct tfr_layout_load *load);
/* The layout that the engine runs; `blocks` [stages], zeroed, are filled and borrowed. */
struct tfr_layout tfr_layout_of_engine(const struct tfr_engine *engine, int *blocks);

#endif

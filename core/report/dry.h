/* dry.h - everything that questions about a config need which no weights can answer: who owns which block, and dry plans.
 *
 * As the engine goes about it, without a launcher: the number of ranks is part of the question. Thread rule: one thread. */
#ifndef TFR_REPORT_DRY_H
#define TFR_REPORT_DRY_H

#include "rank/rank.h"

struct tfr_dry {
    struct tfr_config *config;
    struct tfr_machine *machine;
    struct tfr_registry *registry;
    struct tfr_thread_choice threads;
    struct tfr_table_types tables; /* of the checkpoint, where one lies beside the config */
    uint8_t *exact;                /* tables.exact */
    struct tfr_order_book orders;  /* of the rank that was planned last */
    struct tfr_placement placement;
    char told[2048]; /* auto_layout.h */
};

/* To be closed also where it fails. One rank is asked about as if the config said nothing of several. */
enum tfr_status tfr_dry_open(struct tfr_dry *dry, const char *path, const struct tfr_override *overrides, size_t n_overrides,
                             int n_ranks);
void tfr_dry_close(struct tfr_dry *dry);
/* One rank is asked about: refuses a layout of several that stands on the command line, where the user sees it ignored. */
enum tfr_status tfr_dry_check_said(const struct tfr_override *overrides, size_t n_overrides, int n_ranks);
/* Refuses, by the name of the command, what tells of one step: of a replica's ranks, not of all. */
enum tfr_status tfr_dry_check_one_replica(const struct tfr_config *config, int n_ranks, const char *command);
/* Another head than the config's, by the word of --head; NULL leaves it. */
enum tfr_status tfr_dry_choose_head(struct tfr_dry *dry, const char *word);

/* One step of one rank, of exactly these rows. */
struct tfr_dry_step {
    int rank;
    int64_t rows, logits, context;
    int64_t sequences, encoder; /* for predictions; 0: as struct tfr_planner says */
    struct tfr_gpt2_features features;
};
/* Of one rank, with the context that the planner assumes by itself. */
struct tfr_planner tfr_dry_planner(struct tfr_dry *dry);
/* As it is built, before fusion. */
enum tfr_status tfr_dry_graph(struct tfr_dry *dry, const struct tfr_dry_step *step, struct tfr_graph **graph);
/* As the engine does: the largest class fixes the orders, then the plan that was asked for. */
enum tfr_status tfr_dry_plan(struct tfr_dry *dry, const struct tfr_dry_step *step, struct tfr_plan **plan);

#endif

/* stage_costs.h - what blocks, embeddings, ln_f and the head weigh when blocks are dealt to stages, by parallel.split.
 * Thread rule: no state. */
#ifndef TFR_RANK_STAGE_COSTS_H
#define TFR_RANK_STAGE_COSTS_H

#include "rank/rank.h"

/* Predicted ns. `first` are embeddings, `last` ln_f. */
struct tfr_stage_costs {
    double *block; /* [n_layer] */
    double first, last, head;
};
/* A decoded row (balanced, decode), a piece of a common prompt (prefill), or such a prompt and sampling.max_tokens rows (mixed): of
 * a prompt one row needs the head. */
enum tfr_status tfr_stage_costs_open(struct tfr_stage_costs *costs, const struct tfr_config *config,
                                     const struct tfr_machine *machine, const struct tfr_registry *registry);
/* Adds `weight` steps of so many rows, all on one rank, of which `head_weight` have so many rows of logits. */
enum tfr_status tfr_stage_costs_add(struct tfr_stage_costs *costs, const struct tfr_planner *planner, int64_t rows, int64_t logits,
                                    double weight, double head_weight);
void tfr_stage_costs_close(struct tfr_stage_costs *costs);

/* Tokens of a prompt of common length for this model, and of the pieces in which stages read one: few enough for all stages to be
 * busy soon, enough for matrices to be read from caches; or runtime.max_rows, where that is given. */
int64_t tfr_common_prompt(const struct tfr_config *config);
int64_t tfr_common_piece(const struct tfr_config *config);
/* Of a layout. Shards of one stage have no stage to fill: within a node, where sums come soon, they read larger pieces. */
int64_t tfr_layout_piece(const struct tfr_config *config, int stages, int tensor, int ranks_per_node);

#endif

/* placement.h - which rank does what: replicas of a chain of stages, and each stage of `tensor` ranks that share its blocks.
 *
 * Ranks of one stage are neighbours, so that they sit on one node: rank = (replica * stages + stage) * tensor + shard. Rank 0 is
 * the one that callers speak to. Thread rule: pure functions of a struct that nobody changes once it is filled.
 */
#ifndef TFR_GRAPH_PLACEMENT_H
#define TFR_GRAPH_PLACEMENT_H

#include <stddef.h>

#include <tfrun/types.h>

/* Where lm_head and its vocabulary stand. */
enum tfr_head_place { TFR_PLACE_FIRST, TFR_PLACE_LAST, TFR_PLACE_SPLIT };

struct tfr_placement {
    int n_ranks, replicas, stages, tensor;
    int64_t n_blocks;
    int *stage_of_block; /* [n_blocks]; NULL: all on stage 0. May go back and forth: a device_map is the user's */
    int last_stage;      /* has ln_f */
    enum tfr_head_place head;
};

/* One rank that does all, of any number of blocks. */
extern const struct tfr_placement tfr_placement_alone;

/* One chain with a stage for each rank, all blocks on the first. Closed also where it fails. */
enum tfr_status tfr_placement_open(struct tfr_placement *placement, int64_t n_blocks, int n_ranks);
void tfr_placement_close(struct tfr_placement *placement);
/* Fails for a stage or a rank that is not there. */
enum tfr_status tfr_placement_check(const struct tfr_placement *placement, int64_t n_blocks);

int tfr_placement_rank(const struct tfr_placement *placement, int replica, int stage, int shard);
int tfr_placement_replica_of(const struct tfr_placement *placement, int rank);
int tfr_placement_stage_of(const struct tfr_placement *placement, int rank);
int tfr_placement_shard_of(const struct tfr_placement *placement, int rank);
int tfr_placement_stage_of_block(const struct tfr_placement *placement, int64_t block);
/* Of replica 0, shard 0: who has a block, who has ln_f, who has the whole head (rank 0 also where it is split: logits go there). */
int tfr_placement_owner(const struct tfr_placement *placement, int64_t block);
int tfr_placement_last_rank(const struct tfr_placement *placement);
int tfr_placement_head_rank(const struct tfr_placement *placement);
/* Whether a rank has this block, or its share of it; and how many it has. */
bool tfr_placement_has_block(const struct tfr_placement *placement, int rank, int64_t block);
int64_t tfr_placement_count_blocks(const struct tfr_placement *placement, int rank);
/* Shares of a split vocabulary: one for each rank of a replica. */
int tfr_placement_n_shares(const struct tfr_placement *placement);
/* The rows of lm_head that a rank has: *n of `vocab_size` from *first on, 0 where it has none. */
void tfr_placement_vocabulary(const struct tfr_placement *placement, int rank, int64_t vocab_size, int64_t *first, int64_t *n);
/* Whether a rank has anything to do. */
bool tfr_placement_has_work(const struct tfr_placement *placement, int rank);

#endif

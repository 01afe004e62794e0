/* groups.h - the running requests in groups, each with a round of its own: while the rows of one group are on other ranks, those of
 * another are computed here. With one rank, or one request, there is one group. Those of a group have their sessions on one
 * replica. Who shares a group changes no bit and no token.
 *
 * A request is in a group from the beginning of its round to its end; the next round may have it in another one. Thread rule: the
 * engine's thread. */
#ifndef TFR_SERVE_GROUPS_H
#define TFR_SERVE_GROUPS_H

#include "generation/round.h"

enum { TFR_MOST_GROUPS = 8, TFR_GROUP_SIZES = 8 };

struct tfr_group {
    struct tfr_round round;
    struct tfr_round_counts counts;
    struct tfr_continuation **members; /* [max_batch] */
    size_t n;
    int32_t replica;
    uint64_t turn; /* in which it began; 0: it is not under way */
};

struct tfr_groups {
    struct tfr_group *group;     /* [n] */
    int n, of_replica, replicas; /* groups of each replica at most */
    uint64_t turns;
    /* What a group of 1 << i sequences takes, as predicted: in all stages, in the longest; n_sizes 0: nobody asks. */
    struct tfr_group_time {
        double all_ns, most_ns;
    } time[TFR_GROUP_SIZES];
    int n_sizes;
    struct tfr_sampler sampler; /* lent to all continuations */
};

enum tfr_status tfr_groups_open(struct tfr_groups *groups, struct tfr_engine *engine);
void tfr_groups_close(struct tfr_groups *groups); /* zeroed, or opened; no round under way */
/* How many groups n requests of a replica with so many sequences make: as many as were asked for, or by default as many as there
 * are stages, unless fewer are predicted to be faster. */
int tfr_groups_wanted(const struct tfr_groups *groups, size_t n, int64_t slots);
/* As tfr_round_begin, for those of list[n] that are in no group, as long as there are groups: about equal numbers of sequences in
 * each. `budget`: of struct tfr_round. */
void tfr_groups_begin(struct tfr_groups *groups, struct tfr_continuation *const *list, size_t n,
                      int64_t (*budget)(void *user, const struct tfr_round_counts *counts), void *user);
/* Finishes the round that began first, and says what was in it; NULL: none is under way. */
const struct tfr_round_counts *tfr_groups_finish(struct tfr_groups *groups);

#endif

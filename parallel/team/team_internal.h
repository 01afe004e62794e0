/* team_internal.h - what both back ends do: pin in a first region, unpin in a last one, and loosen the pins
 * while other programs use the same cores. */
#ifndef TFR_TEAM_INTERNAL_H
#define TFR_TEAM_INTERNAL_H

#include "team/crowd.h"
#include "team/team.h"
#include "topo/topo.h"

struct tfr_pinning {
    int *pus;              /* [n_threads]; NULL: nothing is to be pinned */
    struct tfr_cpus saved; /* affinity of the opening thread */
    bool has_saved, pinned;
    bool is_watched; /* the team has as many cores as threads: losing them is worth a word */
    struct tfr_crowd crowd;
};

/* Runs a region that pins; warns once if a core refuses. Fails for lack of memory. */
enum tfr_status tfr_team_pin(struct tfr_team *team, struct tfr_pinning *pinning, const int *pus, bool oversubscribed);
/* Puts back what `pin` changed. */
void tfr_team_unpin(struct tfr_team *team, struct tfr_pinning *pinning);
/* After a region, on the master: lets the threads move while their cores are crowded, and says so once. */
void tfr_team_watch(struct tfr_team *team, struct tfr_pinning *pinning);

#endif

/* team_internal.h - what both back ends do: pin in a first region, unpin in a last one. */
#ifndef TFR_TEAM_INTERNAL_H
#define TFR_TEAM_INTERNAL_H

#include "team/team.h"
#include "topo/topo.h"

struct tfr_pinning {
    const int *pus;        /* NULL: nothing is pinned */
    struct tfr_cpus saved; /* affinity of the opening thread */
    bool has_saved, pinned;
};

/* Runs a region that pins; warns once if a core refuses. */
void tfr_team_pin(struct tfr_team *team, struct tfr_pinning *pinning, const int *pus);
/* Puts back what `pin` changed. */
void tfr_team_unpin(struct tfr_team *team, struct tfr_pinning *pinning);

#endif

/* topo_hwloc_none.c - stands in for topo_hwloc.c in builds without hwloc. */
#include "topo/topo_internal.h"

bool tfr_topo_read_hwloc(const struct tfr_cpus *allowed, struct tfr_machine *machine) {
    (void)allowed, (void)machine;
    return false;
}

/* topo_hwloc_none.c - stands in for topo_hwloc.c in builds without hwloc. */
#include "base/status.h"
#include "topo/topo_internal.h"

enum tfr_status tfr_topo_read_hwloc(const struct tfr_cpus *allowed, struct tfr_machine *machine) {
    (void)allowed;
    machine->n_cores = 0;
    return TFR_OK;
}

const char *tfr_topo_described(void) {
    return NULL;
}

enum tfr_status tfr_topo_read_described(struct tfr_machine *machine) {
    (void)machine;
    return tfr_raise(TFR_RESOURCE, "this tfrun was built without hwloc: it knows no other machine");
}

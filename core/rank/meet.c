/* meet.c - see meet.h. */
#include "rank/meet.h"

#include "plan/registry.h"

enum tfr_status tfr_rank_meet(struct tfr_comm **comm, int64_t timeout_s) {
    size_t n_bundled;
    char **folders = tfr_registry_folders(&n_bundled);
    *comm = NULL;
    const enum tfr_status status = folders != NULL ? tfr_comm_open(comm, (const char *const *)folders, timeout_s) : TFR_RESOURCE;
    tfr_registry_free_folders(folders);
    return *comm == NULL ? tfr_comm_not_met(status) : status; /* with one, all ranks know of it */
}

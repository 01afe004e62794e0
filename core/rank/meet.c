/* meet.c - see meet.h. */
#include "rank/meet.h"

#include "base/log.h"
#include "base/status.h"
#include "plan/registry.h"

enum tfr_status tfr_rank_meet(struct tfr_comm **comm, int64_t timeout_s) {
    size_t n_bundled;
    char **folders = tfr_registry_folders(&n_bundled);
    *comm = NULL;
    const enum tfr_status status = folders != NULL ? tfr_comm_open(comm, (const char *const *)folders, timeout_s) : TFR_RESOURCE;
    tfr_registry_free_folders(folders);
    return *comm == NULL ? tfr_comm_not_met(status) : status; /* with one, all ranks know of it */
}

void tfr_rank_end_job(struct tfr_comm *comm, enum tfr_status status) {
    if (tfr_comm_size(comm) > 1 && !tfr_comm_has_left()) {
        tfr_log_set_level(TFR_LOG_ERROR);
        tfr_log(TFR_LOG_ERROR, "rank", "rank %d: %s", tfr_comm_rank(comm), tfr_failure_text());
        tfr_comm_abort(comm, tfr_status_exit_code(status));
    }
}

enum tfr_status tfr_rank_part(struct tfr_comm *comm, enum tfr_status status) {
    if (comm != NULL && status != TFR_OK && tfr_comm_count_agreed(comm) == 0) {
        tfr_rank_end_job(comm, status);
    }
    tfr_comm_close(comm);
    return status;
}

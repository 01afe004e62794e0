/* comm_fail.c - a back end of calls that fail: MPI's own until the program sets TFRUN_FAIL_NOW in its environment, from where on
 * nothing can be sent. On the ranks that TFRUN_FAIL_OPEN lists (0,2) MPI does not even start. Built with comm_mpi.c, whose entry
 * has another name here.
 */
#include "mpi/comm_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tfr_comm_backend *tfr_comm_backend_mpi(void);
TFR_API struct tfr_comm_backend *tfr_comm_backend(void);

static bool (*open_mpi)(struct tfr_comm_backend *backend);
static bool (*send_mpi)(struct tfr_comm_backend *backend, const void *data, size_t bytes, int peer, int tag,
                        tfr_comm_request *request);

static bool fails_to_start(void) {
    const char *list = getenv("TFRUN_FAIL_OPEN"), *open_mpi_rank = getenv("OMPI_COMM_WORLD_RANK"), *rank = getenv("PMI_RANK");
    rank = open_mpi_rank != NULL ? open_mpi_rank : rank;
    return list != NULL && rank != NULL && strlen(rank) == 1 && strchr(list, rank[0]) != NULL;
}

static bool fail_open(struct tfr_comm_backend *backend) {
    if (fails_to_start()) {
        snprintf(backend->error, sizeof backend->error, "MPI_Init_thread: as the test wants");
        return false;
    }
    return open_mpi(backend);
}

static bool fail_isend(struct tfr_comm_backend *backend, const void *data, size_t bytes, int peer, int tag,
                       tfr_comm_request *request) {
    if (getenv("TFRUN_FAIL_NOW") != NULL) {
        backend->is_broken = true;
        snprintf(backend->error, sizeof backend->error, "MPI_Isend: as the test wants");
        return false;
    }
    return send_mpi(backend, data, bytes, peer, tag, request);
}

TFR_API struct tfr_comm_backend *tfr_comm_backend(void) {
    struct tfr_comm_backend *backend = tfr_comm_backend_mpi();
    open_mpi = backend->open;
    send_mpi = backend->isend;
    backend->open = fail_open;
    backend->isend = fail_isend;
    return backend;
}

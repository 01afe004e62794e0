/* comm_self.c - the back end of one process: comm.c lets no message to oneself through, so nothing can be
 * posted. */
#include "mpi/comm_backend.h"

#include <stdio.h>
#include <stdlib.h>

static bool self_open(struct tfr_comm_backend *backend) {
    backend->rank = 0;
    backend->size = 1;
    backend->local_rank = 0;
    backend->local_size = 1;
    snprintf(backend->describe, sizeof backend->describe, "one process");
    return true;
}

static void self_close(struct tfr_comm_backend *backend) {
    (void)backend;
}

static bool refuse(struct tfr_comm_backend *backend) {
    snprintf(backend->error, sizeof backend->error, "there is one process only");
    return false;
}

static bool self_isend(struct tfr_comm_backend *backend, const void *data, size_t bytes, int peer, int tag,
                       tfr_comm_request *request) {
    (void)data, (void)bytes, (void)peer, (void)tag, (void)request;
    return refuse(backend);
}

static bool self_irecv(struct tfr_comm_backend *backend, void *data, size_t bytes, int peer, int tag, tfr_comm_request *request) {
    (void)data, (void)bytes, (void)peer, (void)tag, (void)request;
    return refuse(backend);
}

static bool self_test(struct tfr_comm_backend *backend, tfr_comm_request request, bool *done) {
    (void)request, (void)done;
    return refuse(backend);
}

static void self_stop(struct tfr_comm_backend *backend, int code) {
    (void)backend;
    _Exit(code);
}

struct tfr_comm_backend *tfr_comm_backend_self(void) {
    static struct tfr_comm_backend self = {
        .version = TFR_COMM_BACKEND_VERSION,
        .open = self_open,
        .close = self_close,
        .isend = self_isend,
        .irecv = self_irecv,
        .test = self_test,
        .stop = self_stop,
    };
    return &self;
}

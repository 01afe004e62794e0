/* comm_backend.h - what comm.c asks of a back end: post, test, stop.
 *
 * comm_mpi.so is loaded at run time and links nothing of tfrun, so that there is one copy of everything with
 * state: failures come back as false with a text in `error`. Thread rule: one thread calls all of it.
 */
#ifndef TFR_MPI_COMM_BACKEND_H
#define TFR_MPI_COMM_BACKEND_H

#include "mpi/comm.h"

#define TFR_COMM_BACKEND_VERSION  3
#define TFR_COMM_BACKEND_FILE     "comm_mpi.so"
#define TFR_COMM_BACKEND_SYMBOL   "tfr_comm_backend"
#define TFR_COMM_BACKEND_VARIABLE "TFRUN_COMM_BACKEND" /* of the environment: the path of another file of the same interface */

struct tfr_comm_backend {
    int version; /* TFR_COMM_BACKEND_VERSION of the build */
    /* Facts, set by `open`. */
    int rank, size, local_rank, local_size;
    char describe[128];
    char error[512]; /* reason of the last false */
    bool is_broken;  /* a call of MPI failed: nothing is sure any more */
    bool (*open)(struct tfr_comm_backend *backend);
    void (*close)(struct tfr_comm_backend *backend);
    bool (*isend)(struct tfr_comm_backend *backend, const void *data, size_t bytes, int peer, int tag, tfr_comm_request *request);
    bool (*irecv)(struct tfr_comm_backend *backend, void *data, size_t bytes, int peer, int tag, tfr_comm_request *request);
    bool (*test)(struct tfr_comm_backend *backend, tfr_comm_request request, bool *done);
    /* Of simulated ranks, whose time stands still while they look: returns when a message in flight has moved on. NULL: poll. */
    bool (*wait)(struct tfr_comm_backend *backend);
    void (*stop)(struct tfr_comm_backend *backend, int code); /* kills all ranks, does not return */
};

/* The one exported symbol of comm_mpi.so; the record lives as long as the process. */
typedef struct tfr_comm_backend *(*tfr_comm_backend_fn)(void);

/* The back end of a program for simulated ranks, with what it can tell before it is open; NULL in every other program
 * (comm_simulated.c, comm_linked.c). */
struct tfr_comm_backend *tfr_comm_backend_linked(int *rank, int *size);

/* One process: nobody to talk to (comm_self.c). */
struct tfr_comm_backend *tfr_comm_backend_self(void);

#endif

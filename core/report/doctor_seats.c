/* doctor_seats.c - see doctor_seats.h: the seats of all ranks come to rank 0, which tries a single copy from each neighbour. */
#include "report/doctor_seats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"

struct door { /* for the try of a single copy */
    int64_t process;
    uint64_t address;
};

/* MPI falls back by itself where it is told not to try. */
static bool tries_single_copies(void) {
    const char *way = getenv("OMPI_MCA_btl_vader_single_copy_mechanism");
    return way == NULL || strcmp(way, "none") != 0;
}

static bool is_refused(const struct door *door) {
    char byte;
    const struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)door->address, 1};
    return process_vm_readv((pid_t)door->process, &here, 1, &there, 1, 0) != 1 && errno == EPERM;
}

static void try_copies(struct tfr_seat *seats, const struct door *doors, int n) {
    for (int rank = 1; rank < n && tries_single_copies(); rank++) {
        seats[rank].refuses_cma = strcmp(seats[rank].host, seats[0].host) == 0 && is_refused(&doors[rank]);
    }
}

static enum tfr_status gather(struct tfr_comm *comm, const struct tfr_seat *mine, struct tfr_seat *seats, struct door *doors) {
    static const char byte = 0;
    const struct door door = {getpid(), (uint64_t)(uintptr_t)&byte};
    TFR_TRY(tfr_comm_gather(comm, mine, sizeof *mine, seats));
    TFR_TRY(tfr_comm_gather(comm, &door, sizeof door, doors));
    if (tfr_comm_rank(comm) == 0) {
        try_copies(seats, doors, tfr_comm_size(comm));
    }
    return tfr_comm_agree(comm, TFR_OK); /* nobody leaves before its memory was looked at */
}

enum tfr_status tfr_doctor_visit(struct tfr_comm *comm, const struct tfr_machine *machine, const struct tfr_thread_choice *choice,
                                 int64_t n_blocks, struct tfr_finding found[TFR_MOST_FINDINGS], int *n_found) {
    const int n = tfr_comm_size(comm);
    struct tfr_seat mine;
    int index;
    *n_found = 0;
    const bool is_read = tfr_seat_read(&mine, "", machine, choice) == TFR_OK;
    TFR_TRY(tfr_comm_group(comm, tfr_machine_core_key(machine), &index, &mine.n_sharing));
    struct tfr_seat *seats = tfr_alloc((size_t)n, sizeof *seats);
    struct door *doors = tfr_alloc((size_t)n, sizeof *doors);
    enum tfr_status status = tfr_comm_agree(comm, is_read && seats != NULL && doors != NULL ? TFR_OK : TFR_RESOURCE);
    status = status == TFR_OK ? gather(comm, &mine, seats, doors) : status;
    if (status == TFR_OK && tfr_comm_rank(comm) == 0) {
        *n_found = tfr_doctor_examine(seats, n, n_blocks, found);
    }
    tfr_free(seats);
    tfr_free(doors);
    return status;
}

enum tfr_status tfr_doctor_warn(struct tfr_comm *comm, const struct tfr_machine *machine, const struct tfr_thread_choice *choice) {
    struct tfr_finding found[TFR_MOST_FINDINGS];
    int n_found;
    TFR_TRY(tfr_doctor_visit(comm, machine, choice, 0, found, &n_found));
    for (int i = 0; i < n_found; i++) {
        if (found[i].at_start) {
            tfr_log(TFR_LOG_WARN, "topo", "%s; fix: %s", found[i].what, found[i].fix);
        }
    }
    return TFR_OK;
}

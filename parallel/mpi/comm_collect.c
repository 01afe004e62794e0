/* comm_collect.c - collectives over the polled messages of comm.c: broadcast, gather, agreement, groups.
 *
 * Small and rare (start of a run, control of a step): clear ways before fast ones. Every wait has the
 * deadline.
 */
#include "mpi/comm.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "mpi/comm_internal.h"

/* At most a piece, which goes on while the next one comes. Binomial tree: the parent of a rank is the rank without its lowest bit.
 */
static enum tfr_status bcast_piece(struct tfr_comm *comm, void *data, size_t bytes) {
    const int rank = comm->backend->rank, size = comm->backend->size;
    const int lowest = rank & -rank;
    if (rank != 0) {
        TFR_TRY(tfr_comm_recv_tagged(comm, data, bytes, rank - lowest, TFR_TAG_BCAST, "a broadcast from"));
    }
    int bit = 1;
    while (bit < size && (rank == 0 || bit < lowest)) {
        bit <<= 1;
    }
    for (bit >>= 1; bit > 0; bit >>= 1) { /* the largest subtree first */
        if (rank + bit < size) {
            TFR_TRY(tfr_comm_send_tagged(comm, data, bytes, rank + bit, TFR_TAG_BCAST, "a broadcast to be taken by"));
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_comm_bcast(struct tfr_comm *comm, void *data, size_t bytes) {
    uint8_t *at = data;
    while (bytes > 0) {
        const size_t piece = tfr_comm_piece(bytes);
        TFR_TRY(bcast_piece(comm, at, piece));
        at += piece;
        bytes -= piece;
    }
    return TFR_OK;
}

enum tfr_status tfr_comm_gather(struct tfr_comm *comm, const void *mine, size_t bytes, void *all) {
    if (bytes == 0) {
        return TFR_OK;
    }
    if (comm->backend->rank != 0) {
        return tfr_comm_send_tagged(comm, mine, bytes, 0, TFR_TAG_GATHER, "its part to be gathered by");
    }
    uint8_t *to = all;
    memcpy(to, mine, bytes);
    for (int peer = 1; peer < comm->backend->size; peer++) {
        TFR_TRY(tfr_comm_recv_tagged(comm, to + (size_t)peer * bytes, bytes, peer, TFR_TAG_GATHER, "the part of"));
    }
    return TFR_OK;
}

struct report {
    int32_t status, rank;
    char text[4096 - 2 * sizeof(int32_t)];
};

/* True if a failure counts more than the one kept: ranks come in rising order, so the first stays, but for
 * CANCELLED. */
static bool outranks(int32_t status, int32_t kept) {
    return status != TFR_OK && (kept == TFR_OK || (kept == TFR_CANCELLED && status != TFR_CANCELLED));
}

static enum tfr_status collect_reports(struct tfr_comm *comm, struct report *kept) {
    struct report other;
    for (int peer = 1; peer < comm->backend->size; peer++) {
        TFR_TRY(tfr_comm_recv_tagged(comm, &other, sizeof other, peer, TFR_TAG_AGREE, "the agreement of"));
        if (outranks(other.status, kept->status)) {
            *kept = other;
        }
    }
    kept->text[sizeof kept->text - 1] = '\0';
    return TFR_OK;
}

enum tfr_status tfr_comm_agree(struct tfr_comm *comm, enum tfr_status mine) {
    const int rank = comm->backend->rank;
    struct report report = {.status = (int32_t)mine, .rank = rank};
    if (mine != TFR_OK) {
        snprintf(report.text, sizeof report.text, "%s", tfr_failure_text());
    }
    if (rank == 0) {
        TFR_TRY(collect_reports(comm, &report));
    } else {
        TFR_TRY(tfr_comm_send_tagged(comm, &report, sizeof report, 0, TFR_TAG_AGREE, "the agreement to be taken by"));
    }
    int32_t verdict[2] = {report.status, report.rank};
    TFR_TRY(tfr_comm_bcast(comm, verdict, sizeof verdict));
    if (verdict[0] == TFR_OK) {
        return TFR_OK;
    }
    comm->n_agreed++;
    const enum tfr_status status = (enum tfr_status)verdict[0];
    if (verdict[1] == rank) {
        return status;
    }
    if (rank == 0) {
        tfr_raise_lines(status, report.text);
        return tfr_raise_prefix(status, "rank %d", (int)verdict[1]);
    }
    return mine != TFR_OK ? status : tfr_raise(status, "rank %d failed: %s", (int)verdict[1], tfr_status_text(status));
}

uint64_t tfr_comm_count_agreed(const struct tfr_comm *comm) {
    return comm->n_agreed;
}

enum tfr_status tfr_comm_group(struct tfr_comm *comm, uint64_t key, int *index, int *size) {
    const int n = comm->backend->size;
    *index = 0;
    *size = 0;
    uint64_t *keys = tfr_alloc((size_t)n, sizeof *keys);
    enum tfr_status status = tfr_comm_agree(comm, keys != NULL ? TFR_OK : TFR_RESOURCE); /* or the others would wait for this one */
    if (status == TFR_OK) {
        status = tfr_comm_gather(comm, &key, sizeof key, keys);
    }
    if (status == TFR_OK) {
        status = tfr_comm_bcast(comm, keys, (size_t)n * sizeof *keys);
    }
    for (int i = 0; i < n && status == TFR_OK; i++) {
        *index += i < comm->backend->rank && keys[i] == key;
        *size += keys[i] == key;
    }
    tfr_free(keys);
    return status;
}

/* comm_delay.c - a back end of messages that arrive late: MPI's own, behind a wire of given delay and width.
 *
 * TFRUN_DELAY=ALPHA_US,GBIT_S (0 for any width) tells the wire. Each rank has one, which takes its messages one after the other: a
 * message of n bytes leaves it n / width after the one before has left, or after it was posted, and is there ALPHA later. A
 * receive is done then, not before; a send when its bytes have left. The time of arrival travels with the bytes, on the clock that
 * the processes of one machine share, so ranks of two machines are refused. Built with comm_mpi.c, whose entry has another name
 * here.
 */
#include "mpi/comm_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tfr_comm_backend *tfr_comm_backend_mpi(void);
TFR_API struct tfr_comm_backend *tfr_comm_backend(void);

/* What travels: the time of arrival, then the bytes. */
struct packet {
    uint64_t due_ns;
    char bytes[];
};

struct slot {
    struct packet *packet; /* NULL: free */
    tfr_comm_request inner;
    bool receives, taken; /* taken: MPI is done with it */
    uint64_t due_ns;      /* when the request may be done */
    void *data;
    size_t bytes;
};

/* One world per process, therefore static. */
static struct slot slots[TFR_COMM_MAX_REQUESTS];
static struct wire {
    double alpha_ns, ns_per_byte;
    uint64_t free_ns; /* the wire has taken everything so far */
} wire;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool refuse(struct tfr_comm_backend *backend, const char *reason) {
    snprintf(backend->error, sizeof backend->error, "%s", reason);
    return false;
}

/* The facts and the last error are the inner back end's. */
static bool take_over(struct tfr_comm_backend *backend, bool fine) {
    const struct tfr_comm_backend *inner = tfr_comm_backend_mpi();
    if (!fine) {
        snprintf(backend->error, sizeof backend->error, "%.*s", (int)sizeof backend->error - 1, inner->error);
    }
    return fine;
}

static bool delay_open(struct tfr_comm_backend *backend) {
    struct tfr_comm_backend *inner = tfr_comm_backend_mpi();
    const char *setting = getenv("TFRUN_DELAY");
    double alpha_us, gbit;
    char end;
    if (setting == NULL || sscanf(setting, "%lf,%lf%c", &alpha_us, &gbit, &end) != 2 || !(alpha_us >= 0) || !(gbit >= 0)) {
        return refuse(backend, "TFRUN_DELAY is to be ALPHA_US,GBIT_S: microseconds until a message is there, Gbit/s of the wire "
                               "(0: any), e.g. 25,10");
    }
    if (!take_over(backend, inner->open(inner))) {
        return false;
    }
    if (inner->local_size != inner->size) {
        return refuse(backend, "delayed messages need all ranks on one machine: they compare times of one clock");
    }
    wire = (struct wire){.alpha_ns = 1e3 * alpha_us, .ns_per_byte = gbit > 0 ? 8 / gbit : 0};
    backend->rank = inner->rank;
    backend->size = inner->size;
    backend->local_rank = inner->local_rank;
    backend->local_size = inner->local_size;
    snprintf(backend->describe, sizeof backend->describe, "%.60s, messages delayed: %g us, %g Gbit/s", inner->describe, alpha_us,
             gbit);
    if (backend->rank == 0) {
        fprintf(stderr, "tfrun: MESSAGES ARE DELAYED for a test or a study: each takes %g us, over a wire of %g Gbit/s\n", alpha_us,
                gbit);
    }
    return true;
}

static void delay_close(struct tfr_comm_backend *backend) {
    struct tfr_comm_backend *inner = tfr_comm_backend_mpi();
    (void)backend;
    for (int i = 0; i < TFR_COMM_MAX_REQUESTS; i++) {
        free(slots[i].packet);
        slots[i].packet = NULL;
    }
    inner->close(inner);
}

/* A free slot with room for `bytes`; NULL with a reason. */
static struct slot *take_slot(struct tfr_comm_backend *backend, size_t bytes) {
    for (int i = 0; i < TFR_COMM_MAX_REQUESTS; i++) {
        if (slots[i].packet == NULL) {
            slots[i] = (struct slot){.packet = malloc(sizeof(struct packet) + bytes), .bytes = bytes};
            if (slots[i].packet == NULL) {
                refuse(backend, "no memory for a delayed message");
                return NULL;
            }
            return &slots[i];
        }
    }
    snprintf(backend->error, sizeof backend->error, "more than %d messages in flight", TFR_COMM_MAX_REQUESTS);
    return NULL;
}

static bool drop(struct slot *slot) {
    free(slot->packet);
    slot->packet = NULL;
    return false;
}

static bool delay_isend(struct tfr_comm_backend *backend, const void *data, size_t bytes, int peer, int tag,
                        tfr_comm_request *request) {
    struct tfr_comm_backend *inner = tfr_comm_backend_mpi();
    struct slot *slot = take_slot(backend, bytes);
    if (slot == NULL) {
        return false;
    }
    const uint64_t now = now_ns();
    const uint64_t left = (now > wire.free_ns ? now : wire.free_ns) + (uint64_t)((double)bytes * wire.ns_per_byte);
    slot->due_ns = left;
    slot->packet->due_ns = left + (uint64_t)wire.alpha_ns;
    if (bytes > 0) {
        memcpy(slot->packet->bytes, data, bytes);
    }
    if (!take_over(backend, inner->isend(inner, slot->packet, sizeof(struct packet) + bytes, peer, tag, &slot->inner))) {
        return drop(slot);
    }
    wire.free_ns = left;
    *request = (int)(slot - slots);
    return true;
}

static bool delay_irecv(struct tfr_comm_backend *backend, void *data, size_t bytes, int peer, int tag, tfr_comm_request *request) {
    struct tfr_comm_backend *inner = tfr_comm_backend_mpi();
    struct slot *slot = take_slot(backend, bytes);
    if (slot == NULL) {
        return false;
    }
    slot->receives = true;
    slot->data = data;
    if (!take_over(backend, inner->irecv(inner, slot->packet, sizeof(struct packet) + bytes, peer, tag, &slot->inner))) {
        return drop(slot);
    }
    *request = (int)(slot - slots);
    return true;
}

static bool delay_test(struct tfr_comm_backend *backend, tfr_comm_request request, bool *done) {
    struct tfr_comm_backend *inner = tfr_comm_backend_mpi();
    struct slot *slot = &slots[request];
    *done = false;
    if (slot->packet == NULL) {
        snprintf(backend->error, sizeof backend->error, "request %d is not in flight", request);
        return false;
    }
    if (!slot->taken) {
        if (!take_over(backend, inner->test(inner, slot->inner, &slot->taken))) {
            return false;
        }
        if (!slot->taken) {
            return true;
        }
        slot->due_ns = slot->receives ? slot->packet->due_ns : slot->due_ns;
    }
    if (now_ns() < slot->due_ns) {
        return true;
    }
    if (slot->receives && slot->bytes > 0) {
        memcpy(slot->data, slot->packet->bytes, slot->bytes);
    }
    drop(slot);
    *done = true;
    return true;
}

static void delay_stop(struct tfr_comm_backend *backend, int code) {
    struct tfr_comm_backend *inner = tfr_comm_backend_mpi();
    (void)backend;
    inner->stop(inner, code);
}

TFR_API struct tfr_comm_backend *tfr_comm_backend(void) {
    static struct tfr_comm_backend delay = {
        .version = TFR_COMM_BACKEND_VERSION,
        .open = delay_open,
        .close = delay_close,
        .isend = delay_isend,
        .irecv = delay_irecv,
        .test = delay_test,
        .stop = delay_stop,
    };
    return &delay;
}

/* comm.c - messages: the checks, the waiting forms with back-off and deadline, and the small getters.
 *
 * The choice of the back end is comm_open.c, collectives are comm_collect.c.
 */
#include "mpi/comm.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "mpi/comm_internal.h"

/* On a core of its own a rank goes on looking for longer than the steps of the other ranks take: a sleep in each would cost a tenth
 * of decode. It offers the core at each look but the first ones; where that takes long another wanted it, and it sleeps, as a rank
 * does that shares its core, after a few offers (the peer may run there). A sleep takes an eighth of the time waited so far: late
 * by 12 % at most. */
enum {
    SPIN_NS = 50000,
    OFFER_NS = 100000000,
    TAKEN_NS = 200000, /* the system call alone takes less than a microsecond */
    OFFERS = 20,
    SLEEP_MIN_NS = 50000,
    SLEEP_MAX_NS = 1000000,
    SLEEP_SHARE = 8,
    SECOND_NS = 1000000000,
    STOPPED_NS = SECOND_NS,
    LOOK_NS = SECOND_NS / 4, /* well within the time that comm_lost.c waits for answers */
    LONG_NS = SECOND_NS,     /* nothing was said for so long: the next word may wait a little too */
    LONG_SLEEP_NS = 5000000,
    LONG_SHARE = 500
};

static atomic_int has_left;

void tfr_comm_leave(void) {
    atomic_store(&has_left, 1);
}

bool tfr_comm_has_left(void) {
    return atomic_load(&has_left) != 0;
}

int tfr_comm_rank(const struct tfr_comm *comm) {
    return comm->backend->rank;
}

int tfr_comm_size(const struct tfr_comm *comm) {
    return comm->backend->size;
}

int tfr_comm_local_rank(const struct tfr_comm *comm) {
    return comm->backend->local_rank;
}

int tfr_comm_local_size(const struct tfr_comm *comm) {
    return comm->backend->local_size;
}

const char *tfr_comm_describe(const struct tfr_comm *comm) {
    return comm->backend->describe;
}

void tfr_comm_set_timeout(struct tfr_comm *comm, int64_t timeout_s) {
    comm->timeout_s = timeout_s;
}

void tfr_comm_set_wait(struct tfr_comm *comm, enum tfr_comm_wait wait) {
    comm->wait = wait;
}

/* A request that never was, or a message of another length, is a failure of this rank alone. */
static enum tfr_status break_off(struct tfr_comm *comm) {
    return comm->backend->is_broken && comm->backend->size > 1 ? tfr_comm_break(comm) : TFR_RUNTIME;
}

static enum tfr_status backend_failed(struct tfr_comm *comm, const char *what, int peer) {
    const int rank = comm->backend->rank;
    tfr_raise(TFR_RUNTIME, "rank %d on host %s: %s rank %d on host %s failed: %s", rank, tfr_comm_host(comm, rank), what, peer,
              tfr_comm_host(comm, peer), comm->backend->error);
    return break_off(comm);
}

static enum tfr_status message_failed(struct tfr_comm *comm) {
    const int rank = comm->backend->rank;
    tfr_raise(TFR_RUNTIME, "rank %d on host %s: a message failed: %s", rank, tfr_comm_host(comm, rank), comm->backend->error);
    return break_off(comm);
}

static enum tfr_status check_peer(const struct tfr_comm *comm, int peer) {
    if (peer < 0 || peer >= comm->backend->size || peer == comm->backend->rank) {
        return tfr_raise(TFR_RUNTIME, "rank %d of %d cannot exchange messages with rank %d", comm->backend->rank,
                         comm->backend->size, peer);
    }
    return TFR_OK;
}

static enum tfr_status check_tag(int tag) {
    if (tag < 0 || tag > TFR_COMM_MAX_TAG) {
        return tfr_raise(TFR_RUNTIME, "message tag %d is not in 0 .. %d", tag, TFR_COMM_MAX_TAG);
    }
    return TFR_OK;
}

/* What was posted may have been freed since: MPI, which would go on with it, is not called any more. */
static bool is_over_with(const struct tfr_comm *comm) {
    return tfr_comm_has_left() && comm->backend->size > 1;
}

static enum tfr_status check_left(const struct tfr_comm *comm) {
    return is_over_with(comm) ? tfr_raise(TFR_CANCELLED, "stopped, since another rank is gone") : TFR_OK;
}

static enum tfr_status post_send(struct tfr_comm *comm, const void *data, size_t bytes, int peer, int tag,
                                 tfr_comm_request *request) {
    TFR_TRY(check_left(comm));
    TFR_TRY(check_peer(comm, peer));
    comm->sent_bytes += bytes;
    comm->sent_messages++;
    return comm->backend->isend(comm->backend, data, bytes, peer, tag, request) ? TFR_OK : backend_failed(comm, "sending to", peer);
}

static enum tfr_status post_recv(struct tfr_comm *comm, void *data, size_t bytes, int peer, int tag, tfr_comm_request *request) {
    TFR_TRY(check_left(comm));
    TFR_TRY(check_peer(comm, peer));
    return comm->backend->irecv(comm->backend, data, bytes, peer, tag, request) ? TFR_OK
                                                                                : backend_failed(comm, "receiving from", peer);
}

enum tfr_status tfr_comm_isend(struct tfr_comm *comm, const void *data, size_t bytes, int peer, int tag,
                               tfr_comm_request *request) {
    *request = -1;
    TFR_TRY(check_tag(tag));
    return post_send(comm, data, bytes, peer, tag, request);
}

enum tfr_status tfr_comm_irecv(struct tfr_comm *comm, void *data, size_t bytes, int peer, int tag, tfr_comm_request *request) {
    *request = -1;
    TFR_TRY(check_tag(tag));
    return post_recv(comm, data, bytes, peer, tag, request);
}

enum tfr_status tfr_comm_test(struct tfr_comm *comm, tfr_comm_request request, bool *done) {
    *done = false;
    if (is_over_with(comm)) { /* whoever waits for it is told by tfr_comm_pause */
        return TFR_OK;
    }
    if (request < 0 || request >= TFR_COMM_MAX_REQUESTS) {
        return tfr_raise(TFR_RUNTIME, "request %d does not exist", request);
    }
    if (!comm->backend->test(comm->backend, request, done)) {
        return message_failed(comm);
    }
    return TFR_OK;
}

static void pause_core(void) {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

static void sleep_ns(uint64_t ns) {
    const struct timespec time = {.tv_sec = 0, .tv_nsec = (long)ns};
    nanosleep(&time, NULL);
}

/* Longer the longer it waits: a rank that a server leaves idle costs half a percent of its core. */
static uint64_t nap_ns(uint64_t waited) {
    const bool is_long = waited >= LONG_NS;
    const uint64_t share = waited / (is_long ? LONG_SHARE : SLEEP_SHARE);
    const uint64_t least = is_long ? SLEEP_MAX_NS : SLEEP_MIN_NS, most = is_long ? LONG_SLEEP_NS : SLEEP_MAX_NS;
    return share < least ? least : share > most ? most : share;
}

/* Steps of a wait are short: where one takes seconds, this process was stopped, by a user or with its machine, and the others may
 * have been as well. Such time does not count. */
static void count_step(struct tfr_comm *comm, struct tfr_backoff *backoff, uint64_t ns) {
    if (ns > STOPPED_NS && comm->backend->wait == NULL) { /* simulated time is never stopped */
        backoff->start_ns += ns;
    } else {
        comm->waited_ns += ns;
    }
}

/* Time that has passed for this wait. */
static uint64_t count_wait(struct tfr_comm *comm, struct tfr_backoff *backoff, uint64_t now) {
    if (backoff->rounds == 0) {
        *backoff = (struct tfr_backoff){.start_ns = now, .last_ns = now, .looked_ns = now};
    }
    count_step(comm, backoff, now - backoff->last_ns);
    backoff->rounds++;
    return now - backoff->start_ns;
}

static enum tfr_status rest(struct tfr_comm *comm, struct tfr_backoff *backoff, uint64_t now, uint64_t waited) {
    const bool is_own = comm->wait == TFR_COMM_WAIT_OWN_CORES;
    bool is_fine = true;
    if (comm->backend->wait != NULL) {
        is_fine = comm->backend->wait(comm->backend);
    } else if (comm->wait == TFR_COMM_WAIT_SPIN || (is_own && waited < SPIN_NS)) {
        pause_core();
    } else if (is_own ? waited < OFFER_NS && !backoff->is_crowded : backoff->rounds <= OFFERS) {
        sched_yield();
        backoff->is_crowded = tfr_clock_ns() - now > TAKEN_NS;
    } else {
        sleep_ns(nap_ns(waited));
    }
    backoff->last_ns = tfr_clock_ns();
    count_step(comm, backoff, backoff->last_ns - now);
    return is_fine ? TFR_OK : message_failed(comm);
}

static bool is_over(const struct tfr_comm *comm, uint64_t waited) {
    return comm->timeout_s > 0 && waited > (uint64_t)comm->timeout_s * SECOND_NS;
}

enum tfr_status tfr_comm_pause(struct tfr_comm *comm, struct tfr_backoff *backoff, const char *awaited) {
    const uint64_t now = tfr_clock_ns(), waited = count_wait(comm, backoff, now);
    if (tfr_comm_has_left()) {
        return tfr_raise(TFR_CANCELLED, "stopped on request: a rank is gone, and %s is not waited for", awaited);
    }
    if (is_over(comm, waited)) {
        return tfr_comm_lose(comm, awaited);
    }
    return rest(comm, backoff, now, waited);
}

enum tfr_status tfr_comm_pause_idle(struct tfr_comm *comm, struct tfr_backoff *backoff, int peer, const char *awaited) {
    const uint64_t now = tfr_clock_ns(), waited = count_wait(comm, backoff, now);
    if (now - backoff->looked_ns >= LOOK_NS) {
        const bool is_stopped = tfr_comm_is_stopped(comm, peer);
        backoff->stopped_ns = is_stopped ? backoff->stopped_ns + LOOK_NS : 0;
        backoff->looked_ns = now;
    }
    if (is_over(comm, backoff->stopped_ns)) {
        return tfr_comm_lose(comm, awaited);
    }
    return rest(comm, backoff, now, waited);
}

uint64_t tfr_comm_waited_ns(const struct tfr_comm *comm) {
    return comm->waited_ns;
}

void tfr_comm_count_sent(const struct tfr_comm *comm, uint64_t *bytes, uint64_t *messages) {
    *bytes = comm->sent_bytes;
    *messages = comm->sent_messages;
}

static enum tfr_status await(struct tfr_comm *comm, tfr_comm_request request, const char *awaited, int peer) {
    struct tfr_backoff backoff = {0};
    char text[96];
    bool done = false;
    for (;;) {
        TFR_TRY(tfr_comm_test(comm, request, &done));
        if (done) {
            return TFR_OK;
        }
        if (backoff.rounds == 0) {
            snprintf(text, sizeof text, "%s rank %d", awaited, peer);
        }
        TFR_TRY(tfr_comm_pause(comm, &backoff, text));
    }
}

/* Sends what is at `data`, which is read alone, or receives it there, piece by piece; an empty message is a piece too. */
static enum tfr_status pass(struct tfr_comm *comm, bool sends, uint8_t *data, size_t bytes, int peer, int tag,
                            const char *awaited) {
    for (;;) {
        const size_t piece = tfr_comm_piece(bytes);
        tfr_comm_request request = -1;
        TFR_TRY(sends ? post_send(comm, data, piece, peer, tag, &request) : post_recv(comm, data, piece, peer, tag, &request));
        TFR_TRY(await(comm, request, awaited, peer));
        bytes -= piece;
        if (bytes == 0) {
            return TFR_OK;
        }
        data += piece;
    }
}

enum tfr_status tfr_comm_send_tagged(struct tfr_comm *comm, const void *data, size_t bytes, int peer, int tag,
                                     const char *awaited) {
    return pass(comm, true, (void *)data, bytes, peer, tag, awaited);
}

enum tfr_status tfr_comm_recv_tagged(struct tfr_comm *comm, void *data, size_t bytes, int peer, int tag, const char *awaited) {
    return pass(comm, false, data, bytes, peer, tag, awaited);
}

enum tfr_status tfr_comm_send(struct tfr_comm *comm, const void *data, size_t bytes, int peer, int tag) {
    TFR_TRY(check_tag(tag));
    return tfr_comm_send_tagged(comm, data, bytes, peer, tag, "a message to be taken by");
}

enum tfr_status tfr_comm_recv(struct tfr_comm *comm, void *data, size_t bytes, int peer, int tag) {
    TFR_TRY(check_tag(tag));
    return tfr_comm_recv_tagged(comm, data, bytes, peer, tag, "a message from");
}

void tfr_comm_abort(struct tfr_comm *comm, int code) {
    comm->backend->stop(comm->backend, code);
}

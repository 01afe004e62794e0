/* comm_lost.c - a wait is over its limit: who does not answer, one sentence about it, and the end of the job. And a message that
 * fails.
 *
 * Where one rank is lost all others wait, for it or for one that waits for it, and whoever is awaited directly is often
 * innocent. So all that come to their limit call each other; who is silent is named, and the lowest of the others
 * speaks. The places of ranks are known from the start.
 *
 * Rank 0, while it drives the others, has results that callers want. It leaves: what it waits for fails as cancelled, what there is
 * is delivered, and closing the communicator ends the job. The others give it a few seconds for that.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/named.h"
#include "base/plural.h"
#include "base/status.h"
#include "mpi/comm_internal.h"

enum { NAP_NS = 1000000, LEAST_S = 1, MOST_S = 5, SHARE = 4, SPEAK_S = 3, MOST_NAMED = 160 };

static const uint64_t second_ns = 1000000000;

struct roll {
    tfr_comm_request send, receive;
    char word;
    bool called, answers;
};

static void sleep_ns(uint64_t ns) {
    const struct timespec time = {.tv_sec = (time_t)(ns / second_ns), .tv_nsec = (long)(ns % second_ns)};
    nanosleep(&time, NULL);
}

static void post(struct tfr_comm *comm, struct roll *roll, int peer) {
    static const char word = 'h';
    struct tfr_comm_backend *backend = comm->backend;
    roll->called = backend->irecv(backend, &roll->word, 1, peer, TFR_TAG_ROLL, &roll->receive) &&
                   backend->isend(backend, &word, 1, peer, TFR_TAG_ROLL, &roll->send);
}

/* The others come to their limits at nearly the same time: when the lost one stopped, or a step later. */
static void call(struct tfr_comm *comm, struct roll *rolls) {
    const int rank = comm->backend->rank, size = comm->backend->size;
    const int64_t share_s = comm->timeout_s / SHARE;
    const uint64_t window_s = (uint64_t)(share_s < LEAST_S ? LEAST_S : share_s > MOST_S ? MOST_S : share_s);
    const uint64_t start = tfr_clock_ns();
    int n_left = size - 1;
    rolls[rank].answers = true;
    for (int peer = 0; peer < size; peer++) {
        if (peer != rank) {
            post(comm, &rolls[peer], peer);
        }
    }
    while (n_left > 0 && tfr_clock_ns() - start < window_s * second_ns) {
        for (int peer = 0; peer < size; peer++) {
            struct roll *roll = &rolls[peer];
            bool done = false, sent;
            if (!roll->called || roll->answers) {
                continue;
            }
            if (comm->backend->test(comm->backend, roll->receive, &done) && done) {
                roll->answers = true;
                n_left--;
                comm->backend->test(comm->backend, roll->send, &sent);
            }
        }
        sleep_ns(NAP_NS);
    }
}

const char *tfr_comm_host(const struct tfr_comm *comm, int rank) {
    const bool is_ours = rank == comm->backend->rank || comm->backend->local_size == comm->backend->size;
    return comm->places != NULL ? comm->places[rank].host : is_ours ? comm->host : "?";
}

/* Its process is of this host and has the same number there as here. */
static bool is_visible(const struct tfr_comm *comm, int rank) {
    const struct tfr_comm_place *mine = comm->places != NULL ? &comm->places[comm->backend->rank] : NULL,
                                *its = mine != NULL ? &comm->places[rank] : NULL;
    return mine != NULL && strcmp(mine->host, its->host) == 0 && mine->sees != 0 && mine->sees == its->sees;
}

/* A rank that was stopped is let go on by the launcher, to be ended: it finds this and does not speak of it once more. Nor does
 * this one. Without rolls all are told. */
static void leave_word(const struct tfr_comm *comm, const struct roll *rolls) {
    for (int rank = 0; rank < comm->backend->size; rank++) {
        if ((rolls == NULL || !rolls[rank].answers || rank == comm->backend->rank) && is_visible(comm, rank)) {
            kill((pid_t)comm->places[rank].process, TFR_SIGNAL_NAMED);
        }
    }
}

/* "rank 1 on host b, rank 3 on host c"; how many there are. */
static int name_silent(const struct tfr_comm *comm, const struct roll *rolls, char *text, size_t size) {
    int n = 0;
    size_t used = 0;
    for (int rank = 0; rank < comm->backend->size; rank++) {
        if (!rolls[rank].answers) {
            used += used < size ? (size_t)snprintf(text + used, size - used, "%srank %d on host %s", n > 0 ? ", " : "", rank,
                                                   tfr_comm_host(comm, rank))
                                : 0;
            n++;
        }
    }
    return n;
}

static void say(const struct tfr_comm *comm, const struct roll *rolls, const char *awaited) {
    char names[MOST_NAMED] = "";
    const int rank = comm->backend->rank, n = name_silent(comm, rolls, names, sizeof names);
    tfr_log_set_level(TFR_LOG_ERROR);
    if (n > 0) {
        tfr_log(TFR_LOG_ERROR, "mpi", "%s %s; rank %d waited %lld s for %s (parallel.timeout_s, --mpi-timeout)", names,
                n == 1 ? "does not answer: it has died, is stopped or is slower than the limit"
                       : "do not answer: they have died, are stopped or are slower than the limit",
                rank, (long long)comm->timeout_s, awaited);
    } else {
        tfr_log(TFR_LOG_ERROR, "mpi",
                "rank %d on host %s waited %lld s for %s, though all ranks answer: allow for longer steps "
                "(parallel.timeout_s, --mpi-timeout)",
                rank, tfr_comm_host(comm, rank), (long long)comm->timeout_s, awaited);
    }
}

/* A lower rank that answers is given the time to speak and to end the job. */
static void let_others_speak(const struct tfr_comm *comm, const struct roll *rolls) {
    const uint64_t start = tfr_clock_ns();
    int lowest = 0;
    while (!rolls[lowest].answers) {
        lowest++;
    }
    while (lowest < comm->backend->rank && tfr_clock_ns() - start < SPEAK_S * second_ns) {
        sleep_ns(NAP_NS);
    }
}

/* Of a rank that nobody can call; rank 0 at work leaves, gives what it has, and ends the job by tfr_comm_close. */
static enum tfr_status end_job(struct tfr_comm *comm, const char *why) {
    if (comm->call == NULL) {
        tfr_comm_abort(comm, tfr_status_exit_code(TFR_RUNTIME));
    }
    comm->has_lost = true;
    tfr_comm_leave();
    return tfr_raise(TFR_CANCELLED, "stopped, since %s", why);
}

enum tfr_status tfr_comm_lose(struct tfr_comm *comm, const char *awaited) {
    struct roll *rolls = comm->backend->size > 1 ? tfr_alloc((size_t)comm->backend->size, sizeof *rolls) : NULL;
    if (rolls == NULL) {
        return tfr_raise(TFR_RUNTIME,
                         "rank %d waited %lld s for %s: a rank has died, hangs or is slower than the limit parallel.timeout_s",
                         comm->backend->rank, (long long)comm->timeout_s, awaited);
    }
    if (comm->call != NULL) {
        comm->call(comm->call_user);
    }
    call(comm, rolls);
    let_others_speak(comm, rolls);
    if (!tfr_is_named()) { /* else another rank has spoken */
        say(comm, rolls, awaited);
        leave_word(comm, rolls); /* who finds it may end the job */
    }
    return end_job(comm, "another rank does not answer"); /* rolls stay: an answer may still be received */
}

/* Where calls of several ranks fail together, one of them speaks. The others hear of it by the signal that it sends once it has
 * spoken; until then none of them may end the job, which would cut it short. */
static bool may_speak(void) {
    const uint64_t start = tfr_clock_ns();
    if (!tfr_is_named() && tfr_word_take()) {
        return !tfr_is_named(); /* by one that has spoken and ended in between */
    }
    while (!tfr_is_named() && tfr_clock_ns() - start < SPEAK_S * second_ns) {
        sleep_ns(NAP_NS);
    }
    return !tfr_is_named();
}

/* The others are not called: what they say may not come through. */
static void say_broken(const struct tfr_comm *comm) {
    if (!may_speak()) {
        return;
    }
    tfr_log_set_level(TFR_LOG_ERROR);
    tfr_log(TFR_LOG_ERROR, "mpi",
            "%s; the job ends. Start it again, and where it fails again look at MPI and the network of that host",
            tfr_failure_text());
    if (comm->places != NULL) {
        leave_word(comm, NULL);
    } else {
        tfr_word_tell_beside();
    }
    kill(getpid(), TFR_SIGNAL_NAMED);
}

enum tfr_status tfr_comm_break(struct tfr_comm *comm) {
    if (!comm->has_lost) {
        say_broken(comm);
    }
    return end_job(comm, "a message between ranks failed");
}

void tfr_comm_on_loss(struct tfr_comm *comm, void (*call_idle)(void *user), void *user) {
    comm->call = call_idle;
    comm->call_user = user;
}

enum tfr_status tfr_comm_answer(struct tfr_comm *comm) {
    return tfr_comm_lose(comm, "a command of rank 0");
}

static struct tfr_comm_place own_place(const struct tfr_comm *comm) {
    struct tfr_comm_place place = {.process = getpid()};
    struct stat facts;
    memcpy(place.host, comm->host, sizeof place.host);
    place.sees = stat("/proc/self/ns/pid", &facts) == 0 ? (uint64_t)facts.st_ino : 0;
    return place;
}

enum tfr_status tfr_comm_learn_places(struct tfr_comm *comm) {
    const size_t size = (size_t)comm->backend->size;
    if (size == 1) {
        return TFR_OK;
    }
    struct tfr_comm_place *places = comm->is_spare ? NULL : tfr_alloc(size, sizeof *places);
    const enum tfr_status status = tfr_comm_agree(comm, places != NULL ? TFR_OK : TFR_RESOURCE);
    if (status != TFR_OK) {
        tfr_free(places); /* another rank has no memory for its own */
        return status;
    }
    const struct tfr_comm_place mine = own_place(comm);
    const bool is_one_host = comm->backend->local_size == comm->backend->size;
    for (size_t i = 0; i < size; i++) { /* what is known of one that is lost before it has told */
        places[i] = (struct tfr_comm_place){.host = "?"};
        if (is_one_host) {
            memcpy(places[i].host, mine.host, sizeof mine.host);
        }
    }
    comm->places = places;
    TFR_TRY(tfr_comm_gather(comm, &mine, sizeof mine, places));
    return tfr_comm_bcast(comm, places, size * sizeof *places);
}

bool tfr_comm_is_stopped(const struct tfr_comm *comm, int rank) {
    char path[64], line[512] = "";
    if (!is_visible(comm, rank)) {
        return false;
    }
    const struct tfr_comm_place *its = &comm->places[rank];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)its->process);
    FILE *file = fopen(path, "r");
    const char *name_end = file != NULL && fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    if (file != NULL) {
        fclose(file);
    }
    return name_end != NULL && strncmp(name_end, ") T", 3) == 0;
}

/* calibrate_talk.c - see calibrate_talk.h. */
#include "engine/calibrate_talk.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/status.h"
#include "predict/link.h"

enum { PAIR_TAG = 0, EXCHANGE_TAG = 1, WARMING = 3, FEW_WARMING = 1, MOST_EXCHANGING = 64, EXCHANGE_COMPUTES_NS = 1000000 };

/* Messages under way. */
struct awaited {
    tfr_comm_request request[2 * MOST_EXCHANGING];
    int n;
};

static enum tfr_status look(const struct tfr_talk *talk, struct awaited *awaited) {
    for (int i = 0; i < awaited->n;) {
        bool done = false;
        TFR_TRY(tfr_comm_test(talk->comm, awaited->request[i], &done));
        if (done) {
            awaited->request[i] = awaited->request[--awaited->n];
        } else {
            i++;
        }
    }
    return TFR_OK;
}

static enum tfr_status wait_for(const struct tfr_talk *talk, struct awaited *awaited) {
    struct tfr_backoff backoff = {0};
    TFR_TRY(look(talk, awaited));
    while (awaited->n > 0) {
        TFR_TRY(tfr_comm_pause(talk->comm, &backoff, "a message of calibrate --net"));
        TFR_TRY(look(talk, awaited));
    }
    return TFR_OK;
}

static void pass_until(const struct tfr_talk *talk, uint64_t ns) {
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (talk->asleep ? clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR : tfr_clock_ns() < ns) {
    }
}

/* Computes until its messages are through: it looks at once, and at its next looks. `next_ns` goes on from message to message. */
static enum tfr_status compute_for(const struct tfr_talk *talk, struct awaited *awaited, uint64_t *next_ns) {
    const uint64_t start_ns = tfr_clock_ns();
    const int64_t most_ns = INT64_C(10000000000); /* a peer that is gone is waited for by wait_for, which knows what to do */
    TFR_TRY(look(talk, awaited));
    while (awaited->n > 0 && (int64_t)(tfr_clock_ns() - start_ns) < most_ns) {
        const uint64_t now_ns = tfr_clock_ns();
        *next_ns += (uint64_t)TFR_LOOK_NS;
        *next_ns = *next_ns > now_ns ? *next_ns : now_ns;
        pass_until(talk, *next_ns);
        TFR_TRY(look(talk, awaited));
    }
    return wait_for(talk, awaited);
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times, int n) {
    qsort(times, (size_t)n, sizeof times[0], by_size);
    return times[n / 2];
}

/* Without what was longest: somebody else had the core. */
static double mean_of_most(double *times, int n) {
    const int n_most = n - n / 10;
    double sum = 0;
    qsort(times, (size_t)n, sizeof times[0], by_size);
    for (int i = 0; i < n_most; i++) {
        sum += times[i];
    }
    return sum / n_most;
}

static enum tfr_status give(const struct tfr_talk *talk, size_t bytes, int peer, struct awaited *awaited) {
    return tfr_comm_isend(talk->comm, talk->out, bytes, peer, PAIR_TAG, &awaited->request[awaited->n++]);
}

static enum tfr_status take(const struct tfr_talk *talk, size_t bytes, int peer, struct awaited *awaited) {
    return tfr_comm_irecv(talk->comm, talk->in, bytes, peer, PAIR_TAG, &awaited->request[awaited->n++]);
}

enum tfr_status tfr_talk_pair(const struct tfr_talk *talk, size_t bytes, int n, int peer, bool begins, double *ns) {
    double times[TFR_TALK_MOST_TIMES];
    struct awaited awaited = {0};
    for (int i = -WARMING; i < n; i++) {
        const uint64_t start_ns = tfr_clock_ns();
        TFR_TRY(begins ? give(talk, bytes, peer, &awaited) : take(talk, bytes, peer, &awaited));
        TFR_TRY(wait_for(talk, &awaited));
        TFR_TRY(begins ? take(talk, bytes, peer, &awaited) : give(talk, bytes, peer, &awaited));
        TFR_TRY(wait_for(talk, &awaited));
        if (i >= 0) {
            times[i] = (double)(tfr_clock_ns() - start_ns) / 2;
        }
    }
    *ns = median(times, n);
    return TFR_OK;
}

/* The next receive is posted ahead, as in a run. The one who does not begin answers when it has looked. Where both look at the same
 * moments in every round, that decides how often a message just misses a look: so the one who begins waits between rounds for a
 * part of the interval that does not come again soon, and the mean counts. */
enum tfr_status tfr_talk_computing_pair(const struct tfr_talk *talk, size_t bytes, int n, int peer, bool begins, double *ns) {
    double times[TFR_TALK_MOST_TIMES];
    struct awaited awaited = {0};
    uint64_t next_ns = tfr_clock_ns();
    const double golden = 0.618;
    for (int i = -FEW_WARMING; i < n; i++) {
        if (begins) {
            next_ns += (uint64_t)(golden * TFR_LOOK_NS);
            pass_until(talk, next_ns);
        }
        const uint64_t start_ns = tfr_clock_ns();
        TFR_TRY(take(talk, bytes, peer, &awaited));
        if (begins) {
            TFR_TRY(give(talk, bytes, peer, &awaited));
        }
        TFR_TRY(compute_for(talk, &awaited, &next_ns));
        if (i >= 0) {
            times[i] = (double)(tfr_clock_ns() - start_ns) / 2;
        }
        if (!begins) {
            TFR_TRY(give(talk, bytes, peer, &awaited));
            TFR_TRY(look(talk, &awaited));
        }
    }
    TFR_TRY(wait_for(talk, &awaited));
    *ns = mean_of_most(times, n);
    return TFR_OK;
}

static enum tfr_status post_to_all(const struct tfr_talk *talk, int n_ranks, struct awaited *awaited) {
    const int me = tfr_comm_rank(talk->comm);
    for (int peer = 0; peer < n_ranks; peer++) {
        if (peer != me) {
            TFR_TRY(tfr_comm_irecv(talk->comm, talk->in + (size_t)peer * TFR_TALK_EXCHANGE_BYTES, TFR_TALK_EXCHANGE_BYTES, peer,
                                   EXCHANGE_TAG, &awaited->request[awaited->n++]));
        }
    }
    for (int peer = 0; peer < n_ranks; peer++) {
        if (peer != me) {
            TFR_TRY(tfr_comm_isend(talk->comm, talk->out, TFR_TALK_EXCHANGE_BYTES, peer, EXCHANGE_TAG,
                                   &awaited->request[awaited->n++]));
        }
    }
    return TFR_OK;
}

/* Time that a sleeper is late is taken from what it sleeps next, so that computing takes what it is said to in the mean. */
static void compute(const struct tfr_talk *talk, uint64_t *late_ns) {
    const uint64_t end_ns = tfr_clock_ns() + EXCHANGE_COMPUTES_NS - *late_ns;
    for (uint64_t now_ns = tfr_clock_ns(); now_ns < end_ns; now_ns = tfr_clock_ns()) {
        const uint64_t next_ns = now_ns + (uint64_t)TFR_LOOK_NS;
        pass_until(talk, next_ns < end_ns ? next_ns : end_ns);
    }
    const uint64_t late = tfr_clock_ns() - end_ns;
    *late_ns = late < EXCHANGE_COMPUTES_NS / 2 ? late : EXCHANGE_COMPUTES_NS / 2;
}

enum tfr_status tfr_talk_exchange(const struct tfr_talk *talk, int n_ranks, int n, double *ns) {
    double times[TFR_TALK_MOST_TIMES];
    struct awaited awaited = {0};
    uint64_t late_ns = 0;
    for (int i = -WARMING; i < n; i++) {
        const uint64_t start_ns = tfr_clock_ns();
        compute(talk, &late_ns);
        TFR_TRY(post_to_all(talk, n_ranks, &awaited));
        TFR_TRY(wait_for(talk, &awaited));
        if (i >= 0) {
            times[i] = (double)(tfr_clock_ns() - start_ns) - EXCHANGE_COMPUTES_NS;
        }
    }
    *ns = mean_of_most(times, n); /* ranks may change places: one waits in the rounds in which the other does not */
    return TFR_OK;
}

/* calibrate_talk.h - how long ranks take to speak to each other: to and fro between two, waiting or computing, and all to all.
 *
 * Ranks wait as those of a run do. Where they are said to compute they do nothing of use but look for messages every TFR_LOOK_NS.
 * Thread rule: the thread that speaks to the other ranks.
 */
#ifndef TFR_ENGINE_CALIBRATE_TALK_H
#define TFR_ENGINE_CALIBRATE_TALK_H

#include "mpi/comm.h"

enum { TFR_TALK_MOST_TIMES = 200 };

struct tfr_talk {
    struct tfr_comm *comm;
    char *out, *in; /* of the largest message; `in` also of TFR_TALK_EXCHANGE_BYTES from each rank */
    bool asleep;    /* where it computes it sleeps, as kernels do that only take time */
};

/* A message to the peer and one back, n times: the median of a way. Both ends call it; the one who begins takes the time. */
enum tfr_status tfr_talk_pair(const struct tfr_talk *talk, size_t bytes, int n, int peer, bool begins, double *ns);
/* The same between two who compute meanwhile. */
enum tfr_status tfr_talk_computing_pair(const struct tfr_talk *talk, size_t bytes, int n, int peer, bool begins, double *ns);
/* Ranks 0 .. n_ranks - 1 compute for a while and exchange some rows, n times: the mean of what a round took besides computing. */
enum { TFR_TALK_EXCHANGE_BYTES = 16384 };
enum tfr_status tfr_talk_exchange(const struct tfr_talk *talk, int n_ranks, int n, double *ns);

#endif

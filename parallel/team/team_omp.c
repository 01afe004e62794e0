/* team_omp.c - the team on OpenMP threads: the same ones that oneDNN uses, so that a core never has two
 * owners.
 *
 * One pool per driving thread, kept by libgomp. Between regions its threads spin for GOMP_SPINCOUNT rounds
 * (or as OMP_WAIT_POLICY says) and then sleep; libgomp itself shortens that to about 1000 rounds when it has
 * made more threads than the process may use CPUs. With several ranks on a core a team has one thread, and a
 * team of one makes no region: nothing spins.
 */
#include "team/team.h"

#include <signal.h>

#include <omp.h>

#include "base/arena.h"
#include "base/status.h"
#include "team/barrier.h"
#include "team/team_internal.h"

struct tfr_team {
    struct tfr_barrier barrier;
    int n_threads;
    struct tfr_pinning pinning;
};

const char *tfr_team_backend(void) {
#if defined(__clang__)
    return "OpenMP (libomp)";
#else
    return "OpenMP (libgomp)";
#endif
}

int tfr_team_size(const struct tfr_team *team) {
    return team->n_threads;
}

void tfr_team_run(struct tfr_team *team, tfr_team_fn fn, void *arg) {
    const int nth = team->n_threads;
    if (nth == 1) {
        fn(arg, 0, 1);
        return;
    }
#pragma omp parallel num_threads(nth)
    fn(arg, omp_get_thread_num(), nth);
    tfr_team_watch(team, &team->pinning);
}

void tfr_team_barrier(struct tfr_team *team, int tid) {
    if (tid == 0) {
        tfr_barrier_collect(&team->barrier);
        tfr_barrier_release(&team->barrier);
    } else {
        tfr_barrier_await(&team->barrier, tfr_barrier_arrive(&team->barrier));
    }
}

void tfr_team_collect(struct tfr_team *team) {
    tfr_barrier_collect(&team->barrier);
}

void tfr_team_release(struct tfr_team *team) {
    tfr_barrier_release(&team->barrier);
}

/* Makes the threads and says how many there are. They must not take the signals meant for the main thread. */
static int start_threads(int n_threads) {
    sigset_t all, before;
    int n = 1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    omp_set_dynamic(0);
    omp_set_num_threads(n_threads);
    if (n_threads > 1) {
#pragma omp parallel num_threads(n_threads)
#pragma omp single
        n = omp_get_num_threads();
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n;
}

enum tfr_status tfr_team_open(struct tfr_team **team, int n_threads, const int *pus, bool oversubscribed) {
    *team = NULL;
    if (n_threads < 1) {
        return tfr_raise(TFR_RUNTIME, "a team needs at least 1 thread, not %d", n_threads);
    }
    const int n = start_threads(n_threads);
    if (n != n_threads) {
        return tfr_raise(TFR_RESOURCE,
                         "%d threads are wanted, but OpenMP gives %d: ask for fewer, or raise OMP_THREAD_LIMIT or "
                         "OMP_MAX_ACTIVE_LEVELS where one of them is set",
                         n_threads, n);
    }
    struct tfr_team *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->n_threads = n_threads;
    tfr_barrier_init(&made->barrier, n_threads, oversubscribed);
    const enum tfr_status status = tfr_team_pin(made, &made->pinning, pus, oversubscribed);
    if (status != TFR_OK) {
        tfr_free(made);
        return status;
    }
    *team = made;
    return TFR_OK;
}

void tfr_team_close(struct tfr_team *team) {
    if (team != NULL) {
        tfr_team_unpin(team, &team->pinning);
        tfr_free(team);
    }
}

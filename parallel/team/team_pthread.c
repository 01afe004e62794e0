/* team_pthread.c - the team on threads of its own, for builds without OpenMP and under the thread sanitizer.
 *
 * The end of a region is the barrier's arrive / collect: workers do not wait there, they go straight to
 * waiting for the next region.
 */
#include "team/team.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "team/barrier.h"
#include "team/team_internal.h"

struct worker {
    struct tfr_team *team;
    pthread_t thread;
    int tid;
};

struct tfr_team {
    struct tfr_barrier barrier;
    int n_threads, n_started; /* n_started counts workers */
    struct worker *workers;
    struct tfr_counter region; /* number of the last region */
    tfr_team_fn fn;            /* NULL: end of the thread; written before `region` moves */
    void *arg;
    struct tfr_pinning pinning;
};

const char *tfr_team_backend(void) {
    return "POSIX threads";
}

int tfr_team_size(const struct tfr_team *team) {
    return team->n_threads;
}

static void *work(void *arg) {
    const struct worker *worker = arg;
    struct tfr_team *team = worker->team;
    for (unsigned seen = 0;; seen++) {
        tfr_counter_await_change(&team->region, seen, team->barrier.spin_ns);
        if (team->fn == NULL) {
            return NULL;
        }
        team->fn(team->arg, worker->tid, team->n_threads);
        tfr_barrier_arrive(&team->barrier);
    }
}

static void start_region(struct tfr_team *team, tfr_team_fn fn, void *arg) {
    team->fn = fn;
    team->arg = arg;
    atomic_fetch_add_explicit(&team->region.value, 1, memory_order_seq_cst);
    tfr_counter_wake(&team->region);
}

void tfr_team_run(struct tfr_team *team, tfr_team_fn fn, void *arg) {
    if (team->n_threads == 1) {
        fn(arg, 0, 1);
        return;
    }
    start_region(team, fn, arg);
    fn(arg, 0, team->n_threads);
    tfr_barrier_collect(&team->barrier);
    tfr_barrier_release(&team->barrier);
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

/* Workers must not take the signals meant for the main thread. */
static int start_workers(struct tfr_team *team) {
    sigset_t all, before;
    int error = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int tid = 1; tid < team->n_threads && error == 0; tid++) {
        struct worker *worker = &team->workers[tid - 1];
        *worker = (struct worker){.team = team, .tid = tid};
        error = pthread_create(&worker->thread, NULL, work, worker);
        team->n_started += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

enum tfr_status tfr_team_open(struct tfr_team **team, int n_threads, const int *pus, bool oversubscribed) {
    *team = NULL;
    if (n_threads < 1) {
        return tfr_raise(TFR_RUNTIME, "a team needs at least 1 thread, not %d", n_threads);
    }
    struct tfr_team *made = tfr_alloc(1, sizeof *made);
    struct worker *workers = tfr_alloc((size_t)n_threads, sizeof *workers);
    if (made == NULL || workers == NULL) {
        tfr_free(made);
        tfr_free(workers);
        return TFR_RESOURCE;
    }
    made->n_threads = n_threads;
    made->workers = workers;
    tfr_barrier_init(&made->barrier, n_threads, oversubscribed);
    atomic_init(&made->region.value, 0);
    atomic_init(&made->region.sleepers, 0);
    const int error = start_workers(made);
    if (error != 0) {
        const int failed = made->n_started + 1;
        tfr_team_close(made);
        return tfr_raise(TFR_RESOURCE, "thread %d of %d could not be started (%s): ask for fewer threads", failed, n_threads,
                         strerror(error));
    }
    const enum tfr_status status = tfr_team_pin(made, &made->pinning, pus, oversubscribed);
    if (status != TFR_OK) {
        tfr_team_close(made);
        return status;
    }
    *team = made;
    return TFR_OK;
}

void tfr_team_close(struct tfr_team *team) {
    if (team == NULL) {
        return;
    }
    tfr_team_unpin(team, &team->pinning);
    if (team->n_started > 0) {
        start_region(team, NULL, NULL);
    }
    for (int i = 0; i < team->n_started; i++) {
        pthread_join(team->workers[i].thread, NULL);
    }
    tfr_free(team->workers);
    tfr_free(team);
}

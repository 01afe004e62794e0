/* pin.c - pinning a team: each thread pins itself, in a region of its own; and letting it go. */
#include "team/team_internal.h"

#include <stdatomic.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"

struct pin_job {
    struct tfr_pinning *pinning;
    atomic_int n_refused;
};

static void pin_thread(void *arg, int tid, int nth) {
    struct pin_job *job = arg;
    const int pu = job->pinning->pus[tid];
    (void)nth;
    if (pu != TFR_PU_ANY && !tfr_bind_self(pu)) {
        atomic_fetch_add_explicit(&job->n_refused, 1, memory_order_relaxed);
    }
}

static void unpin_thread(void *arg, int tid, int nth) {
    const struct tfr_pinning *pinning = arg;
    (void)tid, (void)nth;
    tfr_bind_restore(&pinning->saved);
}

/* Number of threads that could not be pinned. */
static int pin_all(struct tfr_team *team, struct tfr_pinning *pinning) {
    struct pin_job job = {.pinning = pinning};
    tfr_team_run(team, pin_thread, &job);
    pinning->pinned = true;
    return atomic_load_explicit(&job.n_refused, memory_order_relaxed);
}

static void note_thread(void *arg, int tid, int nth) {
    struct tfr_crowd *crowd = arg;
    const int stride = (nth + TFR_CROWD_SAMPLED - 1) / TFR_CROWD_SAMPLED;
    if (tid % stride == 0) {
        crowd->thread_id[tid / stride] = tfr_thread_id();
    }
}

static void start_watch(struct tfr_team *team, struct tfr_pinning *pinning) {
    const int n = tfr_team_size(team), stride = (n + TFR_CROWD_SAMPLED - 1) / TFR_CROWD_SAMPLED;
    struct tfr_crowd *crowd = &pinning->crowd;
    crowd->n_sampled = (n + stride - 1) / stride;
    tfr_team_run(team, note_thread, crowd);
    tfr_crowd_open(crowd, "", tfr_clock_ns());
    pinning->is_watched = true;
}

enum tfr_status tfr_team_pin(struct tfr_team *team, struct tfr_pinning *pinning, const int *pus, bool oversubscribed) {
    const int n = tfr_team_size(team);
    bool any = false;
    pinning->has_saved = tfr_bind_save(&pinning->saved);
    for (int t = 0; t < n && pus != NULL; t++) {
        any = any || pus[t] != TFR_PU_ANY;
    }
    if (any) {
        pinning->pus = tfr_alloc((size_t)n, sizeof *pinning->pus);
        if (pinning->pus == NULL) {
            return TFR_RESOURCE;
        }
        for (int t = 0; t < n; t++) {
            pinning->pus[t] = pus[t];
        }
        const int n_refused = pin_all(team, pinning);
        if (n_refused > 0) {
            tfr_log(TFR_LOG_WARN, "team", "%d of %d threads could not be bound to their core: speed may vary", n_refused, n);
        }
    }
    if (n > 1 && !oversubscribed) {
        start_watch(team, pinning);
    }
    return TFR_OK;
}

static void let_go(struct tfr_team *team, struct tfr_pinning *pinning) {
    if (pinning->pinned && pinning->has_saved) {
        tfr_team_run(team, unpin_thread, pinning);
    }
    pinning->pinned = false;
}

void tfr_team_unpin(struct tfr_team *team, struct tfr_pinning *pinning) {
    pinning->is_watched = false;
    let_go(team, pinning);
    tfr_free(pinning->pus);
    pinning->pus = NULL;
}

void tfr_team_watch(struct tfr_team *team, struct tfr_pinning *pinning) {
    int percent;
    if (!pinning->is_watched) {
        return;
    }
    pinning->is_watched = false; /* regions of its own are not watched */
    switch (tfr_crowd_look(&pinning->crowd, "", tfr_clock_ns(), &percent)) {
    case TFR_CROWD_LOOSEN:
        let_go(team, pinning);
        break;
    case TFR_CROWD_WARN:
        tfr_log(TFR_LOG_WARN, "team",
                "other programs use the cores of this team: its %d threads waited for a core for %d %% of "
                "the time; run fewer "
                "threads (-t 1), or leave it the cores",
                tfr_team_size(team), percent);
        break;
    case TFR_CROWD_TIGHTEN:
        if (pinning->pus != NULL) {
            pin_all(team, pinning);
        }
        break;
    case TFR_CROWD_STAY:
        break;
    }
    pinning->is_watched = true;
}

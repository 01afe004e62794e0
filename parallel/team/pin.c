/* pin.c - pinning a team: each thread pins itself, in a region of its own. */
#include "team/team_internal.h"

#include <stdatomic.h>

#include "base/log.h"

struct pin_job {
    const struct tfr_pinning *pinning;
    atomic_int n_refused;
};

static void pin_thread(void *arg, int tid, int nth) {
    struct pin_job *job = arg;
    const int pu = job->pinning->pus[tid];
    (void)nth;
    if (pu >= 0 && !tfr_bind_self(pu)) {
        atomic_fetch_add_explicit(&job->n_refused, 1, memory_order_relaxed);
    }
}

static void unpin_thread(void *arg, int tid, int nth) {
    const struct tfr_pinning *pinning = arg;
    (void)tid, (void)nth;
    tfr_bind_restore(&pinning->saved);
}

void tfr_team_pin(struct tfr_team *team, struct tfr_pinning *pinning, const int *pus) {
    struct pin_job job = {.pinning = pinning};
    pinning->has_saved = tfr_bind_save(&pinning->saved);
    if (pus == NULL) {
        return;
    }
    for (int t = 0; t < tfr_team_size(team); t++) {
        pinning->pinned = pinning->pinned || pus[t] >= 0;
    }
    if (!pinning->pinned) {
        return;
    }
    pinning->pus = pus;
    tfr_team_run(team, pin_thread, &job);
    pinning->pus = NULL; /* the caller's array */
    const int n_refused = atomic_load_explicit(&job.n_refused, memory_order_relaxed);
    if (n_refused > 0) {
        tfr_log(TFR_LOG_WARN, "team", "%d of %d threads could not be bound to their core: speed may vary",
                n_refused, tfr_team_size(team));
    }
}

void tfr_team_unpin(struct tfr_team *team, struct tfr_pinning *pinning) {
    if (pinning->pinned && pinning->has_saved) {
        tfr_team_run(team, unpin_thread, pinning);
    }
    pinning->pinned = false;
}

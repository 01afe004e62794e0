/* settle.c - each thread of a team asks the system for the memory that its rank's plan gives it, and lets it be again. */
#include <stdatomic.h>

#include "base/log.h"
#include "team/team.h"
#include "topo/domain.h"

struct settle_job {
    const struct tfr_memory_plan *plan;
    atomic_int n_refused;
};

static void settle_thread(void *arg, int tid, int nth) {
    struct settle_job *job = arg;
    (void)nth;
    if (!tfr_memory_settle(job->plan, tid)) {
        atomic_fetch_add_explicit(&job->n_refused, 1, memory_order_relaxed);
    }
}

static void unsettle_thread(void *arg, int tid, int nth) {
    const struct tfr_memory_plan *plan = arg;
    (void)nth;
    tfr_memory_unsettle(plan, tid);
}

void tfr_team_settle(struct tfr_team *team, const struct tfr_memory_plan *plan) {
    struct settle_job job = {.plan = plan};
    char words[256];
    tfr_memory_words(plan, words, sizeof words);
    if (words[0] != '\0') {
        tfr_log(TFR_LOG_INFO, "topo", "memory from %s", words);
    }
    if (plan->way == TFR_MEMORY_AS_IS) {
        return;
    }
    tfr_team_run(team, settle_thread, &job);
    if (atomic_load(&job.n_refused) > 0) { /* containers may forbid the call; first touch is what is left */
        tfr_log(plan->is_asked ? TFR_LOG_WARN : TFR_LOG_INFO, "topo",
                "the system refuses to choose memory by NUMA domain: it comes from where it is touched first");
    }
}

void tfr_team_unsettle(struct tfr_team *team, const struct tfr_memory_plan *plan) {
    if (team != NULL && plan->way != TFR_MEMORY_AS_IS) {
        tfr_team_run(team, unsettle_thread, (void *)plan);
    }
}

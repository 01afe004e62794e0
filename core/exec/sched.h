/* sched.h - which task of a plan runs next: a ready list over dependency counts.
 *
 * A task is ready when its predecessors are complete. Asynchronous tasks come first (posting is cheap and lets the wire work), then
 * the longest predicted remaining path, ties by index: the order is a pure function of the plan and of when messages arrive,
 * and no result depends on it. Thread rule: the executor's master thread alone.
 */
#ifndef TFR_EXEC_SCHED_H
#define TFR_EXEC_SCHED_H

#include "plan/plan.h"

struct tfr_sched {
    const struct tfr_plan *plan;
    int *waiting; /* [n_tasks] predecessors not yet complete */
    int *ready;   /* [n_ready] task indices, best last */
    int n_ready, n_left, capacity;
};

enum tfr_status tfr_sched_reset(struct tfr_sched *sched, const struct tfr_plan *plan);
void tfr_sched_close(struct tfr_sched *sched);
int tfr_sched_pick(struct tfr_sched *sched); /* -1: nothing ready */
void tfr_sched_complete(struct tfr_sched *sched, int task);
static inline bool tfr_sched_done(const struct tfr_sched *sched) {
    return sched->n_left == 0;
}

#endif

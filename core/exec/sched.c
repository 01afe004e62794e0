/* sched.c - ready list kept sorted by insertion: plans have some hundred tasks and few are ready at once. */
#include "exec/sched.h"

#include "base/arena.h"

static bool runs_before(const struct tfr_plan *plan, int a, int b) {
    const struct tfr_task *x = &plan->tasks[a], *y = &plan->tasks[b];
    bool x_async = x->kernel->run_class == TFR_RUN_ASYNC, y_async = y->kernel->run_class == TFR_RUN_ASYNC;
    if (x_async != y_async) {
        return x_async;
    }
    if (x->priority_ns != y->priority_ns) {
        return x->priority_ns > y->priority_ns;
    }
    return a < b;
}

static void make_ready(struct tfr_sched *sched, int task) {
    int at = sched->n_ready++;
    while (at > 0 && runs_before(sched->plan, sched->ready[at - 1], task)) {
        sched->ready[at] = sched->ready[at - 1];
        at--;
    }
    sched->ready[at] = task;
}

static enum tfr_status reserve(struct tfr_sched *sched, int n_tasks) {
    if (n_tasks <= sched->capacity) {
        return TFR_OK;
    }
    tfr_sched_close(sched);
    sched->waiting = tfr_alloc((size_t)n_tasks, sizeof(int));
    sched->ready = tfr_alloc((size_t)n_tasks, sizeof(int));
    if (sched->waiting == NULL || sched->ready == NULL) {
        tfr_sched_close(sched);
        return TFR_RESOURCE;
    }
    sched->capacity = n_tasks;
    return TFR_OK;
}

enum tfr_status tfr_sched_reset(struct tfr_sched *sched, const struct tfr_plan *plan) {
    enum tfr_status status = reserve(sched, plan->n_tasks);
    if (status != TFR_OK) {
        return status;
    }
    sched->plan = plan;
    sched->n_ready = 0;
    sched->n_left = plan->n_tasks;
    for (int i = 0; i < plan->n_tasks; i++) {
        sched->waiting[i] = plan->tasks[i].n_predecessors;
        if (sched->waiting[i] == 0) {
            make_ready(sched, i);
        }
    }
    return TFR_OK;
}

void tfr_sched_close(struct tfr_sched *sched) {
    tfr_free(sched->waiting);
    tfr_free(sched->ready);
    *sched = (struct tfr_sched){0};
}

int tfr_sched_pick(struct tfr_sched *sched) {
    return sched->n_ready > 0 ? sched->ready[--sched->n_ready] : -1;
}

void tfr_sched_complete(struct tfr_sched *sched, int task) {
    const struct tfr_task *done = &sched->plan->tasks[task];
    sched->n_left--;
    for (int i = 0; i < done->n_successors; i++) {
        int next = done->successors[i];
        if (--sched->waiting[next] == 0) {
            make_ready(sched, next);
        }
    }
}

/* sched.c - ready list kept sorted by insertion: plans have some hundred tasks and few are ready at once. */
#include "exec/sched.h"

static bool is_async(const struct tfr_ready *ready) {
    return ready->run->plan->tasks[ready->task].kernel->run_class == TFR_RUN_ASYNC;
}

static bool goes_before(const struct tfr_ready *a, const struct tfr_ready *b) {
    const bool a_async = is_async(a), b_async = is_async(b);
    if (a_async != b_async) {
        return a_async;
    }
    if (a->run != b->run) {
        const enum tfr_lane x = a->run->input.lane, y = b->run->input.lane;
        return x != y ? x < y : a->run->number < b->run->number;
    }
    const struct tfr_task *tasks = a->run->plan->tasks;
    const double x = tasks[a->task].priority_ns, y = tasks[b->task].priority_ns;
    return x != y ? x > y : a->task < b->task;
}

static void make_ready(struct tfr_sched *sched, struct tfr_run *run, int task) {
    const struct tfr_ready ready = {.run = run, .task = task};
    int at = sched->n_ready++;
    while (at > 0 && goes_before(&sched->ready[at - 1], &ready)) {
        sched->ready[at] = sched->ready[at - 1];
        at--;
    }
    sched->ready[at] = ready;
}

static enum tfr_status reserve(struct tfr_sched *sched, int n_tasks) {
    if (n_tasks <= sched->capacity) {
        return TFR_OK;
    }
    struct tfr_ready *ready = tfr_realloc(sched->ready, (size_t)n_tasks, sizeof *ready);
    if (ready == NULL) {
        return TFR_RESOURCE;
    }
    sched->ready = ready;
    sched->capacity = n_tasks;
    return TFR_OK;
}

void tfr_sched_close(struct tfr_sched *sched) {
    tfr_free(sched->ready);
    *sched = (struct tfr_sched){0};
}

enum tfr_status tfr_sched_add(struct tfr_sched *sched, struct tfr_run *run) {
    TFR_TRY(reserve(sched, sched->n_tasks + run->plan->n_tasks));
    struct tfr_run **end = &sched->oldest;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = run;
    run->next = NULL;
    run->number = ++sched->last_number;
    run->phase = TFR_RUN_IN_FLIGHT;
    sched->n_runs++;
    sched->n_tasks += run->plan->n_tasks;
    for (int i = 0; i < run->plan->n_tasks; i++) {
        if (run->waiting[i] == 0) {
            make_ready(sched, run, i);
        }
    }
    return TFR_OK;
}

void tfr_sched_remove(struct tfr_sched *sched, struct tfr_run *run) {
    struct tfr_run **at = &sched->oldest;
    while (*at != NULL && *at != run) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        return;
    }
    *at = run->next;
    run->next = NULL;
    sched->n_runs--;
    sched->n_tasks -= run->plan->n_tasks;
    int kept = 0;
    for (int i = 0; i < sched->n_ready; i++) {
        if (sched->ready[i].run != run) {
            sched->ready[kept++] = sched->ready[i];
        }
    }
    sched->n_ready = kept;
}

static bool same_edge(const struct tfr_task *a, const struct tfr_task *b) {
    return a->problem.op == b->problem.op && a->problem.attrs.peer == b->problem.attrs.peer &&
           a->problem.attrs.tag == b->problem.attrs.tag;
}

static bool has_yet_to_post(const struct tfr_run *run, const struct tfr_task *message) {
    for (int i = 0; i < run->plan->n_async; i++) {
        const int task = run->plan->async[i];
        if (run->waiting[task] != TFR_STARTED && same_edge(&run->plan->tasks[task], message)) {
            return true;
        }
    }
    return false;
}

/* A task that was started is complete when the next one is picked, unless it is a message. */
static bool has_yet_to_append(const struct tfr_run *run, int64_t layer) {
    for (int i = 0; i < run->plan->n_appends; i++) {
        const int task = run->plan->appends[i];
        if (run->waiting[task] != TFR_STARTED && run->plan->tasks[task].layer == layer) {
            return true;
        }
    }
    return false;
}

/* An older run of the lane has a message of the same edge still to post, or keys of the same block still to append. */
static bool is_held_back(const struct tfr_sched *sched, const struct tfr_ready *ready) {
    const struct tfr_task *task = &ready->run->plan->tasks[ready->task];
    const bool message = is_async(ready), append = task->problem.op == TFR_OP_KV_APPEND;
    for (const struct tfr_run *older = sched->oldest; older != ready->run && (message || append); older = older->next) {
        if (older->input.lane == ready->run->input.lane &&
            ((message && has_yet_to_post(older, task)) || (append && has_yet_to_append(older, task->layer)))) {
            return true;
        }
    }
    return false;
}

bool tfr_sched_is_behind(const struct tfr_sched *sched, const struct tfr_run *run, int task) {
    const struct tfr_task *message = &run->plan->tasks[task];
    for (const struct tfr_run *older = sched->oldest; older != NULL && older != run; older = older->next) {
        for (int i = 0; i < older->n_in_flight && older->input.lane == run->input.lane; i++) {
            if (same_edge(&older->plan->tasks[older->in_flight[i]], message)) {
                return true;
            }
        }
    }
    return false;
}

bool tfr_sched_pick(struct tfr_sched *sched, struct tfr_ready *picked, const struct tfr_run *only, bool messages) {
    for (int i = sched->n_ready - 1; i >= 0; i--) {
        const struct tfr_ready *ready = &sched->ready[i];
        if ((only != NULL && ready->run != only) || (messages && !is_async(ready)) || is_held_back(sched, ready)) {
            continue;
        }
        *picked = *ready;
        sched->n_ready--;
        for (int next = i; next < sched->n_ready; next++) {
            sched->ready[next] = sched->ready[next + 1];
        }
        picked->run->waiting[picked->task] = TFR_STARTED;
        return true;
    }
    return false;
}

void tfr_sched_complete(struct tfr_sched *sched, struct tfr_run *run, int task) {
    const struct tfr_task *done = &run->plan->tasks[task];
    run->n_left--;
    for (int i = 0; i < done->n_successors; i++) {
        const int next = done->successors[i];
        if (--run->waiting[next] == 0) {
            make_ready(sched, run, next);
        }
    }
}

/* alone.c - which tasks of the team the master runs by itself: those that take less time than the team's
 * barrier would add. */
#include "plan/alone.h"

#include "base/status.h"
#include "plan/cost.h"
#include "plan/problem.h"

/* A barrier of a team, with threads that wait for it on cores of their own. Nominal, so that the choice is the same on every run:
 * tests/bench/probe_exec.c saw 220 ns on idle cores and 850 ns on shared ones, with two threads. */
enum { BARRIER_NS = 400, BARRIER_NS_A_THREAD = 50 };

static double barrier_ns(int n_threads) {
    return BARRIER_NS + (double)n_threads * BARRIER_NS_A_THREAD;
}

/* Kernels of these ops (of a pattern: probably) divide one row among threads; all others divide rows. */
static bool divides_a_row(enum tfr_op op) {
    return op == TFR_OP_LINEAR || op == TFR_OP_ATTENTION || op == TFR_OP_FUSED;
}

static bool packs(const struct tfr_task *task) {
    for (int a = 0; a < task->n_args; a++) {
        if (task->needs.pack[a].bytes > 0) {
            return true;
        }
    }
    return false;
}

static bool may_run_alone(const struct tfr_task *task) {
    return task->kernel->run_class == TFR_RUN_TEAM && (task->kernel->flags & TFR_KERNEL_SAME_BITS_ANY_TEAM) != 0 && !packs(task) &&
           task->problem.n_threads > 1;
}

/* The kernel is asked anew, as for a team of one. Without memory it is no answer: the choice must not depend on that. */
static enum tfr_status serves_alone(const struct tfr_task *task, const struct tfr_problem *alone, struct tfr_needs *needs) {
    char reason[96] = "";
    *needs = (struct tfr_needs){.struct_size = sizeof *needs};
    if (task->kernel->supports != NULL && !task->kernel->supports(task->kernel, alone, reason, sizeof reason)) {
        return TFR_UNSUPPORTED;
    }
    const int32_t status =
        task->kernel->prepare == NULL ? TFR_OK : task->kernel->prepare(task->kernel, alone, needs, reason, sizeof reason);
    if (status == TFR_OK || status == TFR_UNSUPPORTED) {
        return (enum tfr_status)status;
    }
    return tfr_raise(status > 0 && status < TFR_STATUS_COUNT ? (enum tfr_status)status : TFR_RUNTIME,
                     "%s: %s cannot be prepared for one thread: %s", task->name, task->kernel->name,
                     reason[0] != '\0' ? reason : "no reason given");
}

enum tfr_status tfr_choose_alone(struct tfr_task *task, const struct tfr_outlook *outlook) {
    if (!may_run_alone(task)) {
        return TFR_OK;
    }
    const struct tfr_problem alone = tfr_problem_resize(&task->problem, task->problem.rows_max, 1);
    const struct tfr_prediction prediction = tfr_cost_predict(outlook, task->kernel, &alone, &task->needs.order);
    const bool is_shared = task->problem.rows_max > 1 || divides_a_row(task->problem.op);
    const double team_ns = (is_shared ? task->predicted_ns : prediction.time_ns) + barrier_ns(task->problem.n_threads);
    struct tfr_needs needs;
    if (prediction.time_ns > team_ns) {
        return TFR_OK;
    }
    const enum tfr_status status = serves_alone(task, &alone, &needs);
    if (status == TFR_OK) {
        task->alone = true;
        task->problem = alone;
        task->needs = needs;
        task->predicted_ns = prediction.time_ns;
        task->compute_bound = prediction.compute_bound;
    }
    return status == TFR_UNSUPPORTED ? TFR_OK : status;
}

/* select.c - which kernel serves a problem, and why no other.
 */
#include "plan/select.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "graph/op.h"
#include "plan/problem.h"

/* A candidate with what the choice looks at. */
struct rated {
    struct tfr_candidate candidate;
    bool served;
    int preference;
    double deciding_ns; /* nominal in deterministic mode */
    struct tfr_needs needs;
    struct tfr_prediction prediction;
};

static int compare_rated(const void *left, const void *right) {
    const struct rated *a = left, *b = right;
    if (a->served != b->served) {
        return a->served ? -1 : 1;
    }
    if (a->served && a->preference != b->preference) {
        return b->preference - a->preference;
    }
    if (a->served && a->deciding_ns != b->deciding_ns) {
        return a->deciding_ns < b->deciding_ns ? -1 : 1;
    }
    if (a->candidate.kernel->score != b->candidate.kernel->score) {
        return b->candidate.kernel->score - a->candidate.kernel->score;
    }
    return strcmp(a->candidate.kernel->name, b->candidate.kernel->name);
}

/* False with the reason where this kernel would break the order that was decided. */
static bool keeps_order(const struct tfr_order_entry *decided, const struct rated *rated, char *reason, size_t size) {
    char own[24], wanted[24];
    const struct tfr_kernel *kernel = rated->candidate.kernel;
    if (decided->kernel == kernel || tfr_order_same(&decided->order, &rated->needs.order, decided->k)) {
        return true;
    }
    if (decided->passed_over == kernel && isfinite(decided->slowdown)) {
        snprintf(reason, size, "its order (%s) would make one row %.1f x slower",
                 tfr_order_text(&rated->needs.order, own, sizeof(own)), decided->slowdown);
    } else if (decided->passed_over == kernel) {
        snprintf(reason, size, "no kernel for one row adds in its order (%s)",
                 tfr_order_text(&rated->needs.order, own, sizeof(own)));
    } else {
        snprintf(reason, size, "adds in another order (%s) than chosen for %d rows (%s)",
                 tfr_order_text(&rated->needs.order, own, sizeof(own)), TFR_NOMINAL_ROWS,
                 tfr_order_text(&decided->order, wanted, sizeof(wanted)));
    }
    return false;
}

/* Whether and why this kernel keeps the decided order. A kernel that refuses to be asked for that order is
 * judged once more without, so that the refusal names both orders. */
static bool judge_linear(const struct tfr_chooser *chooser, const struct tfr_problem *problem,
                         const struct tfr_order_entry *decided, struct rated *rated) {
    struct tfr_candidate *c = &rated->candidate;
    struct tfr_problem asked = *problem;
    asked.order = (struct tfr_order){.kind = TFR_ORDER_ANY};
    if (!tfr_candidate_judge(chooser, c, &asked, &rated->needs, c->refusal, sizeof(c->refusal))) {
        return false;
    }
    if (tfr_candidate_judge(chooser, c, problem, &rated->needs, c->refusal, sizeof(c->refusal))) {
        return keeps_order(decided, rated, c->refusal, sizeof(c->refusal));
    }
    char own_reason[sizeof(c->refusal)];
    memcpy(own_reason, c->refusal, sizeof(own_reason));
    tfr_candidate_judge(chooser, c, &asked, &rated->needs, c->refusal, sizeof(c->refusal));
    if (keeps_order(decided, rated, c->refusal, sizeof(c->refusal))) {
        memcpy(c->refusal, own_reason, sizeof(own_reason));
    }
    return false;
}

/* In deterministic mode a kernel must serve the nominal step too: otherwise the choice would depend on the rows. */
static bool judge_other(const struct tfr_chooser *chooser, const struct tfr_problem *problem, struct rated *rated) {
    struct tfr_candidate *c = &rated->candidate;
    if (chooser->deterministic) {
        const struct tfr_problem nominal = tfr_problem_resize(problem, TFR_NOMINAL_ROWS, TFR_NOMINAL_THREADS);
        if (!tfr_candidate_judge(chooser, c, &nominal, &rated->needs, c->refusal, sizeof(c->refusal))) {
            return false;
        }
    }
    return tfr_candidate_judge(chooser, c, problem, &rated->needs, c->refusal, sizeof(c->refusal));
}

/* Time that decides: in deterministic mode of a step that does not depend on rows, threads or context. */
static double deciding_time(const struct tfr_chooser *chooser, const struct tfr_problem *problem, const struct rated *rated) {
    if (!chooser->deterministic || problem->op == TFR_OP_LINEAR) {
        return rated->prediction.time_ns; /* the kernels left all keep one order: the same bits whichever runs */
    }
    const struct tfr_problem nominal = tfr_problem_resize(problem, TFR_NOMINAL_ROWS, TFR_NOMINAL_THREADS);
    const struct tfr_outlook outlook = {.machine = chooser->outlook.machine, .sequences = 1, .nominal = true};
    return tfr_cost_predict(&outlook, rated->candidate.kernel, &nominal, &rated->needs.order).time_ns;
}

static void rate(const struct tfr_chooser *chooser, const struct tfr_problem *problem, const struct tfr_order_entry *decided,
                 struct rated *rated) {
    struct tfr_candidate *c = &rated->candidate;
    rated->served = decided != NULL ? judge_linear(chooser, problem, decided, rated) : judge_other(chooser, problem, rated);
    if (!rated->served) {
        return;
    }
    c->refusal[0] = '\0';
    rated->preference = tfr_registry_preference(chooser->registry, c->kernel, c->plugin);
    rated->prediction = tfr_cost_predict(&chooser->outlook, c->kernel, problem, &rated->needs.order);
    rated->deciding_ns = deciding_time(chooser, problem, rated);
    c->predicted_ns = rated->prediction.time_ns;
}

static enum tfr_status raise_unserved(const struct tfr_problem *problem, const struct rated *rated, int n) {
    char reasons[1024] = "";
    size_t used = 0;
    for (int i = 0; i < n && used < sizeof(reasons); i++) {
        used += (size_t)snprintf(reasons + used, sizeof(reasons) - used, "; %s: %s", rated[i].candidate.kernel->name,
                                 rated[i].candidate.refusal);
    }
    return tfr_raise(TFR_UNSUPPORTED, "no kernel serves %s with up to %lld rows%s", tfr_op_info(problem->op)->name,
                     (long long)problem->rows_max, n > 0 ? reasons : "; no plugin offers this op");
}

static enum tfr_status choose(const struct tfr_chooser *chooser, const struct tfr_order_entry *decided, struct rated *rated,
                              struct tfr_choice *choice) {
    int n = choice->n_candidates;
    for (int i = 0; i < n; i++) {
        rated[i].candidate = choice->candidates[i];
        rate(chooser, &choice->problem, decided, &rated[i]);
    }
    if (*chooser->failure != TFR_OK) {
        return *chooser->failure;
    }
    if (n > 0) {
        qsort(rated, (size_t)n, sizeof(*rated), compare_rated);
    }
    if (n == 0 || !rated[0].served) {
        return raise_unserved(&choice->problem, rated, n);
    }
    for (int i = 0; i < n; i++) {
        choice->candidates[i] = rated[i].candidate;
    }
    choice->kernel = rated[0].candidate.kernel;
    choice->needs = rated[0].needs;
    choice->prediction = rated[0].prediction;
    return TFR_OK;
}

enum tfr_status tfr_select(const struct tfr_chooser *chooser, const struct tfr_problem *problem, struct tfr_choice *choice) {
    *choice = (struct tfr_choice){.problem = *problem};
    struct tfr_order_entry decided;
    bool ordered = chooser->deterministic && problem->op == TFR_OP_LINEAR;
    if (ordered) {
        const struct tfr_problem whole = tfr_problem_whole(problem); /* exact halves add as the f32 weights they stand for */
        TFR_TRY(tfr_order_decide(chooser, &whole, &decided));
        if (decided.order.kind != TFR_ORDER_OWN) {
            choice->problem.order = decided.order;
        }
    }
    TFR_TRY(tfr_candidates_list(chooser->registry, problem, &choice->candidates, &choice->n_candidates));
    struct rated *rated = tfr_alloc((size_t)choice->n_candidates, sizeof(*rated));
    enum tfr_status status = rated != NULL ? choose(chooser, ordered ? &decided : NULL, rated, choice) : TFR_RESOURCE;
    tfr_free(rated);
    if (status != TFR_OK) {
        tfr_free(choice->candidates);
        choice->candidates = NULL;
    }
    return status;
}

/* candidate.c - all kernels of an op, and whether one of them can serve a problem.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "plan/problem.h"
#include "plan/select.h"

static bool serves_dtype(const struct tfr_kernel *kernel, const struct tfr_problem *problem, char *reason,
                         size_t size) {
    enum tfr_dtype dtype = tfr_problem_dtype(problem);
    if (kernel->dtypes & (1U << dtype)) {
        return true;
    }
    snprintf(reason, size, "does not serve %s %s", tfr_dtype_name(dtype),
             problem->op == TFR_OP_LINEAR || problem->op == TFR_OP_EMBED ? "weights" : "activations");
    return false;
}

static bool keeps_bits(const struct tfr_kernel *kernel, const struct tfr_problem *problem, char *reason,
                       size_t size) {
    bool in_parallel = kernel->run_class == TFR_RUN_TEAM || kernel->run_class == TFR_RUN_SELF;
    if (!problem->deterministic || !in_parallel || (kernel->flags & TFR_KERNEL_SAME_BITS_ANY_TEAM)) {
        return true;
    }
    snprintf(reason, size, "its bits may depend on the number of threads");
    return false;
}

/* A kernel that says nothing about its order has one of its own. */
static void default_order(struct tfr_needs *needs) {
    if (needs->order.kind == TFR_ORDER_ANY) {
        needs->order = (struct tfr_order){.kind = TFR_ORDER_OWN};
    }
}

enum tfr_status tfr_candidates_list(const struct tfr_registry *registry, enum tfr_op op,
                                    struct tfr_candidate **list, int *n) {
    size_t n_plugins;
    const struct tfr_registry_entry *plugins = tfr_registry_plugins(registry, &n_plugins);
    size_t n_kernels = 0;
    for (size_t p = 0; p < n_plugins; p++) {
        n_kernels += (size_t)plugins[p].plugin->n_kernels;
    }
    *list = tfr_alloc(n_kernels, sizeof(**list));
    if (*list == NULL) {
        return TFR_RESOURCE;
    }
    *n = 0;
    for (size_t p = 0; p < n_plugins; p++) {
        const struct tfr_plugin *plugin = plugins[p].plugin;
        for (int k = 0; k < plugin->n_kernels; k++) {
            if (plugin->kernels[k].op == (int32_t)op) {
                (*list)[(*n)++] =
                    (struct tfr_candidate){.kernel = &plugin->kernels[k], .plugin = plugin->name};
            }
        }
    }
    return TFR_OK;
}

bool tfr_candidate_judge(const struct tfr_chooser *chooser, const struct tfr_candidate *candidate,
                         const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                         size_t size) {
    const struct tfr_kernel *kernel = candidate->kernel;
    *needs = (struct tfr_needs){0};
    reason[0] = '\0';
    if (!tfr_registry_allows(chooser->registry, kernel, candidate->plugin, reason, size) ||
        !serves_dtype(kernel, problem, reason, size) || !keeps_bits(kernel, problem, reason, size)) {
        return false;
    }
    bool served = (kernel->supports == NULL || kernel->supports(problem, reason, size)) &&
                  (kernel->query == NULL || kernel->query(problem, needs, reason, size));
    if (!served && reason[0] == '\0') {
        snprintf(reason, size, "refused without a reason");
    }
    if (served && needs->packed_bytes > 0 && (kernel->pack == NULL || needs->pack_format == NULL)) {
        snprintf(reason, size, "asks for a packed weight but has no pack function or format");
        return false;
    }
    if (served && needs->packed_bytes > 0 && problem->op != TFR_OP_LINEAR) {
        snprintf(reason, size, "asks for a packed weight: only those of linear are packed");
        return false;
    }
    if (problem->op == TFR_OP_LINEAR) {
        default_order(needs);
    }
    return served;
}

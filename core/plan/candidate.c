/* candidate.c - all kernels of an op, and whether one of them can serve a problem.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "plan/problem.h"
#include "plan/select.h"

static bool serves_dtype(const struct tfr_kernel *kernel, const struct tfr_problem *problem, char *reason, size_t size) {
    enum tfr_dtype dtype = tfr_problem_dtype(problem);
    if (kernel->dtypes & (1ULL << dtype)) {
        return true;
    }
    snprintf(reason, size, "does not serve %s %s", tfr_dtype_name(dtype),
             problem->op == TFR_OP_LINEAR || problem->op == TFR_OP_EMBED ? "weights" : "activations");
    return false;
}

static bool keeps_bits(const struct tfr_kernel *kernel, const struct tfr_problem *problem, char *reason, size_t size) {
    bool in_parallel = kernel->run_class == TFR_RUN_TEAM || kernel->run_class == TFR_RUN_SELF;
    if (!problem->deterministic || !in_parallel || (kernel->flags & TFR_KERNEL_SAME_BITS_ANY_TEAM)) {
        return true;
    }
    snprintf(reason, size, "its bits may depend on the number of threads");
    return false;
}

static bool keeps_apart(const struct tfr_kernel *kernel, const struct tfr_problem *problem, char *reason, size_t size) {
    if (problem->op != TFR_OP_LINEAR || problem->attrs.n_blocks == 0 || (kernel->flags & TFR_KERNEL_APART)) {
        return true;
    }
    snprintf(reason, size, "cannot leave block sums apart");
    return false;
}

/* Caches had f32 and int8 alone before ABI 2.3, and attention multiplied in f32: a kernel of that time had no way to refuse others,
 * and what it would read of them is a null pointer. */
static bool knows_caches(const struct tfr_candidate *candidate, const struct tfr_problem *problem, char *reason, size_t size) {
    if (candidate->abi_minor >= 3) {
        return true;
    }
    for (int a = 0; a < problem->n_args; a++) {
        const bool is_cache = problem->arg[a].flags & (TFR_ARG_READ | TFR_ARG_APPEND);
        const enum tfr_dtype dtype = (enum tfr_dtype)problem->arg[a].dtype;
        if (is_cache && dtype != TFR_DTYPE_F32 && dtype != TFR_DTYPE_I8) {
            snprintf(reason, size, "its plugin was built for ABI 2.%d: kv caches of %s came with 2.3", (int)candidate->abi_minor,
                     tfr_dtype_name(dtype));
            return false;
        }
    }
    if (problem->op == TFR_OP_ATTENTION && problem->attrs.x_dtype != TFR_DTYPE_F32) {
        snprintf(reason, size, "its plugin was built for ABI 2.%d: attention in %s came with 2.3", (int)candidate->abi_minor,
                 tfr_dtype_name((enum tfr_dtype)problem->attrs.x_dtype));
        return false;
    }
    return true;
}

/* A kernel that says nothing about its order has one of its own. */
static void default_order(struct tfr_needs *needs) {
    if (needs->order.kind == TFR_ORDER_ANY) {
        needs->order = (struct tfr_order){.kind = TFR_ORDER_OWN};
    }
}

static bool serves_op(const struct tfr_kernel *kernel, const struct tfr_problem *problem) {
    bool same = kernel->op == problem->op && (problem->op != TFR_OP_FUSED || kernel->n_pattern == problem->n_parts);
    for (int p = 0; same && p < problem->n_parts; p++) {
        same = kernel->pattern[p] == tfr_part_at(problem, p)->op;
    }
    return same;
}

enum tfr_status tfr_candidates_list(const struct tfr_registry *registry, const struct tfr_problem *problem,
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
            if (serves_op(plugin->kernels[k], problem)) {
                (*list)[(*n)++] =
                    (struct tfr_candidate){.kernel = plugin->kernels[k], .plugin = plugin->name, .abi_minor = plugin->abi_minor};
            }
        }
    }
    return TFR_OK;
}

static bool is_constant(const struct tfr_problem *problem, int arg) {
    return arg < problem->n_args && (problem->arg[arg].flags & TFR_ARG_CONST) && !(problem->arg[arg].flags & TFR_ARG_ABSENT);
}

/* A need that the host cannot meet is a fault of the plugin: the kernel is not taken. */
static bool can_be_met(const struct tfr_kernel *kernel, const struct tfr_problem *problem, const struct tfr_needs *needs,
                       char *reason, size_t size) {
    for (int a = 0; a < TFR_MAX_ARGS; a++) {
        if (needs->pack[a].bytes == 0) {
            continue;
        }
        if (kernel->pack == NULL || needs->pack[a].format == NULL) {
            snprintf(reason, size, "asks for a packed weight but has no pack function or format");
            return false;
        }
        if (!is_constant(problem, a)) {
            snprintf(reason, size, "asks to pack argument %d, which is no weight", a);
            return false;
        }
    }
    return true;
}

static bool prepare(const struct tfr_chooser *chooser, const struct tfr_kernel *kernel, const struct tfr_problem *problem,
                    struct tfr_needs *needs, char *reason, size_t size) {
    *needs = (struct tfr_needs){.struct_size = sizeof(*needs)};
    const enum tfr_status status =
        kernel->prepare == NULL ? TFR_OK : (enum tfr_status)kernel->prepare(kernel, problem, needs, reason, size);
    if (status != TFR_OK && status != TFR_UNSUPPORTED && *chooser->failure == TFR_OK) {
        *chooser->failure = tfr_raise(status < TFR_STATUS_COUNT ? status : TFR_RUNTIME, "%s cannot be prepared: %s", kernel->name,
                                      reason[0] != '\0' ? reason : "no reason given");
    }
    return status == TFR_OK;
}

/* Of a weight that shards have parts of, each part must get the bits that all of it would. */
static bool keeps_parts(const struct tfr_chooser *chooser, const struct tfr_needs *needs, char *reason, size_t size) {
    if (chooser->by_parts && needs->order.kind == TFR_ORDER_OWN) {
        snprintf(reason, size, "adds in an order of its own: of sums by head, shards need not have the bits of the whole");
        return false;
    }
    return true;
}

bool tfr_candidate_judge(const struct tfr_chooser *chooser, const struct tfr_candidate *candidate,
                         const struct tfr_problem *problem, struct tfr_needs *needs, char *reason, size_t size) {
    const struct tfr_kernel *kernel = candidate->kernel;
    *needs = (struct tfr_needs){0};
    reason[0] = '\0';
    if (!tfr_registry_allows(chooser->registry, kernel, candidate->plugin, reason, size) ||
        !serves_dtype(kernel, problem, reason, size) || !keeps_bits(kernel, problem, reason, size) ||
        !keeps_apart(kernel, problem, reason, size) || !knows_caches(candidate, problem, reason, size)) {
        return false;
    }
    const bool served = (kernel->supports == NULL || kernel->supports(kernel, problem, reason, size)) &&
                        prepare(chooser, kernel, problem, needs, reason, size);
    if (!served && reason[0] == '\0') {
        snprintf(reason, size, "refused without a reason");
    }
    if (problem->op == TFR_OP_LINEAR) {
        default_order(needs);
    }
    const bool is_met = served && can_be_met(kernel, problem, needs, reason, size);
    return is_met && (problem->op != TFR_OP_LINEAR || keeps_parts(chooser, needs, reason, size));
}

/* fusion.c - which patterns become one node: the graph says where a kernel's pattern fits, the kernel whether it serves there,
 * and the predicted times whether that is worth it.
 *
 * In deterministic mode a pattern is judged at the nominal rows and threads, as the other choices are, and only inside a block:
 * what stands behind the last one depends on what the caller wants to see, and where it stands on the ranks; a row's bits must not.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "graph/pattern.h"
#include "plan/problem.h"
#include "plan/select.h"

/* How a pattern is weighed: time, and what the user's list prefers. */
struct weight {
    double ns;
    int preference;
};

/* The problem that decides, and the outlook it is predicted for. */
static struct tfr_problem deciding_problem(const struct tfr_chooser *chooser, const struct tfr_problem *problem) {
    return chooser->deterministic ? tfr_problem_resize(problem, TFR_NOMINAL_ROWS, TFR_NOMINAL_THREADS) : *problem;
}

static struct tfr_chooser deciding_chooser(const struct tfr_chooser *chooser) {
    struct tfr_chooser decides = *chooser;
    if (chooser->deterministic) {
        decides.outlook = (struct tfr_outlook){.machine = chooser->outlook.machine, .sequences = 1, .nominal = true};
    }
    return decides;
}

/* All parts on kernels of their own. */
static enum tfr_status weigh_apart(const struct tfr_chooser *chooser, const struct tfr_graph *graph, const struct tfr_match *match,
                                   int n_threads, struct weight *weight) {
    *weight = (struct weight){0};
    for (int p = 0; p < match->n; p++) {
        const struct tfr_problem whole = tfr_problem_make(graph, &graph->nodes[match->node[p]], n_threads, chooser->deterministic);
        const struct tfr_problem problem = deciding_problem(chooser, &whole);
        struct tfr_choice choice;
        TFR_TRY(tfr_select(chooser, &problem, &choice));
        const int preference = tfr_registry_preference(chooser->registry, choice.kernel, choice.candidates[0].plugin);
        weight->ns += choice.prediction.time_ns;
        weight->preference = preference > weight->preference ? preference : weight->preference;
        tfr_free(choice.candidates);
    }
    return TFR_OK;
}

/* False with the reason where the kernel does not serve the pattern, at the rows that decide or at those of the plan. */
static bool weigh_fused(const struct tfr_chooser *chooser, const struct tfr_candidate *candidate, const struct tfr_problem *problem,
                        struct weight *weight, char *reason, size_t size) {
    struct tfr_needs needs;
    const struct tfr_problem decides = deciding_problem(chooser, problem);
    if (!tfr_candidate_judge(chooser, candidate, &decides, &needs, reason, size) ||
        !tfr_candidate_judge(chooser, candidate, problem, &needs, reason, size)) {
        return false;
    }
    weight->ns = tfr_cost_predict(&chooser->outlook, candidate->kernel, &decides, &needs.order).time_ns;
    weight->preference = tfr_registry_preference(chooser->registry, candidate->kernel, candidate->plugin);
    return true;
}

static bool is_in_one_block(const struct tfr_graph *graph, const struct tfr_match *match) {
    const int64_t layer = graph->nodes[match->node[0]].layer;
    bool is_inside = layer >= 0;
    for (int p = 1; p < match->n; p++) {
        is_inside = is_inside && graph->nodes[match->node[p]].layer == layer;
    }
    return is_inside;
}

static bool is_taken(const struct tfr_chooser *chooser, const struct tfr_graph *graph, const struct tfr_match *match,
                     const struct weight *together, const struct weight *apart, char *reason, size_t size) {
    if (chooser->deterministic && !is_in_one_block(graph, match)) {
        snprintf(reason, size, "is not inside one block: other commands or ranks could not fuse it, and bits would differ");
        return false;
    }
    if (together->preference != apart->preference) {
        snprintf(reason, size, "the user's list prefers kernels of the parts");
        return together->preference > apart->preference;
    }
    snprintf(reason, size, "predicted %.2f us, its parts on their own kernels %.2f us", together->ns / 1e3, apart->ns / 1e3);
    return together->ns < apart->ns;
}

/* Offers the pattern that begins at `first` to the kernel; *taken says whether it became one node. */
static enum tfr_status offer(struct tfr_graph *graph, const struct tfr_chooser *chooser, const struct tfr_candidate *candidate,
                             int n_threads, const struct tfr_match *match, bool *dead) {
    const struct tfr_chooser decides = deciding_chooser(chooser);
    const struct tfr_node fused = tfr_fused_node(graph, match);
    const struct tfr_problem problem = tfr_problem_make(graph, &fused, n_threads, chooser->deterministic);
    struct tfr_node *first = &graph->nodes[match->node[0]];
    struct weight together, apart;
    char reason[sizeof(first->declined_reason)] = "";
    bool taken = weigh_fused(&decides, candidate, &problem, &together, reason, sizeof(reason));
    if (*chooser->failure != TFR_OK) {
        return *chooser->failure;
    }
    if (taken) {
        TFR_TRY(weigh_apart(&decides, graph, match, n_threads, &apart));
        taken = is_taken(chooser, graph, match, &together, &apart, reason, sizeof(reason));
    }
    if (taken) {
        tfr_put_fused(graph, match, dead);
    } else {
        first->declined = candidate->kernel;
        first->declined_plugin = candidate->plugin;
        memcpy(first->declined_reason, reason, sizeof(reason));
    }
    return TFR_OK;
}

static enum tfr_status offer_everywhere(struct tfr_graph *graph, const struct tfr_chooser *chooser, struct tfr_candidate *candidate,
                                        int n_threads, bool *dead) {
    const struct tfr_kernel *kernel = candidate->kernel;
    snprintf(candidate->refusal, sizeof(candidate->refusal), "its pattern stands nowhere in this graph");
    for (int i = 0; i < graph->n_nodes; i++) {
        struct tfr_match match;
        if (!dead[i] && tfr_match(graph, i, kernel->pattern, kernel->n_pattern, &match)) {
            candidate->refusal[0] = '\0';
            TFR_TRY(offer(graph, chooser, candidate, n_threads, &match, dead));
        }
    }
    return TFR_OK;
}

/* Leaves a refusal in the candidate where its pattern does not stand in the graph. */
static enum tfr_status offer_to(struct tfr_graph *graph, const struct tfr_chooser *chooser, struct tfr_candidate *candidate,
                                int n_threads) {
    bool *dead = tfr_alloc((size_t)graph->n_nodes, sizeof(*dead));
    if (dead == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = offer_everywhere(graph, chooser, candidate, n_threads, dead);
    if (status == TFR_OK) {
        status = tfr_graph_remove(graph, dead);
    }
    tfr_free(dead);
    return status;
}

static int count_patterns(const struct tfr_registry_entry *plugins, size_t n_plugins) {
    int n = 0;
    for (size_t p = 0; p < n_plugins; p++) {
        for (int k = 0; k < plugins[p].plugin->n_kernels; k++) {
            n += plugins[p].plugin->kernels[k]->op == TFR_OP_FUSED;
        }
    }
    return n;
}

enum tfr_status tfr_fuse_patterns(struct tfr_graph *graph, const struct tfr_chooser *chooser, int n_threads,
                                  struct tfr_candidate **absent, int *n_absent) {
    size_t n_plugins;
    const struct tfr_registry_entry *plugins = tfr_registry_plugins(chooser->registry, &n_plugins);
    const int n_patterns = count_patterns(plugins, n_plugins);
    *n_absent = 0;
    *absent = tfr_alloc((size_t)n_patterns + 1, sizeof(**absent));
    if (*absent == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t p = 0; p < n_plugins; p++) {
        for (int k = 0; k < plugins[p].plugin->n_kernels; k++) {
            struct tfr_candidate *candidate = &(*absent)[*n_absent];
            *candidate = (struct tfr_candidate){.kernel = plugins[p].plugin->kernels[k],
                                                .plugin = plugins[p].plugin->name,
                                                .abi_minor = plugins[p].plugin->abi_minor};
            if (candidate->kernel->op == TFR_OP_FUSED) {
                TFR_TRY(offer_to(graph, chooser, candidate, n_threads));
                *n_absent += candidate->refusal[0] != '\0';
            }
        }
    }
    return n_patterns > 0 ? tfr_graph_check(graph) : TFR_OK;
}

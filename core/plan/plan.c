/* plan.c - a graph becomes an array of tasks: kernels chosen, memory laid out, weights packed, states made.
 *
 * tfr_plan_build is the list of the stages; each fills its part of the tasks. A failure at any point frees
 * everything through tfr_plan_free, which therefore copes with a half-built plan.
 */
#include "plan/plan.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "graph/edges.h"
#include "graph/op.h"
#include "plan/alone.h"
#include "plan/memplan.h"
#include "plan/problem.h"
#include "plan/provide.h"
#include "plan/select.h"

enum { STATE_ALIGN = 64 };

/* Choices already made in this plan: the blocks of a model ask the same few questions again and again. */
struct memo {
    struct known {
        struct tfr_problem problem;
        struct tfr_choice choice;
    } * known;
    int n;
};

/* As long as it is and no longer: it was made for all kernels that there are. */
static enum tfr_status keep_list(struct tfr_plan *plan, struct tfr_candidate **list, int n) {
    struct tfr_candidate *exact = tfr_realloc(*list, (size_t)n, sizeof **list);
    *list = exact != NULL ? exact : *list;
    plan->lists[plan->n_lists++] = *list;
    return exact != NULL ? TFR_OK : TFR_RESOURCE;
}

static enum tfr_status choose(struct tfr_plan *plan, struct memo *memo, const struct tfr_chooser *chooser,
                              const struct tfr_problem *problem, const struct tfr_choice **choice) {
    for (int i = 0; i < memo->n; i++) {
        if (tfr_problem_same(&memo->known[i].problem, problem)) {
            *choice = &memo->known[i].choice;
            return TFR_OK;
        }
    }
    struct known *known = &memo->known[memo->n];
    known->problem = *problem;
    TFR_TRY(tfr_select(chooser, problem, &known->choice));
    TFR_TRY(keep_list(plan, &known->choice.candidates, known->choice.n_candidates));
    memo->n++;
    *choice = &known->choice;
    return TFR_OK;
}

/* An earlier task that was asked the same, and whose node declined the same kernel for the same reason; NULL. */
static const struct tfr_task *find_declined(const struct tfr_plan *plan, const struct tfr_task *task, const struct tfr_node *node,
                                            const struct tfr_choice *choice) {
    const int n = choice->n_candidates;
    for (const struct tfr_task *other = plan->tasks; other < task; other++) {
        if (other->n_candidates == n + 1 &&
            memcmp(other->candidates, choice->candidates, (size_t)n * sizeof *other->candidates) == 0 &&
            other->candidates[n].kernel == node->declined && strcmp(other->candidates[n].refusal, node->declined_reason) == 0) {
            return other;
        }
    }
    return NULL;
}

/* The chosen kernel first, then the others, last one whose pattern begins here and was not taken. */
static enum tfr_status fill_candidates(struct tfr_plan *plan, struct tfr_task *task, const struct tfr_node *node,
                                       const struct tfr_choice *choice) {
    const int n = choice->n_candidates;
    const struct tfr_task *alike = node->declined != NULL ? find_declined(plan, task, node, choice) : NULL;
    task->candidates = alike != NULL ? alike->candidates : choice->candidates;
    task->n_candidates = n + (node->declined != NULL);
    if (node->declined == NULL || alike != NULL) {
        return TFR_OK;
    }
    struct tfr_candidate *list = tfr_alloc((size_t)n + 1, sizeof *list);
    if (list == NULL) {
        return TFR_RESOURCE;
    }
    memcpy(list, choice->candidates, (size_t)n * sizeof *list);
    list[n] = (struct tfr_candidate){.kernel = node->declined, .plugin = node->declined_plugin};
    memcpy(list[n].refusal, node->declined_reason, sizeof(node->declined_reason));
    plan->lists[plan->n_lists++] = list;
    task->candidates = list;
    return TFR_OK;
}

static enum tfr_status fill_task(struct tfr_plan *plan, struct tfr_task *task, const struct tfr_node *node,
                                 const struct tfr_problem *problem, const struct tfr_choice *choice) {
    task->name = node->name;
    task->kernel = choice->kernel;
    task->problem = *problem;
    task->problem.order = choice->problem.order;
    task->n_args = node->n_args;
    task->rows = node->rows;
    task->layer = node->layer;
    task->cost = choice->prediction.cost;
    task->predicted_ns = choice->prediction.time_ns;
    task->compute_bound = choice->prediction.compute_bound;
    task->needs = choice->needs;
    return fill_candidates(plan, task, node, choice);
}

static enum tfr_status select_all(struct tfr_plan *plan, const struct tfr_chooser *chooser, struct memo *memo) {
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_node *node = &plan->graph->nodes[i];
        struct tfr_problem problem = tfr_problem_make(plan->graph, node, plan->n_threads, plan->deterministic);
        const struct tfr_choice *choice;
        enum tfr_status status = tfr_choose_half(chooser, plan->graph, node, &problem);
        status = status == TFR_OK ? choose(plan, memo, chooser, &problem, &choice) : status;
        if (status != TFR_OK) {
            return tfr_raise_prefix(status, "%s", node->name);
        }
        TFR_TRY(fill_task(plan, &plan->tasks[i], node, &problem, choice));
        TFR_TRY(tfr_choose_alone(&plan->tasks[i], &chooser->outlook));
    }
    return TFR_OK;
}

static enum tfr_status select_kernels(struct tfr_plan *plan, const struct tfr_plan_request *request) {
    enum tfr_status failure = TFR_OK;
    const struct tfr_chooser chooser = {
        .registry = request->registry,
        .outlook = {.machine = request->machine,
                    .sequences = request->sequences,
                    .context = request->context,
                    .encoder = request->encoder},
        .deterministic = request->deterministic,
        .lossless = request->lossless && request->deterministic,
        .by_parts = request->by_parts,
        .store = request->store,
        .orders = request->orders,
        .failure = &failure,
    };
    TFR_TRY(tfr_fuse_patterns(plan->graph, &chooser, plan->n_threads, &plan->absent, &plan->n_absent));
    plan->n_tasks = plan->graph->n_nodes;
    plan->tasks = tfr_alloc((size_t)plan->n_tasks, sizeof(*plan->tasks));
    plan->lists = tfr_alloc(2 * (size_t)plan->n_tasks, sizeof(*plan->lists)); /* of each problem, and with what a node declined */
    if (plan->tasks == NULL || plan->lists == NULL) {
        return TFR_RESOURCE;
    }
    struct memo memo = {.known = tfr_alloc((size_t)plan->n_tasks, sizeof(struct known))};
    enum tfr_status status = memo.known != NULL ? select_all(plan, &chooser, &memo) : TFR_RESOURCE;
    tfr_free(memo.known);
    return status;
}

static void add_totals(struct tfr_plan *plan) {
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_needs *needs = &plan->tasks[i].needs;
        if (needs->scratch_bytes > plan->scratch_bytes) {
            plan->scratch_bytes = needs->scratch_bytes;
        }
        if (needs->scratch_per_thread_bytes > plan->scratch_per_thread_bytes) {
            plan->scratch_per_thread_bytes = needs->scratch_per_thread_bytes;
        }
        for (int a = 0; a < plan->tasks[i].n_args; a++) {
            plan->packed_bytes += needs->pack[a].bytes;
        }
        plan->predicted_ns += plan->tasks[i].predicted_ns;
    }
}

static void place_args(struct tfr_plan *plan, const struct tfr_memplan *memory) {
    for (int i = 0; i < plan->n_tasks; i++) {
        struct tfr_task *task = &plan->tasks[i];
        for (int a = 0; a < task->n_args; a++) {
            int id = plan->graph->nodes[i].arg[a];
            if (id < 0) {
                continue;
            }
            const struct tfr_value *value = &plan->graph->values[id];
            if (value->kind == TFR_VALUE_WEIGHT) {
                task->arg[a].place = TFR_PLACE_CONST;
            } else if (value->kind == TFR_VALUE_STATE) {
                task->arg[a].place = TFR_PLACE_NONE;
            } else if (value->kind == TFR_VALUE_IO) {
                task->arg[a] =
                    (struct tfr_task_arg){.place = TFR_PLACE_IO,
                                          .io = value->io,
                                          .io_index = value->io_index,
                                          .offset = (size_t)(value->part_first * plan->graph->logits_max) * sizeof(float)};
            } else {
                task->arg[a] = (struct tfr_task_arg){.place = TFR_PLACE_ARENA, .offset = memory->offset[id]};
            }
        }
    }
}

static enum tfr_status lay_out_memory(struct tfr_plan *plan) {
    bool *in_place = tfr_alloc((size_t)plan->n_tasks, sizeof(*in_place));
    if (in_place == NULL) {
        return TFR_RESOURCE;
    }
    for (int i = 0; i < plan->n_tasks; i++) {
        in_place[i] = (plan->tasks[i].kernel->flags & TFR_KERNEL_IN_PLACE) != 0;
    }
    struct tfr_memplan memory;
    enum tfr_status status = tfr_memplan_build(&memory, plan->graph, in_place);
    if (status == TFR_OK) {
        plan->arena_bytes = memory.bytes;
        place_args(plan, &memory);
        tfr_memplan_free(&memory);
    }
    tfr_free(in_place);
    return status;
}

static enum tfr_status link_by(struct tfr_plan *plan, const struct tfr_edges *edges) {
    for (int i = 0; i < plan->n_tasks; i++) {
        plan->tasks[i].n_predecessors = tfr_edges_n(edges, i);
        for (int j = 0; j < plan->tasks[i].n_predecessors; j++) {
            plan->tasks[tfr_edges_of(edges, i)[j]].n_successors++;
        }
    }
    for (int i = 0; i < plan->n_tasks; i++) {
        struct tfr_task *task = &plan->tasks[i];
        task->successors = tfr_alloc((size_t)task->n_successors, sizeof(*task->successors));
        if (task->successors == NULL) {
            return TFR_RESOURCE;
        }
        task->n_successors = 0;
    }
    for (int i = 0; i < plan->n_tasks; i++) {
        for (int j = 0; j < plan->tasks[i].n_predecessors; j++) {
            struct tfr_task *from = &plan->tasks[tfr_edges_of(edges, i)[j]];
            from->successors[from->n_successors++] = i;
        }
    }
    return TFR_OK;
}

static enum tfr_status link_tasks(struct tfr_plan *plan) {
    struct tfr_edges edges;
    enum tfr_status status = tfr_edges_open(&edges, plan->graph);
    status = status == TFR_OK ? link_by(plan, &edges) : status;
    tfr_edges_close(&edges);
    return status;
}

/* What a run keeps for its tasks. */
static void lay_out_run_states(struct tfr_plan *plan) {
    for (int i = 0; i < plan->n_tasks; i++) {
        plan->tasks[i].run_state_offset = plan->run_state_bytes;
        plan->run_state_bytes += tfr_align_up(plan->tasks[i].needs.run_state_bytes, TFR_RUN_STATE_ALIGN);
    }
}

static bool is_async(const struct tfr_task *task) {
    return task->kernel->run_class == TFR_RUN_ASYNC;
}

/* No pattern holds one: tfr_match. */
static bool is_append(const struct tfr_task *task) {
    return task->problem.op == TFR_OP_KV_APPEND;
}

static enum tfr_status list_tasks(const struct tfr_plan *plan, bool (*belongs)(const struct tfr_task *), int **list, int *n) {
    *list = tfr_alloc((size_t)plan->n_tasks, sizeof(**list));
    for (int i = 0; i < plan->n_tasks && *list != NULL; i++) {
        if (belongs(&plan->tasks[i])) {
            (*list)[(*n)++] = i;
        }
    }
    return *list != NULL ? TFR_OK : TFR_RESOURCE;
}

/* Steps stand behind their predecessors, so one pass from the end finds the longest paths. */
static void set_priorities(struct tfr_plan *plan) {
    for (int i = plan->n_tasks - 1; i >= 0; i--) {
        struct tfr_task *task = &plan->tasks[i];
        double longest = 0;
        for (int s = 0; s < task->n_successors; s++) {
            double path = plan->tasks[task->successors[s]].priority_ns;
            longest = path > longest ? path : longest;
        }
        task->priority_ns = task->predicted_ns + longest;
    }
}

static enum tfr_status make_state(struct tfr_task *task, void *state) {
    char reason[200] = "";
    const int32_t status =
        task->kernel->init == NULL ? TFR_OK : task->kernel->init(task->kernel, &task->problem, state, reason, sizeof(reason));
    if (status != TFR_OK) {
        return tfr_raise(status > 0 && status < TFR_STATUS_COUNT ? (enum tfr_status)status : TFR_RUNTIME,
                         "%s: %s cannot be set up: %s", task->name, task->kernel->name,
                         reason[0] != '\0' ? reason : "no reason given");
    }
    task->state = state;
    return TFR_OK;
}

static enum tfr_status make_states(struct tfr_plan *plan) {
    size_t bytes = STATE_ALIGN;
    for (int i = 0; i < plan->n_tasks; i++) {
        bytes += tfr_align_up(plan->tasks[i].needs.state_bytes, STATE_ALIGN);
    }
    plan->state_memory = tfr_alloc(bytes, 1);
    if (plan->state_memory == NULL) {
        return TFR_RESOURCE;
    }
    struct tfr_bump bump = {.base = plan->state_memory, .size = bytes};
    for (int i = 0; i < plan->n_tasks; i++) {
        size_t size = plan->tasks[i].needs.state_bytes;
        TFR_TRY(make_state(&plan->tasks[i], size > 0 ? tfr_bump_take(&bump, size, STATE_ALIGN) : NULL));
    }
    return TFR_OK;
}

void tfr_plan_warm(struct tfr_plan *plan) {
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_task *task = &plan->tasks[i];
        if (task->kernel->warm != NULL) {
            task->kernel->warm(task->kernel, &task->problem, task->state);
        }
    }
}

static enum tfr_status build(struct tfr_plan *plan, const struct tfr_plan_request *request) {
    TFR_TRY(select_kernels(plan, request));
    add_totals(plan);
    TFR_TRY(lay_out_memory(plan));
    TFR_TRY(link_tasks(plan));
    TFR_TRY(list_tasks(plan, is_async, &plan->async, &plan->n_async));
    TFR_TRY(list_tasks(plan, is_append, &plan->appends, &plan->n_appends));
    lay_out_run_states(plan);
    set_priorities(plan);
    if (plan->dry) {
        return TFR_OK;
    }
    TFR_TRY(tfr_provide_weights(plan, request->store));
    return make_states(plan);
}

enum tfr_status tfr_plan_build(struct tfr_plan **plan, const struct tfr_plan_request *request) {
    *plan = NULL;
    struct tfr_plan *made = tfr_alloc(1, sizeof(*made));
    if (made == NULL) {
        tfr_graph_free(request->graph);
        return TFR_RESOURCE;
    }
    *made = (struct tfr_plan){
        .graph = request->graph,
        .n_threads = request->n_threads,
        .rows_max = request->graph->rows_max,
        .logits_max = request->graph->logits_max,
        .dry = request->store == NULL,
        .deterministic = request->deterministic,
    };
    enum tfr_status status = build(made, request);
    if (status != TFR_OK) {
        tfr_plan_free(made);
        return status;
    }
    tfr_log(TFR_LOG_DEBUG, "plan", "%d tasks for up to %lld rows: %.1f MB of activations, %.1f MB of packed weights", made->n_tasks,
            (long long)made->rows_max, (double)made->arena_bytes / 1e6, (double)made->packed_bytes / 1e6);
    *plan = made;
    return TFR_OK;
}

void tfr_plan_free(struct tfr_plan *plan) {
    if (plan == NULL) {
        return;
    }
    for (int i = 0; plan->tasks != NULL && i < plan->n_tasks; i++) {
        struct tfr_task *task = &plan->tasks[i];
        if (task->state != NULL && task->kernel->release != NULL) {
            task->kernel->release(task->kernel, task->state);
        }
        tfr_free(task->successors);
    }
    for (int i = 0; i < plan->n_lists; i++) {
        tfr_free(plan->lists[i]);
    }
    tfr_free(plan->lists);
    tfr_free(plan->state_memory);
    tfr_free(plan->async);
    tfr_free(plan->appends);
    tfr_free(plan->absent);
    tfr_free(plan->tasks);
    tfr_graph_free(plan->graph);
    tfr_free(plan);
}

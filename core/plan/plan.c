/* plan.c - a graph becomes an array of steps: kernels chosen, memory laid out, weights packed, states made.
 *
 * tfr_plan_build is the list of the stages; each fills its part of the steps. A failure at any point frees
 * everything through tfr_plan_free, which therefore copes with a half-built plan.
 */
#include "plan/plan.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "graph/op.h"
#include "plan/memplan.h"
#include "plan/problem.h"
#include "plan/select.h"

enum { STATE_ALIGN = 64, LINEAR_WEIGHT = 1 };

/* Choices already made in this plan: the blocks of a model ask the same few questions again and again. */
struct memo {
    struct known {
        struct tfr_problem problem;
        struct tfr_choice choice;
    } * known;
    int n;
};

static void memo_free(struct memo *memo) {
    for (int i = 0; i < memo->n; i++) {
        tfr_free(memo->known[i].choice.candidates);
    }
    tfr_free(memo->known);
}

static enum tfr_status choose(struct memo *memo, const struct tfr_chooser *chooser,
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
    memo->n++;
    *choice = &known->choice;
    return TFR_OK;
}

static enum tfr_status fill_step(struct tfr_step *step, const struct tfr_node *node,
                                 const struct tfr_problem *problem, const struct tfr_choice *choice) {
    step->name = node->name;
    step->kernel = choice->kernel;
    step->problem = *problem;
    step->problem.order = choice->problem.order;
    step->n_args = node->n_args;
    step->rows = node->rows;
    step->layer = node->layer;
    step->cost = choice->prediction.cost;
    step->predicted_ns = choice->prediction.time_ns;
    step->compute_bound = choice->prediction.compute_bound;
    step->needs = choice->needs;
    step->n_candidates = choice->n_candidates;
    step->candidates = tfr_alloc((size_t)choice->n_candidates, sizeof(*step->candidates));
    if (step->candidates == NULL) {
        return TFR_RESOURCE;
    }
    memcpy(step->candidates, choice->candidates, (size_t)choice->n_candidates * sizeof(*step->candidates));
    return TFR_OK;
}

static enum tfr_status select_all(struct tfr_plan *plan, const struct tfr_chooser *chooser,
                                  struct memo *memo) {
    for (int i = 0; i < plan->n_steps; i++) {
        const struct tfr_node *node = &plan->graph->nodes[i];
        const struct tfr_problem problem =
            tfr_problem_make(plan->graph, node, plan->n_threads, plan->deterministic);
        const struct tfr_choice *choice;
        enum tfr_status status = choose(memo, chooser, &problem, &choice);
        if (status != TFR_OK) {
            return tfr_raise_prefix(status, "%s", node->name);
        }
        TFR_TRY(fill_step(&plan->steps[i], node, &problem, choice));
    }
    return TFR_OK;
}

static enum tfr_status select_kernels(struct tfr_plan *plan, const struct tfr_plan_request *request) {
    const struct tfr_chooser chooser = {
        .registry = request->registry,
        .outlook = {.machine = request->machine,
                    .sequences = request->sequences,
                    .context = request->context},
        .deterministic = request->deterministic,
        .orders = request->orders,
    };
    struct memo memo = {.known = tfr_alloc((size_t)plan->n_steps, sizeof(struct known))};
    enum tfr_status status = memo.known != NULL ? select_all(plan, &chooser, &memo) : TFR_RESOURCE;
    memo_free(&memo);
    return status;
}

static void add_totals(struct tfr_plan *plan) {
    for (int i = 0; i < plan->n_steps; i++) {
        const struct tfr_needs *needs = &plan->steps[i].needs;
        if (needs->scratch_bytes > plan->scratch_bytes) {
            plan->scratch_bytes = needs->scratch_bytes;
        }
        if (needs->scratch_per_thread_bytes > plan->scratch_per_thread_bytes) {
            plan->scratch_per_thread_bytes = needs->scratch_per_thread_bytes;
        }
        plan->packed_bytes += needs->packed_bytes;
        plan->predicted_ns += plan->steps[i].predicted_ns;
    }
}

static void place_args(struct tfr_plan *plan, const struct tfr_memplan *memory) {
    for (int i = 0; i < plan->n_steps; i++) {
        struct tfr_step *step = &plan->steps[i];
        for (int a = 0; a < step->n_args; a++) {
            int id = plan->graph->nodes[i].arg[a];
            if (id < 0) {
                continue;
            }
            const struct tfr_value *value = &plan->graph->values[id];
            if (value->kind == TFR_VALUE_WEIGHT) {
                step->arg[a].place = TFR_PLACE_CONST;
            } else if (value->kind == TFR_VALUE_IO) {
                step->arg[a] = (struct tfr_step_arg){.place = TFR_PLACE_IO, .io = value->io, .io_index = value->io_index};
            } else {
                step->arg[a] = (struct tfr_step_arg){.place = TFR_PLACE_ARENA, .offset = memory->offset[id]};
            }
        }
    }
}

static enum tfr_status lay_out_memory(struct tfr_plan *plan) {
    bool *in_place = tfr_alloc((size_t)plan->n_steps, sizeof(*in_place));
    if (in_place == NULL) {
        return TFR_RESOURCE;
    }
    for (int i = 0; i < plan->n_steps; i++) {
        in_place[i] = (plan->steps[i].kernel->flags & TFR_KERNEL_IN_PLACE) != 0;
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

static enum tfr_status link_steps(struct tfr_plan *plan) {
    int list[TFR_MAX_ARGS + 1];
    for (int i = 0; i < plan->n_steps; i++) {
        plan->steps[i].n_predecessors = tfr_node_predecessors(plan->graph, i, list);
        for (int j = 0; j < plan->steps[i].n_predecessors; j++) {
            plan->steps[list[j]].n_successors++;
        }
    }
    for (int i = 0; i < plan->n_steps; i++) {
        struct tfr_step *step = &plan->steps[i];
        step->successors = tfr_alloc((size_t)step->n_successors, sizeof(*step->successors));
        if (step->successors == NULL) {
            return TFR_RESOURCE;
        }
        step->n_successors = 0;
    }
    for (int i = 0; i < plan->n_steps; i++) {
        int n = tfr_node_predecessors(plan->graph, i, list);
        for (int j = 0; j < n; j++) {
            struct tfr_step *from = &plan->steps[list[j]];
            from->successors[from->n_successors++] = i;
        }
    }
    return TFR_OK;
}

/* Steps stand behind their predecessors, so one pass from the end finds the longest paths. */
static void set_priorities(struct tfr_plan *plan) {
    for (int i = plan->n_steps - 1; i >= 0; i--) {
        struct tfr_step *step = &plan->steps[i];
        double longest = 0;
        for (int s = 0; s < step->n_successors; s++) {
            double path = plan->steps[step->successors[s]].priority_ns;
            longest = path > longest ? path : longest;
        }
        step->priority_ns = step->predicted_ns + longest;
    }
}

/* Tables and weights that a kernel reads unpacked stay where the file is mapped if they have the right type;
 * a linear may in addition count on alignment. Vectors are copied: they are small, and mostly stored
 * unaligned. */
static bool is_usable_in_place(const struct tfr_step *step, int arg, const struct tfr_weight *weight) {
    if ((int32_t)weight->tensor.dtype != step->problem.arg[arg].dtype || weight->tensor.rank < 2) {
        return false;
    }
    return step->problem.op == TFR_OP_EMBED || step->problem.op == TFR_OP_LOOKUP_ADD ||
           (uintptr_t)weight->tensor.data % TFR_ARENA_ALIGN == 0;
}

static enum tfr_status provide_weight(struct tfr_store *store, struct tfr_step *step, int arg,
                                      const struct tfr_weight *weight) {
    const void **data = &step->arg[arg].data;
    if (step->problem.op == TFR_OP_LINEAR && arg == LINEAR_WEIGHT && step->needs.packed_bytes > 0) {
        return tfr_store_pack(store, weight, step->kernel, &step->problem, &step->needs, data);
    }
    if (is_usable_in_place(step, arg, weight)) {
        *data = weight->tensor.data;
        return TFR_OK;
    }
    return tfr_store_plain(store, weight, (enum tfr_dtype)step->problem.arg[arg].dtype, data);
}

static enum tfr_status provide_weights(struct tfr_plan *plan, struct tfr_store *store) {
    for (int i = 0; i < plan->n_steps; i++) {
        struct tfr_step *step = &plan->steps[i];
        for (int a = 0; a < step->n_args; a++) {
            if (step->arg[a].place != TFR_PLACE_CONST) {
                continue;
            }
            const struct tfr_value *value = &plan->graph->values[plan->graph->nodes[i].arg[a]];
            if (value->weight == NULL) {
                return tfr_raise(TFR_RUNTIME,
                                 "%s: %s has no data: a graph built without a checkpoint can only be "
                                 "planned dry",
                                 step->name, value->name);
            }
            TFR_TRY(provide_weight(store, step, a, value->weight));
        }
    }
    return TFR_OK;
}

static enum tfr_status make_state(struct tfr_step *step, void *state) {
    char reason[200] = "";
    if (step->kernel->init != NULL && !step->kernel->init(&step->problem, state, reason, sizeof(reason))) {
        return tfr_raise(TFR_RUNTIME, "%s: %s cannot be set up: %s", step->name, step->kernel->name, reason);
    }
    step->state = state;
    return TFR_OK;
}

static enum tfr_status make_states(struct tfr_plan *plan) {
    size_t bytes = STATE_ALIGN;
    for (int i = 0; i < plan->n_steps; i++) {
        bytes += tfr_align_up(plan->steps[i].needs.state_bytes, STATE_ALIGN);
    }
    plan->state_memory = tfr_alloc(bytes, 1);
    if (plan->state_memory == NULL) {
        return TFR_RESOURCE;
    }
    struct tfr_bump bump = {.base = plan->state_memory, .size = bytes};
    for (int i = 0; i < plan->n_steps; i++) {
        size_t size = plan->steps[i].needs.state_bytes;
        TFR_TRY(make_state(&plan->steps[i], size > 0 ? tfr_bump_take(&bump, size, STATE_ALIGN) : NULL));
    }
    return TFR_OK;
}

static enum tfr_status build(struct tfr_plan *plan, const struct tfr_plan_request *request) {
    plan->steps = tfr_alloc((size_t)plan->n_steps, sizeof(*plan->steps));
    if (plan->steps == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(select_kernels(plan, request));
    add_totals(plan);
    TFR_TRY(lay_out_memory(plan));
    TFR_TRY(link_steps(plan));
    set_priorities(plan);
    if (plan->dry) {
        return TFR_OK;
    }
    TFR_TRY(provide_weights(plan, request->store));
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
        .n_steps = request->graph->n_nodes,
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
    tfr_log(TFR_LOG_DEBUG, "plan",
            "%d steps for up to %lld rows: %.1f MB of activations, %.1f MB of packed weights", made->n_steps,
            (long long)made->rows_max, (double)made->arena_bytes / 1e6, (double)made->packed_bytes / 1e6);
    *plan = made;
    return TFR_OK;
}

void tfr_plan_free(struct tfr_plan *plan) {
    if (plan == NULL) {
        return;
    }
    for (int i = 0; plan->steps != NULL && i < plan->n_steps; i++) {
        struct tfr_step *step = &plan->steps[i];
        if (step->state != NULL && step->kernel->release != NULL) {
            step->kernel->release(step->state);
        }
        tfr_free(step->successors);
        tfr_free(step->candidates);
    }
    tfr_free(plan->state_memory);
    tfr_free(plan->steps);
    tfr_graph_free(plan->graph);
    tfr_free(plan);
}

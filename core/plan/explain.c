/* explain.c - a plan as a table for people and as JSON for programs: what runs where, what it costs, and why
 * not another kernel.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "base/units.h"
#include "graph/op.h"
#include "plan/plan.h"
#include "plan/problem.h"
#include "plan/select.h"

/* "h.0.mlp.c_fc+gelu_tanh" */
static const char *node_text(const struct tfr_task *task, char *text, size_t size) {
    bool linear = task->problem.op == TFR_OP_LINEAR;
    int activation = linear ? task->problem.attrs.activation : TFR_ACT_NONE;
    bool residual = linear && (task->problem.arg[3].flags & TFR_ARG_ABSENT) == 0;
    snprintf(text, size, "%s%s%s%s", task->name, activation != TFR_ACT_NONE ? "+" : "",
             activation != TFR_ACT_NONE ? tfr_activation_name(activation) : "", residual ? "+add" : "");
    return text;
}

static void put_head(struct tfr_json_out *out, const struct tfr_plan *plan) {
    char line[240];
    snprintf(line, sizeof(line), "plan for up to %lld rows, logits of up to %lld, %d thread%s%s%s\n\n", (long long)plan->rows_max,
             (long long)plan->logits_max, plan->n_threads, plan->n_threads == 1 ? "" : "s",
             plan->deterministic ? ", deterministic" : "", plan->dry ? ", dry" : "");
    tfr_json_put_raw(out, line);
    snprintf(line, sizeof(line), "%-25s %-31s %5s %9s %9s %9s %9s   %s\n", "node", "kernel", "rows", "FLOPs", "read", "written",
             "predicted", "order");
    tfr_json_put_raw(out, line);
}

/* C or M after the time: bound by compute or by memory. */
static void put_task(struct tfr_json_out *out, const struct tfr_task *task) {
    char line[240], node[80], flops[TFR_UNIT_TEXT], bytes_read[TFR_UNIT_TEXT], bytes_written[TFR_UNIT_TEXT], time[TFR_UNIT_TEXT],
        order[24];
    const char *adds = task->alone ? "alone" : "", *exact = "";
    if (task->problem.op == TFR_OP_LINEAR) {
        adds = tfr_order_text(&task->needs.order, order, sizeof(order));
        exact = (task->problem.arg[1].flags & TFR_ARG_EXACT) != 0 ? ", exact" : "";
    }
    snprintf(line, sizeof(line), "%-25s %-31s %5lld %9s %9s %9s %9s %c%s%s%s\n", node_text(task, node, sizeof(node)),
             task->kernel->name, (long long)task->problem.rows_max, tfr_si_text(task->cost.flops, "", flops),
             tfr_si_text(task->cost.bytes_read, "B", bytes_read), tfr_si_text(task->cost.bytes_written, "B", bytes_written),
             tfr_time_text(task->predicted_ns, time), task->compute_bound ? 'C' : 'M', adds[0] != '\0' ? " " : "", adds, exact);
    tfr_json_put_raw(out, line);
}

static struct tfr_cost total_cost(const struct tfr_plan *plan) {
    struct tfr_cost total = {0};
    for (int i = 0; i < plan->n_tasks; i++) {
        total.flops += plan->tasks[i].cost.flops;
        total.bytes_read += plan->tasks[i].cost.bytes_read;
        total.bytes_written += plan->tasks[i].cost.bytes_written;
    }
    return total;
}

/* Of the linears, those whose f32 weights are packed in 16 bits. */
static void put_halves(struct tfr_json_out *out, const struct tfr_plan *plan) {
    int n = 0, n_linears = 0;
    char line[200];
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_problem *problem = &plan->tasks[i].problem;
        n_linears += problem->op == TFR_OP_LINEAR;
        n += problem->op == TFR_OP_LINEAR && (problem->arg[1].flags & TFR_ARG_EXACT) != 0;
    }
    if (n > 0) {
        snprintf(line, sizeof(line),
                 "exact: 16 bits hold every f32 value of the weight (%d of %d linears): the bits of f32 from half of the bytes\n",
                 n, n_linears);
        tfr_json_put_raw(out, line);
    }
}

static void put_totals(struct tfr_json_out *out, const struct tfr_plan *plan) {
    const struct tfr_cost total = total_cost(plan);
    char line[240], a[TFR_UNIT_TEXT], b[TFR_UNIT_TEXT], c[TFR_UNIT_TEXT], d[TFR_UNIT_TEXT];
    snprintf(line, sizeof(line), "%-25s %-31s %5s %9s %9s %9s %9s\n\n", "total", "", "", tfr_si_text(total.flops, "", a),
             tfr_si_text(total.bytes_read, "B", b), tfr_si_text(total.bytes_written, "B", c), tfr_time_text(plan->predicted_ns, d));
    tfr_json_put_raw(out, line);
    snprintf(line, sizeof(line), "activations %s, packed weights %s, scratch %s and %s per thread\n",
             tfr_si_text((double)plan->arena_bytes, "B", a), tfr_si_text((double)plan->packed_bytes, "B", b),
             tfr_si_text((double)plan->scratch_bytes, "B", c), tfr_si_text((double)plan->scratch_per_thread_bytes, "B", d));
    tfr_json_put_raw(out, line);
    put_halves(out, plan);
    tfr_json_put_raw(out, "predicted from nominal peaks; a calibration changes what `tfrun profile` predicts, not this; C bound by "
                          "compute,\nM by memory; order: how a linear adds its products; alone: by one thread\n");
}

/* Asked the same, and answered the same: a claim may be declined for where the node stands. */
static bool is_alike(const struct tfr_task *a, const struct tfr_task *b) {
    bool alike = tfr_problem_same(&a->problem, &b->problem) && a->n_candidates == b->n_candidates;
    for (int c = 0; alike && c < a->n_candidates; c++) {
        alike =
            a->candidates[c].kernel == b->candidates[c].kernel && strcmp(a->candidates[c].refusal, b->candidates[c].refusal) == 0;
    }
    return alike;
}

static bool is_first_of_its_kind(const struct tfr_plan *plan, int index, int *n_alike) {
    *n_alike = 0;
    for (int i = 0; i < plan->n_tasks; i++) {
        if (!is_alike(&plan->tasks[i], &plan->tasks[index])) {
            continue;
        }
        if (i < index) {
            return false;
        }
        (*n_alike)++;
    }
    return true;
}

static void put_candidate(struct tfr_json_out *out, const struct tfr_candidate *candidate) {
    char line[240], time[TFR_UNIT_TEXT];
    if (candidate->refusal[0] != '\0') {
        snprintf(line, sizeof(line), "    %-31s %s\n", candidate->kernel->name, candidate->refusal);
    } else {
        snprintf(line, sizeof(line), "    %-31s could serve, predicted %s\n", candidate->kernel->name,
                 tfr_time_text(candidate->predicted_ns, time));
    }
    tfr_json_put_raw(out, line);
}

/* Once for all nodes that ask the same and get the same answers; last the kernels that nobody could ask. */
static void put_refusals(struct tfr_json_out *out, const struct tfr_plan *plan) {
    tfr_json_put_raw(out, "\nkernels not taken\n");
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_task *task = &plan->tasks[i];
        int n_alike;
        if (!is_first_of_its_kind(plan, i, &n_alike) || task->n_candidates < 2) {
            continue;
        }
        char line[240], node[80], more[32] = "";
        if (n_alike > 1) {
            snprintf(more, sizeof(more), " and %d more", n_alike - 1);
        }
        snprintf(line, sizeof(line), "  %s%s: %s\n", node_text(task, node, sizeof(node)), more, task->kernel->name);
        tfr_json_put_raw(out, line);
        for (int c = 1; c < task->n_candidates; c++) {
            put_candidate(out, &task->candidates[c]);
        }
    }
    if (plan->n_absent > 0) {
        tfr_json_put_raw(out, "  nowhere:\n");
    }
    for (int c = 0; c < plan->n_absent; c++) {
        put_candidate(out, &plan->absent[c]);
    }
}

static void put_json_candidates(struct tfr_json_out *out, const char *key, const struct tfr_candidate *candidates, int n) {
    tfr_json_begin(out, key, '[');
    for (int c = 0; c < n; c++) {
        const struct tfr_candidate *candidate = &candidates[c];
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "kernel", candidate->kernel->name);
        tfr_json_put_text(out, "plugin", candidate->plugin);
        if (candidate->refusal[0] != '\0') {
            tfr_json_put_text(out, "refused", candidate->refusal);
        } else {
            tfr_json_put_number(out, "predicted_us", candidate->predicted_ns / 1e3);
        }
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
}

static void put_json_task(struct tfr_json_out *out, const struct tfr_task *task) {
    char order[24];
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "node", task->name);
    tfr_json_put_text(out, "op", tfr_op_info(task->problem.op)->name);
    tfr_json_put_int(out, "layer", task->layer);
    tfr_json_put_text(out, "kernel", task->kernel->name);
    tfr_json_put_int(out, "rows", task->problem.rows_max);
    tfr_json_put_number(out, "flops", task->cost.flops);
    tfr_json_put_number(out, "bytes_read", task->cost.bytes_read);
    tfr_json_put_number(out, "bytes_written", task->cost.bytes_written);
    tfr_json_put_number(out, "predicted_us", task->predicted_ns / 1e3);
    tfr_json_put_text(out, "bound", task->compute_bound ? "compute" : "memory");
    if (task->problem.op == TFR_OP_LINEAR) {
        tfr_json_put_text(out, "activation", tfr_activation_name(task->problem.attrs.activation));
        tfr_json_put_bool(out, "residual", (task->problem.arg[3].flags & TFR_ARG_ABSENT) == 0);
        tfr_json_put_text(out, "order", tfr_order_text(&task->needs.order, order, sizeof(order)));
        tfr_json_put_text(out, "packed", tfr_dtype_name((enum tfr_dtype)task->problem.arg[1].dtype));
        tfr_json_put_bool(out, "exact", (task->problem.arg[1].flags & TFR_ARG_EXACT) != 0);
    }
    if (task->problem.n_parts > 0) {
        tfr_json_begin(out, "parts", '[');
        for (int p = 0; p < task->problem.n_parts; p++) {
            tfr_json_put_text(out, NULL, tfr_op_info((enum tfr_op)tfr_part_at(&task->problem, p)->op)->name);
        }
        tfr_json_end(out, ']');
    }
    tfr_json_put_bool(out, "alone", task->alone);
    put_json_candidates(out, "candidates", task->candidates, task->n_candidates);
    tfr_json_end(out, '}');
}

char *tfr_plan_explain(const struct tfr_plan *plan, bool refusals) {
    struct tfr_json_out out = {0}; /* used as a growing text */
    put_head(&out, plan);
    for (int i = 0; i < plan->n_tasks; i++) {
        put_task(&out, &plan->tasks[i]);
    }
    put_totals(&out, plan);
    if (refusals) {
        put_refusals(&out, plan);
    }
    char *text;
    return tfr_json_take(&out, &text) == TFR_OK ? text : NULL;
}

void tfr_plan_explain_json(const struct tfr_plan *plan, struct tfr_json_out *out) {
    const struct tfr_cost total = total_cost(plan);
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_int(out, "rows_max", plan->rows_max);
    tfr_json_put_int(out, "logits_max", plan->logits_max);
    tfr_json_put_int(out, "threads", plan->n_threads);
    tfr_json_put_bool(out, "deterministic", plan->deterministic);
    tfr_json_put_int(out, "activation_bytes", (int64_t)plan->arena_bytes);
    tfr_json_put_int(out, "packed_bytes", (int64_t)plan->packed_bytes);
    tfr_json_put_number(out, "flops", total.flops);
    tfr_json_put_number(out, "bytes_read", total.bytes_read);
    tfr_json_put_number(out, "bytes_written", total.bytes_written);
    tfr_json_put_number(out, "predicted_us", plan->predicted_ns / 1e3);
    tfr_json_begin(out, "tasks", '[');
    for (int i = 0; i < plan->n_tasks; i++) {
        put_json_task(out, &plan->tasks[i]);
    }
    tfr_json_end(out, ']');
    put_json_candidates(out, "absent_patterns", plan->absent, plan->n_absent);
    tfr_json_end(out, '}');
}

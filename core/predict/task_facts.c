/* task_facts.c - see task_facts.h. FLOPs and bytes are those of the op table. */
#include "predict/task_facts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/tensor.h"
#include "graph/op.h"
#include "plan/problem.h"

static bool is_present(const struct tfr_problem *problem, int arg) {
    return arg < problem->n_args && (problem->arg[arg].flags & TFR_ARG_ABSENT) == 0;
}

static void describe_linear(const struct tfr_problem *problem, char *text, size_t size) {
    const bool is_active = problem->attrs.activation != TFR_ACT_NONE;
    snprintf(text, size, "%lldx%lld%s%s%s%s", (long long)tfr_problem_k(problem), (long long)tfr_problem_n(problem),
             is_present(problem, 2) ? " bias" : "", is_present(problem, 3) ? " residual" : "", is_active ? " " : "",
             is_active ? tfr_activation_name((enum tfr_activation)problem->attrs.activation) : "");
}

static void describe(const struct tfr_problem *problem, char *text, size_t size) {
    switch ((enum tfr_op)problem->op) {
    case TFR_OP_LINEAR:
        describe_linear(problem, text, size);
        break;
    case TFR_OP_ATTENTION:
    case TFR_OP_KV_APPEND:
        snprintf(text, size, "%dx%d %s", problem->attrs.n_heads, problem->attrs.head_dim,
                 tfr_kv_dtype_name((enum tfr_dtype)problem->arg[1].dtype));
        break;
    case TFR_OP_EMBED:
        snprintf(text, size, "%lld", (long long)problem->arg[2].dim[1]);
        break;
    default:
        snprintf(text, size, "%lld", problem->n_args > 0 ? (long long)problem->arg[0].dim[1] : 0LL);
    }
}

/* Bytes of rows that come from other nodes and go to others. */
static double activation_bytes(const struct tfr_problem *problem, double rows) {
    const uint32_t other = TFR_ARG_ABSENT | TFR_ARG_CONST | TFR_ARG_READ | TFR_ARG_APPEND;
    double bytes = 0;
    for (int a = 0; a < problem->n_args; a++) {
        const struct tfr_arg_desc *arg = &problem->arg[a];
        if ((arg->flags & other) == 0 && arg->rank == 2) {
            bytes += rows * (double)arg->dim[1] * sizeof(float);
        }
    }
    return bytes;
}

/* Which units multiply where a kernel keeps this order. */
static enum tfr_dtype unit_dtype(const struct tfr_problem *problem, const struct tfr_order *order) {
    const int32_t kind = order->kind;
    if (problem->op == TFR_OP_ATTENTION) {
        return problem->attrs.x_dtype == TFR_DTYPE_BF16 ? TFR_DTYPE_BF16 : TFR_DTYPE_F32;
    }
    if (problem->op != TFR_OP_LINEAR) {
        return TFR_DTYPE_F32;
    }
    if (kind == TFR_ORDER_INT || kind == TFR_ORDER_INT_GROUP) {
        return TFR_DTYPE_I8;
    }
    if (kind == TFR_ORDER_DP_BF16) {
        return TFR_DTYPE_BF16;
    }
    return tfr_problem_dtype(problem) == TFR_DTYPE_BF16 && kind != TFR_ORDER_FMA ? TFR_DTYPE_BF16 : TFR_DTYPE_F32;
}

/* Weights are wanted again a step later, when all others were read; cached keys likewise, of all blocks here. */
static double far_set(const struct tfr_plan *plan, const struct tfr_task *task, double far_bytes) {
    double n_alike = 0;
    if (task->problem.op != TFR_OP_ATTENTION && task->problem.op != TFR_OP_KV_APPEND) {
        return (double)plan->packed_bytes;
    }
    for (int i = 0; i < plan->n_tasks; i++) {
        n_alike += plan->tasks[i].problem.op == task->problem.op;
    }
    return (double)plan->packed_bytes + n_alike * far_bytes;
}

static void count(struct tfr_task_facts *facts, const struct tfr_plan *plan, const struct tfr_task *task,
                  const struct tfr_step_facts *step) {
    const double rows = (double)facts->rows;
    struct tfr_op_facts op = tfr_op_facts_make((double)step->rows, (double)step->sequences, (double)step->past);
    struct tfr_cost cost = {.struct_size = sizeof cost};
    op.rows = rows;
    tfr_op_cost(&task->problem, &op, &cost);
    const double bytes = cost.bytes_read + cost.bytes_written;
    facts->flops = cost.flops;
    facts->near_bytes = fmin(bytes, activation_bytes(&task->problem, rows));
    facts->far_bytes = bytes - facts->near_bytes;
    facts->near_set = facts->near_bytes;
    facts->far_set = far_set(plan, task, facts->far_bytes);
}

void tfr_task_facts_make(struct tfr_task_facts *facts, const struct tfr_plan *plan, int index, const struct tfr_step_facts *step) {
    const struct tfr_task *task = &plan->tasks[index];
    const int32_t run_class = task->kernel->run_class;
    *facts = (struct tfr_task_facts){
        .op = task->problem.op,
        .dtype = unit_dtype(&task->problem, &task->needs.order),
        .isa = task->kernel->isa,
        .threads = task->alone || run_class == TFR_RUN_SEQ || run_class == TFR_RUN_ASYNC ? 1 : plan->n_threads,
        .is_message = run_class == TFR_RUN_ASYNC,
        .class_rows = task->problem.rows_max,
        .rows = task->rows == TFR_ROWS_LOGITS ? step->logits : step->rows,
    };
    snprintf(facts->name, sizeof facts->name, "%s", task->name);
    snprintf(facts->kernel, sizeof facts->kernel, "%s", task->kernel->name);
    describe(&task->problem, facts->shape, sizeof facts->shape);
    facts->rows_each = facts->rows;
    if (facts->op == TFR_OP_ATTENTION) {
        facts->rows_each = step->sequences > 0 ? step->rows / step->sequences : step->rows;
        facts->context = step->past;
    }
    count(facts, plan, task, step);
}

/* provide.c - see provide.h. */
#include "plan/provide.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "plan/memplan.h"

/* A constant argument of a task. */
struct wanted {
    int task, arg;
    size_t bytes; /* as stored */
};

/* Tables and weights that a kernel reads unpacked stay where the file is mapped if they have the right type;
 * a linear may in addition count on alignment. Vectors are copied: they are small, and mostly stored
 * unaligned. */
static bool is_usable_in_place(const struct tfr_task *task, int arg, const struct tfr_tensor *tensor) {
    if ((int32_t)tensor->dtype != task->problem.arg[arg].dtype || tensor->rank < 2) {
        return false;
    }
    return task->problem.op == TFR_OP_EMBED || task->problem.op == TFR_OP_LOOKUP_ADD ||
           (uintptr_t)tensor->data % TFR_ARENA_ALIGN == 0;
}

static enum tfr_status provide_weight(struct tfr_store *store, struct tfr_task *task, int arg, const struct tfr_value *value) {
    const struct tfr_weight_rows rows = tfr_value_rows(value);
    const struct tfr_tensor tensor = tfr_weight_rows_tensor(&rows);
    const void **data = &task->arg[arg].data;
    if (task->needs.pack[arg].bytes > 0) {
        return tfr_store_pack(store, &rows, task->kernel, &task->problem, arg, &task->needs.pack[arg], data);
    }
    if (value->slice.n_shards <= 1 && value->weight->coarse == NULL && is_usable_in_place(task, arg, &tensor)) {
        *data = tensor.data;
        return TFR_OK;
    }
    return tfr_store_plain(store, &rows, (enum tfr_dtype)task->problem.arg[arg].dtype, data);
}

/* Ties as the tasks stand. */
static int compare_wanted(const void *left, const void *right) {
    const struct wanted *a = left, *b = right;
    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    return a->task != b->task ? (a->task > b->task) - (a->task < b->task) : (a->arg > b->arg) - (a->arg < b->arg);
}

static const struct tfr_value *value_of(const struct tfr_plan *plan, int task, int arg) {
    return &plan->graph->values[plan->graph->nodes[task].arg[arg]];
}

/* wanted[]: room for all arguments of all tasks. */
static enum tfr_status list_wanted(const struct tfr_plan *plan, struct wanted *wanted, size_t *n) {
    *n = 0;
    for (int i = 0; i < plan->n_tasks; i++) {
        const struct tfr_task *task = &plan->tasks[i];
        for (int a = 0; a < task->n_args; a++) {
            if (task->arg[a].place != TFR_PLACE_CONST) {
                continue;
            }
            const struct tfr_value *value = value_of(plan, i, a);
            if (value->weight == NULL) {
                return tfr_raise(TFR_RUNTIME,
                                 "%s: %s has no data: a graph built without a checkpoint can only be "
                                 "planned dry",
                                 task->name, value->name);
            }
            const struct tfr_weight_rows rows = tfr_value_rows(value);
            const struct tfr_tensor tensor = tfr_weight_rows_tensor(&rows);
            wanted[(*n)++] = (struct wanted){.task = i, .arg = a, .bytes = tfr_tensor_bytes(&tensor)};
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_provide_weights(struct tfr_plan *plan, struct tfr_store *store) {
    size_t n;
    struct wanted *wanted = tfr_alloc((size_t)plan->n_tasks * TFR_MAX_ARGS + 1, sizeof *wanted);
    enum tfr_status status = wanted != NULL ? list_wanted(plan, wanted, &n) : TFR_RESOURCE;
    if (status == TFR_OK) {
        qsort(wanted, n, sizeof *wanted, compare_wanted);
    }
    for (size_t i = 0; status == TFR_OK && i < n; i++) {
        const struct wanted *next = &wanted[i];
        status = provide_weight(store, &plan->tasks[next->task], next->arg, value_of(plan, next->task, next->arg));
    }
    tfr_free(wanted);
    return status;
}

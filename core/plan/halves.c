/* halves.c - linears on f32 weights that 16 bits hold exactly: the same bits from half of the bytes. */
#include "base/status.h"
#include "plan/problem.h"
#include "plan/select.h"

/* What is known of the values of a weight: by its type, or by a look at them. */
static enum tfr_status exact_type(const struct tfr_chooser *chooser, const struct tfr_value *value, enum tfr_dtype *exact) {
    *exact = value->stored;
    if (value->weight != NULL && value->weight->coarse != NULL) {
        *exact = TFR_DTYPE_F32; /* what its whole numbers stand for is nowhere stored */
        return TFR_OK;
    }
    if (value->weight == NULL || chooser->store == NULL || value->stored != TFR_DTYPE_F32) {
        return TFR_OK;
    }
    const struct tfr_weight_rows rows = tfr_value_rows(value);
    return tfr_store_exact(chooser->store, &rows, exact);
}

enum tfr_status tfr_choose_half(const struct tfr_chooser *chooser, const struct tfr_graph *graph, const struct tfr_node *node,
                                struct tfr_problem *problem) {
    enum tfr_dtype exact;
    bool takes = false;
    if (!chooser->lossless || node->op != TFR_OP_LINEAR || problem->arg[1].dtype != TFR_DTYPE_F32 ||
        graph->values[node->arg[1]].kind != TFR_VALUE_WEIGHT) {
        return TFR_OK;
    }
    TFR_TRY(exact_type(chooser, &graph->values[node->arg[1]], &exact));
    if (exact == TFR_DTYPE_BF16 || exact == TFR_DTYPE_F16) {
        TFR_TRY(tfr_order_takes_half(chooser, problem, exact, &takes));
    }
    *problem = takes ? tfr_problem_half(problem, exact) : *problem;
    return TFR_OK;
}

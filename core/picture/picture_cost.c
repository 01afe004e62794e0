/* picture_cost.c - what the nodes of a picture cost: the formulas of core/cost with the numbers of the step, exact.
 *
 * The step is taken in one go, however many rows the engine would give it.
 */
#include "base/status.h"
#include "cost/batch.h"
#include "cost/formula.h"
#include "picture/picture.h"
#include "plan/problem.h"

enum tfr_status tfr_picture_open(struct tfr_picture *picture, const struct tfr_hparams *hparams) {
    const struct tfr_picture_step *step = &picture->step;
    const struct tfr_sequences sequences = {.count = step->sequences, .rows = step->rows / step->sequences, .past = step->context};
    const struct tfr_batch_question batch = {
        .sequences = &sequences,
        .n = 1,
        .logits = step->logits == step->rows ? TFR_LOGITS_ALL : TFR_LOGITS_LAST,
        .is_causal = hparams->is_causal,
        .max_rows = INT64_MAX,
    };
    picture->hparams = hparams;
    tfr_bind_model(hparams, step->encoder, picture->letter);
    return tfr_batch_at_once(&batch, picture->letter);
}

/* Of a pattern that one kernel claims, which has no formula of its own: that of its parts, in doubles. */
static void cost_pattern(const struct tfr_picture *picture, const struct tfr_graph *graph, const struct tfr_node *node,
                         struct tfr_picture_node *box) {
    const struct tfr_picture_step *step = &picture->step;
    const struct tfr_problem problem = tfr_problem_make(graph, node, 1, true);
    const double rows = (double)(node->rows == TFR_ROWS_LOGITS ? step->logits : step->rows);
    const struct tfr_op_facts facts = tfr_op_facts_make(rows, (double)step->sequences, (double)step->context);
    struct tfr_cost cost = {.struct_size = sizeof cost};
    tfr_op_cost(&problem, &facts, &cost);
    box->flops = (tfr_int128)cost.flops;
    box->bytes_read = (tfr_int128)cost.bytes_read;
    box->bytes_written = (tfr_int128)cost.bytes_written;
}

static enum tfr_status count_formulas(const struct tfr_picture *picture, const struct tfr_graph *graph, const struct tfr_node *node,
                                      struct tfr_picture_node *box) {
    struct tfr_formula formula;
    TFR_TRY(tfr_formula_executed(&formula, graph, node, picture->hparams));
    TFR_TRY(tfr_poly_count(&formula.flops, picture->letter, node->name, &box->flops));
    TFR_TRY(tfr_poly_count(&formula.read, picture->letter, node->name, &box->bytes_read));
    return tfr_poly_count(&formula.written, picture->letter, node->name, &box->bytes_written);
}

enum tfr_status tfr_picture_cost(const struct tfr_picture *picture, struct tfr_picture_costs *costs, const struct tfr_graph *graph,
                                 const struct tfr_node *node, struct tfr_picture_node *box) {
    if (node->op == TFR_OP_FUSED) {
        cost_pattern(picture, graph, node, box);
        return TFR_OK;
    }
    const struct tfr_problem problem = tfr_problem_make(graph, node, 1, true);
    for (int i = 0; i < costs->n; i++) {
        const struct tfr_picture_cost *known = &costs->known[i];
        if (known->rows == node->rows && tfr_problem_same(&known->problem, &problem)) {
            box->flops = known->flops;
            box->bytes_read = known->bytes_read;
            box->bytes_written = known->bytes_written;
            return TFR_OK;
        }
    }
    TFR_TRY(count_formulas(picture, graph, node, box));
    if (costs->n < TFR_PICTURE_COSTS) {
        costs->known[costs->n++] = (struct tfr_picture_cost){.problem = problem,
                                                             .rows = node->rows,
                                                             .flops = box->flops,
                                                             .bytes_read = box->bytes_read,
                                                             .bytes_written = box->bytes_written};
    }
    return TFR_OK;
}

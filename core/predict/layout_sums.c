/* layout_sums.c - what ranks that share blocks send each other twice a block: the sums of their heads. See layout.h and
 * graph/gpt2_shards.c. */
#include "predict/layout.h"

#include <math.h>

/* Everyone's sums to everyone at once. The first rank has added its own already, so it sends one row for each: of two ranks one
 * waits long and one short, and both go on in the mean of it. */
static struct tfr_layout_sums at_once(const struct tfr_link *link, double row, double n_head, double shares, double add_ns) {
    const double each = n_head / shares * row, sent_ns = tfr_link_several_ns(link, shares - 1, each);
    return (struct tfr_layout_sums){.add_ns = (shares - 1) * add_ns,
                                    .wait_ns = (shares == 2 ? (tfr_link_ns(link, row) + sent_ns) / 2 : sent_ns) +
                                               tfr_link_late_ns(link, shares),
                                    .wire_ns = (shares - 1) * tfr_link_wire_ns(link, each)};
}

/* The total goes from rank to rank, each of which adds its own, and the last one, whose messages leave one after the other, tells
 * all. */
static struct tfr_layout_sums in_turn(const struct tfr_link *link, double row, double shares, double add_ns) {
    return (struct tfr_layout_sums){.add_ns = add_ns,
                                    .wait_ns = (shares - 1) * tfr_link_ns(link, row) + (shares - 2) * add_ns +
                                               tfr_link_several_ns(link, shares - 1, row) + tfr_link_late_ns(link, shares),
                                    .wire_ns = (shares - 1) * tfr_link_wire_ns(link, row)};
}

struct tfr_layout_sums tfr_layout_sums_of(const struct tfr_layout_question *question, const struct tfr_layout_step *step,
                                          int stage) {
    const double shares = question->layout->tensor, row = (double)question->model->n_embd * step->rows * sizeof(float);
    const struct tfr_link *link = tfr_layout_link(question, stage, stage);
    if (shares <= 1) {
        return (struct tfr_layout_sums){0};
    }
    const double add_ns = tfr_layout_piece_ns(question, step, TFR_PIECE_SUM, shares) / tfr_layout_speed(question, stage);
    struct tfr_layout_sums sums = step->rows > TFR_LAYOUT_FEW_ROWS
                                      ? in_turn(link, row, shares, add_ns)
                                      : at_once(link, row, (double)question->model->n_head, shares, add_ns);
    const double n_sums = 2.0 * question->layout->blocks[stage];
    sums.add_ns *= n_sums;
    sums.wait_ns *= n_sums;
    sums.wire_ns *= n_sums;
    if (stage == 0) { /* the rows from rank 0 to the others */
        sums.wait_ns += tfr_link_several_ns(link, shares - 1, row);
        sums.wire_ns += (shares - 1) * tfr_link_wire_ns(link, row);
    }
    return sums;
}

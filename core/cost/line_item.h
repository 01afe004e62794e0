/* line_item.h - the cost text of a step, part by part (line_steps.def has the form). */
#ifndef TFR_COST_LINE_ITEM_H
#define TFR_COST_LINE_ITEM_H

#include "cost/line_sum.h"

struct tfr_line_item {
    bool is_ref;
    enum tfr_line_class cls;  /* of a reference */
    enum tfr_reference_op op; /* else */
    struct tfr_poly count;
    int n_args;
    enum tfr_dim dim[TFR_LINE_MAX_ARGS]; /* what each argument is the value of */
    struct tfr_poly arg[TFR_LINE_MAX_ARGS];
};

/* The next part at *at that belongs to the path, or *more = false at the end. Names that the path decides (key_len, ...) are bound.
 * Failure: TFR_USAGE, of a table that does not parse; a test reads them all. */
enum tfr_status tfr_line_next_item(const char **at, const struct tfr_line_path *path, enum tfr_line_class cls,
                                   struct tfr_line_item *item, bool *more);
/* FLOPs, bytes read and written of an op with the letters of its formula bound. */
enum tfr_status tfr_line_op_cost(const struct tfr_line_item *item, const struct tfr_line_path *path, enum tfr_line_class cls,
                                 struct tfr_poly *flops, struct tfr_poly *read, struct tfr_poly *written);
/* The matrix products of an op, without bias, softmax and the like: formulas of ops.def again. */
enum tfr_status tfr_line_matmul_part(struct tfr_poly *matmul, enum tfr_reference_op op);
/* The letters of formulas that are no sizes: bytes of elements, bias, activation. */
enum { TFR_LINE_NUMBERS = 6 };
struct tfr_line_number {
    enum tfr_dim dim;
    int value;
};
void tfr_line_numbers(const struct tfr_line_path *path, enum tfr_line_class cls, enum tfr_reference_op op,
                      struct tfr_line_number number[TFR_LINE_NUMBERS]);
/* Every dim of `dims` becomes the polynomial beside it, all at once. */
enum tfr_status tfr_line_bind(struct tfr_poly *poly, int n, const enum tfr_dim *dims, const struct tfr_poly *by);

#endif

/* line_count.c - the same sums in numbers, from the leaves up, without a polynomial of more than one op. */
#include "base/status.h"
#include "cost/line_item.h"
#include "cost/line_sum.h"

static enum tfr_status add_times(tfr_int128 *sum, tfr_int128 times, tfr_int128 value) {
    tfr_int128 product;
    return tfr_int128_mul(times, value, &product) && tfr_int128_add(*sum, product, sum)
               ? TFR_OK
               : tfr_raise(TFR_USAGE, "the cost of these lines is beyond 2^127; ask for smaller dimensions");
}

static enum tfr_status add_times_all(struct tfr_line_counts *to, tfr_int128 times, const struct tfr_line_counts *from) {
    TFR_TRY(add_times(&to->flops, times, from->flops));
    TFR_TRY(add_times(&to->read, times, from->read));
    TFR_TRY(add_times(&to->written, times, from->written));
    TFR_TRY(add_times(&to->matmul, times, from->matmul));
    for (int op = 0; op < TFR_REFERENCE_OP_COUNT; op++) {
        TFR_TRY(add_times(&to->op[op].calls, times, from->op[op].calls));
        TFR_TRY(add_times(&to->op[op].flops, times, from->op[op].flops));
        TFR_TRY(add_times(&to->op[op].read, times, from->op[op].read));
        TFR_TRY(add_times(&to->op[op].written, times, from->op[op].written));
    }
    return TFR_OK;
}

static enum tfr_status count_op(struct tfr_line_counts *counts, const struct tfr_line_item *item, const struct tfr_line_path *path,
                                enum tfr_line_class cls, const tfr_int128 value[TFR_DIM_COUNT]) {
    struct tfr_poly flops, read, written, matmul;
    TFR_TRY(tfr_line_op_cost(item, path, cls, &flops, &read, &written, &matmul));
    const char *what = tfr_reference_info(item->op)->name;
    TFR_TRY(tfr_poly_count(&flops, value, what, &counts->flops));
    TFR_TRY(tfr_poly_count(&read, value, what, &counts->read));
    TFR_TRY(tfr_poly_count(&written, value, what, &counts->written));
    TFR_TRY(tfr_poly_count(&matmul, value, what, &counts->matmul));
    counts->op[item->op] = (struct tfr_line_op_counts){1, counts->flops, counts->read, counts->written};
    return TFR_OK;
}

static enum tfr_status count_item(struct tfr_line_counts *counts, const struct tfr_line_item *item,
                                  const struct tfr_line_path *path, enum tfr_line_class cls,
                                  const tfr_int128 value[TFR_DIM_COUNT]) {
    if (!item->is_ref) {
        return count_op(counts, item, path, cls, value);
    }
    tfr_int128 inner[TFR_DIM_COUNT] = {0};
    for (int i = 0; i < item->n_args; i++) {
        TFR_TRY(tfr_poly_count(&item->arg[i], value, tfr_dim_name(item->dim[i]), &inner[item->dim[i]]));
    }
    return tfr_line_count_class(counts, path, item->cls, inner);
}

enum tfr_status tfr_line_count_step(struct tfr_line_counts *counts, const struct tfr_line_path *path, enum tfr_line_class cls,
                                    const struct tfr_line_step *step, const tfr_int128 value[TFR_DIM_COUNT]) {
    if (tfr_line_skip_reason(step->when, tfr_line_bits(path, cls)) != NULL) {
        return TFR_OK;
    }
    const char *at = step->cost;
    for (;;) {
        struct tfr_line_item item;
        bool more;
        TFR_TRY(tfr_line_next_item(&at, path, cls, &item, &more));
        if (!more) {
            return TFR_OK;
        }
        struct tfr_line_counts once = {0};
        tfr_int128 times;
        TFR_TRY(tfr_poly_count(&item.count, value, "how often a line runs", &times));
        TFR_TRY(count_item(&once, &item, path, cls, value));
        TFR_TRY(add_times_all(counts, times, &once));
    }
}

enum tfr_status tfr_line_count_class(struct tfr_line_counts *counts, const struct tfr_line_path *path, enum tfr_line_class cls,
                                     const tfr_int128 value[TFR_DIM_COUNT]) {
    struct tfr_line_source source;
    TFR_TRY(tfr_line_need_source(path, cls, &source));
    for (int i = 0; i < source.n_rows; i++) {
        TFR_TRY(tfr_line_count_step(counts, path, cls, source.row[i].step, value));
    }
    return TFR_OK;
}

/* line_count.c - the same sums in numbers, from the leaves up, without binding one polynomial into another. */
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

/* The letters of an op's formula in numbers: its sizes, and what the path decides. */
static enum tfr_status settle_letters(const struct tfr_line_item *item, const struct tfr_line_path *path, enum tfr_line_class cls,
                                      const tfr_int128 value[TFR_DIM_COUNT], tfr_int128 letter[TFR_DIM_COUNT]) {
    struct tfr_line_number number[TFR_LINE_NUMBERS];
    tfr_line_numbers(path, cls, item->op, number);
    for (int i = 0; i < TFR_LINE_NUMBERS; i++) {
        letter[number[i].dim] = number[i].value;
    }
    for (int i = 0; i < item->n_args; i++) {
        TFR_TRY(tfr_poly_count(&item->arg[i], value, tfr_dim_name(item->dim[i]), &letter[item->dim[i]]));
    }
    return TFR_OK;
}

static enum tfr_status count_op(struct tfr_line_counts *counts, const struct tfr_line_item *item, const struct tfr_line_path *path,
                                enum tfr_line_class cls, const tfr_int128 value[TFR_DIM_COUNT]) {
    const struct tfr_reference_info *info = tfr_reference_info(item->op);
    tfr_int128 letter[TFR_DIM_COUNT] = {0};
    struct tfr_poly matmul;
    TFR_TRY(settle_letters(item, path, cls, value, letter));
    TFR_TRY(tfr_line_matmul_part(&matmul, item->op));
    TFR_TRY(tfr_poly_count(&info->flops, letter, info->name, &counts->flops));
    TFR_TRY(tfr_poly_count(&info->bytes_read, letter, info->name, &counts->read));
    TFR_TRY(tfr_poly_count(&info->bytes_written, letter, info->name, &counts->written));
    TFR_TRY(tfr_poly_count(&matmul, letter, info->name, &counts->matmul));
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

/* line_item.c - reads the cost text of a step and binds the formulas of ops.def to its sizes. */
#include "cost/line_item.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cost/formula.h"

static const char *skip(const char *at, const char *set) {
    return at + strspn(at, set);
}

static enum tfr_status bad(const char *text) {
    return tfr_raise(TFR_USAGE, "line_steps.def: cannot read \"%s\"", text);
}

/* "[PATH]" and "[!PATH]" at *at; *holds: all do. */
static enum tfr_status read_conditions(const char **at, uint32_t bits, bool *holds) {
    *holds = true;
    while (**at == '[') {
        const bool negative = (*at)[1] == '!';
        const char *name = *at + 1 + negative, *end = strchr(name, ']');
        enum tfr_line_bit bit;
        if (end == NULL || !tfr_line_bit_named(name, (size_t)(end - name), &bit)) {
            return bad(*at);
        }
        *holds = *holds && (bits >> bit & 1) != negative;
        *at = skip(end + 1, " ");
    }
    return TFR_OK;
}

static enum tfr_status parse_part(struct tfr_poly *poly, const char *from, size_t size) {
    char text[TFR_LINE_TEXT];
    if (size >= sizeof(text)) {
        return bad(from);
    }
    memcpy(text, from, size);
    text[size] = '\0';
    return tfr_poly_parse(poly, text);
}

enum tfr_status tfr_line_bind(struct tfr_poly *poly, int n, const enum tfr_dim *dims, const struct tfr_poly *by) {
    struct tfr_poly sum = {0};
    for (int t = 0; t < poly->n_terms; t++) {
        struct tfr_poly product = {.n_terms = 1, .term[0] = poly->term[t]};
        for (int i = 0; i < n; i++) {
            product.term[0].degree -= product.term[0].power[dims[i]];
            product.term[0].power[dims[i]] = 0;
        }
        for (int i = 0; i < n; i++) {
            for (int p = 0; p < poly->term[t].power[dims[i]]; p++) {
                TFR_TRY(tfr_poly_mul(&product, &product, &by[i]));
            }
        }
        TFR_TRY(tfr_poly_add(&sum, &sum, &product));
    }
    *poly = sum;
    return TFR_OK;
}

/* What the path makes of key_len, kept_len and summary_len inside of a class; 0 where they are arguments of the class. */
static const char *local_text(const struct tfr_line_path *path, const struct tfr_line_class_info *info, enum tfr_dim dim) {
    if (tfr_line_is_arg(info, dim)) {
        return NULL;
    }
    switch (dim) {
    case TFR_DIM_KEY_LEN:
        if ((info->sets & (uint32_t)TFR_ON(IS_CROSS)) != 0) {
            return "encoder_len";
        }
        return path->causal ? "cache_len + 0.5 seq_len + 0.5" : "cache_len + seq_len";
    case TFR_DIM_KEPT_LEN:
        return path->only_last ? "1" : "seq_len";
    case TFR_DIM_SUMMARY_LEN:
        return path->summary_is_hidden ? "hidden_size" : "num_labels";
    default:
        return NULL;
    }
}

static enum tfr_status bind_locals(struct tfr_poly *poly, const struct tfr_line_path *path,
                                   const struct tfr_line_class_info *info) {
    static const enum tfr_dim locals[] = {TFR_DIM_KEY_LEN, TFR_DIM_KEPT_LEN, TFR_DIM_SUMMARY_LEN};
    for (size_t i = 0; i < sizeof(locals) / sizeof(locals[0]); i++) {
        const char *text = local_text(path, info, locals[i]);
        if (text != NULL && tfr_poly_has(poly, locals[i])) {
            struct tfr_poly by;
            TFR_TRY(tfr_poly_parse(&by, text));
            TFR_TRY(tfr_poly_substitute(poly, locals[i], &by));
        }
    }
    return TFR_OK;
}

static bool class_named(const char *name, size_t size, enum tfr_line_class *cls) {
    static const char *const names[] = {
#define TFR_LINE_CLASS(NAME, SOURCE, page, arguments, variant, sets, what, inputs) #NAME,
#include "cost/line_classes.def"
#undef TFR_LINE_CLASS
    };
    for (int i = 0; i < TFR_LINE_CLASS_COUNT; i++) {
        if (tfr_line_is_name(name, size, names[i])) {
            *cls = (enum tfr_line_class)i;
            return true;
        }
    }
    return false;
}

static bool op_named(const char *name, size_t size, enum tfr_reference_op *op) {
    for (int i = 0; i < TFR_REFERENCE_OP_COUNT; i++) {
        if (tfr_line_is_name(name, size, tfr_reference_info((enum tfr_reference_op)i)->name)) {
            *op = (enum tfr_reference_op)i;
            return true;
        }
    }
    return false;
}

/* "count x " before a part. */
static enum tfr_status read_count(const char **at, struct tfr_line_item *item) {
    const char *end = strpbrk(*at, "($"), *times = strstr(*at, " x ");
    item->count = tfr_poly_number(1);
    if (times != NULL && end != NULL && times < end) {
        TFR_TRY(parse_part(&item->count, *at, (size_t)(times - *at)));
        *at = times + 3;
    }
    return TFR_OK;
}

/* "${CLASS}" or "op", up to the bracket. */
static enum tfr_status read_name(const char **at, struct tfr_line_item *item) {
    item->is_ref = **at == '$';
    const char *name = item->is_ref ? *at + 2 : *at, *end = name + strcspn(name, item->is_ref ? "}" : "(");
    const size_t size = (size_t)(end - name);
    const bool known = item->is_ref ? class_named(name, size, &item->cls) : op_named(name, size, &item->op);
    end += item->is_ref && *end == '}';
    if (!known || *end != '(') {
        return bad(*at);
    }
    *at = end + 1;
    return TFR_OK;
}

/* One argument: "size" of a reference, "M = size" of an op. An optional one ends in '?'. */
static enum tfr_status read_arg(const char *from, size_t size, const struct tfr_line_class_info *callee,
                                struct tfr_line_item *item) {
    if (item->n_args == TFR_LINE_MAX_ARGS || (item->is_ref && item->n_args == callee->n_args)) {
        return bad(from);
    }
    const int i = item->n_args++;
    if (item->is_ref) {
        item->dim[i] = callee->arg[i];
        return parse_part(&item->arg[i], from, size - (from[size - 1] == '?'));
    }
    const char *equals = memchr(from, '=', size);
    if (equals == NULL || !tfr_line_dim_named(from, strcspn(from, " ="), &item->dim[i])) {
        return bad(from);
    }
    return parse_part(&item->arg[i], equals + 1, size - (size_t)(equals + 1 - from));
}

static enum tfr_status read_args(const char **at, bool with_optional, struct tfr_line_item *item) {
    const struct tfr_line_class_info callee = tfr_line_class_info(item->is_ref ? item->cls : TFR_LINE_LM_HEAD);
    while (**at != ')') {
        const size_t size = strcspn(*at, ",)");
        if ((*at)[size] == '\0' || size == 0) {
            return bad(*at);
        }
        if ((*at)[size - 1] != '?' || with_optional) {
            TFR_TRY(read_arg(*at, size, &callee, item));
        }
        *at = skip(*at + size, ", ");
    }
    *at = skip(*at + 1, "; ");
    return TFR_OK;
}

enum tfr_status tfr_line_next_item(const char **at, const struct tfr_line_path *path, enum tfr_line_class cls,
                                   struct tfr_line_item *item, bool *more) {
    const struct tfr_line_class_info info = tfr_line_class_info(cls);
    const uint32_t bits = tfr_line_bits(path, cls);
    bool holds = false;
    while (!holds) {
        *more = **at != '\0';
        if (!*more) {
            return TFR_OK;
        }
        item->n_args = 0;
        TFR_TRY(read_conditions(at, bits, &holds));
        TFR_TRY(read_count(at, item));
        TFR_TRY(read_name(at, item));
        TFR_TRY(read_args(at, (path->bits & (uint32_t)TFR_ON(CROSS)) != 0, item));
    }
    TFR_TRY(bind_locals(&item->count, path, &info));
    for (int i = 0; i < item->n_args; i++) {
        TFR_TRY(bind_locals(&item->arg[i], path, &info));
    }
    return TFR_OK;
}

struct activation_cost {
    int flops, passes, reads; /* per element */
};

/* Of the activation that a class runs: the model's, or that of the summary, which is one kernel. */
static struct activation_cost activation_of(const struct tfr_line_path *path, enum tfr_line_class cls) {
    if (cls == TFR_LINE_SUMMARY) {
        return (struct activation_cost){(int)tfr_activation_flops(path->summary_activation), 1, 1};
    }
    const struct tfr_activation_class *activation = tfr_activation_class(path->activation_function);
    return (struct activation_cost){(int)tfr_activation_flops(activation->activation), activation->passes, activation->reads};
}

void tfr_line_numbers(const struct tfr_line_path *path, enum tfr_line_class cls, enum tfr_reference_op op,
                      struct tfr_line_number number[TFR_LINE_NUMBERS]) {
    const bool in_f32 = (path->bits & (uint32_t)TFR_ON(UPCAST)) != 0 && tfr_reference_is_upcast(op);
    const struct activation_cost activation = activation_of(path, cls);
    const bool has_bias = (tfr_line_bits(path, cls) & (uint32_t)TFR_ON(BIAS)) != 0;
    const struct tfr_line_number numbers[TFR_LINE_NUMBERS] = {
        {TFR_DIM_EA, in_f32 ? 4 : path->element}, {TFR_DIM_EW, path->element},         {TFR_DIM_BIAS, has_bias},
        {TFR_DIM_ACT, activation.flops},          {TFR_DIM_PASSES, activation.passes}, {TFR_DIM_READS, activation.reads},
    };
    memcpy(number, numbers, sizeof(numbers));
}

enum tfr_status tfr_line_matmul_part(struct tfr_poly *matmul, enum tfr_reference_op op) {
    const struct tfr_poly none = tfr_poly_number(0);
    *matmul = none;
    switch (op) {
    case TFR_REFERENCE_LINEAR:
        *matmul = tfr_reference_info(op)->flops;
        return tfr_poly_substitute(matmul, TFR_DIM_BIAS, &none);
    case TFR_REFERENCE_MATMUL_QK:
    case TFR_REFERENCE_MATMUL_PV:
        *matmul = tfr_reference_info(op)->flops;
        return TFR_OK;
    case TFR_REFERENCE_SDPA:
        return tfr_poly_add(matmul, &tfr_reference_info(TFR_REFERENCE_MATMUL_QK)->flops,
                            &tfr_reference_info(TFR_REFERENCE_MATMUL_PV)->flops);
    default:
        return TFR_OK;
    }
}

/* Sizes that are not given stay letters: a test finds them. */
enum tfr_status tfr_line_op_cost(const struct tfr_line_item *item, const struct tfr_line_path *path, enum tfr_line_class cls,
                                 struct tfr_poly *flops, struct tfr_poly *read, struct tfr_poly *written) {
    const struct tfr_reference_info *info = tfr_reference_info(item->op);
    struct tfr_line_number number[TFR_LINE_NUMBERS];
    struct tfr_poly *const cost[] = {flops, read, written};
    *flops = info->flops;
    *read = info->bytes_read;
    *written = info->bytes_written;
    tfr_line_numbers(path, cls, item->op, number);
    for (int i = 0; i < 3; i++) {
        TFR_TRY(tfr_line_bind(cost[i], item->n_args, item->dim, item->arg));
        for (int k = 0; k < TFR_LINE_NUMBERS; k++) {
            const struct tfr_poly by = tfr_poly_number(number[k].value);
            TFR_TRY(tfr_poly_substitute(cost[i], number[k].dim, &by));
        }
    }
    return TFR_OK;
}

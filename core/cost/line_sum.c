/* line_sum.c - sums of lines as polynomials and references, and references looked into. */
#include "cost/line_sum.h"

#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/status.h"
#include "cost/line_item.h"

void tfr_line_sum_free(struct tfr_line_sum *sum) {
    tfr_free(sum->ref);
    sum->ref = NULL;
    sum->n_refs = 0;
}

/* A polynomial as text that parses back. */
static enum tfr_status poly_to_text(const struct tfr_poly *poly, char text[TFR_LINE_TEXT]) {
    char whole[4 * TFR_LINE_TEXT];
    tfr_poly_text(poly, whole, sizeof(whole));
    if (strlen(whole) >= TFR_LINE_TEXT) {
        return tfr_raise(TFR_USAGE, "the argument \"%s\" of a reference is longer than %d characters", whole, TFR_LINE_TEXT - 1);
    }
    memcpy(text, whole, strlen(whole) + 1);
    return TFR_OK;
}

static bool same_call(const struct tfr_line_ref *a, const struct tfr_line_ref *b) {
    return a->cls == b->cls && memcmp(a->arg, b->arg, sizeof(a->arg)) == 0;
}

/* Joins it with a reference of the same arguments. */
static enum tfr_status add_ref(struct tfr_line_sum *sum, const struct tfr_line_ref *ref) {
    for (int i = 0; i < sum->n_refs; i++) {
        if (same_call(&sum->ref[i], ref)) {
            struct tfr_poly a, b;
            TFR_TRY(tfr_poly_parse(&a, sum->ref[i].count));
            TFR_TRY(tfr_poly_parse(&b, ref->count));
            TFR_TRY(tfr_poly_add(&a, &a, &b));
            return poly_to_text(&a, sum->ref[i].count);
        }
    }
    struct tfr_line_ref *grown = tfr_realloc(sum->ref, (size_t)sum->n_refs + 1, sizeof(*grown));
    if (grown == NULL) {
        return TFR_RESOURCE;
    }
    sum->ref = grown;
    sum->ref[sum->n_refs++] = *ref;
    return TFR_OK;
}

static enum tfr_status add_item_ref(struct tfr_line_sum *sum, const struct tfr_line_item *item) {
    struct tfr_line_ref ref = {.cls = item->cls};
    TFR_TRY(poly_to_text(&item->count, ref.count));
    for (int i = 0; i < item->n_args; i++) {
        TFR_TRY(poly_to_text(&item->arg[i], ref.arg[i]));
    }
    return add_ref(sum, &ref);
}

static enum tfr_status add_item_op(struct tfr_line_sum *sum, const struct tfr_line_item *item, const struct tfr_line_path *path,
                                   enum tfr_line_class cls) {
    struct tfr_poly cost[3];
    TFR_TRY(tfr_line_op_cost(item, path, cls, &cost[0], &cost[1], &cost[2]));
    struct tfr_poly *const to[] = {&sum->flops, &sum->read, &sum->written};
    for (int i = 0; i < 3; i++) {
        TFR_TRY(tfr_poly_mul(&cost[i], &cost[i], &item->count));
        TFR_TRY(tfr_poly_add(to[i], to[i], &cost[i]));
    }
    return TFR_OK;
}

static enum tfr_status add_step(struct tfr_line_sum *sum, const struct tfr_line_path *path, enum tfr_line_class cls,
                                const struct tfr_line_step *step) {
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
        TFR_TRY(item.is_ref ? add_item_ref(sum, &item) : add_item_op(sum, &item, path, cls));
    }
}

enum tfr_status tfr_line_step_sum(struct tfr_line_sum *sum, const struct tfr_line_path *path, enum tfr_line_class cls,
                                  const struct tfr_line_step *step) {
    *sum = (struct tfr_line_sum){0};
    return add_step(sum, path, cls, step);
}

enum tfr_status tfr_line_class_sum(struct tfr_line_sum *sum, const struct tfr_line_path *path, enum tfr_line_class cls) {
    *sum = (struct tfr_line_sum){0};
    struct tfr_line_source source;
    TFR_TRY(tfr_line_need_source(path, cls, &source));
    for (int i = 0; i < source.n_rows; i++) {
        TFR_TRY(add_step(sum, path, cls, source.row[i].step));
    }
    return TFR_OK;
}

/* Puts the arguments of a reference in the place of its class's variables. */
static enum tfr_status bind_args(struct tfr_poly *poly, const struct tfr_line_class_info *info, const struct tfr_poly *arg,
                                 const struct tfr_poly *count) {
    TFR_TRY(tfr_line_bind(poly, info->n_args, info->arg, arg));
    return tfr_poly_mul(poly, poly, count);
}

static enum tfr_status parse_args(const struct tfr_line_ref *ref, const struct tfr_line_class_info *info, struct tfr_poly *arg) {
    for (int i = 0; i < info->n_args; i++) {
        TFR_TRY(tfr_poly_parse(&arg[i], ref->arg[i][0] != '\0' ? ref->arg[i] : "0"));
    }
    return TFR_OK;
}

/* The references of a callee's sum, in the caller's terms. */
static enum tfr_status add_bound_refs(struct tfr_line_sum *sum, const struct tfr_line_sum *callee,
                                      const struct tfr_line_class_info *info, const struct tfr_poly *arg,
                                      const struct tfr_poly *count) {
    for (int i = 0; i < callee->n_refs; i++) {
        struct tfr_line_ref ref = callee->ref[i];
        struct tfr_poly poly;
        TFR_TRY(tfr_poly_parse(&poly, ref.count));
        TFR_TRY(bind_args(&poly, info, arg, count));
        memset(ref.count, 0, sizeof(ref.count));
        TFR_TRY(poly_to_text(&poly, ref.count));
        for (int k = 0; k < TFR_LINE_MAX_ARGS && ref.arg[k][0] != '\0'; k++) {
            TFR_TRY(tfr_poly_parse(&poly, ref.arg[k]));
            TFR_TRY(tfr_line_bind(&poly, info->n_args, info->arg, arg));
            memset(ref.arg[k], 0, sizeof(ref.arg[k]));
            TFR_TRY(poly_to_text(&poly, ref.arg[k]));
        }
        TFR_TRY(add_ref(sum, &ref));
    }
    return TFR_OK;
}

static enum tfr_status add_callee(struct tfr_line_sum *sum, struct tfr_line_sum *callee, const struct tfr_line_ref *ref) {
    const struct tfr_line_class_info info = tfr_line_class_info(ref->cls);
    struct tfr_poly arg[TFR_LINE_MAX_ARGS], count;
    TFR_TRY(parse_args(ref, &info, arg));
    TFR_TRY(tfr_poly_parse(&count, ref->count));
    struct tfr_poly *const from[] = {&callee->flops, &callee->read, &callee->written};
    struct tfr_poly *const to[] = {&sum->flops, &sum->read, &sum->written};
    for (int i = 0; i < 3; i++) {
        TFR_TRY(bind_args(from[i], &info, arg, &count));
        TFR_TRY(tfr_poly_add(to[i], to[i], from[i]));
    }
    return add_bound_refs(sum, callee, &info, arg, &count);
}

/* Every reference of `from` looked into once. */
static enum tfr_status expand_once(struct tfr_line_sum *to, const struct tfr_line_sum *from, const struct tfr_line_path *path) {
    *to = (struct tfr_line_sum){from->flops, from->read, from->written, 0, NULL};
    for (int i = 0; i < from->n_refs; i++) {
        struct tfr_line_sum callee;
        enum tfr_status status = tfr_line_class_sum(&callee, path, from->ref[i].cls);
        if (status == TFR_OK) {
            status = add_callee(to, &callee, &from->ref[i]);
        }
        tfr_line_sum_free(&callee);
        TFR_TRY(status);
    }
    return TFR_OK;
}

enum tfr_status tfr_line_expand(struct tfr_line_sum *sum, const struct tfr_line_path *path, int levels) {
    for (int level = 0; level < levels && sum->n_refs > 0; level++) {
        struct tfr_line_sum next;
        const enum tfr_status status = expand_once(&next, sum, path);
        tfr_line_sum_free(sum);
        *sum = next;
        TFR_TRY(status);
    }
    return TFR_OK;
}

char *tfr_line_ref_text(const struct tfr_line_ref *ref, const struct tfr_line_path *path) {
    const struct tfr_line_class_info info = tfr_line_class_info(ref->cls);
    struct tfr_line_source source;
    FILE *stream;
    char *text;
    size_t size;
    if (tfr_line_need_source(path, ref->cls, &source) != TFR_OK || tfr_memtext_open(&stream, &text, &size) != TFR_OK) {
        return NULL;
    }
    fprintf(stream, "%s%s${%s}(", strcmp(ref->count, "1") != 0 ? ref->count : "", strcmp(ref->count, "1") != 0 ? " x " : "",
            source.qualified);
    for (int i = 0; i < info.n_args && ref->arg[i][0] != '\0'; i++) {
        fprintf(stream, "%s%s", i > 0 ? ", " : "", ref->arg[i]);
    }
    fprintf(stream, "%s%s)", info.variant[0] != '\0' ? ", " : "", info.variant);
    return tfr_memtext_close(stream, &text) == TFR_OK ? text : NULL;
}

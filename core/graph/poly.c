/* poly.c - add, multiply, substitute and evaluate polynomials over named dimensions; poly_text.c reads and prints them.
 *
 * The one invariant: terms are sorted by compare_terms, no two have the same powers, none has coefficient 0, each is settled.
 */
#include "graph/poly.h"

#include <string.h>

#include "base/status.h"
#include "graph/poly_internal.h"

/* b is at least 1, and so is the result. */
static int64_t common_divisor(tfr_int128 a, int64_t b) {
    int64_t x = b, y = (int64_t)(a % b);
    while (y != 0) {
        const int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return x < 0 ? -x : x;
}

void tfr_poly_settle(struct tfr_poly_term *term) {
    const int64_t common = common_divisor(term->over, term->under);
    term->over /= common;
    term->under /= common;
    term->factor = (double)term->over / (double)term->under;
    term->degree = 0;
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        term->degree += term->power[d];
    }
}

static enum tfr_status too_large(void) {
    return tfr_raise(TFR_USAGE, "a coefficient of a polynomial is beyond 2^127");
}

/* Higher degree first, then by the powers in the order of the names. */
static int compare_terms(const struct tfr_poly_term *a, const struct tfr_poly_term *b) {
    const int by_degree = b->degree - a->degree;
    return by_degree != 0 ? by_degree : memcmp(b->power, a->power, sizeof(a->power));
}

/* to = to + more, of coefficients. */
static bool add_fraction(struct tfr_poly_term *to, const struct tfr_poly_term *more) {
    const int64_t common = common_divisor(to->under, more->under);
    tfr_int128 a, b;
    int64_t under;
    if (!tfr_int128_mul(to->over, more->under / common, &a) || !tfr_int128_mul(more->over, to->under / common, &b) ||
        !tfr_int128_add(a, b, &to->over) || __builtin_mul_overflow(to->under, more->under / common, &under)) {
        return false;
    }
    to->under = under;
    tfr_poly_settle(to);
    return true;
}

enum tfr_status tfr_poly_insert(struct tfr_poly *poly, const struct tfr_poly_term *term) {
    int at = 0;
    while (at < poly->n_terms && compare_terms(&poly->term[at], term) < 0) {
        at++;
    }
    struct tfr_poly_term *place = &poly->term[at];
    size_t after = (size_t)(poly->n_terms - at);
    if (after > 0 && compare_terms(place, term) == 0) {
        if (!add_fraction(place, term)) {
            return too_large();
        }
        if (place->over == 0) {
            memmove(place, place + 1, (after - 1) * sizeof(*place));
            poly->n_terms--;
        }
        return TFR_OK;
    }
    if (term->over == 0) {
        return TFR_OK;
    }
    if (poly->n_terms == TFR_POLY_MAX_TERMS) {
        return tfr_raise(TFR_USAGE, "polynomial has more than %d terms", TFR_POLY_MAX_TERMS);
    }
    memmove(place + 1, place, after * sizeof(*place));
    *place = *term;
    poly->n_terms++;
    return TFR_OK;
}

static enum tfr_status mul_terms(struct tfr_poly_term *product, const struct tfr_poly_term *a, const struct tfr_poly_term *b) {
    const int64_t one = common_divisor(a->over, b->under), other = common_divisor(b->over, a->under);
    if (!tfr_int128_mul(a->over / one, b->over / other, &product->over) ||
        __builtin_mul_overflow(a->under / other, b->under / one, &product->under)) {
        return too_large();
    }
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        int power = a->power[d] + b->power[d];
        if (power > UINT8_MAX) {
            return tfr_raise(TFR_USAGE, "power %d of %s is above %d", power, tfr_dim_name(d), UINT8_MAX);
        }
        product->power[d] = (uint8_t)power;
    }
    tfr_poly_settle(product);
    return TFR_OK;
}

static enum tfr_status power_of(struct tfr_poly *result, const struct tfr_poly *base, int power) {
    *result = tfr_poly_number(1);
    for (int i = 0; i < power; i++) {
        TFR_TRY(tfr_poly_mul(result, result, base));
    }
    return TFR_OK;
}

const char *tfr_dim_name(enum tfr_dim dim) {
    static const char *const names[] = {
#define DIM_NAME(NAME, text, meaning) text,
        TFR_DIM_LIST(DIM_NAME)
#undef DIM_NAME
    };
    return (unsigned)dim < TFR_DIM_COUNT ? names[dim] : "?";
}

const char *tfr_dim_meaning(enum tfr_dim dim) {
    static const char *const meanings[] = {
#define DIM_MEANING(NAME, text, meaning) meaning,
        TFR_DIM_LIST(DIM_MEANING)
#undef DIM_MEANING
    };
    return (unsigned)dim < TFR_DIM_COUNT ? meanings[dim] : "?";
}

struct tfr_poly tfr_poly_number(tfr_int128 number) {
    struct tfr_poly poly = {.n_terms = number != 0, .term[0] = {.over = number, .under = 1}};
    tfr_poly_settle(&poly.term[0]);
    return poly;
}

struct tfr_poly tfr_poly_dim(enum tfr_dim dim) {
    struct tfr_poly poly = tfr_poly_number(1);
    poly.term[0].power[dim] = 1;
    poly.term[0].degree = 1;
    return poly;
}

double tfr_poly_eval(const struct tfr_poly *poly, const double value[TFR_DIM_COUNT]) {
    double sum = 0;
    for (int i = 0; i < poly->n_terms; i++) {
        const struct tfr_poly_term *term = &poly->term[i];
        double product = term->factor;
        for (int d = 0, left = term->degree; left > 0; d++) {
            for (int p = 0; p < term->power[d]; p++, left--) {
                product *= value[d];
            }
        }
        sum += product;
    }
    return sum;
}

/* A mixed number: whole + part / under, 0 <= part < under. So nothing on the way is larger than the result. */
struct mixed {
    tfr_int128 whole;
    int64_t part, under;
};

static struct mixed mixed_of(const struct tfr_poly_term *term) {
    struct mixed value = {.whole = term->over / term->under, .part = (int64_t)(term->over % term->under), .under = term->under};
    if (value.part < 0) {
        value.part += value.under;
        value.whole--;
    }
    return value;
}

static bool times(struct mixed *value, tfr_int128 factor) {
    tfr_int128 parts;
    if (!tfr_int128_mul(value->whole, factor, &value->whole) || !tfr_int128_mul(value->part, factor, &parts)) {
        return false;
    }
    value->part = (int64_t)(parts % value->under);
    return tfr_int128_add(value->whole, parts / value->under, &value->whole);
}

static bool plus(struct mixed *sum, const struct mixed *more) {
    const int64_t common = common_divisor(sum->under, more->under), own = more->under / common, other = sum->under / common;
    int64_t under, a, b;
    if (__builtin_mul_overflow(sum->under, own, &under) || __builtin_mul_overflow(sum->part, own, &a) ||
        __builtin_mul_overflow(more->part, other, &b) || !tfr_int128_add(sum->whole, more->whole, &sum->whole)) {
        return false;
    }
    const tfr_int128 parts = (tfr_int128)a + b;
    sum->part = (int64_t)(parts % under);
    sum->under = under;
    return tfr_int128_add(sum->whole, parts / under, &sum->whole);
}

static bool count_term(const struct tfr_poly_term *term, const tfr_int128 value[TFR_DIM_COUNT], struct mixed *sum) {
    struct mixed product = mixed_of(term);
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        if (term->power[d] > 0 && value[d] == 0) {
            return true; /* adds nothing, whatever the others are */
        }
    }
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        for (int p = 0; p < term->power[d]; p++) {
            if (!times(&product, value[d])) {
                return false;
            }
        }
    }
    return plus(sum, &product);
}

static enum tfr_status beyond(const struct tfr_poly *poly, const tfr_int128 value[TFR_DIM_COUNT], const char *what) {
    int largest = -1;
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        if (tfr_poly_has(poly, d) && (largest < 0 || value[d] > value[largest])) {
            largest = d;
        }
    }
    char number[TFR_INT128_TEXT];
    return tfr_raise(
        TFR_USAGE, "the sum of %s is beyond 2^127, the limit of exact sums: its largest dimension is %s = %s (%s); ask for less",
        what, largest < 0 ? "?" : tfr_dim_name(largest), largest < 0 ? "?" : tfr_int128_text(value[largest], ',', number),
        largest < 0 ? "?" : tfr_dim_meaning(largest));
}

enum tfr_status tfr_poly_count(const struct tfr_poly *poly, const tfr_int128 value[TFR_DIM_COUNT], const char *what,
                               tfr_int128 *sum) {
    struct mixed total = {.under = 1};
    for (int i = 0; i < poly->n_terms; i++) {
        if (!count_term(&poly->term[i], value, &total)) {
            return beyond(poly, value, what);
        }
    }
    if (total.part != 0) {
        return tfr_raise(TFR_USAGE, "the sum of %s is not a whole number: a formula or a dimension is wrong", what);
    }
    *sum = total.whole;
    return TFR_OK;
}

enum tfr_status tfr_poly_add(struct tfr_poly *sum, const struct tfr_poly *a, const struct tfr_poly *b) {
    struct tfr_poly result = *a;
    for (int i = 0; i < b->n_terms; i++) {
        TFR_TRY(tfr_poly_insert(&result, &b->term[i]));
    }
    *sum = result;
    return TFR_OK;
}

enum tfr_status tfr_poly_mul(struct tfr_poly *product, const struct tfr_poly *a, const struct tfr_poly *b) {
    struct tfr_poly result = {0};
    for (int i = 0; i < a->n_terms; i++) {
        for (int j = 0; j < b->n_terms; j++) {
            struct tfr_poly_term term;
            TFR_TRY(mul_terms(&term, &a->term[i], &b->term[j]));
            TFR_TRY(tfr_poly_insert(&result, &term));
        }
    }
    *product = result;
    return TFR_OK;
}

enum tfr_status tfr_poly_scale(struct tfr_poly *poly, tfr_int128 over, int64_t under) {
    struct tfr_poly by = tfr_poly_number(over);
    by.term[0].under = under;
    tfr_poly_settle(&by.term[0]);
    return tfr_poly_mul(poly, poly, &by);
}

enum tfr_status tfr_poly_substitute(struct tfr_poly *poly, enum tfr_dim dim, const struct tfr_poly *by) {
    struct tfr_poly result = {0};
    for (int i = 0; i < poly->n_terms; i++) {
        struct tfr_poly rest = {.n_terms = 1, .term[0] = poly->term[i]};
        struct tfr_poly power;
        TFR_TRY(power_of(&power, by, rest.term[0].power[dim]));
        rest.term[0].power[dim] = 0;
        tfr_poly_settle(&rest.term[0]);
        TFR_TRY(tfr_poly_mul(&rest, &rest, &power));
        TFR_TRY(tfr_poly_add(&result, &result, &rest));
    }
    *poly = result;
    return TFR_OK;
}

bool tfr_poly_equal(const struct tfr_poly *a, const struct tfr_poly *b) {
    if (a->n_terms != b->n_terms) {
        return false;
    }
    for (int i = 0; i < a->n_terms; i++) {
        const struct tfr_poly_term *x = &a->term[i], *y = &b->term[i];
        if (x->over != y->over || x->under != y->under || compare_terms(x, y) != 0) {
            return false;
        }
    }
    return true;
}

bool tfr_poly_has(const struct tfr_poly *poly, enum tfr_dim dim) {
    for (int i = 0; i < poly->n_terms; i++) {
        if (poly->term[i].power[dim] > 0) {
            return true;
        }
    }
    return false;
}

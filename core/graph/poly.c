/* poly.c - parse, add, multiply, substitute and print polynomials over named dimensions.
 *
 * The one invariant: terms are sorted by compare_terms, no two have the same powers, none has factor 0.
 */
#include "graph/poly.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static int degree(const struct tfr_poly_term *term) {
    int sum = 0;
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        sum += term->power[d];
    }
    return sum;
}

/* Higher degree first, then by the powers in the order of the names. */
static int compare_terms(const struct tfr_poly_term *a, const struct tfr_poly_term *b) {
    int by_degree = degree(b) - degree(a);
    return by_degree != 0 ? by_degree : memcmp(b->power, a->power, sizeof(a->power));
}

/* Puts one term in its place, joining it with a like one. */
static enum tfr_status insert_term(struct tfr_poly *poly, const struct tfr_poly_term *term) {
    int at = 0;
    while (at < poly->n_terms && compare_terms(&poly->term[at], term) < 0) {
        at++;
    }
    struct tfr_poly_term *place = &poly->term[at];
    size_t after = (size_t)(poly->n_terms - at);
    if (after > 0 && compare_terms(place, term) == 0) {
        place->factor += term->factor;
        if (place->factor == 0) {
            memmove(place, place + 1, (after - 1) * sizeof(*place));
            poly->n_terms--;
        }
        return TFR_OK;
    }
    if (term->factor == 0) {
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
    product->factor = a->factor * b->factor;
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        int power = a->power[d] + b->power[d];
        if (power > UINT8_MAX) {
            return tfr_raise(TFR_USAGE, "power %d of %s is above %d", power, tfr_dim_name(d), UINT8_MAX);
        }
        product->power[d] = (uint8_t)power;
    }
    return TFR_OK;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static const char *skip_blanks(const char *at) {
    while (*at == ' ' || *at == '\t' || *at == '\n') {
        at++;
    }
    return at;
}

/* A name at *at, or TFR_DIM_COUNT when there is no such name. */
static int take_name(const char **at) {
    size_t length = 0;
    while (is_letter((*at)[length])) {
        length++;
    }
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        if (strlen(tfr_dim_name(d)) == length && strncmp(tfr_dim_name(d), *at, length) == 0) {
            *at += length;
            return d;
        }
    }
    return TFR_DIM_COUNT;
}

/* Reads by hand because strtod obeys the locale. */
static bool take_number(const char **at, double *number) {
    const char *text = *at;
    bool negative = *text == '-';
    text += negative;
    if (!is_digit(*text)) {
        return false;
    }
    double value = 0;
    while (is_digit(*text)) {
        value = value * 10 + (*text++ - '0');
    }
    if (*text == '.') {
        double scale = 1;
        for (text++; is_digit(*text); text++) {
            value = value * 10 + (*text - '0');
            scale *= 10;
        }
        value /= scale;
    }
    *number = negative ? -value : value;
    *at = text;
    return true;
}

/* One factor: a number, a name, or a name ^ power. */
static bool take_factor(const char **at, struct tfr_poly_term *term) {
    double number;
    if (take_number(at, &number)) {
        term->factor *= number;
        return true;
    }
    int dim = take_name(at);
    if (dim == TFR_DIM_COUNT) {
        return false;
    }
    double power = 1;
    if (**at == '^') {
        (*at)++;
        if (!take_number(at, &power) || power < 1 || power != (int)power) {
            return false;
        }
    }
    if (term->power[dim] + power > UINT8_MAX) {
        return false;
    }
    term->power[dim] = (uint8_t)(term->power[dim] + (int)power);
    return true;
}

static enum tfr_status power_of(struct tfr_poly *result, const struct tfr_poly *base, int power) {
    *result = (struct tfr_poly){.n_terms = 1, .term[0].factor = 1};
    for (int i = 0; i < power; i++) {
        TFR_TRY(tfr_poly_mul(result, result, base));
    }
    return TFR_OK;
}

/* Shortest digits that parse back to the same number. */
static void print_number(double number, char *text, size_t size) {
    for (int precision = 0; precision <= 17; precision++) {
        snprintf(text, size, "%.*f", precision, number);
        if (strtod(text, NULL) == number) {
            return;
        }
    }
}

static size_t append(char *text, size_t size, size_t used, const char *piece) {
    if (used < size) {
        snprintf(text + used, size - used, "%s", piece);
    }
    return used + strlen(piece);
}

static size_t append_term(char *text, size_t size, size_t used, const struct tfr_poly_term *term) {
    bool constant = degree(term) == 0;
    const char *blank = "";
    char piece[400];
    if (constant || term->factor != 1) {
        print_number(term->factor, piece, sizeof(piece));
        used = append(text, size, used, piece);
        blank = " ";
    }
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        if (term->power[d] == 0) {
            continue;
        }
        snprintf(piece, sizeof(piece), term->power[d] > 1 ? "%s%s^%d" : "%s%s", blank, tfr_dim_name(d), term->power[d]);
        used = append(text, size, used, piece);
        blank = " ";
    }
    return used;
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

enum tfr_status tfr_poly_parse(struct tfr_poly *poly, const char *text) {
    *poly = (struct tfr_poly){0};
    const char *at = skip_blanks(text);
    for (;;) {
        struct tfr_poly_term term = {.factor = 1};
        int n_factors = 0;
        while (*at != '\0' && *at != '+') {
            if (!take_factor(&at, &term)) {
                return tfr_raise(TFR_USAGE, "polynomial \"%s\": cannot read \"%s\"", text, at);
            }
            n_factors++;
            if (*at != '\0' && *at != '+' && *at != ' ' && *at != '\t' && *at != '\n') {
                return tfr_raise(TFR_USAGE, "polynomial \"%s\": blank missing before \"%s\"", text, at);
            }
            at = skip_blanks(at);
        }
        if (n_factors == 0) {
            return tfr_raise(TFR_USAGE, "polynomial \"%s\": term missing before \"%s\"", text, at);
        }
        TFR_TRY(insert_term(poly, &term));
        if (*at == '\0') {
            return TFR_OK;
        }
        at = skip_blanks(at + 1);
    }
}

double tfr_poly_eval(const struct tfr_poly *poly, const double value[TFR_DIM_COUNT]) {
    double sum = 0;
    for (int i = 0; i < poly->n_terms; i++) {
        double product = poly->term[i].factor;
        for (int d = 0; d < TFR_DIM_COUNT; d++) {
            for (int p = 0; p < poly->term[i].power[d]; p++) {
                product *= value[d];
            }
        }
        sum += product;
    }
    return sum;
}

enum tfr_status tfr_poly_add(struct tfr_poly *sum, const struct tfr_poly *a, const struct tfr_poly *b) {
    struct tfr_poly result = *a;
    for (int i = 0; i < b->n_terms; i++) {
        TFR_TRY(insert_term(&result, &b->term[i]));
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
            TFR_TRY(insert_term(&result, &term));
        }
    }
    *product = result;
    return TFR_OK;
}

void tfr_poly_scale(struct tfr_poly *poly, double factor) {
    if (factor == 0) {
        poly->n_terms = 0;
    }
    for (int i = 0; i < poly->n_terms; i++) {
        poly->term[i].factor *= factor;
    }
}

enum tfr_status tfr_poly_substitute(struct tfr_poly *poly, enum tfr_dim dim, const struct tfr_poly *by) {
    struct tfr_poly result = {0};
    for (int i = 0; i < poly->n_terms; i++) {
        struct tfr_poly rest = {.n_terms = 1, .term[0] = poly->term[i]};
        struct tfr_poly power;
        TFR_TRY(power_of(&power, by, rest.term[0].power[dim]));
        rest.term[0].power[dim] = 0;
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
        if (a->term[i].factor != b->term[i].factor || compare_terms(&a->term[i], &b->term[i]) != 0) {
            return false;
        }
    }
    return true;
}

const char *tfr_poly_text(const struct tfr_poly *poly, char *text, size_t size) {
    size_t used = append(text, size, 0, poly->n_terms == 0 ? "0" : "");
    for (int i = 0; i < poly->n_terms; i++) {
        used = append(text, size, used, i > 0 ? " + " : "");
        used = append_term(text, size, used, &poly->term[i]);
    }
    return text;
}

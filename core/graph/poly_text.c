/* poly_text.c - polynomials as text: read, printed, and printed with common factors before a bracket. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "graph/poly_internal.h"

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
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
    while (is_name((*at)[length])) {
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

/* "12", "-0.5", "17/16": exact, whatever the locale. */
static bool take_number(const char **at, tfr_int128 *over, int64_t *under) {
    const bool is_negative = **at == '-';
    if (!tfr_int128_parse(at, over)) {
        return false;
    }
    *under = 1;
    if (**at == '.') {
        for ((*at)++; is_digit(**at); (*at)++) {
            const int digit = **at - '0';
            if (!tfr_int128_mul(*over, 10, over) || !tfr_int128_add(*over, is_negative ? -digit : digit, over) ||
                __builtin_mul_overflow(*under, 10, under)) {
                return false;
            }
        }
    } else if (**at == '/') {
        tfr_int128 divisor;
        (*at)++;
        if (!tfr_int128_parse(at, &divisor) || divisor < 1 || divisor > INT64_MAX) {
            return false;
        }
        *under = (int64_t)divisor;
    }
    return true;
}

static bool take_power(const char **at, int *power) {
    tfr_int128 number;
    *power = 1;
    if (**at != '^') {
        return true;
    }
    (*at)++;
    if (!tfr_int128_parse(at, &number) || number < 1 || number > UINT8_MAX) {
        return false;
    }
    *power = (int)number;
    return true;
}

/* One factor: a number, a name, or a name ^ power. A sign stands before the first alone: "2 M -3 K" is no product. */
static bool take_factor(const char **at, bool is_first, struct tfr_poly_term *term) {
    tfr_int128 over;
    int64_t under;
    if ((is_first && **at == '-') || is_digit(**at)) {
        return take_number(at, &over, &under) && tfr_int128_mul(term->over, over, &term->over) &&
               !__builtin_mul_overflow(term->under, under, &term->under);
    }
    int dim = take_name(at), power;
    if (dim == TFR_DIM_COUNT || !take_power(at, &power) || term->power[dim] + power > UINT8_MAX) {
        return false;
    }
    term->power[dim] = (uint8_t)(term->power[dim] + power);
    return true;
}

enum tfr_status tfr_poly_parse(struct tfr_poly *poly, const char *text) {
    *poly = (struct tfr_poly){0};
    const char *at = skip_blanks(text);
    for (;;) {
        struct tfr_poly_term term = {.over = 1, .under = 1};
        int n_factors = 0;
        while (*at != '\0' && *at != '+') {
            if (!take_factor(&at, n_factors == 0, &term)) {
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
        tfr_poly_settle(&term);
        TFR_TRY(tfr_poly_insert(poly, &term));
        if (*at == '\0') {
            return TFR_OK;
        }
        at = skip_blanks(at + 1);
    }
}

/* Text under way: what does not fit is dropped. */
struct sink {
    char *text;
    size_t size, used;
};

static void put(struct sink *sink, const char *piece) {
    const size_t length = strlen(piece);
    if (sink->used < sink->size) {
        const size_t room = sink->size - 1 - sink->used, n = length < room ? length : room;
        memcpy(sink->text + sink->used, piece, n);
        sink->text[sink->used + n] = '\0';
    }
    sink->used += length;
}

/* As a decimal where that ends soon, else as a fraction. */
static void put_number(struct sink *sink, tfr_int128 over, int64_t under) {
    char digits[TFR_INT128_TEXT];
    int places = 0;
    tfr_int128 scaled = over, power = 1;
    while (places < 6 && power % under != 0 && tfr_int128_mul(scaled, 10, &scaled)) {
        power *= 10;
        places++;
    }
    if (power % under != 0) {
        put(sink, tfr_int128_text(over, '\0', digits));
        put(sink, "/");
        put(sink, tfr_int128_text(under, '\0', digits));
        return;
    }
    scaled = over / under;
    tfr_int128 rest = over % under * (power / under);
    put(sink, over < 0 && scaled == 0 ? "-" : "");
    put(sink, tfr_int128_text(scaled, '\0', digits));
    if (places > 0) {
        char decimals[32];
        snprintf(decimals, sizeof decimals, ".%0*lld", places, (long long)(rest < 0 ? -rest : rest));
        put(sink, decimals);
    }
}

static void put_term(struct sink *sink, const struct tfr_poly_term *term) {
    const char *blank = "";
    if (term->degree == 0 || term->over != 1 || term->under != 1) {
        put_number(sink, term->over, term->under);
        blank = " ";
    }
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        if (term->power[d] == 0) {
            continue;
        }
        char piece[64];
        snprintf(piece, sizeof(piece), term->power[d] > 1 ? "%s%s^%d" : "%s%s", blank, tfr_dim_name(d), term->power[d]);
        put(sink, piece);
        blank = " ";
    }
}

static void put_terms(struct sink *sink, const struct tfr_poly *poly) {
    put(sink, poly->n_terms == 0 ? "0" : "");
    for (int i = 0; i < poly->n_terms; i++) {
        put(sink, i > 0 ? " + " : "");
        put_term(sink, &poly->term[i]);
    }
}

const char *tfr_poly_text(const struct tfr_poly *poly, char *text, size_t size) {
    struct sink sink = {text, size, 0};
    put(&sink, "");
    put_terms(&sink, poly);
    return text;
}

/* The powers that all of the terms have. */
static struct tfr_poly_term shared(const struct tfr_poly *poly) {
    struct tfr_poly_term common = poly->term[0];
    common.over = common.under = 1;
    for (int i = 1; i < poly->n_terms; i++) {
        for (int d = 0; d < TFR_DIM_COUNT; d++) {
            const uint8_t power = poly->term[i].power[d];
            common.power[d] = power < common.power[d] ? power : common.power[d];
        }
    }
    tfr_poly_settle(&common);
    return common;
}

static void divide(struct tfr_poly *poly, const struct tfr_poly_term *by) {
    for (int i = 0; i < poly->n_terms; i++) {
        for (int d = 0; d < TFR_DIM_COUNT; d++) {
            poly->term[i].power[d] = (uint8_t)(poly->term[i].power[d] - by->power[d]);
        }
        tfr_poly_settle(&poly->term[i]);
    }
}

static void put_group(struct sink *sink, struct tfr_poly *group) {
    const struct tfr_poly_term common = group->n_terms > 1 ? shared(group) : (struct tfr_poly_term){0};
    if (common.degree == 0) {
        put_terms(sink, group);
        return;
    }
    divide(group, &common);
    put_term(sink, &common);
    put(sink, " (");
    put_terms(sink, group);
    put(sink, ")");
}

/* In how many terms beside the first one each name of the first stands: the one to gather by is in most. */
static int gather_by(const struct tfr_poly *poly) {
    int best = -1, most = 0;
    for (int d = 0; d < TFR_DIM_COUNT; d++) {
        int n = 0;
        for (int i = 1; i < poly->n_terms && poly->term[0].power[d] > 0; i++) {
            n += poly->term[i].power[d] > 0;
        }
        if (n > most) {
            most = n;
            best = d;
        }
    }
    return best;
}

/* Takes the terms that have `dim` (the first alone where it is -1) out of `poly`. */
static struct tfr_poly take_group(struct tfr_poly *poly, int dim) {
    struct tfr_poly group = {0};
    int kept = 0;
    for (int i = 0; i < poly->n_terms; i++) {
        if (dim < 0 ? i == 0 : poly->term[i].power[dim] > 0) {
            group.term[group.n_terms++] = poly->term[i];
        } else {
            poly->term[kept++] = poly->term[i];
        }
    }
    poly->n_terms = kept;
    return group;
}

const char *tfr_poly_factored(const struct tfr_poly *poly, char *text, size_t size) {
    struct sink sink = {text, size, 0};
    struct tfr_poly left = *poly;
    put(&sink, left.n_terms == 0 ? "0" : "");
    while (left.n_terms > 0) {
        put(&sink, left.n_terms < poly->n_terms ? " + " : "");
        struct tfr_poly group = take_group(&left, gather_by(&left));
        put_group(&sink, &group);
    }
    return text;
}

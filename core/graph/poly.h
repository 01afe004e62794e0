/* poly.h - polynomials over named dimensions: the form in which costs are written, added up, printed and
 * proved equal.
 *
 * Always canonical: like terms joined, zero terms dropped, terms sorted. Two equal polynomials are therefore
 * equal term by term and print the same. Values are plain structs, copied by assignment; nothing is
 * allocated. Thread rule: no state.
 */
#ifndef TFR_GRAPH_POLY_H
#define TFR_GRAPH_POLY_H

#include <tfrun/types.h>

/* The names that may stand in a polynomial; a term is printed in this order. EACH(enum name, text, meaning)
 */
#define TFR_DIM_LIST(EACH)                                                                                                         \
    EACH(L, "L", "blocks")                                                                                                         \
    EACH(B, "B", "sequences in the step")                                                                                          \
    EACH(T, "T", "token rows of the step")                                                                                         \
    EACH(R, "R", "logit rows of the step")                                                                                         \
    EACH(S, "S", "keys a query can see")                                                                                           \
    EACH(P, "P", "cached positions of a sequence")                                                                                 \
    EACH(M, "M", "rows of an output")                                                                                              \
    EACH(A, "A", "visible (query, key) pairs of the step")                                                                         \
    EACH(X, "X", "keys read in the step")                                                                                          \
    EACH(K, "K", "inputs of a linear")                                                                                             \
    EACH(N, "N", "outputs of a linear")                                                                                            \
    EACH(C, "C", "n_embd")                                                                                                         \
    EACH(F, "F", "inner width of the MLP")                                                                                         \
    EACH(H, "H", "n_head")                                                                                                         \
    EACH(D, "D", "head_dim")                                                                                                       \
    EACH(V, "V", "vocab_size")                                                                                                     \
    EACH(EA, "ea", "bytes per element of activations")                                                                             \
    EACH(EW, "ew", "bytes per element of weights")                                                                                 \
    EACH(EK, "ek", "bytes per element of the kv cache")                                                                            \
    EACH(BIAS, "b", "1 with bias, else 0")                                                                                         \
    EACH(RESIDUAL, "r", "1 with residual, else 0")                                                                                 \
    EACH(ACT, "g", "FLOPs of the activation per element")

enum tfr_dim {
#define TFR_DIM_ENUM(NAME, text, meaning) TFR_DIM_##NAME,
    TFR_DIM_LIST(TFR_DIM_ENUM)
#undef TFR_DIM_ENUM
        TFR_DIM_COUNT
};
const char *tfr_dim_name(enum tfr_dim dim);
const char *tfr_dim_meaning(enum tfr_dim dim);

#define TFR_POLY_MAX_TERMS 64

struct tfr_poly_term {
    double factor;
    uint8_t power[TFR_DIM_COUNT];
};
struct tfr_poly {
    int n_terms; /* 0: the polynomial 0 */
    struct tfr_poly_term term[TFR_POLY_MAX_TERMS];
};

/* "2 M K N + b M N", "24 B S C^2", "0.5 C". Failure: TFR_USAGE with the text and the place; also too many
 * terms. */
enum tfr_status tfr_poly_parse(struct tfr_poly *poly, const char *text);
double tfr_poly_eval(const struct tfr_poly *poly, const double value[TFR_DIM_COUNT]);
/* sum = a + b, product = a b; the result may be one of the operands. Failure: more than TFR_POLY_MAX_TERMS
 * terms. */
enum tfr_status tfr_poly_add(struct tfr_poly *sum, const struct tfr_poly *a, const struct tfr_poly *b);
enum tfr_status tfr_poly_mul(struct tfr_poly *product, const struct tfr_poly *a, const struct tfr_poly *b);
void tfr_poly_scale(struct tfr_poly *poly, double factor);
/* Every `dim` becomes `by` ("M" by "B S"). */
enum tfr_status tfr_poly_substitute(struct tfr_poly *poly, enum tfr_dim dim, const struct tfr_poly *by);
bool tfr_poly_equal(const struct tfr_poly *a, const struct tfr_poly *b);
/* Text that parses back to the same polynomial, cut to `size`. Returns `text`. */
const char *tfr_poly_text(const struct tfr_poly *poly, char *text, size_t size);

#endif

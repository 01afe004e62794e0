/* poly.h - polynomials over named dimensions: the form in which costs are written, added up, printed and
 * proved equal. Exact: a coefficient is a fraction, a sum is an integer of 128 bits or refused.
 *
 * Always canonical: like terms joined, zero terms dropped, fractions in lowest terms, terms sorted. Two equal polynomials are
 * therefore equal term by term and print the same. Values are plain structs, copied by assignment; nothing is
 * allocated. Thread rule: no state.
 */
#ifndef TFR_GRAPH_POLY_H
#define TFR_GRAPH_POLY_H

#include <tfrun/types.h>

#include "base/int128.h"

/* The names that may stand in a polynomial; a term is printed in this order. EACH(enum name, text, meaning). Letters are those of
 * one op (ops.def), long names those of the whole model. */
#define TFR_DIM_LIST(EACH)                                                                                                         \
    EACH(L, "L", "blocks")                                                                                                         \
    EACH(B, "B", "sequences, counted in each step that has rows of them")                                                          \
    EACH(T, "T", "token rows of the step")                                                                                         \
    EACH(R, "R", "logit rows of the step")                                                                                         \
    EACH(Q, "Q", "new rows of a sequence")                                                                                         \
    EACH(S, "S", "keys a query can see")                                                                                           \
    EACH(P, "P", "cached positions of a sequence")                                                                                 \
    EACH(M, "M", "rows of an output")                                                                                              \
    EACH(A, "A", "(query, key) pairs that are counted")                                                                            \
    EACH(X, "X", "keys read, counted in each step")                                                                                \
    EACH(U, "U", "steps that the rows are cut into")                                                                               \
    EACH(W, "W", "those of the steps that have logit rows")                                                                        \
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
    EACH(ACT, "g", "FLOPs of the activation per element")                                                                          \
    EACH(PASSES, "p", "elements that the activation writes per element, run pass by pass")                                         \
    EACH(READS, "q", "elements that those passes read per element")                                                                \
    EACH(BATCH, "batch_size", "sequences")                                                                                         \
    EACH(SEQ, "seq_len", "new positions of a sequence")                                                                            \
    EACH(HIDDEN, "hidden_size", "n_embd")                                                                                          \
    EACH(LAYERS, "num_layers", "n_layer")                                                                                          \
    EACH(HEADS, "num_heads", "n_head")                                                                                             \
    EACH(HEAD_DIM, "head_dim", "hidden_size / num_heads")                                                                          \
    EACH(INTERMEDIATE, "intermediate_size", "n_inner, the inner width of the MLP")                                                 \
    EACH(CACHE, "cache_len", "positions that a sequence has in the cache before the step")                                         \
    EACH(VOCAB, "vocab_size", "rows of the token table")                                                                           \
    EACH(ENCODER, "encoder_len", "positions of the encoder's states")                                                              \
    EACH(LABELS, "num_labels", "outputs of a classification head")                                                                 \
    EACH(KEY_LEN, "key_len", "keys that a query meets")                                                                            \
    EACH(KEPT_LEN, "kept_len", "positions of a sequence whose logits are computed")                                                \
    EACH(SUMMARY_LEN, "summary_len", "outputs of the double-heads summary")                                                        \
    EACH(IN_FEATURES, "in_features", "inputs of a Linear")                                                                         \
    EACH(OUT_FEATURES, "out_features", "outputs of a Linear")                                                                      \
    EACH(NX, "nx", "inputs of a Conv1D")                                                                                           \
    EACH(NF, "nf", "outputs of a Conv1D")

enum tfr_dim {
#define TFR_DIM_ENUM(NAME, text, meaning) TFR_DIM_##NAME,
    TFR_DIM_LIST(TFR_DIM_ENUM)
#undef TFR_DIM_ENUM
        TFR_DIM_COUNT
};
const char *tfr_dim_name(enum tfr_dim dim);
const char *tfr_dim_meaning(enum tfr_dim dim);

#define TFR_POLY_MAX_TERMS 128

struct tfr_poly_term {
    tfr_int128 over; /* the coefficient is over / under, in lowest terms, */
    int64_t under;   /* under >= 1 */
    double factor;   /* and, rounded, the same */
    int degree;      /* sum of the powers */
    uint8_t power[TFR_DIM_COUNT];
};
struct tfr_poly {
    int n_terms; /* 0: the polynomial 0 */
    struct tfr_poly_term term[TFR_POLY_MAX_TERMS];
};

/* "2 M K N + b M N", "24 B S C^2", "0.5 C", "17/16 X", "-2 seq_len". Failure: TFR_USAGE with the text and the place; also too many
 * terms. */
enum tfr_status tfr_poly_parse(struct tfr_poly *poly, const char *text);
struct tfr_poly tfr_poly_number(tfr_int128 number);
struct tfr_poly tfr_poly_dim(enum tfr_dim dim);

/* Rounded, for predictions. */
double tfr_poly_eval(const struct tfr_poly *poly, const double value[TFR_DIM_COUNT]);
/* Exact; the values are not negative. Failure: TFR_USAGE naming `what` is summed, the limit 2^127 and the largest dimension; also
 * where the sum is not a whole number. */
enum tfr_status tfr_poly_count(const struct tfr_poly *poly, const tfr_int128 value[TFR_DIM_COUNT], const char *what,
                               tfr_int128 *sum);

/* sum = a + b, product = a b; the result may be one of the operands. Failure: more than TFR_POLY_MAX_TERMS
 * terms, a coefficient beyond 2^127, a power beyond 255. */
enum tfr_status tfr_poly_add(struct tfr_poly *sum, const struct tfr_poly *a, const struct tfr_poly *b);
enum tfr_status tfr_poly_mul(struct tfr_poly *product, const struct tfr_poly *a, const struct tfr_poly *b);
/* Times over / under. */
enum tfr_status tfr_poly_scale(struct tfr_poly *poly, tfr_int128 over, int64_t under);
/* Every `dim` becomes `by` ("M" by "B S"). */
enum tfr_status tfr_poly_substitute(struct tfr_poly *poly, enum tfr_dim dim, const struct tfr_poly *by);
bool tfr_poly_equal(const struct tfr_poly *a, const struct tfr_poly *b);
bool tfr_poly_has(const struct tfr_poly *poly, enum tfr_dim dim);

/* Room for the text of any polynomial: of each term a fraction, brackets, and every name with blank and power. */
#define TFR_DIM_ROOM(NAME, text, meaning) +sizeof(text) + 5
enum { TFR_POLY_TEXT = TFR_POLY_MAX_TERMS * (80 TFR_DIM_LIST(TFR_DIM_ROOM)) };
#undef TFR_DIM_ROOM
/* poly_text.c. Text that parses back to the same polynomial, cut to `size`. Returns `text`. */
const char *tfr_poly_text(const struct tfr_poly *poly, char *text, size_t size);
/* For reading: what all terms share stands before a bracket, "batch_size seq_len (24 hidden_size^2 + 13 hidden_size)". */
const char *tfr_poly_factored(const struct tfr_poly *poly, char *text, size_t size);

#endif

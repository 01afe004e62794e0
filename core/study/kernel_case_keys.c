/* kernel_case_keys.c - the keys of a case: one table, with what each may be and for which ops it means something. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "study/kernel_case.h"

enum kind { SIZE, FLAG, REAL, WORD, DTYPE, SEQS };
#define OP(NAME) (1U << TFR_OP_##NAME)
#define ROWS                                                                                                                       \
    (OP(EMBED) | OP(LAYER_NORM) | OP(LINEAR) | OP(ACTIVATION) | OP(ADD) | OP(GATHER_ROWS) | OP(LOOKUP_ADD) | OP(COPY) |            \
     OP(SUM_BLOCKS) | OP(BEST_ROWS))
#define HEADS (OP(KV_APPEND) | OP(ATTENTION))

struct word {
    const char *name;
    int32_t value;
};
static const struct word activations[] = {
#define TFR_ACTIVATION(NAME, name, flops, formula) {name, TFR_ACT_##NAME},
#include <tfrun/activations.def>
    {NULL, 0}};
static const struct word stored[] = {
    {"f32", TFR_DTYPE_F32}, {"bf16", TFR_DTYPE_BF16}, {"f16", TFR_DTYPE_F16}, {"f64", TFR_DTYPE_F64}, {NULL, 0}};
static const struct word caches[] = {{"f32", TFR_DTYPE_F32}, {"bf16", TFR_DTYPE_BF16}, {"f16", TFR_DTYPE_F16},
                                     {"int8", TFR_DTYPE_I8}, {"i8", TFR_DTYPE_I8},     {NULL, 0}};
static const struct word products[] = {{"f32", TFR_DTYPE_F32}, {"bf16", TFR_DTYPE_BF16}, {NULL, 0}};
static const struct word packed[] = {{"f32", TFR_DTYPE_F32},
                                     {"bf16", TFR_DTYPE_BF16},
                                     {"f16", TFR_DTYPE_F16},
                                     {"int8", TFR_DTYPE_I8_CHANNEL},
                                     {"int8w", TFR_DTYPE_I8_CHANNEL},
                                     {"int4", TFR_DTYPE_I4_GROUP},
                                     {"int4_64", TFR_DTYPE_I4_GROUP64},
                                     {"int4_zero", TFR_DTYPE_I4_ZERO},
                                     {"int4_zero64", TFR_DTYPE_I4_ZERO64},
                                     {NULL, 0}};

/* Large enough for any model, and small enough that no product of two overflows. */
enum { MOST_ROWS = 1 << 20, MOST_WIDTH = TFR_BEST_COLUMNS, MOST_PAST = 1 << 24 };
#define MOST_REAL 3.4e38 /* of f32 */

static const struct key {
    const char *name;
    enum kind kind;
    size_t at; /* in struct tfr_kernel_case: int64_t of SIZE, double of REAL, else int32_t */
    double least, most;
    uint32_t ops;
    const struct word *words;
} keys[] = {
#define AT(member) offsetof(struct tfr_kernel_case, member)
    {"rows", SIZE, AT(rows), 1, MOST_ROWS, ROWS, NULL},
    {"max", SIZE, AT(max), 1, MOST_ROWS, ROWS | HEADS, NULL},
    {"k", SIZE, AT(k), 1, MOST_WIDTH, OP(LINEAR) | OP(BEST_ROWS), NULL},
    {"n", SIZE, AT(n), 1, MOST_WIDTH, ROWS, NULL},
    {"heads", SIZE, AT(heads), 1, TFR_CASE_HEADS, HEADS, NULL},
    {"dim", SIZE, AT(dim), 1, TFR_CASE_HEADS, HEADS, NULL},
    {"seqs", SEQS, 0, 0, 0, HEADS, NULL},
    {"from", SIZE, AT(from), 1, MOST_WIDTH, OP(EMBED) | OP(GATHER_ROWS) | OP(LOOKUP_ADD), NULL},
    {"blocks", SIZE, AT(blocks), 1, TFR_CASE_HEADS, OP(SUM_BLOCKS), NULL},
    {"cross", SIZE, AT(cross), 1, MOST_PAST, HEADS, NULL},
    {"bias", FLAG, AT(bias), 0, 1, OP(LINEAR) | OP(SUM_BLOCKS), NULL},
    {"residual", FLAG, AT(residual), 0, 1, OP(LINEAR) | OP(SUM_BLOCKS), NULL},
    {"transposed", FLAG, AT(transposed), 0, 1, OP(LINEAR), NULL},
    {"start", FLAG, AT(start), 0, 1, OP(SUM_BLOCKS), NULL},
    {"causal", FLAG, AT(causal), 0, 1, OP(ATTENTION), NULL},
    {"query_only", FLAG, AT(query_only), 0, 1, HEADS, NULL},
    {"mask", FLAG, AT(mask), 0, TFR_CASE_HEADS, OP(ATTENTION), NULL},
    {"head_mask", FLAG, AT(head_mask), 0, 1, OP(ATTENTION), NULL},
    {"weights", FLAG, AT(weights), 0, 1, OP(ATTENTION), NULL},
    {"act", WORD, AT(act), 0, 0, OP(LINEAR) | OP(ACTIVATION), activations},
    {"dtype", DTYPE, AT(dtype), 0, 0, OP(LINEAR), packed},
    {"stored", WORD, AT(stored), 0, 0, OP(LINEAR) | OP(EMBED) | OP(LOOKUP_ADD), stored},
    {"kv", WORD, AT(kv), 0, 0, HEADS, caches},
    {"products", WORD, AT(x_dtype), 0, 0, OP(ATTENTION), products},
    {"scale", REAL, AT(scale), -MOST_REAL, MOST_REAL, OP(ATTENTION), NULL},
    {"spread", REAL, AT(spread), 0, MOST_REAL, ROWS | HEADS, NULL},
    {"offset", REAL, AT(offset), -MOST_REAL, MOST_REAL, ROWS | HEADS, NULL},
#undef AT
};

/* Digits alone; false also where they are more than any limit has. */
static bool read_whole(const char *text, size_t length, int64_t *value) {
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || i == 18) {
            return false;
        }
        *value = *value * 10 + (text[i] - '0');
    }
    return length > 0;
}

static enum tfr_status set_whole(struct tfr_kernel_case *to, const struct key *key, const char *value) {
    int64_t whole;
    if (!read_whole(value, strlen(value), &whole) || (double)whole < key->least || (double)whole > key->most) {
        return tfr_raise(TFR_CONFIG, "%s=%s is not a whole number in %.0f..%.0f", key->name, value, key->least, key->most);
    }
    if (key->kind == SIZE) {
        memcpy((char *)to + key->at, &whole, sizeof whole);
        return TFR_OK;
    }
    const int32_t flag = (int32_t)whole;
    memcpy((char *)to + key->at, &flag, sizeof flag);
    return TFR_OK;
}

/* Decimal: no blanks in front, no hexadecimal, no "inf". */
static enum tfr_status set_real(struct tfr_kernel_case *to, const struct key *key, const char *value) {
    char *end;
    const bool is_decimal = value[0] != '\0' && strspn(value, "0123456789+-.eE") == strlen(value);
    const double real = is_decimal ? strtod(value, &end) : 0;
    if (!is_decimal || *end != '\0' || !(real >= key->least && real <= key->most)) {
        return tfr_raise(TFR_CONFIG, "%s=%s is not a number in %g..%g", key->name, value, key->least, key->most);
    }
    memcpy((char *)to + key->at, &real, sizeof real);
    return TFR_OK;
}

static enum tfr_status set_word(struct tfr_kernel_case *to, const struct key *key, const char *value) {
    char known[400] = "";
    for (const struct word *word = key->words; word->name != NULL; word++) {
        if (strcmp(word->name, value) == 0) {
            memcpy((char *)to + key->at, &word->value, sizeof word->value);
            return TFR_OK;
        }
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", word->name);
    }
    return tfr_raise(TFR_CONFIG, "%s=%s: it is one of %s", key->name, value, known);
}

/* Of a coarse type x is rounded too, but for int8w. */
static enum tfr_status set_dtype(struct tfr_kernel_case *to, const struct key *key, const char *value) {
    TFR_TRY(set_word(to, key, value));
    to->x_dtype = strncmp(value, "int", 3) == 0 && strcmp(value, "int8w") != 0 ? TFR_DTYPE_I8 : TFR_DTYPE_F32;
    return TFR_OK;
}

/* PAST+N, with commas; the rows of the case are those of its sequences. */
static enum tfr_status set_seqs(struct tfr_kernel_case *to, const char *value) {
    for (const char *part = value;; part++) {
        const size_t length = strcspn(part, ","), plus = strcspn(part, "+");
        int64_t past, n;
        if (plus >= length || !read_whole(part, plus, &past) || !read_whole(part + plus + 1, length - plus - 1, &n) ||
            past > MOST_PAST || n < 1 || n > MOST_ROWS) {
            return tfr_raise(TFR_CONFIG, "seqs=%s: \"%.*s\" is not PAST+N; PAST must be 0..%d and N 1..%d", value, (int)length,
                             part, MOST_PAST, MOST_ROWS);
        }
        if (to->n_seqs == TFR_CASE_SEQS) {
            return tfr_raise(TFR_CONFIG, "seqs=%s: a case has at most %d sequences", value, TFR_CASE_SEQS);
        }
        to->past[to->n_seqs] = past;
        to->n_rows[to->n_seqs++] = n;
        to->rows += n;
        part += length;
        if (*part == '\0') {
            return TFR_OK;
        }
    }
}

static enum tfr_status refuse_key(const struct tfr_kernel_case *to, const char *name) {
    const char *names[TFR_COUNT_OF(keys)];
    for (size_t i = 0; i < TFR_COUNT_OF(keys); i++) {
        names[i] = keys[i].name;
        if (strcmp(keys[i].name, name) == 0) {
            return tfr_raise(TFR_CONFIG, "%s means nothing for %s; leave it out", name, tfr_op_info((enum tfr_op)to->op)->name);
        }
    }
    const char *nearest = tfr_nearest_name(name, names, TFR_COUNT_OF(keys));
    return nearest != NULL ? tfr_raise(TFR_CONFIG, "there is no key \"%s\"; did you mean \"%s\"?", name, nearest)
                           : tfr_raise(TFR_CONFIG, "there is no key \"%s\"; docs/bench.md lists them", name);
}

enum tfr_status tfr_kernel_case_set(struct tfr_kernel_case *to, const char *name, const char *value, uint64_t *given) {
    size_t i = 0;
    while (i < TFR_COUNT_OF(keys) && (strcmp(keys[i].name, name) != 0 || (keys[i].ops >> to->op & 1U) == 0)) {
        i++;
    }
    if (i == TFR_COUNT_OF(keys)) {
        return refuse_key(to, name);
    }
    if (*given >> i & 1U) {
        return tfr_raise(TFR_CONFIG, "%s is there twice; give it once", name);
    }
    *given |= UINT64_C(1) << i;
    switch (keys[i].kind) {
    case REAL:
        return set_real(to, &keys[i], value);
    case WORD:
        return set_word(to, &keys[i], value);
    case DTYPE:
        return set_dtype(to, &keys[i], value);
    case SEQS:
        return set_seqs(to, value);
    default:
        return set_whole(to, &keys[i], value);
    }
}

bool tfr_kernel_case_has(uint64_t given, const char *name) {
    for (size_t i = 0; i < TFR_COUNT_OF(keys); i++) {
        if ((given >> i & 1U) != 0 && strcmp(keys[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

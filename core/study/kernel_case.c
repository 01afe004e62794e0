/* kernel_case.c - see kernel_case.h: lines to cases, what a case must have, and how large it is. */
#include "study/kernel_case.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "base/textfile.h"

enum { MOST_FILE_BYTES = 4 << 20, USUAL_FROM = 64, SPARE_ROWS = 3 };
#define MOST_BYTES 1e12

int64_t tfr_kernel_case_width(const struct tfr_kernel_case *of) {
    if (of->op == TFR_OP_LINEAR || of->op == TFR_OP_BEST_ROWS) {
        return of->k;
    }
    if (of->op == TFR_OP_SUM_BLOCKS) {
        return of->blocks * of->n;
    }
    const int64_t parts = of->n_seqs == 0 ? 1 : of->cross == 0 ? 3 : of->op == TFR_OP_KV_APPEND ? 2 : 1;
    return parts * of->n; /* qkv, or with cross-attention q alone, and k and v alone */
}

int64_t tfr_kernel_case_keys(const struct tfr_kernel_case *of, int b) {
    return of->cross > 0 ? of->cross : of->past[b] + (of->query_only ? 0 : of->n_rows[b]);
}

double tfr_kernel_case_bytes(const struct tfr_kernel_case *of) {
    enum { ROUNDING = 128, KV_BYTES = 16 };
    const double rows = (double)of->max, n = (double)of->n, x_rows = of->op == TFR_OP_GATHER_ROWS ? (double)of->from : rows;
    double bytes = 4 * (double)tfr_kernel_case_width(of) * x_rows + 4 * 3 * rows * n + 8 * rows;
    if (of->op == TFR_OP_LINEAR) {
        bytes += (double)of->k * n * (double)tfr_dtype_size((enum tfr_dtype)of->stored) + 4 * n;
    } else if (of->op == TFR_OP_EMBED || of->op == TFR_OP_LOOKUP_ADD) {
        bytes += 2 * (double)of->from * n * (double)tfr_dtype_size((enum tfr_dtype)of->stored);
    } else {
        bytes += 8 * n;
    }
    for (int b = 0; b < of->n_seqs; b++) {
        const double pairs = (double)of->n_rows[b] * (double)tfr_kernel_case_keys(of, b);
        bytes += ((double)of->past[b] + (double)of->n_rows[b] + (double)of->cross + TFR_CASE_SPARE_KEYS) * n * KV_BYTES;
        bytes += 4 * pairs * ((double)of->mask + (of->weights ? (double)of->heads : 0));
    }
    return bytes + (TFR_MAX_ARGS + 3.0 * TFR_CASE_SEQS) * ROUNDING;
}

enum tfr_dtype tfr_kernel_case_factors(const struct tfr_kernel_case *of) {
    if (of->op == TFR_OP_ATTENTION || of->x_dtype != TFR_DTYPE_F32) {
        return (enum tfr_dtype)of->x_dtype;
    }
    const bool is_short =
        of->dtype == TFR_DTYPE_BF16 || of->dtype == TFR_DTYPE_I8_CHANNEL; /* bf16 holds the whole numbers of int8w */
    return of->op == TFR_OP_LINEAR && is_short ? TFR_DTYPE_BF16 : TFR_DTYPE_F32;
}

struct tfr_op_facts tfr_kernel_case_facts(const struct tfr_kernel_case *of) {
    const bool is_idle = of->op == TFR_OP_KV_APPEND && of->query_only; /* rows that only ask are not appended */
    struct tfr_op_facts facts = {.rows = is_idle ? 0 : (double)of->rows};
    for (int b = 0; b < of->n_seqs; b++) {
        const double n = (double)of->n_rows[b], keys = (double)tfr_kernel_case_keys(of, b);
        const bool is_causal = of->causal && of->cross == 0 && !of->query_only;
        facts.pairs += n * keys - (is_causal ? n * (n - 1) / 2 : 0);
        facts.keys += keys;
    }
    return facts;
}

/* What says nothing beside another key. The keys of an encoder are not those of the sequence, and rows that only ask stand behind
 * all of them. */
static enum tfr_status refuse_idle(const struct tfr_kernel_case *one, uint64_t given) {
    const char *over = one->cross > 0 ? "cross" : "query_only";
    if (one->op != TFR_OP_ATTENTION || (one->cross == 0 && !one->query_only)) {
        return TFR_OK;
    }
    if (one->causal && tfr_kernel_case_has(given, "causal")) {
        return tfr_raise(TFR_CONFIG, "causal=1 has no effect beside %s, where every row sees all keys; leave one of the two out",
                         over);
    }
    if (one->query_only && one->cross > 0) {
        return tfr_raise(TFR_CONFIG,
                         "query_only=1 has no effect beside cross, where no row has a key of its own; leave one of the two out");
    }
    return TFR_OK;
}

/* What belongs together, once all keys are read. */
static enum tfr_status complete(struct tfr_kernel_case *one, uint64_t given) {
    const char *op = tfr_op_info((enum tfr_op)one->op)->name;
    const bool has_max = tfr_kernel_case_has(given, "max");
    const bool has_heads = one->op == TFR_OP_KV_APPEND || one->op == TFR_OP_ATTENTION;
    if (has_heads) {
        one->n = one->heads * one->dim;
    }
    if (one->op == TFR_OP_BEST_ROWS) {
        one->n = one->n > 0 ? one->n : TFR_BEST_WIDTH;
    }
    const bool needs_k = one->op == TFR_OP_LINEAR || one->op == TFR_OP_BEST_ROWS;
    if (one->rows == 0 || one->n == 0 || (needs_k && one->k == 0)) {
        return tfr_raise(TFR_CONFIG, "%s needs %s; give them", op,
                         has_heads                     ? "heads, dim and seqs"
                         : one->op == TFR_OP_BEST_ROWS ? "rows and k"
                         : needs_k                     ? "rows, k and n"
                                                       : "rows and n");
    }
    if (one->op == TFR_OP_BEST_ROWS && one->n != TFR_BEST_WIDTH) {
        return tfr_raise(TFR_CONFIG, "n=%lld: best_rows gives %d numbers of a row; leave n out", (long long)one->n, TFR_BEST_WIDTH);
    }
    if (has_max && one->max < one->rows) {
        return tfr_raise(TFR_CONFIG, "max=%lld is less than the %lld rows; give as many or leave max out", (long long)one->max,
                         (long long)one->rows);
    }
    if (!tfr_kernel_case_has(given, "scale")) {
        one->scale = has_heads ? 1 / sqrt((double)one->dim) : 1;
    }
    one->has_max = has_max;
    one->max = has_max ? one->max : one->rows + SPARE_ROWS;
    if (one->mask > 1 && one->mask != one->heads) {
        return tfr_raise(TFR_CONFIG, "mask=%d: masks are 1 for all heads, or %lld, one for each; give one of the two", one->mask,
                         (long long)one->heads);
    }
    TFR_TRY(refuse_idle(one, given));
    const double bytes = tfr_kernel_case_bytes(one);
    if (bytes > MOST_BYTES) {
        return tfr_raise(TFR_CONFIG, "this case takes %.3g GB of memory, at most %.0f GB are possible; make it smaller",
                         bytes / 1e9, MOST_BYTES / 1e9);
    }
    return TFR_OK;
}

/* The next word, cut off by a NUL; NULL at the end. */
static char *next_word(char **at) {
    *at += strspn(*at, " \t");
    char *word = *at;
    *at += strcspn(*at, " \t");
    if (**at != '\0') {
        *(*at)++ = '\0';
    }
    return *word != '\0' ? word : NULL;
}

static enum tfr_status take_name(struct tfr_kernel_case *one, const char *name) {
    static const char known[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    if (strspn(name, known) != strlen(name) || strlen(name) >= sizeof one->name) {
        return tfr_raise(TFR_CONFIG, "\"%s\" is no name of a case; take at most %d letters, digits and _ . -", name,
                         TFR_CASE_NAME - 1);
    }
    memcpy(one->name, name, strlen(name) + 1);
    return TFR_OK;
}

static enum tfr_status take_op(struct tfr_kernel_case *one, const char *op) {
    one->op = op != NULL ? (int32_t)tfr_op_find(op) : TFR_OP_COUNT;
    if (op == NULL) {
        return tfr_raise(TFR_CONFIG, "case %s names no op; give one behind the name, as in \"%s layer_norm rows=64 n=768\"",
                         one->name, one->name);
    }
    if (one->op == TFR_OP_SEND_HIDDEN || one->op == TFR_OP_RECV_HIDDEN || one->op == TFR_OP_FUSED) {
        return tfr_raise(TFR_CONFIG, "%s is no op of a case: it moves messages, or is made of other ops; take another", op);
    }
    if (one->op == TFR_OP_COUNT) {
        const char *names[TFR_OP_COUNT];
        for (int i = 0; i < TFR_OP_COUNT; i++) {
            names[i] = tfr_op_info((enum tfr_op)i)->name;
        }
        const char *nearest = tfr_nearest_name(op, names, TFR_OP_COUNT);
        return nearest != NULL ? tfr_raise(TFR_CONFIG, "there is no op \"%s\"; did you mean \"%s\"?", op, nearest)
                               : tfr_raise(TFR_CONFIG, "there is no op \"%s\"; docs/bench.md lists them", op);
    }
    return TFR_OK;
}

static enum tfr_status take_words(struct tfr_kernel_case *one, char *rest) {
    uint64_t given = 0;
    size_t used;
    snprintf(one->text, sizeof one->text, "%s", tfr_op_info((enum tfr_op)one->op)->name);
    for (char *word; (word = next_word(&rest)) != NULL;) {
        used = strlen(one->text);
        snprintf(one->text + used, sizeof one->text - used, " %s", word);
        char *equals = strchr(word, '=');
        if (equals == NULL) {
            return tfr_raise(TFR_CONFIG, "\"%s\" is no key=value; write one, as in rows=64", word);
        }
        *equals = '\0';
        TFR_TRY(tfr_kernel_case_set(one, word, equals + 1, &given));
    }
    return complete(one, given);
}

/* A line without its comment; *is_case false where nothing else stands there. */
static enum tfr_status take_line(struct tfr_kernel_case *one, const char *line, size_t size, bool *is_case) {
    char text[TFR_CASE_LINE];
    *is_case = false;
    for (size_t i = 0; i < size; i++) {
        if (line[i] != '\t' && (line[i] < ' ' || line[i] > '~')) {
            return tfr_raise(TFR_CONFIG, "character %zu is none of plain ASCII, which cases are written in; take it out", i + 1);
        }
    }
    if (size >= sizeof text) {
        return tfr_raise(TFR_CONFIG, "this line has %zu characters, at most %zu are possible", size, sizeof text - 1);
    }
    memcpy(text, line, size);
    text[size] = '\0';
    char *rest = text;
    const char *name = next_word(&rest);
    if (name == NULL) {
        return TFR_OK;
    }
    *is_case = true;
    TFR_TRY(take_name(one, name));
    TFR_TRY(take_op(one, next_word(&rest)));
    return take_words(one, rest);
}

static const struct tfr_kernel_case *find(const struct tfr_kernel_cases *cases, const char *name) {
    for (size_t i = 0; i < cases->n; i++) {
        if (strcmp(cases->items[i].name, name) == 0) {
            return &cases->items[i];
        }
    }
    return NULL;
}

static enum tfr_status add(struct tfr_kernel_cases *cases, const struct tfr_kernel_case *one) {
    const struct tfr_kernel_case *first = find(cases, one->name);
    if (first != NULL) {
        return tfr_raise(TFR_CONFIG, "case %s stands in line %d already; give this one another name", one->name, first->line);
    }
    if (cases->n == TFR_CASES_MOST) {
        return tfr_raise(TFR_CONFIG, "a file has at most %d cases; take a second file", TFR_CASES_MOST);
    }
    if ((cases->n & (cases->n - 1)) == 0) { /* full at powers of two */
        struct tfr_kernel_case *items = tfr_realloc(cases->items, cases->n > 0 ? 2 * cases->n : 1, sizeof *items);
        if (items == NULL) {
            return TFR_RESOURCE;
        }
        cases->items = items;
    }
    cases->items[cases->n++] = *one;
    return TFR_OK;
}

static enum tfr_status add_line(struct tfr_kernel_cases *cases, const char *path, int number, const char *line, size_t size) {
    struct tfr_kernel_case one = {.line = number, .bias = 1, .causal = 1, .spread = 1, .from = USUAL_FROM, .blocks = 1};
    const char *comment = memchr(line, '#', size);
    bool is_case;
    size = comment != NULL ? (size_t)(comment - line) : size;
    size -= size > 0 && line[size - 1] == '\r';
    enum tfr_status status = take_line(&one, line, size, &is_case);
    status = status == TFR_OK && is_case ? add(cases, &one) : status;
    return status == TFR_CONFIG ? tfr_raise_prefix(status, "%s:%d", path, number) : status;
}

enum tfr_status tfr_kernel_cases_parse(struct tfr_kernel_cases *cases, const char *path, const char *text, size_t size) {
    enum tfr_status status = TFR_OK;
    *cases = (struct tfr_kernel_cases){0};
    int number = 1;
    for (size_t at = 0; at < size && status == TFR_OK; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t length = end != NULL ? (size_t)(end - (text + at)) : size - at;
        status = add_line(cases, path, number, text + at, length);
        at += length + 1;
    }
    if (status == TFR_OK && cases->n == 0) {
        status = tfr_raise(TFR_CONFIG, "%s: there is no case in it; write one in a line, as in \"small layer_norm rows=64 n=768\"",
                           path);
    }
    if (status != TFR_OK) {
        tfr_kernel_cases_free(cases);
    }
    return status;
}

enum tfr_status tfr_kernel_cases_read(struct tfr_kernel_cases *cases, const char *path) {
    char *text;
    size_t size;
    *cases = (struct tfr_kernel_cases){0};
    TFR_TRY(tfr_textfile_read(path, MOST_FILE_BYTES, TFR_CONFIG, &text, &size));
    const enum tfr_status status = tfr_kernel_cases_parse(cases, path, text, size);
    tfr_free(text);
    return status;
}

void tfr_kernel_cases_free(struct tfr_kernel_cases *cases) {
    tfr_free(cases->items);
    *cases = (struct tfr_kernel_cases){0};
}

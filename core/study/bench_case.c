/* bench_case.c - see bench_case.h. */
#include "study/bench_case.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static const char *const names[] = {
    [TFR_BENCH_DECODE] = "decode", [TFR_BENCH_PREFILL] = "prefill", [TFR_BENCH_SEQUENCES] = "sequences",
    [TFR_BENCH_STEPS] = "steps",   [TFR_BENCH_MIXED] = "mixed",     [TFR_BENCH_CLASS] = "class"};

const char *tfr_bench_kind_name(enum tfr_bench_kind kind) {
    return names[kind];
}

/* Where it belongs; false where it is there already. */
static bool add(struct tfr_bench_cases *cases, enum tfr_bench_kind kind, int64_t n) {
    size_t at = 0;
    while (at < cases->n && (cases->cases[at].kind < kind || (cases->cases[at].kind == kind && cases->cases[at].n < n))) {
        at++;
    }
    if (at < cases->n && cases->cases[at].kind == kind && cases->cases[at].n == n) {
        return false;
    }
    memmove(&cases->cases[at + 1], &cases->cases[at], (cases->n - at) * sizeof *cases->cases);
    cases->cases[at] = (struct tfr_bench_case){.kind = kind, .n = n};
    cases->n++;
    return true;
}

/* One "kind:n" of `length` characters. */
static enum tfr_status parse_one(struct tfr_bench_cases *cases, const char *word, size_t length) {
    for (int kind = 0; kind < TFR_BENCH_KINDS; kind++) {
        const size_t name = strlen(names[kind]);
        if (length <= name + 1 || strncmp(word, names[kind], name) != 0 || word[name] != ':') {
            continue;
        }
        char *end;
        errno = 0;
        const long long n = strtoll(word + name + 1, &end, 10);
        const bool is_digit = word[name + 1] >= '0' && word[name + 1] <= '9';
        if (!is_digit || errno != 0 || end != word + length || n < (kind == TFR_BENCH_DECODE ? 0 : 1)) {
            break;
        }
        if (!add(cases, (enum tfr_bench_kind)kind, n)) {
            return tfr_raise(TFR_USAGE, "--cases: %.*s is there twice", (int)length, word);
        }
        return TFR_OK;
    }
    return tfr_raise(TFR_USAGE,
                     "--cases: \"%.*s\" is none of decode:POSITIONS, prefill:TOKENS, sequences:N, steps:N, mixed:ROWS, class:ROWS "
                     "with a whole number, as in "
                     "decode:128,prefill:512,sequences:8",
                     (int)length, word);
}

enum tfr_status tfr_bench_cases_parse(struct tfr_bench_cases *cases, const char *text) {
    *cases = (struct tfr_bench_cases){0};
    for (const char *at = text;; at++) {
        const size_t length = strcspn(at, ",");
        if (cases->n == TFR_MOST_BENCH_CASES) {
            return tfr_raise(TFR_USAGE, "--cases: more than %d cases", TFR_MOST_BENCH_CASES);
        }
        TFR_TRY(parse_one(cases, at, length));
        at += length;
        if (*at == '\0') {
            return TFR_OK;
        }
    }
}

/* How much of a kind there can be. Sequences need a prompt and two tokens, a step a context and a token, a prompt in company
 * others. */
static int64_t most_of(enum tfr_bench_kind kind, int64_t n_positions, int64_t max_batch) {
    switch (kind) {
    case TFR_BENCH_SEQUENCES:
        return n_positions >= 4 ? max_batch : 0;
    case TFR_BENCH_STEPS:
        return n_positions >= 2 ? max_batch : 0;
    case TFR_BENCH_MIXED:
        return max_batch > 1 ? n_positions : 0;
    case TFR_BENCH_PREFILL:
    case TFR_BENCH_CLASS:
        return n_positions;
    default:
        return n_positions - 1;
    }
}

void tfr_bench_cases_usual(struct tfr_bench_cases *cases, int64_t n_positions, int64_t max_batch, bool for_gate) {
    static const struct tfr_bench_case gated[] = {
        {TFR_BENCH_DECODE, 16},    {TFR_BENCH_DECODE, 128}, {TFR_BENCH_DECODE, 900}, {TFR_BENCH_PREFILL, 512},
        {TFR_BENCH_PREFILL, 1024}, {TFR_BENCH_STEPS, 2},    {TFR_BENCH_STEPS, 4},    {TFR_BENCH_STEPS, 8},
        {TFR_BENCH_STEPS, 16},     {TFR_BENCH_STEPS, 32},
    };
    static const struct tfr_bench_case usual[] = {
        {TFR_BENCH_DECODE, 16},   {TFR_BENCH_DECODE, 128},   {TFR_BENCH_DECODE, 900},  {TFR_BENCH_PREFILL, 128},
        {TFR_BENCH_PREFILL, 512}, {TFR_BENCH_PREFILL, 1024}, {TFR_BENCH_SEQUENCES, 1}, {TFR_BENCH_SEQUENCES, 2},
        {TFR_BENCH_SEQUENCES, 4}, {TFR_BENCH_SEQUENCES, 8},
    };
    const struct tfr_bench_case *list = for_gate ? gated : usual;
    const size_t n = for_gate ? TFR_COUNT_OF(gated) : TFR_COUNT_OF(usual);
    *cases = (struct tfr_bench_cases){0};
    for (size_t i = 0; i < n; i++) {
        const int64_t most = most_of(list[i].kind, n_positions, max_batch);
        if (list[i].n <= most) {
            add(cases, list[i].kind, list[i].n);
        } else if (list[i].kind == TFR_BENCH_PREFILL) {
            add(cases, list[i].kind, most);
        }
    }
}

void tfr_bench_cases_add_classes(struct tfr_bench_cases *cases, int64_t n_positions) {
    static const int64_t rows[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
    for (size_t i = 0; i < TFR_COUNT_OF(rows) && rows[i] <= n_positions && cases->n < TFR_MOST_BENCH_CASES; i++) {
        add(cases, TFR_BENCH_CLASS, rows[i]);
    }
}

/* Which of the two limits it is that allows no more. */
static bool is_of_batch(enum tfr_bench_kind kind, int64_t n_positions, int64_t max_batch) {
    const bool is_of_sequences = kind == TFR_BENCH_SEQUENCES || kind == TFR_BENCH_STEPS;
    return is_of_sequences ? most_of(kind, n_positions, max_batch) > 0 : kind == TFR_BENCH_MIXED && max_batch < 2;
}

enum tfr_status tfr_bench_cases_check(const struct tfr_bench_cases *cases, int64_t n_positions, int64_t max_batch) {
    for (size_t i = 0; i < cases->n; i++) {
        const struct tfr_bench_case *one = &cases->cases[i];
        const int64_t most = most_of(one->kind, n_positions, max_batch);
        if (one->n > most) {
            return tfr_raise(TFR_USAGE, "--cases: %s:%lld; %s allows %lld at most", names[one->kind], (long long)one->n,
                             is_of_batch(one->kind, n_positions, max_batch) ? "tfrun.runtime.max_batch"
                                                                            : "the model's longest sequence",
                             (long long)most);
        }
    }
    return TFR_OK;
}

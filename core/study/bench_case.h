/* bench_case.h - what a bench measures: the list of --cases, or the usual one cut to what the model holds. Thread rule: no state.
 */
#ifndef TFR_STUDY_BENCH_CASE_H
#define TFR_STUDY_BENCH_CASE_H

#include <tfrun/types.h>

enum tfr_bench_kind {
    TFR_BENCH_DECODE,
    TFR_BENCH_PREFILL,
    TFR_BENCH_SEQUENCES,
    TFR_BENCH_STEPS,
    TFR_BENCH_MIXED,
    TFR_BENCH_CLASS,
    TFR_BENCH_KINDS
};
enum { TFR_MOST_BENCH_CASES = 64 };

struct tfr_bench_case {
    enum tfr_bench_kind kind;
    int64_t n; /* cached positions, tokens of the prompt, sequences side by side, sequences in a step, rows of a prompt in a step,
                  rows of a class */
};
/* In this order: by kind, then by rising n. */
struct tfr_bench_cases {
    struct tfr_bench_case cases[TFR_MOST_BENCH_CASES];
    size_t n;
};

const char *tfr_bench_kind_name(enum tfr_bench_kind kind);
/* "decode:16,decode:128,prefill:512,sequences:8": TFR_USAGE for what is not such a list. */
enum tfr_status tfr_bench_cases_parse(struct tfr_bench_cases *cases, const char *text);
/* decode 16, 128, 900; prefill 128, 512, 1024; sequences 1, 2, 4, 8: those that fit, and the longest prompt in place of one that
 * does not. For a gate: those that have a limit. */
void tfr_bench_cases_usual(struct tfr_bench_cases *cases, int64_t n_positions, int64_t max_batch, bool for_gate);
/* Beside those of a gate the classes of steps, where an engine was warmed up (runtime.warmup). */
void tfr_bench_cases_add_classes(struct tfr_bench_cases *cases, int64_t n_positions);
/* TFR_USAGE for a case that the model or runtime.max_batch has no room for. */
enum tfr_status tfr_bench_cases_check(const struct tfr_bench_cases *cases, int64_t n_positions, int64_t max_batch);

#endif

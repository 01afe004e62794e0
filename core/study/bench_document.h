/* bench_document.h - struct tfr_bench, what one bench measured: written as JSON, read from it, and shown as tables.
 * Thread rule: read-only once it is complete. */
#ifndef TFR_STUDY_BENCH_DOCUMENT_H
#define TFR_STUDY_BENCH_DOCUMENT_H

#include <tfrun/study.h>

#include "study/bench_case.h"
#include "study/manifest.h"
#include "study/order_stats.h"
#include "study/rank_watch.h"

#define TFR_BENCH_SCHEMA "tfrun-bench-1"

/* Sequences side by side: tokens of each prompt and answer, where a sequence has the positions. */
enum { TFR_BENCH_COMPANY_PROMPT = 16, TFR_BENCH_COMPANY_TOKENS = 33 };
/* Steps of several sequences: cached positions of each; decodes beside the rows of a prompt, at most. */
enum { TFR_BENCH_STEP_CONTEXT = 128, TFR_BENCH_MIXED_DECODES = 8 };
/* From so much on a time is doubtful, as a calibration is. */
enum { TFR_BENCH_DISTURBED_PERCENT = 5 };

/* What a rank did in one such time. Measured in a round of its own, behind the others: the shares of the time that it had there, of
 * the median. */
struct tfr_bench_rank {
    double busy_s, wait_s, control_s; /* as in struct tfr_rank_facts */
    double bytes, messages;           /* sent */
};

/* Times are seconds: of a step that adds one token (decode), of a whole prompt (prefill), of one token of every sequence
 * (sequences), of a step of several sequences (steps), beside which rows of a prompt may be (mixed), of the rows of a prompt with
 * as many logits as sequences may ask for (class). `tokens` come in such a time. */
struct tfr_bench_figure {
    struct tfr_bench_case what;
    double *times; /* [n_times] one of each round */
    size_t n_times;
    struct tfr_spread spread;
    double tokens, first_s;       /* first_s: the first time it was done, when plans were made and weights packed */
    struct tfr_bench_rank *ranks; /* [n_ranks]; NULL where it is not known */
    double roof_s, predicted_s;   /* bench_roof.h; 0: not asked for, not known */
    /* Of the time of its rounds, the share in which threads of rank 0 could have run and others had their cores; below 0: not
     * known. */
    double waited_percent;
    double rounds_s, waited_s; /* that it comes from; of a bench that was run */
    /* bench_gate.h: of a prompt's time, what linears reach of the peak of their multipliers, and the share of attention; 0 */
    double linear_share, attention_share;
};

struct tfr_bench {
    struct tfr_bench_figure *figures;
    size_t n_figures;
    int64_t repetitions;
    int n_ranks, n_threads;        /* threads of rank 0 */
    int n_more_runs;               /* that were folded into it (bench_fold.c) */
    double load_s, first_token_s;  /* opening the engine; from there to the first token of a prompt of eight */
    uint64_t logits_digest;        /* of that prompt and its eight tokens */
    int64_t *peak_memory_bytes;    /* [n_ranks] */
    double memory_rate, flop_rate; /* bytes and FLOPs a second of rank 0's threads, medians of the rounds; 0: not asked for */
    char model[160], machine[160];
    int64_t dtype; /* runtime.dtype; of a bench that was run */
    bool is_gated; /* made to be held against limits (bench_gate.h) */
    bool is_warm;  /* runtime.warmup: what was done first is held too; of a bench that was run */
    struct tfr_manifest manifest;
};

/* bench_compare.c: the same case of another bench; NULL where it has none. */
const struct tfr_bench_figure *tfr_bench_find(const struct tfr_bench *bench, const struct tfr_bench_case *what);
/* Refuses (TFR_USAGE) a bench of another model, and one that has none of the cases. */
enum tfr_status tfr_bench_check_before(const struct tfr_bench *bench, const struct tfr_bench *before);
/* What was recorded and is another now: type, machine, ranks, threads, program, options; how many. Texts live during the call;
 * `to_tell` may be NULL. */
typedef void tfr_tell_difference(void *user, const char *what, const char *before, const char *now);
int tfr_bench_differences(const struct tfr_bench *bench, const struct tfr_bench *before, tfr_tell_difference *to_tell, void *user);
/* Whether others had the cores of rank 0 for so much of the time that the figure says little. Not where the bench itself had more
 * threads than cores: they waited for one another. */
bool tfr_bench_is_disturbed(const struct tfr_bench *bench, const struct tfr_bench_figure *figure);
/* Where the median lies, seen from the interval of an earlier one: "inside", "faster", "slower"; "doubtful": either was disturbed.
 */
const char *tfr_bench_verdict(const struct tfr_bench *bench, const struct tfr_bench_figure *now, const struct tfr_bench *before,
                              const struct tfr_bench_figure *then);

/* bench_json.c */
enum tfr_status tfr_bench_json(const struct tfr_bench *bench, const struct tfr_bench *before, char **text);
/* bench_requests.c: n requests of their own prompts side by side, greedy, and what they took. `watch` (may be NULL) sees what is
 * timed. */
struct tfr_company {
    double seconds;         /* a token of every sequence, while all of them ran */
    double first_token_s;   /* of the first request, from submission */
    uint64_t logits_digest; /* of the first request */
};
enum tfr_status tfr_bench_company(struct tfr_engine *engine, int64_t n, int64_t prompt_tokens, int64_t new_tokens,
                                  struct tfr_rank_watch *watch, struct tfr_company *company);
/* Of sequences that may have so many positions: tokens of the prompt, of the answer, and the context in the middle of that. */
struct tfr_company_size {
    int64_t prompt, tokens, middle;
};
struct tfr_company_size tfr_bench_company_size(int64_t n_positions);

#endif

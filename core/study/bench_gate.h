/* bench_gate.h - the figures of a bench beside the limits of bench_gate.def. Thread rule: tfr_bench_parts_measure is the engine's
 * thread; the rest has no state. */
#ifndef TFR_STUDY_BENCH_GATE_H
#define TFR_STUDY_BENCH_GATE_H

#include "study/bench_document.h"

enum tfr_bench_limit_figure {
    TFR_LIMIT_ROOF_TIMES,
    TFR_LIMIT_LINEAR_SHARE,
    TFR_LIMIT_ATTENTION_SHARE,
    TFR_LIMIT_FIRST_TIMES,
    TFR_LIMIT_FIGURES
};

struct tfr_bench_held {
    struct tfr_bench_case what;
    enum tfr_bench_limit_figure figure;
    double value, limit;
    double waited_percent;    /* of the time of the case, where other programs had the cores */
    bool is_met, is_doubtful; /* doubtful: not met for the machine's sake, whatever the value */
    bool is_disturbed;        /* doubtful as others had the cores; else as a roof was beaten */
};
enum { TFR_MOST_HELD = 2 * TFR_MOST_BENCH_CASES };

/* Outside of its limit, without a doubt. */
bool tfr_bench_is_missed(const struct tfr_bench_held *held);
/* The first that is missed behind `last` (NULL: of all n) and of another case than it; NULL: there is none. */
const struct tfr_bench_held *tfr_bench_next_missed(const struct tfr_bench_held *held, size_t n, const struct tfr_bench_held *last);

/* "time over roof"; whether the limit is the least that is allowed. */
const char *tfr_bench_limit_name(enum tfr_bench_limit_figure figure);
bool tfr_bench_limit_is_least(enum tfr_bench_limit_figure figure);
/* Whether a figure of the case is held. */
bool tfr_bench_has_limit(const struct tfr_bench *bench, const struct tfr_bench_case *what);
/* Before the rounds, of steps of at most so many rows: TFR_USAGE where nothing would be held, or something could not be. */
enum tfr_status tfr_bench_gate_check(const struct tfr_bench *bench, int64_t max_rows);
/* All figures that have a limit, in the order of the cases; how many. 0 where the bench was not made for a gate. */
size_t tfr_bench_hold(const struct tfr_bench *bench, struct tfr_bench_held held[TFR_MOST_HELD]);

/* Behind the rounds, one process: where the time of each prompt goes, seen under the executor's time stamps. Needs the roofs. */
enum tfr_status tfr_bench_parts_measure(struct tfr_bench *bench, struct tfr_engine *engine);

#endif

/* bench_gate.c - see bench_gate.h. */
#include "study/bench_gate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "config/choices.h"
#include "job/samples.h"
#include "profile/profile_run.h"

static const struct limit {
    enum tfr_bench_kind kind;
    int64_t least;
    enum tfr_bench_limit_figure figure;
    double of_dtype[TFR_PACK_INT4 + 1]; /* by runtime.dtype */
} limits[] = {
#define TFR_BENCH_LIMIT(kind, least, figure, ...) {TFR_BENCH_##kind, least, TFR_LIMIT_##figure, {__VA_ARGS__}},
#include "study/bench_gate.def"
};

const char *tfr_bench_limit_name(enum tfr_bench_limit_figure figure) {
    static const char *const names[] = {[TFR_LIMIT_ROOF_TIMES] = "time over roof",
                                        [TFR_LIMIT_LINEAR_SHARE] = "linears over peak",
                                        [TFR_LIMIT_ATTENTION_SHARE] = "attention over all",
                                        [TFR_LIMIT_FIRST_TIMES] = "first over later"};
    return names[figure];
}

bool tfr_bench_limit_is_least(enum tfr_bench_limit_figure figure) {
    return figure == TFR_LIMIT_LINEAR_SHARE;
}

static double value_of(const struct tfr_bench_figure *figure, enum tfr_bench_limit_figure which) {
    return which == TFR_LIMIT_LINEAR_SHARE      ? figure->linear_share
           : which == TFR_LIMIT_ATTENTION_SHARE ? figure->attention_share
           : which == TFR_LIMIT_FIRST_TIMES     ? figure->first_s / figure->spread.median
           : figure->roof_s > 0                 ? figure->spread.median / figure->roof_s
                                                : 0;
}

static bool is_limited(const struct tfr_bench *bench, const struct limit *limit, const struct tfr_bench_case *what) {
    const bool is_possible = limit->figure != TFR_LIMIT_FIRST_TIMES || bench->is_warm;
    return is_possible && what->kind == limit->kind && what->n >= limit->least;
}

bool tfr_bench_has_limit(const struct tfr_bench *bench, const struct tfr_bench_case *what) {
    size_t l = 0;
    while (l < TFR_COUNT_OF(limits) && !is_limited(bench, &limits[l], what)) {
        l++;
    }
    return l < TFR_COUNT_OF(limits);
}

/* Where the time of a prompt goes is seen behind the rounds, and what can't be seen then is refused before them. */
static enum tfr_status check_steps(const struct tfr_bench *bench, int64_t max_rows) {
    for (size_t i = 0; i < bench->n_figures; i++) {
        const struct tfr_bench_case *what = &bench->figures[i].what;
        if (what->kind == TFR_BENCH_PREFILL && what->n > max_rows * TFR_MAX_SAMPLED_STEPS) {
            return tfr_raise(TFR_USAGE,
                             "--gate: prefill:%" PRId64 " takes more than the %d steps whose tasks can be timed, of %" PRId64
                             " rows each; give a higher --max-rows, or --cases without it",
                             what->n, TFR_MAX_SAMPLED_STEPS, max_rows);
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_bench_gate_check(const struct tfr_bench *bench, int64_t max_rows) {
    TFR_TRY(check_steps(bench, max_rows));
    for (size_t i = 0; i < bench->n_figures; i++) {
        if (tfr_bench_has_limit(bench, &bench->figures[i].what)) {
            return TFR_OK;
        }
    }
    return tfr_raise(TFR_USAGE, "--gate: none of the cases has a limit; decode:N has, steps:N from 2, prefill:N from 512 on, and "
                                "class:N where --warmup is given");
}

/* Nobody beats a roof: who seems to, met a machine that did other things while it was measured. A little of it is chance. */
static bool is_beyond_roof(enum tfr_bench_limit_figure figure, double value) {
    static const double least_times = 0.8, most_share = 1.25;
    return figure == TFR_LIMIT_ROOF_TIMES ? value < least_times : figure == TFR_LIMIT_LINEAR_SHARE && value > most_share;
}

/* Where others had the cores nothing is shown: they may have slowed what was measured, or the roof that it is held against. */
static struct tfr_bench_held hold(const struct tfr_bench *bench, const struct limit *limit, const struct tfr_bench_figure *figure) {
    const double value = value_of(figure, limit->figure), bound = limit->of_dtype[bench->dtype];
    const bool is_beaten = is_beyond_roof(limit->figure, value);
    const bool is_within = tfr_bench_limit_is_least(limit->figure) ? value >= bound : value <= bound;
    const bool is_disturbed = tfr_bench_is_disturbed(bench, figure), is_met = value > 0 && is_within && !is_beaten && !is_disturbed;
    return (struct tfr_bench_held){.what = figure->what,
                                   .figure = limit->figure,
                                   .value = value,
                                   .limit = bound,
                                   .waited_percent = figure->waited_percent,
                                   .is_met = is_met,
                                   .is_doubtful = is_beaten || is_disturbed,
                                   .is_disturbed = is_disturbed};
}

size_t tfr_bench_hold(const struct tfr_bench *bench, struct tfr_bench_held held[TFR_MOST_HELD]) {
    size_t n = 0;
    for (size_t i = 0; bench->is_gated && i < bench->n_figures; i++) {
        const struct tfr_bench_figure *figure = &bench->figures[i];
        for (size_t l = 0; l < TFR_COUNT_OF(limits) && n < TFR_MOST_HELD; l++) {
            if (is_limited(bench, &limits[l], &figure->what)) {
                held[n++] = hold(bench, &limits[l], figure);
            }
        }
    }
    return n;
}

size_t tfr_bench_missed(const struct tfr_bench *bench) {
    struct tfr_bench_held held[TFR_MOST_HELD];
    const size_t n = tfr_bench_hold(bench, held);
    size_t n_missed = 0;
    for (size_t i = 0; i < n; i++) {
        n_missed += !held[i].is_met;
    }
    return n_missed;
}

static void add(char *words, size_t size, const char *front, const char *text) {
    const size_t length = strlen(words);
    snprintf(words + length, size - length, "%s%s", length > 0 ? front : "", text);
}

static bool is_same_case(const struct tfr_bench_held *x, const struct tfr_bench_held *y) {
    return x->what.kind == y->what.kind && x->what.n == y->what.n;
}

bool tfr_bench_is_missed(const struct tfr_bench_held *held) {
    return !held->is_met && !held->is_doubtful;
}

const struct tfr_bench_held *tfr_bench_next_missed(const struct tfr_bench_held *held, size_t n, const struct tfr_bench_held *last) {
    for (const struct tfr_bench_held *next = last != NULL ? last + 1 : held; next < held + n; next++) {
        if (tfr_bench_is_missed(next) && (last == NULL || !is_same_case(last, next))) {
            return next;
        }
    }
    return NULL;
}

/* "MISSED decode:16, prefill:512": each case once. */
static void add_missed(char *words, size_t size, const struct tfr_bench_held *held, size_t n) {
    const struct tfr_bench_held *last = NULL;
    for (const struct tfr_bench_held *next; (next = tfr_bench_next_missed(held, n, last)) != NULL; last = next) {
        char one[96];
        snprintf(one, sizeof one, "%s%s:%" PRId64, last == NULL ? "MISSED " : "", tfr_bench_kind_name(next->what.kind),
                 next->what.n);
        add(words, size, ", ", one);
    }
}

/* "DOUBTFUL, as ...: decode:16 41.8 % of the time, prefill:512 ...": each case once. */
static void add_doubtful(char *words, size_t size, const struct tfr_bench_held *held, size_t n, bool is_disturbed) {
    const struct tfr_bench_held *last = NULL;
    for (size_t i = 0; i < n; i++) {
        char one[96];
        if (!held[i].is_doubtful || held[i].is_disturbed != is_disturbed || (last != NULL && is_same_case(last, &held[i]))) {
            continue;
        }
        if (last == NULL) {
            add(words, size, "; ",
                is_disturbed ? "DOUBTFUL, as other programs had the cores: " : "DOUBTFUL, as a roof was beaten: ");
        }
        snprintf(one, sizeof one, is_disturbed ? "%s:%" PRId64 " %.1f %% of the time" : "%s:%" PRId64,
                 tfr_bench_kind_name(held[i].what.kind), held[i].what.n, held[i].waited_percent);
        add(words, size, last != NULL ? ", " : "", one);
        last = &held[i];
    }
}

void tfr_bench_missed_why(const struct tfr_bench *bench, char *words, size_t size) {
    struct tfr_bench_held held[TFR_MOST_HELD];
    const size_t n = tfr_bench_hold(bench, held);
    size_t n_doubtful = 0;
    for (size_t i = 0; i < n; i++) {
        n_doubtful += held[i].is_doubtful;
    }
    words[0] = '\0';
    add_missed(words, size, held, n);
    add_doubtful(words, size, held, n, true);
    add_doubtful(words, size, held, n, false);
    if (n_doubtful > 0) {
        add(words, size, "; ", "run it again with the cores free");
    }
}

/* Of all steps of the prompt. Where nothing is between tasks, their times add up to the prompt's. */
static void take_parts(const struct tfr_profile *profile, double flop_rate, struct tfr_bench_figure *figure) {
    double linear_ns = 0, attention_ns = 0, flops = 0;
    for (size_t i = 0; i < profile->n_nodes; i++) {
        const struct tfr_profile_node *node = &profile->nodes[i];
        const bool is_linear = node->facts.op == TFR_OP_LINEAR;
        linear_ns += is_linear ? node->ns : 0;
        flops += is_linear ? node->facts.flops : 0;
        attention_ns += node->facts.op == TFR_OP_ATTENTION ? node->ns : 0;
    }
    const struct tfr_profile_rank *rank = &profile->phase[TFR_PHASE_PREFILL].ranks[0];
    const double all_ns = rank->busy_ns + rank->between_ns;
    figure->linear_share = linear_ns > 0 && flop_rate > 0 ? flops / (linear_ns / 1e9) / flop_rate : 0;
    figure->attention_share = all_ns > 0 ? attention_ns / all_ns : 0;
}

enum tfr_status tfr_bench_parts_measure(struct tfr_bench *bench, struct tfr_engine *engine) {
    bench->is_gated = true;
    for (size_t i = 0; i < bench->n_figures; i++) {
        struct tfr_bench_figure *figure = &bench->figures[i];
        struct tfr_profile *profile;
        if (figure->what.kind != TFR_BENCH_PREFILL) {
            continue;
        }
        const struct tfr_profile_question question = {
            .prompt_tokens = figure->what.n, .context = -1, .batch = 1, .reps = bench->repetitions};
        TFR_TRY(tfr_profile_run(&profile, engine, &question));
        take_parts(profile, bench->flop_rate, figure);
        tfr_profile_free(profile);
    }
    return TFR_OK;
}

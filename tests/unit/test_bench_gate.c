/* test_bench_gate.c - figures that were made up against the limits of bench_gate.def: held, missed, and doubtful for either reason.
 */
#include "tfr_test.h"

#include <string.h>

#include <tfrun/study.h>

#include "base/status.h"
#include "config/choices.h"
#include "study/bench_gate.h"
#include "study/bench_steps.h"

enum { N_FIGURES = 3 };

static char not_crowded[] = "0", crowded[] = "1";

/* A decode at 1.05 times its roof, a step of eight at 1.5 times, and linears of a prompt at 0.9 of the peak: one is missed. */
static struct tfr_bench bench_of(struct tfr_bench_figure figures[N_FIGURES]) {
    const struct tfr_bench_figure made[N_FIGURES] = {
        {.what = {TFR_BENCH_DECODE, 128}, .spread.median = 1.05e-3, .roof_s = 1e-3, .waited_percent = 0.5},
        {.what = {TFR_BENCH_STEPS, 8}, .spread.median = 3e-3, .roof_s = 2e-3, .waited_percent = 0.5},
        {.what = {TFR_BENCH_PREFILL, 512}, .linear_share = 0.9, .attention_share = 0.1, .waited_percent = 0.5},
    };
    memcpy(figures, made, sizeof made);
    struct tfr_bench bench = {.figures = figures, .n_figures = N_FIGURES, .dtype = TFR_PACK_F32, .is_gated = true};
    bench.manifest.facts[TFR_FACT_CROWDED] = not_crowded;
    return bench;
}

static void assert_why(const struct tfr_bench *bench, const char *want) {
    char words[400];
    tfr_bench_missed_why(bench, words, sizeof words);
    assert_string_equal(words, want);
}

TFR_TEST(a_limit_is_held_or_missed) {
    TFR_UNUSED_STATE;
    struct tfr_bench_figure figures[N_FIGURES];
    const struct tfr_bench bench = bench_of(figures);
    struct tfr_bench_held held[TFR_MOST_HELD];
    assert_int_equal(tfr_bench_hold(&bench, held), 4); /* the prompt has two */
    const bool is_met[] = {true, false, true, true};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(held[i].is_met, is_met[i]);
        assert_false(held[i].is_doubtful);
    }
    assert_int_equal(tfr_bench_missed(&bench), 1);
    assert_why(&bench, "MISSED steps:8");
    figures[2].linear_share = 0.5;
    figures[2].attention_share = 0.5;
    assert_int_equal(tfr_bench_missed(&bench), 3);
    assert_why(&bench, "MISSED steps:8, prefill:512");
    figures[2].linear_share = 0.9;
    figures[2].attention_share = 0.1;
    figures[1].spread.median = 2.7e-3;
    assert_int_equal(tfr_bench_missed(&bench), 0);
    assert_why(&bench, "");
}

/* Its tasks are timed behind the rounds. */
TFR_TEST(a_prompt_of_more_steps_than_can_be_timed_is_refused_before_it_is_measured) {
    TFR_UNUSED_STATE;
    struct tfr_bench_figure figures[N_FIGURES];
    const struct tfr_bench bench = bench_of(figures);
    assert_ok(tfr_bench_gate_check(&bench, 8));
    assert_refused(tfr_bench_gate_check(&bench, 7), TFR_USAGE, "prefill:512 takes more than the 64 steps");
}

TFR_TEST(what_was_measured_while_others_had_the_cores_is_doubtful) {
    TFR_UNUSED_STATE;
    struct tfr_bench_figure figures[N_FIGURES];
    struct tfr_bench bench = bench_of(figures);
    struct tfr_bench_held held[TFR_MOST_HELD];
    figures[0].waited_percent = figures[1].waited_percent = 41.8;
    tfr_bench_hold(&bench, held);
    for (int i = 0; i < 2; i++) { /* on either side of the limit: the roof may have been disturbed too */
        assert_true(!held[i].is_met && held[i].is_doubtful && held[i].is_disturbed);
    }
    assert_int_equal(tfr_bench_missed(&bench), 2);
    assert_why(&bench,
               "DOUBTFUL, as other programs had the cores: decode:128 41.8 % of the time, steps:8 41.8 % of the time; run it "
               "again with the cores free");
    bench.manifest.facts[TFR_FACT_CROWDED] = crowded; /* its own threads waited for each other */
    assert_why(&bench, "MISSED steps:8");
}

TFR_TEST(a_roof_that_is_beaten_is_doubtful) {
    TFR_UNUSED_STATE;
    struct tfr_bench_figure figures[N_FIGURES];
    const struct tfr_bench bench = bench_of(figures);
    struct tfr_bench_held held[TFR_MOST_HELD];
    figures[0].spread.median = 0.79e-3;
    figures[2].linear_share = 1.26;
    tfr_bench_hold(&bench, held);
    assert_true(!held[0].is_met && held[0].is_doubtful && !held[0].is_disturbed);
    assert_true(!held[2].is_met && held[2].is_doubtful);
    assert_why(&bench, "MISSED steps:8; DOUBTFUL, as a roof was beaten: decode:128, prefill:512; "
                       "run it again with the cores free");
    figures[0].spread.median = 0.81e-3; /* a little of it is chance */
    figures[2].linear_share = 1.24;
    assert_why(&bench, "MISSED steps:8");
}

/* What is measured is what roofs and predictions are of, also where a sequence has few positions. */
TFR_TEST(contexts_keep_to_the_positions_that_there_are) {
    TFR_UNUSED_STATE;
    static const struct {
        int64_t n_positions, step, prompt, tokens, middle;
    } cases[] = {{1024, 128, 16, 33, 32}, {128, 127, 16, 33, 32}, {32, 31, 16, 16, 24}, {4, 3, 2, 2, 3}};
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        const struct tfr_company_size size = tfr_bench_company_size(cases[i].n_positions);
        assert_int_equal(tfr_bench_step_context(cases[i].n_positions), cases[i].step);
        assert_int_equal(size.prompt, cases[i].prompt);
        assert_int_equal(size.tokens, cases[i].tokens);
        assert_int_equal(size.middle, cases[i].middle);
    }
}

TFR_TEST_MAIN(TFR_CASE(a_limit_is_held_or_missed),
              TFR_CASE(a_prompt_of_more_steps_than_can_be_timed_is_refused_before_it_is_measured),
              TFR_CASE(what_was_measured_while_others_had_the_cores_is_doubtful), TFR_CASE(a_roof_that_is_beaten_is_doubtful),
              TFR_CASE(contexts_keep_to_the_positions_that_there_are))

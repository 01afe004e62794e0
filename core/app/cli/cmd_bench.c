/* cmd_bench.c - `tfrun bench CONFIG`: steps, prompts and sequences side by side, timed so that the figures can be compared. */
#include <string.h>

#include <tfrun/study.h>

#include "app/cli/measure.h"

static const struct tfr_flag flags[] = {
    {"cases", "LIST", "decode:POSITIONS, prefill:TOKENS, sequences:N, with commas [those that fit of 10 usual ones]", 0},
    {"repetitions", "N", "rounds, in each of which every case is timed once [11]", 0},
    {"format", "FORM", "table, md, json or csv [table]", 0},
    {"json", NULL, "the same as --format json", 0},
    {"quiet", NULL, "no progress, only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {"trust",    "model.",      "runtime.",     "parallel.",    "plugins",
                                    "observe.", "output.file", "output.force", "output.stats", NULL};

/* Below ten rounds an interval says little. */
enum { USUAL_ROUNDS = 11, LEAST_ROUNDS = 10, MOST_ROUNDS = 1000 };

/* As they came from the command line: random weights that are lent are no part of what was asked. */
static size_t n_overrides_asked;

static void on_say(void *user, int64_t done, int64_t total) {
    (void)user;
    fprintf(stderr, "bench  round %lld of %lld\n", (long long)done + 1, (long long)total);
}

static bool read_question(const struct tfr_args *args, struct tfr_bench_question *question) {
    *question = (struct tfr_bench_question){
        .config = args->operands[0],
        .overrides = args->overrides,
        .n_overrides = n_overrides_asked,
        .cases = tfr_args_flag(args, "cases"),
        .repetitions = USUAL_ROUNDS,
        .say = tfr_args_count(args, "verbose") > 0 ? on_say : NULL,
    };
    return tfr_cli_int(args, "repetitions", LEAST_ROUNDS, MOST_ROUNDS, &question->repetitions);
}

/* What can be refused without a model is: before weights are made and read. 0, or an exit code. */
static int check_flags(const struct tfr_args *args) {
    enum tfr_table_form form;
    struct tfr_bench_question question;
    if (!tfr_measure_read_form(args, &form) || !read_question(args, &question)) {
        return tfr_exit_code(TFR_USAGE);
    }
    const enum tfr_status status = question.cases != NULL ? tfr_bench_check(question.cases) : TFR_OK;
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

static int deliver(struct tfr_engine *engine, const struct tfr_bench *bench, enum tfr_table_form form) {
    char *text;
    const enum tfr_status status = tfr_report_bench(bench, form, &text);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    const int code = tfr_measure_deliver(engine, text, strlen(text));
    tfr_string_free(text);
    return code;
}

/* The engine is open: it keeps the weights that were lent. */
static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    struct tfr_bench_question question;
    enum tfr_table_form form;
    struct tfr_bench *bench;
    tfr_measure_return_weights();
    if (!tfr_measure_read_form(args, &form) || !read_question(args, &question)) {
        return tfr_exit_code(TFR_USAGE);
    }
    int code = tfr_measure_check_output(engine);
    if (code != 0) {
        return code;
    }
    tfr_cli_catch_signals();
    const enum tfr_status status = tfr_bench_run(&bench, engine, &question);
    if (status != TFR_OK) {
        return tfr_measure_fail(status);
    }
    code = deliver(engine, bench, form);
    tfr_bench_free(bench);
    return code;
}

static int run(struct tfr_args *args) {
    tfr_measure_apply_flags(args);
    n_overrides_asked = args->n_overrides;
    int code = check_flags(args);
    code = code == 0 ? tfr_measure_lend_weights(args) : code;
    if (code == 0) {
        code = tfr_measure_run(args, drive);
        tfr_measure_return_weights();
    }
    return code;
}

const struct tfr_command tfr_cmd_bench = {
    .name = "bench",
    .operands = "CONFIG",
    .help = "how fast it runs here: decoding, prompts, sequences side by side, with intervals",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

/* cmd_eval.c - `tfrun eval CONFIG --data FILE`: perplexity of a text, and whether it is what is expected. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/measure.h"
#include "app/cli/progress.h"

static const struct tfr_flag flags[] = {
    {"expect", "V", "end with exit code 6 unless the perplexity is V, give or take the tolerance", 0},
    {"tolerance", "T", "how far from V the perplexity may be [0.001]", 0},
    {"json", NULL, "the result as one JSON document", 0},
    {"quiet", NULL, "no progress, only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {
    "trust",    "eval.",       "!model.aliases", "model.",        "runtime.",     "parallel.", "plugins",
    "observe.", "output.file", "output.force",   "output.format", "output.stats", NULL,
};

struct expectation {
    bool given;
    double value, tolerance;
};

static bool read_real(const struct tfr_args *args, const char *flag, double *value) {
    const char *text = tfr_args_flag(args, flag);
    if (text == NULL) {
        return true;
    }
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (errno == 0 && end != text && *end == '\0' && isfinite(*value) && *value >= 0) {
        return true;
    }
    tfr_cli_usage("--%s: \"%s\" is not a number from 0 on", flag, text);
    return false;
}

static bool read_expectation(const struct tfr_args *args, struct expectation *expected) {
    *expected = (struct expectation){.given = tfr_args_flag(args, "expect") != NULL, .tolerance = 1e-3};
    if (!expected->given && tfr_args_flag(args, "tolerance") != NULL) {
        tfr_cli_usage("--tolerance says how far from --expect a perplexity may be; give --expect too");
        return false;
    }
    return read_real(args, "expect", &expected->value) && read_real(args, "tolerance", &expected->tolerance);
}

static void on_progress(void *user, const struct tfr_progress *progress) {
    tfr_progress_line_update(user, progress);
}

static int deliver(struct tfr_engine *engine, const struct tfr_evaluation *evaluation) {
    const bool json = tfr_engine_io(engine).json;
    char *text;
    enum tfr_status status = tfr_report_evaluation(engine, evaluation, json ? TFR_REPORT_JSON : TFR_REPORT_TEXT, &text);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    int code = tfr_measure_deliver(engine, text, strlen(text));
    tfr_string_free(text);
    return code;
}

/* What was asked for stands in the result first; a perplexity outside is told after it. */
static int judge(const struct expectation *expected, double perplexity) {
    if (!expected->given || fabs(perplexity - expected->value) <= expected->tolerance) {
        return 0;
    }
    tfr_cli_settle();
    fprintf(stderr, "tfrun: perplexity %.9g is not %.9g within %.3g (off by %.3g)\n", perplexity, expected->value,
            expected->tolerance, fabs(perplexity - expected->value));
    return tfr_exit_code(TFR_CHECK);
}

static int evaluate(struct tfr_engine *engine, const char *text, size_t size, const struct expectation *expected) {
    struct tfr_progress_line line;
    struct tfr_evaluation evaluation;
    tfr_progress_line_open(&line, !tfr_engine_io(engine).stats);
    tfr_cli_catch_signals();
    enum tfr_status status = tfr_evaluate(engine, text, size, false, on_progress, &line, &evaluation);
    tfr_progress_line_close(&line);
    int code = status == TFR_OK ? deliver(engine, &evaluation) : tfr_measure_fail(status);
    if (status == TFR_CANCELLED && evaluation.n_tokens > 0) {
        fprintf(stderr, "tfrun: perplexity %.4f +- %.4f of the first %zu tokens\n", evaluation.perplexity,
                evaluation.perplexity_error, evaluation.n_tokens);
    }
    if (status == TFR_OK && code == 0) {
        code = judge(expected, evaluation.perplexity);
    }
    tfr_evaluation_free(&evaluation);
    return code;
}

static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    const struct tfr_engine_io task = tfr_engine_io(engine);
    struct expectation expected;
    if (!read_expectation(args, &expected)) {
        return tfr_exit_code(TFR_USAGE);
    }
    if (task.eval_data == NULL) {
        return tfr_cli_usage("no text to measure; pass --data FILE (- is stdin) or set tfrun.eval.data");
    }
    int code = tfr_measure_check_output(engine);
    if (code != 0) {
        return code;
    }
    size_t size;
    char *text = tfr_cli_read(task.eval_data, &size);
    if (text == NULL) {
        return tfr_exit_code(TFR_RESOURCE);
    }
    code = evaluate(engine, text, size, &expected);
    free(text);
    return code;
}

static int run(struct tfr_args *args) {
    tfr_measure_apply_flags(args);
    return tfr_measure_run(args, drive);
}

const struct tfr_command tfr_cmd_eval = {
    .name = "eval",
    .operands = "CONFIG",
    .help = "perplexity of a text (--data, --ctx, --stride)",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

/* cmd_score.c - `tfrun score CONFIG`: log-probability of a text, of pairs of context and continuation, or of
 * choices. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/measure.h"
#include "app/cli/progress.h"
#include "app/cli/results.h"

static const struct tfr_flag flags[] = {
    {"pairs", "FILE", "JSON lines {\"context\", \"continuation\"}: log-probability of each continuation; - is stdin", 0},
    {"choices", "FILE", "JSON lines {\"context\", \"choices\", \"answer\"}: the likeliest choice, and a summary", 0},
    {"per-token", NULL, "each token with its log-probability and the model's first choice", 0},
    {"json", NULL, "the score of a text as JSON (pairs and choices always are)", 0},
    {"quiet", NULL, "no progress, only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {
    "trust",    "input.prompt",   "input.file",   "eval.ctx",      "eval.stride",  "eval.limit",
    "eval.bos", "!model.aliases", "model.",       "runtime.",      "parallel.",    "plugins",
    "observe.", "output.file",    "output.force", "output.format", "output.stats", NULL,
};

struct lines_out {
    bool to_stdout;       /* line by line */
    struct tfr_kept kept; /* all lines, when they go to a file */
    struct tfr_progress_line line;
};

static void on_progress(void *user, const struct tfr_progress *progress) {
    struct tfr_progress named = *progress;
    named.what = "score"; /* whatever measures the text */
    tfr_progress_line_update(&((struct lines_out *)user)->line, &named);
}

static bool on_line(void *user, const char *text, size_t size) {
    struct lines_out *out = user;
    if (out->to_stdout) {
        tfr_progress_line_close(&out->line);
        tfr_results_put(text, size);
        tfr_results_put("\n", 1);
        return tfr_results_flush() == 0;
    }
    tfr_kept_put(&out->kept, text, size);
    tfr_kept_put(&out->kept, "\n", 1);
    return !out->kept.failed;
}

/* What was scored, to where it belongs; a reader of stdout that left is no failure. */
static int end_lines(struct tfr_engine *engine, struct lines_out *out, enum tfr_status status) {
    if (out->kept.failed) {
        return tfr_cli_no_memory("the results");
    }
    if (out->to_stdout && status == TFR_CANCELLED && tfr_results_flush() != 0) {
        return tfr_cli_flush();
    }
    if (status != TFR_OK) {
        return tfr_measure_fail(status);
    }
    return tfr_measure_deliver(engine, out->kept.text != NULL ? out->kept.text : "", out->kept.size);
}

static int score_lines(struct tfr_engine *engine, enum tfr_score_lines form, const char *path) {
    const struct tfr_engine_io task = tfr_engine_io(engine);
    size_t size;
    char *text = tfr_cli_read(path, &size);
    if (text == NULL) {
        return tfr_exit_code(TFR_RESOURCE);
    }
    struct lines_out out = {.to_stdout = task.output_file == NULL};
    tfr_progress_line_open(&out.line, !task.stats);
    tfr_cli_catch_signals();
    const enum tfr_status status =
        tfr_score_jsonl(engine, form, strcmp(path, "-") == 0 ? "stdin" : path, text, size, on_line, on_progress, &out);
    tfr_progress_line_close(&out.line);
    const int code = end_lines(engine, &out, status);
    free(out.kept.text);
    free(text);
    return code;
}

/* As for tokenize, the text is what this command line gives, else stdin: a config's own prompt is there to be
 * continued. */
static char *read_text(const struct tfr_args *args, size_t *size) {
    const char *prompt = NULL, *file = "-";
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *override = &args->overrides[i];
        if (strcmp(override->key, "input.prompt") == 0) {
            prompt = override->value;
        } else if (strcmp(override->key, "input.file") == 0) {
            file = override->value;
        }
    }
    *size = prompt != NULL ? strlen(prompt) : 0;
    char *text = prompt != NULL ? strdup(prompt) : tfr_cli_read(file, size);
    if (text == NULL && prompt != NULL) {
        tfr_cli_no_memory("the prompt");
    }
    return text;
}

static int score_text(struct tfr_engine *engine, const struct tfr_args *args) {
    const struct tfr_engine_io task = tfr_engine_io(engine);
    const bool per_token = tfr_args_flag(args, "per-token") != NULL;
    struct lines_out out = {0};
    struct tfr_evaluation evaluation;
    size_t size;
    char *text = read_text(args, &size), *report;
    if (text == NULL) {
        return tfr_exit_code(TFR_RESOURCE);
    }
    tfr_progress_line_open(&out.line, !task.stats);
    tfr_cli_catch_signals();
    enum tfr_status status = tfr_evaluate(engine, text, size, per_token, on_progress, &out, &evaluation);
    tfr_progress_line_close(&out.line);
    if (status == TFR_OK) {
        status = tfr_report_score(engine, &evaluation, per_token, task.json ? TFR_REPORT_JSON : TFR_REPORT_TEXT, &report);
    }
    free(text);
    tfr_evaluation_free(&evaluation);
    if (status != TFR_OK) {
        return tfr_measure_fail(status);
    }
    int code = tfr_measure_deliver(engine, report, strlen(report));
    tfr_string_free(report);
    return code;
}

/* What is about one text would be passed over where lines are scored. */
static bool names_a_text(const struct tfr_args *args) {
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *override = &args->overrides[i];
        const bool is_of_text = strncmp(override->key, "input.", 6) == 0 ||
                                (strncmp(override->key, "eval.", 5) == 0 && strcmp(override->key, "eval.bos") != 0);
        if (is_of_text) {
            tfr_cli_usage("%s is about one text, not about the lines of --pairs or --choices; leave it out",
                          tfr_args_word(override));
            return true;
        }
    }
    return false;
}

static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    const char *pairs = tfr_args_flag(args, "pairs"), *choices = tfr_args_flag(args, "choices");
    if (pairs != NULL && choices != NULL) {
        return tfr_cli_usage("--pairs and --choices are two jobs; give one");
    }
    if ((pairs != NULL || choices != NULL) && tfr_args_flag(args, "per-token") != NULL) {
        return tfr_cli_usage("--per-token is for one text (-p, -f or stdin), not for lines");
    }
    if ((pairs != NULL || choices != NULL) && names_a_text(args)) {
        return tfr_exit_code(TFR_USAGE);
    }
    int code = tfr_measure_check_output(engine);
    if (code != 0) {
        return code;
    }
    if (pairs != NULL) {
        return score_lines(engine, TFR_SCORE_PAIRS, pairs);
    }
    return choices != NULL ? score_lines(engine, TFR_SCORE_CHOICES, choices) : score_text(engine, args);
}

static int run(struct tfr_args *args) {
    if (!tfr_cli_one_prompt(args)) {
        return tfr_exit_code(TFR_USAGE);
    }
    tfr_measure_apply_flags(args);
    return tfr_measure_run(args, drive);
}

const struct tfr_command tfr_cmd_score = {
    .name = "score",
    .operands = "CONFIG",
    .help = "log-probability of a text (-p, -f or stdin), of --pairs or of --choices",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

/* cmd_profile.c - `tfrun profile CONFIG`: where the time of a prefill and of a decode step goes, beside what was predicted. */
#include <string.h>

#include <tfrun/profile.h>

#include "app/cli/measure.h"

static const struct tfr_flag flags[] = {
    {"prompt-tokens", "N", "tokens of the prefill; 0 leaves it out [128]", 0},
    {"seq", "N", "the same as --prompt-tokens", 0},
    {"context", "N", "cached positions of the decode step [256, or as many as the model has]", 0},
    {"no-decode", NULL, "the prefill alone", 0},
    {"batch", "N", "sequences side by side [1]", 0},
    {"reps", "N", "repetitions; a decode step is run four times in each [9]", 0},
    {"calibration", "FILE", "predict from this calibration [that of this host, made by `tfrun calibrate`]", 0},
    {"format", "FORM", "table, md, json or csv [table]", 0},
    {"json", NULL, "the same as --format json", 0},
    {"svg", "FILE", "a roofline picture too (gnuplot draws it)", 0},
    {"counters", NULL, "hardware counters too: cycles, instructions, bytes from memory", 0},
    {"quiet", NULL, "only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {"trust",   "!model.aliases", "model.",      "runtime.",     "parallel.",
                                    "plugins", "observe.",       "output.file", "output.force", NULL};

static bool read_question(const struct tfr_args *args, int64_t n_positions, struct tfr_profile_question *question) {
    *question = (struct tfr_profile_question){
        .prompt_tokens = n_positions < 128 ? n_positions : 128,
        .context = n_positions <= 256 ? n_positions - 1 : 256,
        .batch = 1,
        .reps = 9,
        .counters = tfr_args_flag(args, "counters") != NULL,
        .calibration = tfr_args_flag(args, "calibration"),
    };
    if (tfr_args_flag(args, "seq") != NULL && tfr_args_flag(args, "prompt-tokens") != NULL) {
        tfr_cli_usage("--seq and --prompt-tokens are the same; give one");
        return false;
    }
    if (tfr_args_flag(args, "no-decode") != NULL && tfr_args_flag(args, "context") != NULL) {
        tfr_cli_usage("--no-decode leaves out the step that --context is for; give one");
        return false;
    }
    if (!tfr_cli_int(args, "prompt-tokens", 0, 1 << 20, &question->prompt_tokens) ||
        !tfr_cli_int(args, "seq", 0, 1 << 20, &question->prompt_tokens) ||
        !tfr_cli_int(args, "context", 0, 1 << 20, &question->context) || !tfr_cli_int(args, "batch", 1, 4096, &question->batch) ||
        !tfr_cli_int(args, "reps", 1, 1000, &question->reps)) {
        return false;
    }
    question->context = tfr_args_flag(args, "no-decode") != NULL ? -1 : question->context;
    return true;
}

/* What can be refused without a model is: before weights are made and read. 0, or an exit code. */
static int check_flags(const struct tfr_args *args) {
    enum tfr_table_form form;
    struct tfr_profile_question question;
    if (!tfr_measure_read_form(args, &form) || !read_question(args, 1, &question)) {
        return tfr_exit_code(TFR_USAGE);
    }
    if (form == TFR_TABLE_CSV && question.counters) {
        return tfr_cli_usage("--counters counts whole phases, and CSV has rows of nodes: give --format table, md or json");
    }
    const enum tfr_status status = tfr_args_flag(args, "svg") != NULL ? tfr_roofline_check() : TFR_OK;
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

static int write_picture(const struct tfr_engine *engine, const struct tfr_profile *profile, const char *path) {
    char *svg;
    enum tfr_status status = tfr_report_roofline(profile, &svg);
    if (status == TFR_OK) {
        status = tfr_result_write(path, svg, strlen(svg), tfr_engine_io(engine).force);
        tfr_string_free(svg);
    }
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

static int deliver(struct tfr_engine *engine, const struct tfr_profile *profile, const struct tfr_args *args,
                   enum tfr_table_form form) {
    const char *svg = tfr_args_flag(args, "svg");
    char *text;
    const enum tfr_status status = tfr_report_profile(profile, form, &text);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    int code = tfr_measure_deliver(engine, text, strlen(text));
    tfr_string_free(text);
    if (code == 0 && svg != NULL) {
        code = write_picture(engine, profile, svg);
    }
    return code;
}

/* The engine is open: it keeps the weights that were lent. */
static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    tfr_measure_return_weights();
    struct tfr_profile_question question;
    enum tfr_table_form form;
    const char *svg = tfr_args_flag(args, "svg");
    if (!tfr_measure_read_form(args, &form) || !read_question(args, tfr_engine_n_positions(engine), &question)) {
        return tfr_exit_code(TFR_USAGE);
    }
    int code = tfr_measure_check_output(engine);
    if (code == 0 && svg != NULL) { /* before the work */
        const enum tfr_status status = tfr_result_write(svg, NULL, 0, tfr_engine_io(engine).force);
        code = status == TFR_OK ? 0 : tfr_cli_fail(status);
    }
    if (code != 0) {
        return code;
    }
    struct tfr_profile *profile;
    tfr_cli_catch_signals();
    const enum tfr_status status = tfr_profile_run(&profile, engine, &question);
    if (status != TFR_OK) {
        return tfr_measure_fail(status);
    }
    code = deliver(engine, profile, args, form);
    tfr_profile_free(profile);
    return code;
}

static int run(struct tfr_args *args) {
    tfr_measure_apply_flags(args);
    int code = check_flags(args);
    code = code == 0 ? tfr_measure_lend_weights(args) : code;
    if (code == 0) {
        code = tfr_measure_run(args, drive);
        tfr_measure_return_weights();
    }
    return code;
}

const struct tfr_command tfr_cmd_profile = {
    .name = "profile",
    .operands = "CONFIG",
    .help = "where the time goes: each node measured beside predicted, and how near the roofs",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

/* cmd_bench.c - `tfrun bench [CONFIG]`: steps, prompts and sequences side by side, timed so that the figures can be compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tfrun/study.h>

#include "app/cli/bench_micro.h"
#include "app/cli/cmd_bench.h"
#include "app/cli/measure.h"

static const struct tfr_flag flags[] = {
    {"cases", "LIST",
     "decode:POSITIONS, prefill:TOKENS, sequences:N, steps:N, mixed:ROWS, class:ROWS, with commas [those that fit of 10 usual "
     "ones]",
     0},
    {"repetitions", "N", "rounds, in each of which every case is timed once; at least 10 [11]", 0},
    {"gate", NULL, "hold the figures against limits, the usual cases being those that have one; exit code 6 where one is missed",
     0},
    {"no-roofs", NULL, "do not measure what the machine reaches between the rounds: some seconds less", 0},
    {"compare", "FILES",
     "a document of an earlier bench: its medians beside the new ones; of several runs of the same, with commas", 0},
    {"rerun", "FILES",
     "measure again what this document says, and compare; without config. It loads no code that the command line doesn't name", 0},
    {"micro", "FILE", "one kernel at a time, over a file of cases (docs/bench.md); without config", 0},
    {"case", "NAME", "with --micro: this case of the file alone", 0},
    {"kernel", "PART", "with --micro: kernels that have this in their name; \"ref\" is left out otherwise", 0},
    {"save", "FILE", "the JSON document too, whatever the format", 0},
    {"format", "FORM", "table, md, json or csv [table]", 0},
    {"json", NULL, "the same as --format json", 0},
    {"quiet", NULL, "no progress, only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {"trust",   "!model.aliases", "model.",      "runtime.",     "parallel.",
                                    "plugins", "observe.",       "output.file", "output.force", NULL};

enum { MOST_RUNS = 64 };

/* What the run is about, for `drive`. Random weights that are lent are no part of the overrides that were asked for. */
static struct {
    struct tfr_bench_question question;
    struct tfr_bench *before; /* --compare or --rerun */
    enum tfr_table_form form;
} ask;

static void on_say(void *user, int64_t done, int64_t total) {
    (void)user;
    fprintf(stderr, "bench  round %lld of %lld\n", (long long)done + 1, (long long)total);
}

/* What --rerun takes from its document. False after tfr_cli_usage. */
static bool is_alone(const struct tfr_args *args) {
    static const char *const said_there[] = {"cases", "repetitions", "compare"};
    for (size_t i = 0; i < sizeof said_there / sizeof said_there[0]; i++) {
        if (tfr_args_flag(args, said_there[i]) != NULL) {
            tfr_cli_usage("--rerun repeats what its document says: leave --%s out", said_there[i]);
            return false;
        }
    }
    if (args->n_operands > 0) {
        tfr_cli_usage("--rerun repeats what its document says: leave %s out", args->operands[0]);
        return false;
    }
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *override = &args->overrides[i];
        if (strncmp(override->key, "output.", 7) != 0 && strcmp(override->key, "observe.log") != 0 &&
            !tfr_option_is_users(override->key)) {
            tfr_cli_usage("--rerun repeats what its document says: leave %s out", tfr_args_word(override));
            return false;
        }
    }
    return true;
}

static bool is_said(const struct tfr_args *args, const char *key, const char *value) {
    for (size_t i = 0; i < args->n_overrides; i++) {
        if (strcmp(args->overrides[i].key, key) == 0 && strcmp(args->overrides[i].value, value) == 0) {
            return true;
        }
    }
    return false;
}

static int take_overrides(struct tfr_args *args, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const char *key, *value;
        tfr_bench_override(ask.before, i, &key, &value);
        if (!tfr_option_is_users(key)) {
            tfr_args_add(args, key, value, "--rerun");
        } else if (!is_said(args, key, value)) {
            return tfr_cli_usage("%s asks for %s = %s, which loads code or writes files: add --set %s=%s to allow it",
                                 tfr_args_flag(args, "rerun"), key, value, key, value);
        }
    }
    return 0;
}

/* The document's config and overrides become those of the command line. 0, or an exit code. */
static int take_recorded(struct tfr_args *args) {
    const struct tfr_bench_recorded recorded = tfr_bench_recorded(ask.before);
    if (tfr_launched_size() != recorded.n_ranks) {
        const char *file = tfr_args_flag(args, "rerun");
        return tfr_cli_usage("%s was measured on %d rank%s, and %d started: run tfrun bench --ranks %d --rerun %s", file,
                             recorded.n_ranks, recorded.n_ranks == 1 ? "" : "s", tfr_launched_size(), recorded.n_ranks, file);
    }
    args->operands[args->n_operands++] = recorded.config;
    if (args->n_overrides + recorded.n_overrides > TFR_MAX_ARGS_GIVEN) {
        return tfr_cli_usage("%s has more than %d overrides", tfr_args_flag(args, "rerun"), TFR_MAX_ARGS_GIVEN);
    }
    ask.question.cases = recorded.cases;
    ask.question.repetitions = recorded.repetitions;
    ask.question.again = ask.before;
    return take_overrides(args, recorded.n_overrides);
}

/* Paths with commas, or one path with commas in it. What was read stays in `runs`, whatever happens. */
static enum tfr_status read_runs(const char *paths, struct tfr_bench *runs[MOST_RUNS], size_t *n) {
    char *copy = strdup(paths), *path = copy;
    const bool is_one = access(paths, F_OK) == 0;
    enum tfr_status status = copy != NULL ? TFR_OK : TFR_RESOURCE;
    while (path != NULL && status == TFR_OK) {
        char *comma = is_one ? NULL : strchr(path, ',');
        if (comma != NULL) {
            *comma = '\0';
        }
        status = tfr_bench_read(&runs[*n], path);
        *n += status == TFR_OK;
        path = comma != NULL ? comma + 1 : NULL;
    }
    free(copy);
    return status == TFR_OK ? tfr_bench_fold(runs, n) : status;
}

/* Runs of one thing. 0, or an exit code. */
static int read_before(const char *paths) {
    struct tfr_bench *runs[MOST_RUNS];
    size_t n = 0, commas = 0;
    for (const char *at = paths; (at = strchr(at, ',')) != NULL; at++) {
        commas++;
    }
    if (commas >= MOST_RUNS) {
        return tfr_cli_usage("%s: more than %d files", paths, MOST_RUNS);
    }
    const enum tfr_status status = read_runs(paths, runs, &n);
    int code = status == TFR_OK ? 0 : tfr_cli_fail(status);
    if (code == 0 && n > 1) {
        code = tfr_cli_usage("%s: these are no runs of one thing: program, settings, cases, bits or machine differ", paths);
    }
    ask.before = code == 0 ? runs[0] : NULL;
    for (size_t i = 0; i < n && code != 0; i++) {
        tfr_bench_free(runs[i]);
    }
    return code;
}

/* What can be refused without a model is: before weights are made and read. 0, or an exit code. */
static int read_question(struct tfr_args *args) {
    const char *rerun = tfr_args_flag(args, "rerun"), *compare = tfr_args_flag(args, "compare");
    ask.question = (struct tfr_bench_question){
        .cases = tfr_args_flag(args, "cases"),
        .repetitions = TFR_USUAL_ROUNDS,
        .no_roofs = tfr_args_flag(args, "no-roofs") != NULL,
        .gate = tfr_args_flag(args, "gate") != NULL,
        .say = tfr_args_count(args, "verbose") > 0 ? on_say : NULL,
    };
    if (ask.question.gate && (ask.question.no_roofs || rerun != NULL || tfr_launched_size() > 1)) {
        return tfr_cli_usage("--gate holds one process against its roofs: leave %s out", rerun != NULL           ? "--rerun"
                                                                                         : ask.question.no_roofs ? "--no-roofs"
                                                                                                                 : "the launcher");
    }
    if (!tfr_measure_read_form(args, &ask.form) || (rerun != NULL && !is_alone(args)) ||
        !tfr_cli_int(args, "repetitions", TFR_LEAST_ROUNDS, TFR_MOST_ROUNDS, &ask.question.repetitions)) {
        return tfr_exit_code(TFR_USAGE);
    }
    if (ask.question.gate && ask.form == TFR_TABLE_CSV) {
        return tfr_cli_usage("--gate has a table of its own, and --format csv has one table; take table, md or json");
    }
    const enum tfr_status status = ask.question.cases != NULL ? tfr_bench_check(ask.question.cases) : TFR_OK;
    int code = status == TFR_OK ? 0 : tfr_cli_fail(status);
    if (code == 0 && (rerun != NULL || compare != NULL)) {
        code = read_before(rerun != NULL ? rerun : compare);
        ask.question.before = ask.before;
    }
    return code == 0 && rerun != NULL ? take_recorded(args) : code;
}

int tfr_bench_save(const struct tfr_engine *engine, const struct tfr_args *args, const char *text) {
    const char *path = tfr_args_flag(args, "save"), *output = tfr_engine_io(engine).output_file;
    enum tfr_status status = TFR_OK;
    if (path != NULL && text == NULL && output != NULL && tfr_measure_is_one_file(path, output)) {
        return tfr_cli_usage("--save and -o both name %s, and one would be written over the other; take two files", path);
    }
    if (path != NULL) {
        status = tfr_result_write(path, text, text != NULL ? strlen(text) : 0, tfr_engine_io(engine).force);
    }
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

/* The same bits are promised where the same is run again, and where nothing that is known to have a part in them changed. */
static bool has_broken_bits(const struct tfr_bench *bench) {
    return ask.before != NULL && !tfr_bench_same_bits(bench, ask.before) &&
           (ask.question.again != NULL || !tfr_bench_differs(bench, ask.before));
}

/* What was to hold, told behind the results. 0, or an exit code. */
static int hold(const struct tfr_args *args, const struct tfr_bench *bench) {
    const size_t n_missed = tfr_bench_missed(bench);
    const bool is_broken = has_broken_bits(bench);
    if (n_missed > 0 || is_broken) {
        tfr_cli_settle();
    }
    if (n_missed > 0) {
        char words[2048];
        tfr_bench_missed_why(bench, words, sizeof words);
        fprintf(stderr, "tfrun: --gate: %zu limit%s not held: %s\n", n_missed, n_missed == 1 ? " is" : "s are", words);
    }
    if (is_broken) {
        const char *rerun = tfr_args_flag(args, "rerun");
        fprintf(stderr, "tfrun: the logits have other bits than those of %s%s\n",
                rerun != NULL ? rerun : tfr_args_flag(args, "compare"),
                tfr_bench_differs(bench, ask.before)
                    ? ""
                    : ", and nothing that was recorded differs: weights or build are others, or a kernel does not keep its bits");
    }
    return n_missed > 0 || is_broken ? tfr_exit_code(TFR_CHECK) : 0;
}

static int deliver(struct tfr_engine *engine, const struct tfr_args *args, const struct tfr_bench *bench) {
    char *text, *document;
    enum tfr_status status = tfr_report_bench(bench, ask.before, TFR_TABLE_JSON, &document);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    int code = tfr_bench_save(engine, args, document);
    tfr_string_free(document);
    status = code == 0 ? tfr_report_bench(bench, ask.before, ask.form, &text) : TFR_OK;
    if (code != 0 || status != TFR_OK) {
        return code != 0 ? code : tfr_cli_fail(status);
    }
    code = tfr_measure_deliver(engine, text, strlen(text));
    tfr_string_free(text);
    return code == 0 ? hold(args, bench) : code;
}

/* The engine is open: it keeps the weights that were lent. */
static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    struct tfr_bench *bench;
    tfr_measure_return_weights();
    int code = tfr_measure_check_output(engine);
    code = code == 0 ? tfr_bench_save(engine, args, NULL) : code;
    if (code != 0) {
        return code;
    }
    tfr_cli_catch_signals();
    const enum tfr_status status = tfr_bench_run(&bench, engine, &ask.question);
    if (status != TFR_OK) {
        return tfr_measure_fail(status);
    }
    code = deliver(engine, args, bench);
    tfr_bench_free(bench);
    return code;
}

static int run(struct tfr_args *args) {
    if (tfr_args_flag(args, "micro") != NULL) {
        return tfr_bench_micro(args);
    }
    if (tfr_args_flag(args, "case") != NULL || tfr_args_flag(args, "kernel") != NULL) {
        return tfr_cli_usage("--%s picks what --micro times: give --micro FILE too, or leave it out",
                             tfr_args_flag(args, "case") != NULL ? "case" : "kernel");
    }
    int code = read_question(args);
    if (code == 0) {
        tfr_measure_apply_flags(args);
        ask.question.config = args->n_operands > 0 ? args->operands[0] : NULL;
        ask.question.overrides = args->overrides;
        ask.question.n_overrides = args->n_overrides;
        code = tfr_measure_lend_weights(args);
    }
    if (code == 0) {
        code = tfr_measure_run(args, drive);
        tfr_measure_return_weights();
    }
    tfr_bench_free(ask.before);
    return code;
}

const struct tfr_command tfr_cmd_bench = {
    .name = "bench",
    .operands = "[CONFIG]",
    .help = "how fast it runs here: decoding, prompts, sequences side by side, with intervals",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

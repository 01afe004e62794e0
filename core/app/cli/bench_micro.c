/* bench_micro.c - see bench_micro.h. */
#include "app/cli/bench_micro.h"

#include <stdio.h>
#include <string.h>

#include <tfrun/study.h>

#include "app/cli/cmd_bench.h"
#include "app/cli/measure.h"

static void on_say(void *user, int64_t done, int64_t total) {
    (void)user;
    fprintf(stderr, "bench  case %lld of %lld\n", (long long)done + 1, (long long)total);
}

/* Options that mean something without a model. */
static bool is_read(const char *key) {
    static const char *const keys[] = {"runtime.threads", "runtime.bind", "runtime.isa", "runtime.kernels", "runtime.hugepages",
                                       "parallel.memory", "plugins",      "output.file", "output.force",    "observe.log"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(keys[i], key) == 0) {
            return true;
        }
    }
    return false;
}

/* All kernels that serve a case are timed: to prefer one would change nothing. */
static bool prefers(const struct tfr_override *override) {
    const char *word = override->value;
    if (strcmp(override->key, "runtime.kernels") != 0) {
        return false;
    }
    while (*(word += strspn(word, ", ")) == '-') {
        word += strcspn(word, ", ");
    }
    return *word != '\0';
}

/* What says nothing about kernels alone is refused by name: 0, or an exit code. */
static int check(const struct tfr_args *args) {
    static const char *const of_models[] = {"cases", "gate", "compare", "rerun"}, *const once[] = {"case", "kernel"};
    for (size_t i = 0; i < sizeof of_models / sizeof of_models[0]; i++) {
        if (tfr_args_flag(args, of_models[i]) != NULL) {
            return tfr_cli_usage("--micro times kernels alone, and --%s is about a model; leave it out", of_models[i]);
        }
    }
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
        if (tfr_args_count(args, once[i]) > 1) {
            return tfr_cli_usage("--%s is given %zu times; give it once, or leave it out for all", once[i],
                                 tfr_args_count(args, once[i]));
        }
        if (tfr_args_count(args, once[i]) == 1 && tfr_args_flag(args, once[i])[0] == '\0') {
            return tfr_cli_usage("--%s is empty; give a name, or leave it out for all", once[i]);
        }
    }
    if (args->n_operands > 0) {
        return tfr_cli_usage("--micro times kernels alone: leave %s out", args->operands[0]);
    }
    if (tfr_launched_size() > 1) {
        return tfr_cli_usage("--micro times the kernels of one process, and %d started: leave the launcher out",
                             tfr_launched_size());
    }
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *override = &args->overrides[i];
        if (!is_read(override->key)) {
            return tfr_cli_usage("--micro times kernels alone, and %s (%s) is about a model; leave it out", override->origin,
                                 override->key);
        }
        if (prefers(override)) {
            return tfr_cli_usage("--micro times all kernels that serve a case, and %s prefers some (%s): ban others with -NAME, or "
                                 "take some alone with --kernel PART",
                                 override->origin, override->value);
        }
    }
    return 0;
}

static int deliver(struct tfr_engine *engine, const struct tfr_args *args, const struct tfr_kernel_bench *bench,
                   enum tfr_table_form form) {
    char *text, *document;
    enum tfr_status status = tfr_report_kernel_bench(bench, TFR_TABLE_JSON, true, &document);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    int code = tfr_bench_save(engine, args, document);
    tfr_string_free(document);
    if (code != 0) {
        return code;
    }
    status = tfr_report_kernel_bench(bench, form, tfr_args_count(args, "verbose") > 0, &text);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    code = tfr_measure_deliver(engine, text, strlen(text));
    tfr_string_free(text);
    return code;
}

static int drive(struct tfr_engine *engine, const struct tfr_args *args, const struct tfr_kernel_bench_question *question,
                 enum tfr_table_form form) {
    struct tfr_kernel_bench *bench;
    int code = tfr_measure_check_output(engine);
    code = code == 0 ? tfr_bench_save(engine, args, NULL) : code;
    if (code != 0) {
        return code;
    }
    tfr_cli_catch_signals();
    const enum tfr_status status = tfr_kernel_bench_run(&bench, engine, question);
    if (status != TFR_OK) {
        return tfr_measure_fail(status);
    }
    code = deliver(engine, args, bench, form);
    tfr_kernel_bench_free(bench);
    return code;
}

int tfr_bench_micro(struct tfr_args *args) {
    enum tfr_table_form form;
    struct tfr_kernel_bench_question question = {
        .file = tfr_args_flag(args, "micro"),
        .only = tfr_args_flag(args, "case"),
        .kernel = tfr_args_flag(args, "kernel"),
        .repetitions = TFR_USUAL_ROUNDS,
        .no_roofs = tfr_args_flag(args, "no-roofs") != NULL,
        .say = tfr_args_count(args, "verbose") > 0 ? on_say : NULL,
    };
    int code = check(args);
    if (code != 0) {
        return code;
    }
    if (!tfr_measure_read_form(args, &form) ||
        !tfr_cli_int(args, "repetitions", TFR_LEAST_ROUNDS, TFR_MOST_ROUNDS, &question.repetitions)) {
        return tfr_exit_code(TFR_USAGE);
    }
    question.n_overrides = args->n_overrides; /* before those of -q and -v */
    tfr_measure_apply_flags(args);
    question.overrides = args->overrides;
    struct tfr_engine *engine;
    const enum tfr_status status = tfr_engine_open_bare(&engine, args->overrides, args->n_overrides);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    code = drive(engine, args, &question, form);
    tfr_engine_close(engine);
    return code;
}

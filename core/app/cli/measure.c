/* measure.c - see measure.h. */
#include "app/cli/measure.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <tfrun/profile.h>

#include "app/cli/results.h"

/* -q and -v stand for options, and give way to what the command line says of these by name. */
static void stand_for(struct tfr_args *args, const char *key, const char *value, const char *origin) {
    for (size_t i = 0; i < args->n_overrides; i++) {
        if (strcmp(args->overrides[i].key, key) == 0) {
            return;
        }
    }
    tfr_args_add(args, key, value, origin);
}

void tfr_measure_apply_flags(struct tfr_args *args) {
    const size_t verbose = tfr_args_count(args, "verbose");
    if (tfr_args_count(args, "quiet") > 0) {
        stand_for(args, "output.stats", "off", "-q");
        stand_for(args, "observe.log", "error", "-q");
    } else if (verbose > 0) {
        stand_for(args, "observe.log", verbose > 1 ? "debug" : "info", "-v");
    }
    if (tfr_args_flag(args, "json") != NULL) {
        tfr_args_add(args, "output.format", "json", "--json");
    }
}

bool tfr_measure_is_one_file(const char *a, const char *b) {
    struct stat facts[2];
    const bool is_there[2] = {stat(a, &facts[0]) == 0, stat(b, &facts[1]) == 0};
    if (is_there[0] && is_there[1]) {
        return S_ISREG(facts[0].st_mode) && facts[0].st_dev == facts[1].st_dev && facts[0].st_ino == facts[1].st_ino;
    }
    const char *name[2] = {strrchr(a, '/'), strrchr(b, '/')}, *const path[2] = {a, b};
    char folder[2][4096];
    for (int i = 0; i < 2; i++) {
        const int length = name[i] != NULL ? (int)(name[i] - path[i]) + 1 : 0;
        snprintf(folder[i], sizeof folder[i], "%.*s.", length, path[i]);
        name[i] = name[i] != NULL ? name[i] + 1 : path[i];
    }
    return is_there[0] == is_there[1] && strcmp(name[0], name[1]) == 0 && stat(folder[0], &facts[0]) == 0 &&
           stat(folder[1], &facts[1]) == 0 && facts[0].st_dev == facts[1].st_dev && facts[0].st_ino == facts[1].st_ino;
}

/* A file that the command line names for results, and by which word. */
struct named {
    const char *word, *path;
};

static size_t list_outputs(const struct tfr_args *args, struct named *outputs) {
    static const struct named flags[] = {{"--out", "out"}, {"--output", "output"}, {"--save", "save"}, {"--svg", "svg"}};
    static const char *const keys[] = {"output.file", "output.cache_save", "observe.trace"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        outputs[n] = (struct named){flags[i].word, tfr_args_flag(args, flags[i].path)};
        n += outputs[n].path != NULL;
    }
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        const struct tfr_override *said = NULL;
        for (size_t i = 0; i < args->n_overrides; i++) {
            said = strcmp(args->overrides[i].key, keys[k]) == 0 ? &args->overrides[i] : said;
        }
        if (said != NULL) {
            outputs[n++] = (struct named){tfr_args_word(said), said->value};
        }
    }
    return n;
}

int tfr_measure_check_names(const struct tfr_args *args) {
    struct named outputs[7];
    const size_t n = list_outputs(args, outputs);
    for (size_t b = 1; b < n; b++) {
        for (size_t a = 0; a < b; a++) {
            if (tfr_measure_is_one_file(outputs[a].path, outputs[b].path)) {
                return tfr_cli_usage("%s and %s both name %s, and one would be written over the other; take two files",
                                     outputs[a].word, outputs[b].word, outputs[a].path);
            }
        }
    }
    return 0;
}

int tfr_measure_run(const struct tfr_args *args, int (*drive)(struct tfr_engine *engine, const struct tfr_args *args)) {
    const char *config = tfr_cli_operand(args, "a config");
    if (config == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    int code = tfr_measure_check_names(args);
    if (code != 0) {
        return code;
    }
    struct tfr_engine *engine;
    enum tfr_status status = tfr_engine_open(&engine, config, args->overrides, args->n_overrides);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    if (tfr_engine_rank(engine) == 0) {
        code = drive(engine, args);
        status = tfr_engine_write_trace(engine);
        code = status == TFR_OK || code != 0 ? code : tfr_cli_fail(status);
    } else {
        tfr_cli_follow_signals();
        status = tfr_engine_follow(engine);
        code = status == TFR_OK ? 0 : tfr_cli_fail(status);
    }
    tfr_engine_close(engine);
    return code;
}

int tfr_measure_fail(enum tfr_status status) {
    const int code = tfr_cli_fail(status);
    return status == TFR_CANCELLED ? tfr_cli_cancelled() : code;
}

int tfr_measure_check_output(const struct tfr_engine *engine) {
    const struct tfr_engine_io task = tfr_engine_io(engine);
    const enum tfr_status status = task.output_file != NULL ? tfr_result_write(task.output_file, NULL, 0, task.force) : TFR_OK;
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

int tfr_measure_deliver(const struct tfr_engine *engine, const char *text, size_t size) {
    const struct tfr_engine_io task = tfr_engine_io(engine);
    if (task.output_file != NULL) {
        const enum tfr_status status = tfr_result_write(task.output_file, text, size, task.force);
        return status == TFR_OK ? 0 : tfr_cli_fail(status);
    }
    tfr_results_put(text, size);
    if (size > 0 && text[size - 1] != '\n') {
        tfr_results_put("\n", 1);
    }
    return tfr_cli_flush();
}

bool tfr_measure_read_form(const struct tfr_args *args, enum tfr_table_form *form) {
    static const char *const names[] = {
        [TFR_TABLE_TEXT] = "table", [TFR_TABLE_MD] = "md", [TFR_TABLE_JSON] = "json", [TFR_TABLE_CSV] = "csv"};
    const char *word = tfr_args_flag(args, "json") != NULL ? "json" : tfr_args_flag(args, "format");
    if (tfr_args_flag(args, "json") != NULL && tfr_args_flag(args, "format") != NULL) {
        tfr_cli_usage("--json is --format json: give one of the two");
        return false;
    }
    *form = TFR_TABLE_TEXT;
    for (size_t i = 0; word != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(word, names[i]) == 0) {
            *form = (enum tfr_table_form)i;
            return true;
        }
    }
    if (word != NULL) {
        tfr_cli_usage("--format: \"%s\" is none of table, md, json, csv", word);
    }
    return word == NULL;
}

static struct tfr_random_weights lent;

int tfr_measure_lend_weights(struct tfr_args *args) {
    bool missing = false;
    if (args->n_operands != 1 || tfr_launched_size() > 1) {
        return 0;
    }
    enum tfr_status status = tfr_weights_are_missing(args->operands[0], args->overrides, args->n_overrides, &missing);
    if (status == TFR_OK && missing) {
        tfr_cli_catch_signals(); /* the first one leaves no folder behind */
        fprintf(stderr, "tfrun: %s has no weights: random ones are measured\n", args->operands[0]);
        status = tfr_random_weights_make(&lent, args->operands[0]);
    }
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    if (missing) {
        tfr_args_add(args, "model.weights", lent.weights, "--weights");
    }
    return 0;
}

void tfr_measure_return_weights(void) {
    tfr_random_weights_remove(&lent);
}

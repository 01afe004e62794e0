/* cmd_calibrate.c - `tfrun calibrate [CONFIG]`: measures what this machine reaches, for predictions and reports. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/profile.h>

#include "app/cli/cli.h"
#include "app/cli/measure.h"
#include "app/cli/results.h"

static const struct tfr_flag flags[] = {
    {"quick", NULL, "each shape once: seconds, and less to rely on", 0},
    {"net", NULL, "measure messages between the ranks of this job alone, and add them to the calibration (docs/scaling.md)", 0},
    {"asleep", NULL, "with --net: where ranks compute they sleep, as kernels of a test do that only take time", 0},
    {"show", NULL, "measure nothing: print the calibration that there is, and its age", 0},
    {"file", "FILE", "the calibration to write, or with --show to read [that of this host in the cache folder]", 0},
    {"json", NULL, "with --show: as JSON", 0},
    {"quiet", NULL, "no progress, only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {"trust",       "!runtime.warmup", "!runtime.pack_cache", "runtime.", "plugins",
                                    "observe.log", "model.weights",   "parallel.wait",       NULL};

struct speaker {
    bool quiet, started;
    char last[400];
};

/* A line when something new begins. */
static void on_say(void *user, const char *what, int64_t done, int64_t total) {
    struct speaker *speaker = user;
    const int64_t tenth = total > 0 ? done * 10 / total : 0;
    char text[400];
    snprintf(text, sizeof text, total > 0 ? "%s: %lld %%" : "%s", what, (long long)(tenth * 10));
    if (!speaker->quiet && strcmp(text, speaker->last) != 0) {
        fprintf(stderr, "calibrate  %s\n", text);
        snprintf(speaker->last, sizeof speaker->last, "%s", text);
    }
}

/* The last override of a key; NULL: there is none. */
static const struct tfr_override *last_said(const struct tfr_args *args, const char *key) {
    const struct tfr_override *said = NULL;
    for (size_t i = 0; i < args->n_overrides; i++) {
        said = strcmp(args->overrides[i].key, key) == 0 ? &args->overrides[i] : said;
    }
    return said;
}

/* 0: auto, or not said. Where a calibration is shown nobody else reads the option. False after tfr_cli_usage. */
static bool threads_asked(const struct tfr_args *args, int64_t *threads) {
    enum { MOST_THREADS = 4096 };
    const struct tfr_override *said = last_said(args, "runtime.threads");
    char *end;
    *threads = 0;
    if (said == NULL || strcmp(said->value, "auto") == 0) {
        return true;
    }
    *threads = strtoll(said->value, &end, 10);
    if (said->value[0] < '0' || said->value[0] > '9' || *end != '\0' || *threads < 1 || *threads > MOST_THREADS) {
        tfr_cli_usage("--threads: \"%s\" is neither a whole number in 1..%d nor auto", said->value, MOST_THREADS);
        return false;
    }
    return true;
}

static int show(const char *file, int64_t threads, bool json) {
    char *text;
    const enum tfr_status status = tfr_report_calibration(file, threads, json, &text);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

/* The first option of the command line that is none of these; NULL: there is none. */
static const char *option_beside(const struct tfr_args *args, const char *const *used, size_t n_used) {
    for (size_t i = 0; i < args->n_overrides; i++) {
        bool is_used = false;
        for (size_t u = 0; u < n_used; u++) {
            is_used |= strcmp(args->overrides[i].key, used[u]) == 0;
        }
        if (!is_used) {
            return tfr_args_word(&args->overrides[i]);
        }
    }
    return NULL;
}

/* What would change nothing beside --show; NULL: all is well. */
static const char *idle_beside_show(const struct tfr_args *args, const char *file, int64_t threads) {
    if (args->n_operands > 0 || tfr_args_flag(args, "net") != NULL) {
        return args->n_operands > 0 ? "--show measures nothing: leave the config out" : "--show measures nothing: leave --net out";
    }
    if (tfr_args_flag(args, "quick") != NULL || tfr_args_flag(args, "asleep") != NULL) {
        return "--show measures nothing: leave --quick and --asleep out";
    }
    if (file != NULL && threads > 0) {
        return "--file names the calibration to show, --threads finds it in the cache folder: give one";
    }
    return NULL;
}

/* A calibration is found by its threads; of what types it is says its file. */
static int show_asked(const struct tfr_args *args, const char *file) {
    static const char *const used[] = {"runtime.threads", "observe.log", "trust"};
    int64_t threads;
    if (!threads_asked(args, &threads)) {
        return tfr_exit_code(TFR_USAGE);
    }
    const char *idle = idle_beside_show(args, file, threads), *option = option_beside(args, used, sizeof used / sizeof used[0]);
    if (idle != NULL) {
        return tfr_cli_usage("%s", idle);
    }
    if (option != NULL) {
        return tfr_cli_usage("--show prints the calibration as it is, and %s has no effect on it; leave it out", option);
    }
    return tfr_launched_rank() > 0 ? 0 : show(file, threads, tfr_args_flag(args, "json") != NULL);
}

/* Messages alone: an option of kernels or of their threads' places would change nothing. NULL: all is well. */
static const char *idle_beside_net(const struct tfr_args *args) {
    static const char *const used[] = {"runtime.threads", "parallel.wait", "observe.log", "trust"};
    return option_beside(args, used, sizeof used / sizeof used[0]);
}

static int run(struct tfr_args *args) {
    const char *file = tfr_args_flag(args, "file");
    const bool is_net = tfr_args_flag(args, "net") != NULL;
    if (args->n_operands > 1) {
        return tfr_cli_usage("calibrate takes one config at most");
    }
    if (tfr_args_flag(args, "show") != NULL) {
        return show_asked(args, file);
    }
    if (!is_net && tfr_args_flag(args, "asleep") != NULL) {
        return tfr_cli_usage("--asleep is about ranks that compute between messages: give --net too");
    }
    const struct tfr_override *wait = last_said(args, "parallel.wait");
    if (!is_net && wait != NULL) {
        return tfr_cli_usage("%s is about ranks that wait for each other: give --net too", tfr_args_word(wait));
    }
    if (is_net && args->n_operands > 0) {
        return tfr_cli_usage("--net measures messages, and no kernels of %s: leave the config out", args->operands[0]);
    }
    if (is_net && idle_beside_net(args) != NULL) {
        return tfr_cli_usage("--net measures messages between ranks, and %s has no effect on them; leave it out",
                             idle_beside_net(args));
    }
    if (args->n_operands == 0 && last_said(args, "model.weights") != NULL) {
        return tfr_cli_usage("--weights are those of a config, and without one random ones are measured: name a config too");
    }
    if (tfr_args_flag(args, "json") != NULL) {
        return tfr_cli_usage("--json prints a calibration that there is: give --show too");
    }
    struct speaker speaker = {.quiet = tfr_args_count(args, "quiet") > 0};
    tfr_measure_apply_flags(args);
    const struct tfr_calibrate_question question = {
        .config = args->n_operands > 0 ? args->operands[0] : NULL,
        .overrides = args->overrides,
        .n_overrides = args->n_overrides,
        .output = file,
        .net = is_net,
        .asleep = tfr_args_flag(args, "asleep") != NULL,
        .quick = tfr_args_flag(args, "quick") != NULL,
        .say = on_say,
        .user = &speaker,
    };
    char *path;
    tfr_cli_catch_signals();
    const enum tfr_status status = tfr_calibrate(&question, &path);
    if (status != TFR_OK) {
        return tfr_measure_fail(status);
    }
    if (path != NULL) {
        tfr_results_print("%s\n", path);
    }
    tfr_string_free(path);
    return tfr_cli_flush();
}

const struct tfr_command tfr_cmd_calibrate = {
    .name = "calibrate",
    .operands = "[CONFIG]",
    .help = "measure machine and kernels (f32 and bf16, or --dtype), for predictions",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

/* cmd_quantize.c - `tfrun quantize CONFIG --to TYPE -o DIR`: a folder with coarse weights, and what they cost in quality. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/measure.h"
#include "app/cli/progress.h"

static const struct tfr_flag flags[] = {
    {"to", "TYPE", "int8 (inputs rounded too), int8w (inputs as they are), int4 or mixed (int4, some linears in 8 bits: --finer)",
     0},
    {"smooth", "A", "before rounding make inputs of c_attn and c_fc alike, in f32 without any effect: A in (0, 1], 0.5 is usual",
     0},
    {"json", NULL, "the result as one JSON document", 0},
    {"quiet", NULL, "no progress, only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {
    "trust",       "eval.",        "model.",        "runtime.",     "plugins", "observe.",
    "output.file", "output.force", "output.format", "output.stats", NULL,
};

static void on_progress(void *user, const struct tfr_progress *progress) {
    tfr_progress_line_update(user, progress);
}

/* Perplexity of the text `name` under a config. Exit code. */
static int measure(const char *config, const struct tfr_override *overrides, size_t n, const char *name, bool quiet,
                   struct tfr_evaluation *evaluation) {
    struct tfr_engine *engine;
    size_t size;
    char *text = tfr_cli_read(name, &size);
    if (text == NULL) {
        return tfr_exit_code(TFR_RESOURCE);
    }
    enum tfr_status status = tfr_engine_open(&engine, config, overrides, n);
    if (status == TFR_OK) {
        struct tfr_progress_line line;
        tfr_progress_line_open(&line, quiet);
        tfr_cli_catch_signals();
        status = tfr_evaluate(engine, text, size, false, on_progress, &line, evaluation);
        tfr_progress_line_close(&line);
        tfr_engine_close(engine);
    }
    free(text);
    return status == TFR_OK ? 0 : tfr_measure_fail(status);
}

static const char *last_of(const struct tfr_args *args, const char *key) {
    const char *value = NULL;
    for (size_t i = 0; i < args->n_overrides; i++) {
        const char *name = args->overrides[i].key;
        name += strncmp(name, "tfrun.", 6) == 0 ? 6 : 0;
        value = strcmp(name, key) == 0 ? args->overrides[i].value : value;
    }
    return value;
}

/* What was said on the command line, for the new folder: what is said about the source's files and its type is not about it. */
static size_t keep_overrides(const struct tfr_args *args, struct tfr_override *kept) {
    size_t n = 0;
    for (size_t i = 0; i < args->n_overrides; i++) {
        const char *name = args->overrides[i].key;
        name += strncmp(name, "tfrun.", 6) == 0 ? 6 : 0;
        if (strncmp(name, "model.", 6) != 0 && strncmp(name, "output.", 7) != 0 && strcmp(name, "runtime.dtype") != 0) {
            kept[n++] = args->overrides[i];
        }
    }
    return n;
}

static bool read_request(const struct tfr_args *args, struct tfr_quantize_request *request) {
    request->to = tfr_args_flag(args, "to");
    if (request->to == NULL) {
        tfr_cli_usage("say which type the weights shall have: --to int8, int8w, int4 or mixed");
        return false;
    }
    const char *smooth = tfr_args_flag(args, "smooth");
    if (smooth == NULL) {
        return true;
    }
    char *end;
    request->smooth = strtod(smooth, &end);
    if (*smooth < '.' || *smooth > '9' || *end != '\0' || request->smooth == 0) {
        tfr_cli_usage("--smooth: \"%s\" is not a number above 0, at most 1", smooth);
        return false;
    }
    return true;
}

static int deliver(const struct tfr_args *args, const struct tfr_quantized *quantized, const struct tfr_evaluation *before,
                   const struct tfr_evaluation *after) {
    const bool json = tfr_args_flag(args, "json") != NULL;
    char *text;
    const enum tfr_status status = tfr_report_quantized(quantized, before, after, json ? TFR_REPORT_JSON : TFR_REPORT_TEXT, &text);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

static int compare(struct tfr_args *args, const char *config, const struct tfr_quantized *quantized, bool quiet) {
    const char *data = last_of(args, "eval.data");
    static struct tfr_override kept[TFR_MAX_ARGS_GIVEN];
    struct tfr_evaluation before = {0}, after = {0};
    if (data == NULL) {
        return deliver(args, quantized, NULL, NULL);
    }
    int code = measure(config, args->overrides, args->n_overrides, data, quiet, &before);
    if (code == 0) {
        code = measure(quantized->directory, kept, keep_overrides(args, kept), data, quiet, &after);
    }
    if (code == 0) {
        code = deliver(args, quantized, &before, &after);
    }
    tfr_evaluation_free(&before);
    tfr_evaluation_free(&after);
    return code;
}

static int run(struct tfr_args *args) {
    const char *config = tfr_cli_operand(args, "a config");
    struct tfr_quantize_request request = {0};
    tfr_measure_apply_flags(args);
    if (config == NULL || !read_request(args, &request)) {
        return tfr_exit_code(TFR_USAGE);
    }
    const bool quiet = tfr_args_count(args, "quiet") > 0;
    struct tfr_progress_line line;
    struct tfr_quantized *quantized;
    tfr_progress_line_open(&line, quiet);
    request.progress = on_progress;
    request.user = &line;
    const enum tfr_status status = tfr_quantize(config, args->overrides, args->n_overrides, &request, &quantized);
    tfr_progress_line_close(&line);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    const int code = compare(args, config, quantized, quiet);
    if (code == 0 && !quiet) {
        tfr_cli_settle();
        fprintf(stderr, "tfrun: wrote %s; next: tfrun %s -p \"Hello\"\n", quantized->directory, quantized->directory);
    }
    tfr_quantized_free(quantized);
    return code;
}

const struct tfr_command tfr_cmd_quantize = {
    .name = "quantize",
    .operands = "CONFIG -o DIR",
    .help = "write the model with coarse weights (--to int8|int8w|int4|mixed, --data)",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};

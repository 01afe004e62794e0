/* cmd_quantize.c - `tfrun quantize CONFIG --to TYPE -o DIR`: a folder with coarse weights, and what they cost in quality. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/measure.h"
#include "app/cli/progress.h"

/* "; int8 (inputs rounded too)" and so on: the first two characters are for nobody. */
static const char types[] =
#define TFR_QUANTIZED(name, runtime, bits, told) "; " name " (" told ")"
#include <tfrun/quantized.def>
    ;

static const struct tfr_flag flags[] = {
    TFR_FOLDER_FLAG,
    {"to", "TYPE", types + 2, 0},
    {"smooth", "A", "before rounding make inputs of c_attn and c_fc alike, in f32 without any effect: A in (0, 1], 0.5 is usual",
     0},
    {"json", NULL, "the result as one JSON document", 0},
    {"quiet", NULL, "no progress, only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {
    "trust",          "eval.",    "!model.aliases", "model.",       "runtime.", "plugins",
    "!observe.trace", "observe.", "output.file",    "output.force", NULL,
};

static void on_progress(void *user, const struct tfr_progress *progress) {
    tfr_progress_line_update(user, progress);
}

/* What --data names, NULL without it. */
struct text {
    char *bytes;
    size_t size;
};

struct job {
    const struct tfr_args *args;
    const char *config;
    struct tfr_quantize_request request;
    struct text text;
    bool quiet;
};

/* Perplexity of the text under a config, its tokens kept, by which two are compared. Exit code. */
static int measure(const char *config, const struct tfr_override *overrides, size_t n, const struct text *text, bool quiet,
                   struct tfr_evaluation *evaluation) {
    struct tfr_engine *engine;
    enum tfr_status status = tfr_engine_open(&engine, config, overrides, n);
    if (status == TFR_OK) {
        struct tfr_progress_line line;
        tfr_progress_line_open(&line, quiet);
        tfr_cli_catch_signals();
        status = tfr_evaluate(engine, text->bytes, text->size, true, on_progress, &line, evaluation);
        tfr_progress_line_close(&line);
        tfr_engine_close(engine);
    }
    return status == TFR_OK ? 0 : tfr_measure_fail(status);
}

static bool begins_with_one_of(const char *key, const char *const *parts) {
    while (*parts != NULL && strncmp(key, *parts, strlen(*parts)) != 0) {
        parts++;
    }
    return *parts != NULL;
}

static const char *last_of(const struct tfr_args *args, const char *key) {
    const char *value = NULL;
    for (size_t i = 0; i < args->n_overrides; i++) {
        value = strcmp(args->overrides[i].key, key) == 0 ? args->overrides[i].value : value;
    }
    return value;
}

/* What was said on the command line but for keys that begin so. */
static size_t keep_overrides(const struct tfr_args *args, const char *const *but, struct tfr_override *kept) {
    size_t n = 0;
    for (size_t i = 0; i < args->n_overrides; i++) {
        if (!begins_with_one_of(args->overrides[i].key, but)) {
            kept[n++] = args->overrides[i];
        }
    }
    return n;
}

/* Without a text nothing is measured: what would only be about that is refused. Rounding itself runs no kernel. */
static bool has_stray(const struct tfr_args *args) {
    static const char *const of_measuring[] = {"eval.", "runtime.", "plugins", NULL}, *const of_rounding[] = {"runtime.int4_",
                                                                                                              NULL};
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *override = &args->overrides[i];
        if (begins_with_one_of(override->key, of_measuring) && !begins_with_one_of(override->key, of_rounding)) {
            const bool by_set = strcmp(override->origin, "--set") == 0;
            tfr_cli_usage("%s%s%s has no effect on `tfrun quantize` without --data, the text to measure on; %s", override->origin,
                          by_set ? " " : "", by_set ? override->key : "",
                          strcmp(override->key, "runtime.dtype") == 0 ? "the type of the weights is --to" : "leave it out");
            return true;
        }
    }
    return false;
}

/* Before work begins: stdin, too, can be read only once. 0, or an exit code. */
static int read_text(const struct tfr_args *args, struct text *text) {
    const char *name = last_of(args, "eval.data");
    if (name == NULL) {
        return has_stray(args) ? tfr_exit_code(TFR_USAGE) : 0;
    }
    text->bytes = tfr_cli_read(name, &text->size);
    return text->bytes != NULL ? 0 : tfr_exit_code(TFR_RESOURCE);
}

static bool read_request(const struct tfr_args *args, struct tfr_quantize_request *request) {
    request->to = tfr_args_flag(args, "to");
    if (request->to == NULL) {
        tfr_cli_usage("say which type the weights shall have by --to: %s", types + 2);
        return false;
    }
    const char *smooth = tfr_args_flag(args, "smooth");
    if (smooth == NULL) {
        return true;
    }
    char *end;
    request->smooth = strtod(smooth, &end);
    if (*smooth < '.' || *smooth > '9' || *end != '\0' || !(request->smooth > 0 && request->smooth <= 1)) {
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

/* The source first: a text that it can't measure is refused before a folder is written. How weights are rounded is not about it. */
static int measure_source(const struct job *job, struct tfr_evaluation *before) {
    static const char *const not_of_source[] = {"runtime.int4_", NULL};
    static struct tfr_override kept[TFR_MAX_ARGS_GIVEN];
    const struct tfr_args *args = job->args;
    const enum tfr_status status = tfr_quantize_check(job->config, args->overrides, args->n_overrides, &job->request);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    const int code = measure(job->config, kept, keep_overrides(args, not_of_source, kept), &job->text, job->quiet, before);
    tfr_cli_end_cleanly(); /* rounding ends at once where a signal comes, and leaves nothing */
    return code;
}

/* What is said about the source's files and its type is not about the new folder. */
static int measure_folder(const struct job *job, const char *directory, struct tfr_evaluation *after) {
    static const char *const not_of_folder[] = {"model.", "output.", "runtime.dtype", "runtime.lossless", "runtime.int4_", NULL};
    static struct tfr_override kept[TFR_MAX_ARGS_GIVEN];
    const int code = measure(directory, kept, keep_overrides(job->args, not_of_folder, kept), &job->text, job->quiet, after);
    if (code != 0) {
        fprintf(stderr, "tfrun: %s is written and whole; only its perplexity was not measured\n", directory);
    }
    return code;
}

static int write_folder(struct job *job, struct tfr_quantized **quantized) {
    const struct tfr_args *args = job->args;
    struct tfr_progress_line line;
    tfr_progress_line_open(&line, job->quiet);
    job->request.progress = on_progress;
    job->request.user = &line;
    const enum tfr_status status = tfr_quantize(job->config, args->overrides, args->n_overrides, &job->request, quantized);
    tfr_progress_line_close(&line);
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

static int quantize(struct job *job) {
    const bool is_measured = job->text.bytes != NULL;
    struct tfr_evaluation before = {0}, after = {0};
    struct tfr_quantized *quantized = NULL;
    int code = is_measured ? measure_source(job, &before) : 0;
    code = code == 0 ? write_folder(job, &quantized) : code;
    if (code == 0 && is_measured) {
        code = measure_folder(job, quantized->directory, &after);
    }
    if (code == 0) {
        code = deliver(job->args, quantized, is_measured ? &before : NULL, is_measured ? &after : NULL);
    }
    if (code == 0 && !job->quiet) {
        tfr_cli_settle();
        fprintf(stderr, "tfrun: wrote %s; next: tfrun %s -p \"Hello\"\n", quantized->directory, quantized->directory);
    }
    tfr_evaluation_free(&before);
    tfr_evaluation_free(&after);
    tfr_quantized_free(quantized);
    return code;
}

static int run(struct tfr_args *args) {
    const char *config = tfr_cli_operand(args, "a config");
    struct job job = {.args = args, .config = config, .quiet = tfr_args_count(args, "quiet") > 0};
    tfr_measure_apply_flags(args);
    tfr_cli_take_folder(args);
    if (config == NULL || !read_request(args, &job.request)) {
        return tfr_exit_code(TFR_USAGE);
    }
    int code = read_text(args, &job.text);
    code = code == 0 ? quantize(&job) : code;
    free(job.text.bytes);
    return code;
}

const struct tfr_command tfr_cmd_quantize = {
    .name = "quantize",
    .operands = "CONFIG -o DIR",
    .help = "write the model with coarse weights (--to TYPE, --data)",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};

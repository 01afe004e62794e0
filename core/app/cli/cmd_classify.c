/* cmd_classify.c - `tfrun classify CONFIG`: labels of texts (-p), or of each line of a file or of stdin. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/measure.h"
#include "app/cli/results.h"

static const struct tfr_flag flags[] = {
    {"labels", "K", "the K best labels of each text or token, with their scores; 0 all [1]", 0},
    {"json", NULL, "one line of JSON for each text", 0},
    {"quiet", NULL, "only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics", 'v'},
};

static const char *const reads[] = {
    "trust",     "input.prompt", "input.file", "input.truncate", "!model.aliases", "model.",        "runtime.",
    "parallel.", "plugins",      "observe.",   "output.file",    "output.force",   "output.format", NULL,
};

struct job {
    struct tfr_engine *engine;
    struct tfr_prompt *prompts;
    struct tfr_classification *results;
    size_t n;
    int64_t n_labels;
    char *text; /* owned: what the prompts point into */
};

/* Lines without their ends; the last one needs none. */
static bool split_lines(struct job *job, size_t size) {
    size_t room = 1;
    for (size_t i = 0; i < size; i++) {
        room += job->text[i] == '\n';
    }
    job->prompts = calloc(room, sizeof *job->prompts);
    for (size_t at = 0; job->prompts != NULL && at < size;) {
        const char *line = job->text + at;
        const char *end = memchr(line, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - line) : size - at;
        at += length + 1;
        length -= length > 0 && line[length - 1] == '\r';
        job->prompts[job->n++] = (struct tfr_prompt){.text = line, .size = length};
    }
    if (job->prompts == NULL) {
        tfr_cli_no_memory("the texts");
    }
    return job->prompts != NULL;
}

/* Each -p is one text, whatever lines it has; a config's own prompt is there to be continued. */
static bool take_prompts(struct job *job, const struct tfr_args *args) {
    job->prompts = calloc(args->n_overrides + 1, sizeof *job->prompts);
    for (size_t i = 0; i < args->n_overrides && job->prompts != NULL; i++) {
        const char *text = args->overrides[i].value;
        if (strcmp(args->overrides[i].key, "input.prompt") == 0) {
            job->prompts[job->n++] = (struct tfr_prompt){.text = text, .size = strlen(text)};
        }
    }
    if (job->prompts == NULL) {
        tfr_cli_no_memory("the texts");
    }
    return job->prompts != NULL;
}

static bool collect_texts(struct job *job, const struct tfr_args *args) {
    const char *file = "-";
    if (!take_prompts(job, args) || job->n > 0) {
        return job->prompts != NULL;
    }
    for (size_t i = 0; i < args->n_overrides; i++) {
        file = strcmp(args->overrides[i].key, "input.file") == 0 ? args->overrides[i].value : file;
    }
    size_t size;
    free(job->prompts);
    job->prompts = NULL;
    job->text = tfr_cli_read(file, &size);
    return job->text != NULL && split_lines(job, size);
}

/* Tokens come one a line: an empty line stands after each text but the last. */
static enum tfr_status print_results(const struct job *job, struct tfr_kept *kept) {
    const bool json = tfr_engine_io(job->engine).json;
    for (size_t i = 0; i < job->n; i++) {
        char *text;
        const enum tfr_status status =
            tfr_report_classification(job->engine, &job->prompts[i], &job->results[i], (size_t)job->n_labels,
                                      json ? TFR_REPORT_JSON : TFR_REPORT_TEXT, &text);
        if (status != TFR_OK) {
            return status;
        }
        tfr_kept_put(kept, text, strlen(text));
        if (json || (job->results[i].is_per_token && i + 1 < job->n)) {
            tfr_kept_put(kept, "\n", 1);
        }
        tfr_string_free(text);
    }
    return TFR_OK;
}

static int deliver(const struct job *job) {
    struct tfr_kept kept = {0};
    const enum tfr_status status = print_results(job, &kept);
    int code;
    if (status != TFR_OK) {
        code = tfr_cli_fail(status);
    } else if (kept.failed) {
        code = tfr_cli_no_memory("the results");
    } else {
        code = tfr_measure_deliver(job->engine, kept.text != NULL ? kept.text : "", kept.size);
    }
    free(kept.text);
    return code;
}

static int classify(struct job *job) {
    if (job->n == 0) {
        return tfr_cli_usage("there is no text to classify; give -p, or a file or stdin with a text in each line");
    }
    job->results = calloc(job->n, sizeof *job->results);
    if (job->results == NULL) {
        return tfr_cli_no_memory("the results");
    }
    tfr_cli_catch_signals();
    enum tfr_status status = tfr_classify(job->engine, job->prompts, job->n, job->results);
    return status == TFR_OK ? deliver(job) : tfr_measure_fail(status);
}

static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    struct job job = {.engine = engine, .n_labels = 1};
    if (!tfr_cli_int(args, "labels", 0, INT32_MAX, &job.n_labels)) {
        return tfr_exit_code(TFR_USAGE);
    }
    int code = tfr_measure_check_output(engine);
    if (code == 0) {
        code = collect_texts(&job, args) ? classify(&job) : tfr_exit_code(TFR_RESOURCE);
    }
    for (size_t i = 0; job.results != NULL && i < job.n; i++) {
        tfr_classification_free(&job.results[i]);
    }
    free(job.results);
    free(job.prompts);
    free(job.text);
    return code;
}

static int run(struct tfr_args *args) {
    tfr_measure_apply_flags(args);
    return tfr_measure_run(args, drive);
}

const struct tfr_command tfr_cmd_classify = {
    .name = "classify",
    .operands = "CONFIG",
    .help = "labels of texts (-p), or of each line of a file (-f) or of stdin",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

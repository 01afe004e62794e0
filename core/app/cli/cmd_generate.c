/* cmd_generate.c - `tfrun CONFIG`: prompts in, text out. Text streams to stdout for one prompt; several come whole, in order.
 * Statistics are one line on stderr. Ranks other than 0 serve and print nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/measure.h"
#include "app/cli/results.h"

static const struct tfr_flag flags[] = {
    {"prompt-ids", "IDS", "token ids instead of text, separated by commas; each time it is given: a prompt", 0},
    {"json", NULL, "one JSON document at the end instead of text", 0},
    {"quiet", NULL, "no statistics, only errors on stderr", 'q'},
    {"verbose", NULL, "more diagnostics; -v -v for still more", 'v'},
};

struct job {
    struct tfr_engine *engine;
    struct tfr_engine_io task;
    struct tfr_prompt *prompts;
    struct tfr_generation *results;
    size_t n, n_choices; /* prompts; results of each */
    char *file_text;     /* owned text of the input file */
    int32_t *given_ids;  /* owned ids of every --prompt-ids, one behind the other */
    size_t n_given;
    bool has_text; /* there is a tokenizer; else the answer is ids */
    bool echoed;
    int write_error; /* errno of the first write that failed */
};

/* Ids behind those that are there already. */
static bool parse_ids(const char *text, struct job *job, struct tfr_prompt *prompt) {
    int32_t *first = job->given_ids + job->n_given;
    const char *at = text;
    while (*at != '\0') {
        char *end;
        errno = 0;
        long value = strtol(at, &end, 10);
        if (end == at || errno != 0 || value < 0 || value > INT32_MAX || (*end != ',' && *end != '\0')) {
            tfr_cli_usage("--prompt-ids: \"%.20s\" is not a token id; give whole numbers separated by commas", at);
            return false;
        }
        job->given_ids[job->n_given++] = (int32_t)value;
        at = *end == ',' && end[1] != '\0' ? end + 1 : end;
        if (*end == ',' && end[1] == '\0') {
            tfr_cli_usage("--prompt-ids: \"%.20s\" ends in a comma; is an id missing?", text);
            return false;
        }
    }
    *prompt = (struct tfr_prompt){.ids = first, .n_ids = (size_t)(job->given_ids + job->n_given - first)};
    return true;
}

/* Every --prompt-ids is a prompt. */
static enum tfr_status take_ids(struct job *job, const struct tfr_args *args) {
    size_t room = 1;
    for (size_t i = 0; i < job->n; i++) {
        room += strlen(tfr_args_nth(args, "prompt-ids", i)) / 2 + 1;
    }
    job->given_ids = malloc(room * sizeof *job->given_ids);
    if (job->given_ids == NULL) {
        tfr_cli_no_memory("the ids of the prompt");
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < job->n; i++) {
        if (!parse_ids(tfr_args_nth(args, "prompt-ids", i), job, &job->prompts[i])) {
            return TFR_USAGE;
        }
    }
    return TFR_OK;
}

/* Where prompts come from: --prompt-ids, then the file, then the list, then the one prompt. A failure has been told. */
static enum tfr_status collect_prompts(struct job *job, const struct tfr_args *args) {
    const struct tfr_engine_io *task = &job->task;
    const size_t n_ids = tfr_args_count(args, "prompt-ids");
    const size_t room = n_ids > 0 ? n_ids : task->n_prompts > 0 ? task->n_prompts : 1;
    job->prompts = calloc(room, sizeof *job->prompts);
    job->results = calloc(room * job->n_choices, sizeof *job->results);
    if (job->prompts == NULL || job->results == NULL) {
        tfr_cli_no_memory("the prompts");
        return TFR_RESOURCE;
    }
    job->n = room;
    if (n_ids > 0) {
        return take_ids(job, args);
    }
    for (size_t i = 0; i < task->n_prompts; i++) {
        job->prompts[i] = (struct tfr_prompt){.text = task->prompts[i], .size = strlen(task->prompts[i])};
    }
    if (task->n_prompts == 0) {
        size_t size = task->prompt != NULL ? strlen(task->prompt) : 0;
        job->file_text = task->input_file != NULL ? tfr_cli_read(task->input_file, &size) : NULL;
        if (task->input_file != NULL && job->file_text == NULL) {
            return TFR_RESOURCE;
        }
        const char *text = job->file_text != NULL ? job->file_text : task->prompt != NULL ? task->prompt : "";
        job->prompts[0] = (struct tfr_prompt){.text = text, .size = size};
    }
    return TFR_OK;
}

static bool put(struct job *job, const char *text, size_t size) {
    tfr_results_put(text, size);
    job->write_error = tfr_results_flush();
    return job->write_error == 0;
}

static bool streams(const struct job *job) {
    return !job->task.json && job->task.output_file == NULL && job->n * job->n_choices == 1 && job->has_text;
}

/* With the first token, not before: a prompt that is refused leaves stdout empty. */
static void echo_prompt(struct job *job) {
    if (!job->echoed && job->task.echo && job->prompts[0].text != NULL) {
        put(job, job->prompts[0].text, job->prompts[0].size);
    }
    job->echoed = true;
}

static bool on_text(void *user, size_t index, const char *text, size_t size) {
    (void)index;
    echo_prompt(user);
    return put(user, text, size);
}

/* New text, or new ids where there is no tokenizer. */
static void keep_result(const struct job *job, const struct tfr_generation *result, struct tfr_kept *kept) {
    if (job->has_text) {
        tfr_kept_put(kept, result->text, result->text_size);
        return;
    }
    for (size_t i = 0; i < result->n_ids; i++) {
        char id[16];
        const int size = snprintf(id, sizeof id, i > 0 ? " %d" : "%d", result->ids[i]);
        tfr_kept_put(kept, id, (size_t)size);
    }
}

/* Several texts, which may hold any lines, are told apart by a line before each. */
static void keep_heading(const struct job *job, size_t index, struct tfr_kept *kept) {
    char line[80] = "";
    const size_t prompt = index / job->n_choices + 1, choice = index % job->n_choices + 1;
    if (job->n > 1 && job->n_choices > 1) {
        snprintf(line, sizeof line, "==> prompt %zu, text %zu <==\n", prompt, choice);
    } else if (job->n > 1 || job->n_choices > 1) {
        snprintf(line, sizeof line, "==> %s %zu <==\n", job->n > 1 ? "prompt" : "text", job->n > 1 ? prompt : choice);
    }
    tfr_kept_put(kept, line, strlen(line));
}

/* All results as text, for a file or several prompts. */
static void keep_all(const struct job *job, struct tfr_kept *kept) {
    for (size_t i = 0; i < job->n * job->n_choices; i++) {
        const struct tfr_prompt *prompt = &job->prompts[i / job->n_choices];
        keep_heading(job, i, kept);
        if (job->task.echo && prompt->text != NULL) {
            tfr_kept_put(kept, prompt->text, prompt->size);
        }
        keep_result(job, &job->results[i], kept);
        tfr_kept_put(kept, "\n", 1);
    }
}

/* A whole result, to the file that was asked for or to stdout. */
static int hand_out(struct job *job, const char *text, size_t size) {
    if (job->task.output_file == NULL) {
        put(job, text, size);
        return 0;
    }
    enum tfr_status status = tfr_result_write(job->task.output_file, text, size, job->task.force);
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

static int deliver_json(struct job *job, const struct tfr_generation_stats *stats) {
    char *text;
    enum tfr_status status = tfr_generation_json(job->engine, job->results, job->n * job->n_choices, stats, &text);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    int code = hand_out(job, text, strlen(text));
    if (job->task.output_file == NULL) {
        put(job, "\n", 1);
    }
    tfr_string_free(text);
    return code;
}

static int deliver_text(struct job *job) {
    struct tfr_kept kept = {0};
    keep_all(job, &kept);
    const int code = kept.failed ? tfr_cli_no_memory("the text") : hand_out(job, kept.text, kept.size);
    free(kept.text);
    return code;
}

/* "45 MB", and of several ranks "45 + 44 + 44 MB", or from the least to the most. */
static void describe_memory(const struct tfr_generation_stats *stats, char *text, size_t size) {
    enum { MOST_LISTED = 8 };
    const int n = stats->rank_memory_bytes != NULL ? stats->n_ranks : 1;
    const int64_t *each = stats->rank_memory_bytes != NULL ? stats->rank_memory_bytes : &stats->peak_memory_bytes;
    int64_t least = each[0], most = each[0];
    size_t used = 0;
    for (int rank = 0; rank < n; rank++) {
        least = each[rank] < least ? each[rank] : least;
        most = each[rank] > most ? each[rank] : most;
        if (n <= MOST_LISTED && used < size) {
            used += (size_t)snprintf(text + used, size - used, rank > 0 ? " + %.0f" : "%.0f", (double)each[rank] / 1e6);
        }
    }
    if (n > MOST_LISTED) {
        used = (size_t)snprintf(text, size, "%.0f to %.0f", (double)least / 1e6, (double)most / 1e6);
    }
    if (used < size) {
        snprintf(text + used, size - used, n > MOST_LISTED ? " MB a rank" : " MB");
    }
}

static void print_stats(const struct tfr_generation_stats *stats, const struct job *job) {
    static const char *const reasons[] = {"cancelled", "length", "end of text", "stop text"};
    size_t n_prompts = job->n * job->n_choices;
    double prompt_s = (double)stats->prompt_ns / 1e9, decode_s = (double)stats->decode_ns / 1e9;
    double decoded = (double)stats->output_tokens - (double)n_prompts;
    double computed = (double)(stats->prompt_tokens - stats->cached_tokens);
    char cached[48] = "", memory[160];
    describe_memory(stats, memory, sizeof memory);
    tfr_cli_settle();
    if (stats->cached_tokens > 0) {
        snprintf(cached, sizeof cached, " (%zu cached)", stats->cached_tokens);
    }
    fprintf(stderr,
            "tfrun: prompt %zu tok%s %.0f ms (%.0f/s) | output %zu tok (%.1f/s, %.2f ms/step) | first token %.0f ms | "
            "load %.0f ms | packing %.0f ms | memory %s | seed %lld | stop: %s\n",
            stats->prompt_tokens, cached, prompt_s * 1e3, prompt_s > 0 ? computed / prompt_s : 0, stats->output_tokens,
            decode_s > 0 && decoded > 0 ? decoded / decode_s : 0, decoded > 0 ? decode_s * 1e3 * (double)n_prompts / decoded : 0,
            (double)stats->first_token_ns / 1e6, (double)stats->load_ns / 1e6, (double)stats->pack_ns / 1e6, memory,
            (long long)stats->seed, n_prompts == 1 ? reasons[job->results[0].finish] : "see --json");
    if (stats->rank_facts != NULL) {
        tfr_engine_log_rank_facts(job->engine, stats->rank_facts);
        tfr_engine_log_prediction(job->engine, stats, n_prompts);
    }
}

static int run_job(struct job *job) {
    const int writable = tfr_measure_check_output(job->engine);
    if (writable != 0) {
        return writable;
    }
    struct tfr_generation_stats stats;
    tfr_engine_set_digest(job->engine, job->task.json); /* nothing else tells it */
    tfr_cli_catch_signals();
    enum tfr_status status =
        tfr_generate(job->engine, job->prompts, job->n, streams(job) ? on_text : NULL, job, job->results, &stats);
    const bool ended = status == TFR_OK || status == TFR_CANCELLED;
    if (streams(job) && (ended || job->echoed)) {
        echo_prompt(job);
        put(job, "\n", 1);
    }
    if (!ended) {
        return tfr_cli_fail(status);
    }
    int code = streams(job) ? 0 : job->task.json ? deliver_json(job, &stats) : deliver_text(job);
    if (job->write_error != 0) {
        return tfr_cli_write_failure(job->write_error);
    }
    if (job->task.stats) {
        print_stats(&stats, job);
    }
    return status == TFR_OK ? code : tfr_cli_cancelled();
}

static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    struct job job = {.engine = engine, .task = tfr_engine_io(engine), .n_choices = tfr_generate_choices(engine)};
    enum tfr_status status = tfr_engine_find_tokenizer(engine, &job.has_text);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    status = collect_prompts(&job, args);
    int code = status == TFR_OK ? run_job(&job) : tfr_exit_code(status);
    for (size_t i = 0; job.results != NULL && i < job.n * job.n_choices; i++) {
        tfr_generation_free(&job.results[i]);
    }
    free(job.prompts);
    free(job.results);
    free(job.file_text);
    free(job.given_ids);
    return code;
}

static bool is_prompt(const char *key) {
    return strcmp(key, "input.prompt") == 0 || strcmp(key, "input.prompts") == 0 || strcmp(key, "input.file") == 0;
}

/* --prompt-ids beside a prompt of the command line: one of them would be passed over. */
static bool has_two_prompts(const struct tfr_args *args) {
    bool has_ids = tfr_args_flag(args, "prompt-ids") != NULL, has_text = false;
    for (size_t i = 0; i < args->n_overrides; i++) {
        has_text |= is_prompt(args->overrides[i].key);
    }
    if (has_ids && has_text) {
        tfr_cli_usage("--prompt-ids and a prompt as text exclude each other; give one");
    }
    return has_ids && has_text;
}

/* Several -p are several prompts. */
static void list_prompts(struct tfr_args *args) {
    size_t n = 0;
    for (size_t i = 0; i < args->n_overrides; i++) {
        n += strcmp(args->overrides[i].key, "input.prompt") == 0;
    }
    for (size_t i = 0; n > 1 && i < args->n_overrides; i++) {
        if (strcmp(args->overrides[i].key, "input.prompt") == 0) {
            args->overrides[i].key = "input.prompts";
        }
    }
}

static int run(struct tfr_args *args) {
    if (has_two_prompts(args)) {
        return tfr_exit_code(TFR_USAGE);
    }
    list_prompts(args);
    tfr_measure_apply_flags(args);
    return tfr_measure_run(args, drive);
}

static const char *const reads[] = {"trust",    "version",   "task",    "!model.aliases", "model.",   "input.", "sampling.",
                                    "runtime.", "parallel.", "plugins", "output.",        "observe.", NULL};

const struct tfr_command tfr_cmd_generate = {
    .name = "generate",
    .operands = "CONFIG",
    .help = "continue a prompt (what `tfrun CONFIG` does)",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

/* cmd_load.c - `tfrun load URL` and `tfrun load --in-process CONFIG`: how fast a server, or the engine alone, answers under load.
 */
#include <string.h>

#include "app/cli/measure.h"
#include "app/cli/progress.h"
#include "app/cli/results.h"
#include "app/load/load_inside.h"
#include "app/load/load_options.h"
#include "app/load/load_report.h"
#include "app/load/load_server.h"
#include "base/arena.h"
#include "base/memtext.h"

/* Static: a table of results would be much for a stack. */
static struct {
    struct tfr_load_options options;
    struct tfr_load_report report;
    struct tfr_load_result *results[TFR_LOAD_MOST_RUNS + 1];
    struct tfr_load_target *target;
    int64_t n_positions;
    struct tfr_progress_line line;
    char what[64]; /* the run under way */
    bool has_no_memory;
} load;

static const struct tfr_flag flags[] = {
    {"in-process", NULL, "the operand is a CONFIG: the same requests on an engine of this process, without HTTP", 0},
    {"clients", "LIST", "closed loops of so many clients, one after the other [1,2,4,8]", 0},
    {"rate", "LIST", "open loops of so many requests a second, one after the other", 0},
    {"arrivals", "HOW", "poisson or constant: how requests come at a rate [poisson]", 0},
    {"trace-in", "FILE", "requests of a file: lines of arrival in ms, prompt tokens, output tokens", 0},
    {"sweep", NULL, "a closed loop finds the capacity, open loops follow at shares of it", 0},
    {"percents", "LIST", "the shares of a sweep, in per cent [10,25,50,75,90,110]", 0},
    {"victim", NULL, "one decoder while long prompts arrive: the gaps between its tokens", 0},
    {"scoring", NULL, "prompts are scored (echo with logprobs), not continued", 0},
    {"whole", NULL, "replies in one piece, not streamed", 0},
    {"prompt-tokens", "N|MIN-MAX", "tokens of a prompt [128; 896 beside a victim]", 0},
    {"output-tokens", "N|MIN-MAX", "new tokens, exactly so many [64; 32 beside a victim]", 0},
    {"requests", "N", "requests of a run that count [8 a client and at least 32; 200 in an open loop; 8 beside a victim]", 0},
    {"seconds", "S", "length of a run in place of a number", 0},
    {"timeout", "S", "a request that takes longer has failed [600]", 0},
    {"warmup", "N", "requests before those that count [as many as clients; 4 in an open loop]", 0},
    {"same-prompts", NULL, "every prompt is the same", 0},
    {"shared-prefix", "N", "the first N tokens of all prompts are the same", 0},
    {"as-text", NULL, "prompts as words, each a token of GPT-2, in place of ids", 0},
    {"vocab-size", "N", "ids are below it [what the server says, else 50257]", 0},
    {"seed", "N", "of prompts, lengths and arrivals [1]", 0},
    {"slo", "LIMITS", "what a good request keeps: ttft=1s,itl=100ms,tpot=80ms,e2e=5s; each may be left out", 0},
    {"disconnect", "P", "share of the requests that leave at a random time [0]", 0},
    {"model", "NAME", "model to ask for [the first one that the server lists]", 0},
    {"api-key-env", "NAME", "environment variable that holds the key", 0},
    {"json", NULL, "one JSON document, schema tfrun-load-1", 0},
    {"svg", "FILE", "a picture too: latency and tokens over clients or rate", 0},
    {"output", "FILE", "write the result here instead of stdout", 'o'},
    {"force", NULL, "overwrite existing files", 0},
    {"quiet", NULL, "no progress on stderr", 'q'},
};

static const char *const reads[] = {"trust",   "!model.aliases", "model.",           "runtime.", "parallel.",
                                    "plugins", "observe.",       TFR_ENGINE_SERVING, NULL};

static void tell(void *user, int64_t n_ended, int64_t n_all, uint64_t elapsed_ns) {
    (void)user;
    const struct tfr_progress progress = {.what = load.what,
                                          .unit = "requests",
                                          .done = (size_t)n_ended,
                                          .total = n_all > n_ended ? (size_t)n_all : (size_t)n_ended,
                                          .elapsed_ns = elapsed_ns};
    tfr_progress_line_update(&load.line, &progress);
}

static const struct tfr_load_result *run_plan(struct tfr_load_plan plan) {
    const bool closed = plan.kind == TFR_LOAD_CLOSED || plan.kind == TFR_LOAD_VICTIM;
    snprintf(load.what, sizeof load.what, closed ? "%s, %.0f clients" : "%s, %.3g/s", tfr_load_kind_name(plan.kind),
             closed ? (double)plan.clients : plan.rate);
    tfr_progress_line_open(&load.line, load.options.quiet);
    struct tfr_load_result *result = tfr_load_run(&plan, &load.report.workload, load.target, tell, NULL);
    tfr_progress_line_close(&load.line);
    load.has_no_memory |= result == NULL;
    if (result != NULL) {
        load.results[load.report.n_results++] = result;
    }
    return result;
}

/* The last one of --clients finds the capacity. */
static void run_sweep(void) {
    static const struct tfr_load_list usual = {.values = {10, 25, 50, 75, 90, 110}, .n = 6};
    const struct tfr_load_options *options = &load.options;
    const struct tfr_load_list *percents = options->percents.n > 0 ? &options->percents : &usual;
    struct tfr_load_options probe = *options;
    probe.requests = 0;
    probe.seconds = 0;
    const int clients = options->clients.n > 0 ? (int)options->clients.values[options->clients.n - 1] : 32;
    const struct tfr_load_result *found = run_plan(tfr_load_plan_closed(&probe, clients));
    load.report.capacity = found != NULL && found->n_failed == 0 ? found->requests_per_s : 0;
    for (int i = 0; i < percents->n && load.report.capacity > 0 && !load.has_no_memory; i++) {
        struct tfr_load_plan plan = tfr_load_plan_open(options, load.report.capacity * percents->values[i] / 100);
        plan.percent = percents->values[i];
        run_plan(plan);
    }
}

static void run_all(void *user) {
    static const struct tfr_load_list usual = {.values = {1, 2, 4, 8}, .n = 4};
    const struct tfr_load_options *options = &load.options;
    (void)user;
    if (options->sweeps) {
        run_sweep();
    } else if (options->has_victim) {
        run_plan(tfr_load_plan_victim(options, load.n_positions));
    } else if (options->trace.n > 0) {
        run_plan(tfr_load_plan_trace(options));
    } else if (options->rates.n > 0) {
        for (int i = 0; i < options->rates.n && !load.has_no_memory; i++) {
            run_plan(tfr_load_plan_open(options, options->rates.values[i]));
        }
    } else {
        const struct tfr_load_list *clients = options->clients.n > 0 ? &options->clients : &usual;
        for (int i = 0; i < clients->n && !load.has_no_memory; i++) {
            run_plan(tfr_load_plan_closed(options, (int)clients->values[i]));
        }
    }
}

/* ---- what becomes of it ----------------------------------------------------------------------------------------- */

static char *as_text(enum tfr_status (*put)(const struct tfr_load_report *report, FILE *out)) {
    char *text = NULL;
    size_t size;
    FILE *out;
    if (tfr_memtext_open(&out, &text, &size) != TFR_OK) {
        return NULL;
    }
    return tfr_memtext_end(out, &text, put(&load.report, out)) == TFR_OK ? text : NULL;
}

static int write_to(const char *path, const char *text) {
    const enum tfr_status status = tfr_result_write(path, text, text != NULL ? strlen(text) : 0, load.options.force);
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

/* Before the work: whether what comes of it can be kept. */
static int check_files(const struct tfr_args *args) {
    int code = tfr_measure_check_names(args);
    code = code == 0 && load.options.output != NULL ? write_to(load.options.output, NULL) : code;
    return code == 0 && load.options.svg != NULL ? write_to(load.options.svg, NULL) : code;
}

static int deliver(void) {
    char *text = as_text(load.options.json ? tfr_load_report_json : tfr_load_report_text);
    char *svg = load.options.svg != NULL ? as_text(tfr_load_report_picture) : NULL;
    int code;
    if (text == NULL || (load.options.svg != NULL && svg == NULL)) {
        code = tfr_cli_no_memory("the report");
    } else if (load.options.output != NULL) {
        code = write_to(load.options.output, text);
    } else {
        tfr_results_put(text, strlen(text));
        code = tfr_cli_flush();
    }
    if (code == 0 && svg != NULL) {
        code = write_to(load.options.svg, svg);
    }
    tfr_free(text);
    tfr_free(svg);
    return code;
}

/* Refusals are an answer, unless there is no other. */
static int judge(void) {
    int64_t n_failed = 0, n_done = 0;
    const char *first = NULL;
    for (size_t i = 0; i < load.report.n_results; i++) {
        first = first == NULL && load.results[i]->n_failed > 0 ? load.results[i]->error : first;
        n_failed += load.results[i]->n_failed;
        n_done += load.results[i]->n_done + load.results[i]->n_left;
    }
    if (n_failed > 0) {
        fprintf(stderr, "tfrun: %lld request%s failed, the first with: %s\n", (long long)n_failed, n_failed == 1 ? "" : "s", first);
    } else if (n_done == 0) {
        fprintf(stderr, "tfrun: every request was refused\n");
    }
    return n_failed > 0 || n_done == 0 ? tfr_exit_code(TFR_RUNTIME) : 0;
}

static int finish(void) {
    if (load.has_no_memory) {
        return tfr_cli_no_memory("what was measured");
    }
    const int code = deliver(), verdict = judge();
    return code != 0 ? code : verdict;
}

/* Prompts and texts must fit the model, as far as its size is known. 0, or an exit code. */
static int check_lengths(void) {
    const struct tfr_load_workload *workload = &load.report.workload;
    int64_t most = workload->prompt_tokens.high + (workload->scoring ? 1 : workload->output_tokens.high);
    for (int64_t i = 0; i < load.options.trace.n; i++) {
        const struct tfr_load_arrival *line = &load.options.trace.arrivals[i];
        const int64_t length = line->prompt_tokens + (workload->scoring ? 1 : line->output_tokens);
        most = i == 0 || length > most ? length : most;
    }
    if (load.n_positions > 0 && most > load.n_positions) {
        return tfr_cli_usage(
            "%lld tokens of prompt and output are more than the model's %lld positions; shorten --prompt-tokens or "
            "--output-tokens",
            (long long)most, (long long)load.n_positions);
    }
    return 0;
}

/* ---- the two targets -------------------------------------------------------------------------------------------- */

static void say(void *user, const char *what) {
    (void)user;
    if (!load.options.quiet) {
        fprintf(stderr, "tfrun: %s\n", what);
    }
}

static int drive_inside(struct tfr_engine *engine, const struct tfr_args *args) {
    static char what[64];
    (void)args;
    load.n_positions = tfr_engine_n_positions(engine);
    load.report.workload.vocab_size = tfr_engine_vocab_size(engine);
    snprintf(what, sizeof what, "tfrun %s, %d thread%s, %d rank%s", tfr_version(), tfr_engine_threads(engine),
             tfr_engine_threads(engine) == 1 ? "" : "s", tfr_engine_size(engine), tfr_engine_size(engine) == 1 ? "" : "s");
    load.report.what = what;
    const int code = check_lengths();
    if (code != 0) {
        return code;
    }
    enum tfr_status status = tfr_engine_warm(engine, say, NULL); /* as a server does before it listens */
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    load.target = tfr_load_inside_open(engine, &load.report.workload);
    if (load.target == NULL) {
        return tfr_cli_no_memory("the requests");
    }
    status = tfr_load_inside_drive(load.target, run_all, NULL);
    tfr_load_inside_close(load.target);
    return status == TFR_OK ? finish() : tfr_cli_fail(status);
}

static int run_outside(const char *url) {
    static struct tfr_load_server server;
    char error[512];
    server.key = load.options.key;
    if (load.options.model != NULL && strlen(load.options.model) >= sizeof server.model) {
        return tfr_cli_usage("--model: the name has more than %zu bytes", sizeof server.model - 1);
    }
    snprintf(server.model, sizeof server.model, "%s", load.options.model != NULL ? load.options.model : "");
    enum tfr_status status = tfr_load_server_find(&server, url, error, sizeof error);
    status = status == TFR_OK ? tfr_load_server_ask(&server, error, sizeof error) : status;
    if (status != TFR_OK) {
        fprintf(stderr, "tfrun: %s\n", error);
        return tfr_exit_code(status);
    }
    load.n_positions = server.n_positions;
    load.report.model = server.model;
    load.report.what = server.what;
    load.report.workload.vocab_size = load.options.vocab_size > 0 ? load.options.vocab_size
                                      : server.vocab_size > 0     ? server.vocab_size
                                                                  : 50257;
    load.report.workload.vocab_guessed = load.options.vocab_size == 0 && server.vocab_size == 0;
    const int code = check_lengths();
    if (code != 0) {
        return code;
    }
    load.target = tfr_load_client_open(&server, &load.report.workload);
    if (load.target == NULL) {
        return tfr_cli_no_memory("the connections");
    }
    run_all(NULL);
    tfr_load_client_close(load.target);
    return finish();
}

static int run(struct tfr_args *args) {
    int code = tfr_load_options_read(&load.options, args);
    if (code == 0 && !load.options.is_inside && tfr_launched_rank() != 0) {
        return 0;
    }
    const char *operand = code == 0 ? tfr_cli_operand(args, "a server, http://HOST:PORT, or --in-process CONFIG") : NULL;
    if (operand == NULL) {
        return code != 0 ? code : tfr_exit_code(TFR_USAGE);
    }
    if (!load.options.is_inside && args->n_overrides > 0) {
        return tfr_cli_usage("%s has no effect on a server that runs already; give it to `tfrun serve`, or add --in-process",
                             tfr_args_word(&args->overrides[0]));
    }
    load.report = (struct tfr_load_report){.target = operand,
                                           .model = operand,
                                           .what = "",
                                           .is_inside = load.options.is_inside,
                                           .workload = load.options.workload,
                                           .slo = load.options.slo,
                                           .results = load.results};
    code = tfr_launched_rank() == 0 ? check_files(args) : 0;
    if (code == 0) {
        code = load.options.is_inside ? tfr_measure_run(args, drive_inside) : run_outside(operand);
    }
    for (size_t i = 0; i < load.report.n_results; i++) {
        tfr_load_result_free(load.results[i]);
    }
    tfr_load_options_free(&load.options);
    return code;
}

const struct tfr_command tfr_cmd_load = {
    .name = "load",
    .operands = "URL",
    .help = "put load on a server, or on the engine alone (--in-process CONFIG), and measure",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};

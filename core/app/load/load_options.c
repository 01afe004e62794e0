/* load_options.c - see load_options.h. */
#include "app/load/load_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool has(const struct tfr_args *args, const char *flag) {
    return tfr_args_flag(args, flag) != NULL;
}

/* A number without sign at the start of a text, and what follows it. */
static bool take_number(const char **text, double *value) {
    char *end;
    if (**text < '0' || **text > '9') {
        return false;
    }
    *value = strtod(*text, &end);
    *text = end;
    return isfinite(*value);
}

static bool read_number(const struct tfr_args *args, const char *flag, double min, double max, double *value) {
    const char *text = tfr_args_flag(args, flag), *at = text;
    if (text == NULL) {
        return true;
    }
    if (!take_number(&at, value) || *at != '\0' || *value < min || *value > max) {
        tfr_cli_usage("--%s: \"%s\" is not a number in %g..%g", flag, text, min, max);
        return false;
    }
    return true;
}

static bool read_list(const struct tfr_args *args, const char *flag, double min, double max, bool whole,
                      struct tfr_load_list *list) {
    const char *text = tfr_args_flag(args, flag);
    for (const char *at = text; at != NULL;) {
        double value;
        if (list->n == TFR_LOAD_MOST_RUNS) {
            tfr_cli_usage("--%s: more than %d numbers", flag, TFR_LOAD_MOST_RUNS);
            return false;
        }
        const bool good = take_number(&at, &value) && (*at == ',' || *at == '\0');
        if (!good || value < min || value > max || (whole && value != floor(value))) {
            tfr_cli_usage("--%s: \"%s\" is not a list of %s in %g..%g between commas", flag, text,
                          whole ? "whole numbers" : "numbers", min, max);
            return false;
        }
        list->values[list->n++] = value;
        at = *at == ',' ? at + 1 : NULL;
    }
    return true;
}

/* "64" or "32-128". */
static bool read_range(const struct tfr_args *args, const char *flag, struct tfr_load_range *range) {
    const char *text = tfr_args_flag(args, flag), *at = text;
    double low = 0, high;
    if (text == NULL) {
        return true;
    }
    bool good = take_number(&at, &low);
    high = low;
    if (good && *at == '-') {
        at++;
        good = take_number(&at, &high);
    }
    if (!good || *at != '\0' || low < 1 || high < low || high > 1e6 || low != floor(low) || high != floor(high)) {
        tfr_cli_usage("--%s: \"%s\" is neither a number of tokens nor two of them, MIN-MAX", flag, text);
        return false;
    }
    *range = (struct tfr_load_range){.low = (int64_t)low, .high = (int64_t)high};
    return true;
}

/* "ttft=1s,itl=100ms". */
static bool read_slo(const struct tfr_args *args, struct tfr_load_slo *slo) {
    const struct {
        const char *name;
        uint64_t *ns;
    } limits[] = {{"ttft=", &slo->ttft}, {"itl=", &slo->itl}, {"tpot=", &slo->tpot}, {"e2e=", &slo->e2e}};
    const char *text = tfr_args_flag(args, "slo"), *at = text;
    while (at != NULL) {
        size_t i = 0;
        while (i < 4 && strncmp(at, limits[i].name, strlen(limits[i].name)) != 0) {
            i++;
        }
        double value = 0;
        at += i < 4 ? strlen(limits[i].name) : 0;
        bool good = i < 4 && take_number(&at, &value) && value > 0;
        const size_t unit = strcspn(at, ",");
        const double scale = unit == 1 && *at == 's' ? 1e9 : unit == 2 && strncmp(at, "ms", 2) == 0 ? 1e6 : 0;
        if (!good || scale == 0 || value * scale < 1 || value * scale > 1e13) { /* whole ns; none would be no limit */
            tfr_cli_usage("--slo: \"%s\" is not a list like ttft=1s,itl=100ms of ttft, itl, tpot and e2e, each with s or ms", text);
            return false;
        }
        *limits[i].ns = (uint64_t)(value * scale);
        at = at[unit] == ',' ? at + unit + 1 : NULL;
    }
    return true;
}

static bool read_arrivals(const struct tfr_args *args, bool *constant) {
    const char *how = tfr_args_flag(args, "arrivals");
    *constant = how != NULL && strcmp(how, "constant") == 0;
    if (how != NULL && !*constant && strcmp(how, "poisson") != 0) {
        tfr_cli_usage("--arrivals: \"%s\" is neither poisson nor constant; those of a file come by --trace-in FILE", how);
        return false;
    }
    return true;
}

static bool read_key(const struct tfr_args *args, const char **key) {
    const char *name = tfr_args_flag(args, "api-key-env");
    *key = name != NULL ? getenv(name) : NULL;
    if (name != NULL && (*key == NULL || **key == '\0')) {
        tfr_cli_usage("--api-key-env: there is no variable %s in the environment", name);
        return false;
    }
    if (*key != NULL && (strlen(*key) > 512 || strpbrk(*key, "\r\n") != NULL)) {
        tfr_cli_usage("--api-key-env: what %s holds is no key: one line of at most 512 bytes", name);
        return false;
    }
    return true;
}

static void widen(struct tfr_load_range *range, int64_t value) {
    range->low = value < range->low ? value : range->low;
    range->high = value > range->high ? value : range->high;
}

/* For the report: the lengths are those of the lines. */
static void take_lengths(struct tfr_load_options *options) {
    struct tfr_load_workload *workload = &options->workload;
    workload->prompt_tokens = workload->output_tokens = (struct tfr_load_range){.low = INT64_MAX, .high = 0};
    for (int64_t i = 0; i < options->trace.n; i++) {
        widen(&workload->prompt_tokens, options->trace.arrivals[i].prompt_tokens);
        widen(&workload->output_tokens, options->trace.arrivals[i].output_tokens);
    }
}

static int take_trace(struct tfr_load_options *options, const char *path, const char *text, size_t size) {
    char error[512];
    if (strlen(text) < size) {
        return tfr_cli_usage("%s: byte %zu is NUL; a trace is lines of plain text", path, strlen(text) + 1);
    }
    if (!tfr_load_trace_parse(&options->trace, path, text, error, sizeof error)) {
        return tfr_cli_usage("%s", error);
    }
    if (options->warmup >= options->trace.n) {
        return tfr_cli_usage("--warmup %lld: %s has %lld requests, and none would count; give less", (long long)options->warmup,
                             path, (long long)options->trace.n);
    }
    take_lengths(options);
    return 0;
}

/* Of several ranks the first alone sends requests, but all read a file, and fail alike; stdin can be read only once. */
static int read_trace(const struct tfr_args *args, struct tfr_load_options *options) {
    const char *path = tfr_args_flag(args, "trace-in");
    if (path == NULL || (strcmp(path, "-") == 0 && tfr_launched_rank() > 0)) {
        return 0;
    }
    size_t size;
    char *text = tfr_cli_read(path, &size);
    const int code = text != NULL ? take_trace(options, path, text, size) : tfr_exit_code(TFR_RESOURCE);
    free(text);
    return code;
}

/* Two words that exclude each other, or a word that means nothing without another. NULL: all is well. */
static const char *clash(const struct tfr_args *args, const struct tfr_load_options *options) {
    const int modes = (has(args, "rate") && !options->sweeps) + has(args, "trace-in") + options->sweeps + options->has_victim;
    const bool closed = modes == 0 || options->sweeps || options->has_victim;
    if (modes > 1 || (has(args, "rate") && options->sweeps)) {
        return "--rate, --trace-in, --sweep and --victim are each a kind of run: give one";
    }
    if (has(args, "clients") && !closed) {
        return "--clients is of a closed loop: leave it out beside --rate and --trace-in";
    }
    if (has(args, "percents") && !options->sweeps) {
        return "--percents are those of a sweep: give --sweep too";
    }
    if (has(args, "arrivals") && !has(args, "rate") && !options->sweeps) {
        return "--arrivals says how requests come at a rate: give --rate or --sweep too";
    }
    if (has(args, "trace-in") &&
        (has(args, "requests") || has(args, "seconds") || has(args, "prompt-tokens") || has(args, "output-tokens"))) {
        return "the trace says how many requests there are, and how long: leave --requests, --seconds, --prompt-tokens and "
               "--output-tokens out";
    }
    if (options->has_victim && (has(args, "scoring") || has(args, "whole") || has(args, "disconnect") || has(args, "seconds"))) {
        return "a victim has a stream, and its prompts are counted: leave --scoring, --whole, --disconnect and --seconds out";
    }
    if (options->has_victim && options->clients.n > 1) {
        return "a victim is one run: give one number of --clients";
    }
    if ((options->workload.scoring || options->workload.whole) && (options->slo.itl > 0 || options->slo.tpot > 0)) {
        return "a reply that comes whole has no gaps between tokens: leave itl and tpot of --slo out beside --whole and --scoring";
    }
    if (options->workload.as_text && has(args, "vocab-size")) {
        return "--as-text sends words and no ids: leave --vocab-size out";
    }
    if (options->workload.scoring && (has(args, "output-tokens") || has(args, "whole"))) {
        return "a scored prompt has no new tokens and comes whole: leave --output-tokens and --whole out";
    }
    if (options->is_inside && (options->workload.whole || options->workload.as_text || has(args, "api-key-env") ||
                               has(args, "model") || has(args, "vocab-size"))) {
        return "--whole, --as-text, --model, --vocab-size and --api-key-env are said to a server: leave them out beside "
               "--in-process";
    }
    if (options->workload.same_prompts && options->workload.shared_prefix > 0) {
        return "--same-prompts shares more than --shared-prefix: give one";
    }
    return NULL;
}

static bool read_numbers(struct tfr_load_options *options, const struct tfr_args *args) {
    int64_t seed = 1;
    struct tfr_load_workload *workload = &options->workload;
    const bool good = read_list(args, "clients", 1, 1024, true, &options->clients) &&
                      read_list(args, "rate", 1e-3, 1e5, false, &options->rates) &&
                      read_list(args, "percents", 1, 1000, false, &options->percents) &&
                      read_range(args, "prompt-tokens", &workload->prompt_tokens) &&
                      read_range(args, "output-tokens", &workload->output_tokens) &&
                      tfr_cli_int(args, "requests", 1, 10000000, &options->requests) &&
                      read_number(args, "seconds", 0.1, 86400, &options->seconds) &&
                      read_number(args, "timeout", 0.1, 86400, &options->timeout_s) &&
                      tfr_cli_int(args, "warmup", 0, 1000000, &options->warmup) &&
                      tfr_cli_int(args, "shared-prefix", 0, 1000000, &workload->shared_prefix) &&
                      tfr_cli_int(args, "vocab-size", 2, INT32_MAX, &options->vocab_size) &&
                      tfr_cli_int(args, "seed", 0, INT64_MAX, &seed) && read_slo(args, &options->slo) &&
                      read_number(args, "disconnect", 0, 1, &workload->disconnect);
    workload->seed = (uint64_t)seed;
    return good;
}

int tfr_load_options_read(struct tfr_load_options *options, const struct tfr_args *args) {
    const bool victim = has(args, "victim");
    *options = (struct tfr_load_options){
        .is_inside = has(args, "in-process"),
        .sweeps = has(args, "sweep"),
        .has_victim = victim,
        .json = has(args, "json"),
        .quiet = tfr_args_count(args, "quiet") > 0,
        .force = has(args, "force"),
        .model = tfr_args_flag(args, "model"),
        .svg = tfr_args_flag(args, "svg"),
        .output = tfr_args_flag(args, "output"),
        .warmup = -1,
        .timeout_s = 600,
        .workload = {.prompt_tokens = {victim ? 896 : 128, victim ? 896 : 128},
                     .output_tokens = {victim ? 32 : 64, victim ? 32 : 64},
                     .same_prompts = has(args, "same-prompts"),
                     .as_text = has(args, "as-text"),
                     .scoring = has(args, "scoring"),
                     .whole = has(args, "whole")},
    };
    if (!read_numbers(options, args) || !read_arrivals(args, &options->is_constant) || !read_key(args, &options->key)) {
        return tfr_exit_code(TFR_USAGE);
    }
    const char *wrong = clash(args, options);
    return wrong != NULL ? tfr_cli_usage("%s", wrong) : read_trace(args, options);
}

void tfr_load_options_free(struct tfr_load_options *options) {
    free(options->trace.arrivals);
}

/* ---- plans ---------------------------------------------------------------------------------------------------- */

static struct tfr_load_plan usual(const struct tfr_load_options *options, enum tfr_load_kind kind, int64_t requests,
                                  int64_t warmup) {
    const bool timed = options->seconds > 0;
    return (struct tfr_load_plan){.kind = kind,
                                  .requests = options->requests > 0 ? options->requests
                                              : timed               ? 0
                                                                    : requests,
                                  .warmup = options->warmup >= 0 ? options->warmup : warmup,
                                  .seconds = options->seconds,
                                  .timeout_s = options->timeout_s,
                                  .slo = options->slo};
}

struct tfr_load_plan tfr_load_plan_closed(const struct tfr_load_options *options, int clients) {
    struct tfr_load_plan plan = usual(options, TFR_LOAD_CLOSED, clients > 4 ? 8 * clients : 32, clients);
    plan.clients = clients;
    return plan;
}

struct tfr_load_plan tfr_load_plan_open(const struct tfr_load_options *options, double rate) {
    struct tfr_load_plan plan = usual(options, options->is_constant ? TFR_LOAD_CONSTANT : TFR_LOAD_POISSON, 200, 4);
    plan.rate = rate;
    return plan;
}

struct tfr_load_plan tfr_load_plan_trace(const struct tfr_load_options *options) {
    struct tfr_load_plan plan = usual(options, TFR_LOAD_REPLAY, options->trace.n, 0);
    const double last_s = options->trace.arrivals[options->trace.n - 1].at_s;
    plan.trace = &options->trace;
    plan.rate = last_s > 0 ? (double)options->trace.n / last_s : 0;
    return plan;
}

struct tfr_load_plan tfr_load_plan_victim(const struct tfr_load_options *options, int64_t n_positions) {
    struct tfr_load_plan plan = usual(options, TFR_LOAD_VICTIM, 8, 0);
    plan.clients = options->clients.n > 0 ? (int)options->clients.values[0] : 1;
    plan.victim_tokens = (n_positions > 0 ? n_positions : 1024) - 24; /* its prompt has 16 */
    return plan;
}

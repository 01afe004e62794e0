/* arrivals.c - see arrivals.h. */
#include "app/load/arrivals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { MOST_SECONDS = 100000000 }; /* of a trace: in ns they fit */

/* Each use of random numbers has a place of its own. */
enum { GAPS = 1, LENGTHS, LEAVERS, SHARED, PROMPTS };

static uint64_t place(uint64_t use, int64_t number) {
    return use << 48 | (uint64_t)number;
}

double tfr_load_gap(uint64_t seed, int64_t number, double rate, bool poisson) {
    return poisson ? -log1p(-tfr_philox_uniform(seed, place(GAPS, number), 0)) / rate : 1 / rate;
}

static int64_t draw(const struct tfr_load_workload *workload, int64_t number, int which, struct tfr_load_range range) {
    const double share = tfr_philox_uniform(workload->seed, place(LENGTHS, number), (uint64_t)which);
    const int64_t value = range.low + (int64_t)(share * (double)(range.high - range.low + 1));
    return value < range.high ? value : range.high;
}

void tfr_load_shape(const struct tfr_load_workload *workload, const struct tfr_load_arrival *given,
                    struct tfr_load_request *request) {
    enum { MOST_MS = 200 };
    const uint64_t leavers = place(LEAVERS, request->number);
    const bool comes_whole = workload->whole || workload->scoring; /* has no events to leave between */
    request->n_prompt = given != NULL ? given->prompt_tokens : draw(workload, request->number, 0, workload->prompt_tokens);
    request->n_output = given != NULL ? given->output_tokens : draw(workload, request->number, 1, workload->output_tokens);
    request->leave_after = -1;
    if (tfr_philox_uniform(workload->seed, leavers, 0) < workload->disconnect) {
        const double share = comes_whole ? 0 : tfr_philox_uniform(workload->seed, leavers, 1);
        request->leave_after = (int64_t)(share * (double)request->n_output);
        request->leave_ns = (uint64_t)(tfr_philox_uniform(workload->seed, leavers, 2) * MOST_MS * 1e6);
    }
}

static uint32_t number_at(const struct tfr_load_workload *workload, const struct tfr_load_request *request, int64_t at) {
    const bool shared = workload->same_prompts || at < workload->shared_prefix;
    const uint64_t high = shared ? place(SHARED, 0) : place(PROMPTS, request->number);
    return tfr_philox(workload->seed, high, (uint64_t)at).word[0];
}

/* The last id is the end of text in GPT-2's vocabulary, which is no word of a prompt. */
int32_t tfr_load_id(const struct tfr_load_workload *workload, const struct tfr_load_request *request, int64_t at) {
    const int64_t n = workload->vocab_size > 1 ? workload->vocab_size - 1 : 1;
    return (int32_t)(number_at(workload, request, at) % (uint64_t)n);
}

const char *tfr_load_word(const struct tfr_load_workload *workload, const struct tfr_load_request *request, int64_t at) {
    static const char *const words[] = {" time",   " people", " water", " words",  " place", " number", " house",  " world",
                                        " school", " point",  " hand",  " story",  " night", " river",  " garden", " light",
                                        " family", " music",  " paper", " road",   " city",  " door",   " table",  " ship",
                                        " king",   " tree",   " horse", " winter", " bread", " stone",  " voice",  " letter"};
    const char *word = words[number_at(workload, request, at) % (sizeof words / sizeof words[0])];
    return at == 0 ? word + 1 : word;
}

/* Three numbers of a line; false if there is anything else. */
static bool parse_line(const char *line, size_t size, double number[3]) {
    char text[256], *at = text;
    if (size >= sizeof text) {
        return false;
    }
    memcpy(text, line, size);
    text[size] = '\0';
    for (int i = 0; i < 3; i++) {
        char *end;
        at += strspn(at, i > 0 ? " \t,;" : " \t");
        number[i] = strtod(at, &end);
        if (end == at || !isfinite(number[i])) {
            return false;
        }
        at = end;
    }
    return at[strspn(at, " \t\r")] == '\0';
}

static bool add_line(struct tfr_load_trace *trace, const double number[3]) {
    if ((trace->n & (trace->n - 1)) == 0) { /* none, or as many as there is room for */
        const int64_t room = trace->n > 0 ? 2 * trace->n : 1;
        struct tfr_load_arrival *grown = realloc(trace->arrivals, (size_t)room * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        trace->arrivals = grown;
    }
    trace->arrivals[trace->n++] = (struct tfr_load_arrival){
        .at_s = number[0] / 1e3, .prompt_tokens = (int64_t)number[1], .output_tokens = (int64_t)number[2]};
    return true;
}

/* What is wrong with a line, or NULL. Times are compared as they are kept: back in ms an equal one may look later. */
static const char *judge(const struct tfr_load_trace *trace, const double number[3]) {
    const double at_s = number[0] / 1e3, last_s = trace->n > 0 ? trace->arrivals[trace->n - 1].at_s : 0;
    if (at_s < last_s) {
        return trace->n > 0 ? "its time is before that of the line above" : "its time is negative";
    }
    if (at_s > MOST_SECONDS) {
        return "its time is above 1e11 ms, which is three years";
    }
    const bool whole = number[1] == floor(number[1]) && number[2] == floor(number[2]);
    return whole && number[1] >= 1 && number[2] >= 1 && number[1] <= 1e6 && number[2] <= 1e6
               ? NULL
               : "tokens are whole numbers in 1..1000000";
}

/* A first line that begins like a number is meant as one. */
static bool has_names(const char *line) {
    line += strspn(line, " \t");
    return strchr("+-.0123456789", *line) == NULL;
}

bool tfr_load_trace_parse(struct tfr_load_trace *trace, const char *name, const char *text, char *error, size_t size) {
    static const char mark[] = "\xef\xbb\xbf"; /* of the order of bytes, as some programs begin a text */
    *trace = (struct tfr_load_trace){0};
    int line = 0;
    for (const char *at = text + (strncmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0); *at != '\0';) {
        const size_t length = strcspn(at, "\n");
        double number[3];
        const char *wrong = NULL;
        const bool blank = strspn(at, " \t\r") >= length || *at == '#';
        line++;
        if (!blank && parse_line(at, length, number)) {
            wrong = judge(trace, number);
            wrong = wrong != NULL || add_line(trace, number) ? wrong : "there is no memory for it";
        } else if (!blank && !(line == 1 && has_names(at))) {
            wrong = "it is not three numbers: arrival in ms, prompt tokens, output tokens";
        }
        if (wrong != NULL) {
            snprintf(error, size, "%s:%d: %s", name, line, wrong);
            free(trace->arrivals);
            return false;
        }
        at += length + (at[length] == '\n');
    }
    if (trace->n == 0) {
        snprintf(error, size, "%s: there is no arrival in it; give lines of three numbers: ms, prompt tokens, output tokens", name);
    }
    return trace->n > 0;
}

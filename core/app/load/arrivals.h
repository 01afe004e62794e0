/* arrivals.h - when the requests of a run come, and how long they are: pure functions of a seed and a request's number. */
#ifndef TFR_APP_LOAD_ARRIVALS_H
#define TFR_APP_LOAD_ARRIVALS_H

#include "app/load/load.h"

/* A line of a trace. */
struct tfr_load_arrival {
    double at_s; /* since the run's start */
    int64_t prompt_tokens, output_tokens;
};
struct tfr_load_trace {
    struct tfr_load_arrival *arrivals; /* free() it */
    int64_t n;
};

/* Lines of three numbers (arrival in ms, prompt tokens, output tokens) between blanks, tabs or commas; a line that begins with # is
 * passed over, and a first line of names. Times do not fall, and end at 1e11 ms. False with a sentence. */
bool tfr_load_trace_parse(struct tfr_load_trace *trace, const char *name, const char *text, char *error, size_t size);

/* Seconds between arrival number - 1 and this one: of a rate (1/s), as a Poisson process or always the same. */
double tfr_load_gap(uint64_t seed, int64_t number, double rate, bool poisson);

/* Lengths, which are drawn unless a line of a trace has them, and whether and where it leaves. */
void tfr_load_shape(const struct tfr_load_workload *workload, const struct tfr_load_arrival *given,
                    struct tfr_load_request *request);
/* Id `at` of the prompt of a request. */
int32_t tfr_load_id(const struct tfr_load_workload *workload, const struct tfr_load_request *request, int64_t at);
/* The same prompt as words, each of which is one token of GPT-2: " word", the first without its blank. */
const char *tfr_load_word(const struct tfr_load_workload *workload, const struct tfr_load_request *request, int64_t at);

#endif

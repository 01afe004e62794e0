/* load_result.h - what one run measured. Definitions: docs/serving.md, "Measuring". */
#ifndef TFR_APP_LOAD_LOAD_RESULT_H
#define TFR_APP_LOAD_LOAD_RESULT_H

#include "app/load/histogram.h"
#include "app/load/load.h"

enum tfr_load_kind { TFR_LOAD_CLOSED, TFR_LOAD_POISSON, TFR_LOAD_CONSTANT, TFR_LOAD_REPLAY, TFR_LOAD_VICTIM, TFR_LOAD_KIND_COUNT };

/* Something that happened at a time: tokens that came, a request that ended. */
struct tfr_load_series {
    struct tfr_load_point {
        uint64_t ns;
        int64_t value;
    } * points;
    size_t n, capacity;
};

enum { TFR_LOAD_MOST_STATUS = 64 };

struct tfr_load_result {
    enum tfr_load_kind kind;
    int64_t clients;
    double rate;    /* arrivals per second that were asked for; of a closed loop 0 */
    double percent; /* of the capacity, in a sweep; else 0 */
    /* Of requests that count and were done: ns. `late` is how late the generator itself was. */
    struct tfr_histogram ttft, itl, tpot, e2e, refusal, late;
    struct tfr_histogram itl_alone; /* of the victim; its gaps beside prompts are in itl */
    int64_t n_done, n_good, n_refused, n_failed, n_left, n_short;
    struct {
        int status;
        int64_t n;
    } failed[TFR_LOAD_MOST_STATUS];
    char error[256]; /* of the first that failed */
    /* In the steady window. */
    double window_s, requests_per_s, output_per_s, prompt_per_s, good_per_s;
    double seconds, cpu_share; /* of the run; of one core, that the generator used */
    struct tfr_load_series output, prompt, ended, good;
    bool has_no_memory;
};

struct tfr_load_result *tfr_load_result_new(void);
void tfr_load_result_free(struct tfr_load_result *result);
void tfr_load_result_add(struct tfr_load_result *result, struct tfr_load_series *series, uint64_t ns, int64_t value);
/* A request has ended. Failures, refusals and those that left are counted in the warm-up too. */
void tfr_load_result_take(struct tfr_load_result *result, const struct tfr_load_request *request, const struct tfr_load_slo *slo);
/* The rates between two times; where nothing ended between them, up to `last_ns`. */
void tfr_load_result_settle(struct tfr_load_result *result, uint64_t begin_ns, uint64_t end_ns, uint64_t last_ns);

#endif

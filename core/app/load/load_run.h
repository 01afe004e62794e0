/* load_run.h - one run: when its requests start, until all have ended. */
#ifndef TFR_APP_LOAD_LOAD_RUN_H
#define TFR_APP_LOAD_LOAD_RUN_H

#include "app/load/arrivals.h"
#include "app/load/load_result.h"

struct tfr_load_plan {
    enum tfr_load_kind kind;
    int clients; /* of a closed loop; of VICTIM those that send prompts beside it */
    double rate, percent;
    const struct tfr_load_trace *trace; /* of REPLAY */
    int64_t requests, warmup;           /* that count, 0: by time; those before them */
    double seconds;                     /* 0: by number */
    double timeout_s;                   /* a request that takes longer has failed */
    int64_t victim_tokens;              /* of VICTIM: how long its text is */
    struct tfr_load_slo slo;
};

/* How far it is; may be NULL. */
typedef void (*tfr_load_tell_fn)(void *user, int64_t n_ended, int64_t n_all, uint64_t elapsed_ns);

/* NULL without memory. Free with tfr_load_result_free. */
struct tfr_load_result *tfr_load_run(const struct tfr_load_plan *plan, const struct tfr_load_workload *workload,
                                     struct tfr_load_target *target, tfr_load_tell_fn tell, void *user);

#endif

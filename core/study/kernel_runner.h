/* kernel_runner.h - one kernel made ready for the problem of a case: packed weights, state and scratch, as a plan would have them.
 * Thread rule: the thread that drives the team. */
#ifndef TFR_STUDY_KERNEL_RUNNER_H
#define TFR_STUDY_KERNEL_RUNNER_H

#include <stdatomic.h>

#include "base/arena.h"
#include "study/kernel_data.h"
#include "team/team.h"

struct tfr_kernel_runner {
    const struct tfr_kernel *kernel;
    const struct tfr_kernel_data *data;
    struct tfr_team *team;
    struct tfr_problem problem;
    struct tfr_needs needs;
    struct tfr_block packed[TFR_MAX_ARGS], state, run_state, scratch;
    size_t thread_scratch_bytes; /* of each thread, behind the team's */
    bool is_initialised;
    void *arg[TFR_MAX_ARGS];
    struct tfr_run_args args;
    int chosen;            /* repeats that make a time; its user's */
    int repeats;           /* of the call that runs or was the last */
    uint64_t took_ns;      /* of all of them */
    atomic_flag is_noted;  /* a failure, by the thread that came first */
    enum tfr_status noted; /* TFR_OK: none */
    char reason[128];
};

/* Bytes that opening it takes. */
double tfr_kernel_runner_bytes(const struct tfr_needs *needs, int n_threads);
/* `problem` as the kernel was asked, `needs` as it answered; `out` has room for data->out_bytes_max. Fails where
 * the kernel can not be made ready; to be closed then too. */
enum tfr_status tfr_kernel_runner_open(struct tfr_kernel_runner *runner, enum tfr_hugepages hugepages, float *out);
void tfr_kernel_runner_close(struct tfr_kernel_runner *runner);
/* Runs it so often, on its class of threads. `seconds` (may be NULL): of one run, the mean. TFR_RUNTIME where the kernel fails. */
enum tfr_status tfr_kernel_runner_time(struct tfr_kernel_runner *runner, int repeats, double *seconds);

#endif

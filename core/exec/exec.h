/* exec.h - stage 5: walks a plan. It chooses nothing but the next ready task.
 *
 * One region of the team serves consecutive TEAM tasks; the region is left for SELF tasks (their kernels make
 * their own) and while only messages are awaited. Thread rule: one thread drives an executor, and it is
 * thread 0 of the team.
 */
#ifndef TFR_EXEC_EXEC_H
#define TFR_EXEC_EXEC_H

#include "mpi/comm.h"
#include "plan/plan.h"
#include "team/team.h"

struct tfr_exec;

/* comm may be NULL: a plan without asynchronous tasks. */
enum tfr_status tfr_exec_open(struct tfr_exec **exec, struct tfr_team *team, struct tfr_comm *comm);
void tfr_exec_close(struct tfr_exec *exec);

struct tfr_exec_input {
    const int32_t *ids, *positions; /* [rows], on the rank that embeds */
    const int32_t *logit_rows;      /* [logits] rows of the step whose logits are wanted */
    float *logits;                  /* [plan->logits_max, V], on the rank of lm_head */
    int64_t rows, n_logits;         /* how many of each there are: 1 .. plan's maximum; n_logits may be 0 */
    const struct tfr_batch *batch;
    const int32_t *token_types; /* [rows]; where the graph has them, as all below */
    const float *embeds;        /* [rows, C] */
    float *const *hidden;       /* [n_layer + 1] each [rows, C]; NULL for items of other ranks */
};
enum tfr_status tfr_exec_run(struct tfr_exec *exec, const struct tfr_plan *plan, const struct tfr_exec_input *input);

size_t tfr_exec_bytes(const struct tfr_exec *exec); /* activations and scratch */

#endif

/* exec.h - stage 5: executes runs of plans. It chooses nothing but the next ready task.
 *
 * Several runs may be in flight; their tasks interleave (sched.h has the order, and the rule for messages),
 * and no result depends on how. One task computes at a time, on the whole team, or on the master where its
 * class or the plan says so. One region of the team serves consecutive TEAM tasks; the region is left for
 * SELF tasks (their kernels make their own) and while only messages are awaited. Messages move on between
 * tasks and inside kernels that call `barrier` or `progress`.
 *
 *     tfr_exec_open_run(exec, &run, plan, &input);   plans, batches and buffers stay valid until the run is
 * done tfr_exec_submit(exec, run);                    on all ranks in the same order within a lane
 *     tfr_exec_wait(exec, run);                      other runs go on meanwhile
 *     tfr_exec_close_run(exec, run);
 *
 * Thread rule: one thread drives an executor, and it is thread 0 of the team.
 */
#ifndef TFR_EXEC_EXEC_H
#define TFR_EXEC_EXEC_H

#include "exec/run.h"
#include "exec/trace.h"
#include "mpi/comm.h"
#include "team/team.h"

struct tfr_exec;

/* The sequences of a step as kernels read them. */
static inline struct tfr_batch tfr_batch_of(const struct tfr_batch_seq *seqs, int64_t n) {
    return (struct tfr_batch){.struct_size = sizeof(struct tfr_batch),
                              .seq_stride = sizeof(struct tfr_batch_seq),
                              .kv_stride = sizeof(struct tfr_kv),
                              .n_seqs = n,
                              .seq = seqs};
}

/* comm may be NULL: plans without asynchronous tasks. */
enum tfr_status tfr_exec_open(struct tfr_exec **exec, struct tfr_team *team, struct tfr_comm *comm);
void tfr_exec_close(struct tfr_exec *exec); /* after all runs were closed */

enum tfr_status tfr_exec_open_run(struct tfr_exec *exec, struct tfr_run **run, const struct tfr_plan *plan,
                                  const struct tfr_exec_input *input);
/* NULL-safe. A run in flight is waited for, unless it has failed. */
void tfr_exec_close_run(struct tfr_exec *exec, struct tfr_run *run);

/* Puts a run in flight that was opened or reset: posts what can be posted, computes nothing. */
enum tfr_status tfr_exec_submit(struct tfr_exec *exec, struct tfr_run *run);
/* The same, and computes what needs no message, before what older runs have ready, so that other ranks get their rows early. No run
 * overtakes an older one of its lane that was started like this. A failure in a kernel is told by tfr_exec_wait. */
enum tfr_status tfr_exec_start(struct tfr_exec *exec, struct tfr_run *run);
/* Computes what is ready until a run is done or only messages can help; never waits. True if anything went
 * on. */
bool tfr_exec_progress(struct tfr_exec *exec);
/* Until the run is done: its status, with its sentence. */
enum tfr_status tfr_exec_wait(struct tfr_exec *exec, struct tfr_run *run);
/* Opens, submits, waits for and closes one run. */
enum tfr_status tfr_exec_run(struct tfr_exec *exec, const struct tfr_plan *plan, const struct tfr_exec_input *input);

/* Time stamps of all tasks from now on; NULL: none. Borrowed; has a ring for each thread of the team. `model`: that of struct
 * tfr_trace_run. While no run is in flight. */
void tfr_exec_set_trace(struct tfr_exec *exec, struct tfr_trace *trace, const char *model);
/* Time in kernels since it was opened, but for what messages take. */
uint64_t tfr_exec_busy_ns(const struct tfr_exec *exec);
int tfr_exec_runs_in_flight(const struct tfr_exec *exec);
size_t tfr_exec_bytes(const struct tfr_exec *exec); /* activations of all runs and scratch */

#endif

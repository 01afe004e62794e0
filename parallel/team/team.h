/* team.h - the contract of a team of threads: launch, identify, wait for each other.
 *
 * Back ends: team_omp.c (OpenMP; the threads that oneDNN uses too), team_pthread.c (no OpenMP, thread
 * sanitizer), chosen at build time. The caller of tfr_team_run is thread 0. One team is driven by one thread.
 * Waits spin for a moment and then sleep. While other programs take the team's cores its threads are not held
 * to them, and a warning says so once.
 */
#ifndef TFR_PARALLEL_TEAM_H
#define TFR_PARALLEL_TEAM_H

#include <tfrun/types.h>

struct tfr_team;
struct tfr_memory_plan;
typedef void (*tfr_team_fn)(void *arg, int tid, int nth);

/* pus[n_threads]: pu to pin each thread to, as of tfr_bind_plan; NULL for none at all. Pins in a first
 * region. The calling thread is pinned too, and threads that it creates later inherit that core: start others
 * first. Closing puts the affinities back. Teams one after the other may differ in size; with OpenMP the size
 * of the team opened last is what oneDNN uses. Fails where the system or OMP_THREAD_LIMIT gives fewer
 * threads. */
enum tfr_status tfr_team_open(struct tfr_team **team, int n_threads, const int *pus, bool oversubscribed);
void tfr_team_close(struct tfr_team *team);
int tfr_team_size(const struct tfr_team *team);
const char *tfr_team_backend(void); /* "OpenMP (libgomp)" */
/* Every thread asks for memory as the plan says (topo/domain.h), and has what it had again. What the calling thread starts in
 * between, threads and programs, inherits its wish, as it does its core. A team of NULL has nothing to stop. */
void tfr_team_settle(struct tfr_team *team, const struct tfr_memory_plan *plan);
void tfr_team_unsettle(struct tfr_team *team, const struct tfr_memory_plan *plan);

/* Every thread calls fn(arg, tid, nth); returns when all have returned. */
void tfr_team_run(struct tfr_team *team, tfr_team_fn fn, void *arg);

/* Inside tfr_team_run: all threads wait for all. */
void tfr_team_barrier(struct tfr_team *team, int tid);
/* The same barrier in two halves for thread 0, so that it can act while the others stand: collect returns
 * when all others have arrived (they call tfr_team_barrier), release lets them go. */
void tfr_team_collect(struct tfr_team *team);
void tfr_team_release(struct tfr_team *team);

#endif

/* doctor.h - what is wrong with how ranks were started, each with the fix as a command line (findings.def).
 *
 * Each rank reads its own seat; whoever has all of them examines. A seat is plain data, so that ranks can send it. Thread rule: no
 * state.
 */
#ifndef TFR_PARALLEL_DOCTOR_H
#define TFR_PARALLEL_DOCTOR_H

#include "topo/topo.h"

enum { TFR_SEAT_PUS = 64, TFR_SEAT_NAME = 64 };

struct tfr_seat {
    char host[TFR_SEAT_NAME];
    char openmp[TFR_SEAT_NAME];                                   /* the OpenMP runtimes that are mapped: "libgomp libiomp5" */
    char virtual_net[TFR_SEAT_NAME], real_net[TFR_SEAT_NAME / 2]; /* interfaces that are up: the virtual ones, one that is not */
    int32_t n_openmp;
    int32_t n_cores, n_affinity, n_online;
    int32_t n_cpus;    /* hardware threads that it may use; 0: not known */
    int32_t n_here;    /* cores of the host, or of the cpuset, that all its ranks have together; 0: not known */
    int32_t n_sharing; /* ranks that may use exactly the same cores */
    int32_t n_threads, pu[TFR_SEAT_PUS], n_pus; /* where its threads are pinned; none where they are free */
    uint64_t domains; /* NUMA domains (the first 64) of the cores that its threads are pinned to; 0 where they are free */
    int32_t omp_num_threads, slurm_cpus_per_task;
    bool in_srun;     /* a task of an srun step */
    bool refuses_cma; /* single copies between processes of this host failed */
    bool names_net;   /* the user chose the interfaces */
    double quota_cores;
};

/* `root` is put before /proc and /sys ("" in real life). n_sharing and refuses_cma are the caller's. TFR_RESOURCE: no memory. */
enum tfr_status tfr_seat_read(struct tfr_seat *seat, const char *root, const struct tfr_machine *machine,
                              const struct tfr_thread_choice *choice);

struct tfr_finding {
    const char *name; /* of findings.def */
    bool at_start;
    char what[256], fix[256];
};
enum { TFR_MOST_FINDINGS = 16 };
/* All findings about n ranks in the order of the table; n_blocks: of all replicas, shares of them where ranks
 * share; 0: unknown. Returns how many. */
int tfr_doctor_examine(const struct tfr_seat *seats, int n, int64_t n_blocks, struct tfr_finding found[TFR_MOST_FINDINGS]);

#endif

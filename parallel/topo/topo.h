/* topo.h - the machine as this process may use it: cores, caches, NUMA, limits, nominal peaks.
 *
 * Sources: hwloc (topo_hwloc.c) or /proc and /sys (topo_flat.c); affinity, cgroup cpuset, cgroup CPU quota
 * (v1 and v2, whole chain of ancestors), OMP_NUM_THREADS, OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS, the places
 * of OpenMP, SLURM_CPUS_PER_TASK. Read once, before any thread exists. Thread rule: immutable after reading.
 */
#ifndef TFR_PARALLEL_TOPO_H
#define TFR_PARALLEL_TOPO_H

#include <tfrun/types.h>

#define TFR_CPUS_MAX 8192 /* CPU numbers above are ignored */

struct tfr_core {
    int pu; /* number the system knows it by: the first allowed hardware thread of the core */
    int core, package, numa;
};

struct tfr_machine {
    char cpu_name[128], host_name[128];
    const char *source;       /* "hwloc 2.9.0" or "flat" */
    struct tfr_core *cores;   /* [n_cores] one entry per usable physical core, neighbours next to each other */
    int n_cores;              /* usable: allowed by cpuset and affinity */
    int n_pus_online;         /* whole machine */
    int n_pus_allowed;        /* hardware threads that this process may use; 0: not known */
    int n_affinity, n_cpuset; /* cores each limit alone allows; 0 = not limited */
    /* Cores of the whole machine, or of the cpuset, whatever the affinity: what all ranks here have together; 0: not known. */
    int n_cores_here;
    double quota_cores; /* CPU-time quota in cores; 0 = none */
    /* From the environment, 0 = not set; the last is how many ranks a launcher put on this node. */
    int omp_num_threads, omp_thread_limit, slurm_cpus_per_task, launcher_local_size;
    bool omp_no_levels; /* OMP_MAX_ACTIVE_LEVELS=0: OpenMP starts no second thread */
    /* OMP_PROC_BIND, OMP_PLACES or GOMP_CPU_AFFINITY: OpenMP bound this thread to the first of its places
     * when it was loaded, and binds every other thread to one; `cores` are those of all places. */
    bool openmp_binds;
    bool is_for_plan;  /* a plan may be one for a machine that hwloc's environment describes */
    bool is_described; /* another machine, as hwloc's environment describes it: for plans only */
    int n_packages, n_numa;
    int64_t l1d_bytes, l2_bytes, l3_bytes;
    int64_t memory_total_bytes, memory_available_bytes; /* available honours the cgroup limit */
    uint32_t isa;                                       /* enum tfr_isa of the CPU */
    /* Nominal peaks, pure functions of the facts above (never measured at start-up: kernel choice follows
     * from them). */
    double ghz;                                     /* nominal clock */
    double flops_f32_per_core, flops_bf16_per_core; /* per second */
    double bytes_per_core, bytes_total;             /* read bandwidth per second: one core, all cores */
};

/* This machine, whatever the environment describes. */
enum tfr_status tfr_machine_read(struct tfr_machine **machine);
/* The machine that HWLOC_SYNTHETIC or HWLOC_XMLFILE describes, without limits, where one of them is set; else
 * this machine. Instruction set and clock are this CPU's. */
enum tfr_status tfr_machine_read_for_plan(struct tfr_machine **machine);
void tfr_machine_free(struct tfr_machine *machine);

/* FLOPs in a cycle of one core with these instruction sets, for factors of this type; a type without units of its own is widened
 * to f32. From one table. */
double tfr_isa_flops_per_cycle(uint32_t isa, enum tfr_dtype dtype);
/* enum tfr_isa of this CPU. */
uint32_t tfr_cpu_isa(void);
/* Name of the lowest bit of a set of enum tfr_isa. */
const char *tfr_isa_name(uint32_t isa);

/* Same number on all ranks that may use exactly the same cores of the same host: ranks with equal keys share
 * their cores, ranks with different keys were bound apart by the launcher (tfr_comm_group counts them). */
uint64_t tfr_machine_core_key(const struct tfr_machine *machine);

/* How many threads this rank gets and why. `asked` 0 = auto. n_local_ranks ranks share these cores, this is
 * the local_rank-th; the cores are divided in contiguous chunks. `reason` names the limit that won in words
 * ("cgroup CPU quota of 1.5 cores"). An explicit request above the cores is honoured up to 4 x and flagged
 * oversubscribed; above that, or above what OpenMP allows, it is refused (with the most that there can be in
 * n_threads). No state. */
struct tfr_thread_choice {
    int n_threads;
    int first_core;      /* index into cores: where this rank's chunk begins */
    int n_cores;         /* cores in the chunk, at least 1 */
    bool oversubscribed; /* more threads than cores or quota on this node: no binding, waits sleep at once */
    bool openmp_binds;   /* the binding that the user asked of OpenMP stands: one rank alone has these cores */
    char reason[160];
    char warning[256]; /* a sentence for the user with the fix in it; "" if all is well */
};
enum tfr_status tfr_machine_choose_threads(const struct tfr_machine *machine, int asked, int local_rank, int n_local_ranks,
                                           struct tfr_thread_choice *choice);

/* Whether the threads of all `n_node_ranks` ranks on this node, each with as many as this one, have a core of their own, by
 * affinity and quota: who waits may keep its core. */
bool tfr_machine_gives_own_cores(const struct tfr_machine *machine, const struct tfr_thread_choice *choice, int n_node_ranks);

/* Cores of this node, or of the cpuset, that ranks which a launcher bound apart have together; hardware threads where nobody has
 * counted the cores. */
int tfr_machine_cores_here(const struct tfr_machine *machine);

/* pu of each thread for a binding ("compact": core after core, "scatter": spread over the chunk), or why
 * there is none: pus[n_threads]. None is bound when oversubscribed, and under a CPU quota below the cores:
 * such a container shares its cores with others, and all of them would sit on the first ones. A thread that
 * OpenMP put on its first place and that is to be unbound is set free (TFR_PU_FREE), since several ranks
 * would share that place. */
enum { TFR_PU_ANY = -1, TFR_PU_FREE = -2 };
enum tfr_bind { TFR_BIND_COMPACT, TFR_BIND_SCATTER, TFR_BIND_NONE };
void tfr_bind_plan(const struct tfr_machine *machine, const struct tfr_thread_choice *choice, enum tfr_bind bind, int *pus);
/* Binds the calling thread (TFR_PU_FREE: to all places of OpenMP); failure is a warning, not an error. */
bool tfr_bind_self(int pu);
/* The calling thread's affinity, to be put back later: what it was before tfr_bind_self where that bound it,
 * all places of OpenMP where that did. */
struct tfr_cpus {
    uint64_t word[TFR_CPUS_MAX / 64];
};
bool tfr_bind_save(struct tfr_cpus *cpus);
bool tfr_bind_restore(const struct tfr_cpus *cpus);

#endif

/* topo.c - reads the machine: what there is (hwloc or /sys) cut down to what this process may use.
 *
 * Nothing here fails for a strange system: what cannot be read keeps a value that is safe (one core, no
 * limit, size 0).
 */
#include "topo/topo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/sysinfo.h>
#endif

#include "base/arena.h"
#include "base/status.h"
#include "common/isa.h"
#include "topo/cgroup.h"
#include "topo/topo_internal.h"

/* First "key : value" line of /proc/cpuinfo with one of these keys; ARM has no "model name". */
static void read_cpu_name(char *name, size_t size) {
    static const char *const keys[] = {"model name", "Hardware", "CPU part"};
    char text[8192];
    snprintf(name, size, "unknown CPU");
    if (!tfr_topo_slurp(text, sizeof text, "", "/proc/cpuinfo")) {
        return;
    }
    for (size_t i = 0; i < TFR_COUNT_OF(keys); i++) {
        const char *at = strstr(text, keys[i]);
        const char *value = at != NULL ? strchr(at, ':') : NULL;
        if (value != NULL) {
            value += 1 + strspn(value + 1, " \t");
            snprintf(name, size, "%.*s", (int)strcspn(value, "\n"), value);
            return;
        }
    }
}

static void read_host_name(char *name, size_t size) {
    if (gethostname(name, size) != 0) {
        snprintf(name, size, "unknown host");
    }
    name[size - 1] = '\0';
}

static int64_t meminfo_bytes(const char *text, const char *key) {
    const char *at = strstr(text, key);
    return at != NULL ? strtoll(at + strlen(key), NULL, 10) * 1024 : 0;
}

/* Where /proc is not mounted: without the caches that could be dropped. */
static void ask_memory(struct tfr_machine *machine) {
#if defined(__linux__)
    struct sysinfo info;
    if (sysinfo(&info) == 0) {
        machine->memory_total_bytes = (int64_t)info.totalram * info.mem_unit;
        machine->memory_available_bytes = (int64_t)(info.freeram + info.bufferram) * info.mem_unit;
    }
#else
    (void)machine;
#endif
}

static void read_memory(const struct tfr_cgroup_limits *limits, struct tfr_machine *machine) {
    char text[8192];
    if (tfr_topo_slurp(text, sizeof text, "", "/proc/meminfo")) {
        machine->memory_total_bytes = meminfo_bytes(text, "MemTotal:");
        machine->memory_available_bytes = meminfo_bytes(text, "MemAvailable:");
    } else {
        ask_memory(machine);
    }
    if (limits->memory_bytes > 0 && limits->memory_left_bytes < machine->memory_available_bytes) {
        machine->memory_available_bytes = limits->memory_left_bytes;
    }
}

/* A count from the environment; of a list such as OMP_NUM_THREADS=4,2 the first number. */
static int read_count(const char *variable) {
    const char *text = getenv(variable);
    const long n = text != NULL ? strtol(text, NULL, 10) : 0;
    return n > 0 && n < 1 << 20 ? (int)n : 0;
}

/* Says which of affinity and CPU set is a limit. The system cuts every affinity to the CPU set, so an
 * affinity only counts as a limit of its own where it is narrower. */
static enum tfr_status read_limits(const struct tfr_cpus *online, const struct tfr_cpus *affinity, const struct tfr_cpus *cpuset,
                                   struct tfr_machine *machine) {
    const struct tfr_cpus outer = tfr_cpus_count(cpuset) > 0 ? tfr_cpus_and(online, cpuset) : *online;
    const bool is_set = !tfr_cpus_equal(&outer, online), is_narrower = !tfr_cpus_equal(affinity, &outer);
    if (is_set || is_narrower) {
        TFR_TRY(tfr_topo_count_cores("", &outer, &machine->n_cores_here));
    }
    machine->n_cpuset = is_set ? machine->n_cores_here : 0;
    return is_narrower ? tfr_topo_count_cores("", affinity, &machine->n_affinity) : TFR_OK;
}

static enum tfr_status read_cores(const struct tfr_cpus *allowed, struct tfr_machine *machine) {
    TFR_TRY(tfr_topo_read_hwloc(allowed, machine));
    return machine->n_cores > 0 ? TFR_OK : tfr_topo_read_flat("", allowed, machine);
}

/* Ranks that the launcher put on this node, 0 without one: Open MPI, Hydra, a step of Slurm ("2(x3),1"). */
static int read_local_size(void) {
    static const char *const variables[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_TASKS_PER_NODE"};
    for (size_t i = 0; i < TFR_COUNT_OF(variables); i++) {
        const int n = read_count(variables[i]);
        if (n > 0) {
            return n;
        }
    }
    return 0;
}

static void read_environment(struct tfr_machine *machine) {
    const char *levels = getenv("OMP_MAX_ACTIVE_LEVELS");
    machine->omp_num_threads = read_count("OMP_NUM_THREADS");
    machine->omp_thread_limit = read_count("OMP_THREAD_LIMIT");
    machine->omp_no_levels = levels != NULL && strcmp(levels, "0") == 0;
    machine->slurm_cpus_per_task = read_count("SLURM_CPUS_PER_TASK");
    machine->launcher_local_size = read_local_size();
}

uint32_t tfr_cpu_isa(void) {
    return tfr_isa_probe();
}

static void read_this_cpu(struct tfr_machine *machine) {
    machine->isa = tfr_cpu_isa();
    read_cpu_name(machine->cpu_name, sizeof machine->cpu_name);
    tfr_topo_peaks("", machine);
}

static enum tfr_status read_all(struct tfr_machine *machine) {
    struct tfr_cpus online, current, affinity, places;
    struct tfr_cgroup_limits limits;
    tfr_topo_online("", &online);
    TFR_TRY(tfr_cgroup_read("", &limits)); /* no memory must not look like no limits */
    if (!tfr_bind_save(&affinity)) {
        affinity = online;
    }
    machine->openmp_binds = tfr_bind_current(&current) && tfr_openmp_places(&current, &places);
    struct tfr_cpus allowed = tfr_cpus_and(&affinity, &online);
    if (tfr_cpus_count(&allowed) == 0) {
        allowed = affinity; /* a sandbox that hides /sys: believe the system call */
    }
    machine->n_pus_online = tfr_cpus_count(&online);
    machine->n_pus_allowed = tfr_cpus_count(&allowed);
    machine->quota_cores = limits.quota_cores;
    TFR_TRY(read_limits(&online, &allowed, &limits.cpus, machine));
    TFR_TRY(read_cores(&allowed, machine));
    if (machine->n_affinity == 0 && machine->n_cpuset == 0) {
        machine->n_cores_here = machine->n_cores;
    }
    read_memory(&limits, machine);
    read_environment(machine);
    read_host_name(machine->host_name, sizeof machine->host_name);
    read_this_cpu(machine);
    return TFR_OK;
}

/* Limits and requests of this process say nothing about another machine. */
static enum tfr_status read_described(struct tfr_machine *machine) {
    TFR_TRY(tfr_topo_read_described(machine));
    machine->is_described = true;
    snprintf(machine->host_name, sizeof machine->host_name, "described by %s", tfr_topo_described());
    read_this_cpu(machine);
    return TFR_OK;
}

static enum tfr_status read_machine(struct tfr_machine **machine, enum tfr_status (*read)(struct tfr_machine *machine)) {
    *machine = tfr_alloc(1, sizeof **machine);
    if (*machine == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = read(*machine);
    if (status != TFR_OK) {
        tfr_machine_free(*machine);
        *machine = NULL;
    }
    return status;
}

enum tfr_status tfr_machine_read(struct tfr_machine **machine) {
    return read_machine(machine, read_all);
}

enum tfr_status tfr_machine_read_for_plan(struct tfr_machine **machine) {
    TFR_TRY(read_machine(machine, tfr_topo_described() != NULL ? read_described : read_all));
    (*machine)->is_for_plan = true;
    return TFR_OK;
}

void tfr_machine_free(struct tfr_machine *machine) {
    if (machine != NULL) {
        tfr_free(machine->cores);
        tfr_free(machine);
    }
}

uint64_t tfr_machine_core_key(const struct tfr_machine *machine) {
    uint64_t key = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */
    const uint64_t prime = 0x100000001b3u;
    for (const char *at = machine->host_name; *at != '\0'; at++) {
        key = (key ^ (uint8_t)*at) * prime;
    }
    for (int i = 0; i < machine->n_cores; i++) {
        key = (key ^ (uint64_t)machine->cores[i].pu) * prime;
    }
    return key;
}

const char *tfr_isa_name(uint32_t isa) {
#define ISA_NAME(NAME, bit, name)                                                                                                  \
    if (isa & TFR_ISA_##NAME) {                                                                                                    \
        return name;                                                                                                               \
    }
    TFR_ISA_LIST(ISA_NAME)
#undef ISA_NAME
    return "an instruction set unknown to this tfrun";
}

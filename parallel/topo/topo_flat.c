/* topo_flat.c - the machine from /sys alone, for builds without hwloc and where hwloc fails.
 *
 * Knows cores, packages, NUMA nodes and cache sizes; where /sys tells nothing, every CPU counts as a core of
 * its own.
 */
#include "topo/topo_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

/* NUMA nodes are numbered with gaps; nobody has seen one beyond this. */
enum { MAX_NUMA = 1024 };

/* What the hardware threads of a core have in common: the first of them. The core's number would say it where nothing tells them,
 * but it may come again in another cluster of the package. */
static int64_t core_of(const char *root, int cpu) {
    char list[4096];
    struct tfr_cpus siblings = {0};
    int64_t core = cpu;
    if (tfr_topo_slurp(list, sizeof list, root, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu) &&
        tfr_cpus_parse(&siblings, list) && tfr_cpus_has(&siblings, cpu)) {
        size_t i = 0;
        while (siblings.word[i] == 0) {
            i++;
        }
        return (int64_t)(64 * i) + __builtin_ctzll(siblings.word[i]);
    }
    return tfr_topo_number(&core, root, "/sys/devices/system/cpu/cpu%d/topology/core_id", cpu) ? core : cpu;
}

static struct tfr_core read_core(const char *root, int cpu) {
    const int64_t core = core_of(root, cpu);
    int64_t package = 0;
    if (!tfr_topo_number(&package, root, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu)) {
        package = 0;
    }
    return (struct tfr_core){.pu = cpu, .core = (int)core, .package = (int)package};
}

static int compare_cores(const void *left, const void *right) {
    const struct tfr_core *a = left, *b = right;
    if (a->numa != b->numa) {
        return a->numa < b->numa ? -1 : 1;
    }
    if (a->package != b->package) {
        return a->package < b->package ? -1 : 1;
    }
    if (a->core != b->core) {
        return a->core < b->core ? -1 : 1;
    }
    return (a->pu > b->pu) - (a->pu < b->pu);
}

/* Sorts, and keeps the first hardware thread of each core. */
static int merge_siblings(struct tfr_core *cores, int n) {
    int kept = 0;
    qsort(cores, (size_t)n, sizeof *cores, compare_cores);
    for (int i = 0; i < n; i++) {
        const bool sibling = kept > 0 && cores[kept - 1].core == cores[i].core && cores[kept - 1].package == cores[i].package &&
                             cores[kept - 1].numa == cores[i].numa;
        if (!sibling) {
            cores[kept++] = cores[i];
        }
    }
    return kept;
}

static struct tfr_core *read_cores(const char *root, const struct tfr_cpus *cpus, int *n_cores) {
    const int n = tfr_cpus_count(cpus);
    struct tfr_core *cores = tfr_alloc((size_t)(n > 0 ? n : 1), sizeof *cores);
    *n_cores = 0;
    if (cores == NULL) {
        return NULL;
    }
    for (int cpu = 0; cpu < TFR_CPUS_MAX; cpu++) {
        if (tfr_cpus_has(cpus, cpu)) {
            cores[(*n_cores)++] = read_core(root, cpu);
        }
    }
    return cores;
}

enum tfr_status tfr_topo_count_cores(const char *root, const struct tfr_cpus *cpus, int *count) {
    int n = 0;
    struct tfr_core *cores = read_cores(root, cpus, &n);
    if (cores == NULL) {
        return TFR_RESOURCE;
    }
    *count = merge_siblings(cores, n);
    tfr_free(cores);
    return TFR_OK;
}

static void read_numa(const char *root, struct tfr_core *cores, int n) {
    char list[4096];
    struct tfr_cpus nodes = {0};
    if (!tfr_topo_slurp(list, sizeof list, root, "/sys/devices/system/node/online") || !tfr_cpus_parse(&nodes, list)) {
        return;
    }
    for (int node = 0; node < MAX_NUMA; node++) {
        struct tfr_cpus cpus = {0};
        if (!tfr_cpus_has(&nodes, node) ||
            !tfr_topo_slurp(list, sizeof list, root, "/sys/devices/system/node/node%d/cpulist", node) ||
            !tfr_cpus_parse(&cpus, list)) {
            continue;
        }
        for (int i = 0; i < n; i++) {
            if (tfr_cpus_has(&cpus, cores[i].pu)) {
                cores[i].numa = node;
            }
        }
    }
}

static void read_caches(const char *root, int cpu, struct tfr_machine *machine) {
    for (int index = 0; index < 8; index++) {
        char type[32], size[32], *end;
        int64_t level = 0;
        if (!tfr_topo_number(&level, root, "/sys/devices/system/cpu/cpu%d/cache/index%d/level", cpu, index) ||
            !tfr_topo_slurp(type, sizeof type, root, "/sys/devices/system/cpu/cpu%d/cache/index%d/type", cpu, index) ||
            !tfr_topo_slurp(size, sizeof size, root, "/sys/devices/system/cpu/cpu%d/cache/index%d/size", cpu, index)) {
            continue;
        }
        int64_t bytes = strtoll(size, &end, 10);
        bytes <<= *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
        if (level == 1 && type[0] != 'I') {
            machine->l1d_bytes = bytes;
        } else if (level == 2) {
            machine->l2_bytes = bytes;
        } else if (level == 3) {
            machine->l3_bytes = bytes;
        }
    }
}

static void count_domains(struct tfr_machine *machine) {
    struct tfr_cpus packages = {0}, nodes = {0};
    for (int i = 0; i < machine->n_cores; i++) {
        tfr_cpus_add(&packages, machine->cores[i].package);
        tfr_cpus_add(&nodes, machine->cores[i].numa);
    }
    const int n_packages = tfr_cpus_count(&packages), n_numa = tfr_cpus_count(&nodes);
    machine->n_packages = n_packages > 0 ? n_packages : 1;
    machine->n_numa = n_numa > 0 ? n_numa : 1;
}

enum tfr_status tfr_topo_read_flat(const char *root, const struct tfr_cpus *allowed, struct tfr_machine *machine) {
    int n = 0;
    machine->cores = read_cores(root, allowed, &n);
    if (machine->cores == NULL) {
        return TFR_RESOURCE;
    }
    read_numa(root, machine->cores, n);
    machine->n_cores = merge_siblings(machine->cores, n);
    if (machine->n_cores > 0) {
        read_caches(root, machine->cores[0].pu, machine);
    }
    count_domains(machine);
    machine->source = "flat";
    return TFR_OK;
}

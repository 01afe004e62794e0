/* topo_hwloc.c - the machine through hwloc, or another one that it describes; the only file that includes it.
 *
 * Devices are filtered out: scanning PCI can take seconds. Asked to leave the binding of threads alone. Which
 * cores this process may use is the caller's to say: hwloc would take a binding of ours for a limit. A
 * failure of hwloc's is quiet, and no cores are found: the flat reader takes over.
 */
#include "topo/topo_internal.h"

#include <stdlib.h>
#include <string.h>

#include <hwloc.h>

#include "base/arena.h"
#include "base/status.h"

/* hwloc reads these by itself, and then knows nothing of this machine. */
const char *tfr_topo_described(void) {
    static const char *const variables[] = {"HWLOC_XMLFILE", "HWLOC_SYNTHETIC"};
    for (size_t i = 0; i < TFR_COUNT_OF(variables); i++) {
        const char *value = getenv(variables[i]);
        if (value != NULL && *value != '\0') {
            return variables[i];
        }
    }
    return NULL;
}

static unsigned long flags_known(void) {
    unsigned long flags = tfr_topo_described() == NULL ? HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM : 0;
#if HWLOC_API_VERSION >= 0x00020500
    flags |= HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING;
#endif
    return flags;
}

static bool load(hwloc_topology_t *topology) {
    if (hwloc_topology_init(topology) != 0) {
        return false;
    }
    if (hwloc_topology_set_flags(*topology, flags_known()) != 0 ||
        hwloc_topology_set_io_types_filter(*topology, HWLOC_TYPE_FILTER_KEEP_NONE) != 0 || hwloc_topology_load(*topology) != 0) {
        hwloc_topology_destroy(*topology);
        return false;
    }
    return true;
}

/* First allowed hardware thread of a core, -1 if there is none. */
static int first_pu(hwloc_obj_t core, const struct tfr_cpus *allowed) {
    for (int pu = hwloc_bitmap_first(core->cpuset); pu >= 0; pu = hwloc_bitmap_next(core->cpuset, pu)) {
        if (tfr_cpus_has(allowed, pu)) {
            return pu;
        }
    }
    return -1;
}

static struct tfr_core describe_core(hwloc_topology_t topology, hwloc_obj_t core, int pu) {
    hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, core);
    const int numa = core->nodeset != NULL ? hwloc_bitmap_first(core->nodeset) : 0;
    return (struct tfr_core){
        .pu = pu,
        .core = (int)core->logical_index,
        .package = package != NULL ? (int)package->logical_index : 0,
        .numa = numa >= 0 ? numa : 0,
    };
}

static int64_t cache_bytes(hwloc_topology_t topology, hwloc_obj_type_t type) {
    hwloc_obj_t cache = hwloc_get_obj_by_type(topology, type, 0);
    return cache != NULL ? (int64_t)cache->attr->cache.size : 0;
}

/* TFR_RESOURCE without memory. */
static enum tfr_status read_cores(hwloc_topology_t topology, const struct tfr_cpus *allowed, struct tfr_machine *machine) {
    /* Some virtual machines show hardware threads without cores. */
    const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
    const hwloc_obj_type_t type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    const int n = hwloc_get_nbobjs_by_type(topology, type);
    struct tfr_cpus packages = {0}, nodes = {0};
    machine->cores = tfr_alloc(n > 0 ? (size_t)n : 1, sizeof *machine->cores);
    if (machine->cores == NULL) {
        return TFR_RESOURCE;
    }
    machine->n_cores = 0;
    for (int i = 0; i < n; i++) {
        hwloc_obj_t core = hwloc_get_obj_by_type(topology, type, (unsigned)i);
        const int pu = first_pu(core, allowed);
        if (pu >= 0) {
            const struct tfr_core entry = describe_core(topology, core, pu);
            machine->cores[machine->n_cores++] = entry;
            tfr_cpus_add(&packages, entry.package);
            tfr_cpus_add(&nodes, entry.numa);
        }
    }
    machine->n_packages = tfr_cpus_count(&packages);
    machine->n_numa = tfr_cpus_count(&nodes);
    return TFR_OK;
}

static enum tfr_status read_machine(hwloc_topology_t topology, const struct tfr_cpus *allowed, struct tfr_machine *machine) {
    TFR_TRY(read_cores(topology, allowed, machine));
    if (machine->n_cores == 0) {
        tfr_free(machine->cores);
        machine->cores = NULL;
        return TFR_OK;
    }
    machine->l1d_bytes = cache_bytes(topology, HWLOC_OBJ_L1CACHE);
    machine->l2_bytes = cache_bytes(topology, HWLOC_OBJ_L2CACHE);
    machine->l3_bytes = cache_bytes(topology, HWLOC_OBJ_L3CACHE);
    machine->source = "hwloc " HWLOC_VERSION;
    return TFR_OK;
}

enum tfr_status tfr_topo_read_hwloc(const struct tfr_cpus *allowed, struct tfr_machine *machine) {
    hwloc_topology_t topology;
    machine->n_cores = 0;
    if (tfr_topo_described() != NULL || !load(&topology)) {
        return TFR_OK;
    }
    const enum tfr_status status = read_machine(topology, allowed, machine);
    hwloc_topology_destroy(topology);
    return status;
}

enum tfr_status tfr_topo_read_described(struct tfr_machine *machine) {
    const char *variable = tfr_topo_described();
    hwloc_topology_t topology;
    struct tfr_cpus all;
    memset(&all, 0xff, sizeof all);
    if (!load(&topology)) {
        return tfr_raise(TFR_RESOURCE, "%s=%s: hwloc reads no machine from it; mend or unset it", variable, getenv(variable));
    }
    const bool is_another = !hwloc_topology_is_thissystem(topology);
    const enum tfr_status status = is_another ? read_machine(topology, &all, machine) : TFR_OK;
    const bool fine = is_another && status == TFR_OK && machine->n_cores > 0;
    if (fine) {
        machine->n_pus_online = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
        machine->memory_total_bytes = (int64_t)hwloc_get_root_obj(topology)->total_memory;
        machine->memory_available_bytes = machine->memory_total_bytes;
    }
    hwloc_topology_destroy(topology);
    return fine || status != TFR_OK
               ? status
               : tfr_raise(TFR_RESOURCE, "%s=%s: hwloc finds no core of another machine there; mend or unset it", variable,
                           getenv(variable));
}

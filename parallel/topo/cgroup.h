/* cgroup.h - the limits that control groups put on this process: CPU time, CPUs, memory.
 *
 * Both versions, also mixed, over the whole chain of ancestors up to where the hierarchy is mounted: a limit
 * on any of them holds. hwloc sees the CPU set only. Thread rule: no state.
 */
#ifndef TFR_TOPO_CGROUP_H
#define TFR_TOPO_CGROUP_H

#include "topo/topo.h"

struct tfr_cgroup_limits {
    double quota_cores;        /* least quota of the chain, in cores; 0 = none */
    struct tfr_cpus cpus;      /* CPU set of the process's own group; empty = none */
    int64_t memory_bytes;      /* least limit of the chain; 0 = none */
    int64_t memory_left_bytes; /* least of limit minus used; file cache that can be dropped does not count as
                                  used */
};

/* `root` is put before every path ("" in real life, a folder in tests). What cannot be read is no limit. TFR_RESOURCE: no memory.
 */
enum tfr_status tfr_cgroup_read(const char *root, struct tfr_cgroup_limits *limits);

#endif

/* topo_internal.h - what the sources of the topology share: CPU sets and the small readers of /proc and /sys.
 *
 * Every reader takes the root folder of the file system ("" in real life), so that tests can show it a
 * made-up machine. Thread rule: no state.
 */
#ifndef TFR_TOPO_INTERNAL_H
#define TFR_TOPO_INTERNAL_H

#include "topo/topo.h"

static inline bool tfr_cpus_has(const struct tfr_cpus *cpus, int cpu) {
    return cpu >= 0 && cpu < TFR_CPUS_MAX && (cpus->word[cpu / 64] >> (cpu % 64) & 1) != 0;
}
static inline void tfr_cpus_add(struct tfr_cpus *cpus, int cpu) {
    if (cpu >= 0 && cpu < TFR_CPUS_MAX) {
        cpus->word[cpu / 64] |= (uint64_t)1 << (cpu % 64);
    }
}
int tfr_cpus_count(const struct tfr_cpus *cpus);
bool tfr_cpus_equal(const struct tfr_cpus *a, const struct tfr_cpus *b);
struct tfr_cpus tfr_cpus_and(const struct tfr_cpus *a, const struct tfr_cpus *b);
/* Adds the CPUs of a list such as "0-3,8,10-11"; false if it is not one. An empty list is fine. */
bool tfr_cpus_parse(struct tfr_cpus *cpus, const char *list);

/* The calling thread's affinity as it is now, own binding included (tfr_bind_save: without). */
bool tfr_bind_current(struct tfr_cpus *cpus);

/* OpenMP's places (openmp.c): true if it bound the calling thread, whose affinity is `current`, to one of
 * them, and is to use them all; their CPUs. */
bool tfr_openmp_places(const struct tfr_cpus *current, struct tfr_cpus *all);

/* Reads at most size - 1 bytes of root + path (a printf format); false if it cannot be read. */
bool tfr_topo_slurp(char *text, size_t size, const char *root, const char *format, ...) TFR_PRINTF(4, 5);
/* The same for a file that holds one number. */
bool tfr_topo_number(int64_t *number, const char *root, const char *format, ...) TFR_PRINTF(3, 4);

/* Online CPUs from /sys, else from the C library. */
void tfr_topo_online(const char *root, struct tfr_cpus *cpus);
/* Physical cores with at least one of `cpus`. TFR_RESOURCE: no memory. */
enum tfr_status tfr_topo_count_cores(const char *root, const struct tfr_cpus *cpus, int *count);

/* The two sources: cores, caches, n_packages, n_numa and `source` of the machine, restricted to `allowed`.
 * hwloc: no cores where it fails, was not built in, or is told by the environment to describe another machine.
 * Both fail for lack of memory only. */
enum tfr_status tfr_topo_read_hwloc(const struct tfr_cpus *allowed, struct tfr_machine *machine);
enum tfr_status tfr_topo_read_flat(const char *root, const struct tfr_cpus *allowed, struct tfr_machine *machine);

/* Name of the variable that makes hwloc describe another machine, NULL if there is none; and that machine:
 * also n_pus_online and the memory. Fails where hwloc was not built in or does not understand it. */
const char *tfr_topo_described(void);
enum tfr_status tfr_topo_read_described(struct tfr_machine *machine);

/* ghz and the peaks of a machine whose other facts are known. */
void tfr_topo_peaks(const char *root, struct tfr_machine *machine);

#endif

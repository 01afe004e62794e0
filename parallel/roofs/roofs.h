/* roofs.h - what this machine reaches at best: multiply-adds of each type and instruction set, bytes read by size of the working
 * set, and what it costs to bring threads together.
 *
 * Measured with loops of our own that do nothing else: no kernel can be faster. The best of several trials counts, since other
 * programs can only slow one down. Thread rule: the thread that drives the team.
 */
#ifndef TFR_PARALLEL_ROOFS_H
#define TFR_PARALLEL_ROOFS_H

#include <tfrun/types.h>

#include "team/team.h"
#include "topo/topo.h"

enum { TFR_MAX_FLOP_ROOFS = 8, TFR_MAX_BANDWIDTHS = 20 };

/* FLOPs a second; a multiply-add is two. isa is one bit of enum tfr_isa, 0: vectors that every CPU of the kind has. */
struct tfr_flop_roof {
    int32_t dtype; /* enum tfr_dtype of the factors */
    uint32_t isa;
    double one_core, all_cores;
};
/* Bytes a second read from `bytes` bytes, again and again: by one core, and by all threads that share them. */
struct tfr_bandwidth {
    int64_t bytes;
    double one_core, all_cores;
};

struct tfr_roofs {
    int n_threads;
    struct tfr_flop_roof flops[TFR_MAX_FLOP_ROOFS];
    int n_flops;
    struct tfr_bandwidth bandwidth[TFR_MAX_BANDWIDTHS]; /* by rising size */
    int n_bandwidths;
    int64_t l1d_bytes, l2_bytes, l3_bytes; /* of a core, of a core, shared; 0: not known */
    double memory_rate;         /* bytes a second of memory, all threads: the median while kernels were measured; 0: not known */
    double fork_ns, barrier_ns; /* a region of the team, empty; a barrier inside one */
};

/* `quick`: shorter trials. `say` (may be NULL) hears what is measured next. */
typedef void (*tfr_roofs_say)(void *user, const char *what);
enum tfr_status tfr_roofs_measure(struct tfr_roofs *roofs, struct tfr_team *team, const struct tfr_machine *machine, bool quick,
                                  tfr_roofs_say say, void *user);

/* What memory gives at this moment: the median of a few reads of the largest working set. */
enum tfr_status tfr_roofs_memory(struct tfr_team *team, const struct tfr_machine *machine, double *rate);
/* What `bytes` bytes give at this moment that are read again and again: the median of a few reads. A set of two or three times the
 * last cache is partly found there, by a share that no other size tells. */
enum tfr_status tfr_roofs_set(struct tfr_team *team, const struct tfr_machine *machine, int64_t bytes, double *rate);
/* Gives that set a point of its own among the bandwidths, in the place of one of the same size; one core reads what
 * it does of the next larger one, or what all do if that is less. Unchanged where there is no room or nothing to stand between. */
void tfr_roofs_put_set(struct tfr_roofs *roofs, int64_t bytes, double rate);
/* The roofs of a moment in which memory gives this rate instead of memory_rate: bandwidths beyond twice the last cache level are
 * scaled (of the largest set alone where no level is known). Unchanged where one of the rates is not known. */
struct tfr_roofs tfr_roofs_with_memory(const struct tfr_roofs *roofs, double rate);
/* Makes `rate` memory_rate, and the bandwidths beyond twice the last cache level those of the minutes in which memory gave it: a
 * machine that shares its memory may have given twice as much when they were measured. */
void tfr_roofs_set_memory(struct tfr_roofs *roofs, double rate);

/* The better of each; of the same machine and team. `best` may be empty. */
void tfr_roofs_merge(struct tfr_roofs *best, const struct tfr_roofs *more);

/* Its parts. */
void tfr_roofs_flops(struct tfr_roofs *roofs, struct tfr_team *team, uint32_t isa, uint64_t trial_ns);
enum tfr_status tfr_roofs_bandwidth(struct tfr_roofs *roofs, struct tfr_team *team, const struct tfr_machine *machine,
                                    uint64_t trial_ns);
void tfr_roofs_overheads(struct tfr_roofs *roofs, struct tfr_team *team);

#endif

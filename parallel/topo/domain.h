/* domain.h - NUMA domains: which cores a rank takes so that it stays in one, from which its memory comes, and the system calls that
 * ask for it.
 *
 * A thread that is pinned gets its memory from its own domain anyway, as long as nobody told the process otherwise and it is not
 * let go; what is asked for here makes that hold. On a machine with one domain nothing is asked and nothing is said. Thread rule: a
 * plan is immutable once open.
 */
#ifndef TFR_PARALLEL_DOMAIN_H
#define TFR_PARALLEL_DOMAIN_H

#include "topo/topo.h"

enum { TFR_DOMAINS_MAX = 1024 }; /* domains with higher numbers are left to the system */

struct tfr_domains {
    uint64_t word[TFR_DOMAINS_MAX / 64];
};

/* The rank-th chunk of the cores where the domains come out even: whole domains for each rank, or as many ranks in each domain.
 * False where they don't, or where a rank would get less than three quarters of what the least gets by cores. */
bool tfr_domain_chunk(const struct tfr_machine *machine, int rank, int n_ranks, int *first_core, int *n_cores);

/* Domains of pinned threads as bits, those below 64; 0 where one is free. */
uint64_t tfr_domain_bits(const struct tfr_machine *machine, const int *pus, int n_threads);

enum tfr_memory_rule { TFR_MEMORY_AUTO, TFR_MEMORY_LOCAL, TFR_MEMORY_INTERLEAVE, TFR_MEMORY_NONE };
enum tfr_memory_way {
    TFR_MEMORY_AS_IS,  /* the system's way, or that of whoever started the process */
    TFR_MEMORY_OWN,    /* what a thread touches first comes from its own domain */
    TFR_MEMORY_SPREAD, /* page by page over the domains */
};

/* Where a thread's new memory comes from. The numbers are the system's. */
enum { TFR_POLICY_NONE = 0, TFR_POLICY_PREFER = 1 /* no domain: that where the thread runs */, TFR_POLICY_SPREAD = 3 };
struct tfr_memory_policy {
    int mode; /* one of these, or another that the system knows */
    struct tfr_domains domains;
};

/* How the system is asked about the calling thread, and about a block; false: it refuses. Tests count. */
struct tfr_memory_calls {
    bool (*read)(struct tfr_memory_policy *policy);
    bool (*write)(const struct tfr_memory_policy *policy);
    bool (*spread_block)(void *data, size_t bytes, const struct tfr_domains *domains);
};

struct tfr_memory_plan {
    enum tfr_memory_way way;
    struct tfr_domains domains; /* of this rank */
    int n_domains, n_threads;
    int *domain;                      /* [n_threads], -1 where the thread may move */
    struct tfr_memory_policy *before; /* [n_threads]: what they had, to be given back */
    bool is_kept;                     /* a policy from outside stands */
    bool is_asked;                    /* the user chose the way: what fails is worth a warning */
    const struct tfr_memory_calls *calls;
};

/* Decides from what tfr_bind_plan gave: auto is OWN where threads are pinned, else SPREAD over all domains that they may run in.
 * `calls` NULL: those of this system. */
enum tfr_status tfr_memory_open(struct tfr_memory_plan *plan, const struct tfr_machine *machine,
                                const struct tfr_thread_choice *choice, const int *pus, enum tfr_memory_rule rule,
                                const struct tfr_memory_calls *calls);
void tfr_memory_close(struct tfr_memory_plan *plan);
/* Called by thread `tid` of the team; false: the system refuses. The second gives back what the thread had. */
bool tfr_memory_settle(const struct tfr_memory_plan *plan, int tid);
void tfr_memory_unsettle(const struct tfr_memory_plan *plan, int tid);
/* For a block that all threads read in turn, before it is touched: spread where the rank has several domains. */
void tfr_memory_share(const struct tfr_memory_plan *plan, void *data, size_t bytes);
/* "each thread's own NUMA domain: 0 1"; "" where there is nothing to say. */
void tfr_memory_words(const struct tfr_memory_plan *plan, char *text, size_t size);
/* The same for threads that nobody has started yet, on a machine that may be another one. */
enum tfr_status tfr_memory_describe(const struct tfr_machine *machine, const struct tfr_thread_choice *choice, enum tfr_bind bind,
                                    enum tfr_memory_rule rule, char *text, size_t size);

#endif

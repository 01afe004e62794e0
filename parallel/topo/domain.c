/* domain.c - see domain.h. The system calls are made by number: libnuma would be one more library for three of them. */
#include "topo/domain.h"

#include <stdio.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#endif

#include "base/arena.h"
#include "base/status.h"

static bool has(const struct tfr_domains *domains, int domain) {
    return (domains->word[domain / 64] >> (domain % 64) & 1) != 0;
}

static bool is_known(int domain) {
    return domain >= 0 && domain < TFR_DOMAINS_MAX;
}

static void add(struct tfr_memory_plan *plan, int domain) {
    if (is_known(domain) && !has(&plan->domains, domain)) {
        plan->domains.word[domain / 64] |= (uint64_t)1 << (domain % 64);
        plan->n_domains++;
    }
}

/* End of the run of cores that begins at `first` and stays in one domain. */
static int run_end(const struct tfr_machine *machine, int first) {
    int end = first + 1;
    while (end < machine->n_cores && machine->cores[end].numa == machine->cores[first].numa) {
        end++;
    }
    return end;
}

/* Runs of cores of one domain; as many as domains where the order of the cores keeps them together. */
static int count_runs(const struct tfr_machine *machine) {
    int n = 0;
    for (int first = 0; first < machine->n_cores; first = run_end(machine, first)) {
        n++;
    }
    return n;
}

/* The rank-th of n even parts of the cores [first, end). */
static void take_part(int first, int end, int rank, int n, int *first_core, int *n_cores) {
    const int each = (end - first) / n, rest = (end - first) % n;
    *first_core = first + rank * each + (rank < rest ? rank : rest);
    *n_cores = each + (rank < rest ? 1 : 0);
}

static void take_by_domain(const struct tfr_machine *machine, int n_runs, int rank, int n_ranks, int *first_core, int *n_cores) {
    const int in_one = n_ranks > n_runs ? n_ranks / n_runs : 1; /* ranks of a domain */
    const int taken = n_ranks < n_runs ? n_runs / n_ranks : 1;  /* domains of a rank */
    int first = 0;
    for (int skipped = 0; skipped < rank / in_one * taken; skipped++) {
        first = run_end(machine, first);
    }
    int end = first;
    for (int i = 0; i < taken; i++) {
        end = run_end(machine, end);
    }
    take_part(first, end, rank % in_one, in_one, first_core, n_cores);
}

bool tfr_domain_chunk(const struct tfr_machine *machine, int rank, int n_ranks, int *first_core, int *n_cores) {
    const int n_runs = count_runs(machine);
    if (n_runs < 2 || n_runs != machine->n_numa || n_ranks < 2 || (n_ranks % n_runs != 0 && n_runs % n_ranks != 0)) {
        return false;
    }
    for (int r = 0; r < n_ranks; r++) {
        take_by_domain(machine, n_runs, r, n_ranks, first_core, n_cores);
        if (*n_cores == 0 || 4 * *n_cores < 3 * (machine->n_cores / n_ranks)) {
            return false;
        }
    }
    take_by_domain(machine, n_runs, rank, n_ranks, first_core, n_cores);
    return true;
}

#if defined(__linux__)
_Static_assert((int)TFR_POLICY_NONE == (int)MPOL_DEFAULT && (int)TFR_POLICY_PREFER == (int)MPOL_PREFERRED &&
                   (int)TFR_POLICY_SPREAD == (int)MPOL_INTERLEAVE,
               "policies have the system's numbers");

static bool system_read(struct tfr_memory_policy *policy) {
    return syscall(SYS_get_mempolicy, &policy->mode, policy->domains.word, TFR_DOMAINS_MAX + 1, NULL, 0) == 0;
}

static bool system_write(const struct tfr_memory_policy *policy) {
    return syscall(SYS_set_mempolicy, policy->mode, policy->domains.word, TFR_DOMAINS_MAX + 1) == 0;
}

static bool system_spread_block(void *data, size_t bytes, const struct tfr_domains *domains) {
    return syscall(SYS_mbind, data, bytes, MPOL_INTERLEAVE, domains->word, TFR_DOMAINS_MAX + 1, 0) == 0;
}
#else
static bool system_read(struct tfr_memory_policy *policy) {
    (void)policy;
    return false;
}

static bool system_write(const struct tfr_memory_policy *policy) {
    (void)policy;
    return false;
}

static bool system_spread_block(void *data, size_t bytes, const struct tfr_domains *domains) {
    (void)data, (void)bytes, (void)domains;
    return false;
}
#endif

static const struct tfr_memory_calls system_calls = {system_read, system_write, system_spread_block};

static int domain_of(const struct tfr_machine *machine, int pu) {
    for (int i = 0; i < machine->n_cores; i++) {
        if (machine->cores[i].pu == pu) {
            return machine->cores[i].numa;
        }
    }
    return -1;
}

uint64_t tfr_domain_bits(const struct tfr_machine *machine, const int *pus, int n_threads) {
    uint64_t bits = 0;
    for (int t = 0; t < n_threads; t++) {
        const int domain = pus[t] >= 0 ? domain_of(machine, pus[t]) : -1;
        if (domain < 0) {
            return 0;
        }
        bits |= domain < 64 ? (uint64_t)1 << domain : 0;
    }
    return bits;
}

/* The domains of pinned threads; false where one is not pinned. */
static bool add_pinned(struct tfr_memory_plan *plan, const struct tfr_machine *machine, const int *pus) {
    for (int t = 0; t < plan->n_threads; t++) {
        plan->domain[t] = pus[t] >= 0 ? domain_of(machine, pus[t]) : -1;
        if (!is_known(plan->domain[t])) {
            return false;
        }
        add(plan, plan->domain[t]);
    }
    return true;
}

/* Nobody (numactl) gave this thread a policy. */
static bool is_free(const struct tfr_memory_plan *plan) {
    struct tfr_memory_policy policy = {.mode = TFR_POLICY_NONE};
    return !plan->calls->read(&policy) || policy.mode == TFR_POLICY_NONE;
}

static void decide(struct tfr_memory_plan *plan, const struct tfr_machine *machine, const struct tfr_thread_choice *choice,
                   const int *pus, enum tfr_memory_rule rule) {
    const bool is_pinned = add_pinned(plan, machine, pus);
    for (int t = 0; t < plan->n_threads && !is_pinned; t++) {
        plan->domain[t] = -1;
    }
    for (int i = 0; i < machine->n_cores && !is_pinned; i++) {
        add(plan, machine->cores[i].numa);
    }
    plan->is_kept = rule == TFR_MEMORY_AUTO && !is_free(plan);
    if (!plan->is_kept) {
        const bool is_own = rule == TFR_MEMORY_LOCAL || (rule == TFR_MEMORY_AUTO && (is_pinned || choice->openmp_binds));
        plan->way = is_own ? TFR_MEMORY_OWN : TFR_MEMORY_SPREAD;
    }
}

enum tfr_status tfr_memory_open(struct tfr_memory_plan *plan, const struct tfr_machine *machine,
                                const struct tfr_thread_choice *choice, const int *pus, enum tfr_memory_rule rule,
                                const struct tfr_memory_calls *calls) {
    *plan = (struct tfr_memory_plan){.n_threads = choice->n_threads,
                                     .is_asked = rule == TFR_MEMORY_LOCAL || rule == TFR_MEMORY_INTERLEAVE,
                                     .calls = calls != NULL ? calls : &system_calls};
    if (machine->n_numa < 2 || rule == TFR_MEMORY_NONE) {
        return TFR_OK;
    }
    plan->domain = tfr_alloc((size_t)choice->n_threads, sizeof *plan->domain);
    plan->before = tfr_alloc((size_t)choice->n_threads, sizeof *plan->before);
    if (plan->domain == NULL || plan->before == NULL) {
        tfr_memory_close(plan);
        return TFR_RESOURCE;
    }
    decide(plan, machine, choice, pus, rule);
    return TFR_OK;
}

void tfr_memory_close(struct tfr_memory_plan *plan) {
    tfr_free(plan->domain);
    tfr_free(plan->before);
    *plan = (struct tfr_memory_plan){0};
}

bool tfr_memory_settle(const struct tfr_memory_plan *plan, int tid) {
    struct tfr_memory_policy policy = {.mode = TFR_POLICY_SPREAD, .domains = plan->domains};
    plan->before[tid] = (struct tfr_memory_policy){.mode = TFR_POLICY_NONE};
    plan->calls->read(&plan->before[tid]);
    if (plan->way == TFR_MEMORY_OWN) {
        policy = (struct tfr_memory_policy){.mode = TFR_POLICY_PREFER};
        if (plan->domain[tid] >= 0) {
            policy.domains.word[plan->domain[tid] / 64] = (uint64_t)1 << (plan->domain[tid] % 64);
        }
    }
    return plan->calls->write(&policy);
}

void tfr_memory_unsettle(const struct tfr_memory_plan *plan, int tid) {
    plan->calls->write(&plan->before[tid]);
}

void tfr_memory_share(const struct tfr_memory_plan *plan, void *data, size_t bytes) {
    if (plan->way != TFR_MEMORY_AS_IS && plan->n_domains > 1 && bytes > 0) {
        plan->calls->spread_block(data, bytes, &plan->domains); /* refused: it comes from where it is touched first */
    }
}

void tfr_memory_words(const struct tfr_memory_plan *plan, char *text, size_t size) {
    const char *way = plan->is_kept                    ? "where the process was told from outside (numactl)"
                      : plan->way == TFR_MEMORY_AS_IS  ? ""
                      : plan->way == TFR_MEMORY_SPREAD ? "NUMA domains in turn:"
                      : plan->n_domains > 1            ? "each thread's own NUMA domain:"
                                                       : "NUMA domain";
    size_t used = (size_t)snprintf(text, size, "%s", way);
    for (int i = 0; i < TFR_DOMAINS_MAX && !plan->is_kept && plan->way != TFR_MEMORY_AS_IS && used + 8 < size; i++) {
        used += has(&plan->domains, i) ? (size_t)snprintf(text + used, size - used, " %d", i) : 0;
    }
}

/* What this process was told says nothing about a machine that is only described. */
static bool read_none(struct tfr_memory_policy *policy) {
    policy->mode = TFR_POLICY_NONE;
    return true;
}

enum tfr_status tfr_memory_describe(const struct tfr_machine *machine, const struct tfr_thread_choice *choice, enum tfr_bind bind,
                                    enum tfr_memory_rule rule, char *text, size_t size) {
    static const struct tfr_memory_calls described = {.read = read_none};
    struct tfr_memory_plan plan = {0};
    int *pus = tfr_alloc((size_t)choice->n_threads, sizeof *pus);
    if (pus == NULL) {
        return TFR_RESOURCE;
    }
    tfr_bind_plan(machine, choice, bind, pus);
    const enum tfr_status status = tfr_memory_open(&plan, machine, choice, pus, rule, machine->is_described ? &described : NULL);
    tfr_memory_words(&plan, text, size);
    tfr_memory_close(&plan);
    tfr_free(pus);
    return status;
}

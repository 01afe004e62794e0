/* doctor.c - looks for each line of findings.def among the seats of all ranks. One function a finding, pure. */
#include "topo/doctor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/plural.h"
#include "base/status.h"

struct patient {
    const struct tfr_seat *seats;
    int n;
    int64_t n_blocks;
};

/* What a detector leaves for the sentence and for the places of the fix. */
struct sign {
    char what[256];
    int ranks, cores; /* %m, %c */
    const char *net;  /* %i */
};

static int ranks_on(const struct patient *p, const char *host) {
    int n = 0;
    for (int i = 0; i < p->n; i++) {
        n += strcmp(p->seats[i].host, host) == 0;
    }
    return n;
}

/* An even share of the node for each of its ranks. */
static int fair_cpus(const struct patient *p, const struct tfr_seat *seat) {
    const int share = seat->n_online / ranks_on(p, seat->host);
    return share > 1 ? share : 1;
}

/* What the ranks of its host have together. */
static int cores_here(const struct tfr_seat *seat) {
    return seat->n_here > 0 ? seat->n_here : seat->n_online;
}

/* Bound to one core though the node has idle ones and nobody asked for one thread. */
static bool find_one_core(const struct patient *p, struct sign *sign) {
    for (int r = 0; r < p->n; r++) {
        const struct tfr_seat *seat = &p->seats[r];
        const int n_here = cores_here(seat);
        if (seat->n_affinity == 1 && n_here > ranks_on(p, seat->host) && seat->omp_num_threads != 1 && !seat->in_srun) {
            snprintf(sign->what, sizeof sign->what, "rank %d on %s is bound to one of %d CPUs: all its threads would share it", r,
                     seat->host, n_here);
            return true;
        }
    }
    return false;
}

static bool find_srun_cpus(const struct patient *p, struct sign *sign) {
    for (int r = 0; r < p->n; r++) {
        const struct tfr_seat *seat = &p->seats[r];
        const int wanted = seat->slurm_cpus_per_task > 0 ? seat->slurm_cpus_per_task : fair_cpus(p, seat);
        const int n_cpus = seat->n_cpus > 0 ? seat->n_cpus : seat->n_cores; /* of a core with two threads Slurm counts both */
        const bool is_asked = seat->slurm_cpus_per_task == 1 || seat->omp_num_threads == 1;
        if (seat->in_srun && n_cpus < wanted && seat->n_affinity > 0 && !is_asked) {
            snprintf(sign->what, sizeof sign->what,
                     "srun gave rank %d on %s %d CPU%s where %d are there for it: srun without -c gives one, also inside an "
                     "allocation with --cpus-per-task",
                     r, seat->host, n_cpus, tfr_plural(n_cpus), wanted);
            sign->cores = wanted;
            return true;
        }
    }
    return false;
}

static bool find_quota(const struct patient *p, struct sign *sign) {
    for (int r = 0; r < p->n; r++) {
        const struct tfr_seat *seat = &p->seats[r];
        const int n_ranks = ranks_on(p, seat->host), n_threads = n_ranks * seat->n_threads;
        if (seat->quota_cores > 0 && seat->quota_cores < n_threads) {
            const int whole = (int)floor(seat->quota_cores);
            snprintf(sign->what, sizeof sign->what,
                     "the CPU quota on %s is %.3g cores for %d thread%s of %d rank%s: all are stopped for part of the time",
                     seat->host, seat->quota_cores, n_threads, tfr_plural(n_threads), n_ranks, tfr_plural(n_ranks));
            sign->cores = n_threads;
            sign->ranks = whole > 1 ? whole : 1;
            return true;
        }
    }
    return false;
}

static bool shares_a_pu(const struct tfr_seat *a, const struct tfr_seat *b, int *pu) {
    for (int i = 0; i < a->n_pus; i++) {
        for (int k = 0; k < b->n_pus; k++) {
            if (a->pu[i] == b->pu[k]) {
                *pu = a->pu[i];
                return true;
            }
        }
    }
    return false;
}

/* Two whose pins meet, or more ranks than cores for a set of cores. */
static bool find_shared_core(const struct patient *p, struct sign *sign) {
    for (int r = 0; r < p->n; r++) {
        const struct tfr_seat *seat = &p->seats[r];
        const int n_ranks = ranks_on(p, seat->host), n_here = cores_here(seat);
        sign->ranks = n_ranks < n_here ? p->n : n_here * p->n / n_ranks;
        if (seat->n_sharing > seat->n_cores) {
            snprintf(sign->what, sizeof sign->what, "%d ranks on %s share %d core%s", seat->n_sharing, seat->host, seat->n_cores,
                     tfr_plural(seat->n_cores));
            return true;
        }
        for (int other = 0, pu = 0; other < r; other++) {
            if (strcmp(seat->host, p->seats[other].host) == 0 && shares_a_pu(seat, &p->seats[other], &pu)) {
                snprintf(sign->what, sizeof sign->what, "ranks %d and %d on %s are both pinned to CPU %d", other, r, seat->host,
                         pu);
                return true;
            }
        }
    }
    return false;
}

/* Ranks of a host that fit its domains: some in each, or some domains for each. */
static int fitting_ranks(int n_ranks, int n_domains) {
    if (n_ranks >= n_domains) {
        return n_ranks / n_domains * n_domains;
    }
    int n = n_ranks;
    while (n_domains % n != 0) {
        n--;
    }
    return n;
}

static int count_bits(uint64_t set) {
    int n = 0;
    for (; set != 0; set &= set - 1) {
        n++;
    }
    return n;
}

/* A rank with cores in several NUMA domains, one of which another rank uses too. */
static bool find_split_domain(const struct patient *p, struct sign *sign) {
    for (int r = 0; r < p->n; r++) {
        const struct tfr_seat *seat = &p->seats[r];
        uint64_t others = 0;
        for (int other = 0; other < p->n; other++) {
            others |= other != r && strcmp(seat->host, p->seats[other].host) == 0 ? p->seats[other].domains : 0;
        }
        if (count_bits(seat->domains) > 1 && (seat->domains & others) != 0) {
            const int n_ranks = ranks_on(p, seat->host), n_domains = count_bits(seat->domains | others);
            snprintf(sign->what, sizeof sign->what,
                     "the threads of rank %d on %s are in %d NUMA domains, and share them with other ranks: %d ranks do not fit %d "
                     "domains evenly",
                     r, seat->host, count_bits(seat->domains), n_ranks, n_domains);
            sign->ranks = fitting_ranks(n_ranks, n_domains) * p->n / n_ranks;
            return true;
        }
    }
    return false;
}

static bool find_two_openmp(const struct patient *p, struct sign *sign) {
    for (int r = 0; r < p->n; r++) {
        if (p->seats[r].n_openmp > 1) {
            snprintf(sign->what, sizeof sign->what, "rank %d on %s has %d OpenMP runtimes in one process (%s), which is undefined",
                     r, p->seats[r].host, p->seats[r].n_openmp, p->seats[r].openmp);
            return true;
        }
    }
    return false;
}

static bool find_cma(const struct patient *p, struct sign *sign) {
    for (int r = 0; r < p->n; r++) {
        if (p->seats[r].refuses_cma) {
            snprintf(sign->what, sizeof sign->what,
                     "%s refuses single copies between processes (ptrace): large messages of MPI may fail or be slow",
                     p->seats[r].host);
            return true;
        }
    }
    return false;
}

/* Of interest only where messages leave a host. */
static bool find_virtual_net(const struct patient *p, struct sign *sign) {
    for (int r = 0; r < p->n && ranks_on(p, p->seats[0].host) < p->n; r++) {
        const struct tfr_seat *seat = &p->seats[r];
        if (seat->virtual_net[0] != '\0' && !seat->names_net) {
            snprintf(sign->what, sizeof sign->what,
                     "%s has virtual interfaces (%s), whose addresses are the same on every host: MPI over TCP may wait for ever",
                     seat->host, seat->virtual_net);
            sign->net = seat->real_net[0] != '\0' ? seat->real_net : "eth0";
            return true;
        }
    }
    return false;
}

static bool find_idle_ranks(const struct patient *p, struct sign *sign) {
    if (p->n_blocks > 0 && p->n > p->n_blocks) {
        snprintf(sign->what, sizeof sign->what, "%d ranks for %lld block%s: the others have nothing to do", p->n,
                 (long long)p->n_blocks, tfr_plural(p->n_blocks));
        sign->ranks = (int)p->n_blocks;
        return true;
    }
    return false;
}

static void fill_fix(const struct patient *p, const struct sign *sign, const char *form, char *fix, size_t size) {
    size_t used = 0;
    for (; *form != '\0' && used + 1 < size; form++) {
        const char place = *form == '%' ? *++form : '\0';
        const int number = place == 'n' ? p->n : place == 'm' ? sign->ranks : sign->cores;
        const int n = place == '\0'  ? snprintf(fix + used, size - used, "%c", *form)
                      : place == '%' ? snprintf(fix + used, size - used, "%%")
                      : place == 'i' ? snprintf(fix + used, size - used, "%s", sign->net)
                                     : snprintf(fix + used, size - used, "%d", number);
        used += n > 0 ? (size_t)n : 0;
    }
    fix[used < size ? used : size - 1] = '\0';
}

#define TFR_FINDING(NAME, name, at_start, fix) DOCTOR_##NAME,
enum {
#include "topo/findings.def"
    N_FINDINGS
};
#undef TFR_FINDING

int tfr_doctor_examine(const struct tfr_seat *seats, int n, int64_t n_blocks, struct tfr_finding found[TFR_MOST_FINDINGS]) {
#define TFR_FINDING(NAME, name, at_start, fix) [DOCTOR_##NAME] = {name, at_start, fix},
    static const struct {
        const char *name;
        bool at_start;
        const char *fix;
    } table[] = {
#include "topo/findings.def"
    };
#undef TFR_FINDING
    static bool (*const finders[N_FINDINGS])(const struct patient *, struct sign *) = {
        [DOCTOR_ONE_CORE] = find_one_core,
        [DOCTOR_SRUN_CPUS] = find_srun_cpus,
        [DOCTOR_QUOTA] = find_quota,
        [DOCTOR_SHARED_CORE] = find_shared_core,
        [DOCTOR_SPLIT_DOMAIN] = find_split_domain,
        [DOCTOR_TWO_OPENMP] = find_two_openmp,
        [DOCTOR_CMA] = find_cma,
        [DOCTOR_VIRTUAL_NET] = find_virtual_net,
        [DOCTOR_IDLE_RANKS] = find_idle_ranks,
    };
    const struct patient patient = {seats, n, n_blocks};
    int n_found = 0;
    for (int i = 0; i < N_FINDINGS && n_found < TFR_MOST_FINDINGS; i++) {
        struct sign sign = {.ranks = n, .cores = 1, .net = ""};
        if (finders[i](&patient, &sign)) {
            struct tfr_finding *finding = &found[n_found++];
            *finding = (struct tfr_finding){.name = table[i].name, .at_start = table[i].at_start};
            memcpy(finding->what, sign.what, sizeof finding->what);
            fill_fix(&patient, &sign, table[i].fix, finding->fix, sizeof finding->fix);
        }
    }
    return n_found;
}

/* test_topo.c - thread choice by table, binding plans, a made-up /sys, and this machine itself. */
#include "topo/topo.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/status.h"
#include "fake_tree.h"
#include "tfr_test.h"
#include "topo/topo_internal.h"

enum { MAX_CORES = 64 };

/* A machine with n cores of two hardware threads each: core i has the pus 2i and 2i + 1. */
static struct tfr_machine plain_machine(struct tfr_core *cores, int n) {
    for (int i = 0; i < n; i++) {
        cores[i] = (struct tfr_core){.pu = 2 * i, .core = i};
    }
    return (struct tfr_machine){
        .host_name = "node", .cores = cores, .n_cores = n, .n_pus_online = 128, .n_packages = 1, .n_numa = 1};
}

struct choice_case {
    const char *name;
    int n_cores, n_affinity, n_cpuset;
    double quota;
    int omp, omp_limit, slurm, asked, rank, n_ranks;
    int threads, first;
    bool oversubscribed;
    const char *reason;
};

static const struct choice_case choice_cases[] = {
    {"whole machine", 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 8, 0, false, "8 cores of this machine"},
    {"affinity", 3, 3, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, false, "CPU affinity"},
    {"cpuset", 4, 0, 4, 0, 0, 0, 0, 0, 0, 1, 4, 0, false, "cgroup cpuset"},
    {"affinity inside cpuset", 2, 2, 4, 0, 0, 0, 0, 0, 0, 1, 2, 0, false, "CPU affinity"},
    {"quota rounds down", 8, 0, 0, 1.5, 0, 0, 0, 0, 0, 1, 1, 0, false, "quota of 1.5 cores"},
    {"quota of exactly 3", 8, 0, 0, 3.0, 0, 0, 0, 0, 0, 1, 3, 0, false, "quota of 3 cores"},
    {"quota below one core", 8, 0, 0, 0.25, 0, 0, 0, 0, 0, 1, 1, 0, true, "quota of 0.25 cores"},
    {"quota above the cores", 2, 0, 0, 16, 0, 0, 0, 0, 0, 1, 2, 0, false, "2 cores"},
    {"quota shared by ranks", 8, 0, 0, 4, 0, 0, 0, 0, 1, 2, 2, 4, false, "quota of 4 cores"},
    {"quota below the ranks", 8, 0, 0, 2, 0, 0, 0, 0, 3, 4, 1, 6, true, "quota of 2 cores"},
    {"OMP_NUM_THREADS", 8, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 0, false, "OMP_NUM_THREADS=2"},
    {"OMP_NUM_THREADS above", 2, 0, 0, 0, 9, 0, 0, 0, 0, 1, 2, 0, false, "2 cores"},
    {"OMP_THREAD_LIMIT", 8, 0, 0, 0, 4, 3, 0, 0, 0, 1, 3, 0, false, "OMP_THREAD_LIMIT=3"},
    {"Slurm", 8, 0, 0, 0, 0, 0, 5, 0, 0, 1, 5, 0, false, "SLURM_CPUS_PER_TASK=5"},
    {"the least of all wins", 8, 0, 0, 4, 3, 0, 5, 0, 0, 1, 3, 0, false, "OMP_NUM_THREADS=3"},
    {"two ranks divide", 8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 4, false, "4 of the 8 cores"},
    {"uneven division, first", 7, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 0, false, "3 of the 7 cores"},
    {"uneven division, last", 7, 0, 0, 0, 0, 0, 0, 0, 2, 3, 2, 5, false, "2 of the 7 cores"},
    {"more ranks than cores", 2, 0, 0, 0, 0, 0, 0, 0, 3, 4, 1, 1, true, "shared by 4 ranks"},
    {"asked", 8, 0, 0, 0, 2, 0, 0, 5, 0, 1, 5, 0, false, "as requested"},
    {"asked above the cores", 2, 0, 0, 0, 0, 0, 0, 5, 0, 1, 5, 0, true, "as requested"},
    {"asked for the most", 2, 0, 0, 0, 0, 0, 0, 8, 0, 1, 8, 0, true, "as requested"},
    {"asked for OpenMP's limit", 8, 0, 0, 0, 0, 3, 0, 3, 0, 1, 3, 0, false, "as requested"},
    {"asked above the quota", 8, 0, 0, 2, 0, 0, 0, 4, 0, 1, 4, 0, true, "as requested"},
};

TFR_TEST(thread_choice_table) {
    TFR_UNUSED_STATE;
    for (size_t i = 0; i < TFR_COUNT_OF(choice_cases); i++) {
        const struct choice_case *c = &choice_cases[i];
        struct tfr_core cores[MAX_CORES];
        struct tfr_thread_choice choice;
        struct tfr_machine machine = plain_machine(cores, c->n_cores);
        machine.n_affinity = c->n_affinity;
        machine.n_cpuset = c->n_cpuset;
        machine.quota_cores = c->quota;
        machine.omp_num_threads = c->omp;
        machine.omp_thread_limit = c->omp_limit;
        machine.slurm_cpus_per_task = c->slurm;
        assert_ok(tfr_machine_choose_threads(&machine, c->asked, c->rank, c->n_ranks, &choice));
        if (choice.n_threads != c->threads || choice.first_core != c->first || choice.oversubscribed != c->oversubscribed ||
            strstr(choice.reason, c->reason) == NULL) {
            fail_msg("%s: %d threads from core %d, oversubscribed %d, \"%s\"", c->name, choice.n_threads, choice.first_core,
                     choice.oversubscribed, choice.reason);
        }
    }
}

TFR_TEST(waiting_ranks_keep_their_cores_while_there_is_one_for_each_thread) {
    TFR_UNUSED_STATE;
    static const struct {
        int n_cores, n_online;
        double quota;
        int asked, n_sharing, n_node_ranks;
        bool own;
    } cases[] = {
        {2, 2, 0, 1, 2, 2, true},    /* two ranks on two cores */
        {2, 2, 0, 1, 3, 3, false},   /* three */
        {2, 2, 0, 2, 2, 2, false},   /* two of two threads */
        {8, 8, 2, 1, 2, 2, true},    /* a quota that is enough */
        {8, 8, 1.5, 1, 2, 2, false}, /* and one that is not */
        {1, 8, 1.5, 1, 1, 2, false}, /* each bound to a core of its own, the quota is that of both */
        {1, 8, 0, 1, 1, 8, true},    /* eight ranks, bound to eight cores */
        {1, 8, 0, 1, 1, 9, false},   /* a ninth must be somewhere */
    };
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        struct tfr_core cores[MAX_CORES];
        struct tfr_thread_choice choice;
        struct tfr_machine machine = plain_machine(cores, cases[i].n_cores);
        machine.n_pus_online = cases[i].n_online;
        machine.quota_cores = cases[i].quota;
        assert_ok(tfr_machine_choose_threads(&machine, cases[i].asked, 0, cases[i].n_sharing, &choice));
        if (tfr_machine_gives_own_cores(&machine, &choice, cases[i].n_node_ranks) != cases[i].own) {
            fail_msg("case %zu: own cores %d", i, !cases[i].own);
        }
    }
}

static const char *warning_of(int n_cores, int n_affinity, double quota, int omp, int asked, int n_ranks) {
    static struct tfr_thread_choice choice;
    struct tfr_core cores[MAX_CORES];
    struct tfr_machine machine = plain_machine(cores, n_cores);
    machine.n_affinity = n_affinity;
    machine.quota_cores = quota;
    machine.omp_num_threads = omp;
    machine.launcher_local_size = n_ranks;
    assert_ok(tfr_machine_choose_threads(&machine, asked, 0, n_ranks, &choice));
    return choice.warning;
}

TFR_TEST(warnings_say_what_to_do) {
    TFR_UNUSED_STATE;
    assert_string_equal(warning_of(8, 0, 0, 0, 0, 1), "");
    assert_non_null(strstr(warning_of(1, 1, 0, 0, 0, 1), "--bind-to none"));
    assert_string_equal(warning_of(1, 1, 0, 1, 0, 1), ""); /* one thread was wanted */
    assert_non_null(strstr(warning_of(2, 0, 0, 8, 0, 1), "OMP_NUM_THREADS asks for 8 threads"));
    assert_non_null(strstr(warning_of(2, 0, 0, 0, 5, 1), "5 threads were requested, but this rank has 2 cores"));
    assert_non_null(strstr(warning_of(8, 0, 2, 0, 4, 1), "quota is 2 cores"));
    assert_non_null(strstr(warning_of(2, 0, 0, 0, 0, 4), "4 ranks share 2 cores"));
}

TFR_TEST(requests_that_cannot_be_met_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_core cores[MAX_CORES];
    struct tfr_thread_choice choice;
    struct tfr_machine machine = plain_machine(cores, 2);
    assert_refused(tfr_machine_choose_threads(&machine, 9, 0, 1, &choice), TFR_CONFIG,
                   "asks for 9 threads, the most is 8, four for each core");
    assert_refused(tfr_machine_choose_threads(&machine, 5, 0, 2, &choice), TFR_CONFIG, "the most is 4");
    machine.omp_thread_limit = 3;
    assert_refused(tfr_machine_choose_threads(&machine, 4, 0, 1, &choice), TFR_CONFIG, "OMP_THREAD_LIMIT=3");
    machine.omp_no_levels = true;
    assert_refused(tfr_machine_choose_threads(&machine, 2, 0, 1, &choice), TFR_CONFIG, "OMP_MAX_ACTIVE_LEVELS=0");
    assert_ok(tfr_machine_choose_threads(&machine, 1, 0, 1, &choice));
    assert_ok(tfr_machine_choose_threads(&machine, 0, 0, 1, &choice));
    assert_int_equal(choice.n_threads, 1);
    assert_string_equal(choice.reason, "OMP_MAX_ACTIVE_LEVELS=0");
}

/* One core that the user asked for is no mistake of the launcher. */
TFR_TEST(a_single_core_by_intent_is_not_warned_of) {
    TFR_UNUSED_STATE;
    struct tfr_core cores[MAX_CORES];
    struct tfr_thread_choice choice;
    struct tfr_machine machine = plain_machine(cores, 1);
    machine.n_affinity = 1;
    assert_ok(tfr_machine_choose_threads(&machine, 0, 0, 1, &choice)); /* taskset: no launcher */
    assert_string_equal(choice.warning, "");
    assert_string_equal(choice.reason, "1 core allowed by the CPU affinity");
    machine.launcher_local_size = 1;
    machine.slurm_cpus_per_task = 1; /* srun -c 1 */
    assert_ok(tfr_machine_choose_threads(&machine, 0, 0, 1, &choice));
    assert_string_equal(choice.warning, "");
    machine.slurm_cpus_per_task = 0;
    assert_ok(tfr_machine_choose_threads(&machine, 0, 0, 1, &choice));
    assert_non_null(strstr(choice.warning, "bound to a single core by the launcher"));
}

/* OpenMP's own binding stands for one rank; several would all begin on its first place, so tfrun divides the
 * cores. */
TFR_TEST(openmp_binds_one_rank_and_tfrun_several) {
    TFR_UNUSED_STATE;
    struct tfr_core cores[MAX_CORES];
    struct tfr_thread_choice choice;
    struct tfr_machine machine = plain_machine(cores, 4);
    int pus[4];
    machine.openmp_binds = true;
    assert_ok(tfr_machine_choose_threads(&machine, 0, 0, 1, &choice));
    tfr_bind_plan(&machine, &choice, TFR_BIND_COMPACT, pus);
    for (int t = 0; t < 4; t++) {
        assert_int_equal(pus[t], TFR_PU_ANY);
    }
    assert_ok(tfr_machine_choose_threads(&machine, 0, 1, 2, &choice));
    tfr_bind_plan(&machine, &choice, TFR_BIND_COMPACT, pus);
    assert_int_equal(pus[0], machine.cores[2].pu);
    assert_int_equal(pus[1], machine.cores[3].pu);
    tfr_bind_plan(&machine, &choice, TFR_BIND_NONE, pus);
    assert_int_equal(pus[0], TFR_PU_FREE);
}

TFR_TEST(another_machine_is_described_to_plans_only) {
    TFR_UNUSED_STATE;
    struct tfr_machine *machine;
    if (tfr_topo_described() != NULL) {
        skip();
    }
    setenv("HWLOC_SYNTHETIC", "package:2 core:8 pu:2", 1);
    if (tfr_topo_described() == NULL) { /* built without hwloc */
        unsetenv("HWLOC_SYNTHETIC");
        skip();
    }
    assert_ok(tfr_machine_read_for_plan(&machine));
    assert_true(machine->is_described);
    assert_int_equal(machine->n_cores, 16);
    assert_int_equal(machine->n_pus_online, 32);
    assert_int_equal(machine->n_packages, 2);
    assert_int_equal(machine->n_affinity, 0);
    tfr_machine_free(machine);
    assert_ok(tfr_machine_read(&machine)); /* this one: threads must not be bound to cores of the other */
    assert_false(machine->is_described);
    assert_true(machine->n_cores <= sysconf(_SC_NPROCESSORS_ONLN));
    tfr_machine_free(machine);
    setenv("HWLOC_SYNTHETIC", "nonsense", 1);
    assert_refused(tfr_machine_read_for_plan(&machine), TFR_RESOURCE, "HWLOC_SYNTHETIC=nonsense");
    unsetenv("HWLOC_SYNTHETIC");
}

TFR_TEST(ranks_that_fill_the_node_are_not_warned) {
    TFR_UNUSED_STATE;
    struct tfr_core cores[MAX_CORES];
    struct tfr_thread_choice choice;
    struct tfr_machine machine = plain_machine(cores, 1);
    machine.n_affinity = 1;
    machine.n_pus_online = 2;
    machine.launcher_local_size = 2;
    tfr_machine_choose_threads(&machine, 0, 0, 1, &choice);
    assert_string_equal(choice.warning, "");
    machine.launcher_local_size = 1;
    tfr_machine_choose_threads(&machine, 0, 0, 1, &choice);
    assert_non_null(strstr(choice.warning, "bound to a single core"));
}

/* Two hardware threads of a core are no core more, and a container has the cores of its cpuset. */
TFR_TEST(ranks_with_all_cores_between_them_are_not_warned) {
    TFR_UNUSED_STATE;
    struct tfr_core cores[MAX_CORES];
    struct tfr_thread_choice choice;
    struct tfr_machine machine = plain_machine(cores, 1);
    machine.n_affinity = 1;
    machine.n_pus_online = 16;
    machine.n_cores_here = machine.launcher_local_size = 8;
    assert_ok(tfr_machine_choose_threads(&machine, 0, 0, 1, &choice));
    assert_string_equal(choice.warning, "");
    assert_true(tfr_machine_gives_own_cores(&machine, &choice, 8));
    assert_false(tfr_machine_gives_own_cores(&machine, &choice, 16));
    machine.n_pus_online = 64;
    machine.n_cores_here = machine.n_cpuset = machine.launcher_local_size = 2;
    assert_ok(tfr_machine_choose_threads(&machine, 0, 0, 1, &choice));
    assert_string_equal(choice.warning, "");
    machine.launcher_local_size = 1; /* one is left over */
    assert_ok(tfr_machine_choose_threads(&machine, 0, 0, 1, &choice));
    assert_non_null(strstr(choice.warning, "bound to a single core"));
}

TFR_TEST(chunks_of_all_ranks_are_disjoint_and_cover_the_cores) {
    TFR_UNUSED_STATE;
    for (int n = 1; n <= 20; n++) {
        for (int ranks = 1; ranks <= n; ranks++) {
            struct tfr_core cores[MAX_CORES];
            const struct tfr_machine machine = plain_machine(cores, n);
            int next = 0;
            for (int rank = 0; rank < ranks; rank++) {
                struct tfr_thread_choice choice;
                tfr_machine_choose_threads(&machine, 0, rank, ranks, &choice);
                assert_int_equal(choice.first_core, next);
                assert_true(choice.n_cores == n / ranks || choice.n_cores == n / ranks + 1);
                next += choice.n_cores;
            }
            assert_int_equal(next, n);
        }
    }
}

TFR_TEST(binding_is_compact_or_scattered_in_the_chunk) {
    TFR_UNUSED_STATE;
    struct tfr_core cores[MAX_CORES];
    struct tfr_machine machine = plain_machine(cores, 16);
    struct tfr_thread_choice choice;
    int pus[MAX_CORES];
    tfr_machine_choose_threads(&machine, 4, 1, 2, &choice);
    tfr_bind_plan(&machine, &choice, TFR_BIND_COMPACT, pus);
    assert_int_equal(pus[0], 16);
    assert_int_equal(pus[3], 22);
    tfr_bind_plan(&machine, &choice, TFR_BIND_SCATTER, pus);
    assert_int_equal(pus[1], 20);
    assert_int_equal(pus[3], 28);
    tfr_bind_plan(&machine, &choice, TFR_BIND_NONE, pus);
    assert_int_equal(pus[0], -1);
}

TFR_TEST(nothing_is_bound_when_oversubscribed_or_under_a_quota) {
    TFR_UNUSED_STATE;
    struct tfr_core cores[MAX_CORES];
    struct tfr_machine machine = plain_machine(cores, 4);
    struct tfr_thread_choice choice;
    int pus[MAX_CORES];
    tfr_machine_choose_threads(&machine, 5, 0, 1, &choice);
    tfr_bind_plan(&machine, &choice, TFR_BIND_COMPACT, pus);
    assert_int_equal(pus[0], -1);
    assert_int_equal(pus[4], -1);
    machine.quota_cores = 2;
    tfr_machine_choose_threads(&machine, 0, 0, 1, &choice);
    tfr_bind_plan(&machine, &choice, TFR_BIND_COMPACT, pus);
    assert_int_equal(pus[1], -1);
}

TFR_TEST(core_key_tells_core_sets_and_hosts_apart) {
    TFR_UNUSED_STATE;
    struct tfr_core cores[MAX_CORES], others[MAX_CORES];
    struct tfr_machine a = plain_machine(cores, 2), b = plain_machine(others, 2);
    assert_true(tfr_machine_core_key(&a) == tfr_machine_core_key(&b));
    others[1].pu = 6;
    assert_true(tfr_machine_core_key(&a) != tfr_machine_core_key(&b));
    others[1].pu = 2;
    snprintf(b.host_name, sizeof b.host_name, "other");
    assert_true(tfr_machine_core_key(&a) != tfr_machine_core_key(&b));
}

static void write_cpu(struct fake_tree *tree, int cpu, int core, int package) {
    char path[128], text[16];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/core_id", cpu);
    snprintf(text, sizeof text, "%d\n", core);
    fake_tree_write(tree, path, text);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
    snprintf(text, sizeof text, "%d\n", package);
    fake_tree_write(tree, path, text);
}

/* Two packages of two cores with two hardware threads: cpu c is thread c / 4 of core c % 4; package (c % 4)
 * / 2. */
static void write_machine(struct fake_tree *tree) {
    fake_tree_open(tree);
    fake_tree_write(tree, "/sys/devices/system/cpu/online", "0-7\n");
    for (int cpu = 0; cpu < 8; cpu++) {
        write_cpu(tree, cpu, cpu % 2, cpu % 4 / 2);
    }
    fake_tree_write(tree, "/sys/devices/system/node/online", "0-1\n");
    fake_tree_write(tree, "/sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
    fake_tree_write(tree, "/sys/devices/system/node/node1/cpulist", "2-3,6-7\n");
    fake_tree_write(tree, "/sys/devices/system/cpu/cpu0/cache/index0/level", "1\n");
    fake_tree_write(tree, "/sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n");
    fake_tree_write(tree, "/sys/devices/system/cpu/cpu0/cache/index0/size", "48K\n");
    fake_tree_write(tree, "/sys/devices/system/cpu/cpu0/cache/index3/level", "3\n");
    fake_tree_write(tree, "/sys/devices/system/cpu/cpu0/cache/index3/type", "Unified\n");
    fake_tree_write(tree, "/sys/devices/system/cpu/cpu0/cache/index3/size", "32M\n");
}

TFR_TEST(flat_reader_sees_cores_packages_nodes_and_caches) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    struct tfr_cpus online;
    struct tfr_machine machine = {0};
    write_machine(&tree);
    tfr_topo_online(tree.root, &online);
    assert_int_equal(tfr_cpus_count(&online), 8);
    assert_ok(tfr_topo_read_flat(tree.root, &online, &machine));
    assert_int_equal(machine.n_cores, 4);
    assert_int_equal(machine.n_packages, 2);
    assert_int_equal(machine.n_numa, 2);
    assert_int_equal(machine.cores[3].pu, 3);
    assert_int_equal(machine.cores[3].numa, 1);
    assert_int_equal(machine.l1d_bytes, 48 * 1024);
    assert_int_equal(machine.l3_bytes, 32 * 1024 * 1024);
    tfr_free(machine.cores);
    fake_tree_close(&tree);
}

TFR_TEST(flat_reader_keeps_to_the_allowed_cpus) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    struct tfr_cpus allowed = {0};
    struct tfr_machine machine = {0};
    write_machine(&tree);
    assert_true(tfr_cpus_parse(&allowed, "4,6-7"));
    assert_ok(tfr_topo_read_flat(tree.root, &allowed, &machine));
    assert_int_equal(machine.n_cores, 3);
    assert_int_equal(machine.cores[0].pu, 4); /* the sibling of cpu 0, which is not ours */
    int n = 0;
    assert_ok(tfr_topo_count_cores(tree.root, &allowed, &n));
    assert_int_equal(n, 3);
    tfr_free(machine.cores);
    fake_tree_close(&tree);
}

/* As boards with clusters of unlike cores have it: numbers of cores begin again in each cluster. */
TFR_TEST(flat_reader_tells_cores_of_clusters_apart) {
    TFR_UNUSED_STATE;
    static const char *const siblings[] = {"0\n", "1\n", "2,4\n", "3,5\n", "2,4\n", "3,5\n"};
    struct fake_tree tree;
    struct tfr_cpus all = {0};
    int n = 0;
    fake_tree_open(&tree);
    for (int cpu = 0; cpu < 6; cpu++) {
        char path[96];
        write_cpu(&tree, cpu, cpu % 2, 0);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
        fake_tree_write(&tree, path, siblings[cpu]);
    }
    assert_true(tfr_cpus_parse(&all, "0-5"));
    assert_ok(tfr_topo_count_cores(tree.root, &all, &n));
    assert_int_equal(n, 4);
    struct tfr_cpus some = {0};
    assert_true(tfr_cpus_parse(&some, "1,4-5"));
    assert_ok(tfr_topo_count_cores(tree.root, &some, &n));
    assert_int_equal(n, 3);
    fake_tree_close(&tree);
}

TFR_TEST(flat_reader_counts_every_cpu_where_sys_is_hidden) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    struct tfr_cpus allowed = {0};
    struct tfr_machine machine = {0};
    fake_tree_open(&tree);
    assert_true(tfr_cpus_parse(&allowed, "0-2"));
    assert_ok(tfr_topo_read_flat(tree.root, &allowed, &machine));
    assert_int_equal(machine.n_cores, 3);
    assert_int_equal(machine.n_packages, 1);
    tfr_free(machine.cores);
    fake_tree_close(&tree);
}

TFR_TEST(clock_is_nominal_and_rounded) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    struct tfr_machine machine = {.n_cores = 2, .n_packages = 1};
    fake_tree_open(&tree);
    fake_tree_write(&tree, "/proc/cpuinfo", "processor : 0\ncpu MHz\t\t: 812.5\n");
    tfr_topo_peaks(tree.root, &machine);
    assert_true(machine.ghz == 3.0); /* not the momentary clock */
    fake_tree_write(&tree, "/sys/devices/system/cpu/cpu0/cpufreq/base_frequency", "2649000\n");
    tfr_topo_peaks(tree.root, &machine);
    assert_true(machine.ghz == 2.6);
    assert_true(machine.bytes_total == 2 * machine.bytes_per_core);
    fake_tree_close(&tree);
}

TFR_TEST(this_machine_reads_the_same_twice) {
    TFR_UNUSED_STATE;
    struct tfr_machine *a, *b;
    assert_ok(tfr_machine_read(&a));
    assert_ok(tfr_machine_read(&b));
    assert_true(a->n_cores >= 1);
    assert_true(a->n_pus_online >= a->n_cores);
    assert_true(a->memory_available_bytes > 0);
    assert_true(a->flops_f32_per_core > 0 && a->flops_bf16_per_core >= a->flops_f32_per_core);
    assert_true(a->ghz == b->ghz && a->flops_f32_per_core == b->flops_f32_per_core && a->bytes_total == b->bytes_total);
    assert_true(tfr_machine_core_key(a) == tfr_machine_core_key(b));
    tfr_machine_free(a);
    tfr_machine_free(b);
    tfr_machine_free(NULL);
}

TFR_TEST(an_affinity_is_seen_as_the_limit) {
    TFR_UNUSED_STATE;
    struct tfr_machine *before, *after;
    struct tfr_thread_choice choice;
    struct tfr_cpus saved, one = {0};
    assert_ok(tfr_machine_read(&before));
    if (before->n_cores < 2 || !tfr_bind_save(&saved)) {
        tfr_machine_free(before);
        skip();
    }
    const int pu = before->cores[1].pu;
    tfr_cpus_add(&one, pu);
    assert_true(tfr_bind_restore(&one));
    assert_ok(tfr_machine_read(&after));
    assert_true(tfr_bind_restore(&saved));
    assert_int_equal(after->n_cores, 1);
    assert_int_equal(after->n_affinity, 1);
    assert_int_equal(after->n_pus_allowed, 1);
    assert_true(after->n_cores_here > 1);
    assert_int_equal(after->cores[0].pu, pu);
    after->omp_num_threads = after->omp_thread_limit = after->slurm_cpus_per_task = 0;
    after->quota_cores = 0;
    tfr_machine_choose_threads(after, 0, 0, 1, &choice);
    assert_non_null(strstr(choice.reason, "CPU affinity"));
    tfr_machine_free(before);
    tfr_machine_free(after);
}

TFR_TEST(own_binding_is_no_limit_for_a_second_engine) {
    TFR_UNUSED_STATE;
    struct tfr_machine *before, *bound;
    struct tfr_cpus saved, again;
    assert_ok(tfr_machine_read(&before));
    if (before->n_cores < 2 || !tfr_bind_save(&saved)) {
        tfr_machine_free(before);
        skip();
    }
    assert_true(tfr_bind_self(before->cores[1].pu));
    assert_true(tfr_bind_self(before->cores[0].pu));
    assert_ok(tfr_machine_read(&bound));
    assert_true(tfr_bind_save(&again));
    assert_true(tfr_bind_restore(&saved));
    assert_int_equal(bound->n_cores, before->n_cores);
    assert_memory_equal(&again, &saved, sizeof saved);
    tfr_machine_free(before);
    tfr_machine_free(bound);
}

TFR_TEST_MAIN(TFR_CASE(thread_choice_table), TFR_CASE(warnings_say_what_to_do), TFR_CASE(requests_that_cannot_be_met_are_refused),
              TFR_CASE(a_single_core_by_intent_is_not_warned_of), TFR_CASE(openmp_binds_one_rank_and_tfrun_several),
              TFR_CASE(another_machine_is_described_to_plans_only), TFR_CASE(ranks_that_fill_the_node_are_not_warned),
              TFR_CASE(ranks_with_all_cores_between_them_are_not_warned),
              TFR_CASE(chunks_of_all_ranks_are_disjoint_and_cover_the_cores),
              TFR_CASE(binding_is_compact_or_scattered_in_the_chunk),
              TFR_CASE(waiting_ranks_keep_their_cores_while_there_is_one_for_each_thread),
              TFR_CASE(nothing_is_bound_when_oversubscribed_or_under_a_quota), TFR_CASE(core_key_tells_core_sets_and_hosts_apart),
              TFR_CASE(flat_reader_sees_cores_packages_nodes_and_caches), TFR_CASE(flat_reader_keeps_to_the_allowed_cpus),
              TFR_CASE(flat_reader_tells_cores_of_clusters_apart), TFR_CASE(flat_reader_counts_every_cpu_where_sys_is_hidden),
              TFR_CASE(clock_is_nominal_and_rounded), TFR_CASE(this_machine_reads_the_same_twice),
              TFR_CASE(an_affinity_is_seen_as_the_limit), TFR_CASE(own_binding_is_no_limit_for_a_second_engine))

/* test_doctor.c - each mistake of findings.def is found on a made-up job, named with its fix, and not found on a sound one. */
#include "topo/doctor.h"

#include <stdlib.h>

#include "base/status.h"
#include "fake_tree.h"
#include "tfr_test.h"

enum { N = 4 };

/* Four ranks on two hosts of eight CPUs, four each. */
static void sound_job(struct tfr_seat seats[N]) {
    for (int r = 0; r < N; r++) {
        seats[r] = (struct tfr_seat){.n_openmp = 1,
                                     .openmp = "libgomp",
                                     .n_cores = 4,
                                     .n_affinity = 4,
                                     .n_online = 8,
                                     .n_sharing = 1,
                                     .n_threads = 4,
                                     .n_pus = 4,
                                     .real_net = "ib0"};
        snprintf(seats[r].host, sizeof seats[r].host, "node%d", r / 2);
        for (int t = 0; t < 4; t++) {
            seats[r].pu[t] = r % 2 * 4 + t;
        }
    }
}

static void check_one(const struct tfr_seat *seats, int64_t n_blocks, const char *name, const char *what, const char *fix) {
    struct tfr_finding found[TFR_MOST_FINDINGS];
    const int n = tfr_doctor_examine(seats, N, n_blocks, found);
    if (n != 1 || strcmp(found[0].name, name) != 0 || strstr(found[0].what, what) == NULL || strcmp(found[0].fix, fix) != 0) {
        fail_msg("%d findings: %s: %s (%s)", n, n > 0 ? found[0].name : "", n > 0 ? found[0].what : "", n > 0 ? found[0].fix : "");
    }
}

TFR_TEST(a_sound_job_has_no_finding) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    struct tfr_finding found[TFR_MOST_FINDINGS];
    sound_job(seats);
    assert_int_equal(tfr_doctor_examine(seats, N, 12, found), 0);
    seats[0].slurm_cpus_per_task = 4;
    seats[0].in_srun = true;
    seats[1].quota_cores = 8;
    seats[2].omp_num_threads = 1; /* one thread was wanted: one core is no mistake */
    seats[2].n_affinity = seats[2].n_cores = seats[2].n_threads = seats[2].n_pus = 1;
    assert_int_equal(tfr_doctor_examine(seats, N, 4, found), 0);
}

TFR_TEST(threads_on_one_core_are_found) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    sound_job(seats);
    seats[3].n_affinity = seats[3].n_cores = seats[3].n_threads = seats[3].n_pus = 1;
    check_one(seats, 0, "one_core", "rank 3 on node1 is bound to one of 8 CPUs", "mpirun --bind-to none -n 4 tfrun ...");
}

TFR_TEST(srun_without_cpus_is_found) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    sound_job(seats);
    for (int r = 0; r < N; r++) {
        seats[r].in_srun = true;
    }
    seats[1].n_affinity = seats[1].n_cores = seats[1].n_threads = seats[1].n_pus = 1;
    check_one(seats, 0, "srun_cpus", "srun gave rank 1 on node0 1 CPU where 4 are there", "srun --mpi=pmix -n 4 -c 4 tfrun ...");
    seats[1].slurm_cpus_per_task = 3;
    check_one(seats, 0, "srun_cpus", "where 3 are there", "srun --mpi=pmix -n 4 -c 3 tfrun ...");
}

TFR_TEST(a_quota_below_the_threads_is_found) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    sound_job(seats);
    seats[2].quota_cores = 2.5;
    check_one(seats, 0, "quota", "node1 is 2.5 cores for 8 threads of 2 ranks",
              "docker run --cpus=8 ..., systemctl set-property UNIT CPUQuota=800%, or mpirun -n 2 tfrun ...");
}

TFR_TEST(two_ranks_on_one_core_are_found) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    sound_job(seats);
    seats[3].pu[0] = 2;
    check_one(seats, 0, "shared_core", "ranks 2 and 3 on node1 are both pinned to CPU 2", "mpirun --bind-to none -n 4 tfrun ...");
    sound_job(seats);
    seats[0].n_sharing = seats[1].n_sharing = 2;
    seats[0].n_cores = seats[1].n_cores = seats[0].n_online = seats[1].n_online = 1;
    seats[0].n_pus = seats[1].n_pus = 0;
    check_one(seats, 0, "shared_core", "2 ranks on node0 share 1 core", "mpirun --bind-to none -n 2 tfrun ...");
}

/* Slurm counts the threads of a core, and of a container the cores are those of its cpuset. */
TFR_TEST(hardware_threads_and_cpusets_are_told_from_cores) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    struct tfr_finding found[TFR_MOST_FINDINGS];
    sound_job(seats);
    for (int r = 0; r < N; r++) { /* hosts of eight cores with two threads each */
        seats[r].n_online = 16;
        seats[r].n_here = 8;
        seats[r].n_cpus = 8;
        seats[r].slurm_cpus_per_task = 8;
        seats[r].in_srun = true;
    }
    assert_int_equal(tfr_doctor_examine(seats, N, 0, found), 0);
    seats[1].n_cpus = 2;
    check_one(seats, 0, "srun_cpus", "srun gave rank 1 on node0 2 CPUs where 8 are there", "srun --mpi=pmix -n 4 -c 8 tfrun ...");
    sound_job(seats);
    for (int r = 0; r < N; r++) { /* two cores of 64, and each rank bound to one of them */
        seats[r].n_online = 64;
        seats[r].n_here = 2;
        seats[r].n_affinity = seats[r].n_cores = seats[r].n_threads = seats[r].n_pus = 1;
    }
    assert_int_equal(tfr_doctor_examine(seats, N, 0, found), 0);
    seats[0].n_here = seats[1].n_here = 1; /* which both ranks have */
    seats[0].n_sharing = seats[1].n_sharing = 2;
    check_one(seats, 0, "shared_core", "2 ranks on node0 share 1 core", "mpirun --bind-to none -n 2 tfrun ...");
}

/* Domains as bits. */
TFR_TEST(ranks_that_do_not_fit_the_domains_are_found) {
    TFR_UNUSED_STATE;
    static const char what[] = "the threads of rank 1 on node0 are in 2 NUMA domains, and share them with other ranks";
    struct tfr_seat seats[N];
    struct tfr_finding found[TFR_MOST_FINDINGS];
    sound_job(seats);
    for (int r = 0; r < N; r++) {
        seats[r].domains = (uint64_t)1 << r % 2;
    }
    assert_int_equal(tfr_doctor_examine(seats, N, 0, found), 0);
    seats[1].domains = 12; /* two for itself */
    assert_int_equal(tfr_doctor_examine(seats, N, 0, found), 0);
    seats[1].domains = 3;
    check_one(seats, 0, "split_domain", what, "mpirun --map-by numa --bind-to numa -n 4 tfrun ...");
    for (int r = 0; r < 3; r++) { /* three ranks for two domains, and one elsewhere with both */
        snprintf(seats[r].host, sizeof seats[r].host, "node0");
        seats[r].pu[0] = 8 + r;
        seats[r].n_pus = 1;
    }
    seats[0].domains = 1;
    seats[2].domains = 2;
    seats[3].domains = 3;
    assert_int_equal(tfr_doctor_examine(seats, 3, 0, found), 1);
    assert_non_null(strstr(found[0].what, "3 ranks do not fit 2 domains"));
    assert_string_equal(found[0].fix, "mpirun --map-by numa --bind-to numa -n 2 tfrun ...");
}

TFR_TEST(two_openmp_runtimes_are_found) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    sound_job(seats);
    seats[1].n_openmp = 2;
    snprintf(seats[1].openmp, sizeof seats[1].openmp, "libgomp libiomp5");
    check_one(seats, 0, "two_openmp", "rank 1 on node0 has 2 OpenMP runtimes in one process (libgomp libiomp5)",
              "env -u LD_PRELOAD tfrun ..., without plugins that link another OpenMP than libgomp");
}

TFR_TEST(refused_copies_are_found) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    sound_job(seats);
    seats[1].refuses_cma = true;
    check_one(seats, 0, "cma_refused", "node0 refuses single copies",
              "OMPI_MCA_btl_vader_single_copy_mechanism=none mpirun -n 4 tfrun ..., or docker run --cap-add=SYS_PTRACE ...");
}

TFR_TEST(virtual_interfaces_are_found_between_hosts) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    struct tfr_finding found[TFR_MOST_FINDINGS];
    sound_job(seats);
    snprintf(seats[2].virtual_net, sizeof seats[2].virtual_net, "docker0");
    check_one(seats, 0, "virtual_net", "node1 has virtual interfaces (docker0)",
              "mpirun --mca btl_tcp_if_include ib0 --mca oob_tcp_if_include ib0 -n 4 tfrun ...");
    seats[2].names_net = true;
    assert_int_equal(tfr_doctor_examine(seats, N, 0, found), 0);
    seats[2].names_net = false;
    assert_int_equal(tfr_doctor_examine(&seats[2], 2, 0, found), 0); /* one host: no message takes the network */
}

TFR_TEST(ranks_without_a_block_are_found) {
    TFR_UNUSED_STATE;
    struct tfr_seat seats[N];
    sound_job(seats);
    check_one(seats, 3, "idle_ranks", "4 ranks for 3 blocks", "mpirun -n 3 tfrun ...");
}

TFR_TEST(a_seat_is_read_from_the_system) {
    TFR_UNUSED_STATE;
    struct fake_tree tree;
    struct tfr_seat seat;
    struct tfr_core cores[2] = {{.pu = 3}, {.pu = 5, .numa = 2}};
    const struct tfr_machine machine = {.host_name = "node",
                                        .cores = cores,
                                        .n_cores = 2,
                                        .n_affinity = 2,
                                        .n_pus_online = 8,
                                        .n_pus_allowed = 4,
                                        .n_cores_here = 6};
    const struct tfr_thread_choice choice = {.n_threads = 2, .n_cores = 2};
    fake_tree_open(&tree);
    fake_tree_write(&tree, "/proc/self/maps",
                    "7f00-7f01 r-xp 00000000 08:01 1 /usr/lib/libgomp.so.1.0.0\n7f02-7f03 r-xp 00000000 08:01 2 /opt/libiomp5.so\n"
                    "7f04-7f05 r-xp 00000000 08:01 3 /opt/libompstuff.so\n7f06-7f07 rw-p 00000000 00:00 0 [heap]\n");
    fake_tree_write(&tree, "/sys/class/net/lo/operstate", "unknown\n");
    fake_tree_write(&tree, "/sys/class/net/docker0/operstate", "up\n");
    fake_tree_write(&tree, "/sys/class/net/virbr0/operstate", "down\n");
    fake_tree_write(&tree, "/sys/class/net/enp3s0/operstate", "up\n");
    setenv("SLURM_STEP_ID", "0", 1);
    unsetenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    setenv("OMPI_MCA_btl_tcp_if_include", "enp3s0", 1);
    tfr_seat_read(&seat, tree.root, &machine, &choice);
    assert_string_equal(seat.host, "node");
    assert_string_equal(seat.openmp, "libgomp libiomp5");
    assert_int_equal(seat.n_openmp, 2);
    assert_string_equal(seat.virtual_net, "docker0");
    assert_string_equal(seat.real_net, "enp3s0");
    assert_int_equal(seat.n_cpus, 4);
    assert_int_equal(seat.n_here, 6);
    assert_int_equal(seat.n_pus, 2);
    assert_int_equal(seat.pu[0], 3);
    assert_int_equal(seat.pu[1], 5);
    assert_int_equal(seat.domains, 5);
    assert_true(seat.in_srun && seat.names_net);
    setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1); /* mpirun inside the allocation */
    tfr_seat_read(&seat, tree.root, &machine, &choice);
    assert_false(seat.in_srun);
    fake_tree_close(&tree);
}

TFR_TEST_MAIN(TFR_CASE(a_sound_job_has_no_finding), TFR_CASE(threads_on_one_core_are_found), TFR_CASE(srun_without_cpus_is_found),
              TFR_CASE(a_quota_below_the_threads_is_found), TFR_CASE(two_ranks_on_one_core_are_found),
              TFR_CASE(hardware_threads_and_cpusets_are_told_from_cores), TFR_CASE(ranks_that_do_not_fit_the_domains_are_found),
              TFR_CASE(two_openmp_runtimes_are_found), TFR_CASE(refused_copies_are_found),
              TFR_CASE(virtual_interfaces_are_found_between_hosts), TFR_CASE(ranks_without_a_block_are_found),
              TFR_CASE(a_seat_is_read_from_the_system))

/* test_comm_self.c - one process: collectives that do nothing, launchers seen in the environment, clear
 * refusals. */
#include "mpi/comm.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/status.h"
#include "tfr_test.h"

#include <tfrun/plugin.h>

static void clear_environment(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMI_SIZE", "PMIX_RANK",
                                        "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        unsetenv(names[i]);
    }
}

static struct tfr_comm *open_self(void) {
    struct tfr_comm *comm;
    clear_environment();
    assert_ok(tfr_comm_open(&comm, NULL, 5));
    return comm;
}

TFR_TEST(one_process_is_rank_0_of_1) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm = open_self();
    assert_int_equal(tfr_comm_rank(comm), 0);
    assert_int_equal(tfr_comm_size(comm), 1);
    assert_int_equal(tfr_comm_local_rank(comm), 0);
    assert_int_equal(tfr_comm_local_size(comm), 1);
    assert_string_equal(tfr_comm_describe(comm), "one process");
    tfr_comm_close(comm);
    tfr_comm_close(NULL);
}

TFR_TEST(collectives_of_one) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm = open_self();
    int value = 42, all = 0, index = -1, size = -1;
    assert_ok(tfr_comm_bcast(comm, &value, sizeof value));
    assert_ok(tfr_comm_gather(comm, &value, sizeof value, &all));
    assert_int_equal(all, 42);
    assert_ok(tfr_comm_group(comm, 99, &index, &size));
    assert_int_equal(index, 0);
    assert_int_equal(size, 1);
    assert_ok(tfr_comm_agree(comm, TFR_OK));
    tfr_comm_close(comm);
}

TFR_TEST(agree_keeps_the_own_failure_and_its_text) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm = open_self();
    tfr_raise(TFR_MODEL, "tensor x is bad");
    assert_int_equal(tfr_comm_agree(comm, TFR_MODEL), TFR_MODEL);
    assert_string_equal(tfr_failure_text(), "tensor x is bad");
    tfr_comm_close(comm);
}

TFR_TEST(messages_to_oneself_or_nobody_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm = open_self();
    tfr_comm_request request = 0;
    bool done = false;
    char byte = 0;
    assert_refused(tfr_comm_isend(comm, &byte, 1, 0, 1, &request), TFR_RUNTIME, "cannot exchange messages with rank 0");
    assert_int_equal(request, -1);
    assert_refused(tfr_comm_recv(comm, &byte, 1, 1, 1), TFR_RUNTIME, "cannot exchange messages with rank 1");
    assert_refused(tfr_comm_send(comm, &byte, 1, -1, 1), TFR_RUNTIME, "with rank -1");
    assert_refused(tfr_comm_isend(comm, &byte, 1, 0, 30001, &request), TFR_RUNTIME, "tag 30001");
    assert_refused(tfr_comm_test(comm, -1, &done), TFR_RUNTIME, "request -1");
    tfr_comm_close(comm);
}

static void launch(const char *rank_name, const char *rank, const char *size_name, const char *size) {
    clear_environment();
    setenv(rank_name, rank, 1);
    if (size_name != NULL) {
        setenv(size_name, size, 1);
    }
}

TFR_TEST(launchers_are_seen_in_the_environment) {
    TFR_UNUSED_STATE;
    int rank = -1, size = -1;
    clear_environment();
    assert_false(tfr_comm_launched(&rank, &size));
    assert_int_equal(size, 1);
    launch("OMPI_COMM_WORLD_RANK", "3", "OMPI_COMM_WORLD_SIZE", "4");
    assert_true(tfr_comm_launched(&rank, &size));
    assert_int_equal(rank, 3);
    assert_int_equal(size, 4);
    launch("PMI_RANK", "1", "PMI_SIZE", "2");
    assert_true(tfr_comm_launched(&rank, &size));
    launch("PMIX_RANK", "5", "SLURM_STEP_NUM_TASKS", "8");
    assert_true(tfr_comm_launched(&rank, &size));
    assert_int_equal(rank, 5);
    launch("OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", "1"); /* mpirun -n 1 needs no MPI */
    assert_false(tfr_comm_launched(&rank, &size));
    launch("OMPI_COMM_WORLD_RANK", "x", "OMPI_COMM_WORLD_SIZE", "4");
    assert_false(tfr_comm_launched(&rank, &size));
    clear_environment();
}

TFR_TEST(ranks_without_a_back_end_are_told_what_to_build) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm;
    const char *const dirs[] = {"/nowhere/a", "/nowhere/b", NULL};
    launch("OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", "4");
    assert_refused(tfr_comm_open(&comm, dirs, 5), TFR_RESOURCE, "/nowhere/a, /nowhere/b");
    assert_non_null(strstr(tfr_failure_text(), "libopenmpi-dev"));
    clear_environment();
}

TFR_TEST(more_ranks_than_can_be_told_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm;
    char size[16];
    snprintf(size, sizeof size, "%d", TFR_COMM_MAX_RANKS + 1);
    launch("OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", size);
    assert_refused(tfr_comm_open(&comm, NULL, 5), TFR_USAGE, "a job of tfrun has at most 1365; start fewer");
    snprintf(size, sizeof size, "%d", TFR_COMM_MAX_RANKS);
    launch("OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", size);
    assert_refused(tfr_comm_open(&comm, NULL, 5), TFR_RESOURCE, "1365 ranks were started, but the MPI back end");
    clear_environment();
}

TFR_TEST(tasks_of_srun_without_wiring_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm;
    clear_environment();
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    assert_refused(tfr_comm_open(&comm, NULL, 5), TFR_RESOURCE, "srun started 4 tasks");
    clear_environment();
    setenv("SLURM_NTASKS", "4", 1); /* a plain command in a batch script */
    assert_ok(tfr_comm_open(&comm, NULL, 5));
    tfr_comm_close(comm);
    clear_environment();
}

TFR_TEST(pause_gives_up_at_the_deadline) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm = open_self();
    struct tfr_backoff backoff = {0};
    enum tfr_status status = TFR_OK;
    tfr_comm_set_timeout(comm, 1);
    tfr_comm_set_wait(comm, TFR_COMM_WAIT_SLEEP);
    const uint64_t start = tfr_clock_ns();
    while (status == TFR_OK && tfr_clock_ns() - start < 3000000000u) {
        status = tfr_comm_pause(comm, &backoff, "the moon");
    }
    assert_refused(status, TFR_RUNTIME, "rank 0 waited 1 s for the moon");
    assert_true(backoff.rounds < 100000); /* it slept, it did not burn the core */
    tfr_comm_close(comm);
}

TFR_TEST(message_kernels_refuse_peers_that_do_not_exist) {
    TFR_UNUSED_STATE;
    struct tfr_comm *comm = open_self();
    const struct tfr_plugin *plugin = tfr_comm_plugin(comm);
    struct tfr_problem problem = {.op = TFR_OP_SEND_HIDDEN, .n_args = 1, .attrs = {.peer = 1, .tag = 2}};
    char reason[128] = "";
    assert_int_equal(plugin->n_kernels, 2);
    for (int i = 0; i < plugin->n_kernels; i++) {
        assert_int_equal(plugin->kernels[i]->run_class, TFR_RUN_ASYNC);
        assert_false(plugin->kernels[i]->supports(plugin->kernels[i], &problem, reason, sizeof reason));
        assert_non_null(strstr(reason, "no peer 1"));
    }
    tfr_comm_close(comm);
}

TFR_TEST_MAIN(TFR_CASE(one_process_is_rank_0_of_1), TFR_CASE(collectives_of_one),
              TFR_CASE(agree_keeps_the_own_failure_and_its_text), TFR_CASE(messages_to_oneself_or_nobody_are_refused),
              TFR_CASE(launchers_are_seen_in_the_environment), TFR_CASE(ranks_without_a_back_end_are_told_what_to_build),
              TFR_CASE(more_ranks_than_can_be_told_are_refused), TFR_CASE(tasks_of_srun_without_wiring_are_refused),
              TFR_CASE(pause_gives_up_at_the_deadline), TFR_CASE(message_kernels_refuse_peers_that_do_not_exist))

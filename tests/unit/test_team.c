/* test_team.c - regions, barriers in both forms, teams of many sizes one after the other. */
#include "team/team.h"

#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/status.h"
#include "tfr_test.h"
#include "topo/topo.h"
#include "topo/topo_internal.h"

enum { MAX_THREADS = 5, ROUNDS = 300 };

struct shared {
    struct tfr_team *team;
    int plain[MAX_THREADS]; /* written without atomics: the barriers must order it */
    int sum;
    atomic_int calls[MAX_THREADS], wrong;
};

static struct tfr_team *open_team(int n) {
    struct tfr_team *team;
    /* More threads than this box may have cores: waits must sleep soon. */
    assert_ok(tfr_team_open(&team, n, NULL, true));
    assert_int_equal(tfr_team_size(team), n);
    return team;
}

static void count_call(void *arg, int tid, int nth) {
    struct shared *shared = arg;
    atomic_fetch_add(&shared->calls[tid], 1);
    if (nth != tfr_team_size(shared->team)) {
        atomic_fetch_add(&shared->wrong, 1);
    }
}

TFR_TEST(every_thread_runs_once_per_region) {
    TFR_UNUSED_STATE;
    for (int n = 1; n <= MAX_THREADS; n++) {
        struct shared shared = {.team = open_team(n)};
        for (int i = 0; i < 20; i++) {
            tfr_team_run(shared.team, count_call, &shared);
        }
        for (int t = 0; t < MAX_THREADS; t++) {
            assert_int_equal(atomic_load(&shared.calls[t]), t < n ? 20 : 0);
        }
        assert_int_equal(atomic_load(&shared.wrong), 0);
        tfr_team_close(shared.team);
    }
}

/* Each thread writes its cell, all wait, each reads all cells, all wait. */
static void exchange(void *arg, int tid, int nth) {
    struct shared *shared = arg;
    for (int round = 1; round <= ROUNDS; round++) {
        shared->plain[tid] = round * (tid + 1);
        tfr_team_barrier(shared->team, tid);
        for (int t = 0; t < nth; t++) {
            if (shared->plain[t] != round * (t + 1)) {
                atomic_fetch_add(&shared->wrong, 1);
            }
        }
        tfr_team_barrier(shared->team, tid);
    }
}

TFR_TEST(barrier_orders_plain_writes) {
    TFR_UNUSED_STATE;
    for (int n = 1; n <= MAX_THREADS; n++) {
        struct shared shared = {.team = open_team(n)};
        tfr_team_run(shared.team, exchange, &shared);
        assert_int_equal(atomic_load(&shared.wrong), 0);
        tfr_team_close(shared.team);
    }
}

/* Thread 0 adds up what the others wrote while they stand, and puts the sum where they read it. */
static void act_alone(void *arg, int tid, int nth) {
    struct shared *shared = arg;
    for (int round = 1; round <= ROUNDS; round++) {
        shared->plain[tid] = round;
        if (tid == 0) {
            tfr_team_collect(shared->team);
            shared->sum = 0;
            for (int t = 0; t < nth; t++) {
                shared->sum += shared->plain[t];
            }
            tfr_team_release(shared->team);
        } else {
            tfr_team_barrier(shared->team, tid);
        }
        if (shared->sum != round * nth) {
            atomic_fetch_add(&shared->wrong, 1);
        }
        tfr_team_barrier(shared->team, tid);
    }
}

TFR_TEST(master_acts_alone_between_collect_and_release) {
    TFR_UNUSED_STATE;
    for (int n = 1; n <= MAX_THREADS; n++) {
        struct shared shared = {.team = open_team(n)};
        tfr_team_run(shared.team, act_alone, &shared);
        assert_int_equal(atomic_load(&shared.wrong), 0);
        tfr_team_close(shared.team);
    }
}

static void write_cell(void *arg, int tid, int nth) {
    struct shared *shared = arg;
    (void)nth;
    shared->plain[tid] += 1;
}

TFR_TEST(end_of_region_orders_plain_writes) {
    TFR_UNUSED_STATE;
    struct shared shared = {.team = open_team(3)};
    for (int i = 1; i <= ROUNDS; i++) {
        tfr_team_run(shared.team, write_cell, &shared);
        for (int t = 0; t < 3; t++) {
            assert_int_equal(shared.plain[t], i);
        }
    }
    tfr_team_close(shared.team);
}

TFR_TEST(teams_of_different_sizes_in_any_order) {
    TFR_UNUSED_STATE;
    static const int sizes[] = {2, 5, 1, 3, 2, 4, 1, 5};
    for (size_t i = 0; i < TFR_COUNT_OF(sizes); i++) {
        struct shared shared = {.team = open_team(sizes[i])};
        tfr_team_run(shared.team, exchange, &shared);
        assert_int_equal(atomic_load(&shared.wrong), 0);
        tfr_team_close(shared.team);
    }
}

static void note_affinity(void *arg, int tid, int nth) {
    struct tfr_cpus *masks = arg;
    (void)nth;
    tfr_bind_current(&masks[tid]);
}

TFR_TEST(threads_are_pinned_while_the_team_is_open_only) {
    TFR_UNUSED_STATE;
    struct tfr_machine *machine;
    struct tfr_thread_choice choice;
    struct tfr_cpus before, after, masks[2];
    struct tfr_team *team;
    int pus[2];
    assert_ok(tfr_machine_read(&machine));
    machine->quota_cores = 0;
    if (machine->n_cores < 2 || !tfr_bind_save(&before) || getenv("OMP_PROC_BIND") != NULL) {
        tfr_machine_free(machine);
        skip();
    }
    tfr_machine_choose_threads(machine, 2, 0, 1, &choice);
    tfr_bind_plan(machine, &choice, TFR_BIND_COMPACT, pus);
    assert_ok(tfr_team_open(&team, 2, pus, false));
    tfr_team_run(team, note_affinity, masks);
    for (int t = 0; t < 2; t++) {
        assert_int_equal(tfr_cpus_count(&masks[t]), 1);
        assert_true(tfr_cpus_has(&masks[t], pus[t]));
    }
    tfr_team_close(team);
    assert_true(tfr_bind_current(&after));
    assert_true(tfr_cpus_equal(&before, &after));

    /* A later team is as free as the process. */
    assert_ok(tfr_team_open(&team, 2, NULL, false));
    tfr_team_run(team, note_affinity, masks);
    assert_true(tfr_cpus_equal(&before, &masks[0]) && tfr_cpus_equal(&before, &masks[1]));
    tfr_team_close(team);
    tfr_machine_free(machine);
}

static void wait_asleep(void *arg, int tid, int nth) {
    struct shared *shared = arg;
    (void)nth;
    for (int round = 0; round < 3; round++) {
        if (tid == round) {
            usleep(30000); /* far longer than any thread spins; thread 0 is awaited as well as awaits */
        }
        tfr_team_barrier(shared->team, tid);
    }
}

/* Waiting threads sleep: three waits of 30 ms by two of three threads take next to no processor time. */
TFR_TEST(waiting_threads_sleep) {
    TFR_UNUSED_STATE;
    for (int crowded = 0; crowded < 2; crowded++) {
        struct shared shared = {0};
        struct rusage before, after;
        assert_ok(tfr_team_open(&shared.team, 3, NULL, crowded));
        getrusage(RUSAGE_SELF, &before);
        tfr_team_run(shared.team, wait_asleep, &shared);
        getrusage(RUSAGE_SELF, &after);
        const long used_us =
            (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec - before.ru_utime.tv_usec;
        assert_true(used_us < 60000); /* spinning all along: 180 ms */
        tfr_team_close(shared.team);
    }
}

TFR_TEST(a_team_of_nobody_is_refused) {
    TFR_UNUSED_STATE;
    struct tfr_team *team;
    assert_refused(tfr_team_open(&team, 0, NULL, false), TFR_RUNTIME, "at least 1 thread");
    assert_null(team);
    tfr_team_close(NULL);
}

TFR_TEST_MAIN(TFR_CASE(every_thread_runs_once_per_region), TFR_CASE(barrier_orders_plain_writes),
              TFR_CASE(master_acts_alone_between_collect_and_release), TFR_CASE(end_of_region_orders_plain_writes),
              TFR_CASE(teams_of_different_sizes_in_any_order), TFR_CASE(threads_are_pinned_while_the_team_is_open_only),
              TFR_CASE(waiting_threads_sleep), TFR_CASE(a_team_of_nobody_is_refused))

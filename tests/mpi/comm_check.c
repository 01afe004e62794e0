/* comm_check.c - the contract of comm.h between real ranks: comm_check MODE, started by mpiexec.
 *
 * Modes that succeed: messages, collectives, agree, kernels, idle, idle_own, spin, late (under comm_delay.so). Modes that must
 * fail: silent (a peer says nothing), dies (a peer is gone), short (a message of the wrong size). no_memory: a rank cannot open.
 */
#include "mpi/comm.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tfrun/plugin.h>

#include "base/arena.h"
#include "base/status.h"

static struct tfr_comm *comm;

#define CHECK(condition)                                                                                                           \
    do {                                                                                                                           \
        if (!(condition)) {                                                                                                        \
            fprintf(stderr, "rank %d: %s:%d: %s is false; last failure: %s\n", tfr_comm_rank(comm), __FILE__, __LINE__,            \
                    #condition, tfr_failure_text());                                                                               \
            tfr_comm_abort(comm, 99);                                                                                              \
        }                                                                                                                          \
    } while (0)
#define CHECK_OK(call) CHECK((call) == TFR_OK)

static void wait_for(tfr_comm_request request) {
    struct tfr_backoff backoff = {0};
    bool done = false;
    CHECK_OK(tfr_comm_test(comm, request, &done));
    while (!done) {
        CHECK_OK(tfr_comm_pause(comm, &backoff, "a message of the test"));
        CHECK_OK(tfr_comm_test(comm, request, &done));
    }
}

static void fill(uint8_t *data, size_t n, int rank) {
    for (size_t i = 0; i < n; i++) {
        data[i] = (uint8_t)(i * 31 + (size_t)rank * 7 + i / 251);
    }
}

/* Every rank sends to the next and receives from the one before; sizes below and above every eager limit. */
static void check_ring(int rank, int size) {
    static const size_t sizes[] = {0, 1, 3072, 4096, 4097, 65536, 65537, 3u << 20};
    const size_t most = 3u << 20;
    uint8_t *out = malloc(most), *in = malloc(most), *expected = malloc(most);
    CHECK(out != NULL && in != NULL && expected != NULL);
    const int next = (rank + 1) % size, before = (rank + size - 1) % size;
    for (size_t i = 0; i < TFR_COUNT_OF(sizes) && size > 1; i++) {
        tfr_comm_request requests[2];
        fill(out, sizes[i], rank);
        fill(expected, sizes[i], before);
        memset(in, 0xEE, most);
        CHECK_OK(tfr_comm_irecv(comm, in, sizes[i], before, 17, &requests[0]));
        CHECK_OK(tfr_comm_isend(comm, out, sizes[i], next, 17, &requests[1]));
        wait_for(requests[0]);
        wait_for(requests[1]);
        CHECK(memcmp(in, expected, sizes[i]) == 0);
        CHECK(sizes[i] == most || in[sizes[i]] == 0xEE);
    }
    free(out);
    free(in);
    free(expected);
}

/* Messages are matched by tag, not by order; as many as there are requests. */
static void check_tags(int rank, int size) {
    enum { N = TFR_COMM_MAX_REQUESTS / 2 };
    int values[N], got[N];
    tfr_comm_request sends[N], recvs[N], one_more;
    char words[64];
    const int next = (rank + 1) % size, before = (rank + size - 1) % size;
    if (size == 1) {
        return;
    }
    for (int i = 0; i < N; i++) {
        values[i] = rank * 1000 + i;
        CHECK_OK(tfr_comm_isend(comm, &values[i], sizeof values[i], next, i, &sends[i]));
        CHECK_OK(tfr_comm_irecv(comm, &got[N - 1 - i], sizeof got[0], before, N - 1 - i, &recvs[N - 1 - i]));
    }
    CHECK(tfr_comm_isend(comm, values, 0, next, 5, &one_more) == TFR_RUNTIME);
    snprintf(words, sizeof words, "more than %d messages in flight", TFR_COMM_MAX_REQUESTS);
    CHECK(strstr(tfr_failure_text(), words) != NULL);
    for (int i = 0; i < N; i++) {
        wait_for(recvs[i]);
        wait_for(sends[i]);
        CHECK(got[i] == before * 1000 + i);
    }
}

static void check_blocking(int rank, int size) {
    double value = 2.5 * rank, got = 0;
    if (rank > 0) {
        CHECK_OK(tfr_comm_recv(comm, &got, sizeof got, rank - 1, TFR_COMM_MAX_REQUESTS));
        CHECK(got == 2.5 * (rank - 1));
    }
    if (rank + 1 < size) {
        CHECK_OK(tfr_comm_send(comm, &value, sizeof value, rank + 1, TFR_COMM_MAX_REQUESTS));
    }
}

static void check_messages(int rank, int size) {
    check_ring(rank, size);
    check_tags(rank, size);
    check_blocking(rank, size);
}

static void check_collectives(int rank, int size) {
    static const size_t sizes[] = {0, 1, 4096, 100001};
    uint8_t *data = malloc(100001), *expected = malloc(100001);
    int all[64], index = -1, group_size = -1;
    CHECK(data != NULL && expected != NULL && size <= 64);
    for (size_t i = 0; i < TFR_COUNT_OF(sizes); i++) {
        fill(expected, sizes[i], 0);
        fill(data, sizes[i], rank);
        CHECK_OK(tfr_comm_bcast(comm, data, sizes[i]));
        CHECK(memcmp(data, expected, sizes[i]) == 0);
    }
    const int mine = rank * rank;
    CHECK_OK(tfr_comm_gather(comm, &mine, sizeof mine, rank == 0 ? all : NULL));
    for (int r = 0; r < size && rank == 0; r++) {
        CHECK(all[r] == r * r);
    }
    CHECK_OK(tfr_comm_group(comm, (uint64_t)(rank % 2), &index, &group_size));
    CHECK(index == rank / 2 && group_size == (size + 1 - rank % 2) / 2);
    if (rank == size - 1) { /* the others must not wait for this one */
        tfr_alloc_fail_after(1);
    }
    CHECK(tfr_comm_group(comm, 0, &index, &group_size) == TFR_RESOURCE);
    CHECK(tfr_comm_local_size(comm) == size && tfr_comm_local_rank(comm) == rank);
    free(data);
    free(expected);
}

/* The ranks in `failing` (bits) fail; the lowest of them must win. */
static void check_agreement(int rank, unsigned failing, int lowest) {
    char expected[64];
    enum tfr_status mine = TFR_OK;
    if (failing >> rank & 1) {
        mine = tfr_raise(TFR_MODEL, "block of rank %d is bad", rank);
    }
    CHECK(tfr_comm_agree(comm, mine) == TFR_MODEL);
    if (rank == 0) {
        snprintf(expected, sizeof expected, lowest == 0 ? "block of rank %d is bad" : "rank %d: block of rank %d is bad", lowest,
                 lowest);
        CHECK(strcmp(tfr_failure_text(), expected) == 0);
    } else if (mine == TFR_OK) {
        snprintf(expected, sizeof expected, "rank %d failed", lowest);
        CHECK(strstr(tfr_failure_text(), expected) != NULL);
    }
}

static void check_agree(int rank, int size) {
    CHECK_OK(tfr_comm_agree(comm, TFR_OK));
    check_agreement(rank, 1u << (size - 1), size - 1);
    check_agreement(rank, 1u, 0);
    if (size > 2) {
        check_agreement(rank, 1u << 1 | 1u << 2, 1);
    }
    if (size > 1) { /* a cancelled rank does not hide a failure */
        enum tfr_status mine = rank == 0 ? tfr_raise(TFR_CANCELLED, "stopped") : TFR_OK;
        mine = rank == size - 1 ? tfr_raise(TFR_RESOURCE, "no memory there") : mine;
        CHECK(tfr_comm_agree(comm, mine) == TFR_RESOURCE);
        CHECK(rank != 0 || strstr(tfr_failure_text(), "no memory there") != NULL);
    }
    CHECK_OK(tfr_comm_agree(comm, TFR_OK));
}

/* Runs the message kernel of `op` on rows of 5 floats, as the executor would. */
static void run_kernel(const struct tfr_plugin *plugin, int op, int peer, float *rows, int64_t n_rows) {
    const struct tfr_kernel *kernel = plugin->kernels[plugin->kernels[0]->op == op ? 0 : 1];
    const struct tfr_problem problem = {.struct_size = sizeof problem,
                                        .op = op,
                                        .n_args = 1,
                                        .n_threads = 1,
                                        .arg = {{.rank = 2, .dim = {8, 5}}},
                                        .attrs = {.peer = peer, .tag = 3},
                                        .rows_min = 1,
                                        .rows_max = 8};
    struct tfr_needs needs = {.struct_size = sizeof needs};
    char reason[128] = "";
    _Alignas(64) char run_state[256] = {0};
    void *arg[] = {rows};
    const struct tfr_run_args args = {.struct_size = sizeof args, .arg = arg, .rows = n_rows, .run_state = run_state};
    const struct tfr_run_ctx ctx = {.struct_size = sizeof ctx, .tid = 0, .nth = 1, .reason = reason, .reason_size = sizeof reason};
    struct tfr_backoff backoff = {0};
    int done = 0;
    CHECK(kernel->op == op && kernel->supports(kernel, &problem, reason, sizeof reason));
    CHECK(kernel->prepare(kernel, &problem, &needs, reason, sizeof reason) == TFR_OK);
    CHECK(needs.run_state_bytes <= sizeof run_state);
    CHECK_OK(kernel->run(kernel, &problem, &args, &ctx));
    while ((done = kernel->poll(kernel, &problem, &args, &ctx)) == 0) {
        CHECK_OK(tfr_comm_pause(comm, &backoff, "rows"));
    }
    CHECK(done == 1);
}

static void check_kernels(int rank, int size) {
    const struct tfr_plugin *plugin = tfr_comm_plugin(comm);
    float rows[8 * 5] = {0};
    for (int64_t n_rows = 1; n_rows <= 8; n_rows += 7) {
        if (rank > 0) {
            run_kernel(plugin, TFR_OP_RECV_HIDDEN, rank - 1, rows, n_rows);
        }
        for (int64_t i = 0; i < n_rows * 5; i++) {
            CHECK(rank == 0 || rows[i] == (float)((rank - 1) * 100 + i));
            rows[i] = (float)(rank * 100 + i);
        }
        if (rank + 1 < size) {
            run_kernel(plugin, TFR_OP_SEND_HIDDEN, rank + 1, rows, n_rows);
        }
        memset(rows, 0, sizeof rows);
    }
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* How often a rank looked for a message that came after five seconds: in all, and after the first two and a half of them. Counted
 * in looks, because the CPU time of one differs from machine to machine and with what else runs there. */
struct looks {
    long all, late;
};

static struct looks wait_and_count(int peer) {
    struct looks looks = {0};
    struct tfr_backoff backoff = {0};
    tfr_comm_request request;
    bool done = false;
    int value;
    const double start = seconds_now();
    CHECK_OK(tfr_comm_irecv(comm, &value, sizeof value, peer, 4, &request));
    while (!done) {
        CHECK_OK(tfr_comm_test(comm, request, &done));
        CHECK_OK(tfr_comm_pause(comm, &backoff, "the end of a long wait"));
        looks.all++;
        looks.late += seconds_now() - start > 2.5;
    }
    return looks;
}

/* What a wait of five seconds looks like in each way of waiting: looks at most in all, and of the second half at least and at most.
 * Without naps there are some ten million, even a slow machine has thousands; with naps of 5 ms, which cost less than a percent of
 * a core, there are 500 in the second half. */
static void check_wait(int rank, int size, enum tfr_comm_wait wait) {
    static const struct looks most[] = {{LONG_MAX, LONG_MAX}, {LONG_MAX, 600}, {100000, 600}};
    const long least_late = wait == TFR_COMM_WAIT_SPIN ? 601 : 0;
    tfr_comm_set_wait(comm, wait);
    if (rank == 0) {
        sleep(5);
        for (int peer = 1; peer < size; peer++) {
            CHECK_OK(tfr_comm_send(comm, &rank, sizeof rank, peer, 4));
        }
        return;
    }
    const struct looks looks = wait_and_count(0);
    if (looks.all > most[wait].all || looks.late > most[wait].late || looks.late < least_late) {
        fprintf(stderr, "rank %d looked %ld times in 5 s of waiting, %ld times after the first 2.5 s\n", rank, looks.all,
                looks.late);
        tfr_comm_abort(comm, 99);
    }
}

/* Ranks that share their cores leave them at once, those with own cores after a while. */
static void check_idle(int rank, int size) {
    check_wait(rank, size, TFR_COMM_WAIT_SLEEP);
}

static void check_idle_own(int rank, int size) {
    check_wait(rank, size, TFR_COMM_WAIT_OWN_CORES);
}

static void check_spin(int rank, int size) {
    check_wait(rank, size, TFR_COMM_WAIT_SPIN);
}

static void fail_silent(int rank, int size) {
    char byte = 0;
    (void)size;
    tfr_comm_set_timeout(comm, 1);
    if (rank == 0) {
        (void)tfr_comm_recv(comm, &byte, 1, 1, 4); /* ends the job */
        CHECK(false);
    }
    sleep(60);
}

static void fail_dies(int rank, int size) {
    if (rank == size - 1) {
        _exit(7);
    }
    char byte = 0;
    CHECK_OK(tfr_comm_recv(comm, &byte, 1, size - 1, 4));
}

static void fail_short(int rank, int size) {
    char bytes[10] = {0};
    if (rank == size - 1) {
        CHECK_OK(tfr_comm_send(comm, bytes, 9, 0, 4));
        sleep(60);
    }
    if (rank == 0) {
        CHECK(tfr_comm_recv(comm, bytes, 10, size - 1, 4) == TFR_RUNTIME);
        fprintf(stderr, "%s\n", tfr_failure_text());
        tfr_comm_abort(comm, 3);
    }
    sleep(60);
}

/* What the delaying back end promises: arguments as in its variable. Lower bounds only, so the machine's pace is no matter. */
static void check_late(int rank, int size) {
    enum { N = 4, MESSAGES = 3 };
    static const size_t bytes[N] = {0, 1000, 100000, 1000000};
    double alpha_us = 0, gbit = 0;
    char *data = calloc(MESSAGES, bytes[N - 1]);
    tfr_comm_request requests[MESSAGES];
    CHECK(data != NULL && size == 2 && sscanf(getenv("TFRUN_DELAY"), "%lf,%lf", &alpha_us, &gbit) == 2);
    for (int i = 0; i < N; i++) { /* there and back */
        const double start = seconds_now(), least = 2e-6 * alpha_us + 2 * 8e-9 * (double)bytes[i] / gbit;
        for (int hop = 0; hop < 2; hop++) {
            CHECK_OK(hop == rank ? tfr_comm_send(comm, data, bytes[i], 1 - rank, 5)
                                 : tfr_comm_recv(comm, data, bytes[i], 1 - rank, 5));
        }
        CHECK(rank == 1 || seconds_now() - start >= least);
    }
    /* Several at once take turns on the wire; the receiver's clock starts when the sender is told that it is ready. */
    for (int i = 0; i < MESSAGES; i++) {
        char *part = data + (size_t)i * bytes[N - 1];
        CHECK_OK(rank == 0 ? tfr_comm_irecv(comm, part, bytes[N - 1], 1, 6, &requests[i]) : TFR_OK);
    }
    const double start = seconds_now(), each = 8e-9 * (double)bytes[N - 1] / gbit;
    CHECK_OK(rank == 0 ? tfr_comm_send(comm, data, 0, 1, 7) : tfr_comm_recv(comm, data, 0, 0, 7));
    for (int i = 0; i < MESSAGES; i++) {
        char *part = data + (size_t)i * bytes[N - 1];
        part[0] = (char)(rank == 1 ? i + 1 : part[0]);
        CHECK_OK(rank == 1 ? tfr_comm_isend(comm, part, bytes[N - 1], 0, 6, &requests[i]) : TFR_OK);
    }
    for (int i = 0; i < MESSAGES; i++) {
        wait_for(requests[i]);
        CHECK(data[(size_t)i * bytes[N - 1]] == i + 1);
        CHECK(rank == 1 || seconds_now() - start >= (i + 1) * each + 2e-6 * alpha_us);
    }
    free(data);
}

/* The last rank has no memory for the record of its communicator: all know of it, and take their leave together. */
static int open_without_memory(const char *const *dirs) {
    int rank, size;
    tfr_alloc_fail_after(tfr_comm_launched(&rank, &size) && rank == size - 1);
    const enum tfr_status status = tfr_comm_open(&comm, dirs, 60);
    if (rank == 0) {
        fprintf(stderr, "%s\n", tfr_failure_text());
    }
    tfr_comm_close(comm);
    return status == TFR_RESOURCE ? 0 : 1;
}

static const struct {
    const char *name;
    void (*run)(int rank, int size);
} modes[] = {
    {"messages", check_messages}, {"collectives", check_collectives},
    {"agree", check_agree},       {"kernels", check_kernels},
    {"idle", check_idle},         {"idle_own", check_idle_own},
    {"spin", check_spin},         {"late", check_late},
    {"silent", fail_silent},      {"dies", fail_dies},
    {"short", fail_short},
};

int main(int argc, char **argv) {
    const char *const dirs[] = {TFR_PLUGIN_DIR, NULL};
    if (argc == 2 && strcmp(argv[1], "no_memory") == 0) {
        return open_without_memory(dirs);
    }
    if (tfr_comm_open(&comm, dirs, 60) != TFR_OK) {
        fprintf(stderr, "%s\n", tfr_failure_text());
        return 1;
    }
    for (size_t i = 0; i < TFR_COUNT_OF(modes); i++) {
        if (argc == 2 && strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run(tfr_comm_rank(comm), tfr_comm_size(comm));
            if (tfr_comm_rank(comm) == 0) {
                printf("%s: %d ranks, %s\n", argv[1], tfr_comm_size(comm), tfr_comm_describe(comm));
            }
            tfr_comm_close(comm);
            return 0;
        }
    }
    fprintf(stderr, "usage: comm_check messages|collectives|agree|kernels|idle|idle_own|spin|late|silent|dies|short|no_memory\n");
    return 2;
}

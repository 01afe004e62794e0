/* bandwidth.c - bytes read in a second, by the size of what is read again and again: from the first cache level to memory. */
#include "roofs/roofs.h"

#include <tfrun/plugin.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"

enum { N_TRIALS = 5, UNROLL = 8, LEAST_MEMORY_BYTES = 256 << 20, LEAST_BYTES = 16 << 10, SHARE_BYTES = 4096 };

#define KEEP(value) __asm__ volatile("" : : "m"(value) : "memory")

/* Sums of a range, so that every byte is asked for. */
#define READ_LOOP(name, bytes, attribute)                                                                                          \
    typedef float name##_vector __attribute__((vector_size(bytes)));                                                               \
    attribute static void name(const void *memory, size_t size) {                                                                  \
        const name##_vector *at = memory, *end = at + size / (bytes);                                                              \
        name##_vector sum[UNROLL] = {0};                                                                                           \
        for (; at + UNROLL <= end; at += UNROLL) {                                                                                 \
            _Pragma("GCC unroll 8") for (int i = 0; i < UNROLL; i++) {                                                             \
                sum[i] += at[i];                                                                                                   \
            }                                                                                                                      \
        }                                                                                                                          \
        KEEP(sum);                                                                                                                 \
    }

READ_LOOP(read_plain, 16, )
#if defined(__x86_64__)
READ_LOOP(read_avx2, 32, __attribute__((target("avx2"))))
READ_LOOP(read_avx512, 64, __attribute__((target("avx512f"))))
#endif

typedef void (*read_fn)(const void *memory, size_t size);

static read_fn reader_for(uint32_t isa) {
#if defined(__x86_64__)
    return (isa & TFR_ISA_AVX512) != 0 ? read_avx512 : (isa & TFR_ISA_AVX2) != 0 ? read_avx2 : read_plain;
#else
    (void)isa;
    return read_plain;
#endif
}

struct read_job {
    read_fn read;
    uint8_t *memory;
    size_t size;
    int64_t rounds;
    bool touch; /* write instead: each thread its share */
};

static void run_reads(void *arg, int tid, int nth) {
    const struct read_job *job = arg;
    const size_t share = job->size / (size_t)nth;
    uint8_t *at = job->memory + (size_t)tid * share;
    if (job->touch) {
        for (size_t i = 0; i < share; i++) {
            at[i] = 0;
        }
        return;
    }
    for (int64_t i = 0; i < job->rounds; i++) {
        job->read(at, share);
    }
}

static uint64_t timed(struct tfr_team *team, struct read_job *job) {
    const uint64_t begin = tfr_clock_ns();
    if (team != NULL) {
        tfr_team_run(team, run_reads, job);
    } else {
        run_reads(job, 0, 1);
    }
    return tfr_clock_ns() - begin;
}

/* The fastest of a few, so that one that lost its core does not count. */
static uint64_t fastest(struct tfr_team *team, struct read_job *job) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        const uint64_t took = timed(team, job);
        best = took < best ? took : best;
    }
    return best;
}

static double best_rate(struct tfr_team *team, struct read_job *job, uint64_t trial_ns) {
    const double round = (double)job->size;
    double best = 0;
    for (job->rounds = 1; fastest(team, job) < trial_ns / 4; job->rounds *= 2) {
    }
    for (int trial = 0; trial < N_TRIALS; trial++) {
        const double rate = round * (double)job->rounds / (double)timed(team, job) * 1e9;
        best = rate > best ? rate : best;
    }
    return best;
}

/* Four times the last cache level, so that little of it is found there; less where memory is short. */
static size_t largest_size(const struct tfr_machine *machine, const struct tfr_team *team) {
    int64_t most = machine->l3_bytes * 4 > LEAST_MEMORY_BYTES ? machine->l3_bytes * 4 : LEAST_MEMORY_BYTES;
    if (machine->memory_available_bytes > 0 && most > machine->memory_available_bytes / 4) {
        most = machine->memory_available_bytes / 4;
    }
    const size_t one_each = (size_t)tfr_team_size(team) * SHARE_BYTES;
    return (size_t)most / one_each * one_each;
}

enum tfr_status tfr_roofs_memory(struct tfr_team *team, const struct tfr_machine *machine, double *rate) {
    return tfr_roofs_set(team, machine, (int64_t)largest_size(machine, team), rate);
}

enum tfr_status tfr_roofs_set(struct tfr_team *team, const struct tfr_machine *machine, int64_t bytes, double *rate) {
    enum { N_READS = 5 };
    struct tfr_block block;
    const size_t one_each = (size_t)tfr_team_size(team) * SHARE_BYTES, size = ((size_t)bytes + one_each - 1) / one_each * one_each;
    uint64_t took[N_READS];
    TFR_TRY(tfr_block_open(&block, size, TFR_HUGEPAGES_TRY));
    struct read_job job = {.read = reader_for(machine->isa), .memory = block.data, .size = size, .rounds = 1, .touch = true};
    tfr_team_run(team, run_reads, &job);
    job.touch = false;
    for (int i = 0; i < N_READS; i++) {
        const uint64_t one = timed(team, &job);
        int at = i;
        for (; at > 0 && took[at - 1] > one; at--) {
            took[at] = took[at - 1];
        }
        took[at] = one;
    }
    tfr_block_close(&block);
    const uint64_t median = took[N_READS / 2];
    *rate = (double)size / (double)median * 1e9;
    return TFR_OK;
}

enum tfr_status tfr_roofs_bandwidth(struct tfr_roofs *roofs, struct tfr_team *team, const struct tfr_machine *machine,
                                    uint64_t trial_ns) {
    struct tfr_block block;
    const size_t one_each = (size_t)tfr_team_size(team) * SHARE_BYTES, most = largest_size(machine, team);
    TFR_TRY(tfr_block_open(&block, most, TFR_HUGEPAGES_TRY));
    struct read_job job = {.read = reader_for(machine->isa), .memory = block.data, .size = most, .touch = true};
    tfr_team_run(team, run_reads, &job);
    job.touch = false;
    for (size_t size = LEAST_BYTES; size <= most && roofs->n_bandwidths < TFR_MAX_BANDWIDTHS; size *= 2) {
        if (size < one_each) {
            continue; /* some thread would have nothing to read */
        }
        job.size = size / one_each * one_each; /* the same for each thread */
        roofs->bandwidth[roofs->n_bandwidths++] = (struct tfr_bandwidth){
            .bytes = (int64_t)job.size,
            .one_core = best_rate(NULL, &job, trial_ns),
            .all_cores = best_rate(team, &job, trial_ns),
        };
    }
    tfr_block_close(&block);
    return TFR_OK;
}

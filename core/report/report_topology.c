/* report_topology.c - the machine in words or JSON: what there is, what this process may use, where its
 * threads would go.
 *
 * Under a launcher the ranks tell each other, and rank 0 alone reports: its machine, and the threads of every
 * rank.
 */
#include <tfrun/plugin.h>
#include <tfrun/tfrun.h>

#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "base/status.h"
#include "mpi/comm.h"
#include "rank/meet.h"
#include "team/team.h"
#include "topo/domain.h"
#include "topo/topo.h"

enum { OPENING_TIMEOUT_S = 300, PLACEMENT_BYTES = 512 };

/* What one rank says of itself. */
struct seat {
    char host[128], reason[160], placement[PLACEMENT_BYTES];
    char memory[256]; /* "" on a machine with one NUMA domain */
    int32_t n_threads;
};

static void isa_text(FILE *stream, uint32_t isa) {
    for (uint32_t left = isa; left != 0; left &= left - 1) {
        fprintf(stream, " %s", tfr_isa_name(left));
    }
    fprintf(stream, "%s\n", isa == 0 ? " plain C only" : "");
}

static void limits_text(FILE *stream, const struct tfr_machine *machine) {
    fprintf(stream, "allowed   %d of %d logical CPU%s: affinity %d, cpuset %d, CPU-time quota ", machine->n_cores,
            machine->n_pus_online, tfr_plural(machine->n_pus_online), machine->n_affinity, machine->n_cpuset);
    if (machine->quota_cores > 0) {
        fprintf(stream, "%.2f cores\n", machine->quota_cores);
    } else {
        fprintf(stream, "none\n");
    }
}

static void machine_text(FILE *stream, const struct tfr_machine *machine) {
    fprintf(stream, "host      %s\ncpu       %s, %d package%s, %d NUMA node%s (read by %s)\nisa      ", machine->host_name,
            machine->cpu_name, machine->n_packages, tfr_plural(machine->n_packages), machine->n_numa, tfr_plural(machine->n_numa),
            machine->source);
    isa_text(stream, machine->isa);
    fprintf(stream, "caches    L1d %lld KiB, L2 %lld KiB, L3 %lld KiB\n", (long long)machine->l1d_bytes / 1024,
            (long long)machine->l2_bytes / 1024, (long long)machine->l3_bytes / 1024);
    fprintf(stream, "memory    %.1f GB, %.1f GB available\n", (double)machine->memory_total_bytes / 1e9,
            (double)machine->memory_available_bytes / 1e9);
    limits_text(stream, machine);
    fprintf(stream,
            "nominal   %.2f GHz; per core %.0f GFLOP/s f32, %.0f bf16, %.0f GB/s; all cores %.0f GB/s "
            "(figures for plans, not measured)\n",
            machine->ghz, machine->flops_f32_per_core / 1e9, machine->flops_bf16_per_core / 1e9, machine->bytes_per_core / 1e9,
            machine->bytes_total / 1e9);
}

/* "thread -> cpu: 0->0 1->1" */
static void describe_placement(const struct tfr_machine *machine, const struct tfr_thread_choice *choice, char *text, size_t size) {
    enum { MOST_SHOWN = 32 };
    int pus[MOST_SHOWN];
    struct tfr_thread_choice shown = *choice;
    if (choice->openmp_binds) {
        snprintf(text, size, "as OpenMP's variables say");
        return;
    }
    shown.n_threads = choice->n_threads < MOST_SHOWN ? choice->n_threads : MOST_SHOWN;
    tfr_bind_plan(machine, &shown, TFR_BIND_COMPACT, pus);
    size_t used = (size_t)snprintf(text, size, "thread -> cpu:");
    for (int t = 0; t < shown.n_threads && used < size; t++) {
        used += (size_t)snprintf(text + used, size - used, pus[t] >= 0 ? " %d->%d" : " %d free", t, pus[t]);
    }
    if (choice->n_threads > MOST_SHOWN && used < size) {
        snprintf(text + used, size - used, " ...");
    }
}

static void seats_text(FILE *stream, const struct seat *seats, int n) {
    for (int rank = 0; rank < n; rank++) {
        if (n > 1) {
            fprintf(stream, "rank %-4d %s\n", rank, seats[rank].host);
        }
        fprintf(stream, "threads   %d (%s), %s\npinning   %s\n", (int)seats[rank].n_threads, seats[rank].reason, tfr_team_backend(),
                seats[rank].placement);
        if (seats[rank].memory[0] != '\0') {
            fprintf(stream, "homes     memory from %s\n", seats[rank].memory);
        }
    }
}

static void seats_json(struct tfr_json_out *out, const struct seat *seats, int n) {
    tfr_json_put_int(out, "threads", seats[0].n_threads);
    tfr_json_put_text(out, "threads_reason", seats[0].reason);
    tfr_json_put_text(out, "memory_from", seats[0].memory);
    if (n == 1) {
        return;
    }
    tfr_json_begin(out, "ranks", '[');
    for (int rank = 0; rank < n; rank++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "host", seats[rank].host);
        tfr_json_put_int(out, "threads", seats[rank].n_threads);
        tfr_json_put_text(out, "threads_reason", seats[rank].reason);
        tfr_json_put_text(out, "memory_from", seats[rank].memory);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
}

static void machine_json(struct tfr_json_out *out, const struct tfr_machine *machine, const struct seat *seats, int n) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "schema", "tfrun-topology-1");
    tfr_json_put_text(out, "host", machine->host_name);
    tfr_json_put_text(out, "cpu", machine->cpu_name);
    tfr_json_put_text(out, "source", machine->source);
    tfr_json_begin(out, "isa", '[');
    for (uint32_t left = machine->isa; left != 0; left &= left - 1) {
        tfr_json_put_text(out, NULL, tfr_isa_name(left));
    }
    tfr_json_end(out, ']');
    tfr_json_put_int(out, "cores", machine->n_cores);
    tfr_json_put_int(out, "logical_cpus", machine->n_pus_online);
    tfr_json_put_int(out, "packages", machine->n_packages);
    tfr_json_put_int(out, "numa_nodes", machine->n_numa);
    tfr_json_put_number(out, "quota_cores", machine->quota_cores);
    tfr_json_put_int(out, "l2_bytes", machine->l2_bytes);
    tfr_json_put_int(out, "l3_bytes", machine->l3_bytes);
    tfr_json_put_int(out, "memory_available_bytes", machine->memory_available_bytes);
    tfr_json_put_number(out, "nominal_ghz", machine->ghz);
    tfr_json_put_number(out, "nominal_flops_f32_per_core", machine->flops_f32_per_core);
    tfr_json_put_number(out, "nominal_bytes_per_s", machine->bytes_total);
    seats_json(out, seats, n);
    tfr_json_end(out, '}');
}

static enum tfr_status write_report(enum tfr_report_form form, const struct tfr_machine *machine, const struct seat *seats, int n,
                                    char **text) {
    size_t size;
    struct tfr_json_out json = {0};
    if (form == TFR_REPORT_JSON) {
        machine_json(&json, machine, seats, n);
        return tfr_json_take(&json, text);
    }
    FILE *stream;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    machine_text(stream, machine);
    seats_text(stream, seats, n);
    return tfr_memtext_close(stream, text);
}

/* Ranks that may use the same cores divide them, as they do when a model is opened. */
static enum tfr_status take_seat(struct tfr_comm *comm, const struct tfr_machine *machine, struct seat *seat) {
    struct tfr_thread_choice choice;
    int index, size;
    TFR_TRY(tfr_comm_group(comm, tfr_machine_core_key(machine), &index, &size));
    TFR_TRY(tfr_machine_choose_threads(machine, 0, index, size, &choice));
    *seat = (struct seat){.n_threads = choice.n_threads};
    snprintf(seat->host, sizeof seat->host, "%s", machine->host_name);
    snprintf(seat->reason, sizeof seat->reason, "%s", choice.reason);
    describe_placement(machine, &choice, seat->placement, sizeof seat->placement);
    return tfr_memory_describe(machine, &choice, TFR_BIND_COMPACT, TFR_MEMORY_AUTO, seat->memory, sizeof seat->memory);
}

static enum tfr_status report_ranks(struct tfr_comm *comm, const struct tfr_machine *machine, enum tfr_report_form form,
                                    char **text) {
    struct seat mine;
    struct seat *seats = tfr_alloc((size_t)tfr_comm_size(comm), sizeof *seats);
    enum tfr_status status = tfr_comm_agree(comm, seats != NULL ? TFR_OK : TFR_RESOURCE);
    status = status == TFR_OK ? tfr_comm_agree(comm, take_seat(comm, machine, &mine)) : status;
    status = status == TFR_OK ? tfr_comm_gather(comm, &mine, sizeof mine, seats) : status;
    if (status == TFR_OK) {
        const bool writes = tfr_comm_rank(comm) == 0;
        status = tfr_comm_agree(comm, writes ? write_report(form, machine, seats, tfr_comm_size(comm), text) : TFR_OK);
    }
    tfr_free(seats);
    return status;
}

enum tfr_status tfr_report_topology(enum tfr_report_form form, char **text) {
    struct tfr_machine *machine = NULL;
    struct tfr_comm *comm;
    *text = NULL;
    enum tfr_status status = tfr_rank_meet(&comm, OPENING_TIMEOUT_S);
    status = status == TFR_OK ? tfr_comm_agree(comm, tfr_machine_read_for_plan(&machine)) : status;
    if (status == TFR_OK) {
        status = report_ranks(comm, machine, form, text);
    }
    tfr_machine_free(machine);
    return tfr_rank_part(comm, status);
}

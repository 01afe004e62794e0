/* report_topology.c - the machine in words or JSON: what there is, what this process may use, where its threads would go. */
#include <tfrun/plugin.h>
#include <tfrun/tfrun.h>

#include <stdio.h>

#include "base/json.h"
#include "base/status.h"
#include "base/memtext.h"
#include "team/team.h"
#include "topo/topo.h"

static void isa_text(FILE *stream, uint32_t isa) {
    for (uint32_t left = isa; left != 0; left &= left - 1) {
        fprintf(stream, " %s", tfr_isa_name(left));
    }
    fprintf(stream, "%s\n", isa == 0 ? " plain C only" : "");
}

static void limits_text(FILE *stream, const struct tfr_machine *machine) {
    fprintf(stream, "allowed   %d of %d logical CPUs: affinity %d, cpuset %d, CPU-time quota ",
            machine->n_cores, machine->n_pus_online, machine->n_affinity, machine->n_cpuset);
    if (machine->quota_cores > 0) {
        fprintf(stream, "%.2f cores\n", machine->quota_cores);
    } else {
        fprintf(stream, "none\n");
    }
}

static void machine_text(FILE *stream, const struct tfr_machine *machine, const struct tfr_thread_choice *choice) {
    fprintf(stream, "host      %s\ncpu       %s, %d package%s, %d NUMA node%s (read by %s)\nisa      ", machine->host_name,
            machine->cpu_name, machine->n_packages, machine->n_packages == 1 ? "" : "s", machine->n_numa,
            machine->n_numa == 1 ? "" : "s", machine->source);
    isa_text(stream, machine->isa);
    fprintf(stream, "caches    L1d %lld KiB, L2 %lld KiB, L3 %lld KiB\n", (long long)machine->l1d_bytes / 1024,
            (long long)machine->l2_bytes / 1024, (long long)machine->l3_bytes / 1024);
    fprintf(stream, "memory    %.1f GB, %.1f GB available\n", (double)machine->memory_total_bytes / 1e9,
            (double)machine->memory_available_bytes / 1e9);
    limits_text(stream, machine);
    fprintf(stream,
            "nominal   %.2f GHz; per core %.0f GFLOP/s f32, %.0f bf16, %.0f GB/s; all cores %.0f GB/s "
            "(figures for plans, not measured)\n",
            machine->ghz, machine->flops_f32_per_core / 1e9, machine->flops_bf16_per_core / 1e9,
            machine->bytes_per_core / 1e9, machine->bytes_total / 1e9);
    fprintf(stream, "threads   %d (%s), %s\n", choice->n_threads, choice->reason, tfr_team_backend());
}

static void placement_text(FILE *stream, const struct tfr_machine *machine, const struct tfr_thread_choice *choice) {
    enum { MOST_SHOWN = 64 };
    int pus[MOST_SHOWN];
    struct tfr_thread_choice shown = *choice;
    shown.n_threads = choice->n_threads < MOST_SHOWN ? choice->n_threads : MOST_SHOWN;
    tfr_bind_plan(machine, &shown, TFR_BIND_COMPACT, pus);
    fprintf(stream, "pinning   thread -> cpu:");
    for (int t = 0; t < shown.n_threads; t++) {
        fprintf(stream, pus[t] >= 0 ? " %d->%d" : " %d free", t, pus[t]);
    }
    fprintf(stream, "%s\n", choice->n_threads > MOST_SHOWN ? " ..." : "");
}

static void machine_json(struct tfr_json_out *out, const struct tfr_machine *machine, const struct tfr_thread_choice *choice) {
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
    tfr_json_put_int(out, "threads", choice->n_threads);
    tfr_json_put_text(out, "threads_reason", choice->reason);
    tfr_json_end(out, '}');
}

enum tfr_status tfr_report_topology(enum tfr_report_form form, char **text) {
    struct tfr_machine *machine;
    TFR_TRY(tfr_machine_read(&machine));
    struct tfr_thread_choice choice;
    tfr_machine_choose_threads(machine, 0, 0, 1, &choice);
    enum tfr_status status = TFR_OK;
    size_t size;
    struct tfr_json_out json = {0};
    if (form == TFR_REPORT_JSON) {
        machine_json(&json, machine, &choice);
        *text = json.text;
        status = json.failed ? TFR_RESOURCE : TFR_OK;
    } else {
        FILE *stream;
        status = tfr_memtext_open(&stream, text, &size);
        if (status == TFR_OK) {
            machine_text(stream, machine, &choice);
            placement_text(stream, machine, &choice);
            status = tfr_memtext_close(stream, text);
        }
    }
    tfr_machine_free(machine);
    return status;
}

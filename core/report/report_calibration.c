/* report_calibration.c - what a calibration says: conditions, roofs, and what the kernels reach at one row and at many. */
#include <tfrun/profile.h>
#include <tfrun/tfrun.h>

#include <stdio.h>
#include <time.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "base/status.h"
#include "base/tensor.h"
#include "predict/calibration.h"

static void print_conditions(FILE *out, const struct tfr_conditions *conditions, const char *path) {
    char age[48];
    tfr_calibration_age(conditions, time(NULL), age, sizeof age);
    fprintf(out, "calibration %s\n", path);
    fprintf(out, "  measured %s, %s\n", conditions->measured_at, age);
    fprintf(out, "  host     %s, %s\n", conditions->host, conditions->cpu);
    fprintf(out, "  threads  %lld, bind %s, governor %s", (long long)conditions->threads, conditions->bind, conditions->governor);
    if (conditions->waited_percent > 0) {
        fprintf(out, ", which waited for a core for %.1f %% of the time", conditions->waited_percent);
    }
    if (conditions->quota_cores > 0) {
        fprintf(out, ", CPU quota of %.2f cores", conditions->quota_cores);
    }
    fprintf(out, "\n  memory   hugepages %s\n  tfrun    %s, kernel ABI %s\n  plugins  %s\n  model    %s\n", conditions->hugepages,
            conditions->version, conditions->abi, conditions->plugins, conditions->model);
}

static void print_doubts(FILE *out, const struct tfr_calibration *calibration) {
    char doubts[TFR_DOUBTS_SIZE] = "";
    tfr_calibration_doubts(calibration, doubts, sizeof doubts);
    if (doubts[0] != '\0') {
        fprintf(out, "  which may not hold: %s\n", doubts);
    }
}

static void print_roofs(FILE *out, const struct tfr_roofs *roofs) {
    fprintf(out, "\n%-24s %12s %12s\n", "GFLOP/s", "one core", "all threads");
    for (int i = 0; i < roofs->n_flops; i++) {
        const struct tfr_flop_roof *roof = &roofs->flops[i];
        char name[40];
        snprintf(name, sizeof name, "%s %s", tfr_dtype_name((enum tfr_dtype)roof->dtype),
                 roof->isa != 0 ? tfr_isa_name(roof->isa) : "plain");
        fprintf(out, "%-24s %12.1f %12.1f\n", name, roof->one_core / 1e9, roof->all_cores / 1e9);
    }
    fprintf(out, "\n%-24s %12s %12s\n", "GB/s read from", "one core", "all threads");
    for (int i = 0; i < roofs->n_bandwidths; i++) {
        const struct tfr_bandwidth *at = &roofs->bandwidth[i];
        const bool is_large = at->bytes >= 1 << 20;
        fprintf(out, "%20lld %-3s %12.1f %12.1f\n", (long long)(is_large ? at->bytes >> 20 : at->bytes >> 10),
                is_large ? "MiB" : "KiB", at->one_core / 1e9, at->all_cores / 1e9);
    }
    fprintf(out, "\ncaches: %lld KiB and %lld KiB a core, %lld KiB shared\n", (long long)roofs->l1d_bytes >> 10,
            (long long)roofs->l2_bytes >> 10, (long long)roofs->l3_bytes >> 10);
    fprintf(out, "a region of the team takes %.0f ns, a barrier inside %.0f ns\n", roofs->fork_ns, roofs->barrier_ns);
}

static void print_link(FILE *out, const char *what, int64_t n_pairs, const struct tfr_link *link) {
    if (n_pairs > 0) {
        char text[320];
        tfr_link_describe(link, text, sizeof text);
        fprintf(out, "messages %s take %s (%lld pair%s of ranks)\n", what, text, (long long)n_pairs, tfr_plural(n_pairs));
    }
}

static void print_links(FILE *out, const struct tfr_measured_links *links) {
    if (links->shm_pairs + links->net_pairs > 0) {
        fprintf(out, "\nbetween ranks%s, by %s, measured %s\n", links->asleep ? " that sleep where they compute (--asleep)" : "",
                links->transport, links->measured_at);
        print_link(out, "within a node", links->shm_pairs, &links->shm);
        print_link(out, "between nodes", links->net_pairs, &links->net);
    }
}

static void print_kernels(FILE *out, const struct tfr_calibration *calibration) {
    fprintf(out, "\n%-36s %-30s %7s  %s\n", "kernel", "shape", "threads", "share of the roof at its rows (class, rows, context)");
    for (size_t i = 0; i < calibration->n_kernels; i++) {
        const struct tfr_calibration_kernel *kernel = &calibration->kernels[i];
        const struct tfr_calibration_point *first = &kernel->points[0], *last = &kernel->points[kernel->n_points - 1];
        fprintf(out, "%-36s %-30s %7lld  %3.0f %% (%lld, %lld, %lld) .. %3.0f %% (%lld, %lld, %lld)\n", kernel->kernel,
                kernel->shape, (long long)kernel->threads, 100 * first->roof_ns / first->ns, (long long)first->class_rows,
                (long long)first->rows, (long long)first->context, 100 * last->roof_ns / last->ns, (long long)last->class_rows,
                (long long)last->rows, (long long)last->context);
    }
}

static enum tfr_status print_all(const struct tfr_calibration *calibration, const char *path, char **text) {
    size_t size;
    FILE *out;
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    print_conditions(out, &calibration->conditions, path);
    print_doubts(out, calibration);
    print_roofs(out, &calibration->roofs);
    print_links(out, &calibration->links);
    print_kernels(out, calibration);
    return tfr_memtext_close(out, text);
}

static enum tfr_status default_path(int64_t threads, char **path) {
    struct tfr_machine *machine;
    struct tfr_thread_choice choice;
    TFR_TRY(tfr_machine_read(&machine));
    enum tfr_status status = tfr_machine_choose_threads(machine, (int)threads, 0, 1, &choice);
    if (status == TFR_OK) {
        *path = tfr_calibration_path(machine->host_name, choice.n_threads);
        status = *path != NULL ? TFR_OK : TFR_RESOURCE;
    }
    tfr_machine_free(machine);
    return status == TFR_CONFIG ? TFR_USAGE : status; /* their number is a flag */
}

enum tfr_status tfr_report_calibration(const char *given, int64_t threads, bool json, char **text) {
    struct tfr_calibration calibration = {0};
    char *path = given != NULL ? tfr_strdup(given) : NULL;
    if (given == NULL) {
        TFR_TRY(default_path(threads, &path));
    }
    enum tfr_status status = path != NULL ? tfr_calibration_read(&calibration, path) : TFR_RESOURCE;
    if (status == TFR_RESOURCE && path != NULL) {
        status = tfr_raise_prefix(status, "no calibration; run `tfrun calibrate`");
    }
    if (status == TFR_OK && json) {
        *text = tfr_calibration_text(&calibration);
        status = *text != NULL ? TFR_OK : TFR_RESOURCE;
    } else if (status == TFR_OK) {
        status = print_all(&calibration, path, text);
    }
    tfr_calibration_free(&calibration);
    tfr_free(path);
    return status;
}

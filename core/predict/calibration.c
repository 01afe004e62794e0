/* calibration.c - the record of a calibration; its conditions. */
#include "predict/calibration.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tfrun/plugin.h>

#include "base/arena.h"
#include "base/status.h"

void tfr_calibration_free(struct tfr_calibration *calibration) {
    if (calibration == NULL) {
        return;
    }
    for (size_t i = 0; i < calibration->n_kernels; i++) {
        tfr_free(calibration->kernels[i].points);
    }
    tfr_free(calibration->kernels);
    *calibration = (struct tfr_calibration){0};
}

void tfr_calibration_nominal(struct tfr_calibration *calibration, const struct tfr_machine *machine, int n_threads) {
    const double cores = n_threads < machine->n_cores ? n_threads : machine->n_cores;
    const double total =
        cores * machine->bytes_per_core < machine->bytes_total ? cores * machine->bytes_per_core : machine->bytes_total;
    struct tfr_roofs *roofs = &calibration->roofs;
    *calibration = (struct tfr_calibration){.conditions.threads = n_threads};
    *roofs = (struct tfr_roofs){.n_threads = n_threads, .n_flops = 3, .n_bandwidths = 1};
    roofs->l1d_bytes = machine->l1d_bytes;
    roofs->l2_bytes = machine->l2_bytes;
    roofs->l3_bytes = machine->l3_bytes;
    roofs->flops[0] = (struct tfr_flop_roof){
        .dtype = TFR_DTYPE_F32, .one_core = machine->flops_f32_per_core, .all_cores = cores * machine->flops_f32_per_core};
    roofs->flops[1] = (struct tfr_flop_roof){
        .dtype = TFR_DTYPE_BF16, .one_core = machine->flops_bf16_per_core, .all_cores = cores * machine->flops_bf16_per_core};
    const double int8 = machine->flops_f32_per_core * tfr_isa_flops_per_cycle(machine->isa, TFR_DTYPE_I8) /
                        tfr_isa_flops_per_cycle(machine->isa, TFR_DTYPE_F32);
    roofs->flops[2] = (struct tfr_flop_roof){.dtype = TFR_DTYPE_I8, .one_core = int8, .all_cores = cores * int8};
    roofs->bandwidth[0] = (struct tfr_bandwidth){.bytes = 1, .one_core = machine->bytes_per_core, .all_cores = total};
}

static bool is_of(const struct tfr_calibration_kernel *known, const char *kernel, const char *shape, int64_t threads) {
    return known->threads == threads && strcmp(known->kernel, kernel) == 0 && strcmp(known->shape, shape) == 0;
}

const struct tfr_calibration_kernel *tfr_calibration_find(const struct tfr_calibration *calibration, const char *kernel,
                                                          const char *shape, int64_t threads) {
    for (size_t i = 0; i < calibration->n_kernels; i++) {
        if (is_of(&calibration->kernels[i], kernel, shape, threads)) {
            return &calibration->kernels[i];
        }
    }
    return NULL;
}

static struct tfr_calibration_kernel *find_or_add(struct tfr_calibration *calibration, const char *kernel, const char *shape,
                                                  int64_t threads) {
    for (size_t i = 0; i < calibration->n_kernels; i++) {
        if (is_of(&calibration->kernels[i], kernel, shape, threads)) {
            return &calibration->kernels[i];
        }
    }
    struct tfr_calibration_kernel *grown =
        tfr_realloc(calibration->kernels, calibration->n_kernels + 1, sizeof *calibration->kernels);
    if (grown == NULL) {
        return NULL;
    }
    calibration->kernels = grown;
    struct tfr_calibration_kernel *added = &grown[calibration->n_kernels++];
    *added = (struct tfr_calibration_kernel){.threads = threads};
    snprintf(added->kernel, sizeof added->kernel, "%s", kernel);
    snprintf(added->shape, sizeof added->shape, "%s", shape);
    return added;
}

enum tfr_status tfr_calibration_add(struct tfr_calibration *calibration, const char *kernel, const char *shape, int64_t threads,
                                    const struct tfr_calibration_point *point) {
    struct tfr_calibration_kernel *of = find_or_add(calibration, kernel, shape, threads);
    struct tfr_calibration_point *points = of != NULL ? tfr_realloc(of->points, of->n_points + 1, sizeof *points) : NULL;
    if (points == NULL) {
        return TFR_RESOURCE;
    }
    of->points = points;
    of->points[of->n_points++] = *point;
    return TFR_OK;
}

/* The word of a small file of the system, "unknown" where there is none: read without memory, as that must not look like none. */
static void read_word(const char *path, char *word, size_t size) {
    char text[4096] = "unknown";
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;
    while (file >= 0 && (n = read(file, text, sizeof text - 1)) < 0 && errno == EINTR) {
    }
    if (n >= 0) {
        text[n] = '\0';
    }
    if (file >= 0) {
        close(file);
    }
    snprintf(word, size, "%.*s", (int)strcspn(text, "\n"), text);
}

/* "always [madvise] never" -> "madvise": the word that holds. */
static void keep_chosen(char *text) {
    const char *open = strchr(text, '['), *close = open != NULL ? strchr(open, ']') : NULL;
    if (close != NULL) {
        const size_t length = (size_t)(close - open - 1);
        memmove(text, open + 1, length);
        text[length] = '\0';
    }
}

void tfr_conditions_now(struct tfr_conditions *conditions, const struct tfr_run_conditions *run) {
    const struct tfr_machine *machine = run->machine;
    const time_t now = time(NULL);
    struct tm utc;
    char pages[64];
    *conditions = (struct tfr_conditions){
        .measured_unix = now, .threads = run->n_threads, .isa = machine->isa, .quota_cores = machine->quota_cores};
    snprintf(conditions->host, sizeof conditions->host, "%s", machine->host_name);
    snprintf(conditions->cpu, sizeof conditions->cpu, "%s", machine->cpu_name);
    snprintf(conditions->version, sizeof conditions->version, "%s", run->version);
    snprintf(conditions->abi, sizeof conditions->abi, "%d.%d", TFR_PLUGIN_ABI_MAJOR, TFR_PLUGIN_ABI_MINOR);
    snprintf(conditions->bind, sizeof conditions->bind, "%s", run->bind);
    snprintf(conditions->plugins, sizeof conditions->plugins, "%s", run->plugins);
    read_word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", conditions->governor, sizeof conditions->governor);
    read_word("/sys/kernel/mm/transparent_hugepage/enabled", pages, sizeof pages);
    keep_chosen(pages);
    snprintf(conditions->hugepages, sizeof conditions->hugepages, "%s, %.20s", run->hugepages, pages);
    if (gmtime_r(&now, &utc) != NULL) {
        strftime(conditions->measured_at, sizeof conditions->measured_at, "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
}
